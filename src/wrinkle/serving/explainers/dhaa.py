"""The figure of DHAA: its regions and its classifiers."""

import numpy as np
import torch
from matplotlib.figure import Figure, FigureBase
from torch import Tensor

from wrinkle.models.base import Prediction
from wrinkle.models.dhaa import BRANCHES, DHAA, FIGURE_6_NAMES
from wrinkle.models.face_regions import REGIONS, RegionPooling, face_points, region_points
from wrinkle.serving.explainers.drawing import (
    SOURCE,
    TARGET,
    draw_distributions,
    mark,
    show,
    to_pixels,
    visible,
)
from wrinkle.serving.explainers.plain import explain_face

CAPTION = (
    "Above: the parts of the face that the network uses, and the same parts moved into place. "
    "Below: the age by all parts together, then by each part on its own."
)
TITLES = {
    "g2": "G-2 face",
    "g3": "G-3 larger",
    "l1": "L-1 eye",
    "l2": "L-2 nose",
    "l3": "L-3 mouth",
}


@explain_face.register
def explain_dhaa(model: DHAA, pixels: Tensor, key_points: Tensor, prediction: Prediction) -> Figure:
    """Draw each region's source points, the aligned regions, and every classifier's distribution.

    Args:
        model: the network.
        pixels: (1, 3, S, S), its input.
        key_points: (1, 5, 2) in [−1, 1].
        prediction: distributions (K, A) and ages (K,) of all classifiers.
    """
    figure = Figure((15, 8.2), layout="constrained")
    rows = figure.add_gridspec(2, 1, height_ratios=(1.9, 1))
    face = visible(pixels, model)
    draw_regions(figure.add_subfigure(rows[0]), model, face, key_points)
    draw_branches(figure.add_subfigure(rows[1]), model, prediction)
    figure.supxlabel(CAPTION, fontsize=9)
    return figure


def draw_regions(figure: FigureBase, model: DHAA, face: Tensor, key_points: Tensor) -> None:
    """Draw the face, and for each region its source points and the aligned region.

    Args:
        figure: where to draw.
        model: the network.
        face: (1, 3, S, S) in [0, 1].
        key_points: (1, 5, 2) in [−1, 1].
    """
    size = face.shape[-1]
    pooling = RegionPooling(model.pooling.kind, size, model.pooling.pools)
    regions, maps = pooling(face, key_points), pooling.inverse_maps(key_points)
    points = face_points(key_points)
    axes = figure.subplots(2, len(maps) + 1)
    title = "G-1: all of CB1" if "g1" in model.layer2 else "input"
    show(axes[0, 0], face[0], f"{title}\nwith the five key points")
    mark(axes[0, 0], key_points[0], size, SOURCE)
    axes[1, 0].axis("off")
    axes[1, 0].text(0, 0.5, LEGEND, va="center", fontsize=10, transform=axes[1, 0].transAxes)
    for column, name in enumerate(maps, 1):
        region = REGIONS[name]
        source, inverse = region_points(points, region), maps[name][0]
        above, below = axes[:, column]
        show(above, face[0], f"{TITLES[name]}\nsource")
        frame = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
        frame = frame @ inverse[:, :2].T + inverse[:, 2]
        above.plot(*to_pixels(frame, size).T, color=TARGET, lw=1, clip_on=True)
        mark(above, source[0], size, SOURCE)
        show(below, regions[name][0], "aligned" if pooling.kind == "arp" else "pooled")
        aligned = (source[0] - inverse[:, 2]) @ torch.linalg.inv(inverse[:, :2]).T
        x, y = to_pixels(region.target_points, size).T
        below.scatter(x, y, s=70, facecolors="none", edgecolors=TARGET, linewidths=1.4)
        mark(below, aligned, size, SOURCE)


LEGEND = (
    "dots: source points,\nbelow after alignment\n\n"
    "circles: target points\n\nframe: the region's area"
)


def draw_branches(figure: FigureBase, model: DHAA, prediction: Prediction) -> None:
    """Draw the final distribution and, for each branch, its sub-networks' distributions.

    Args:
        figure: where to draw.
        model: the network.
        prediction: distributions (K, A) and ages (K,) of all classifiers.
    """
    names = list(model.classifiers)
    branches = [letter for letter in BRANCHES.values() if letter in model.branches]
    shown = branches if len(names) > 1 else []
    axes = np.atleast_1d(figure.subplots(1, 1 + len(shown), sharey=True))
    draw_distributions(axes[0], model, prediction, {"DHAA": 0})
    axes[0].set_ylabel("probability")
    for panel, letter in zip(axes[1:], shown, strict=True):
        own = {n: i for i, n in enumerate(names) if n.startswith(f"{FIGURE_6_NAMES[letter]}-")}
        draw_distributions(panel, model, prediction, own)
    axes[0].set_ylim(0, 1.05 * float(prediction.distribution.max()))
