import os
from pathlib import Path

import pytest
from benchmarks.local_web import JPEG, picture

from tests.curation.fetching import make_fetcher
from wrinkle.curation.sources import SearchResult, find
from wrinkle.curation.sources.local_files import read_file
from wrinkle.curation.web.fetch_result import Status
from wrinkle.curation.web.fetcher import Limits
from wrinkle.errors import WrinkleError


def found(source: str, path: Path) -> list[SearchResult]:
    return list(find(source, make_fetcher(), str(path), 100))


def failure(source: str, path: Path) -> str:
    with pytest.raises(WrinkleError) as caught:
        found(source, path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Lists


def test_a_list_of_lines_is_read(tmp_path):
    file = tmp_path / "urls.txt"
    file.write_text("\ufeffhttp://h/1.jpg\r\n\n  http://h/ü.jpg  \n../../etc/passwd\n", "utf-8")
    urls = ["http://h/1.jpg", "http://h/ü.jpg", "../../etc/passwd"]
    assert found("url_list", file) == [SearchResult(url, str(file), "url_list") for url in urls]


def test_a_table_with_other_columns_is_read(tmp_path):
    file = tmp_path / "urls.CSV"
    file.write_text('licence,url,creator,age\nCC0,http://h/1.jpg,"Ann, B.",7\n,http://h/2.jpg,,\n')
    assert found("url_list", file) == [
        SearchResult("http://h/1.jpg", str(file), "url_list", licence="CC0", creator="Ann, B."),
        SearchResult("http://h/2.jpg", str(file), "url_list"),
    ]


def test_unreadable_lists_are_one_line(tmp_path):
    assert failure("url_list", tmp_path / "none.txt").endswith("No such file or directory")
    file = tmp_path / "urls.csv"
    file.write_text("address\nhttp://h/\n")
    assert "lacks the column url" in failure("url_list", file)
    file = tmp_path / "urls.txt"
    file.write_bytes(b"http://h/\xff\xfe.jpg\n")
    assert "is not UTF-8 text" in failure("url_list", file)


def test_a_local_file_in_a_list_is_not_read(tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(JPEG)
    file = tmp_path / "urls.txt"
    file.write_text(f"{secret.as_uri()}\n{secret}\n")
    for entry in found("url_list", file):
        assert make_fetcher().fetch(entry.url).status == Status.BAD_URL


# Folders


def test_pictures_of_a_folder_are_found(tmp_path):
    for name in ("b.jpg", "a/ü #1%41.png", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture("PNG", (8, 6)) if "png" in name else JPEG)
    entries = found("folder", tmp_path)
    assert [entry.url for entry in entries] == [
        (tmp_path / name).as_uri() for name in ("a/ü #1%41.png", "b.jpg")
    ]
    png, jpeg = (read_file(entry, Limits()) for entry in entries)
    assert (png.status, png.width, png.height) == (Status.KEPT, 8, 6)
    assert (jpeg.status, jpeg.data, jpeg.http_status) == (Status.KEPT, JPEG, None)
    assert jpeg.url == jpeg.final_url == entries[1].url


def test_pictures_with_names_that_are_not_utf8_are_read(tmp_path):
    name = os.fsdecode(b"\xff.jpg")
    (tmp_path / name).write_bytes(JPEG)
    (entry,) = found("folder", tmp_path)
    assert entry.url.isascii()
    assert read_file(entry, Limits()).status == Status.KEPT


def test_a_relative_folder_is_accepted(tmp_path, monkeypatch):
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "a.jpg").write_bytes(JPEG)
    monkeypatch.chdir(tmp_path)
    (entry,) = found("folder", Path("album"))
    assert read_file(entry, Limits()).status == Status.KEPT


def test_nothing_outside_the_folder_is_read(tmp_path):
    album, secret = tmp_path / "album", tmp_path / "secret.jpg"
    album.mkdir()
    secret.write_bytes(JPEG)
    (album / "link.jpg").symlink_to(secret)
    (album / "inner.jpg").write_bytes(JPEG)
    (album / "good.jpg").symlink_to("inner.jpg")
    statuses = {e.url: read_file(e, Limits()).status for e in found("folder", album)}
    assert statuses == {
        (album / "good.jpg").as_uri(): Status.KEPT,
        (album / "inner.jpg").as_uri(): Status.KEPT,
        (album / "link.jpg").as_uri(): Status.OUTSIDE,
    }
    for url in (f"{album.as_uri()}/../secret.jpg", f"{album.as_uri()}/%2e%2e/secret.jpg"):
        done = read_file(SearchResult(url, str(album), "folder"), Limits())
        assert (done.status, done.data) == (Status.OUTSIDE, None)


def test_unsuitable_files_are_refused(tmp_path):
    files = {
        "page.jpg": (b"<html>", Status.NOT_A_PICTURE),
        "empty.jpg": (b"", Status.NOT_A_PICTURE),
        "long.jpg": (JPEG + bytes(9999), Status.TOO_LARGE),
        "wide.png": (picture("PNG", (200, 200)), Status.TOO_MANY_PIXELS),
    }
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    wanted = {name: status for name, (_, status) in files.items()}
    wanted |= dict.fromkeys(("gone.jpg", "loop.jpg", "pipe.jpg"), Status.UNREADABLE)
    limits = Limits(size=9000, pixels=39_999)
    done = {e.url: read_file(e, limits) for e in found("folder", tmp_path)}
    assert {Path(url).name: fetched.status for url, fetched in done.items()} == wanted
    assert all("\n" not in fetched.detail for fetched in done.values())


def test_paths_without_pictures_are_one_line(tmp_path):
    assert "no picture found" in failure("folder", tmp_path)
    (tmp_path / "a.jpg").write_bytes(JPEG)
    for path in (tmp_path / "a.jpg", tmp_path / "none"):
        assert failure("folder", path) == f"{path} is not a folder: give one with pictures"
