import pickle
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wrinkle import errors
from wrinkle.datasets import read_dataset
from wrinkle.errors import WrinkleError

savemat = pytest.importorskip("scipy.io", reason="SciPy is not installed").savemat

NAN, NONE = float("nan"), float("-inf")
ASTAIRE = {
    "dob": date(1899, 5, 10),
    "photo_taken": 1968,
    "full_path": "01/nm0000001_rm124825600_1899-5-10_1968.jpg",
    "gender": 1.0,
    "name": "Fred Astaire",
    "face_location": [1072.9, 161.8, 1214.8, 303.7],
    "face_score": 1.46,
    "second_face_score": NAN,
}


def entry(**changes: Any) -> dict[str, Any]:
    """A picture of Fred Astaire, with `changes`."""
    return {**ASTAIRE, **changes}


def matlab_day(born: date | float) -> float:
    """A serial day as `datenum` gives it."""
    return born.toordinal() + 366 if isinstance(born, date) else born


def write(root: Path, web: str, *entries: dict[str, Any], **fields: Any) -> Path:
    """`web`.mat and its pictures in `root`; `fields` replace fields of the struct."""
    root.mkdir(parents=True, exist_ok=True)
    struct: dict[str, Any] = {}
    for field in ASTAIRE:
        values = [matlab_day(e[field]) if field == "dob" else e[field] for e in entries]
        if field in ("full_path", "name", "face_location"):
            cells = np.empty((1, len(values)), object)
            # MATLAB's empty text has no elements.
            cells[0, :] = [np.zeros((0, 0)) if value == "" else value for value in values]
            struct[field] = cells
        else:
            struct[field] = np.array([values])
    savemat(root / f"{web}.mat", {web: {**struct, **fields}}, do_compression=True)
    for path in (e["full_path"] for e in entries):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(b"picture")
    return root


def test_both_parts_are_read_as_their_archives_unpack(tmp_path):
    write(tmp_path / "imdb_crop", "imdb", entry(), entry(full_path="02/b.jpg", gender=NAN, name=""))
    write(tmp_path / "wiki_crop", "wiki", entry(full_path="17/c.jpg", gender=0.0, photo_taken=1930))
    rows, dropped = read_dataset("imdb_wiki", tmp_path)
    assert dropped == []
    assert [(row.name, row.age, row.gender, row.person) for row in rows] == [
        (f"imdb/{ASTAIRE['full_path']}", 69.0, "male", "Fred Astaire"),
        ("imdb/02/b.jpg", 69.0, None, None),
        ("wiki/17/c.jpg", 31.0, "female", "Fred Astaire"),
    ]
    assert rows[2].path == tmp_path / "wiki_crop" / "17" / "c.jpg"
    assert {row.source for row in rows} == {"imdb_wiki"}


def test_one_part_is_read_alone_or_with_its_file_outside(tmp_path):
    root = write(tmp_path / "wiki_crop", "wiki", entry())
    ((inside,), _), ((named,), _) = (read_dataset("imdb_wiki", r) for r in (tmp_path, root))
    assert inside == named
    (root / "wiki.mat").rename(tmp_path / "wiki.mat")
    assert read_dataset("imdb_wiki", tmp_path) == ([inside], [])


@pytest.mark.parametrize(
    ("born", "year", "age"),
    [
        (date(1899, 6, 30), 1968, 69),
        (date(1899, 7, 1), 1968, 69),
        (date(1899, 7, 2), 1968, 68),
        (date(1904, 2, 29), 1905, 1),
        (date(1968, 6, 30), 1968, 0),
        (date(1848, 1, 1), 1968, 120),
    ],
)
def test_ages_are_counted_to_the_middle_of_the_year(tmp_path, born, year, age):
    (row,), _ = read_dataset(
        "imdb_wiki", write(tmp_path, "imdb", entry(dob=born, photo_taken=year))
    )
    assert row.age == age


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"face_score": NONE}, "no face"),
        ({"face_score": NAN}, "no face"),
        ({"second_face_score": 2.5}, "several faces"),
        ({"second_face_score": 0.0}, "several faces"),
        ({"photo_taken": 1898}, "impossible age"),
        ({"dob": date(1847, 6, 1)}, "impossible age"),
        ({"dob": 47.0}, "impossible age"),
        ({"dob": 0.0}, "impossible age"),
        ({"dob": 1e9}, "impossible age"),
        ({"dob": NAN}, "impossible age"),
        ({"dob": float("inf")}, "impossible age"),
        ({"photo_taken": NAN}, "impossible age"),
    ],
)
def test_rows_are_cleaned_as_in_the_paper(tmp_path, changes, reason):
    root = write(tmp_path, "imdb", entry(), entry(full_path="02/b.jpg", **changes))
    rows, dropped = read_dataset("imdb_wiki", root)
    assert [row.name for row in rows] == [f"imdb/{ASTAIRE['full_path']}"]
    assert [(d.name, d.reason) for d in dropped] == [("imdb/02/b.jpg", reason)]


def test_missing_pictures_and_repeated_names_are_dropped(tmp_path):
    root = write(tmp_path, "imdb", entry(), entry(full_path="02/b.jpg"), entry())
    (root / "02" / "b.jpg").unlink()
    rows, dropped = read_dataset("imdb_wiki", root)
    assert len(rows) == 1
    assert Counter(d.reason for d in dropped) == {"no such picture": 1, "same name twice": 1}


def _refusal(root: Path) -> str:
    with pytest.raises(WrinkleError) as caught:
        read_dataset("imdb_wiki", root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_truncated_anywhere_is_one_line(tmp_path):
    file = write(tmp_path, "imdb", entry()) / "imdb.mat"
    content = file.read_bytes()
    for length in [*range(0, len(content), 13), len(content) - 1]:
        file.write_bytes(content[:length])
        assert f"{file} is not a complete MATLAB file" in _refusal(tmp_path)


def test_a_flipped_bit_is_one_line_or_harmless(tmp_path):
    file = write(tmp_path, "imdb", entry()) / "imdb.mat"
    content, random = file.read_bytes(), np.random.default_rng(0)
    messages = []
    for place in random.integers(0, len(content), 200):
        flipped = bytearray(content)
        flipped[place] ^= 1 << random.integers(8)
        file.write_bytes(flipped)
        try:
            read_dataset("imdb_wiki", tmp_path)
        except WrinkleError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize(
    "fields",
    [
        {"dob": np.array([[1.0, 2.0]])},
        {"dob": "1899-05-10"},
        {"full_path": np.array([[1.0]])},
        {"name": np.zeros((1, 0), object)},
    ],
)
def test_other_fields_are_one_line(tmp_path, fields):
    assert "is not a complete MATLAB file" in _refusal(write(tmp_path, "imdb", entry(), **fields))


def test_other_structs_and_files_are_one_line(tmp_path):
    file = write(tmp_path, "wiki", entry()) / "wiki.mat"
    file.rename(tmp_path / "imdb.mat")
    assert "with the struct imdb" in _refusal(tmp_path)
    newer = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "imdb.mat").write_bytes(newer.ljust(512, b"\0"))
    assert "is not a complete MATLAB file, version 5" in _refusal(tmp_path)


class Payload:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (sys.exit, ("unpickled",))


def test_nothing_is_unpickled(tmp_path):
    (tmp_path / "imdb.mat").write_bytes(pickle.dumps(Payload()))
    assert "is not a complete MATLAB file" in _refusal(tmp_path)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    write(tmp_path, "imdb", entry())
    monkeypatch.setattr(errors, "missing_packages", lambda extra: ["scipy"])
    assert "pip install '.[matlab]'" in _refusal(tmp_path)


def test_a_wrong_layout_is_one_line(tmp_path):
    (tmp_path / "imdb_crop" / "01").mkdir(parents=True)
    assert "is not IMDB-WIKI: expected imdb.mat in its folder imdb_crop" in _refusal(tmp_path)
