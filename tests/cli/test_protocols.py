from pathlib import Path

import pyarrow as pa
import pytest

from tests.cli.conftest import Command
from tests.protocols.test_protocol import PLUGIN
from wrinkle.datasets.store import SCHEMA, write_table
from wrinkle.protocols import PROTOCOLS, cacd, get_protocol, usage, utkface

UTKFACE = sorted(utkface.parts())


def _store(path: Path, names: list[str], persons: list[str] | None = None) -> Path:
    """A store of faces without pictures, which splitting ignores."""
    count = len(names)
    columns = {
        "name": names,
        "image": [b""] * count,
        "key_points": [[0.0] * 10] * count,
        "age": [30.0] * count,
        "person": persons or [None] * count,
        "source": ["test"] * count,
        "digest": [f"digest of {name}" for name in names],
    }
    arrays = [
        pa.array(columns.get(field.name, [None] * count), field.type)
        for field in SCHEMA  # the other columns may be null
    ]
    write_table(path, pa.table(arrays, schema=SCHEMA), {"format": 2, "size": 256})
    return path


def test_every_protocol_is_listed_with_sizes_people_and_source(wrinkle: Command) -> None:
    done = wrinkle("protocols")
    assert (done.code, done.err) == (0, [])
    for name in PROTOCOLS.names():
        protocol = get_protocol(name)
        block = f"\n{done.out}".partition(f"\n{usage(name)}\n")[2]
        lines = block.splitlines()[:5]
        assert lines[0] == f"  {protocol.description}"
        assert lines[1] == f"  dataset: {protocol.dataset or 'any'}"
        assert lines[2].startswith("  sizes: ")
        assert lines[3] == f"  people: {protocol.people}"
        assert lines[4] == f"  from: {protocol.source}"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("utkface", "train 18,504, validation 2,310, test 2,298"),
        ("morph2-80-20", "20 folds, each train 44,106, test 11,028"),
        ("fgnet-lopo", "82 folds, each train 984 to 996, test 6 to 18"),
        ("random", "depend on the store"),
        (
            "morph2-s1-s2-s3",
            "fold S1: train 10,588, test 44,452; fold S2: train 10,590, test 44,450",
        ),
    ],
)
def test_sizes_are_one_line(wrinkle: Command, name: str, line: str) -> None:
    assert f"  sizes: {line}" in wrinkle("protocols", "show", name).out.splitlines()


def test_folds_and_list_of_a_protocol_are_printed(wrinkle: Command) -> None:
    done = wrinkle("protocols", "show", "cacd-test-80")
    assert (done.code, done.err) == (0, [])
    lines = done.out.splitlines()
    assert lines[0] == "cacd-test-80"
    assert f"  list: sha256 {get_protocol('cacd-test-80').checksum}" in lines
    assert [line.split() for line in lines[-3:]] == [
        ["fold", "train", "validation", "test"],
        ["train", "145,275", "10,571", "7,600"],
        ["validation", "10,571", "0", "7,600"],
    ]


def test_a_protocol_without_sizes_or_list_is_printed(wrinkle: Command) -> None:
    lines = wrinkle("protocols", "show", "by-person:4").out.splitlines()
    assert lines[0] == "by-person:4:0"
    assert len(lines) == 6


def test_pictures_that_a_store_lacks_are_counted(wrinkle: Command, tmp_path: Path) -> None:
    store = _store(tmp_path / "faces.arrow", UTKFACE[100:])
    left_out = [name for name in UTKFACE[100:] if utkface.parts()[name] == "left-out"]
    absent = [
        name
        for name, part in utkface.parts().items()
        if part != "left-out" and name in UTKFACE[:100]
    ]
    done = wrinkle("protocols", "show", "utkface", store)
    assert (done.code, done.err) == (0, [])
    row, held, missing, split = done.out.splitlines()[-4:]
    (fold,) = get_protocol("utkface").folds(pa.ipc.open_file(store).read_all())
    assert row.split()[1:4] == [f"{len(fold.train):,}", "of", "18,504"]
    assert row.split()[7:] == [f"{len(fold.test):,}", "of", "2,298"]
    assert held == f"store: 23,607 pictures, {len(left_out)} of them in no part"
    assert missing == (
        f"missing: {len(absent)} of the protocol's 23,112 pictures, such as "
        + ", ".join(absent[:3])
    )
    assert split.startswith("split: sha256 ")
    complete = _store(tmp_path / "complete.arrow", UTKFACE)
    lines = wrinkle("protocols", "show", "utkface", complete).out.splitlines()
    assert lines[-2] == "missing: 0 of the protocol's 23,112 pictures"
    assert lines[-1] != split


def test_names_in_another_case_are_not_missing(wrinkle: Command, tmp_path: Path) -> None:
    listed = get_protocol("morph2-partial").names
    assert listed is not None
    store = _store(tmp_path / "small.arrow", [name.replace(".JPG", ".jpg") for name in listed()])
    lines = wrinkle("protocols", "show", "morph2-partial", store).out.splitlines()
    assert lines[-2] == "missing: 0 of the protocol's 5,475 pictures"


def test_a_missing_picture_is_counted_once_for_all_folds(wrinkle: Command, tmp_path: Path) -> None:
    names = ["53_Robin_Williams_0001.jpg", "29_50_Cent_0003.jpg"]
    names += [name for name, picture in cacd.pictures().items() if picture.rank == 5][:2]
    persons = ["Robin_Williams", "50_Cent", *(name.split("_", 1)[1][:-9] for name in names[2:])]
    store = _store(tmp_path / "small.arrow", names, persons)
    lines = wrinkle("protocols", "show", "cacd-test-120", store).out.splitlines()
    assert lines[-2].startswith("missing: 163,442 of the protocol's 163,446 pictures, such as ")


def test_a_protocol_for_any_dataset_is_printed(wrinkle: Command, tmp_path: Path) -> None:
    store = _store(tmp_path / "any.arrow", list("abcdef"), list("ppqqrr"))
    lines = wrinkle("protocols", "show", "by-person:3", store).out.splitlines()
    assert [line.split() for line in lines[-6:-2]] == [
        ["fold", "train", "validation", "test"],
        *([str(fold), "2", "2", "2"] for fold in (1, 2, 3)),
    ]
    assert lines[-2] == "store: 6 pictures, 0 of them in no part"


def test_a_protocol_of_a_plug_in_file_is_printed(wrinkle: Command, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(name="shifted-shown"), encoding="utf-8")
    store = _store(tmp_path / "any.arrow", list("abcdefgh"))
    done = wrinkle("protocols", "show", "shifted-shown:1", store, "--plugin", plugin)
    assert (done.code, done.err) == (0, [])
    assert ["only", "4", "2", "2"] in [line.split() for line in done.out.splitlines()]
    listed = wrinkle("protocols", "--plugin", plugin)
    assert "\nshifted-shown[:SHIFT]\n  every other row\n" in listed.out


def test_mistakes_are_one_line(wrinkle: Command, tmp_path: Path) -> None:
    store = _store(tmp_path / "any.arrow", list("abc"))
    for arguments, line in (
        (["show"], "name the protocol"),
        (["show", "morph"], "unknown protocol 'morph'"),
        (["hide", "utkface"], "argument action: invalid choice"),
        (["show", "utkface", tmp_path / "none.arrow"], "no store at"),
        (["show", "by-person:3", store], "3 of 3 rows have no person"),
        (["show", "morph2-random", store], "0 of the store's 3 names are known as those of morph2"),
    ):
        done = wrinkle("protocols", *arguments)
        assert (done.code, done.out) == (2, "")
        (complaint,) = done.err
        assert complaint.startswith(f"wrinkle: {line}")


def test_leaks_between_training_and_test_are_written(
    wrinkle: Command, example_store: Path, tmp_path: Path
) -> None:
    leaks = tmp_path / "leaks.csv"
    done = wrinkle("protocols", "show", "random:5", example_store, "--leaks", leaks)
    assert done.code == 0
    assert done.out.splitlines()[-1].endswith("Both in training and test: nothing found.")
    assert done.err == [f"wrote {leaks}: 0 rows"]
    assert leaks.read_text() == "fold,kind,test,train,detail\n"
    nowhere = leaks / "leaks.csv"
    done = wrinkle("protocols", "show", "random:5", example_store, "--leaks", nowhere)
    assert done.code == 2
    assert done.err[-1].startswith(f"wrinkle: cannot write {nowhere}: ")
    done = wrinkle("protocols", "show", "random:5", "--leaks", leaks)
    assert (done.code, len(done.err)) == (2, 1)
