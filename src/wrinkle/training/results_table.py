"""results.csv and results.md: the finished folds of a run."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wrinkle.files import replace_file
from wrinkle.runs.folder import RESULT_FILE, Result, read_note, read_result

Columns = tuple[tuple[str, str, int, int], ...]
"""Heading, field of `Result`, factor and decimals of each column."""
OF_AGES: tuple[str, Columns] = ("n", (("MAE", "mae", 1, 3), ("CS(5) %", "cs5", 100, 1)))
OF_RANGES: tuple[str, Columns] = (
    "ranges",
    (
        ("in range %", "inside", 100, 1),
        ("± 1 group %", "near", 100, 1),
        ("distance", "distance", 1, 3),
    ),
)
"""For each kind of label, the number of its pictures and its scores."""
RANGE_FIELDS = ("ranges", *(name for _, name, *_ in OF_RANGES[1]))


def write_table(root: Path, names: list[str], writer: str) -> None:
    """Write results.csv and results.md of all finished folds.

    Args:
        root: folder of the run.
        names: of all folds of its protocol.
        writer: as for `wrinkle.files.replace_file`.
    """
    done = [name for name in names if (root / name / RESULT_FILE).exists()]
    results = [read_result(root / name) for name in done]
    fields = [n for n in Result.__dataclass_fields__ if n not in ("classifiers", "stores")]
    if not any(result.ranges for result in results):
        fields = [name for name in fields if name not in RANGE_FIELDS]
    rows = [[getattr(result, name) for name in fields] for result in results]
    replace_file(root / "results.csv", to_csv([fields, *rows]), writer)
    text = format_table(results, len(names)) + format_stores(results) + format_classifiers(results)
    note = read_note(root)
    text += "".join(f"\n{line}\n" for line in (note["integrity"], note.get("labels")) if line)
    replace_file(root / "results.md", text.encode(), writer)
    if done != [name for name in names if (root / name / RESULT_FILE).exists()]:
        write_table(root, names, writer)  # other processes have finished folds meanwhile


def format_table(results: list[Result], folds: int) -> str:
    """Return Markdown tables of scores: each fold, mean ± standard deviation, all pictures.

    One table is of the pictures whose age is known, one of those of which only a range is.

    Args:
        results: of the finished folds.
        folds: number of folds of the protocol.
    """
    tables = [_table(results, folds, *kind) for kind in (OF_AGES, OF_RANGES)]
    return "\n".join(filter(None, tables))


def _table(results: list[Result], folds: int, counted: str, columns: Columns) -> str:
    """The table of one kind of label; empty if no fold has such pictures."""
    results = [result for result in results if getattr(result, counted)]
    if not results:
        return ""
    lines = _head(["fold", counted_as(counted), *(heading for heading, *_ in columns)])
    lines += [_row(r.fold, [(counted, 1, 0), *(c[1:] for c in columns)], vars(r)) for r in results]
    if len(results) > 1:
        n = np.array([getattr(result, counted) for result in results])
        spread, total = [f"{n.mean():.1f}"], [str(n.sum())]
        for _, name, scale, digits in columns:
            values = scale * np.array([getattr(result, name) for result in results])
            spread.append(f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}")
            total.append(f"{values @ (n / n.sum()):.{digits}f}")
        what = f"mean ± deviation of {len(results)} of {folds} folds"
        lines += [f"| {what} | {' | '.join(spread)} |", f"| all pictures | {' | '.join(total)} |"]
    return "\n".join(lines) + "\n"


def format_stores(results: list[Result]) -> str:
    """Return a Markdown table of the scores on each store; empty if the run has one store only.

    Args:
        results: of the finished folds; a run of several stores has one.
    """
    stores = {name: scores for result in results for name, scores in result.stores.items()}
    kinds = [k for k in (OF_AGES, OF_RANGES) if any(scores[k[0]] for scores in stores.values())]
    if not kinds:
        return ""
    columns = [c for counted, of in kinds for c in ((counted_as(counted), counted, 1, 0), *of)]
    lines = ["", *_head(["store", *(heading for heading, *_ in columns)])]
    lines += [_row(name, [c[1:] for c in columns], scores) for name, scores in stores.items()]
    return "\n".join(lines) + "\n"


def counted_as(field: str) -> str:
    """The heading of a number of pictures."""
    return "pictures" if field == "n" else "with a range"


def _head(headings: list[str]) -> list[str]:
    return [f"| {' | '.join(headings)} |", "|---|" + "---:|" * (len(headings) - 1)]


def _row(name: str, fields: Sequence[tuple[str, int, int]], scores: Mapping[str, Any]) -> str:
    cells = [
        "–" if scores.get(field) is None else f"{scale * scores[field]:.{digits}f}"
        for field, scale, digits in fields
    ]
    return f"| {name} | {' | '.join(cells)} |"


def format_classifiers(results: list[Result]) -> str:
    """Return a Markdown table of each classifier's MAE, mean ± standard deviation over folds.

    Args:
        results: of the finished folds.

    Returns:
        The table; empty if the model has one classifier only.
    """
    if not results or not results[0].classifiers:
        return ""
    lines = ["", "| classifier | MAE |", "|---|---:|"]
    for name in results[0].classifiers:
        mae = np.array([result.classifiers[name] for result in results])
        spread = f" ± {mae.std(ddof=1):.3f}" if len(mae) > 1 else ""
        lines.append(f"| {name} | {mae.mean():.3f}{spread} |")
    return "\n".join(lines) + "\n"


def to_csv(rows: Sequence[Sequence[object]]) -> bytes:
    """Return rows as CSV in UTF-8."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
