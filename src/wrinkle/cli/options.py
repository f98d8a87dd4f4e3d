"""Options of several commands."""

import argparse
from collections.abc import Callable
from pathlib import Path


def at_least(least: int) -> Callable[[str], int]:
    """Return the type of an option that takes an integer of at least `least`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small: give {least} or more")
        return value

    return integer


def some_path(text: str) -> Path:
    """Type of an option that takes a path; "" would else mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """Add --plugin, which may be repeated, for `wrinkle.registry.load_plugins`."""
    parser.add_argument(
        "--plugin",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a Python file that registers more names; may be repeated",
    )


def add_split(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --split, --protocol and --fold, for `wrinkle.inference.provenance.split_rows`.

    Args:
        parser: of the command.
        default: of --split.
    """
    add = parser.add_argument
    choices = ["train", "validation", "test", "all"]
    add("--split", default=default, choices=choices, help=f"which faces (default: {default})")
    add("--protocol", help="which protocol (default: the one that the model was trained with)")
    add("--fold", help="the fold's name (default: the model's own)")
