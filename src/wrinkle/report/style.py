"""The style of figures, and figures as files that do not depend on the date."""

import io
import textwrap
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Okabe and Ito's palette, for all kinds of colour vision."""
STYLE: dict[str, Any] = {
    "font.size": 10,
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
WIDTH = 4.4
"""Inches. On a phone, 360 pixels wide, a figure is shown at three quarters of this size."""
LEGEND_COLUMN = 24
"""Characters: legends with longer entries have one column."""
LEGEND_LINE = 44
"""Characters in a line of a legend, and half a line of two panels' titles."""
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


def legend(figure: Figure, axes: Axes) -> None:
    """Add one legend of all panels, with the entries of `axes`, above them: it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if len(labels) > 1 and max(map(len, labels)) <= LEGEND_COLUMN else 1
    lines = [wrapped(label, LEGEND_LINE) for label in labels]
    figure.legend(handles, lines, loc="outside upper left", ncols=columns, borderaxespad=0)


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most `width` characters, broken anywhere if need be."""
    return "\n".join(textwrap.wrap(text, width)) or text


def saved(figure: Figure, form: str) -> bytes:
    """A figure as the content of a file that does not depend on the date."""
    file = io.BytesIO()
    date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    figure.savefig(file, format=form, dpi=DPI, metadata=date)
    return file.getvalue()
