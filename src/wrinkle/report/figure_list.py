"""Which figures a report has, with their titles and captions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from matplotlib.figure import Figure

from wrinkle.evaluation.range_scores import RangeScore
from wrinkle.evaluation.scores import COLUMNS, Score
from wrinkle.report import figures
from wrinkle.report.face_figures import attention, feature_maps, largest_errors
from wrinkle.report.sources import System


@dataclass(frozen=True)
class ReportFigure:
    """A figure of a report.

    Attributes:
        name: of its files.
        title, caption: on the page.
        make: draws it; None where there is nothing to draw.
        shown_as: its format on the page. Photographs as SVG would take megabytes.
    """

    name: str
    title: str
    caption: str
    make: Callable[[], Figure | None]
    shown_as: Literal["svg", "webp"] = "svg"


FACES = ("attention", "largest_errors")
"""Figures of a run that show faces."""
INTERVALS = "Lines: 95 % intervals; fewer than five faces have none."


def of_all(
    systems: Sequence[System],
    scores: Sequence[Sequence[Score]],
    range_scores: Sequence[Sequence[RangeScore]],
) -> Iterator[ReportFigure]:
    """Figures that show all systems.

    Args:
        systems: any.
        scores, range_scores: of each, from `wrinkle.evaluation`.
    """
    systems = [with_legend_name(system) for system in systems]
    known = [system.exact() for system, rows in zip(systems, scores, strict=True) if rows]
    if known:
        yield from _of_ages(known, [*filter(None, scores)], _only_known(systems, known))
    ranged = [system.ranged() for system, rows in zip(systems, range_scores, strict=True) if rows]
    if ranged:
        yield from _of_ranges(ranged, [*filter(None, range_scores)])
    if any(system.run for system in systems):
        yield ReportFigure(
            "training_curves",
            "Training curves",
            "Thin lines: folds. Thick lines: their mean. Values of different losses are not "
            "comparable.",
            partial(figures.training_curves, [s for s in systems if s.run]),
        )
    if any(system.run and system.run.results[0].classifiers for system in systems):
        yield ReportFigure(
            "classifiers",
            "All classifiers of a network",
            "Test MAE of each classifier. Orange: the one that gives the network's age. Error "
            "bars: sample standard deviation over folds.",
            partial(figures.classifiers, systems),
        )
    if any(system.run and system.run.store is not None for system in systems):
        yield ReportFigure(
            "features",
            "Features",
            "t-SNE of the input of the final classifier, for test faces of each run's first "
            "finished fold. Small dots, if any: training faces.",
            partial(feature_maps, systems),
        )


def _of_ages(
    systems: Sequence[System], scores: Sequence[Sequence[Score]], only: str
) -> Iterator[ReportFigure]:
    """Figures of faces whose age is known. only: says how many these are, if there are others."""
    names = [system.name for system in systems]
    if len(systems) > 1:
        yield ReportFigure(
            "mean_errors",
            "Mean absolute errors",
            f"MAE over all test faces. Lines: 95 % intervals.{only}",
            partial(figures.mean_errors, systems, scores),
        )
    yield ReportFigure(
        "cumulative_scores",
        "Cumulative scores",
        f"CS(v): the share of faces with an error of at most v years.{only}",
        partial(figures.cumulative_scores, systems),
    )
    yield ReportFigure(
        "predicted_against_true",
        "Predicted and true age",
        f"Each dot is a face. Black: the mean prediction at each true age. Dashed: no error.{only}",
        partial(figures.predicted_against_true, systems),
    )
    for column in _shown(scores):
        yield ReportFigure(
            f"errors_by_{column}",
            f"Errors by {column}",
            f"In brackets: the number of faces of {names[0]}. {INTERVALS}{only}",
            partial(figures.errors_by, scores, names, column),
        )
    having = [k for k, system in enumerate(systems) if system.predictions.interval is not None]
    if having:
        yield ReportFigure(
            "coverage",
            "Coverage of the intervals",
            "The share of faces whose age is within the 90 % interval. Dashed: 90 %. Calibration "
            f"promises 90 % over all faces, not for each group of them. {INTERVALS}{only}",
            partial(figures.coverage, [scores[k] for k in having], [names[k] for k in having]),
        )


def _of_ranges(
    systems: Sequence[System], scores: Sequence[Sequence[RangeScore]]
) -> Iterator[ReportFigure]:
    """Figures of faces of which only a range is known."""
    names = [system.name for system in systems]
    if figures.few_ranges(systems):
        yield ReportFigure(
            "estimates_by_range",
            "Estimates by range",
            "Faces of which only a range is known. Dot: the median estimate. Bar: the middle half "
            "of the estimates. Line: 90 % of them. Grey: the range. In brackets: the number of "
            "faces.",
            partial(figures.estimates_by_range, systems),
        )
    for column in _shown(scores):
        yield ReportFigure(
            f"ranges_by_{column}",
            "In the range, by range" if column == "age" else f"In the range, by {column}",
            "The share of the estimates in the range, and the mean distance to it, of faces of "
            "which only a range is known. In brackets: the number of faces of "
            f"{names[0]}. {INTERVALS}",
            partial(figures.ranges_by, scores, names, column),
        )


def _shown(scores: Sequence[Sequence[Score | RangeScore]]) -> list[str]:
    """The labels that have a figure: those that occur, the store if there are several."""
    found = {column: figures.present(scores, column) for column in COLUMNS}
    return [column for column, values in found.items() if len(values) > (column == "store")]


def _only_known(systems: Sequence[System], known: Sequence[System]) -> str:
    """How many faces have a known age, in words; empty if all have."""
    faces, exact = (sum(len(s.predictions.predicted) for s in each) for each in (systems, known))
    if exact == faces:
        return ""
    return f" Only faces whose age is known: {exact:,} of {faces:,}."


def with_legend_name(system: System) -> System:
    """The system with a name that a legend shows: Matplotlib hides names that start with "_"."""
    return replace(system, name=f"\u200b{system.name}") if system.name[0] == "_" else system


def of_run(system: System, pictures: bool) -> Iterator[ReportFigure]:
    """Figures of one run.

    Args:
        pictures: whether figures that show faces are among them.
    """
    run = system.run
    assert run is not None
    if run.store is None:
        return
    slug = system.name.replace("/", "--")
    system = with_legend_name(system)
    first = run.results[0].fold
    yield ReportFigure(
        f"{slug}-ages",
        "Ages",
        f"Known ages of the training faces of fold {first}, and of the test faces of all finished "
        "folds.",
        partial(figures.age_histograms, run),
    )
    if pictures:
        yield ReportFigure(
            f"{slug}-{FACES[0]}",
            "Regions, attention maps or patches",
            f"Test faces of fold {first}.",
            partial(attention, system),
            shown_as="webp",
        )
        yield ReportFigure(
            f"{slug}-{FACES[1]}",
            "Largest errors",
            "Test faces of all finished folds. Some labels may be wrong.",
            partial(largest_errors, system),
            shown_as="webp",
        )
