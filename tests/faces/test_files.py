from pathlib import Path

import pytest

from wrinkle.errors import WrinkleError
from wrinkle.faces.files import list_images


@pytest.fixture
def album(tmp_path, monkeypatch) -> Path:
    for name in (
        *("b.jpg", "a.PNG", "notes.txt", "._b.jpg", ".hidden/x.jpg", "2020/c.heic"),
        *("2020/deep/d.tif", "2020/list.csv", "empty/readme.md", "odd[1].jpg"),
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folder_is_searched_in_depth_and_sorted(album):
    names = [path.relative_to(album).as_posix() for path in list_images([album])]
    assert names == ["2020/c.heic", "2020/deep/d.tif", "a.PNG", "b.jpg", "odd[1].jpg"]


def test_globs_are_expanded(album):
    assert list_images(["*.jpg"]) == [Path("b.jpg"), Path("odd[1].jpg")]
    assert list_images(["**/*.tif"]) == [Path("2020/deep/d.tif")]
    assert list_images(["20*"]) == [Path("2020/c.heic"), Path("2020/deep/d.tif")]
    assert list_images(["[ab].*"]) == [Path("a.PNG"), Path("b.jpg")]
    assert list_images(["2020/**"]) == [Path("2020/c.heic"), Path("2020/deep/d.tif")]


def test_files_keep_their_names_and_order(album):
    names = ["notes.txt", "missing.jpg", "b.jpg", "a.PNG", "b.jpg", "odd[1].jpg"]
    assert list_images(names) == [Path(name) for name in names]
    assert list_images([]) == []


def test_a_folder_or_glob_without_a_picture_is_one_line(album):
    for name in ("empty", "*.webp", "missing/*"):
        with pytest.raises(WrinkleError, match="no picture found in") as caught:
            list_images([name])
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_circular_links_to_folders_end(album):
    (album / "2020" / "loop").symlink_to(album, target_is_directory=True)
    assert list_images(["2020"]) == [Path("2020/c.heic"), Path("2020/deep/d.tif")]
