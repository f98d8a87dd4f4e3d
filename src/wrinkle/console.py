"""What every command writes on standard error: progress, notices, and what was done at the end.

Errors begin with "wrinkle: ", notices with "note: ". The last line of a long command begins with
neither. Results are printed on standard output.
"""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

EVERY = 30.0
"""Seconds between lines of progress where standard error is not a terminal."""


class _Lines(tqdm):  # type: ignore[misc]
    """Progress as lines, for log files: one every `EVERY` seconds, so none for short work."""

    disable: bool

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> None:
        """Write a line; tqdm redraws with `nolock` after messages, which a log does not need."""
        if not nolock:
            print(self, file=sys.stderr, flush=True)

    def clear(self, *_: Any, **__: Any) -> None:
        """Lines are not cleared."""

    def close(self) -> None:
        """End without a last line: the command writes what was done."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)


def progress(
    items: Iterable[Any] | None = None,
    what: str = "",
    unit: str = "it",
    *,
    total: int | None = None,
    initial: int = 0,
    shown: bool = True,
    keep: bool = False,
) -> tqdm:
    """Show progress: a bar in a terminal, else a line every 30 seconds.

    Args:
        items: to iterate over; None: the caller calls `update`.
        what: label.
        unit: singular name of an item.
        total: number of items, if `items` has no length.
        initial: number of items that were done earlier.
        shown: False shows nothing.
        keep: whether the finished bar stays in the terminal.

    Returns:
        The bar.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    form = (
        {"mininterval": 0.2, "delay": 0.5, "dynamic_ncols": True, "leave": keep}
        if terminal
        else {"mininterval": EVERY, "delay": EVERY, "miniters": 1}
    )
    return (tqdm if terminal else _Lines)(
        items,
        what or None,
        total,
        initial=initial,
        unit=unit,
        disable=not shown or sys.stderr is None,
        **form,
    )


def say(text: str) -> None:
    """Write a line on standard error, above a progress bar."""
    if sys.stderr is not None:
        tqdm.write(text, file=sys.stderr)


def note(text: str) -> None:
    """Write a notice: something that the user may want to know, and that is not an error."""
    say(f"note: {text}")


def complain(text: object) -> None:
    """Write an error after which the command continues."""
    say(f"wrinkle: {text}")


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: "1 face", "2,292 faces"."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def percent(probability: float) -> str:
    """Return a probability in percent, but never "0 %" or "100 %", because no age is certain."""
    chance = min(max(100 * probability, 0.1), 99.9)
    return f"{chance:.1f} %" if chance < 5 or chance > 95 else f"{chance:.0f} %"
