"""Keys of services: from the environment, sent to their own service only, never shown."""

import os
import re
from collections.abc import Iterable

from wrinkle.errors import WrinkleError

SECONDS = (10.0, 30.0)
"""To connect, and between two bytes of an answer."""


class Keys:
    """Keys from the environment: name → value.

    Args:
        annotator: whose keys they are.
        needed: names of environment variables.
        optional: likewise, empty if not set.

    Raises:
        WrinkleError: one of the needed keys is not set.
    """

    def __init__(self, annotator: str, needed: Iterable[str], optional: Iterable[str] = ()) -> None:
        names = [*needed, *optional]
        self._values = {name: os.environ.get(name, "").strip() for name in names}
        missing = [name for name in needed if not self._values[name]]
        if missing:
            raise WrinkleError(
                f"annotator {annotator} needs its keys in the environment:"
                f" set {' and '.join(missing)}"
            )

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def hide(self, text: str) -> str:
        """The text without keys, in case a service repeats one."""
        for value in filter(None, self._values.values()):
            text = text.replace(value, "[key]")
        return text

    def line(self, text: str) -> str:
        """A service's message in one line of at most 200 characters, without keys."""
        words = " ".join(self.hide(text).split())
        return words if len(words) <= 200 else f"{words[:200]}…"


def checked_base(annotator: str, base: str) -> str:
    """The "https://host" of a service, without a slash at the end.

    Raises:
        WrinkleError: a key would be sent unencrypted, or it has another form.
    """
    if not re.fullmatch(r"https://[\w.-]+(:\d+)?/?|http://127\.0\.0\.1:\d+/?", base, re.ASCII):
        raise WrinkleError(f"annotator {annotator}: base is {base!r}; give https://HOST")
    return base.rstrip("/")
