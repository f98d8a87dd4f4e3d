"""What every stage has come to: how many came, were kept, were dropped and why."""

from collections.abc import Iterator
from dataclasses import dataclass

import daft
from daft import col

from wrinkle.curation.workspace import Workspace

WAITING = ("unanswered", "asked again")
"""What the table of people's answers says of faces that are not done."""


@dataclass(frozen=True)
class Counts:
    """Of one stage; what came was kept, was dropped for a reason, or still waits."""

    stage: str
    what: str
    kept: int
    dropped: dict[str, int]
    waiting: int = 0

    @property
    def came(self) -> int:
        return self.kept + sum(self.dropped.values()) + self.waiting


def counts(workspace: Workspace) -> Iterator[Counts]:
    """Of the stages that have begun, in their order."""
    left = None
    for count in (_found, _collect, _faces, _deduplicate, _coarse_label, _refine, _split):
        row = count(workspace, left)
        if row is not None:
            yield row
            left = row.kept


def table(workspace: Workspace) -> str:
    """The same for people."""
    lines = [f"{'stage':<13}{'came':>11}{'kept':>11}{'dropped':>11}{'waiting':>11}"]
    for row in counts(workspace):
        dropped = sum(row.dropped.values())
        lines.append(
            f"{row.stage:<13}{row.came:>11,}{row.kept:>11,}{dropped:>11,}{row.waiting:>11,}"
            f"  {row.what}"
        )
        for reason, count in sorted(row.dropped.items(), key=lambda each: (-each[1], each[0])):
            lines.append(f"{count:>46,}{'':13}{reason}")
    if len(lines) == 1:
        return f"nothing yet in {workspace.root}: `wrinkle curate run CONFIG` begins"
    return "\n".join(lines)


def _found(workspace: Workspace, left: int | None) -> Counts | None:
    frame = workspace.frame("found")
    if frame is None:
        return None
    named, dropped = _reasons(frame)
    kept = _distinct(frame, "address")
    return Counts("found", "URLs", kept, dropped | _some("same URL", named - kept))


def _collect(workspace: Workspace, left: int | None) -> Counts | None:
    frame = workspace.frame("collect")
    if frame is None:
        return None if not left else Counts("collect", "pictures", 0, {}, left)
    fetched, dropped = _reasons(frame)
    kept = _distinct(frame, "picture")
    waiting = (left or 0) - fetched - sum(dropped.values())
    return Counts(
        "collect", "pictures", kept, dropped | _some("same bytes", fetched - kept), waiting
    )


def _faces(workspace: Workspace, left: int | None) -> Counts | None:
    frame = workspace.frame("faces")
    if frame is None:
        return None
    kept, dropped = _reasons(frame)
    waiting = (left or 0) - _distinct(frame, "picture")
    return Counts("faces", "faces, and pictures without", kept, dropped, waiting)


def _deduplicate(workspace: Workspace, left: int | None) -> Counts | None:
    return _of_faces(workspace, "deduplicate", left)


def _coarse_label(workspace: Workspace, left: int | None) -> Counts | None:
    return _of_faces(workspace, "coarse_label", left)


def _refine(workspace: Workspace, left: int | None) -> Counts | None:
    row = _of_faces(workspace, "refine", left)
    if row is None:
        return None
    dropped = dict(row.dropped)
    waiting = sum(dropped.pop(reason, 0) for reason in WAITING)
    return Counts(row.stage, row.what, row.kept, dropped, row.waiting + waiting)


def _of_faces(workspace: Workspace, stage: str, left: int | None) -> Counts | None:
    frame = workspace.frame(stage)
    if frame is None:
        return None
    kept, dropped = _reasons(frame)
    return Counts(stage, "faces", kept, dropped, (left or 0) - kept - sum(dropped.values()))


def _split(workspace: Workspace, left: int | None) -> Counts | None:
    parts = workspace.table("split", "part")["part"].value_counts().to_pylist()
    if not parts:
        return None
    said = ", ".join(f"{each['counts']:,} {each['values']}" for each in parts)
    kept = sum(each["counts"] for each in parts)
    return Counts("split", f"faces: {said}", kept, {}, (left or 0) - kept)


def _reasons(frame: daft.DataFrame) -> tuple[int, dict[str, int]]:
    """How many rows are kept, and how many are not, by reason."""
    every = frame.select(col("dropped").split(" of ").get(0).alias("dropped"))
    rows = every.groupby("dropped").agg(col("dropped").count("all").alias("rows")).to_pydict()
    found = dict(zip(rows["dropped"], rows["rows"], strict=True))
    return found.pop(None, 0), found


def _distinct(frame: daft.DataFrame, column: str) -> int:
    return frame.where(col(column).not_null()).select(column).distinct().count_rows()


def _some(reason: str, count: int) -> dict[str, int]:
    return {reason: count} if count else {}
