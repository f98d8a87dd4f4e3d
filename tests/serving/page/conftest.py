"""The page in a real Chromium; without one, its tests are skipped."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright")

from PIL import Image
from playwright import sync_api

from tests.conftest import EXAMPLES
from tests.serving.http.live import live
from wrinkle import AgeEstimator


@pytest.fixture(scope="session")
def service(estimator: AgeEstimator) -> Iterator[str]:
    """The address of a service with the default limits."""
    with live(estimator) as address:
        yield address


@pytest.fixture(scope="session")
def two_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of two people."""
    both = Image.new("RGB", (960, 620), "gray")
    both.paste(Image.open(EXAMPLES / "grace_hopper_1984.jpg"), (10, 10))
    both.paste(Image.open(EXAMPLES / "joe_biden_2010.jpg"), (570, 10))
    path = tmp_path_factory.mktemp("pictures") / "two.jpg"
    both.save(path, quality=95)
    return path


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The browser; its camera shows a portrait."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no Chromium")
    frame = io.BytesIO()
    portrait = Image.open(EXAMPLES / "grace_hopper_1984.jpg").convert("RGB")
    camera = Image.new("RGB", (640, 480))
    camera.paste(portrait.resize((400, 468)), (120, 6))
    camera.save(frame, "JPEG", quality=95)
    film = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    film.write_bytes(frame.getvalue() * 3)
    options = [
        "--no-sandbox",  # it is also run as root
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, service: str) -> Iterator[Any]:
    """The page, opened; every request, error of a script and message of the browser is checked."""
    context = chromium.new_context(permissions=["camera"], viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    asked: list[str] = []
    faults: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text))
    opened.goto(service)
    yield opened
    opened.evaluate("1")
    assert [url for url in asked if not url.startswith((service, "blob:"))] == []
    # A browser reports answers such as 415, which some of the tests provoke.
    assert [text for text in faults if "Failed to load resource" not in text] == []
    context.close()
