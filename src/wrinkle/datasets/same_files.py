"""Byte-identical pictures: one of them is kept where their labels agree, none where they differ."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from wrinkle.datasets.rows import Dropped, Row
from wrinkle.files import digest


def find_duplicates(rows: Sequence[Row]) -> tuple[list[Row], list[Dropped]]:
    """Split `rows` into those to keep, in their order, and those dropped.

    Of files with the same bytes and the same age or range the first by name is kept and the others
    are dropped as "duplicate". Where these differ nobody can tell which is right: all are dropped
    as "conflicting duplicate labels". Files that cannot be read are dropped as "unreadable".
    """
    groups, unreadable = _identical(rows)
    dropped = list(unreadable)
    for group in groups:
        group.sort(key=lambda row: row.name)
        first = group[0]
        if len({row.label for row in group}) > 1:
            ages = ", ".join(row.label for row in group)
            dropped += [
                Dropped(row.name, "conflicting duplicate labels", f"same bytes, ages {ages}")
                for row in group
            ]
        else:
            dropped += [
                Dropped(row.name, "duplicate", f"same bytes as {first.name}") for row in group[1:]
            ]
    names = {entry.name for entry in dropped}
    return [row for row in rows if row.name not in names], sorted(dropped)


def _identical(rows: Iterable[Row]) -> tuple[list[list[Row]], list[Dropped]]:
    """Groups of two or more rows with the same bytes, and the rows whose file cannot be read."""
    by_size: dict[int, list[Row]] = defaultdict(list)
    unreadable = []
    for row in rows:
        try:
            by_size[row.path.stat().st_size].append(row)
        except OSError as error:
            unreadable.append(Dropped(row.name, "unreadable", error.strerror or str(error)))
    by_digest: dict[str, list[Row]] = defaultdict(list)
    # A file whose size no other file has is no duplicate and need not be read.
    for row in (row for same in by_size.values() if len(same) > 1 for row in same):
        try:
            by_digest[digest(row.path)].append(row)
        except OSError as error:
            unreadable.append(Dropped(row.name, "unreadable", error.strerror or str(error)))
    return [group for group in by_digest.values() if len(group) > 1], unreadable
