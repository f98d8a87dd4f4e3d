import subprocess
import sys

import pytest

from wrinkle.datasets import DATASETS, read_dataset
from wrinkle.errors import WrinkleError


def test_every_dataset_says_what_people_must_know():
    for name, info in DATASETS.items():
        assert info.name == name
        assert info.description
        assert info.terms
        assert info.obtain
        assert callable(info.read)


def _refusal(name, root):
    with pytest.raises(WrinkleError) as caught:
        read_dataset(name, root)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_one_clear_line(name, tmp_path):
    _refusal(name, tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_a_folder_of_something_else_is_one_clear_line(name, tmp_path):
    for file in ("holiday.jpg", "notes.txt", "a/b/c.jpg", "faces/1.jpg"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"picture")
    _refusal(name, tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_a_picture_in_place_of_the_folder_is_one_clear_line(name, tmp_path):
    picture = tmp_path / "holiday.jpg"
    picture.write_bytes(b"\xff\xd8 picture")
    _refusal(name, picture)


def test_unknown_name_lists_the_choices():
    with pytest.raises(WrinkleError, match=r"'fg-net'.*fgnet, utkface, morph2, .*folder"):
        read_dataset("fg-net", ".")


def test_missing_root(tmp_path):
    with pytest.raises(WrinkleError, match="does not exist"):
        read_dataset("utkface", tmp_path / "nowhere")


def test_reading_needs_neither_torch_nor_an_extra():
    code = (
        "import sys; from wrinkle.datasets import DATASETS; [d.read for d in DATASETS.values()];"
        "sys.exit(any(name in sys.modules for name in ('torch', 'cv2', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
