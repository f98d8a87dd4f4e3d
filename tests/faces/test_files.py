import os
from pathlib import Path

import pytest

from wrinkle.errors import WrinkleError
from wrinkle.faces.files import find_images, list_images


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


def test_links_to_folders_are_not_walked_in_circles(album):
    (album / "2020" / "loop").symlink_to(album / "2020", target_is_directory=True)
    expected = [Path("2020/c.heic"), Path("2020/deep/d.tif")]
    for name in ("2020", "2020/**", "**/2020/**/*.*"):
        assert list_images([name]) == expected, name


def test_linked_folders_are_searched_and_each_real_file_is_found_once(album):
    other = album / "other"
    (other / "back").mkdir(parents=True)
    (other / "e.jpg").touch()
    (other / "back" / "loop").symlink_to(album, target_is_directory=True)
    (album / "2020" / "a_link").symlink_to(other, target_is_directory=True)
    (album / "2020" / "b_link.tif").symlink_to(album / "2020" / "deep" / "d.tif")
    found = find_images(["2020/deep", "2020/c.heic", "2020"])
    names = [path.as_posix() for path in found.files]
    assert names[:2] == ["2020/deep/d.tif", "2020/c.heic"]
    assert len(names) == len({path.resolve() for path in found.files}) == 6
    assert "2020/a_link/e.jpg" in names
    assert find_images(["2020", "2020/**", "20*"]).files == find_images(["2020"]).files
    assert not found.faults
    assert "other names" in found.summary()


def test_unusual_suffixes(album):
    for name in ("a.mpo", "b.pnm", "c.apng", "d.PBM"):
        (album / "unusual" / name).parent.mkdir(exist_ok=True)
        (album / "unusual" / name).touch()
    for name, head in (
        *(("e.jpg_large", b"\xff\xd8\xff\xe0"), ("f", b"\x89PNG\r\n\x1a\n"), ("g.bin", b"GIF89a")),
        ("h.orig", b"RIFF\0\0\0\0WEBPVP8 "),
    ):
        (album / "unusual" / name).write_bytes(head + bytes(40))
    (album / "unusual" / "film.mov").write_bytes(b"\0\0\0\x14ftypqt  " + bytes(40))
    (album / "unusual" / "notes").write_text("Plan 9")
    found = find_images(["unusual"])
    assert [path.name[0] for path in found.files] == list("abcdefgh")
    assert found.passed_over == {".mov": 1, "without a suffix": 1}
    assert found.summary() == "passed over 2 files (1 .mov, 1 without a suffix)"


def test_what_is_passed_over_is_counted(album, monkeypatch):
    (album / "2020" / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(album / "2020" / "pipe.jpg")
    scan = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_images(["."])
    summary = found.summary()
    for words in (".txt", ".csv", ".md", "hidden", "pipe", "2020/deep (Permission denied)"):
        assert words in summary
    assert "2020/gone.jpg" in summary
    assert "\n" not in summary
    assert find_images(["b.jpg"]).summary() is None


def test_urls_are_refused_by_name():
    found = find_images(["https://example.org/a.jpg?b=[1]", "HTTP://x/*.jpg", "b.jpg"])
    assert found.files == [Path("b.jpg")]
    assert len(found.faults) == 2
    assert found.faults[0].startswith("https://example.org/a.jpg?b=[1]: is a URL")
    with pytest.raises(WrinkleError, match="URL"):
        list_images(["https://example.org/a.jpg"])
