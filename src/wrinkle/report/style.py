"""Figures in one style, and as files that are the same whenever they are made."""

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Okabe and Ito's, told apart by those who see fewer colours."""
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "text.parse_math": False,
    "svg.hashsalt": "wrinkle",
}
DPI = 150
"""Of what is drawn in pixels within a figure: pictures, and dots by the thousand."""


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def canvas(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """A figure in inches, and its axes, in the report's style."""
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure((width, height), layout="constrained")
        axes = figure.subplots(rows, columns, **options)
    return figure, axes


def saved(figure: Figure, form: str) -> bytes:
    """A figure as a file that is the same whenever it is made."""
    file = io.BytesIO()
    date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    figure.savefig(file, format=form, dpi=DPI, metadata=date)
    return file.getvalue()
