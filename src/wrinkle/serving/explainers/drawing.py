"""Functions for drawing that several explainers use."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from wrinkle.models.base import AgeModel, Prediction

SOURCE, TARGET = "#ffb000", "#00d0ff"
LINES = ("#1f77b4", "#ff7f0e", "#2ca02c")


def visible(pixels: Tensor, model: AgeModel) -> Tensor:
    """Network input (B, 3, H, W) → RGB (B, 3, H, W) in [0, 1]."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (model.mean, model.std))
    return (pixels * std + mean).clamp(0, 1)


def draw_distributions(
    axes: Axes, model: AgeModel, prediction: Prediction, rows: Mapping[str, int]
) -> None:
    """Draw distributions over ages as curves, and mark the predicted ages.

    Args:
        axes: where to draw.
        model: the network, for its ages.
        prediction: distributions (K, A) and ages (K,).
        rows: label of each curve → its row in the prediction.
    """
    ages = model.ages.cpu()
    for (name, row), colour in zip(rows.items(), LINES, strict=False):
        curve, age = prediction.distribution[row], float(prediction.age[row])
        axes.plot(ages, curve, color=colour, label=f"{name}: {age:.1f} years")
        axes.fill_between(ages, curve, color=colour, alpha=0.15)
        axes.axvline(age, color=colour, lw=1, ls="--")
    axes.set_xlabel("age, years")
    axes.set_xlim(float(ages[0]), float(ages[-1]))
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    axes.spines[["top", "right"]].set_visible(False)


def show(axes: Axes, picture: Tensor, title: str) -> None:
    """Draw a picture (3, H, W) in [0, 1] with a title and without ticks."""
    height, width = picture.shape[-2:]
    axes.imshow(picture.permute(1, 2, 0).numpy(), extent=(0, width, height, 0))
    axes.set_title(title, fontsize=10)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")


def mark(axes: Axes, points: Tensor, size: int, colour: str) -> None:
    """Draw points (m, 2) in [−1, 1] as dots on a picture of `size` pixels."""
    x, y = to_pixels(points, size).T
    axes.scatter(x, y, s=16, color=colour, edgecolors="black", linewidths=0.5)


def to_pixels(points: Tensor, size: int) -> np.ndarray:
    """Points (…, 2) in [−1, 1] → pixels of a picture of `size` pixels."""
    return ((points + 1) * size / 2).numpy()
