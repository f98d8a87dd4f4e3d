import csv
import hashlib
from dataclasses import replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import SIDE, draw_face
from wrinkle.datasets.store import FORMAT, SCHEMA, Store, write_table
from wrinkle.errors import WrinkleError
from wrinkle.protocols import Fold, get_protocol
from wrinkle.protocols.integrity import (
    Leak,
    Neighbours,
    check_people,
    find_leaks,
    leaks_csv,
    summary,
)


def row(name: str, picture: np.ndarray, person: str | None, quality: int = 95) -> dict[str, object]:
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return {
        **dict.fromkeys(SCHEMA.names),
        "name": name,
        "image": data,
        "key_points": [0.0] * 10,
        "age": 30.0,
        "person": person,
        "source": "drawn",
        "digest": hashlib.sha256(data).hexdigest(),
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six faces that train and four that test: a person again, a file, a re-compressed copy, and
    one that is alone."""
    faces = [cv2.GaussianBlur(draw_face(n, n)[0], (0, 0), 1 + n % 3) for n in range(10)]
    rows = [row(f"train{n}.jpg", faces[n], f"p{n}") for n in range(6)]
    rows += [row("somebody.jpg", faces[6], "p2"), row("file.jpg", faces[3], None)]
    rows += [row("copy.jpg", faces[4], "p4 as a star", quality=40), row("alone.jpg", faces[8], "q")]
    path = tmp_path_factory.mktemp("planted") / "planted.arrow"
    info = {"format": FORMAT, "size": SIDE, "dataset": "drawn"}
    write_table(path, pa.Table.from_pylist(rows, SCHEMA), info)
    return Store(path)


PLANTED = Fold("only", np.arange(5), np.array([5]), np.arange(6, 10))


def test_planted_leaks_are_found(store: Store) -> None:
    found = find_leaks(store, [PLANTED])
    assert [(leak.kind, leak.test, leak.train) for leak in found] == [
        ("person", "somebody.jpg", "train2.jpg"),
        ("file", "file.jpg", "train3.jpg"),
        ("near", "copy.jpg", "train4.jpg"),
    ]
    assert found[0].detail == "p2"
    assert len(found[1].detail) == 64
    assert 0 <= int(found[2].detail) < 6
    assert {leak.fold for leak in found} == {"only"}
    assert find_leaks(store, [replace(PLANTED, test=np.array([9]))]) == []
    # The validation part counts as well.
    moved = Fold("only", np.array([0]), np.arange(1, 6), np.arange(6, 10))
    assert find_leaks(store, [moved]) == found


def test_a_store_is_hashed_once_for_several_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = Store(store.path)
    read: list[int] = []
    monkeypatch.setattr(faces, "image", lambda row: read.append(row) or store.image(row))
    fold = Fold("a", np.arange(6), np.arange(0), np.arange(6, 10))
    first = find_leaks(faces, [fold])
    assert find_leaks(faces, [fold]) == first
    assert sorted(read) == list(range(10))


def test_people_of_two_datasets_are_different(store: Store, tmp_path: Path) -> None:
    table = pa.ipc.open_file(str(store.path)).read_all()
    sources = pa.array(["other" if n == 6 else "drawn" for n in range(10)])
    table = table.set_column(table.column_names.index("source"), SCHEMA.field("source"), sources)
    write_table(tmp_path / "two.arrow", table, store.info)
    kinds = [leak.kind for leak in find_leaks(Store(tmp_path / "two.arrow"), [PLANTED])]
    assert kinds == ["file", "near"]


LEAKS = [
    Leak("1", "person", "a", "b", "p"),
    Leak("2", "person", "c", "d", "q"),
    Leak("2", "person", "e", "f", "r"),
    Leak("2", "near", "c, or not", "x", "3"),
]


def test_shared_people_are_an_error_unless_allowed() -> None:
    with pytest.raises(WrinkleError, match=r"fold 1 .*1 person .*p \(a, b\)"):
        check_people(get_protocol("by-person:5"), LEAKS)
    with pytest.raises(WrinkleError, match="fold 1 of utkface has 1 person"):
        check_people(get_protocol("utkface"), LEAKS)
    check_people(get_protocol("by-person:5"), LEAKS[3:])
    check_people(get_protocol("random:5"), LEAKS)


def test_findings_are_a_line_and_a_list() -> None:
    line = summary(get_protocol("random:5"), LEAKS, 5)
    assert line.startswith("People: shared (some both train and test). ")
    assert line.endswith("3 people, 1 near-identical picture (over 5 folds).")
    assert summary(get_protocol("utkface"), [], 1).endswith("nothing found.")
    rows = list(csv.reader(leaks_csv(LEAKS).decode().splitlines()))
    assert rows[0] == ["fold", "kind", "test", "train", "detail"]
    assert rows[4] == ["2", "near", "c, or not", "x", "3"]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3), st.data())
def test_the_nearest_training_picture_of_every_test_picture_is_found(
    roots: list[int], data: st.DataObject
) -> None:
    """Against comparing every picture of one part with every one of the other."""
    flips = st.lists(st.integers(0, 63), max_size=5)
    hashes = [root ^ sum(1 << bit for bit in set(data.draw(flips))) for root in roots * 4]
    rows = data.draw(st.permutations(range(len(hashes))))
    cut = data.draw(st.integers(0, len(rows)))
    train, test = rows[:cut], rows[cut:]
    found = Neighbours(np.array(hashes, np.uint64)).nearest(
        np.array(test, np.int64), np.array(train, np.int64)
    )
    bits = {(a, b): (hashes[a] ^ hashes[b]).bit_count() for a, b in product(test, train)}
    least = {a: min((bits[a, b] for b in train), default=64) for a in test}
    assert [a for a, _, _ in found] == [a for a in test if least[a] < 6]
    assert all(bits[a, b] == count == least[a] for a, b, count in found)
