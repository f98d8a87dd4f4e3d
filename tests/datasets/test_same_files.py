from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.datasets import Row, read_dataset
from wrinkle.datasets.same_files import find_duplicates


def _rows(folder: Path, entries: list[tuple[str, bytes, float]]) -> list[Row]:
    rows = []
    for name, content, age in entries:
        (folder / name).write_bytes(content)
        rows.append(Row(folder / name, name, age, "test"))
    return rows


def test_copies_keep_the_first_name_and_none_if_labels_conflict(tmp_path):
    rows = _rows(
        tmp_path,
        [
            ("d", b"one", 5),
            ("b", b"one", 5),
            ("x", b"two", 30),
            ("y", b"two", 31),
            ("z", b"3..", 8),
        ],
    )
    kept, dropped = find_duplicates(rows)
    assert [row.name for row in kept] == ["b", "z"]
    assert [(entry.name, entry.reason) for entry in dropped] == [
        ("d", "duplicate"),
        ("x", "conflicting duplicate labels"),
        ("y", "conflicting duplicate labels"),
    ]
    assert "b" in dropped[0].detail
    assert "30, 31" in dropped[1].detail


def test_one_conflict_drops_the_group(tmp_path):
    kept, dropped = find_duplicates(
        _rows(tmp_path, [("a", b"same", 5), ("b", b"same", 5), ("c", b"same", 6)])
    )
    assert kept == []
    assert {entry.reason for entry in dropped} == {"conflicting duplicate labels"}


def test_a_missing_file_is_dropped(tmp_path):
    rows = _rows(tmp_path, [("a", b"a", 5), ("b", b"b", 5)])
    rows[0].path.unlink()
    kept, dropped = find_duplicates(rows)
    assert [row.name for row in kept] == ["b"]
    assert [(entry.name, entry.reason) for entry in dropped] == [("a", "unreadable")]


@given(
    entries=st.lists(
        st.tuples(st.sampled_from([b"p", b"q", b"rr"]), st.sampled_from([1.0, 2.0])), max_size=8
    )
)
def test_every_row_is_kept_or_dropped_once(tmp_path_factory, entries):
    folder = tmp_path_factory.mktemp("rows")
    rows = _rows(folder, [(f"{i}", content, age) for i, (content, age) in enumerate(entries)])
    kept, dropped = find_duplicates(rows)
    names = [row.name for row in kept] + [entry.name for entry in dropped]
    assert sorted(names) == sorted(row.name for row in rows)
    contents = [row.path.read_bytes() for row in kept]
    assert len(contents) == len(set(contents))


@pytest.mark.data
def test_copies_in_utkface_are_counted(data_root):
    rows, _ = read_dataset("utkface", data_root / "utkface")
    kept, dropped = find_duplicates(rows)
    assert len(kept) == 23_112
    assert Counter(entry.reason for entry in dropped) == {
        "conflicting duplicate labels": 419,
        "duplicate": 176,
    }
    conflicting = {e.name for e in dropped if e.reason == "conflicting duplicate labels"}
    firsts = {e.detail for e in dropped if e.reason == "duplicate"}
    groups = {row.path.read_bytes() for row in rows if row.name in conflicting}
    assert len(groups) == 205
    assert len(groups) + len(firsts) == 375
    assert len(dropped) + len(firsts) == 765


@pytest.mark.data
def test_fgnet_has_no_copies(data_root):
    rows, _ = read_dataset("fgnet", data_root / "fgnet")
    assert find_duplicates(rows) == (rows, [])
