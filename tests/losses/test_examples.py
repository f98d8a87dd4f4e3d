"""The examples in the docstrings of losses and heads."""

import doctest
import math
import pkgutil
from importlib import import_module

import pytest
import torch

import wrinkle.losses
import wrinkle.models.heads
from wrinkle.losses import Target
from wrinkle.models import Output, create_head

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (wrinkle.losses, wrinkle.models.heads)
    for module in pkgutil.iter_modules(package.__path__)
]
KNOWN = {"torch": torch, "math": math, "Target": Target, "Output": Output}


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    given = {**KNOWN, "create_head": create_head}
    assert doctest.testmod(import_module(name), extraglobs=given).failed == 0


def test_docstrings_have_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(import_module(name)) if test.examples]
    assert len(found) >= 12
