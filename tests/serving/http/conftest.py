from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi")

from tests.serving.http.live import live
from wrinkle import AgeEstimator


@pytest.fixture(scope="session")
def service(estimator: AgeEstimator) -> Iterator[str]:
    """The address of a service with the default limits."""
    with live(estimator) as address:
        yield address
