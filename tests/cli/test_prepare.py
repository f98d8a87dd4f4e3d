import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Command, start
from tests.conftest import EXAMPLES, KNOWN_AGES
from tests.datasets.test_dataset import PLUGIN
from wrinkle.datasets.store import Store


def test_a_prepared_folder_has_its_labels(example_store: Path) -> None:
    store = Store(example_store)
    ages = {
        Path(n).name: a for n, a in zip(store.columns["name"].to_pylist(), store.ages, strict=True)
    }
    assert ages == KNOWN_AGES
    assert store.image(0).shape == (256, 256, 3)


def test_dropped_pictures_are_printed_with_the_reason(wrinkle: Command, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    good = EXAMPLES / "joe_biden_2010.jpg"
    lines = ["path,age,gender", f"{good},67,1", "text.jpg,20", "none.jpg,20", f"{good},67"]
    lines += [f"{EXAMPLES / 'README.md'},{age}" for age in (-1, 200, "abc")]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    out, dropped = tmp_path / "x.arrow", tmp_path / "dropped.csv"
    done = wrinkle("prepare", "folder", tmp_path, out, "--dropped", dropped, "--workers", 1)
    assert done.code == 0
    assert len(Store(out)) == 1
    table = done.out
    assert f"      1  packed in {out}" in table
    for reason, count in {
        "impossible age": 3,
        "same name twice": 1,
        "unreadable": 1,
        "no such picture": 1,
    }.items():
        assert f"      {count}  dropped: {reason}" in table
    assert "      1  of them without a label that was not understood: unknown gender" in table
    assert Store(out).info["unread"][0][1] == "unknown gender"
    assert dropped.read_text().count("\n") == 8


def test_a_dataset_of_a_plug_in_file_is_prepared(wrinkle: Command, tmp_path: Path) -> None:
    plugin, out = tmp_path / "holiday.py", tmp_path / "x.arrow"
    plugin.write_text(PLUGIN.format(name="holiday-packed"), encoding="utf-8")
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "67_1.jpg").write_bytes((EXAMPLES / "joe_biden_2010.jpg").read_bytes())
    done = wrinkle("prepare", "holiday-packed", folder, out, "--plugin", plugin, "--workers", 1)
    assert done.code == 0
    store = Store(out)
    assert store.info["dataset"] == "holiday-packed"
    assert store.ages.tolist() == [67.0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("path,years\nx.jpg,3\n", "lacks the column age"),
        ("path,age\nx.jpg,3\n", "no picture could be used"),
        ("", "lacks the columns path and age"),
    ],
)
def test_a_dataset_without_faces_is_one_line(
    wrinkle: Command, tmp_path: Path, content: str, expected: str
) -> None:
    (tmp_path / "labels.csv").write_text(content)
    done = wrinkle("prepare", "folder", tmp_path, tmp_path / "x.arrow")
    assert done.code == 2
    assert expected in done.err[-1]
    assert len(done.err) == 1


@pytest.mark.kills
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups here")
@pytest.mark.parametrize("seconds", [0.2, 0.8])
def test_ctrl_c_while_the_workers_start_is_one_line(tmp_path: Path, seconds: float) -> None:
    """Ctrl-C reaches the workers too, and those must not complain."""
    for number in range(300):
        (tmp_path / f"{number}.jpg").write_text(f"no picture {number}")
    ages = "\n".join(f"{number}.jpg,67" for number in range(300))
    (tmp_path / "labels.csv").write_text(f"path,age\n{ages}")
    out = tmp_path / "x.arrow"
    process = start("prepare", "folder", tmp_path, out, "--workers", 2, start_new_session=True)
    while not (tmp_path / "x.arrow.parts" / "plan.json").exists():
        time.sleep(0.05)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, complaints = process.communicate(timeout=600)
    lines = [line for line in complaints.splitlines() if line and "prepare: " not in line]
    (line,) = lines
    assert line.startswith("wrinkle: stopped")
    assert process.returncode == 130


def test_an_unknown_dataset_is_one_line(wrinkle: Command, tmp_path: Path) -> None:
    done = wrinkle("prepare", "fgnett", tmp_path, tmp_path / "x.arrow")
    assert done.code == 2
    (line,) = done.err
    assert "fgnett" in line
    assert "did you mean 'fgnet'" in line


def test_wrong_roots_are_one_line(wrinkle: Command, tmp_path: Path) -> None:
    for dataset in ("fgnet", "utkface", "folder"):
        for root in (tmp_path, tmp_path / "none"):
            done = wrinkle("prepare", dataset, root, tmp_path / "x.arrow")
            assert done.code == 2
            (line,) = done.err
            assert str(root) in line


def test_labels_photographs_and_the_store_are_not_overwritten(
    wrinkle: Command, tmp_path: Path
) -> None:
    photograph, labels = tmp_path / "p.jpg", tmp_path / "labels.csv"
    photograph.write_bytes((EXAMPLES / "joe_biden_2010.jpg").read_bytes())
    labels.write_text("path,age\np.jpg,67\n")
    out = tmp_path / "x.arrow"
    before = photograph.read_bytes(), labels.read_bytes()
    for arguments, words in (
        ((labels,), "labels.csv exists and is not a store"),
        ((photograph,), "p.jpg exists and is not a store"),
        ((out, "--dropped", labels), "labels.csv exists and is not a list of dropped pictures"),
        ((out, "--dropped", out), "is also the store"),
        ((out, "--size", 100_000), "a size of 100000: give 32 to 2048 pixels"),
    ):
        done = wrinkle("prepare", "folder", tmp_path, *arguments)
        assert (done.code, done.out, len(done.err)) == (2, "", 1)
        assert words in done.err[0]
    assert (photograph.read_bytes(), labels.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.csv", "p.jpg"]
