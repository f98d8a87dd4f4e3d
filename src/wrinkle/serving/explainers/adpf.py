"""The figures of ADPF: its ranked maps and patches, for one face or many."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from wrinkle.layers import crop_patches, patch_maps
from wrinkle.models.attention_net import AttentionNet
from wrinkle.models.base import Prediction
from wrinkle.models.fusion_net import FusionNet
from wrinkle.serving.explainers.drawing import (
    TARGET,
    draw_distributions,
    show,
    to_pixels,
    visible,
)
from wrinkle.serving.explainers.plain import explain_face, explain_many

CAPTION = (
    "Above: where the network looks (bright), most important first; a is the weight of each map. "
    "Below: the patches cut out there, from which the age is estimated."
)
FIXED = "The patches, at fixed places of the face, from which the age is estimated."
PATCH = 64
"""Side in pixels of drawn patches, for networks without a patch size."""


def ranked(
    model: AttentionNet | FusionNet, pixels: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Compute the patches of faces, and the maps behind them.

    Args:
        model: the network; for an AttentionNet the boxes are those that its maps select.
        pixels: (B, 3, S, S), its input.

    Returns:
        Boxes of P_1 … P_n (B, n, 4) in [−1, 1]; ranked maps (B, n, H, W) and their scales (n,),
        None for networks without maps; all on the CPU.
    """
    pixels = pixels.to(model.ages.device)
    maps, scales = model.ranked_maps(pixels), model.ranked_scales()
    boxes = model.find_patches(pixels).cpu()
    return boxes, None if maps is None else maps.cpu(), scales


@explain_face.register
def explain_adpf(
    model: AttentionNet | FusionNet, pixels: Tensor, key_points: Tensor, prediction: Prediction
) -> Figure:
    """Draw each ranked map with its box on the face, the patches in order, and the distribution.

    Networks with fixed patches have no maps.

    Args:
        model: the network.
        pixels: (1, 3, S, S), its input.
        key_points: not used.
        prediction: distributions (K, A) and ages (K,) of all classifiers.
    """
    face = visible(pixels, model)
    boxes, maps, scales = ranked(model, pixels)
    n = boxes.shape[1]
    patches = crop_patches(face, patch_maps(boxes), getattr(model, "patch_size", PATCH))[0]
    figure = Figure((2.1 * (n + 1) + 4, 4.8), layout="constrained")
    columns = figure.add_gridspec(1, 2, width_ratios=(2.1 * (n + 1), 4))
    axes = figure.add_subfigure(columns[0]).subplots(2, n + 1)
    show(axes[0, 0], face[0], "network input")
    show(axes[1, 0], face[0], "all patches")
    for k in range(n):
        draw_box(axes[1, 0], boxes[0, k], face.shape[-1], str(k + 1))
        show(
            axes[0, k + 1],
            face[0],
            f"P{k + 1}" if scales is None else f"M{k + 1}, a = {float(scales[k]):.2f}",
        )
        if maps is not None:
            draw_heat(axes[0, k + 1], maps[0, k], face.shape[-1])
        draw_box(axes[0, k + 1], boxes[0, k], face.shape[-1])
        show(axes[1, k + 1], patches[k], f"P{k + 1}")
    ages = figure.add_subfigure(columns[1]).subplots()
    draw_distributions(ages, model, prediction, {"age": 0})
    ages.set_ylabel("probability")
    ages.set_ylim(bottom=0)
    figure.supxlabel(CAPTION if maps is not None else FIXED, fontsize=9)
    return figure


@explain_many.register
def draw_gallery(
    model: AttentionNet | FusionNet,
    pixels: Tensor,
    labels: Sequence[str],
    predicted: Tensor,
    figure: Figure | SubFigure,
) -> None:
    """Draw a row for each rank and a column for each face, as in the paper's Figure 1.

    Each cell shows the face under the map of that rank, with the patch's box.

    Args:
        model: the network.
        pixels: (B, 3, S, S), its input.
        labels: B ages or ranges of ages in years.
        predicted: (B,) years.
        figure: where to draw; its figure is made high enough.
    """
    faces = visible(pixels, model)
    boxes, maps, _ = ranked(model, pixels)
    count, n = boxes.shape[:2]
    whole = figure.get_figure(root=True)
    whole.set_figheight(max(whole.get_figheight(), 1.5 * (n + 1) + 0.3))
    axes = figure.subplots(n + 1, count, squeeze=False)
    for column in range(count):
        title = f"{labels[column]} years\npredicted {predicted[column]:.0f}"
        show(axes[0, column], faces[column], title)
        for k in range(n):
            panel = axes[k + 1, column]
            show(panel, faces[column], "")
            if maps is not None:
                draw_heat(panel, maps[column, k], faces.shape[-1])
            draw_box(panel, boxes[column, k], faces.shape[-1])
    for k in range(n):
        label(axes[k + 1, 0], f"P{k + 1}")


def draw_heat(axes: Axes, heat: Tensor, size: int) -> None:
    """Draw a map (H, W) over a picture of `size` pixels, coloured from minimum to maximum."""
    axes.imshow(
        heat.float().numpy(),
        extent=(0, size, size, 0),
        cmap="inferno",
        alpha=0.5,
        interpolation="bilinear",
    )


def draw_box(axes: Axes, box: Tensor, size: int, text: str = "") -> None:
    """Draw a box (4,) in [−1, 1] on a picture of `size` pixels, with an optional text."""
    x1, y1, x2, y2 = to_pixels(box, size).tolist()
    axes.plot(np.array([x1, x2, x2, x1, x1]), [y1, y1, y2, y2, y1], color=TARGET, lw=1.5)
    if text:
        axes.text(
            x1,
            y1,
            text,
            color="black",
            fontsize=8,
            va="top",
            bbox={"fc": TARGET, "lw": 0, "pad": 1},
        )


def label(axes: Axes, text: str) -> None:
    """Write a row's name on the left of its first picture."""
    axes.text(-0.04, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=10)
