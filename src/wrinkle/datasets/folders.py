"""What several readers share: finding pictures in folders."""

from pathlib import Path


def inner(root: Path, name: str) -> Path:
    """The folder `name` in `root`, or `root` where there is none: users may give either."""
    folder = root / name
    return folder if folder.is_dir() else root


def jpegs(folder: Path, pattern: str = "*") -> list[Path]:
    """The files below `folder` that match `pattern` and end in .jpg, in either case; sorted."""
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() == ".jpg")
