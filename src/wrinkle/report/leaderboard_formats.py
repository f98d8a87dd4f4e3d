"""Leaderboards as Markdown, LaTeX and CSV."""

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from wrinkle.report.leaderboard import Leaderboard
from wrinkle.report.table_formats import figure, latex_part, markdown_part

HEAD = ("method", "seeds", "MAE", "± over seeds", "95 %", "CS(5) %", "minus the best", "source")
COLUMNS = (
    *("protocol", "kind", "method", "seeds", "mae", "deviation", "mae_low", "mae_high", "cs5"),
    *("difference", "difference_low", "difference_high", "paper", "where", "note"),
)
"""Columns of the CSV file; differences are to the best method."""


def markdown(boards: Sequence[Leaderboard]) -> str:
    """A heading, a table and a list of notes for each leaderboard."""
    parts = [
        markdown_part(b.protocol.name, b.protocol.description, *_shown(b), b.notes) for b in boards
    ]
    return "\n\n".join(parts) + "\n"


def latex(boards: Sequence[Leaderboard]) -> str:
    r"""A `table` environment for each, notes in the caption. Needs `\usepackage{booktabs}`."""
    parts = []
    for board in boards:
        about = f"{board.protocol.name}: {board.protocol.description}."
        rule = len(board.methods) if board.published else 0
        parts.append(latex_part(*_shown(board), " ".join([about, *board.notes]), rule))
    return "\n".join(parts)


def to_csv(boards: Sequence[Leaderboard]) -> str:
    """One row per method of all leaderboards, plain numbers: years, and per cent for CS(5)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for board in boards:
        writer.writerows(_records(board))
        for row in board.published:
            known = {name: getattr(row, name) for name in ("method", "mae", "cs5", "paper")}
            about = {"protocol": " ".join(row.protocols), "kind": "published"}
            writer.writerow({**about, **known, "where": row.where, "note": row.note})
    return text.getvalue()


def _shown(board: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Headings and cells."""
    rows = []
    for number, method in enumerate(board.methods):
        ends = figure(method.interval, 3).partition(" ")[2].strip("()")
        gap = "" if number == 0 else _difference(board, number)
        spread = f"{method.mae.std(ddof=1):.3f}" if len(method.mae) > 1 else ""
        numbers = [f"{method.mae.mean():.3f}", spread, ends, f"{method.cs5.mean():.1f}", gap]
        seeds = ", ".join(map(str, sorted(method.seeds)))
        rows.append([cell or "–" for cell in (method.name, seeds, *numbers, "ours")])
    for row in board.published:
        source = f"published: {row.paper}, {row.where}"
        figures = [str(row.mae or "–"), "–", "–", str(row.cs5 or "–"), "–"]
        start = f", from {row.start}" if row.start else ""
        rows.append([f"{row.method}{start}", "–", *figures, source])
    return list(HEAD), rows


def _difference(board: Leaderboard, number: int) -> str:
    pairs = board.pairs
    ends = [pairs.low[number, 0], pairs.high[number, 0]]
    value = f"{pairs.difference[number, 0]:+.3f}"
    return value if math.isnan(ends[0]) else f"{value} ({ends[0]:+.3f} … {ends[1]:+.3f})"


def _records(board: Leaderboard) -> list[dict[str, str]]:
    records = []
    for number, method in enumerate(board.methods):
        pairs = board.pairs
        deviation = method.mae.std(ddof=1) if len(method.mae) > 1 else math.nan
        numbers = {
            "mae": method.mae.mean(),
            "deviation": deviation,
            "mae_low": method.interval.low,
            "mae_high": method.interval.high,
            "cs5": method.cs5.mean(),
            "difference": pairs.difference[number, 0],
            "difference_low": pairs.low[number, 0],
            "difference_high": pairs.high[number, 0],
        }
        seeds = " ".join(map(str, sorted(method.seeds)))
        about = {"protocol": board.protocol.name, "kind": "ours", "method": method.name}
        shown = {k: "" if np.isnan(v) else f"{v:.4f}" for k, v in numbers.items()}
        records.append({**about, "seeds": seeds, **shown})
    return records
