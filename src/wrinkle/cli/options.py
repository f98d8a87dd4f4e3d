"""Options that several commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    import numpy as np

    from wrinkle.datasets.store import Store


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
    """--split, --protocol and --fold, for `split_rows`."""
    add = parser.add_argument
    choices = ["train", "validation", "test", "all"]
    add("--split", default=default, choices=choices, help=f"which faces (default: {default})")
    add("--protocol", help="what splits the faces (default: what the model was trained with)")
    add("--fold", help="the fold's name (default: the model's own)")


def split_rows(
    args: argparse.Namespace, store: "Store", protocol: str | None, fold: str | None
) -> "np.ndarray":
    """Rows of the part that `add_split`'s options ask for.

    Args:
        protocol: of the model; used unless --protocol names another.
        fold: of the model; used with its own protocol unless --fold names another.

    Raises:
        WrinkleError: there is no protocol, the fold does not exist, or the part is empty.
    """
    import numpy

    from wrinkle.protocols import get_protocol

    if args.split == "all":
        return numpy.arange(len(store))
    if args.protocol is not None:
        protocol, fold = args.protocol, fold if args.protocol == protocol else None
    if protocol is None:
        raise WrinkleError("predictions in a CSV file have no protocol: name it with --protocol")
    folds = get_protocol(protocol).folds(store.columns)
    names = [fold.name for fold in folds]
    wanted = args.fold or fold or names[0]
    if wanted not in names:
        raise WrinkleError(f"no fold {wanted!r}; choose one of {', '.join(names)}")
    rows: np.ndarray = getattr(folds[names.index(wanted)], args.split)
    if not len(rows):
        raise WrinkleError(f"the {args.split} part of fold {wanted} is empty")
    return rows
