"""List the protocols, or show one: its folds, their sizes, and how many of them a store has.

wrinkle protocols
wrinkle protocols show morph2-s1-s2-s3
wrinkle protocols show utkface utkface.arrow
wrinkle protocols show random:5 fgnet.arrow --leaks shared.csv   # what training and test share
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wrinkle.cli.options import add_plugins
from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    from wrinkle.datasets.store import Store
    from wrinkle.protocols import Fold, Protocol

PARTS = ("train", "validation", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=["show"], help="show one protocol instead of listing all")
    add("name", nargs="?", help="the protocol, with its numbers if it takes any: by-person:5")
    add("store", nargs="?", help="a file made by `wrinkle prepare`: split it, list what is missing")
    add("--leaks", type=Path, metavar="CSV", help="list what its training and test parts share")
    add_plugins(parser)


def run(args: argparse.Namespace) -> int:
    from wrinkle.datasets.store import Store
    from wrinkle.protocols import PROTOCOLS, get_protocol, usage
    from wrinkle.registry import load_plugins

    load_plugins(args.plugin)
    if args.action is None:
        for name in PROTOCOLS.names():
            print(f"{usage(name)}\n{_about(get_protocol(name))}")
        return 0
    if args.name is None:
        raise WrinkleError("name the protocol to show; `wrinkle protocols` lists them")
    protocol = get_protocol(args.name)
    if args.leaks and not args.store:
        raise WrinkleError("--leaks needs a store: name one after the protocol")
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
    parts = []
    for part, counts in zip(PARTS, zip(*sizes.values(), strict=True), strict=True):
        least, most = min(counts), max(counts)
        if most:
            parts.append(f"{part} {least:,}" + (f" to {most:,}" if least < most else ""))
    return (f"{len(sizes)} folds, each " if len(sizes) > 1 else "") + ", ".join(parts)


def _print_folds(sizes: Mapping[str, tuple[int, int, int]], folds: "list[Fold]") -> None:
    """Print a line for each fold: its sizes in the complete dataset, or in the store."""
    rows = [["fold", *PARTS]]
    counts = {fold.name: [len(getattr(fold, part)) for part in PARTS] for fold in folds}
    for name in counts or sizes:
        cells = [f"{count:,}" for count in counts.get(name, sizes.get(name, ()))]
        if name in counts and name in sizes:
            cells = [f"{c} of {size:,}" for c, size in zip(cells, sizes[name], strict=True)]
        rows.append([name, *cells])
    fold, *widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        line = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        print("  ".join([name.ljust(fold), *line]))


def _print_store(protocol: "Protocol", store: "Store", folds: "list[Fold]") -> None:
    """Print how many pictures are in a part, which are missing, and the checksum of the split."""
    from wrinkle.protocols.fold import assignment_checksum

    names = store.columns["name"].to_pylist()
    used = {row for fold in folds for part in PARTS for row in getattr(fold, part).tolist()}
    print(f"store: {len(names):,} pictures, {len(names) - len(used):,} of them in no part")
    if protocol.sizes:
        total = max(map(sum, protocol.sizes.values()))
        line = f"missing: {total - len(used):,} of the protocol's {total:,} pictures"
        present = {name.lower() for name in names}
        absent = [n for n in (protocol.names or list)() if n.lower() not in present]
        print(line + (f", such as {', '.join(absent[:3])}" if absent else ""))
    print(f"split: sha256 {assignment_checksum(folds, names)} of which picture is in which part")


def _write_leaks(protocol: "Protocol", store: "Store", folds: "list[Fold]", path: Path) -> None:
    from wrinkle.console import count, say
    from wrinkle.files import replace_file
    from wrinkle.protocols.integrity import find_leaks, leaks_csv, summary

    leaks = find_leaks(store, folds)
    replace_file(path, leaks_csv(leaks))
    print(summary(protocol, leaks, len(folds)))
    say(f"wrote {path}: {count(len(leaks), 'row')}")
