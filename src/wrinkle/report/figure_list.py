"""Which figures a report has, with what is said of each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from matplotlib.figure import Figure

from wrinkle.evaluation.scores import Score
from wrinkle.report import figures
from wrinkle.report.face_figures import feature_map, largest_errors, looks
from wrinkle.report.sources import System


@dataclass(frozen=True)
class Drawing:
    """A figure: its file's name, title and caption, and how it is made; None: there is none.

    shown_as: what the page shows of it; pictures as SVG would weigh megabytes.
    """

    name: str
    title: str
    caption: str
    make: Callable[[], Figure | None]
    shown_as: Literal["svg", "webp"] = "svg"


FACES = ("looks", "largest_errors")
"""Figures of a run that show faces."""
INTERVALS = "Bars: 95 % of 2,000 bootstrap samples, drawn by person where people are known."


def of_all(systems: Sequence[System], scores: Sequence[Sequence[Score]]) -> Iterator[Drawing]:
    """Figures in which all systems stand beside one another.

    scores: of each system, `wrinkle.evaluation.scores.score`.
    """
    systems = [shown(system) for system in systems]
    names = [system.name for system in systems]
    yield Drawing(
        "cumulative_scores",
        "Cumulative scores",
        "CS(v): the share of faces whose age is missed by at most v years.",
        partial(figures.cumulative_scores, systems),
    )
    yield Drawing(
        "predicted_against_true",
        "Predicted against true age",
        "Every dot is a face; black: the mean prediction at each age; dashed: no error.",
        partial(figures.predicted_against_true, systems),
    )
    for column in ("age", "gender", "group"):
        if figures.present(scores, column):
            yield Drawing(
                f"errors_by_{column}",
                f"Errors by {column}",
                f"Below each value the number of {names[0]}'s faces. {INTERVALS}",
                partial(figures.errors_by, scores, names, column),
            )
    having = [k for k, system in enumerate(systems) if system.predictions.interval is not None]
    if having:
        yield Drawing(
            "coverage",
            "Coverage of the intervals",
            "Each interval should hold the age of 90 % of the faces. What it promises, it promises "
            f"over all faces, not for each part of them. {INTERVALS}",
            partial(figures.coverage, [scores[k] for k in having], [names[k] for k in having]),
        )
    if any(system.run for system in systems):
        yield Drawing(
            "training_curves",
            "Training",
            "Thin lines are folds, thick ones their mean. Losses of different kinds are not "
            "comparable.",
            partial(figures.training_curves, [s for s in systems if s.run]),
        )
    if any(system.run and system.run.results[0].classifiers for system in systems):
        yield Drawing(
            "classifiers",
            "Every classifier",
            "Test MAE of each classifier that a network has; the coloured one is its answer. "
            "Bars: deviation over folds.",
            partial(figures.classifiers, systems),
        )


def shown(system: System) -> System:
    """By a name that stands in legends, where Matplotlib leaves out what begins with _."""
    return replace(system, name=f"\u200b{system.name}") if system.name[0] == "_" else system


def of_run(system: System, pictures: bool) -> Iterator[Drawing]:
    """Figures of one run; those that show faces only with `pictures`."""
    run = system.run
    assert run is not None
    if run.store is None:
        return
    slug = system.name.replace("/", "--")
    system = shown(system)
    first = run.results[0].fold
    yield Drawing(
        f"{slug}-ages",
        "Ages",
        f"Ages of the faces that train in fold {first}, and of all that test.",
        partial(figures.age_histograms, run),
    )
    yield Drawing(
        f"{slug}-features",
        "Features",
        f"t-SNE of what the last layer is given of test faces of fold {first}. Small dots, if "
        "any: training faces.",
        partial(feature_map, run),
    )
    if pictures:
        yield Drawing(
            f"{slug}-{FACES[0]}",
            "Where it looks",
            f"Test faces of fold {first}.",
            partial(looks, run),
            shown_as="webp",
        )
        yield Drawing(
            f"{slug}-{FACES[1]}",
            "Largest errors",
            "Test faces of all folds that are done. Labels may be wrong, too.",
            partial(largest_errors, run, system.predictions),
            shown_as="webp",
        )
