import hashlib
import json
from pathlib import Path

import daft
import pyarrow as pa
import pytest
from benchmarks.local_web import JPEG, Server, answer, picture, redirect, resolve_to_loopback

from tests.curation.fetching import make_fetcher
from wrinkle.curation.config import SourceSection
from wrinkle.curation.stages.collect import (
    REMOVED,
    collect,
    forget_temporary_errors,
    key,
    removed,
    search,
)
from wrinkle.curation.web.fetcher import Fetcher
from wrinkle.curation.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


@pytest.fixture
def fetcher() -> Fetcher:
    return make_fetcher(resolver=resolve_to_loopback, limits={"interval": 0.0})


def listed(tmp_path: Path, name: str, *urls: str, **fields: object) -> SourceSection:
    (tmp_path / name).write_text("\n".join(urls))
    return SourceSection(source="url_list", queries=(str(tmp_path / name),), **fields)


def ends(workspace: Workspace) -> dict[str, str | None]:
    table = workspace.table("collect", "address", "dropped").to_pydict()
    return dict(zip(table["address"], table["dropped"], strict=True))


def test_each_url_is_fetched_once(
    server: Server, workspace: Workspace, fetcher: Fetcher, tmp_path: Path
) -> None:
    other = picture("PNG")
    server.routes |= {"/a.jpg": answer(JPEG), "/b.png": answer(other), "/c": redirect("/a.jpg")}
    spelled = server.at("h.example", "/a.jpg").replace("h.example", "H.Example")
    sources = [
        listed(
            tmp_path, "one.txt", server.at("h.example", "/a.jpg"), f"{spelled}#there", "ftp://h/"
        ),
        listed(tmp_path, "two.txt", *(server.at("h.example", f"/{n}") for n in ("a.jpg", "b.png"))),
        listed(tmp_path, "three.txt", *(server.at("h.example", f"/{n}") for n in ("c", "none"))),
        listed(tmp_path, "empty.txt"),
    ]
    assert search(workspace, sources, fetcher) == []
    found = workspace.table("found").to_pylist()
    assert [row["dropped"] for row in found].count("bad URL") == 1
    assert [row["dropped"] for row in found].count("nothing found") == 1
    collect(workspace, fetcher)
    assert ends(workspace) == {
        server.at("h.example", "/a.jpg"): None,
        server.at("h.example", "/b.png"): None,
        server.at("h.example", "/c"): None,
        server.at("h.example", "/none"): "HTTP error",
    }
    rows = {row["address"]: row for row in workspace.table("collect").to_pylist()}
    through = rows[server.at("h.example", "/c")]
    assert through["final_url"] == server.at("h.example", "/a.jpg")
    assert through["picture"] == rows[server.at("h.example", "/a.jpg")]["picture"]
    for row in rows.values():
        if row["dropped"] is None:
            data = (workspace.root / row["path"]).read_bytes()
            assert data in (JPEG, other)
            assert (row["bytes"], row["width"], row["height"]) == (len(data), 12, 9)
    asked = sorted(server.pages)
    search(workspace, sources, fetcher)
    collect(workspace, fetcher)
    assert sorted(server.pages) == asked  # nothing is asked for twice
    assert len(workspace.table("found")) == len(found)


def test_a_failed_search_is_repeated(
    workspace: Workspace, fetcher: Fetcher, tmp_path: Path
) -> None:
    missing = SourceSection(source="url_list", queries=(str(tmp_path / "later.txt"),))
    problems = search(workspace, [missing, listed(tmp_path, "a.txt", "http://h/a")], fetcher)
    assert len(problems) == 1
    assert "later.txt" in problems[0]
    assert len(workspace.table("found")) == 1
    assert search(workspace, [listed(tmp_path, "later.txt", "http://h/b")], fetcher) == []
    assert len(workspace.table("found")) == 2


def test_a_larger_limit_is_a_new_search(
    workspace: Workspace, fetcher: Fetcher, tmp_path: Path
) -> None:
    urls = [f"http://h/{i}" for i in range(5)]
    for limit in (2, 4):
        search(workspace, [listed(tmp_path, "a.txt", *urls, limit=limit)], fetcher)
    addresses = workspace.table("found")["address"].to_pylist()
    assert addresses == [*urls[:2], *urls[:4]]


def test_local_folders_and_people_are_collected(
    workspace: Workspace, fetcher: Fetcher, tmp_path: Path
) -> None:
    (tmp_path / "Anna" / "deep").mkdir(parents=True)
    (tmp_path / "Anna" / "deep" / "ä b.jpg").write_bytes(JPEG)
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (tmp_path / "Anna" / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    source = SourceSection(source="folder", queries=(str(tmp_path / "Anna"),))
    search(workspace, [source], fetcher)
    collect(workspace, fetcher)
    assert sorted(map(str, ends(workspace).values())) == ["None", "outside its folder"]
    named = SourceSection(source="folder", queries=(str(tmp_path / "Anna"),), people=True, limit=9)
    search(workspace, [named], fetcher)
    persons = workspace.table("found")["person"].to_pylist()
    assert sorted(map(str, persons)) == ["Anna", "Anna", "None", "None"]


def test_temporary_errors_can_be_fetched_again(
    server: Server, workspace: Workspace, fetcher: Fetcher, tmp_path: Path
) -> None:
    server.routes |= {"/busy.jpg": answer(status=503), "/text.jpg": answer(b"<html>")}
    urls = [server.at("h.example", f"/{name}") for name in ("busy.jpg", "text.jpg", "none.jpg")]
    search(workspace, [listed(tmp_path, "a.txt", *urls)], fetcher)
    collect(workspace, fetcher)
    assert list(ends(workspace).values()).count("HTTP error") == 2
    server.routes["/busy.jpg"] = answer(JPEG)
    server.asked.clear()
    collect(workspace, fetcher)
    assert server.asked == []
    forget_temporary_errors(workspace)
    collect(workspace, fetcher)
    assert server.pages == ["/busy.jpg"]
    assert ends(workspace)[urls[0]] is None


def test_removed_pictures_do_not_come_back(
    server: Server, workspace: Workspace, fetcher: Fetcher, tmp_path: Path
) -> None:
    server.routes |= {"/a.jpg": answer(JPEG), "/b.png": answer(picture("PNG"))}
    urls = [server.at("h.example", name) for name in ("/a.jpg", "/b.png", "/a.jpg?again")]
    gone = [key(urls[1]), hashlib.sha256(JPEG).hexdigest()]
    workspace.append(REMOVED, daft.from_arrow(pa.table({"key": gone})))
    assert removed(workspace) == set(gone)
    search(workspace, [listed(tmp_path, "a.txt", *urls)], fetcher)
    assert urls[1] not in json.dumps(workspace.table("found").to_pylist())
    collect(workspace, fetcher)
    assert set(ends(workspace).values()) == {REMOVED}
    assert "/b.png" not in server.asked
    assert list(workspace.root.glob("pictures/**/*")) == []


def test_removed_persons_do_not_come_back_under_other_urls(
    workspace: Workspace, fetcher: Fetcher, tmp_path: Path
) -> None:
    gone = pa.table({"key": [key("Ann Example")]})
    workspace.append(REMOVED, daft.from_arrow(gone))
    (tmp_path / "new.csv").write_text(
        "url,person\nhttp://h/new.jpg,Ann Example\nhttp://h/b.jpg,Bob\n"
    )
    search(
        workspace, [SourceSection(source="url_list", queries=(str(tmp_path / "new.csv"),))], fetcher
    )
    rows = workspace.table("found").to_pylist()
    assert [row["dropped"] for row in rows] == [REMOVED, None]
    assert "Ann Example" not in json.dumps(rows)
    assert "new.jpg" not in json.dumps(rows)


def test_names_from_the_web_never_become_file_names(
    server: Server, workspace: Workspace, fetcher: Fetcher, tmp_path: Path
) -> None:
    server.routes["/"] = answer(JPEG)
    names = [
        "/..%2f..%2fetc%2fpasswd.jpg",
        "/%2e%2e/%2e%2e/x.jpg",
        "/a\\..\\..\\b.jpg",
        "/..;/x.jpg",
    ]
    for name in names:
        server.routes |= {path: answer(JPEG) for path in (name, name.replace("%2e", "."))}
    server.routes |= {"/x.jpg": answer(JPEG), "/b.jpg": answer(JPEG)}
    before = set(tmp_path.rglob("*"))
    search(
        workspace,
        [listed(tmp_path, "a.txt", *(server.at("h.example", name) for name in names))],
        fetcher,
    )
    collect(workspace, fetcher)
    kept = [row for row in workspace.table("collect").to_pylist() if row["dropped"] is None]
    assert kept
    for row in kept:
        assert row["path"] == f"pictures/{row['picture'][:2]}/{row['picture']}"
    outside = {path for path in tmp_path.rglob("*") if workspace.root not in path.parents}
    assert outside - before - {workspace.root} == {tmp_path / "a.txt"}
