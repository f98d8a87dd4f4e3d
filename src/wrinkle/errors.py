"""The one kind of error that users see: a line that says what is wrong and what to do."""

import re
from functools import cache


class WrinkleError(Exception):
    """Bad input. `str(error)` is one line for people; the command line prints just that."""


class ImageError(WrinkleError):
    """A picture that cannot be used. It costs itself, never the batch it came in."""


def require(extra: str) -> None:
    """Check that the packages of an optional extra are installed.

    Args:
        extra: its name in the package's metadata, such as "train".

    Raises:
        WrinkleError: one is missing; the line says how to install the extra.
    """
    missing = missing_packages(extra)
    if missing:
        raise WrinkleError(f"{missing[0]} is missing: {install_command(extra)}")


def install_command(extra: str) -> str:
    """What to type to install an optional extra."""
    return f"pip install 'wrinkle[{extra}]'"


def missing_packages(extra: str) -> list[str]:
    """Packages of an extra that are not installed."""
    return [package for package in extras().get(extra, []) if not _installed(package)]


@cache
def extras() -> dict[str, list[str]]:
    """Name of each optional extra → the names of its packages, from the package's metadata."""
    from importlib.metadata import PackageNotFoundError, metadata  # 50 ms, and rarely needed

    try:
        about = metadata("wrinkle")
    except PackageNotFoundError:  # run from a folder of sources without being installed
        return {}
    found: dict[str, list[str]] = {name: [] for name in about.get_all("Provides-Extra") or []}
    for line in about.get_all("Requires-Dist") or []:
        package, _, marker = line.partition(";")
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker)
        if extra:
            found[extra[1]].append(re.split(r"[^A-Za-z0-9._-]", package.strip(), maxsplit=1)[0])
    return found


def _installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
