"""List the protocols, or show one: its folds, their sizes, and how much of them a store holds.

wrinkle protocols
wrinkle protocols show morph2-s1-s2-s3
wrinkle protocols show utkface utkface.arrow
wrinkle protocols show random:5 fgnet.arrow --leaks shared.csv   # what training and test share
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    from wrinkle.datasets.store import Store
    from wrinkle.protocols import Fold, Protocol

SIDES = ("train", "validation", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=["show"], help="show one protocol instead of listing all")
    add("name", nargs="?", help="the protocol, with its numbers if it takes any: by-person:5")
    add("store", nargs="?", help="a file made by `wrinkle prepare`: split it, say what is missing")
    add("--leaks", type=Path, metavar="CSV", help="list what its training and test parts share")


def run(args: argparse.Namespace) -> int:
    from wrinkle.datasets.store import Store
    from wrinkle.protocols import PROTOCOLS, get_protocol, usage

    if args.action is None:
        for name in PROTOCOLS:
            print(f"{usage(name)}\n{_about(get_protocol(name))}")
        return 0
    if args.name is None:
        raise WrinkleError("show which protocol? `wrinkle protocols` lists them")
    protocol = get_protocol(args.name)
    if args.leaks and not args.store:
        raise WrinkleError("--leaks looks into a store: name one behind the protocol")
    store = Store(args.store) if args.store else None
    folds = protocol.folds(store.columns) if store else []
    print(f"{protocol.name}\n{_about(protocol)}")
    if protocol.checksum:
        print(f"  list: sha256 {protocol.checksum}")
    if protocol.sizes or store:
        _print_folds(protocol.sizes, folds)
    if store:
        _print_store(protocol, store, folds)
    if store and args.leaks:
        _write_leaks(protocol, store, folds, args.leaks)
    return 0


def _about(protocol: "Protocol") -> str:
    return (
        f"  {protocol.description}\n  dataset: {protocol.dataset or 'any'}\n"
        f"  sizes: {_summary(protocol.sizes)}\n  people: {protocol.people}\n"
        f"  from: {protocol.source}"
    )


def _summary(sizes: Mapping[str, tuple[int, int, int]]) -> str:
    if not sizes:
        return "depend on the store"
    if len(sizes) == 2:
        return "; ".join(f"fold {fold}: {_summary({fold: size})}" for fold, size in sizes.items())
    sides = []
    for side, counts in zip(SIDES, zip(*sizes.values(), strict=True), strict=True):
        least, most = min(counts), max(counts)
        if most:
            sides.append(f"{side} {least:,}" + (f" to {most:,}" if least < most else ""))
    return (f"{len(sizes)} folds, each " if len(sizes) > 1 else "") + ", ".join(sides)


def _print_folds(sizes: Mapping[str, tuple[int, int, int]], folds: "list[Fold]") -> None:
    """A line for each fold: what the whole dataset has, or what the store has of it."""
    rows = [["fold", *SIDES]]
    here = {fold.name: [len(getattr(fold, side)) for side in SIDES] for fold in folds}
    for name in here or sizes:
        cells = [f"{count:,}" for count in here.get(name, sizes.get(name, ()))]
        if name in here and name in sizes:
            cells = [f"{c} of {size:,}" for c, size in zip(cells, sizes[name], strict=True)]
        rows.append([name, *cells])
    fold, *widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        line = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        print("  ".join([name.ljust(fold), *line]))


def _print_store(protocol: "Protocol", store: "Store", folds: "list[Fold]") -> None:
    """How many pictures are in a part, which are missing, and the checksum of the split."""
    from wrinkle.protocols.fold import assignment_checksum

    names = store.columns["name"].to_pylist()
    used = {row for fold in folds for side in SIDES for row in getattr(fold, side).tolist()}
    print(f"store: {len(names):,} pictures, {len(names) - len(used):,} of them in no part")
    if protocol.sizes:
        whole = max(map(sum, protocol.sizes.values()))
        line = f"missing: {whole - len(used):,} of the protocol's {whole:,} pictures"
        held = {name.lower() for name in names}
        absent = [n for n in (protocol.names or list)() if n.lower() not in held]
        print(line + (f", such as {', '.join(absent[:3])}" if absent else ""))
    print(f"split: sha256 {assignment_checksum(folds, names)} of who is where")


def _write_leaks(protocol: "Protocol", store: "Store", folds: "list[Fold]", path: Path) -> None:
    from wrinkle.protocols.integrity import find_leaks, leaks_csv, summary

    leaks = find_leaks(store, folds)
    try:
        path.write_bytes(leaks_csv(leaks))
    except OSError as error:
        raise WrinkleError(f"cannot write {path}: {error.strerror}") from error
    print(summary(protocol, leaks, len(folds)))
