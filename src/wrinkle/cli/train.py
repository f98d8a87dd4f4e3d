"""Train a recipe: every fold of its protocol, or those asked for, and one table of their scores.

The same command goes on where a stopped run was; a finished run only prints its table again. On
several GPUs or hosts: `accelerate launch -m wrinkle train RECIPE`.
"""

import argparse

from wrinkle.cli.recipes import recipe_file
from wrinkle.errors import WrinkleError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recipe", help="a YAML file, or a name that `wrinkle recipes` lists")
    add("overrides", nargs="*", metavar="SECTION.FIELD=VALUE", help="e.g. training.epochs=2")
    add("--folds", help="folds to train, counted from 1: 3, 1-10 or 1,4-6 (default: all)")


def run(args: argparse.Namespace) -> int:
    from wrinkle.runs.recipe import load_recipe

    try:
        from wrinkle.training.folds import train
    except ModuleNotFoundError as error:
        raise WrinkleError(f"{error.name} is missing: pip install 'wrinkle[train]'") from None
    train(load_recipe(recipe_file(args.recipe), args.overrides), args.folds)
    return 0
