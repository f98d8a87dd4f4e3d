"""List wrinkle's recipes and the choices that each offers, or print one.

wrinkle recipes
wrinkle recipes adpf                                # the file
wrinkle recipes adpf size=small variant=heads_3     # every field of what `wrinkle train` would run
"""

import argparse
import difflib
from pathlib import Path

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
        for kind, names in choices(read_recipe(path)).items():
            if names:
                print(f"  {kind}= {' '.join(names)}")


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
