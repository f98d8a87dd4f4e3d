from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from wrinkle.errors import WrinkleError
from wrinkle.faces.detectors import DETECTORS, Detection, create_detector
from wrinkle.faces.detectors.mtcnn import MTCNN
from wrinkle.registry import load_plugins

PLUGIN = """
import numpy as np

from wrinkle.faces.detectors import DETECTORS, Detection


@DETECTORS.named("centre_of_a_test")
class Centre:
    def __init__(self, device, /, label: str = "middle") -> None:
        self.device, self.label = device, label

    def __call__(self, images):
        box, points = np.float32([0, 0, 4, 3]), np.zeros((5, 2), np.float32)
        return [[Detection(box, 1.0, points)] for _ in images]
"""


@pytest.fixture(autouse=True)
def _registry_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    DETECTORS.names()
    monkeypatch.setattr(DETECTORS, "_factories", dict(DETECTORS._factories))


def test_mtcnn_is_the_default_of_three_detectors() -> None:
    assert {"mtcnn", "dlib", "yunet"} <= set(DETECTORS.names())
    assert isinstance(create_detector(), MTCNN)
    assert isinstance(create_detector("mtcnn", "cpu"), MTCNN)


@pytest.mark.parametrize("name", ["haar", "", "MTCNN", "mtcn:x"])
def test_unknown_names_are_one_line(name: str) -> None:
    with pytest.raises(WrinkleError, match=r"unknown detector .*dlib, mtcnn, yunet") as caught:
        create_detector(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "word"), [("mtcnn:x", "colon"), ("yunet", "FILE"), ("yunet:", "FILE")]
)
def test_unexpected_and_missing_values_are_one_line(spec: str, word: str) -> None:
    with pytest.raises(WrinkleError, match=word) as caught:
        create_detector(spec)
    assert "\n" not in str(caught.value)


def test_a_detector_of_a_plug_in_file_is_created(tmp_path: Path) -> None:
    (tmp_path / "centre.py").write_text(PLUGIN)
    load_plugins([tmp_path / "centre.py"])
    detector = create_detector("centre_of_a_test:left", "cuda:1")
    assert (detector.device, detector.label) == ("cuda:1", "left")  # type: ignore[attr-defined]
    ((face,),) = detector([np.zeros((3, 4, 3), np.uint8)])
    np.testing.assert_array_equal(face.box, [0, 0, 4, 3])


class Nothing:
    """A detector of an installed package."""

    def __init__(self, device: str, /) -> None:
        self.device = device

    def __call__(self, images: list[np.ndarray]) -> list[list[Detection]]:
        return [[] for _ in images]


def test_a_detector_of_an_installed_package_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(name="nothing_of_a_test", load=lambda: Nothing)
    groups = {"wrinkle.detectors": [point]}
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: groups.get(group, []))
    assert "nothing_of_a_test" in DETECTORS.names()
    assert create_detector("nothing_of_a_test")([np.zeros((2, 2, 3), np.uint8)]) == [[]]
