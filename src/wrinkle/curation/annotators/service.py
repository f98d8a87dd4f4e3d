"""What services have in common: keys, where they may be sent, and how they are kept quiet."""

import os
import re
from collections.abc import Iterable

from wrinkle.errors import WrinkleError

SECONDS = (10.0, 30.0)
"""To connect, and between two bytes of an answer."""


class Keys:
    """Keys from the environment: name → value.

    Raises:
        WrinkleError: one is missing, of those that are not optional.
    """

    def __init__(self, who: str, needed: Iterable[str], optional: Iterable[str] = ()) -> None:
        names = [*needed, *optional]
        self._values = {name: os.environ.get(name, "").strip() for name in names}
        missing = [name for name in needed if not self._values[name]]
        if missing:
            raise WrinkleError(
                f"annotator {who} needs its keys in the environment: set {' and '.join(missing)}"
            )

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def hide(self, text: str) -> str:
        """The text without keys, if a service should repeat one."""
        for value in filter(None, self._values.values()):
            text = text.replace(value, "[key]")
        return text

    def line(self, text: str) -> str:
        """What a service says, as part of one line."""
        words = " ".join(self.hide(text).split())
        return words if len(words) <= 200 else f"{words[:200]}…"


def checked_base(who: str, base: str) -> str:
    """The base of a service's addresses.

    Raises:
        WrinkleError: a key would travel unencrypted, or it is no base at all.
    """
    if not re.fullmatch(r"https://[\w.-]+(:\d+)?/?|http://127\.0\.0\.1:\d+/?", base, re.ASCII):
        raise WrinkleError(f"annotator {who}: base is {base!r}; give https://HOST")
    return base.rstrip("/")
