"""Tables of runs and published figures, for `wrinkle table`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wrinkle.protocols import Protocol, get_protocol
from wrinkle.report.published import Published, published
from wrinkle.report.run_scores import RunScores, score_run
from wrinkle.runs.reader import Run


@dataclass(frozen=True)
class Table:
    """Runs and published figures under one protocol.

    Attributes:
        title, about: what is compared.
        protocol: None in a table of published figures only.
        runs: in the order given; after a run of several stores, its scores on each.
        published: the best first.
        notes: sentences below the table.
    """

    title: str
    about: str
    protocol: Protocol | None
    runs: list[RunScores]
    published: list[Published]
    notes: list[str]


def tables(runs: Sequence[Run]) -> list[Table]:
    """One table per protocol; where the protocol splits any dataset, one per dataset as well."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        data = run.data if run.protocol.dataset is None else ""
        groups.setdefault((run.protocol.name, data), []).append(run)
    return [_table(group) for group in groups.values()]


def published_table(rows: list[Published]) -> Table:
    """A table of one of the groups of `published_by_protocol`."""
    names = rows[0].protocols
    title = ", ".join([rows[0].dataset, *names])
    about = "" if names else "wrinkle has no such protocol"
    people = [f"People: {_each((get_protocol(name).people, name) for name in names)}."]
    return Table(title, about, None, [], rows, [*(people if names else []), *_of_published(rows)])


def _table(runs: list[Run]) -> Table:
    protocol = runs[0].protocol
    figures = published(protocol.name)
    scores = [each for run in runs for each in score_run(run)]
    title = protocol.name
    if protocol.dataset is None:
        title += f", {', '.join(Path(file).name for file in runs[0].recipe.data.files)}"
    about = f"{protocol.description}; {protocol.source}"
    people = f"People: {protocol.people}."
    integrity = _each((r.integrity.removeprefix(people).strip(), r.recipe.name) for r in runs)
    notes = [people, integrity, *_of_runs(scores), *_of_published(figures)]
    return Table(title, about, protocol, scores, figures, notes)


def _of_runs(scores: list[RunScores]) -> list[str]:
    runs = [each.run for each in scores if not each.store]
    drawn = _each((each.drawn, each.run.recipe.name) for each in scores if not each.store)
    pictures = "all pictures"
    ranges = any(each.ranges for each in scores)
    if ranges:
        pictures = "the pictures whose age is known"
    notes = [
        f"MAE (years) and CS(5) are over {pictures}, with 95 % intervals in brackets: Clopper "
        f"and Pearson's for shares, else from a bootstrap over {drawn}."
    ]
    if ranges:
        notes.append(
            "With a range: pictures of which only a range of ages is known. In range: the whole "
            "year nearest to the estimate is in it. ± 1 group: in it or in the next range below or "
            "above. Distance: of the estimate to the range, years."
        )
    if any(each.store for each in scores):
        notes.append("Figures over several datasets depend on how many pictures each has.")
    if any(len(run.results) > 1 for run in runs):
        notes.append("±: sample standard deviation over folds.")
    if any(len(run.results) != run.fold_count for run in runs):
        notes.append("A run with missing folds is comparable only on the same folds.")
    if any(run.recipe.data.limit for run in runs):
        notes.append(
            "A reduced run uses a part of the data; it is not comparable to published figures."
        )
    if len({run.data for run in runs}) > 1:
        notes.append("The runs used stores with different pictures or labels.")
    return notes


def _of_published(rows: list[Published]) -> list[str]:
    if not rows:
        return []
    notes = _each((row.note, row.method) for row in rows)
    of_what = f": {notes}" if notes else ""
    return [f"Published figures are as printed in the papers{of_what}."]


def _each(notes: Iterable[tuple[str, str]]) -> str:
    """Join (note, method) pairs: the note alone if all have the same, else with its methods."""
    methods: dict[str, list[str]] = {}
    for note, method in notes:
        methods.setdefault(note, []).append(method)
    if len(methods) == 1:
        return next(iter(methods))
    return "; ".join(f"{note} ({', '.join(names)})" for note, names in methods.items() if note)
