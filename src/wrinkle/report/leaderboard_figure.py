"""The figure of a leaderboard: MAE of each method, and the difference of every pair."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from wrinkle.report.leaderboard import Leaderboard
from wrinkle.report.style import STYLE, colour

CELL = 0.36
"""Inches of a side of a cell."""
FEWEST_CELLS = 8
"""The panel is at least this many cells wide and high, so that its title fits."""
DARK = 0.6
"""Share of the largest difference above which a cell's text is white."""


def pairwise_figure(board: Leaderboard) -> Figure:
    """MAE with its interval and a dot for each seed; beside it the differences of all pairs.

    A cell is the MAE of its row's method − that of its column's, in hundredths of a year. Cells
    whose interval includes 0 are grey.
    """
    count = len(board.methods)
    side = CELL * max(count, FEWEST_CELLS)
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure((side + 5.0, side + 1.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[2.4, side])
    names = [method.name for method in board.methods]
    for row, method in enumerate(board.methods):
        value, low, high = method.interval
        left.plot(method.mae, [row] * len(method.mae), "o", ms=3, color=colour(1), zorder=3)
        if not np.isnan(low):
            left.plot([low, high], [row, row], color=colour(0), lw=1.5)
        left.plot(value, row, "D", ms=4, color=colour(0))
    left.set_yticks(range(count), names)
    left.set_ylim(count - 0.5, -0.5)
    left.set(xlabel="MAE, years")
    left.set_title("Mean and 95 % interval;\ndots: seeds", loc="left", fontsize=9)
    _draw_pairs(board, right)
    right.set_xticks(range(count), names, rotation=90)
    right.set_yticks(range(count), [""] * count)
    title = "MAE of row − column, 1/100 year;\ngrey: interval includes 0"
    right.set_title(title, loc="left", fontsize=9)
    return figure


def _draw_pairs(board: Leaderboard, axes: "matplotlib.axes.Axes") -> None:
    count = len(board.methods)
    difference, real = board.pairs.difference, board.pairs.real
    largest = max(float(np.abs(difference).max()), 1e-9)
    shown = np.where(real, difference, np.nan)
    palette = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.92")
    axes.imshow(shown, cmap=palette, vmin=-largest, vmax=largest, aspect="equal")
    axes.grid(False)
    for row in range(count):
        for column in range(count):
            if row != column:
                value = difference[row, column]
                light = real[row, column] and abs(value) > DARK * largest
                shade = "white" if light else "black" if real[row, column] else "0.45"
                text = f"{100 * value:+.0f}"
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=shade)
