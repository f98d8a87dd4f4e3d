import doctest

import pytest
import torch

from wrinkle.layers import aligned_region_pooling, region_of_interest_pooling


@pytest.mark.parametrize("module", [aligned_region_pooling, region_of_interest_pooling])
def test_examples_in_docstrings_hold(module: object) -> None:
    names = {**vars(module), "torch": torch}
    failed, tried = doctest.testmod(module, extraglobs=names)  # type: ignore[arg-type]
    assert failed == 0
    assert tried > 0
