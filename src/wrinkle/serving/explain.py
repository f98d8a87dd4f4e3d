"""A figure of how a model comes to one face's age: what it looked at, and what each part says."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from torch import Tensor

from wrinkle.errors import ImageError
from wrinkle.faces.decode import decode, printable
from wrinkle.models.base import AgeModel
from wrinkle.models.dhaa import BRANCHES, DHAA, ON_PAPER, RegionPooling
from wrinkle.models.face_regions import REGIONS, face_points, region_points
from wrinkle.serving.estimator import AgeEstimator, Picture

SOURCE, TARGET = "#ffb000", "#00d0ff"
LINES = ("#1f77b4", "#ff7f0e", "#2ca02c")
TITLES = {
    "g2": "G-2 face",
    "g3": "G-3 larger",
    "l1": "L-1 eye",
    "l2": "L-2 nose",
    "l3": "L-3 mouth",
}


@torch.inference_mode()
def explain(estimator: AgeEstimator, picture: Picture) -> Figure:
    """The most prominent face of a picture under the estimator's model.

    Any model: the face as the network sees it with its key points, and the distribution over ages.
    DHAA also: the source points of each region on the face, the region as aligned with its target
    points, and the distribution of every classifier. Distributions are averaged with the mirror
    picture's, as in prediction.

    Raises:
        ImageError: the picture cannot be read, or shows no face.
    """
    image = decode(picture)
    faces = estimator.detector([image])[0]
    if not faces:
        name = printable(str(picture)) if isinstance(picture, str | PathLike) else "the picture"
        raise ImageError(f"{name}: no face found: nothing to explain")
    pixels, key_points = estimator.inputs([(image, faces[0])])
    model = estimator.model
    distributions = model.predict_all(pixels, key_points)[0].float().cpu()
    pixels, key_points = pixels.cpu(), key_points.cpu()
    face = visible(pixels, model)
    if isinstance(model, DHAA):
        figure = Figure((15, 8.2), layout="constrained")
        rows = figure.add_gridspec(2, 1, height_ratios=(1.9, 1))
        draw_regions(figure.add_subfigure(rows[0]), model, face, key_points)
        draw_branches(figure.add_subfigure(rows[1]), model, distributions)
    else:
        figure = Figure((9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
        show(left, face[0], "what the network sees")
        mark(left, key_points[0], face.shape[-1], SOURCE)
        draw_distributions(right, model, distributions[:1], ["age"])
        right.set_ylim(bottom=0)
    return figure


def visible(pixels: Tensor, model: AgeModel) -> Tensor:
    """Network input (B, 3, H, W) → the same in [0, 1]."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (model.mean, model.std))
    return (pixels * std + mean).clamp(0, 1)


def draw_regions(figure: FigureBase, model: DHAA, face: Tensor, key_points: Tensor) -> None:
    """The face, and per region its source points there and the aligned region.

    face: (1, 3, S, S) in [0, 1]. key_points: (1, 5, 2).
    """
    size = face.shape[-1]
    pooling = RegionPooling(model.pooling.kind, size, model.pooling.pools)
    regions, maps = pooling(face, key_points), pooling.inverse_maps(key_points)
    points = face_points(key_points)
    axes = figure.subplots(2, len(maps) + 1)
    title = "G-1: all of CB1" if "g1" in model.layer2 else "the face"
    show(axes[0, 0], face[0], f"{title}\nand the five key points")
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
        landed = (source[0] - inverse[:, 2]) @ torch.linalg.inv(inverse[:, :2]).T
        x, y = to_pixels(region.target_points, size).T
        below.scatter(x, y, s=70, facecolors="none", edgecolors=TARGET, linewidths=1.4)
        mark(below, landed, size, SOURCE)


LEGEND = (
    "dots: source points,\nbelow where the region\nhas them\n\n"
    "circles: target points\n\nframe: what the region covers"
)


def draw_branches(figure: FigureBase, model: DHAA, distributions: Tensor) -> None:
    """The final distribution and, per branch, those of its sub-networks: (K, A)."""
    names = list(model.classifiers)
    branches = [letter for letter in BRANCHES.values() if letter in model.branches]
    shown = branches if len(names) > 1 else []
    axes = np.atleast_1d(figure.subplots(1, 1 + len(shown), sharey=True))
    draw_distributions(axes[0], model, distributions[:1], ["DHAA"])
    axes[0].set_ylabel("probability")
    for panel, letter in zip(axes[1:], shown, strict=True):
        own = [i for i, name in enumerate(names) if name.startswith(f"{ON_PAPER[letter]}-")]
        draw_distributions(panel, model, distributions[own], [names[i] for i in own])
    axes[0].set_ylim(0, 1.05 * float(distributions.max()))


def draw_distributions(
    axes: Axes, model: AgeModel, distributions: Tensor, names: Sequence[str]
) -> None:
    """Curves over ages with their means marked: (K, A)."""
    ages = model.ages.cpu()
    for name, curve, colour in zip(names, distributions, LINES, strict=False):
        age = float((curve * ages).sum())
        axes.plot(ages, curve, color=colour, label=f"{name}: {age:.1f} years")
        axes.fill_between(ages, curve, color=colour, alpha=0.15)
        axes.axvline(age, color=colour, lw=1, ls="--")
    axes.set_xlabel("age, years")
    axes.set_xlim(0, float(ages[-1]))
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def show(axes: Axes, picture: Tensor, title: str) -> None:
    """A picture (3, H, W) in [0, 1] without ticks."""
    height, width = picture.shape[-2:]
    axes.imshow(picture.permute(1, 2, 0).numpy(), extent=(0, width, height, 0))
    axes.set_title(title, fontsize=10)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")


def mark(axes: Axes, points: Tensor, size: int, colour: str) -> None:
    """Points (m, 2) in [−1, 1] as dots on a picture of `size` pixels."""
    x, y = to_pixels(points, size).T
    axes.scatter(x, y, s=16, color=colour, edgecolors="black", linewidths=0.5)


def to_pixels(points: Tensor, size: int) -> np.ndarray:
    return ((points + 1) * size / 2).numpy()
