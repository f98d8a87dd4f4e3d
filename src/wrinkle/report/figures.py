"""Figures that compare systems, as Matplotlib figures."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wrinkle.evaluation.predictions import INTERVAL
from wrinkle.evaluation.range_scores import RangeScore
from wrinkle.evaluation.scores import MOST_RANGES, Score
from wrinkle.evaluation.uncertainty import Estimate
from wrinkle.report.sources import System
from wrinkle.report.style import LEGEND_LINE, WIDTH, canvas, colour, legend, wrapped
from wrinkle.runs.reader import History, Run

FURTHEST = 15
"""Years: the end of the curves of cumulative scores."""


def cumulative_scores(systems: Sequence[System]) -> Figure:
    """CS(v) of each system over v, in per cent."""
    figure, axes = canvas(WIDTH, 3.3)
    years = np.arange(FURTHEST + 1)
    for number, system in enumerate(systems):
        error = np.abs(system.predictions.predicted - system.predictions.actual)
        shares = 100 * (error[:, None] <= years).mean(0)
        axes.plot(years, shares, marker="o", ms=3, color=colour(number), label=system.name)
    axes.set(xlabel="error v, years", ylabel="CS(v), %", xlim=(0, FURTHEST), ylim=(0, 100))
    legend(figure, axes)
    return figure


def mean_errors(systems: Sequence[System], scores: Sequence[Sequence[Score]]) -> Figure:
    """MAE of each system over all faces of known age, as bars with 95 % intervals.

    Args:
        scores: `wrinkle.evaluation.scores.score` of each system.
    """
    figure, axes = canvas(WIDTH, 3.0)
    for number, (system, rows) in enumerate(zip(systems, scores, strict=True)):
        value, low, high = rows[0].mae
        bar = axes.bar(number, value, 0.7, color=colour(number), label=system.name)
        axes.bar_label(bar, [f"{value:.2f}"], label_type="center", color="white")
        axes.errorbar(number, value, [[value - low], [high - value]], color="black", capsize=3)
    axes.set(ylabel="MAE, years", xticks=[])
    legend(figure, axes)
    return figure


def predicted_against_true(systems: Sequence[System]) -> Figure:
    """One panel per system: each face as a dot, the mean at each true age, and the diagonal."""
    columns = min(len(systems), 2)
    rows = -(-len(systems) // columns)
    height = (2.5 if columns == 2 else 4.2) * rows + 0.3
    figure, panels = canvas(WIDTH, height, rows, columns, squeeze=False)
    oldest = max(float(s.predictions.actual.max()) for s in systems) + 2
    for number, (axes, system) in enumerate(zip(panels.flat, systems, strict=False)):
        actual, predicted = system.predictions.actual, system.predictions.predicted
        light = min(0.6, max(0.1, 400 / len(actual)))
        axes.scatter(
            actual, predicted, s=5, lw=0, alpha=light, color=colour(number), rasterized=True
        )
        ages, code = np.unique(np.floor(actual), return_inverse=True)
        means = np.bincount(code, predicted) / np.bincount(code)
        axes.plot(ages, means, color="black", lw=1, label="mean")
        axes.plot([0, oldest], [0, oldest], color="grey", lw=1, ls="--", label="no error")
        axes.set(xlim=(0, oldest), ylim=(0, oldest), aspect="equal")
        axes.set(xlabel="true age", ylabel="predicted age")
        axes.set_title(wrapped(system.name, LEGEND_LINE // 2))
    legend(figure, panels.flat[0])
    for axes in panels.flat[len(systems) :]:
        axes.remove()
    return figure


def estimates_by_range(systems: Sequence[System]) -> Figure:
    """One panel per system, for faces of which only a range is known: for each range the median
    estimate, the middle half and 90 % of the estimates, and the range itself in grey."""
    spans = [system.predictions.ranges for system in systems]
    ranges = np.unique(np.concatenate(spans), axis=0)
    height = (0.24 * len(ranges) + 0.6) * len(systems) + 0.5
    figure, panels = canvas(WIDTH, height, len(systems), 1, squeeze=False, sharex=True)
    for number, (axes, system, own) in enumerate(zip(panels.flat, systems, spans, strict=True)):
        labels = []
        for place, (low, high) in enumerate(ranges):
            found = system.predictions.predicted[(own == (low, high)).all(1)]
            labels.append(f"{low:g}–{high:g} ({len(found):,})")
            axes.barh(place, high - low + 1, 0.9, low - 0.5, color="lightgrey")
            if len(found):
                ends = np.quantile(found, [0.05, 0.25, 0.5, 0.75, 0.95])
                axes.plot(ends[[0, 4]], [place, place], color=colour(number), lw=1)
                axes.plot(ends[[1, 3]], [place, place], color=colour(number), lw=5, alpha=0.5)
                axes.plot(ends[2], place, "o", ms=4, color=colour(number))
        axes.set_yticks(range(len(ranges)), labels)
        axes.set_title(wrapped(system.name, LEGEND_LINE))
        axes.invert_yaxis()
        axes.set(xlabel="predicted age", ylabel="range")
        axes.set_xlim(left=min(0, axes.get_xlim()[0]))
    return figure


def few_ranges(systems: Sequence[System]) -> bool:
    """Whether there are few enough different ranges to draw each of them."""
    ranges = np.concatenate([system.predictions.ranges for system in systems])
    return len(np.unique(ranges, axis=0)) <= MOST_RANGES


def ranges_by(scores: Sequence[Sequence[RangeScore]], names: Sequence[str], column: str) -> Figure:
    """Share in the range and distance to it of each system by one label, with 95 % intervals.

    Args:
        scores: `wrinkle.evaluation.range_scores.score_ranges` of each system.
    """
    values = present(scores, column)
    labels = [(column, value) for value in values]
    height = row_height(len(values), len(scores))
    figure, (left, right) = canvas(WIDTH, height, 1, 2, sharey=True)
    for number, (rows, name) in enumerate(zip(scores, names, strict=True)):
        shares = {(row.column, row.value): hundredfold(row.inside) for row in rows}
        whiskers(left, shares, labels, number, len(scores), name)
        found = {(row.column, row.value): row.distance for row in rows}
        whiskers(right, found, labels, number, len(scores), name)
    left.set(xlabel="in the range, %", ylabel="range" if column == "age" else column)
    left.set_xlim(0, 100)
    right.set(xlabel="distance, years")
    right.set_xlim(left=0)
    number_rows(left, scores[0], values, column)
    legend(figure, left)
    return figure


def errors_by(scores: Sequence[Sequence[Score]], names: Sequence[str], column: str) -> Figure:
    """MAE and bias of each system by one label, with 95 % intervals and the number of faces.

    Args:
        scores: `wrinkle.evaluation.scores.score` of each system.
    """
    values = present(scores, column)
    labels = [(column, value) for value in values]
    height = row_height(len(values), len(scores))
    figure, (left, right) = canvas(WIDTH, height, 1, 2, sharey=True)
    for number, (rows, name) in enumerate(zip(scores, names, strict=True)):
        for axes, quantity in ((left, "mae"), (right, "bias")):
            found = {(row.column, row.value): getattr(row, quantity) for row in rows}
            whiskers(axes, found, labels, number, len(scores), name)
    right.axvline(0, color="grey", lw=1)
    left.set(xlabel="MAE, years", ylabel=column)
    left.set_xlim(left=0)
    right.set(xlabel="bias, years")
    number_rows(left, scores[0], values, column)
    legend(figure, left)
    return figure


def coverage(scores: Sequence[Sequence[Score]], names: Sequence[str]) -> Figure:
    """Share of ages within each system's 90 % intervals, over all faces and by each label."""
    values = [(row.column, row.value) for rows in scores for row in rows]
    values = sorted(dict.fromkeys(values), key=values.index)
    figure, axes = canvas(WIDTH, row_height(len(values), len(scores)))
    for number, (rows, name) in enumerate(zip(scores, names, strict=True)):
        found = {(row.column, row.value): hundredfold(row.coverage) for row in rows if row.coverage}
        whiskers(axes, found, values, number, len(scores), name)
    axes.axvline(100 * INTERVAL, color="grey", lw=1, ls="--")
    axes.set(xlabel="ages within the interval, %")
    axes.set_xlim(right=102)
    axes.set_yticks(range(len(values)), [v for _, v in values])
    axes.invert_yaxis()
    legend(figure, axes)
    return figure


def age_histograms(run: Run) -> Figure | None:
    """Known ages of the training part of the first finished fold, and of all test parts."""
    assert run.store is not None
    ages, exact = run.store.ages, run.store.exact
    folds = [fold for fold in map(run.fold, (r.fold for r in run.results)) if fold]
    rows = folds[0].train, np.concatenate([fold.test for fold in folds])
    train, test = (ages[part[exact[part]]] for part in rows)
    parts = [p for p in ((train, "training", 0), (test, "test", 1)) if len(p[0])]
    if not parts:
        return None
    figure, axes = canvas(WIDTH, 3.0)
    edges = np.arange(0, max(part.max() for part, *_ in parts) + 2)
    for part, name, number in parts:
        label = f"{name}: {len(part):,} faces, mean {part.mean():.1f}"
        axes.hist(part, edges, histtype="stepfilled", color=colour(number), alpha=0.25)
        axes.hist(part, edges, histtype="step", color=colour(number), label=label)
    axes.set(xlabel="age, years", ylabel="faces", xlim=(0, edges[-1]))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, axes)
    return figure


def training_curves(systems: Sequence[System]) -> Figure:
    """Loss and, where there is a validation part, validation MAE by epoch: folds as thin lines,
    their mean as a thick line."""
    histories = [list(system.run.history.values()) if system.run else [] for system in systems]
    rows = [row for runs in histories for history in runs for row in history]
    labels = {"loss": "loss", "validation_mae": "validation MAE, years"}
    shown = [name for name in labels if any(row[name] is not None for row in rows)]
    figure, panels = canvas(WIDTH, 2.4 * len(shown) + 0.4, len(shown), 1, squeeze=False)
    for axes, quantity in zip(panels.flat, shown, strict=True):
        for number, system in enumerate(systems):
            curves(axes, histories[number], quantity, colour(number), system.name)
        axes.set(xlabel="epoch", ylabel=labels[quantity])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, panels.flat[0])
    return figure


def curves(
    axes: Axes,
    histories: Sequence[History],
    quantity: str,
    shade: str,
    name: str,
) -> None:
    points: dict[float, list[float]] = {}
    for history in histories:
        known = [
            (float(row["epoch"] or 0), float(value))
            for row in history
            if (value := row[quantity]) is not None
        ]
        for epoch, value in known:
            points.setdefault(epoch, []).append(value)
        if len(histories) > 1 and known:
            axes.plot(*np.transpose(known), color=shade, lw=0.5, alpha=0.3)
    epochs = sorted(points)
    means = [np.mean(points[epoch]) for epoch in epochs]
    axes.plot(epochs, means, color=shade, marker="o", ms=2.5, label=name)


def classifiers(systems: Sequence[System]) -> Figure:
    """MAE of each classifier of the networks that have several, with the deviation over folds."""
    having = [s for s in systems if s.run and s.run.results[0].classifiers]
    count = sum(len(s.run.results[0].classifiers) for s in having if s.run)
    figure, panels = canvas(WIDTH, 0.24 * count + 0.9 * len(having), len(having), 1, squeeze=False)
    for axes, system in zip(panels.flat, having, strict=True):
        assert system.run is not None
        names = list(system.run.results[0].classifiers)
        every = np.array([[r.classifiers[n] for n in names] for r in system.run.results])
        spread = every.std(0, ddof=1) if len(every) > 1 else None
        shades = [colour(1), *[colour(0)] * (len(names) - 1)]
        bars = axes.barh(names, every.mean(0), xerr=spread, color=shades, height=0.7)
        values = [f"{value:.2f}" for value in every.mean(0)]
        axes.bar_label(bars, values, label_type="center", color="white")
        axes.invert_yaxis()
        axes.set(xlabel="MAE, years", title=wrapped(system.name, LEGEND_LINE))
    return figure


def number_rows(
    axes: Axes, rows: Sequence[Score | RangeScore], values: Sequence[str], column: str
) -> None:
    """Label the rows of a figure with the values of a column and their numbers of faces."""
    faces = {row.value: row.faces for row in rows if row.column == column}
    axes.set_yticks(range(len(values)), [f"{v} ({faces.get(v, 0):,})" for v in values])
    axes.invert_yaxis()


def hundredfold(share: Estimate) -> Estimate:
    """A share in per cent."""
    return Estimate(*(100 * each for each in share))


def whiskers(
    axes: Axes,
    found: Mapping[tuple[str, str], Estimate],
    labels: Sequence[tuple[str, str]],
    number: int,
    count: int,
    name: str,
) -> None:
    """A row for each label: a dot, and its interval if it has one, of a system that has both."""
    at = [place + shift(number, count) for place, label in enumerate(labels) if label in found]
    numbers = np.array([found[label] for label in labels if label in found], float).reshape(-1, 3)
    spread = np.abs(numbers[:, 1:] - numbers[:, :1]).T
    shade = colour(number)
    axes.errorbar(numbers[:, 0], at, xerr=spread, fmt="o", ms=4, color=shade, label=name)


def row_height(rows: int, systems: int) -> float:
    """Inches of a figure with a row for each label, and in it a dot for each system."""
    return rows * (0.22 + 0.08 * systems) + 0.25 * systems + 0.8


def present(scores: Sequence[Sequence[Score | RangeScore]], column: str) -> list[str]:
    """The values of a label in any system, ages in ascending order."""
    values = [row.value for rows in scores for row in rows if row.column == column]
    unique = list(dict.fromkeys(values))
    return sorted(unique, key=lambda v: int(v.split("–")[0])) if column == "age" else unique


def shift(number: int, count: int) -> float:
    """Shift of one of `count` dots of a row, so that none hides another."""
    return (number - (count - 1) / 2) * min(0.24, 0.7 / count)
