import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.local_web import CONTACT

from tests.curation.people.fake_label_studio import LEGACY, FakeLabelStudio
from tests.curation.workspaces import (
    ANNOTATORS,
    Picture,
    append,
    collected,
    crop,
    divided,
    labelled,
    some,
)
from wrinkle.curation import export
from wrinkle.curation.config import Refine, SourceSection, load_config
from wrinkle.curation.people import refine
from wrinkle.curation.people.label_studio import KEY
from wrinkle.curation.people.refine import REFINED
from wrinkle.curation.people.tasks import VOTES
from wrinkle.curation.remove import Removed, finish, remove, returned, without
from wrinkle.curation.stages import collect
from wrinkle.curation.stages.coarse_label import SCHEMA as ANSWERS
from wrinkle.curation.stages.coarse_label import answers_stage
from wrinkle.curation.web.fetcher import Fetcher
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError
from wrinkle.files import replacing
from wrinkle.settings import NamedPart

PEOPLE: dict[str, Any] = {"query": "Ann Example", "person": "Ann Example"}
ANN = Picture(
    "ann secret",
    (3.0, 30.0),
    title="Ann's title",
    creator="Carl Creator",
    page="https://example.org/anns-page",
    final_url="https://cdn.example.org/ann-final.jpg",
    hashes=(1 << 40, 0xFFFF),
    **PEOPLE,
)
AGAIN = Picture("ann-mirror", data=ANN.bytes, url="https://mirror.example.org/ann-mirror.jpg")
NEAR = Picture("ann-smaller", hashes=((1 << 40) + 3,))
BLURRED = Picture("ann-blurred", hashes=((1 << 40) + 12,), dropped="blurred")
OTHERS = some(5)
SECRETS = (
    *("ann secret", "ann%20secret", "Ann Example", "Ann's title", "Carl Creator", "anns-page"),
    *("ann-final", "ann-mirror", "ann-smaller", "ann-blurred"),
)
GONE = (ANN, AGAIN, NEAR, BLURRED)


def full(root: Path) -> Workspace:
    """A workspace with all there is: people's answers, an export, parts that no longer count."""
    workspace = divided(root, [ANN, AGAIN, NEAR, BLURRED, *OTHERS], test=2)
    faces = workspace.table("coarse_label", "face")["face"].to_pylist()
    votes = [{"face": face, "person": "1", "age": 5.0, "unusable": False} for face in faces]
    append(workspace, "votes", votes, VOTES)
    append(workspace, "refine", [{"face": face, "age": 5.0} for face in faces], REFINED)
    with replacing(root / "export") as folder:
        export.write(workspace, folder, "Made")
    for left in ("export.part", "export.old", "faces/000007.part", "pictures/zz"):
        (root / left).mkdir()
        (root / left / "half").write_bytes(ANN.bytes + b"Ann Example")
    picture = workspace.picture(ANN.digest)
    picture.with_name(f"{picture.name}.part").write_bytes(ANN.bytes)
    return workspace


def contents(root: Path) -> Iterator[tuple[Path, bytes]]:
    """All files, tables both as they lie and as they are read."""
    for file in root.rglob("*"):
        yield file, str(file.relative_to(root)).encode()
        if file.is_file():
            yield file, file.read_bytes()
        if file.suffix in (".parquet", ".arrow"):
            read = pq.read_table if file.suffix == ".parquet" else pa.ipc.open_file
            table = read(file)
            table = table if isinstance(table, pa.Table) else table.read_all()
            yield (
                file,
                b"\n".join(_plain(value) for row in table.to_pylist() for value in row.values()),
            )


def _plain(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"\n".join(map(_plain, value.values()))
    return value if isinstance(value, bytes) else str(value).encode()


def traces(root: Path, secrets: tuple[str | bytes, ...]) -> set[str]:
    """Where they are found, by the first folder."""
    wanted = [each if isinstance(each, bytes) else each.encode() for each in secrets]
    return {
        file.relative_to(root).parts[0]
        for file, data in contents(root)
        if any(each in data for each in wanted)
    }


def crops(*pictures: Picture) -> list[bytes]:
    return [crop(f"{p.digest}-{k}") for p in pictures for k in range(len(p.ages))]


def state(workspace: Workspace) -> dict[str, Any]:
    """Tables and other files, whatever parts hold them."""
    tables = {
        path.name: sorted(map(str, workspace.table(path.name).to_pylist()))
        for path in workspace.root.iterdir()
        if workspace.parts(path.name) and path.name != "pictures"
    }
    removed = workspace.table("removed", "key")["key"].to_pylist()
    files = {
        str(path.relative_to(workspace.root))
        for path in workspace.root.rglob("*")
        if path.is_file() and path.parent.parent.name not in tables and path.name != ".lock"
    }
    return {**tables, "removed": sorted(removed), "files": files - {"notes/removed.json"}}


@pytest.mark.parametrize(
    "names",
    [
        {"urls": ["HTTPS://EXAMPLE.org:443/x/../%61nn secret.jpg#me"]},
        {"urls": ["https://cdn.example.org/ann-final.jpg"]},
        {"urls": ["https://mirror.example.org/ann-mirror.jpg"]},
        {"persons": ["Ann Example"]},
        {"faces": [f"{ANN.digest}-1"]},
        {"faces": [NEAR.face]},
    ],
)
def test_every_trace_is_removed(tmp_path: Path, names: dict[str, list[str]]) -> None:
    workspace = full(tmp_path)
    digests = tuple(p.digest for p in GONE)
    before = traces(tmp_path, (*SECRETS, *digests))
    assert before >= {"found", "collect", "faces", "deduplicate", "coarse_label", "votes", "refine"}
    assert before >= {"split", "pictures", "export", "export.part", "export.old"}
    assert traces(tmp_path, tuple(crops(ANN))) == {"faces", "export"}
    with workspace.locked():
        assert remove(workspace, **names) == Removed(4, 3, 4)
    query = ("Ann Example",) if "persons" not in names else ()
    secrets = tuple(secret for secret in SECRETS if secret not in query)
    assert traces(tmp_path, (*secrets, *(p.bytes for p in GONE), *crops(*GONE))) == set()
    assert traces(tmp_path, digests) == {"removed"}
    assert not list(tmp_path.glob("*export*"))
    # All others stay as they were.
    assert len(workspace.table("found").filter(pa.compute.field("address").is_valid())) == 5
    for stage in ("collect", "faces", "deduplicate", "coarse_label", "votes", "refine", "split"):
        assert len(workspace.table(stage)) == 5
    for choice in ANNOTATORS:
        assert len(workspace.table(answers_stage(choice))) == 5
    assert {p.name for p in tmp_path.glob("pictures/*/*")} == {p.digest for p in OTHERS}


def test_journals_of_killed_runs_are_cleaned_too(tmp_path: Path) -> None:
    workspace = full(tmp_path)
    late = Picture("ann-late", data=ANN.bytes)
    row = {**dict.fromkeys(collect.SCHEMA.names), "address": late.address, "picture": late.digest}
    workspace.journal_file("collect").parent.mkdir(exist_ok=True)
    workspace.journal_file("collect").write_text(json.dumps(row) + '\n{"addr')
    image = crop(ANN.face)
    digest = (
        workspace.table("faces").filter(pa.compute.field("image") == image)["digest"][0].as_py()
    )
    answer = {**dict.fromkeys(ANSWERS.names), "digest": digest, "raw": "Ann's answer"}
    stage = answers_stage(NamedPart(name="rekognition"))
    workspace.journal_file(stage).write_text(json.dumps(answer) + "\n")
    with workspace.locked():
        remove(workspace, faces=[ANN.face])
    assert traces(tmp_path, ("ann-late", "Ann's answer", '{"addr', digest)) == set()
    assert collect.key(late.address) in collect.removed(workspace)


def test_a_search_for_a_removed_person_is_deleted(tmp_path: Path) -> None:
    bob = Picture("bob", query="Bob", person="Bob")
    empty = [
        {"search": json.dumps(["bing", "Ann Example", 5]), "dropped": "nothing found"},
        {"search": json.dumps(["bing", "Bob", 5]), "dropped": "nothing found"},
        {"search": ANN.search, "dropped": "bad URL", "url": "ftp://x/ann", **PEOPLE},
    ]
    workspace = labelled(tmp_path, [ANN, AGAIN, bob])
    append(workspace, "found", empty, collect.FOUND_SCHEMA)
    remove(workspace, persons=["Ann Example"])
    assert traces(tmp_path, ("Ann Example", "ftp://x/ann")) == set()
    rows = workspace.table("found").to_pylist()
    said = {(json.loads(row["search"])[1], row["dropped"], row["url"]) for row in rows}
    assert said == {
        ("portrait", "removed", None),
        ("Bob", None, bob.address),
        ("Bob", "nothing found", None),
    }
    (tmp_path / "c.yaml").write_text(
        "workspace: ws\ncontact: me@example.org\ncollect:\n  sources:\n"
        "  - {source: wikimedia, queries: [Ann Example, Bob], people: true, limit: 2000}\n"
        "  - {source: bing, queries: [Ann Example], people: true}\n"
        "  - {source: bing, queries: [Ann Example]}\n"
    )
    left = without(load_config(tmp_path / "c.yaml"), workspace)
    assert [s.queries for s in left.collect.sources] == [("Bob",), (), ("Ann Example",)]


def test_an_invalid_url_can_be_removed(tmp_path: Path) -> None:
    workspace = labelled(tmp_path, some(1))
    url = "ftp://example.org/ann.jpg"
    row = {"search": some(1)[0].search, "dropped": "bad URL", "url": url, "title": "Ann"}
    append(workspace, "found", [row], collect.FOUND_SCHEMA)
    assert remove(workspace, urls=[url]) == Removed(0, 0, 0)
    assert traces(tmp_path, (url, "Ann")) == set()
    assert len(workspace.table("found")) == 2


def test_a_removed_picture_is_not_collected_again(tmp_path: Path) -> None:
    folder, workspace = tmp_path / "pictures here", Workspace(tmp_path / "ws")
    folder.mkdir()
    for k in range(3):
        image = np.full((20, 20, 3), 60 * k, np.uint8)
        (folder / f"p{k}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    fetcher = Fetcher(CONTACT)

    def look(limit: int) -> dict[str, str | None]:
        source = SourceSection(source="folder", queries=(str(folder),), limit=limit)
        assert collect.search(workspace, [source], fetcher) == []
        collect.collect(workspace, fetcher)
        rows = workspace.table("collect").to_pylist()
        return {row["address"].rpartition("/")[2]: row["dropped"] for row in rows}

    assert look(10) == {"p0.png": None, "p1.png": None, "p2.png": None}
    remove(workspace, urls=[(folder / "p1.png").as_uri()])
    assert look(10) == {"p0.png": None, "p2.png": None}
    shutil.copy(folder / "p1.png", folder / "p9.png")
    assert look(100) == {"p0.png": None, "p2.png": None, "p9.png": "removed"}
    assert len(list(workspace.root.glob("pictures/*/*"))) == 2
    assert traces(workspace.root, ("p1.png",)) == set()


class Killed(BaseException):
    pass


NAMES: dict[str, Any] = {"persons": ["Ann Example"]}


@pytest.mark.kills
def test_a_removal_killed_at_any_step_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = full(tmp_path / "whole")
    with whole.locked():
        remove(whole, **NAMES)
    expected = state(whole)
    template = full(tmp_path / "template").root
    real = {name: getattr(Workspace, name) for name in ("replace", "append", "write_note")}
    for deadly in range(100):
        done = deadly % 2  # after that call, or before it
        root = tmp_path / f"killed{deadly}"
        shutil.copytree(template, root)
        workspace, calls = Workspace(root), iter(range(100))

        def maybe(name: str, calls: Any = calls, deadly: int = deadly, done: int = done) -> Any:
            def call(*args: Any) -> None:
                fatal = next(calls) == deadly
                if done or not fatal:
                    real[name](*args)
                if fatal:
                    raise Killed

            return call

        with monkeypatch.context() as patch:
            for name in real:
                patch.setattr(Workspace, name, maybe(name))
            try:
                with workspace.locked():
                    remove(workspace, **NAMES)
                break
            except Killed:
                pass
        with workspace.locked():
            if done and workspace.table("removed").num_rows:
                finish(workspace)  # as any other command does
            else:
                remove(workspace, **NAMES)
        assert state(workspace) == expected, deadly
    assert deadly > 10


def tree(root: Path) -> dict[Path, bytes]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {
        path: path.read_bytes()
        for path in files
        if path.name != ".lock" and path.suffix != ".jsonl"
    }


@pytest.mark.parametrize(
    "names",
    [
        {"urls": ["https://example.org/nobody.jpg"]},
        {"urls": [ANN.address, "not a URL"]},
        {"urls": ["Ann Example"]},
        {"persons": ["ann example"]},
        {"persons": ["Ann Example", ANN.address]},
        {"faces": ["nobody-0"]},
        {"faces": [ANN.face, "Ann Example"]},
        {"faces": [""]},
    ],
)
def test_an_unknown_name_is_one_line_and_changes_nothing(
    tmp_path: Path, names: dict[str, list[str]]
) -> None:
    workspace = full(tmp_path)
    before = tree(tmp_path)
    unknown = list(names.values())[-1][-1]
    with pytest.raises(WrinkleError, match=f"^nothing here is known as {unknown}; noth") as error:
        remove(workspace, **names)
    assert "\n" not in str(error.value)
    assert tree(tmp_path) == before


def test_a_second_removal_is_allowed(tmp_path: Path) -> None:
    workspace = full(tmp_path)
    remove(workspace, urls=[ANN.address])
    before = tree(tmp_path)
    (tmp_path / "export").mkdir()
    names = {"urls": [ANN.address, AGAIN.address], "faces": [f"{ANN.digest}-0"]}
    assert remove(workspace, **names) == Removed(0, 0, 0)
    assert tree(tmp_path) == before
    assert (tmp_path / "export").exists()  # nothing had to be done


def test_everything_can_be_removed(tmp_path: Path) -> None:
    workspace = divided(tmp_path, OTHERS)
    remove(workspace, urls=[p.address for p in OTHERS])
    for stage in ("collect", "faces", "deduplicate", "coarse_label", "split"):
        assert len(workspace.table(stage)) == 0
    assert {row["dropped"] for row in workspace.table("found").to_pylist()} == {"removed"}


def test_a_picture_without_a_face_can_be_removed(tmp_path: Path) -> None:
    workspace = divided(tmp_path, [Picture("empty", ()), *OTHERS])
    digest = Picture("empty", ()).digest
    assert remove(workspace, faces=[digest]) == Removed(1, 1, 0)
    assert traces(tmp_path, (digest,)) == {"removed"}
    assert len(workspace.table(answers_stage(ANNOTATORS[0]))) == 5


def test_a_picture_can_be_removed_before_faces_are_detected(tmp_path: Path) -> None:
    workspace = collected(tmp_path, [ANN, AGAIN, *OTHERS])
    assert remove(workspace, urls=[AGAIN.address]) == Removed(2, 1, 0)
    assert traces(tmp_path, ("ann-mirror", "ann%20secret", ANN.bytes)) == set()
    assert len(workspace.table("collect")) == 5


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLabelStudio]:
    monkeypatch.setenv(KEY, LEGACY)
    with FakeLabelStudio().running() as studio:
        yield studio


def test_tasks_on_the_server_are_deleted_first(studio: FakeLabelStudio, tmp_path: Path) -> None:
    workspace, settings = full(tmp_path), Refine(url=studio.url)
    refine.push(workspace, settings)
    workspace.discard("faces")  # as --again does: other tables still know its faces
    before = {task["meta"]["face"] for task in studio.stored.values()}
    assert any(ANN.digest in face for face in before)
    remove(workspace, urls=[ANN.address], settings=settings)
    after = {task["meta"]["face"] for task in studio.stored.values()}
    gone = {face for face in before if face.partition("-")[0] in {ANN.digest, NEAR.digest}}
    assert after == before - gone


def test_a_server_that_is_down_is_one_line_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, LEGACY)
    workspace = full(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(WrinkleError) as error:
        remove(workspace, settings=Refine(url="http://127.0.0.1:9"), **NAMES)
    assert "\n" not in str(error.value)
    assert "127.0.0.1:9" in str(error.value)
    assert tree(tmp_path) == before


def test_the_same_photograph_from_elsewhere_is_removed_again(tmp_path: Path) -> None:
    workspace = labelled(tmp_path / "ws", [ANN, *OTHERS])
    assert returned(workspace) == []
    remove(workspace, urls=[ANN.address])
    assert returned(workspace) == []
    saved_anew = Picture("elsewhere", hashes=((1 << 40) + 1,))
    stranger = Picture("stranger", hashes=(0xFFFFFF << 30,))
    other = labelled(tmp_path / "other", [saved_anew, stranger])
    for stage in ("found", "collect", "faces"):
        workspace.append(stage, other.frame(stage))
    assert returned(workspace) == [saved_anew.face]
    remove(workspace, faces=returned(workspace))
    assert returned(workspace) == []
    left = set(workspace.table("collect")["picture"].to_pylist())
    assert left == {p.digest for p in (*OTHERS, stranger)}


def test_answers_to_earlier_crops_are_deleted(tmp_path: Path) -> None:
    workspace = labelled(tmp_path / "ws", [ANN, *OTHERS])
    stage = answers_stage(ANNOTATORS[0])
    before = len(workspace.table(stage))
    append(workspace, stage, [{"digest": "of an old crop", "age": 30.0}], ANSWERS)
    remove(workspace, urls=[ANN.address])
    digests = workspace.table(stage)["digest"].to_pylist()
    assert "of an old crop" not in digests
    assert len(digests) == before - len(ANN.ages)
