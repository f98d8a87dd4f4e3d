"""List the datasets that `wrinkle prepare` reads, their terms, and how to obtain them."""

import argparse

from wrinkle.cli.options import add_plugins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_plugins(parser)


def run(args: argparse.Namespace) -> int:
    from wrinkle.datasets import DATASETS
    from wrinkle.registry import load_plugins

    load_plugins(args.plugin)
    for name in DATASETS.names():
        about = DATASETS.create(name)
        print(f"{name}\n  {about.description}\n  terms: {about.terms}\n  from: {about.obtain}")
    return 0
