"""Runs beside published figures: what `wrinkle table` shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wrinkle.evaluation.published import Published, published
from wrinkle.protocols import Protocol, get_protocol
from wrinkle.runs.reader import Run


@dataclass(frozen=True)
class Table:
    """Runs under one protocol, in the order given, then what is published there, the best first.

    protocol: None where published figures alone are shown. title, about: what is compared; notes:
    what a reader must know of it.
    """

    title: str
    about: str
    protocol: Protocol | None
    runs: list[Run]
    published: list[Published]
    notes: list[str]


def tables(runs: Sequence[Run]) -> list[Table]:
    """A table for each protocol; for each dataset too, where the protocol splits any."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        data = run.data if run.protocol.dataset is None else ""
        groups.setdefault((run.protocol.name, data), []).append(run)
    return [_table(group) for group in groups.values()]


def published_table(rows: list[Published]) -> Table:
    """A table of one of the groups of `published_by_protocol`."""
    names = rows[0].protocols
    title = ", ".join([rows[0].dataset, *names])
    about = "" if names else "no protocol of ours corresponds"
    people = [f"People: {_each((get_protocol(name).people, name) for name in names)}."]
    return Table(title, about, None, [], rows, [*(people if names else []), *_of_published(rows)])


def _table(runs: list[Run]) -> Table:
    protocol = runs[0].protocol
    figures = published(protocol.name)
    title = protocol.name
    if protocol.dataset is None:
        title += f", {Path(runs[0].recipe.data.store).name}"
    about = f"{protocol.description}; {protocol.source}"
    people = f"People: {protocol.people}."
    integrity = _each((r.integrity.removeprefix(people).strip(), r.recipe.name) for r in runs)
    notes = [people, integrity, *_of_runs(runs), *_of_published(figures)]
    return Table(title, about, protocol, runs, figures, notes)


def _of_runs(runs: list[Run]) -> list[str]:
    drawn = _each((run.drawn, run.recipe.name) for run in runs)
    notes = [
        "MAE in years and CS(5) are over all pictures; in brackets their 95 % intervals, by a "
        f"bootstrap over {drawn}."
    ]
    if any(len(run.done) > 1 for run in runs):
        notes.append("±: sample standard deviation over folds.")
    if any(len(run.done) != run.folds for run in runs):
        notes.append("A run that lacks folds compares only with figures of the same folds.")
    if any(run.recipe.data.limit for run in runs):
        notes.append("A reduced run takes part of the data; it compares with no published figure.")
    if len({run.data for run in runs}) > 1:
        notes.append("The runs were made on stores that differ in pictures or labels.")
    return notes


def _of_published(rows: list[Published]) -> list[str]:
    if not rows:
        return []
    notes = _each((row.note, row.method) for row in rows)
    of_what = f": {notes}" if notes else ""
    return [f"Published figures are as printed, not measured here{of_what}."]


def _each(notes: Iterable[tuple[str, str]]) -> str:
    """(what is to be said, of whom): what is said of all once, else with those it is said of."""
    of: dict[str, list[str]] = {}
    for note, whom in notes:
        of.setdefault(note, []).append(whom)
    if len(of) == 1:
        return next(iter(of))
    return "; ".join(f"{note} ({', '.join(whom)})" for note, whom in of.items() if note)
