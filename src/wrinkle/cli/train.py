"""Train a recipe on all folds of its protocol, or on some, and print a table of their scores.

The same command resumes a stopped run; for a finished run it prints the table again. On several
GPUs or hosts: `accelerate launch -m wrinkle train RECIPE`.
"""

import argparse

from wrinkle.cli.recipes import recipe_file
from wrinkle.errors import require


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


def run(args: argparse.Namespace) -> int:
    require("train")
    from wrinkle.runs.recipe import load_recipe
    from wrinkle.training.folds import train

    train(load_recipe(recipe_file(args.recipe), args.overrides), args.folds)
    return 0
