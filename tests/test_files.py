"""Files are complete or absent, and an error says what is kept."""

import errno
import os
from pathlib import Path

import pytest

from wrinkle.errors import WrinkleError
from wrinkle.files import replace_file, replacing


def test_an_error_says_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"older")
    with pytest.raises(WrinkleError, match="disk is full; what is done is kept") as caught:
        _fill_the_disk(path)
    assert "\n" not in str(caught.value)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"older"]


def test_a_file_in_place_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WrinkleError, match="cannot write"):
        replace_file(tmp_path / "file" / "folder" / "x.bin", b"new")


def _fill_the_disk(path: Path) -> None:
    with replacing(path, kept="what is done") as temporary:
        temporary.write_bytes(b"newer")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
