"""The style of figures, and figures as files that do not depend on the date."""

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Okabe and Ito's palette, for all kinds of colour vision."""
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
"""Of parts of a figure that are drawn as pixels: photographs, and thousands of dots."""


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def canvas(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """A figure of a size in inches, and its axes, in the style of the report."""
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure((width, height), layout="constrained")
        axes = figure.subplots(rows, columns, **options)
    return figure, axes


def saved(figure: Figure, form: str) -> bytes:
    """A figure as the content of a file that does not depend on the date."""
    file = io.BytesIO()
    date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    figure.savefig(file, format=form, dpi=DPI, metadata=date)
    return file.getvalue()
