import hashlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from wrinkle.datasets.store import FORMAT, LABELS, SCHEMA, Store, write_table
from wrinkle.errors import WrinkleError

SIZE = 40
INFO = {"format": FORMAT, "dataset": "made", "size": SIZE, "dropped": [["b.jpg", "no face", ""]]}


def _row(index: int) -> dict[str, Any]:
    random = np.random.default_rng(index)
    smooth = cv2.resize(random.integers(0, 256, (5, 5, 3), np.uint8), (SIZE, SIZE))
    return {
        "name": f"faces/{index:03}.jpg",
        "image": cv2.imencode(".jpg", smooth)[1].tobytes(),
        "key_points": random.uniform(0, SIZE, 10).astype(np.float32),
        "landmarks": random.uniform(0, SIZE, 136).astype(np.float32) if index % 2 else None,
        "age": 10.0 + 7.5 * index,
        "age_deviation": None if index == 1 else 2.25,
        "person": f"p{index // 2}",
        "gender": ("female", "male", None)[index % 3],
        "group": "ö",
        "source": "made",
        "digest": f"{index:064x}",
        "score": None if index == 3 else 0.5 + index / 16,
    }


ROWS = [_row(index) for index in range(5)]


def _write(path: Path, rows: list[dict[str, Any]], info: object = INFO) -> Path:
    write_table(path, pa.Table.from_pylist(rows, SCHEMA), info)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("store") / "five.arrow", ROWS)


@pytest.fixture(scope="module")
def content(file: Path) -> bytes:
    return file.read_bytes()


def test_written_rows_are_read_back(file):
    store = Store(file)
    assert len(store) == 5
    assert store.info == INFO
    assert store.size == SIZE
    assert store.columns.column_names == LABELS
    assert store.columns.to_pylist() == [{name: row.get(name) for name in LABELS} for row in ROWS]
    assert store.ages.dtype == store.key_points.dtype == np.float32
    np.testing.assert_array_equal(store.ages, [row["age"] for row in ROWS])
    np.testing.assert_array_equal(
        store.key_points, np.stack([row["key_points"].reshape(5, 2) for row in ROWS])
    )
    for index, row in enumerate(ROWS):
        decoded = cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(store.image(index), decoded[..., ::-1])
        landmarks = store.landmarks(index)
        if row["landmarks"] is None:
            assert landmarks is None
        else:
            assert landmarks is not None
            np.testing.assert_array_equal(landmarks, row["landmarks"].reshape(68, 2))
    np.testing.assert_array_equal(store.image(np.int64(4)), store.image(4))
    assert list(file.parent.iterdir()) == [file]


def test_several_chunks_are_one_store(tmp_path):
    parts = [pa.Table.from_pylist(rows, SCHEMA) for rows in (ROWS[:2], [], ROWS[2:3], ROWS[3:])]
    write_table(tmp_path / "x.arrow", pa.concat_tables(parts), INFO)
    store = Store(tmp_path / "x.arrow")
    np.testing.assert_array_equal(store.ages, [row["age"] for row in ROWS])
    np.testing.assert_array_equal(store.key_points[4].ravel(), ROWS[4]["key_points"])
    assert store.columns["name"][2].as_py() == "faces/002.jpg"


def test_a_copy_in_another_process_is_the_same_store(file):
    copy = pickle.loads(pickle.dumps(Store(file)))
    assert len(pickle.dumps(copy)) < 1000
    np.testing.assert_array_equal(copy.image(3), Store(file).image(3))


def test_opening_reads_no_picture_into_memory(tmp_path):
    big = [{**row, "image": row["image"] + bytes(4_000_000)} for row in ROWS]
    path = _write(tmp_path / "big.arrow", big)
    before = pa.total_allocated_bytes()
    store = Store(path)
    assert store.image(4).shape == (SIZE, SIZE, 3)
    assert pa.total_allocated_bytes() - before < 100_000


def test_pandas_reads_it(file):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_feather(file)
    assert frame["name"].tolist() == [row["name"] for row in ROWS]
    assert frame["age"].tolist() == [row["age"] for row in ROWS]
    assert frame["image"][2] == ROWS[2]["image"]
    np.testing.assert_array_equal(frame["key_points"][1], ROWS[1]["key_points"])


def test_duckdb_reads_it(file):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    from pyarrow.dataset import dataset

    faces = dataset(file, format="ipc")  # noqa: F841  (DuckDB finds it by its name)
    query = "SELECT person, avg(age) FROM faces GROUP BY person ORDER BY person"
    assert duckdb.sql(query).fetchall() == [("p0", 13.75), ("p1", 28.75), ("p2", 40.0)]


def test_hugging_face_reads_it(file, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    rows = datasets.load_dataset(
        "arrow", data_files=str(file), split="train", cache_dir=str(tmp_path)
    )
    assert len(rows) == 5
    assert rows[2]["image"] == ROWS[2]["image"]
    assert rows[2]["landmarks"] is None
    assert rows[3]["landmarks"] == ROWS[3]["landmarks"].tolist()


def _refusal(path: Path) -> str:
    with pytest.raises(WrinkleError) as caught:
        Store(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_missing_file_and_a_folder_are_one_line(tmp_path):
    assert "no store at" in _refusal(tmp_path / "none.arrow")
    assert "not a complete wrinkle store" in _refusal(tmp_path)


def test_a_file_truncated_anywhere_is_one_line(content, tmp_path):
    path = tmp_path / "short.arrow"
    for length in [*range(0, len(content), 311), len(content) - 1]:
        path.write_bytes(content[:length])
        assert "not a complete wrinkle store" in _refusal(path)


def _foreign() -> Iterator[tuple[str, Any, pa.Table]]:
    table = pa.Table.from_pylist(ROWS, SCHEMA)
    yield "format 7, expected", {**INFO, "format": 7}, table
    yield "not a complete", {"format": FORMAT}, table
    yield "not a complete", ["a list"], table
    yield "other columns", INFO, table.drop_columns(["digest"])
    yield "other columns", INFO, table.set_column(4, "age", pa.array([1, 2, 3, 4, 5]))
    ages = pa.array([1, 2, 3, 4, float("nan")], pa.float32())
    yield "damaged", INFO, table.set_column(4, SCHEMA.field("age"), ages)


@pytest.mark.parametrize(("message", "info", "table"), list(_foreign()))
def test_other_arrow_files_are_refused(tmp_path, message, info, table):
    write_table(tmp_path / "other.arrow", table, info)
    assert message in _refusal(tmp_path / "other.arrow")


def test_files_of_other_formats_are_refused(tmp_path):
    path = tmp_path / "other.arrow"
    path.write_text("name,age\na.jpg,5\n" * 100)
    assert "not a complete" in _refusal(path)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(ROWS, SCHEMA))
    assert "not a complete" in _refusal(path)


def test_a_flipped_bit_is_one_line_or_harmless(content, tmp_path, capfd):
    random = np.random.default_rng(0)
    path = tmp_path / "flipped.arrow"
    errors = []
    for place in random.integers(0, len(content), 300):
        flipped = bytearray(content)
        flipped[place] ^= 1 << random.integers(8)
        path.write_bytes(flipped)
        try:
            store = Store(path)
            rows = [(store.image(i).shape, store.landmarks(i)) for i in range(len(store))]
            assert len(rows) == store.columns.num_rows
        except WrinkleError as error:
            errors.append(str(error))
    assert len(errors) > 10
    assert not any("\n" in message for message in errors)
    capfd.readouterr()  # messages of the JPEG reader


def test_a_damaged_picture_is_one_line(tmp_path):
    wrong = cv2.imencode(".jpg", np.zeros((SIZE, SIZE + 1, 3), np.uint8))[1].tobytes()
    rows = [{**ROWS[0], "image": image} for image in (b"", b"not a JPEG", wrong)]
    store = Store(_write(tmp_path / "x.arrow", rows))
    for index in range(3):
        with pytest.raises(WrinkleError, match=f"row {index} is damaged"):
            store.image(index)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WrinkleError, match="cannot write") as caught:
        _write(tmp_path / "file" / "x.arrow", ROWS)
    assert "\n" not in str(caught.value)


def test_an_older_store_survives_a_full_disk(file, tmp_path, monkeypatch):
    path = tmp_path / "x.arrow"
    path.write_bytes(b"older")

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WrinkleError, match="disk is full"):
        _write(path, ROWS)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"older"]


def test_a_store_of_format_1_is_read(tmp_path: Path, file: Path) -> None:
    """Its age cannot be null, and it has no ranges."""
    old = [f.with_nullable(f.nullable and f.name != "age") for f in SCHEMA]
    schema = pa.schema([f for f in old if f.name not in ("age_low", "age_high")])
    path = tmp_path / "old.arrow"
    write_table(path, pa.Table.from_pylist(ROWS, schema), INFO | {"format": 1})
    store = Store(path)
    assert store.columns.column_names == LABELS
    assert store.exact.all()
    assert np.isnan(store.ranges).all()
    assert store.ages.tolist() == [10, 17.5, 25, 32.5, 40]
    assert store.fingerprint == Store(file).fingerprint
    np.testing.assert_array_equal(store.image(2), Store(file).image(2))


def test_the_fingerprint_without_ranges_is_that_of_earlier_versions(file: Path) -> None:
    digest = hashlib.sha256()
    for column in ("name", "age", "digest"):
        digest.update("\n".join(str(row[column]) for row in ROWS).encode())
    assert Store(file).fingerprint == digest.hexdigest()


def _ranged(path: Path, *spans: tuple[float | None, int | None, int | None]) -> Path:
    rows = [
        row | {"age": age, "age_low": low, "age_high": high}
        for row, (age, low, high) in zip(ROWS, spans, strict=False)
    ]
    return _write(path, rows)


def test_ranges_by_hand(tmp_path: Path) -> None:
    store = Store(_ranged(tmp_path / "a.arrow", (None, 20, 29), (33, 30, 39), (40, None, None)))
    assert store.ages.tolist() == [24.5, 33, 40]
    assert store.exact.tolist() == [False, True, True]
    np.testing.assert_array_equal(store.ranges, [[20, 29], [30, 39], [np.nan, np.nan]])
    assert store.labels(np.array([2, 0, 1])) == ["40", "20–29", "33"]
    rows = np.array([0, 0, 0, 1, 2])
    errors = store.errors(rows, np.array([18.0, 25, 31.5, 35, 38]))
    assert errors.tolist() == [2, 0, 2.5, 2, 2]
    other = Store(_ranged(tmp_path / "b.arrow", (None, 20, 28), (33, 30, 39), (40, None, None)))
    assert store.fingerprint != other.fingerprint


@pytest.mark.parametrize("span", [(None, None, None), (None, 29, 20), (None, 20, None)])
def test_a_row_without_a_label_is_damage(tmp_path: Path, span: tuple) -> None:
    with pytest.raises(WrinkleError, match="is damaged: prepare it again"):
        Store(_ranged(tmp_path / "a.arrow", span))
