"""The one kind of error that users see: a line that says what is wrong and what to do."""

import json
import os
import re
from functools import cache


class WrinkleError(Exception):
    """Bad input. `str(error)` is one line for people; the command line prints just that."""


class ImageError(WrinkleError):
    """A picture that cannot be used; the other pictures of its batch are not affected."""


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
    """The command that installs an optional extra, and where to type it.

    wrinkle is installed from a folder of sources, not from a package index.
    """
    folder = _sources() or "wrinkle's folder"
    return f"pip install '.[{extra}]' in {folder}"


@cache
def _sources() -> str | None:
    """The folder that wrinkle was installed from; None if it is not known or no longer there."""
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        origin = json.loads(distribution("wrinkle").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    folder = url2pathname(urlsplit(str(origin.get("url", ""))).path)
    return folder if os.path.isfile(os.path.join(folder, "pyproject.toml")) else None


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
