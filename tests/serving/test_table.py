import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("daft")

from filelock import FileLock
from PIL import Image

from tests.cli.conftest import Command, wrinkle
from tests.conftest import EXAMPLES, write_model
from wrinkle import AgeEstimator
from wrinkle.errors import WrinkleError
from wrinkle.serving.table import PictureTable, Settings, open_picture, predict_table

__all__ = ["wrinkle"]
HOPPER, OBAMA = EXAMPLES / "grace_hopper_1984.jpg", EXAMPLES / "barack_obama_2009.jpg"


def write(path: Path, names: list[str | None], column: str = "path") -> Path:
    pq.write_table(pa.table({"age": [50] * len(names), column: pa.array(names, pa.string())}), path)
    return path


def rows(folder: Path) -> list[dict[str, object]]:
    return pq.read_table(folder).to_pylist()


@pytest.fixture
def bad(tmp_path: Path) -> list[str | None]:
    (tmp_path / "noise.jpg").write_bytes(bytes(999))
    return [
        str(HOPPER),
        None,
        "none.jpg",
        str(tmp_path / "noise.jpg"),
        f"file://{OBAMA}",
        "ftp://a/b",
    ]


def test_every_row_comes_out_with_its_faces_or_its_error(
    small_model: Path, tmp_path: Path, bad: list[str | None]
) -> None:
    table = PictureTable(write(tmp_path / "in.parquet", bad))
    done = predict_table(table, tmp_path / "out", Settings(str(small_model), "cpu"), rows=4)
    assert done == {"rows": 6, "faces": 2, "kept": 0, "empty": 0, "bad": 4}
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == [
        *("000000.parquet", "000001.parquet"),
    ]
    found = rows(tmp_path / "out")
    assert [row["row"] for row in found] == list(range(6))
    assert [row["path"] for row in found] == bad
    for index, words in ((1, "no path"), (2, "no such file"), (3, "not a picture"), (5, "fetched")):
        assert words in str(found[index]["error"])
        assert found[index]["age"] is None
    for index, picture in ((0, HOPPER), (4, OBAMA)):
        ((face,),) = AgeEstimator.load(small_model, "cpu").predict(picture)
        row, expected = found[index], face.to_dict()
        assert row["error"] is None
        assert row["face"] == 1
        assert row["age"] == pytest.approx(expected["age"], abs=0.02)
        assert [row[x] for x in ("x1", "y1", "x2", "y2")] == expected["box"]
        assert row["key_points"] == expected["key_points"]
    assert "at_least_None" not in found[0]


def test_a_stopped_run_continues(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = PictureTable(write(tmp_path / "in.parquet", [str(HOPPER), None, str(OBAMA)]))
    settings = Settings(str(small_model), "cpu", at_least=18)
    whole = tmp_path / "whole"
    predict_table(table, whole, settings, rows=1)
    expected = rows(whole)
    assert 0 <= expected[0]["at_least_18"] <= 1  # type: ignore[operator]
    (whole / "000001.parquet").unlink()
    done = predict_table(table, whole, settings, rows=1)
    assert done == {"rows": 1, "faces": 0, "kept": 2, "empty": 0, "bad": 1}
    assert rows(whole) == expected


def test_other_settings_and_other_tables_are_refused(small_model: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", [None, None])
    settings = Settings(str(small_model), "cpu")
    predict_table(PictureTable(source), tmp_path / "out", settings)
    for other, rows_ in ((Settings(str(small_model), "cpu", at_least=18), 4000), (settings, 1)):
        with pytest.raises(WrinkleError, match="other settings"):
            predict_table(PictureTable(source), tmp_path / "out", other, rows=rows_)
    write(source, [None])
    with pytest.raises(WrinkleError, match="another table"):
        predict_table(PictureTable(source), tmp_path / "out", settings)


def test_earlier_parts_are_checked(small_model: Path, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.parquet", [str(HOPPER), "", "none.jpg"]), tmp_path / "out"
    settings, part = Settings(str(small_model), "cpu"), out / "000000.parquet"
    predict_table(PictureTable(source), out, settings)
    assert predict_table(PictureTable(source), out, settings)["kept"] == 3
    write(source, [str(OBAMA), "", "none.jpg"])
    with pytest.raises(WrinkleError, match="another table"):
        predict_table(PictureTable(source), out, settings)
    content = bytearray(part.read_bytes())
    content[content.index(b"none.jpg")] ^= 1
    for damaged in (content, content[:-100], b"PAR1", b""):
        part.write_bytes(damaged)
        with pytest.raises(WrinkleError, match="delete it") as caught:
            predict_table(PictureTable(source), out, settings)
        assert len(str(caught.value).splitlines()) == 1


def test_parts_of_another_model_under_the_same_name_are_refused(
    small_model: Path, tmp_path: Path
) -> None:
    source, model = write(tmp_path / "in.parquet", [None]), tmp_path / "model.safetensors"
    shutil.copy(small_model, model)
    predict_table(PictureTable(source), tmp_path / "out", Settings(str(model), "cpu"))
    kept = predict_table(PictureTable(source), tmp_path / "out", Settings(str(small_model), "cpu"))
    assert kept["kept"] == 1, "the same model elsewhere"
    write_model(model, "thin_age_net", {"input_size": 64})
    with pytest.raises(WrinkleError, match="model"):
        predict_table(PictureTable(source), tmp_path / "out", Settings(str(model), "cpu"))


def test_a_folder_that_is_not_free_is_refused(small_model: Path, tmp_path: Path) -> None:
    table, out = PictureTable(write(tmp_path / "in.parquet", [None])), tmp_path / "out"
    settings = Settings(str(small_model), "cpu")
    out.mkdir()
    (out / "000000.parquet.part").write_bytes(b"of a run that was killed")
    with FileLock(out / ".lock"), pytest.raises(WrinkleError, match="another run"):
        predict_table(table, out, settings)
    assert predict_table(table, out, settings)["rows"] == 1
    assert rows(out)[0]["error"] == "no path"
    (out / "notes.txt").touch()
    for place, words in ((out, r"other files \(notes\.txt"), (out / "notes.txt", "cannot write")):
        with pytest.raises(WrinkleError, match=words):
            predict_table(table, place, settings)


def test_tables_that_cannot_be_read_are_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "noise.parquet").write_bytes(bytes(99))
    numbers = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"path": [1, 2]}), numbers)
    named = write(tmp_path / "named.parquet", ["a"], "picture")
    (tmp_path / "empty.parquet").mkdir()
    for source, words in (
        (tmp_path / "noise.parquet", "as Parquet"),
        (numbers, "not text"),
        (named, "picture by --column"),
        (tmp_path / "none.csv", "cannot read"),
        (tmp_path / "empty.parquet", "no Parquet file"),
    ):
        with pytest.raises(WrinkleError, match=words) as caught:
            PictureTable(source)
        assert len(str(caught.value).splitlines()) == 1
    assert PictureTable(named, "picture").count == 1


def test_categories_of_pandas_are_text(tmp_path: Path) -> None:
    paths = pa.array(["å.jpg", None, "å.jpg"])
    pq.write_table(pa.table({"path": paths.dictionary_encode()}), tmp_path / "in.parquet")
    (part,) = PictureTable(tmp_path / "in.parquet").parts(4)
    assert part["path"].to_pylist() == paths.to_pylist()


def test_parts_have_the_rows_in_order_whatever_the_files(tmp_path: Path) -> None:
    (tmp_path / "in.parquet").mkdir()
    names = [f"{n}.jpg" for n in range(10)]
    write(tmp_path / "in.parquet" / "0.parquet", names[:7])  # type: ignore[arg-type]
    write(tmp_path / "in.parquet" / "1.parquet", names[7:])  # type: ignore[arg-type]
    with (tmp_path / "in.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "path"], *enumerate(names)])
    for source in (tmp_path / "in.parquet", tmp_path / "in.csv"):
        table = PictureTable(source)
        assert table.count == 10
        parts = list(table.parts(4))
        assert [len(part) for part in parts] == [4, 4, 2]
        every = pa.concat_tables(parts)
        assert every["row"].to_pylist() == list(range(10))
        assert every["path"].to_pylist() == names
        assert every["place"][3].as_py() == os.path.abspath("3.jpg")


def test_objects_are_read_by_their_address() -> None:
    opened = open_picture(f"file://{HOPPER}")
    assert not isinstance(opened, str)
    assert opened.read() == HOPPER.read_bytes()
    assert open_picture("a.jpg") == "a.jpg"
    for place, words in ((None, "no path"), ("https://a/b.jpg", "cannot be fetched")):
        with pytest.raises(WrinkleError, match=words):
            open_picture(place)


def test_the_command_writes_a_folder(wrinkle: Command, small_model: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", [str(HOPPER), None], "picture")
    out = tmp_path / "out.parquet"
    given = ("predict", source, "--column", "picture", "--out", out, "--model", small_model)
    done = wrinkle(*given)
    bad = "1 row whose picture could not be used (column error)"
    assert (done.code, done.out) == (1, "")
    assert done.err[-1] == f"2 rows, 1 face, {bad}, in {out}"
    assert wrinkle(*given).err[-1] == f"0 rows, 0 faces, {bad}, 2 rows from earlier, in {out}"
    for arguments, words in (
        ((source,), "--out"),
        ((source, HOPPER, "--out", out), "nothing else"),
        ((tmp_path / "none.parquet", "--out", out), "no such file"),
        ((source, "--out", out, "--json"), "gives Parquet"),
        ((HOPPER, "--out", out), "for tables"),
        ((source, "--out", out, "--camera", 0), "for videos"),
        ((source, "--column", "picture", "--out", tmp_path / "a", "--min-score", 7), "min_score"),
    ):
        failed = wrinkle("predict", *arguments)
        assert (failed.code, failed.out, len(failed.err)) == (2, "", 1)
        assert words in failed.err[0]


@pytest.mark.slow
def test_two_workers_of_ray_write_the_same_rows(
    small_model: Path, tmp_path: Path, bad: list[str | None]
) -> None:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    source = write(tmp_path / "in.parquet", [*bad, str(OBAMA)] * 2)
    settings = Settings(str(small_model), "cpu")
    predict_table(PictureTable(source), tmp_path / "alone", settings, rows=10)
    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=200_000_000)
        command = [sys.executable, "-m", "wrinkle", "predict", str(source), "--rows", "10"]
        command += ["--model", str(small_model), "--device", "cpu", "--ray", cluster.address]
        done = subprocess.run(
            [*command, "--out", str(tmp_path / "spread")],
            capture_output=True,
            text=True,
            timeout=400,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    finally:
        cluster.shutdown()
    assert done.returncode == 0, done.stderr[-2000:]
    assert rows(tmp_path / "spread") == rows(tmp_path / "alone")


def test_a_picture_without_a_face_is_no_failure(
    wrinkle: Command, small_model: Path, tmp_path: Path
) -> None:
    blank, out = tmp_path / "blank.png", tmp_path / "out"
    Image.new("RGB", (64, 64)).save(blank)
    source = write(tmp_path / "in.parquet", [str(HOPPER), str(blank)])
    done = wrinkle("predict", source, "--out", out, "--model", small_model)
    assert (done.code, done.err[-1]) == (0, f"2 rows, 1 face, 1 row without a face, in {out}")
