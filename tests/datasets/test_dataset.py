"""The registry of datasets: what each states, and what a wrong folder gives."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wrinkle.datasets import DATASETS, Dataset, Row, read_dataset
from wrinkle.datasets.dataset import five_points
from wrinkle.errors import WrinkleError
from wrinkle.registry import load_plugins

NAMES = DATASETS.names()
PLUGIN = """
from pathlib import Path

from wrinkle.datasets import DATASETS, Dataset, Row


@DATASETS.named("{name}")
class Holiday(Dataset):
    description = "Holiday: photographs named AGE_NUMBER.jpg"
    terms = "ask the people in them"
    obtain = "a folder of photographs"

    def read(self, root: Path):
        files = sorted(root.glob("*.jpg"))
        return [Row(f, f.name, float(f.name.split("_")[0]), "holiday") for f in files], []
"""
"""A dataset in a file outside the package."""


def test_every_dataset_has_description_terms_and_source() -> None:
    assert {"fgnet", "utkface", "morph2", "cacd", "lap2015", "folder"} <= set(NAMES)
    for name in NAMES:
        dataset = DATASETS.create(name)
        assert dataset.description
        assert dataset.terms
        assert dataset.obtain


def test_a_dataset_without_terms_is_refused() -> None:
    with pytest.raises(WrinkleError, match="Untold does not state its terms"):

        class Untold(Dataset):
            description = "Untold"
            obtain = "nowhere"

            def read(self, root: Path) -> tuple[list[Row], list[object]]:  # type: ignore[override]
                return [], []


def test_key_points_are_means_of_landmarks() -> None:
    landmarks = np.arange(16, dtype=np.float32).reshape(8, 2)
    points = five_points(landmarks, ((0, 2), (1,), (5,), (6,), (7,)))
    assert points.tolist() == [[2, 3], [2, 3], [10, 11], [12, 13], [14, 15]]
    assert points.dtype == np.float32


def _refusal(name: str, root: Path) -> None:
    with pytest.raises(WrinkleError) as caught:
        read_dataset(name, root)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_one_line(name: str, tmp_path: Path) -> None:
    _refusal(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_other_files_is_one_line(name: str, tmp_path: Path) -> None:
    for file in ("holiday.jpg", "notes.txt", "a/b/c.jpg", "faces/1.jpg"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"picture")
    _refusal(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_instead_of_a_folder_is_one_line(name: str, tmp_path: Path) -> None:
    picture = tmp_path / "holiday.jpg"
    picture.write_bytes(b"\xff\xd8 picture")
    _refusal(name, picture)


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(WrinkleError, match=r"'fg-net'.*'fgnet'.*choices: adience, afad,.*utkface"):
        read_dataset("fg-net", ".")


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match="does not exist"):
        read_dataset("utkface", tmp_path / "nowhere")


def test_a_dataset_of_a_plug_in_file_is_read(tmp_path: Path) -> None:
    plugin = tmp_path / "holiday.py"
    plugin.write_text(PLUGIN.format(name="holiday-of-mine"), encoding="utf-8")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("34_1.jpg", "5_2.jpg"):
        (folder / name).write_bytes(b"picture")
    load_plugins([plugin])
    assert "holiday-of-mine" in DATASETS.names()
    rows, dropped = read_dataset("holiday-of-mine", folder)
    assert [(row.name, row.age) for row in rows] == [("34_1.jpg", 34.0), ("5_2.jpg", 5.0)]
    assert dropped == []


def test_reading_needs_neither_torch_nor_an_extra() -> None:
    code = (
        "import sys; from wrinkle.datasets import DATASETS;"
        "[DATASETS.create(name).read for name in DATASETS.names()];"
        "sys.exit(any(name in sys.modules for name in ('torch', 'cv2', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
