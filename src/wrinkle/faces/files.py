"""Find picture files by the names given on a command line."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from wrinkle.errors import WrinkleError

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe"),
    *(".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
)
"""Suffixes, in lower case, of the files that are found in folders and by globs."""


def list_images(names: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Expand files, folders and globs (`**` for any depth) to files.

    Folders are searched with all their subfolders. In folders and globs, only files with one of
    `SUFFIXES` count, and none whose name starts with a dot. A name that is neither a folder nor a
    glob stays as it is, whether it exists or not: the decoder says what is wrong.

    Returns:
        The files in the order of the names; those of each folder and glob sorted.

    Raises:
        WrinkleError: no picture in a folder or a glob.
    """
    files: list[Path] = []
    for name in map(os.fsdecode, names):
        if os.path.isdir(name):
            found = _in_folder(name)
        elif glob.has_magic(name) and not os.path.lexists(name):
            found = [path for match in glob.glob(name, recursive=True) for path in _matched(match)]
        else:
            files.append(Path(name))
            continue
        if not found:
            raise WrinkleError(f"no picture found in {name!r} (looked for {' '.join(SUFFIXES)})")
        files += sorted(set(found))
    return files


def _matched(name: str) -> list[Path]:
    if os.path.isdir(name):
        return _in_folder(name)
    return [Path(name)] if _is_picture(os.path.basename(name)) else []


def _in_folder(folder: str) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if _is_picture(name)]
    return found


def _is_picture(name: str) -> bool:
    # macOS also writes a file "._IMG_1.jpg" beside each picture, which is not a picture.
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
