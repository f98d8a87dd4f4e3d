"""Train a recipe on all folds of its protocol, or on some, and print a table of their scores.

The same command resumes a stopped run; for a finished run it prints the table again. On several
GPUs or hosts: `accelerate launch -m wrinkle train RECIPE`.

wrinkle train recipes/rivals.yaml --variants all --seeds 0-2     # a run for each, one after another
"""

import argparse
from typing import TYPE_CHECKING

from wrinkle.cli.recipes import recipe_file
from wrinkle.errors import WrinkleError, require

if TYPE_CHECKING:
    from wrinkle.runs.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recipe", help="a YAML file, or a name that `wrinkle recipes` lists")
    add(
        "overrides",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="e.g. size=small training.epochs=2",
    )
    add("--folds", help="folds to train, counted from 1: 3, 1-10 or 1,4-6 (default: all)")
    add("--variants", metavar="NAMES", help="a run for each of these variants: all, or a,b")
    add("--seeds", help="a run for each of these seeds, with the seed in its name: 0-2 or 0,3")


def run(args: argparse.Namespace) -> int:
    require("train")
    from wrinkle.runs.sweep import load_sweep

    recipes = load_sweep(recipe_file(args.recipe), args.overrides, args.variants, args.seeds)
    return 1 if _train(recipes, args.folds) else 0


def _train(recipes: "list[Recipe]", folds: str | None) -> list[WrinkleError]:
    """Train all recipes; returns the errors of those that failed, which are printed.

    Raises:
        WrinkleError: the first one failed; the others would probably fail for the same reason.
    """
    from wrinkle.console import complain, say
    from wrinkle.training.folds import train

    bad: list[WrinkleError] = []
    for number, recipe in enumerate(recipes):
        if len(recipes) > 1:
            say(f"run {number + 1} of {len(recipes)}: {recipe.name}")
        try:
            train(recipe, folds)
        except WrinkleError as error:
            if number == 0:
                raise
            bad.append(WrinkleError(f"{recipe.name}: {error}"))
            complain(bad[-1])
    return bad
