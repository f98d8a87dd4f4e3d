"""List the datasets that `wrinkle prepare` reads, their terms, and how to obtain them."""

import argparse

from wrinkle.datasets import DATASETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> int:
    for info in DATASETS.values():
        print(f"{info.name}\n  {info.description}\n  terms: {info.terms}\n  from: {info.obtain}")
    return 0
