"""Find picture files by the names given on a command line."""

import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

from wrinkle.errors import WrinkleError
from wrinkle.faces.pictures import is_url, printable
from wrinkle.faces.signatures import is_picture

SUFFIXES = (
    *(".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k"),
    *(
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpf",
        ".jpg",
        ".jpx",
        ".mpo",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
    ),
    *(".ppm", ".tif", ".tiff", ".webp"),
)
"""Suffixes, in lower case, of the files that are taken for pictures without a look at them."""


@dataclass
class Found:
    """The picture files that some names stand for, and what was passed over."""

    files: list[Path] = field(default_factory=list)
    """In the order of the names; those of each folder and glob sorted."""
    faults: list[str] = field(default_factory=list)
    """A line for each name that stands for no picture."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """How many files were passed over, by kind, such as ".txt"."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that could not be read, and links that lead nowhere."""
    _seen: set[tuple[int, int]] = field(default_factory=set, repr=False)

    def add(self, name: str | os.PathLike[str]) -> None:
        """Add what a file, folder or glob (`**` for any depth) stands for."""
        name = os.fsdecode(name)
        if not name:
            self.faults.append("an empty name: name a file, a folder or a glob")
        elif is_url(name):
            self.faults.append(
                f"{printable(name)}: is a URL, and URLs are not fetched; "
                "download it and name the file"
            )
        elif os.path.isdir(name):
            self._add_all(name, self._walk(name))
        elif glob.has_magic(name) and not os.path.lexists(name):
            self._add_all(name, self._matches(name))
        else:
            self._is_new(name)
            self.files.append(Path(name))

    def summary(self) -> str | None:
        """One line about what was passed over; None if nothing was."""
        kinds = [f"{count:,} {kind}" for kind, count in self.passed_over.most_common()]
        parts = []
        if kinds:
            total = self.passed_over.total()
            parts.append(f"{total:,} file{'s' * (total != 1)} ({', '.join(kinds)})")
        if self.unreadable:
            more = len(self.unreadable) - 10
            names = ", ".join(self.unreadable[:10]) + (f" and {more:,} more" if more > 0 else "")
            parts.append(f"what cannot be read: {names}")
        return f"passed over {' and '.join(parts)}" if parts else None

    def _add_all(self, name: str, candidates: Iterator[str]) -> None:
        found, any_picture = [], False
        for path in candidates:
            kind = _kind(path)
            if kind is None:
                any_picture = True
                if self._is_new(path):
                    found.append(Path(path))
                    continue
                kind = "other names of files that were found"
            elif kind == "links that lead nowhere":
                self.unreadable.append(printable(path))
                continue
            self.passed_over[kind] += 1
        if not any_picture:
            kinds = " ".join(SUFFIXES)
            self.faults.append(f"no picture found in {name!r} (looked for {kinds})")
        self.files += sorted(found)

    def _is_new(self, path: str) -> bool:
        """Whether the file was not found before, by whatever name; notes it."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return True
        identity = status.st_dev, status.st_ino
        new = identity not in self._seen
        self._seen.add(identity)
        return new

    def _walk(self, folder: str) -> Iterator[str]:
        """The files in a folder, linked folders too; each real folder once, not by a link if it
        can be helped."""
        waiting, linked = [folder], list[str]()
        walked: set[tuple[int, int]] = set()
        while waiting or linked:
            parent = waiting.pop() if waiting else linked.pop(0)
            try:
                status = os.stat(parent)
                if (status.st_dev, status.st_ino) in walked:
                    continue
                walked.add((status.st_dev, status.st_ino))
                with os.scandir(parent) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError as error:
                self.unreadable.append(f"{printable(parent)} ({error.strerror})")
                continue
            files = [entry for entry in entries if not _is_folder(entry)]
            # Files before links to files, so that a file is found by its own name.
            yield from (entry.path for entry in files if not entry.is_symlink())
            links = [entry.path for entry in files if entry.is_symlink()]
            for entry in reversed(entries):
                if _is_folder(entry):
                    if entry.name.startswith("."):
                        self.passed_over["hidden folders"] += 1
                    elif entry.is_symlink():
                        linked.append(entry.path)
                    else:
                        waiting.append(entry.path)
            yield from links

    def _matches(self, pattern: str) -> Iterator[str]:
        """The files that match a glob, and those in folders that match it."""
        parts = Path(pattern).parts
        if "**" not in parts:
            for match in sorted(glob.glob(pattern)):
                yield from self._walk(match) if os.path.isdir(match) else [match]
            return
        # glob.glob would follow a link to a parent folder again and again.
        at = parts.index("**")
        base = os.path.join(*parts[:at]) if at else os.curdir
        for folder in sorted(glob.glob(base)) if glob.has_magic(base) else [base]:
            for path in self._walk(folder) if os.path.isdir(folder) else ():
                below = Path(path).relative_to(folder).parts
                if any(_fits(below[:end], parts[at:]) for end in range(len(below) + 1)):
                    yield os.path.normpath(path) if base == os.curdir else path


def find_images(names: Iterable[str | os.PathLike[str]]) -> Found:
    """Expand files, folders and globs (`**` for any depth) to files.

    Folders are searched with all their subfolders, linked ones too. Of the files in folders and
    globs, those count whose suffix is one of `SUFFIXES` or whose first bytes are a picture's, each
    real file once, and none whose name starts with a dot. A name that is neither a folder nor a
    glob stays as it is, whether it exists or not: the decoder says what is wrong.
    """
    found = Found()
    for name in names:
        found.add(name)
    return found


def list_images(names: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files by `find_images`.

    Raises:
        WrinkleError: no picture in a folder or a glob, or a URL.
    """
    found = find_images(names)
    if found.faults:
        raise WrinkleError(found.faults[0])
    return found.files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a path's parts match a glob's; `**` is any number of folders, none hidden."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _fits(parts, pattern[1:]) or (
            bool(parts) and not parts[0].startswith(".") and _fits(parts[1:], pattern)
        )
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    name = os.path.normcase(parts[0])
    matches = re.match(translate(os.path.normcase(pattern[0])), name) is not None
    return matches and _fits(parts[1:], pattern[1:])


def _kind(path: str) -> str | None:
    """None for a picture; else the kind under which it is counted as passed over."""
    base = os.path.basename(path)
    if base.startswith("."):  # macOS also writes "._IMG_1.jpg" beside each picture
        return "hidden"
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "of pipes, sockets and devices"
    except OSError:
        return "links that lead nowhere" if os.path.islink(path) else "unreadable"
    suffix = os.path.splitext(base)[1].lower()
    if suffix in SUFFIXES:
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(32)
    except OSError:
        return "unreadable"
    return None if is_picture(head) else printable(suffix) or "without a suffix"
