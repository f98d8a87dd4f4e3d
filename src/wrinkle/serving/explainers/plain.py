"""The default figures of networks, and the functions for which networks register their own."""

from functools import singledispatch

from matplotlib.figure import Figure
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.models.base import AgeModel, Prediction
from wrinkle.serving.explainers.drawing import SOURCE, draw_distributions, mark, show, visible


@singledispatch
def explain_face(
    model: AgeModel, pixels: Tensor, key_points: Tensor, prediction: Prediction
) -> Figure:
    """Draw the face with its key points, and the distribution over ages.

    A network can register another function: `@explain_face.register`.

    Args:
        model: the network.
        pixels: (1, 3, S, S), its input.
        key_points: (1, 5, 2) in [−1, 1].
        prediction: distributions (K, A) and ages (K,) of all classifiers.
    """
    figure = Figure((9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
    show(left, visible(pixels, model)[0], "network input")
    mark(left, key_points[0], pixels.shape[-1], SOURCE)
    draw_distributions(right, model, prediction, {"age": 0})
    right.set_ylim(bottom=0)
    return figure


@singledispatch
def explain_many(model: AgeModel, pixels: Tensor, ages: Tensor, predicted: Tensor) -> Figure:
    """Draw the patches of many faces; registered by networks that use patches.

    Args:
        model: the network.
        pixels: (B, 3, S, S), its input.
        ages: (B,) years, the labels.
        predicted: (B,) years.

    Raises:
        WrinkleError: the network has no patches.
    """
    raise WrinkleError(
        f"a gallery shows patches, and {type(model).__name__} has none: give a model such as adpf, "
        "or a picture"
    )


def has_gallery(model: AgeModel) -> bool:
    """Return whether a function of many faces is registered for the network."""
    return explain_many.dispatch(type(model)) is not explain_many.dispatch(AgeModel)


def has_own_figure(model: AgeModel) -> bool:
    """Return whether a function of one face is registered for the network."""
    return explain_face.dispatch(type(model)) is not explain_face.dispatch(AgeModel)
