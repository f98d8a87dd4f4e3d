"""Files are complete or absent, and an error says what is kept."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wrinkle.errors import WrinkleError
from wrinkle.files import check_output, replace_file, replacing


def write_file(path: Path, text: str) -> None:
    path.write_text(text)


def write_folder(path: Path, text: str) -> None:
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "file").write_text(text)


def read(path: Path) -> str:
    return (path / "inner" / "file" if path.is_dir() else path).read_text()


each_kind = pytest.mark.parametrize("write", [write_file, write_folder])
Write = Callable[[Path, str], None]


@each_kind
def test_the_new_content_replaces_the_old(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "made" / "thing"
    for text in ("old", "new"):
        with replacing(path) as temporary:
            assert temporary.parent == path.parent
            write(temporary, text)
        assert read(path) == text
    assert os.listdir(path.parent) == ["thing"]


@each_kind
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_keeps_the_old_content(
    tmp_path: Path, write: Write, error: type[BaseException]
) -> None:
    path = tmp_path / "thing"
    write(path, "old")

    def fail() -> None:
        with replacing(path) as temporary:
            write(temporary, "half")
            raise error

    with pytest.raises(error):
        fail()
    assert read(path) == "old"
    assert os.listdir(tmp_path) == ["thing"]


@each_kind
def test_content_of_a_killed_process_is_removed_first(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "thing"
    for left in ("thing.part", "thing.old"):
        write_folder(tmp_path / left, "left over")
    with replacing(path) as temporary:
        assert not temporary.exists()
        write(temporary, "new")
    assert read(path) == "new"
    assert ("thing.old" in os.listdir(tmp_path)) == path.is_file()
    assert not (tmp_path / "thing.part").exists()


def test_only_a_folder_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "notes.old").write_text("the user's own file")
    replace_file(tmp_path / "notes", b"new")
    replace_file(tmp_path / "notes", b"newer")
    assert (tmp_path / "notes.old").read_text() == "the user's own file"


def test_two_writers_have_their_own_temporary_files(tmp_path: Path) -> None:
    with replacing(tmp_path / "a", "-1") as one, replacing(tmp_path / "a", "-2") as two:
        assert one != two
        one.write_text("1")
        two.write_text("2")
    assert os.listdir(tmp_path) == ["a"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WrinkleError, match="cannot write") as error:
        replace_file(tmp_path / "file" / "inside", b"")
    assert "\n" not in str(error.value)


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


def test_only_a_file_of_the_same_kind_may_be_replaced(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"

    def check(inputs: tuple[Path, ...] = ()) -> None:
        check_output(path, "a poem", lambda head: head.startswith(b"O "), inputs)

    check((other,))
    path.write_bytes(b"")
    check()
    path.write_bytes(b"O wild West Wind")
    check()
    with pytest.raises(WrinkleError, match="is read here and would be overwritten"):
        check((other, tmp_path / "x" / ".." / "a"))
    path.write_bytes(b"path,age")
    with pytest.raises(WrinkleError, match="exists and is not a poem"):
        check()
