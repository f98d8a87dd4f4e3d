"""Figures that compare systems, as Matplotlib figures."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wrinkle.evaluation.predictions import INTERVAL
from wrinkle.evaluation.scores import Score
from wrinkle.report.sources import System
from wrinkle.report.style import canvas, colour
from wrinkle.runs.reader import History, Run

FURTHEST = 15
"""Years: the end of the curves of cumulative scores."""


def cumulative_scores(systems: Sequence[System]) -> Figure:
    """CS(v) of each system over v, in per cent."""
    figure, axes = canvas(5.2, 3.6)
    years = np.arange(FURTHEST + 1)
    for number, system in enumerate(systems):
        error = np.abs(system.predictions.predicted - system.predictions.actual)
        shares = 100 * (error[:, None] <= years).mean(0)
        axes.plot(years, shares, marker="o", ms=3, color=colour(number), label=system.name)
    axes.set(xlabel="error v, years", ylabel="CS(v), %", xlim=(0, FURTHEST), ylim=(0, 100))
    axes.legend(loc="lower right")
    return figure


def predicted_against_true(systems: Sequence[System]) -> Figure:
    """One panel per system: each face as a dot, the mean at each true age, and the diagonal."""
    columns = min(len(systems), 3)
    rows = -(-len(systems) // columns)
    figure, panels = canvas(2.6 * columns, 2.7 * rows, rows, columns, squeeze=False)
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
        axes.set(xlabel="true age", ylabel="predicted age", title=system.name)
    panels.flat[0].legend(loc="upper left")
    for axes in panels.flat[len(systems) :]:
        axes.remove()
    return figure


def errors_by(scores: Sequence[Sequence[Score]], names: Sequence[str], column: str) -> Figure:
    """MAE and bias of each system by one label, with 95 % intervals and the number of faces.

    Args:
        scores: `wrinkle.evaluation.scores.score` of each system.
    """
    values = present(scores, column)
    figure, (above, below) = canvas(max(5.2, 0.62 * len(values) + 0.6), 4.2, 2, 1, sharex=True)
    for number, (rows, name) in enumerate(zip(scores, names, strict=True)):
        whiskers(above, rows, column, values, number, len(scores), "mae", name)
        whiskers(below, rows, column, values, number, len(scores), "bias", name)
    below.axhline(0, color="grey", lw=1)
    above.set(ylabel="MAE, years")
    above.set_ylim(bottom=0)
    below.set(ylabel="bias, years", xlabel=column)
    faces = {row.value: row.faces for row in scores[0] if row.column == column}
    labels = [f"{value}\n{faces.get(value, 0):,}" for value in values]
    below.set_xticks(range(len(values)), labels)
    above.legend(loc="best")
    return figure


def coverage(scores: Sequence[Sequence[Score]], names: Sequence[str]) -> Figure:
    """Share of ages within each system's 90 % intervals, over all faces and by each label."""
    values = [(row.column, row.value) for rows in scores for row in rows]
    values = sorted(dict.fromkeys(values), key=values.index)
    figure, axes = canvas(max(5.2, 0.3 * len(values) + 1.2), 3.2)
    for number, (rows, name) in enumerate(zip(scores, names, strict=True)):
        found = {(row.column, row.value): row.coverage for row in rows}
        known = [(place, found[v]) for place, v in enumerate(values) if found.get(v)]
        at = np.array([place for place, _ in known]) + shift(number, len(scores))
        shares = 100 * np.array([estimate for _, estimate in known], float).reshape(-1, 3)
        spread = np.abs(shares[:, 1:] - shares[:, :1]).T
        axes.errorbar(at, shares[:, 0], spread, fmt="o", ms=4, color=colour(number), label=name)
    axes.axhline(100 * INTERVAL, color="grey", lw=1, ls="--")
    axes.set(ylabel="ages within the interval, %")
    axes.set_ylim(top=100.5)
    axes.set_xticks(range(len(values)), [v for _, v in values], rotation=45, ha="right")
    axes.legend(loc="lower left")
    return figure


def age_histograms(run: Run) -> Figure:
    """Ages of the training part of the first finished fold, and of all test parts."""
    assert run.store is not None
    ages = run.store.ages
    folds = [fold for fold in map(run.fold, (r.fold for r in run.results)) if fold]
    train, test = ages[folds[0].train], ages[np.concatenate([fold.test for fold in folds])]
    figure, axes = canvas(5.2, 3.0)
    edges = np.arange(0, max(train.max(), test.max()) + 2)
    for part, name, number in ((train, "training", 0), (test, "test", 1)):
        label = f"{name}: {len(part):,} faces, mean {part.mean():.1f}"
        axes.hist(part, edges, histtype="stepfilled", color=colour(number), alpha=0.25)
        axes.hist(part, edges, histtype="step", color=colour(number), label=label)
    axes.set(xlabel="age, years", ylabel="faces", xlim=(0, edges[-1]))
    axes.legend()
    return figure


def training_curves(systems: Sequence[System]) -> Figure:
    """Loss and, where there is a validation part, validation MAE by epoch: folds as thin lines,
    their mean as a thick line."""
    histories = [list(system.run.history.values()) if system.run else [] for system in systems]
    rows = [row for runs in histories for history in runs for row in history]
    labels = {"loss": "loss", "validation_mae": "validation MAE, years"}
    shown = [name for name in labels if any(row[name] is not None for row in rows)]
    figure, panels = canvas(3.6 * len(shown), 3.0, 1, len(shown), squeeze=False)
    for axes, quantity in zip(panels.flat, shown, strict=True):
        for number, system in enumerate(systems):
            curves(axes, histories[number], quantity, colour(number), system.name)
        axes.set(xlabel="epoch", ylabel=labels[quantity])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels.flat[0].legend(loc="upper right")
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
    figure, panels = canvas(3.6 * len(having), 3.4, 1, len(having), squeeze=False)
    for axes, system in zip(panels.flat, having, strict=True):
        assert system.run is not None
        names = list(system.run.results[0].classifiers)
        every = np.array([[r.classifiers[n] for n in names] for r in system.run.results])
        spread = every.std(0, ddof=1) if len(every) > 1 else None
        shades = [colour(1), *[colour(0)] * (len(names) - 1)]
        axes.barh(names, every.mean(0), xerr=spread, color=shades, height=0.7)
        axes.invert_yaxis()
        axes.set(xlabel="MAE, years", title=system.name)
    return figure


def whiskers(
    axes: Axes,
    rows: Sequence[Score],
    column: str,
    values: Sequence[str],
    number: int,
    count: int,
    quantity: str,
    name: str,
) -> None:
    """A dot with its interval for each value of a label that a system has."""
    found = {row.value: getattr(row, quantity) for row in rows if row.column == column}
    at = [place + shift(number, count) for place, v in enumerate(values) if v in found]
    numbers = np.array([found[v] for v in values if v in found], float).reshape(-1, 3)
    spread = np.abs(numbers[:, 1:] - numbers[:, :1]).T
    axes.errorbar(at, numbers[:, 0], spread, fmt="o", ms=4, color=colour(number), label=name)


def present(scores: Sequence[Sequence[Score]], column: str) -> list[str]:
    """The values of a label in any system, ages in ascending order."""
    values = [row.value for rows in scores for row in rows if row.column == column]
    unique = list(dict.fromkeys(values))
    return sorted(unique, key=lambda v: int(v.split("–")[0])) if column == "age" else unique


def shift(number: int, count: int) -> float:
    """Sideways shift of one of `count` dots, so that none hides another."""
    return (number - (count - 1) / 2) * min(0.12, 0.6 / count)
