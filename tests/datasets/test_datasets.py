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


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_one_clear_line(name, tmp_path):
    with pytest.raises(WrinkleError) as caught:
        read_dataset(name, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_name_lists_the_choices():
    with pytest.raises(WrinkleError, match=r"'fg-net'.*fgnet, utkface, folder"):
        read_dataset("fg-net", ".")


def test_missing_root(tmp_path):
    with pytest.raises(WrinkleError, match="does not exist"):
        read_dataset("utkface", tmp_path / "nowhere")


def test_reading_needs_no_torch():
    code = (
        "import sys; from wrinkle.datasets import DATASETS; [d.read for d in DATASETS.values()];"
        "sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
