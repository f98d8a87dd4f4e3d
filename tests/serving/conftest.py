from pathlib import Path

import pytest

from wrinkle import AgeEstimator


@pytest.fixture(scope="session")
def estimator(small_model: Path) -> AgeEstimator:
    return AgeEstimator.load(small_model, device="cpu")
