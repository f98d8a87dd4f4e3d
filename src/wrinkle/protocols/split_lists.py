"""Reading and writing the lists in lists/: gzip without a time stamp, checksums in the code.

A list in columns is text in two sections. First the names: names that share a stem are one line,
the stem and then the endings, so that a stem is written once. Then the columns: a heading, and a
letter for every name, in the order of the names.

    009055 0M54 1M54        with "_" between: 009055_0M54 and 009055_1M54
    # random
    et
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from wrinkle.errors import WrinkleError
from wrinkle.files import replace_file


def read_list(name: str, checksum: str) -> str:
    """The text of lists/`name`.

    Args:
        checksum: SHA-256 of the text, so that it does not depend on the version of zlib.

    Raises:
        WrinkleError: the packaged file is missing or damaged.
    """
    try:
        text = gzip.decompress((files("wrinkle.protocols") / "lists" / name).read_bytes())
    except (OSError, EOFError, zlib.error):
        text = b""
    if hashlib.sha256(text).hexdigest() != checksum:
        raise WrinkleError(f"the packaged list {name} is missing or damaged: install wrinkle again")
    return text.decode("utf-8")


def write_list(path: Path, text: str) -> str:
    """Pack `text` into `path`; returns the checksum that `read_list` needs."""
    data = text.encode("utf-8")
    replace_file(path, gzip.compress(data, mtime=0))  # no time stamp: same text, same file
    return hashlib.sha256(data).hexdigest()


def read_columns(name: str, checksum: str, between: str) -> tuple[list[str], dict[str, str]]:
    """The names of a list in columns, and column → its letters, one for every name.

    Args:
        between: what joins stem and ending.
    """
    stems, *columns = read_list(name, checksum).split("# ")
    names = [
        f"{stem}{between}{ending}"
        for stem, *endings in map(str.split, stems.splitlines())
        for ending in endings
    ]
    return names, dict(column.rstrip("\n").split("\n") for column in columns)


def columns_text(
    names: Iterable[tuple[str, str]], columns: Mapping[str, Mapping[tuple[str, str], str]]
) -> str:
    """The text of a list in columns.

    Args:
        names: (stem, ending), in any order.
        columns: heading → name → letter; "-" where there is none.
    """
    endings: dict[str, list[str]] = {}
    order = sorted(names)
    for stem, ending in order:
        endings.setdefault(stem, []).append(ending)
    return "".join(f"{stem} {' '.join(some)}\n" for stem, some in endings.items()) + "".join(
        f"# {heading}\n{''.join(letters.get(name, '-') for name in order)}\n"
        for heading, letters in columns.items()
    )
