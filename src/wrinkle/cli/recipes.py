"""List wrinkle's recipes, the choices that each offers and the data that it needs, or print one.

wrinkle recipes
wrinkle recipes adpf                                # the file
wrinkle recipes adpf size=small variant=heads_3     # every field of what `wrinkle train` would run
"""

import argparse
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wrinkle.errors import WrinkleError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", nargs="?", help="print this recipe: a listed name, or a file")
    add(
        "choices", nargs="*", default=[], metavar="KIND=NAME", help="size=…, dataset=… or variant=…"
    )


def run(args: argparse.Namespace) -> int:
    if args.name is None:
        _list()
    elif args.choices:
        from wrinkle.runs.recipe import load_recipe

        print(load_recipe(recipe_file(args.name), args.choices).to_yaml(), end="")
    else:
        print(recipe_file(args.name).read_text(encoding="utf-8"), end="")
    return 0


def recipe_file(name: str) -> Path:
    """Return the file of a recipe.

    Args:
        name: a name that `wrinkle recipes` lists, or a path.

    Raises:
        WrinkleError: it is neither; suggests a similar name.
    """
    if Path(name).is_file():
        return Path(name)
    recipes = _recipes()
    if name not in recipes:
        close = difflib.get_close_matches(name, recipes, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise WrinkleError(f"no recipe {name!r}{hint}: `wrinkle recipes` lists them")
    return recipes[name]


def _list() -> None:
    from wrinkle.runs.overlays import choices, read_recipe

    print(f"in {_folder()}:")
    for name, path in _recipes().items():
        first = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        print(f"{name}: {first}")
        content = read_recipe(path)
        for kind, names in choices(content).items():
            if names:
                print(f"  {kind}= {' '.join(names)}")
        for line in _data(content, path):
            print(f"  {line}")
    print("`wrinkle datasets` says where each dataset comes from, and its terms")


def _data(content: Mapping[str, Any], path: Path) -> Iterator[str]:
    """A line for each dataset that a recipe offers: its stores, how they are made, their splits."""
    from wrinkle.runs.overlays import choices, choose, overlaid

    datasets: list[str | None] = [*choices(content)["dataset"]] or [None]
    for name in datasets:
        data = overlaid(content, choose(content, {"dataset": name}, path))["data"]
        stores = data.get("stores") or [data]
        needed = [f"{s['store']} ({_command(s)}), {s['protocol']}" for s in stores]
        yield f"{f'dataset={name}' if name else 'data'}: {' + '.join(needed)}"


def _command(faces: Mapping[str, str]) -> str:
    """The command that makes a store."""
    from wrinkle.datasets import DATASETS
    from wrinkle.protocols import get_protocol

    stem = Path(faces["store"]).stem
    dataset = get_protocol(faces["protocol"]).dataset or stem
    if dataset in DATASETS.names():
        return f"wrinkle prepare {dataset}"
    return "wrinkle curate, or wrinkle prepare folder"


def _recipes() -> dict[str, Path]:
    folder = _folder()
    found = sorted(folder.rglob("*.yaml"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}


def _folder() -> Path:
    """The recipes' folder: in an installed package, or at the root of the repository."""
    package = Path(__file__).parent.parent
    for folder in (package / "recipes", package.parent.parent / "recipes"):
        if folder.is_dir():
            return folder
    raise WrinkleError("the recipes are missing: install wrinkle again")
