"""The counts of every stage: how many items came, were kept, were dropped and why."""

from collections.abc import Iterator
from dataclasses import dataclass

import daft
from daft import col

from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

WAITING = ("unanswered", "asked again")
"""Reasons in table refine of faces that may still get people's ages."""
KEPT = {
    "collect": "pictures",
    "faces": "faces, and pictures without",
    "deduplicate": "faces",
    "coarse_label": "faces",
    "refine": "faces",
    "split": "faces",
}
"""The tables after `found`, and what they keep."""


@dataclass(frozen=True)
class Counts:
    """The counts of one stage: what came was kept, was dropped for a reason, or still waits.

    Attributes:
        what: the kind of items.
        dropped: reason → how many.
    """

    stage: str
    what: str
    kept: int
    dropped: dict[str, int]
    waiting: int = 0

    @property
    def came(self) -> int:
        return self.kept + sum(self.dropped.values()) + self.waiting


def counts(workspace: Workspace, refined: bool = True) -> Iterator[Counts]:
    """The counts of the stages that have begun, in their order.

    Rows about items that the stage before no longer has do not count.

    Args:
        refined: whether people are asked; otherwise their earlier answers do not count.
    """
    found = workspace.frame("found")
    if found is None:
        return
    named, dropped = _reasons(found)
    came = _distinct(found, "address")
    yield Counts("found", "URLs", came.count_rows(), dropped | _more("same URL", named, came))
    for stage in KEPT:
        if workspace.parts(stage) and (refined or stage != "refine"):
            row, came = _stage(workspace, stage, came)
            yield row
        elif stage == "collect":
            yield Counts(stage, KEPT[stage], 0, {}, came.count_rows())
            return
        elif stage != "refine":
            return


def table(workspace: Workspace, refined: bool = True) -> str:
    """The same as text.

    Raises:
        WrinkleError: a run is changing the tables.
    """
    lines = [f"{'stage':<13}{'came':>11}{'kept':>11}{'dropped':>11}{'waiting':>11}"]
    try:
        rows = list(counts(workspace, refined))
    except FileNotFoundError:
        raise WrinkleError(f"tables of {workspace.root} are being changed: ask again") from None
    for row in rows:
        dropped = sum(row.dropped.values())
        lines.append(
            f"{row.stage:<13}{row.came:>11,}{row.kept:>11,}{dropped:>11,}{row.waiting:>11,}"
            f"  {row.what}"
        )
        for reason, count in sorted(row.dropped.items(), key=lambda each: (-each[1], each[0])):
            lines.append(f"{count:>46,}{'':13}{reason}")
    if len(lines) == 1:
        return f"nothing yet in {workspace.root}: start with `wrinkle curate run CONFIG`"
    return "\n".join(lines)


def _stage(workspace: Workspace, stage: str, came: daft.DataFrame) -> tuple[Counts, daft.DataFrame]:
    """A stage's counts, and the items for the next one; `came` has one column, the stage's key."""
    frame = workspace.frame(stage)
    assert frame is not None
    (key,) = came.column_names
    rows = frame.join(came, on=key, how="semi")
    waiting = came.count_rows() - _distinct(rows, key).count_rows()
    what, dropped = KEPT[stage], dict[str, int]()
    if stage == "split":
        kept = rows.count_rows()
        what += f": {_parts(rows)}"
    else:
        kept, dropped = _reasons(rows)
        rows = rows.where(col("dropped").is_null())
    came = _distinct(rows, "picture" if stage == "collect" else "face")
    if stage == "collect":
        dropped |= _more("same bytes", kept, came)
        kept = came.count_rows()
    waiting += sum(dropped.pop(reason, 0) for reason in WAITING)
    return Counts(stage, what, kept, dropped, waiting), came


def _parts(rows: daft.DataFrame) -> str:
    parts = rows.groupby("part").agg(col("face").count().alias("faces")).sort("part", desc=True)
    return ", ".join(f"{row['faces']:,} {row['part']}" for row in parts.to_pylist())


def _reasons(frame: daft.DataFrame) -> tuple[int, dict[str, int]]:
    """How many rows are kept, and how many are not, by reason."""
    every = frame.select(col("dropped").split(" of ").get(0).alias("dropped"))
    rows = every.groupby("dropped").agg(col("dropped").count("all").alias("rows")).to_pydict()
    found = dict(zip(rows["dropped"], rows["rows"], strict=True))
    return found.pop(None, 0), found


def _distinct(frame: daft.DataFrame, column: str) -> daft.DataFrame:
    return frame.where(col(column).not_null()).select(column).distinct().collect()


def _more(reason: str, named: int, distinct: daft.DataFrame) -> dict[str, int]:
    """How many of the items are duplicates, under this reason."""
    duplicates = named - distinct.count_rows()
    return {reason: duplicates} if duplicates else {}
