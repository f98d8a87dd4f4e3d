import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import EXAMPLES
from tests.curation.annotators.local_service import Service
from wrinkle.curation.annotators import Crop
from wrinkle.curation.config import FaceRules
from wrinkle.curation.stages.faces import face_rows
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import create_detector

PORTRAITS = sorted(EXAMPLES.glob("*.jpg"))


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without keys, proxies and files of the user who runs the tests."""
    for name in ("FACEPP_API_KEY", "FACEPP_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def service() -> Iterator[Service]:
    with Service().running() as service:
        yield service


@pytest.fixture
def elsewhere() -> Iterator[Service]:
    with Service().running() as service:
        yield service


@pytest.fixture(scope="session")
def crops() -> list[Crop]:
    """The faces of the examples, cropped as the stage `faces` does."""
    images = [decode(path) for path in PORTRAITS]
    found = create_detector()(images)
    rows = [next(face_rows("p", *each, FaceRules())) for each in zip(images, found, strict=True)]
    points = [np.array(row["key_points"], np.float32).reshape(5, 2) for row in rows]
    return [Crop(row["image"], each) for row, each in zip(rows, points, strict=True)]


@pytest.fixture
def loud() -> Iterator[None]:
    """All loggers at DEBUG and without filters, restored afterwards."""
    names = [None, *logging.root.manager.loggerDict]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.level, list(logger.filters)) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.filters.clear()
    yield
    for logger, (level, filters) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.filters[:] = filters


def bad_crops(crops: list[Crop]) -> list[Crop]:
    """A crop that is not a picture, and one that is cut short."""
    return [Crop(b"<html>", crops[0].key_points), Crop(crops[0].image[:500], crops[0].key_points)]
