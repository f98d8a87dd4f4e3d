"""Options that several commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path


def at_least(least: int) -> Callable[[str], int]:
    """Type of an option that takes a whole number of at least `least`."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small: give {least} or more")
        return value

    return whole_number


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """--plugin, once or more, for `wrinkle.registry.load_plugins`."""
    parser.add_argument(
        "--plugin",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a Python file that registers more names; may be repeated",
    )


def add_split(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --split, --protocol and --fold, which `wrinkle.inference.provenance.split_rows` takes."""
    add = parser.add_argument
    choices = ["train", "validation", "test", "all"]
    add("--split", default=default, choices=choices, help=f"which faces (default: {default})")
    add("--protocol", help="which protocol (default: the one that the model was trained with)")
    add("--fold", help="the fold's name (default: the model's own)")
