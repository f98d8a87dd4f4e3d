import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import daft
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.curation.workspaces import (
    ANNOTATORS,
    SIDE,
    Picture,
    append,
    config_of,
    crop,
    divided,
    labelled,
    some,
)
from wrinkle.curation import export
from wrinkle.curation.config import Split
from wrinkle.curation.people.refine import REFINED
from wrinkle.curation.people.tasks import VOTES
from wrinkle.curation.stages import card, coarse_label
from wrinkle.curation.stages.split import split
from wrinkle.curation.workspace import Workspace
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.files import replacing
from wrinkle.protocols import get_protocol
from wrinkle.settings import NamedPart


def exported(workspace: Workspace) -> Path:
    with replacing(workspace.root / "export") as folder:
        export.write(workspace, folder, "Made")
    return workspace.root / "export"


def with_card(workspace: Workspace, annotators: Sequence[NamedPart] = ANNOTATORS) -> Path:
    settings = {"card": {"name": "Made"}, "coarse_label": {"annotators": annotators}}
    return card.write_export(workspace, config_of(workspace, **settings))


def parquet(folder: Path) -> pa.Table:
    files = sorted((folder / "huggingface" / "data").iterdir())
    return pa.concat_tables(map(pq.read_table, files))


def tables_of(folder: Path) -> dict[str, dict]:
    return {row["face"]: row for row in parquet(folder).to_pylist()}


def test_ranges_are_exported_as_ranges(tmp_path: Path) -> None:
    annotator = ANNOTATORS[0]
    workspace = labelled(tmp_path, some(12), [annotator])
    stage = coarse_label.answers_stage(annotator)
    rows = workspace.table(stage).sort_by("age").to_pylist()
    for row in rows[:8]:
        row |= {"age_low": row["age"] - 0.5, "age_high": row["age"] + 4.5, "age": row["age"] + 2}
    workspace.replace(stage, daft.from_arrow(pa.Table.from_pylist(rows, coarse_label.SCHEMA)))
    coarse_label.coarse_label(workspace, [annotator], 1)
    split(workspace, False, Split(test=3), 0)
    folder = with_card(workspace, [annotator])
    store = Store(folder / "faces.arrow")
    assert (~store.exact).sum() == 8
    named = dict(zip(store.columns["name"].to_pylist(), store.ranges.tolist(), strict=True))
    first = next(low_high for name, low_high in named.items() if Picture("p0").face in name)
    assert first == [0.0, 6.0]  # 0.5 to 5.5, rounded outwards
    features = tables_of(folder)[Picture("p0").face]
    assert (features["age"], features["age_low"], features["age_high"]) == (None, 0, 6)
    exact = tables_of(folder)[Picture("p11").face]
    assert (exact["age"], exact["age_low"], exact["age_high"]) == (12.0, None, None)
    assert "<b>0–6</b>" in (folder / card.PAGE).read_text(encoding="utf-8")


def test_the_store_opens_and_is_split_by_folder(tmp_path: Path) -> None:
    pictures = [*some(28), Picture("family", (3.0, 30.0)), Picture("ann", person="ann")]
    workspace = divided(tmp_path, pictures, test=5)
    store = Store(exported(workspace) / "faces.arrow")
    (fold,) = get_protocol("by-folder").folds(store.columns)
    names = np.array(store.columns["name"].to_pylist())
    drawn = {f"{row['part']}/{row['face']}.jpg" for row in workspace.table("split").to_pylist()}
    assert set(names) == drawn
    assert {name[:5] for name in names[fold.test]} == {"test/"}
    assert len(fold.test) == 5
    assert len(fold.train) + len(fold.validation) == 26
    assert len(fold.validation) in (2, 3)
    assert (store.size, store.info["dataset"]) == (SIDE, "Made")
    row = names.tolist().index(next(name for name in names if Picture("ann").face in name))
    about = {name: store.columns[name][row].as_py() for name in store.columns.column_names}
    assert about["person"] == "ann"
    assert about["digest"] == Picture("ann").digest
    assert about["source"] == "wikimedia"
    assert about["age"] == 31.0
    assert np.array_equal(store.key_points[row][0], [20.0, 24.0])
    own = np.asarray(Image.open(io.BytesIO(crop(Picture("ann").face))))
    assert np.abs(store.image(row).astype(int) - own).max() <= 2  # two decoders


def test_hugging_face_loads_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(export, "SHARD", 3)
    workspace = divided(tmp_path / "ws", some(9, licence="CC0"), test=4)
    folder = exported(workspace) / "huggingface"
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in loaded.items()} == {"train": 5, "test": 4}
    assert isinstance(loaded["train"].features["image"], datasets.Image)
    parts = {row["face"]: row["part"] for row in workspace.table("split").to_pylist()}
    ages = {picture.face: picture.ages[0] + 1 for picture in some(9)}
    for name, part in loaded.items():
        for row in part:
            assert row["image"].size == (SIDE, SIDE)
            assert parts[row["face"]] == name
            assert row["age"] == ages[row["face"]]
            assert row["sources"][0]["licence"] == "CC0"


def test_the_number_of_faces_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "SHARD", 3)
    monkeypatch.setattr(export, "CHUNK", 2)
    asked: list[int] = []
    pictures = export.pictures

    def counted(workspace: Workspace, faces: list[str]) -> dict[str, bytes]:
        asked.append(len(faces))
        return pictures(workspace, faces)

    monkeypatch.setattr(export, "pictures", counted)
    workspace = divided(tmp_path, some(11), test=3)
    folder = exported(workspace)
    assert max(asked) == 2
    sizes = {f.name: pq.read_metadata(f).num_rows for f in folder.glob("*/data/*")}
    assert sizes == {
        "test-00000-of-00001.parquet": 3,
        "train-00000-of-00003.parquet": 3,
        "train-00001-of-00003.parquet": 3,
        "train-00002-of-00003.parquet": 2,
    }
    assert tables_of(folder).keys() == {picture.face for picture in some(11)}
    assert len(Store(folder / "faces.arrow")) == 11


def test_rows_have_their_sources(tmp_path: Path) -> None:
    facts = {"licence": "CC0", "page": "https://a/p", "title": "T", "creator": "C", "person": "ann"}
    one = Picture("one", (33.0,), **facts, final_url="https://example.org/there.jpg")
    other = Picture("other", source="openverse", query="q2", data=one.bytes)
    twins = [Picture(name, hashes=(number,)) for number, name in enumerate(("t0", "t1", "t2"))]
    workspace = divided(tmp_path, [one, other, *some(4), *twins])
    faces = {row["face"]: row for row in workspace.table("faces").to_pylist()}
    rows = tables_of(exported(workspace))
    assert rows.keys() == {row["face"] for row in workspace.table("split").to_pylist()}
    for name, row in rows.items():
        for column in ("picture", "box", "key_points", "score", "size", "sharpness", "hash"):
            assert row[column] == faces[name][column]
        assert row["image"] == {"bytes": faces[name]["image"], "path": f"{name}.jpg"}
    row = rows[one.face]
    assert (row["age"], row["coarse_age"], row["age_deviation"]) == (34.0, 34.0, None)
    assert json.loads(row["coarse"]) == {"wrinkle": 33.0, "facepp": 35.0}
    assert (row["person"], row["votes"], row["duplicates"]) == ("ann", [], [])
    first, second = sorted(row["sources"], key=lambda source: source["source"], reverse=True)
    when = "2026-01-02T03:04:05+00:00"
    assert first == {
        **{name: facts[name] for name in ("licence", "page", "title", "creator")},
        "url": one.address,
        "final_url": "https://example.org/there.jpg",
        "source": "wikimedia",
        "query": "portrait",
        "fetched_at": when,
    }
    assert (second["url"], second["query"], second["licence"]) == (other.address, "q2", None)
    (kept,) = {twin.face for twin in twins} & rows.keys()
    assert rows[kept]["duplicates"] == sorted({twin.face for twin in twins} - {kept})


def test_rows_have_all_votes(tmp_path: Path) -> None:
    pictures = some(4)
    workspace = divided(tmp_path, pictures)
    votes = [
        {"face": p.face, "person": str(who), "age": 40.0 + who, "unusable": False, "round": 1}
        for p in pictures
        for who in (2, 1)
    ]
    append(workspace, "votes", votes, VOTES)
    refined = [{"face": p.face, "age": 41.5, "deviation": 0.7} for p in pictures]
    append(workspace, "refine", refined, REFINED)
    split(workspace, True, Split(test=1), 0)
    for row in tables_of(exported(workspace)).values():
        assert (row["age"], row["age_deviation"]) == (41.5, 0.7)
        assert row["coarse_age"] < 10
        assert row["votes"] == [{"person": str(k), "age": 40.0 + k, "round": 1} for k in (1, 2)]


def test_the_export_has_no_local_path(tmp_path: Path) -> None:
    home = tmp_path / "home of me"
    queries = {name: str(home / name) for name in ("pictures", "lists/urls.csv")}
    folder = [
        Picture(
            f"f{k}",
            source="folder",
            query=query,
            url=(home / "pictures" / "sub" / f"f {k}.jpg").as_uri(),
            title=None,
        )
        for k, query in enumerate((queries["pictures"], f"{home}/lists/../pictures/", "elsewhere"))
    ]
    listed = some(4, source="url_list", query=queries["lists/urls.csv"])
    own = NamedPart(name="wrinkle", model=f"{home}/own.safetensors")
    annotators = (own, NamedPart(name="facepp"))
    workspace = divided(home / "ws", [*folder, *listed], annotators=annotators)
    out = with_card(workspace, annotators)
    for file in out.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for secret in (str(tmp_path), home.name, "home%20of%20me"):
                assert secret.encode() not in data, file
    rows = tables_of(out)
    assert str(tmp_path) not in str([{**row, "image": None} for row in rows.values()])
    assert home.name not in str([{**row, "image": None} for row in rows.values()])
    assert "home%20of%20me" not in str([{**row, "image": None} for row in rows.values()])
    urls = [rows[picture.face]["sources"][0]["url"] for picture in folder]
    assert urls == ["sub/f%200.jpg", "sub/f%201.jpg", "f%202.jpg"]
    assert rows[listed[0].face]["sources"][0]["url"] == listed[0].address
    assert rows[listed[0].face]["sources"][0]["query"] == "urls.csv"
    assert json.loads(rows[listed[0].face]["coarse"]).keys() == {
        "wrinkle:own.safetensors",
        "facepp",
    }
    assert "wrinkle:own.safetensors" in (out / "card.html").read_text()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["write", "readme", "replace"])
def test_after_a_kill_there_is_a_complete_export_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    workspace = divided(tmp_path, some(5))
    real = os.replace

    def die(*places: Path) -> None:
        if step == "replace":
            real(*places)
        if step != "replace" or Path(places[1]).name == "export.old":
            raise Killed

    def killed() -> None:
        with monkeypatch.context() as patch:
            patch.setattr({"write": export, "replace": os}.get(step, card), step, die)
            with pytest.raises(Killed):
                with_card(workspace)

    if step != "replace":
        killed()
        assert not (tmp_path / "export").exists()
    for name in ("export.part", "export.old"):  # as a kill leaves them
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    out = with_card(workspace)
    killed()
    assert out.exists() == (step != "replace")
    out = with_card(workspace)
    assert len(Store(out / "faces.arrow")) == len(parquet(out)) == 5
    assert {path.name for path in tmp_path.glob("*export*")} == {"export"}
    assert {path.name for path in out.iterdir()} == {
        *("ages.png", "ages.svg", "card.html", "faces.arrow", "huggingface")
    }


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    workspace = divided(tmp_path, some(5))
    (tmp_path / "export").write_text("in the way")
    with pytest.raises(WrinkleError, match=r"cannot write .*export: Not a directory") as error:
        exported(workspace)
    assert "\n" not in str(error.value)


def test_a_face_without_a_picture_is_one_line(tmp_path: Path) -> None:
    workspace = divided(tmp_path, some(5))
    table = workspace.table("faces")
    images = pa.array([None, *table["image"].to_pylist()[1:]], pa.binary())
    place = table.column_names.index("image")
    workspace.replace("faces", daft.from_arrow(table.set_column(place, "image", images)))
    with pytest.raises(WrinkleError, match=r"has no picture: find the faces again") as error:
        exported(workspace)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "export").exists()
