"""The default figures of networks, and the functions for which networks register their own."""

from collections.abc import Sequence
from functools import singledispatch

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.models.base import AgeModel, Prediction
from wrinkle.serving.explainers.drawing import SOURCE, draw_distributions, mark, show, visible
from wrinkle.serving.explainers.occlusion import occlusion_map

CAPTION = (
    "Red parts make the face look older, blue ones younger: the change of the estimate when a "
    "square there is covered with plain colour."
)


@singledispatch
def explain_face(
    model: AgeModel, pixels: Tensor, key_points: Tensor, prediction: Prediction
) -> Figure:
    """Draw the face with its key points, what covering each part of it changes, and the
    distribution over ages.

    A network can register another function: `@explain_face.register`.

    Args:
        model: the network.
        pixels: (1, 3, S, S), its input.
        key_points: (1, 5, 2) in [−1, 1].
        prediction: distributions (K, A) and ages (K,) of all classifiers.
    """
    figure = Figure((12, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.2, 1.5))
    face = visible(pixels, model)[0]
    show(left, face, "the face as the network sees it")
    mark(left, key_points[0], pixels.shape[-1], SOURCE)
    show(middle, face.mean(0, keepdim=True).expand(3, -1, -1), "what raises or lowers the estimate")
    draw_occlusion(middle, occlusion_map(model, pixels, key_points), pixels.shape[-1])
    draw_distributions(right, model, prediction, {"age": 0})
    right.set_title("how likely the network finds each age", fontsize=10, pad=20)  # over the legend
    right.set_ylabel("probability")
    right.set_ylim(bottom=0)
    figure.supxlabel(CAPTION, fontsize=9)
    return figure


def draw_occlusion(axes: Axes, change: Tensor, size: int) -> None:
    """Draw an `occlusion_map` over a picture of `size` pixels, with a bar of colours in years."""
    limit = max(float(change.abs().max()), 0.1)
    image = axes.imshow(
        change.numpy(),
        extent=(0, size, size, 0),
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        alpha=0.6,
        interpolation="bilinear",
    )
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.85)
    bar.set_label("years added (+) or taken off (−)", fontsize=9)


@singledispatch
def explain_many(
    model: AgeModel,
    pixels: Tensor,
    labels: Sequence[str],
    predicted: Tensor,
    figure: Figure | SubFigure,
) -> None:
    """Draw the patches of many faces; registered by networks that use patches.

    Args:
        model: the network.
        pixels: (B, 3, S, S), its input.
        labels: B ages or ranges of ages in years.
        predicted: (B,) years.
        figure: where to draw; its figure is made high enough.

    Raises:
        WrinkleError: the network has no patches.
    """
    raise WrinkleError(
        f"a gallery shows patches, and {type(model).__name__} has none: give the model file "
        "(.safetensors) of a network such as adpf, or a picture"
    )


def has_gallery(model: AgeModel) -> bool:
    """Return whether a function of many faces is registered for the network."""
    return explain_many.dispatch(type(model)) is not explain_many.dispatch(AgeModel)


def has_own_figure(model: AgeModel) -> bool:
    """Return whether a function of one face is registered for the network."""
    return explain_face.dispatch(type(model)) is not explain_face.dispatch(AgeModel)
