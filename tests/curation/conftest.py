from collections.abc import Iterator

import pytest
from benchmarks.local_web import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as server:
        yield server
