"""The report: one HTML file of tables and figures that needs no network and no other file."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from wrinkle import __version__
from wrinkle.console import progress
from wrinkle.datasets import DATASETS
from wrinkle.datasets.rows import distance_to_range
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.metrics import epsilon_error
from wrinkle.evaluation.predictions import Predictions, in_common
from wrinkle.evaluation.range_scores import score_ranges
from wrinkle.evaluation.scores import Score, clusters, score
from wrinkle.evaluation.uncertainty import Comparison, Estimate, compare_errors
from wrinkle.files import replace_file
from wrinkle.models import AgeModel
from wrinkle.models.cost import costs
from wrinkle.report.figure_list import FACES, ReportFigure, of_all, of_run
from wrinkle.report.sources import System
from wrinkle.report.style import STYLE, saved
from wrinkle.runs.folder import today
from wrinkle.runs.reader import History, Run, start

PAGE = "report.html"
BROAD = 5.6
"""Inches: wider figures scroll sideways on a phone instead of shrinking."""


def write_report(
    systems: Sequence[System], folder: Path, command: str, pictures: bool = True
) -> Path:
    """Write `folder`/report.html, and its figures as `folder`/figures/NAME.svg and .pdf.

    An earlier report in the folder is replaced.

    Args:
        systems: the others are compared with the first one.
        command: that makes the report again.
        pictures: whether faces are shown.

    Returns:
        The path of the page.

    Raises:
        WrinkleError: two systems have the same name, or the folder cannot be written.
    """
    names = [system.name for system in systems]
    for name in names:
        if names.count(name) > 1:
            raise WrinkleError(f"two systems are called {name}: give one of them another name")
    scores = [
        (system, score(system.predictions), score_ranges(system.predictions))
        for system in progress(systems, "scores", "system")
    ]
    shared = list(of_all(systems, [ages for _, ages, _ in scores], [r for *_, r in scores]))
    own = {system.name: list(of_run(system, pictures)) for system in systems if system.run}
    clear(folder)
    drawn = draw([*shared, *(figure for each in own.values() for figure in each)], folder)
    content = {
        "version": __version__,
        "date": today(),
        "command": command,
        "summary": [summary(system, rows) for system, rows, _ in scores if rows],
        "ranges": [(system.name, rows[0]) for system, _, rows in scores if rows],
        "compared": [compared(systems), compared(systems, ranges=True)],
        "figures": [drawn[each.name] for each in shared if each.name in drawn],
        "names": names,
        "integrity": [(system.name, system.run) for system in systems if system.run],
        "scores": [(system.name, rows) for system, rows, _ in scores if rows],
        "range_scores": [(system.name, rows) for system, _, rows in scores if rows],
        "runs": [
            about(system, system.run, system.model)
            | {"figures": [drawn[each.name] for each in own[system.name] if each.name in drawn]}
            for system in systems
            if system.run and system.model
        ],
    }
    replace_file(folder / PAGE, render(content).encode())
    return folder / PAGE


def render(content: dict[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("wrinkle.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"years": years, "signed": signed, "percent": percent}
    return environment.get_template("page.html").render(content)


def clear(folder: Path) -> None:
    """Remove an earlier report's page and its pictures of faces, which this one may not show."""
    (folder / PAGE).unlink(missing_ok=True)
    for name in (*FACES, "looks"):  # the name of "attention" in earlier versions
        for file in (folder / "figures").glob(f"*-{name}.*"):
            file.unlink()


def draw(figures: Iterable[ReportFigure], folder: Path) -> dict[str, dict[str, Any]]:
    """Draw and write every figure; name → title, caption and the picture as a data URL."""
    drawn = {}
    for each in progress(list(figures), "figures", "figure"):
        with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
            figure = each.make()
            if figure is None:
                continue
            forms = {form: saved(figure, form) for form in {"svg", "pdf", each.shown_as}}
        for form in ("svg", "pdf"):
            replace_file(folder / "figures" / f"{each.name}.{form}", forms[form])
        kind = {"svg": "svg+xml", "webp": "webp"}[each.shown_as]
        shown = base64.b64encode(forms[each.shown_as]).decode()
        drawn[each.name] = {
            "name": each.name,
            "title": each.title,
            "caption": each.caption,
            "address": f"data:image/{kind};base64,{shown}",
            "width": f"{figure.get_figwidth():.1f}",
            "broad": figure.get_figwidth() > BROAD,
        }
    return drawn


def summary(system: System, scores: Sequence[Score]) -> dict[str, Any]:
    """The system's row in the first table. scores: of its faces of known age, at least one."""
    run = system.run
    found: dict[str, Any] = {"name": system.name, "row": scores[0], "run": run, "epsilon": None}
    exact = system.predictions.exact()
    deviation = exact.rows["age_deviation"].to_numpy().astype(float)
    known = deviation > 0  # NaN: there is none
    if known.any():
        predicted, actual = exact.predicted, exact.actual
        found["epsilon"] = epsilon_error(predicted[known], actual[known], deviation[known])
    if run is not None:
        mae = [result.mae for result in run.results if result.mae is not None]
        found["folds"] = len(mae)
        found["of"] = run.fold_count
        found["mean"] = float(np.mean(mae))
        found["deviation"] = float(np.std(mae, ddof=1)) if len(mae) > 1 else None
    return found


def compared(systems: Sequence[System], ranges: bool = False) -> dict[str, Any]:
    """Every other system compared with the first, on the faces that both have.

    Args:
        systems: the first and others.
        ranges: whether on faces of which only a range is known, by the distance to it.
    """
    first = systems[0]
    rows: list[tuple[str, int, Comparison | None]] = []
    for system in systems[1:]:
        try:
            shared = in_common([system.predictions, first.predictions])
        except WrinkleError:
            rows.append((system.name, 0, None))
            continue
        theirs, ours = ((s.ranged() if ranges else s.exact()) for s in shared)
        found = None
        if len(theirs.predicted):
            found = compare_errors(_errors(theirs), _errors(ours), clusters(theirs))
        rows.append((system.name, len(theirs.predicted), found))
    return {"first": first.name, "rows": rows, "ranges": ranges}


def _errors(predictions: Predictions) -> np.ndarray:
    """Absolute errors, or distances to the range where no age is known; years."""
    actual = predictions.actual
    outside = distance_to_range(predictions.predicted, predictions.ranges)
    errors: np.ndarray = np.where(np.isnan(actual), outside, np.abs(predictions.predicted - actual))
    return errors


def about(system: System, run: Run, model: AgeModel) -> dict[str, Any]:
    """A run's network and its cost, its data and their terms, its training time and command.

    The sizes are those of the run's store; the dataset's description has the published ones.
    """
    provenance = system.header["provenance"]
    datasets = [name for name in str(provenance["data"]).split(" + ") if name in DATASETS.names()]
    return {
        "name": system.name,
        "run": run,
        "costs": costs(model),
        "model": system.header["model"]["name"],
        "input": system.header["input"]["size"],
        "datasets": [DATASETS.get(name) for name in dict.fromkeys(datasets)],
        "data": provenance["data"],
        "pictures": provenance["pictures"],
        "start": start(run.recipe),
        "device": provenance["device"],
        "held": None if run.store is None else held(run.store),
        "tested": len(run.predictions.predicted),
        "time": duration(sum(map(seconds, run.history.values(), pictures_of(run)))),
        "recipe": run.recipe.to_yaml(),
    }


def held(store: Store) -> str:
    """The content of a store in words: numbers of pictures and people, range of ages."""
    columns = [store.columns[name].to_pylist() for name in ("source", "person")]
    people = len({(source, person) for source, person in zip(*columns, strict=True) if person})
    ages, (low, high) = store.ages, store.ranges.T
    youngest, oldest = (
        np.where(store.exact, ages, low).min(),
        np.where(store.exact, ages, high).max(),
    )
    found = plural(len(ages), "picture", "pictures")
    if people:
        found += f" of {plural(people, 'person', 'people')}"
    found += f", ages {youngest:.0f}–{oldest:.0f}"
    ranges = int((~store.exact).sum())
    return f"{found}; of {plural(ranges, 'picture', 'pictures')} only a range" if ranges else found


def plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def duration(seconds: float) -> str:
    """A time in words; empty for 0, which means unknown."""
    for unit, length in (("hours", 3600), ("minutes", 60), ("seconds", 1)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.{int(unit == 'hours')}f} {unit}"
    return "1 second" if seconds else ""


def pictures_of(run: Run) -> Iterator[int]:
    """Number of training pictures of each finished fold; 0 where the store is missing."""
    for result in run.results:
        fold = run.fold(result.fold)
        yield len(fold.train) if fold else 0


def seconds(history: History, pictures: int) -> float:
    """Training time of a fold, from the speed of each of its epochs."""
    return sum(pictures / (row["images_per_second"] or np.inf) for row in history)


def years(estimate: Estimate) -> Markup:
    return with_interval(f"{estimate.value:.2f}", f"{estimate.low:.2f} – {estimate.high:.2f}")


def signed(estimate: Estimate) -> Markup:
    """A figure that may be above or below 0, with its sign."""
    value, low, high = (f"{number:+.2f}".replace("-", "−") for number in estimate)
    return with_interval(value, f"{low} … {high}")


def percent(estimate: Estimate | None) -> Markup:
    if estimate is None:
        return Markup()
    value, low, high = (f"{100 * share:.1f}" for share in estimate)
    return with_interval(value, f"{low} – {high}")


def with_interval(value: str, interval: str) -> Markup:
    shown = "–" if "nan" in interval else interval
    return Markup("<span>{}</span><br><small>{}</small>").format(value, shown)
