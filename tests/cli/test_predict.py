import csv
import io
import json
import os
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.cli.conftest import Command, start
from tests.conftest import EXAMPLES, KNOWN_AGES, write_adpf
from wrinkle import AgeEstimator
from wrinkle.cli import predict as command

PORTRAIT = EXAMPLES / "grace_hopper_1984.jpg"
TABLE = EXAMPLES / "README.md"


@pytest.fixture
def predict(wrinkle: Command, small_model: Path) -> Command:
    return lambda *arguments: wrinkle("predict", "--model", small_model, *arguments)


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    path = tmp_path / "blank.png"
    Image.new("RGB", (320, 240), (90, 120, 150)).save(path)
    return path


# What comes out


def test_each_face_is_one_line(predict: Command, small_model: Path) -> None:
    done = predict(PORTRAIT)
    ((face,),) = AgeEstimator.load(small_model, "cpu").predict(PORTRAIT)
    x1, y1, x2, y2 = face.box
    low, high = face.interval
    assert done == (
        0,
        f"{PORTRAIT}: {face.age:.0f} years (90 %: {low:.0f}–{high:.0f}), "
        f"{x2 - x1:.0f}×{y2 - y1:.0f} at {x1:.0f},{y1:.0f}\n",
        [],
    )


def test_json_has_every_field(predict: Command, blank: Path) -> None:
    done = predict("--json", PORTRAIT, "none.jpg", blank)
    assert done.code == 1
    first, missing, empty = (json.loads(line) for line in done.out.splitlines())
    assert first["path"] == str(PORTRAIT)
    assert first["error"] is None
    (face,) = first["faces"]
    assert list(face) == [
        *("age", "low", "high", "score", "box", "key_points"),
        "low_resolution",
    ]
    assert (first["width"], first["height"]) == (512, 600)
    assert face["low"] < face["high"]
    assert np.shape(face["box"]) == (4,)
    assert np.shape(face["key_points"]) == (5, 2)
    size = {"width": None, "height": None, "rotation": 0}
    assert missing == {"path": "none.jpg", **size, "faces": [], "error": "none.jpg: no such file"}
    size = {"width": 320, "height": 240, "rotation": 0}
    assert empty == {"path": str(blank), **size, "faces": [], "error": None}


def test_json_has_distributions_on_request(predict: Command) -> None:
    (face,) = json.loads(predict("--json", "--distribution", PORTRAIT).out)["faces"]
    assert sum(face["distribution"]) == pytest.approx(1, abs=1e-3)
    assert np.dot(face["distribution"], face["ages"]) == pytest.approx(face["age"], abs=0.05)
    done = predict("--csv", "--distribution", PORTRAIT)
    assert done == (2, "", ["wrinkle: --distribution is for --json: give both"])


def test_the_last_line_says_what_was_done(
    predict: Command, blank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert predict(PORTRAIT).err == []
    assert predict(PORTRAIT, PORTRAIT).err == ["2 pictures, 2 faces"]
    assert len(predict("none.jpg").err) == 1
    done = predict(PORTRAIT, blank, "none.jpg", "empty", "--annotate", "out", "--json")
    assert done.err[-1] == (
        "3 pictures, 1 face, 1 picture without a face, 1 picture could not be used, "
        "1 argument without a picture, 1 annotated picture in out"
    )
    assert len(done.out.splitlines()) == 3
    assert predict(PORTRAIT, "--annotate", "out").err == [
        "1 picture, 1 face, 1 annotated picture in out"
    ]


def test_names_that_begin_with_a_dash_follow_two_dashes(
    predict: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(PORTRAIT, "-dash.jpg")
    shutil.copy(PORTRAIT, "--csv")
    for arguments in (["--", "-dash.jpg"], ["--", "--csv"], ["./-dash.jpg"]):
        done = predict(*arguments)
        assert (done.code, done.err) == (0, [])
        assert done.out.startswith(f"{Path(arguments[-1])}: ")
    mixed = predict(PORTRAIT, "--", "-dash.jpg", PORTRAIT, "--csv")
    assert [line.split(":")[0] for line in mixed.out.splitlines()] == [
        *(str(PORTRAIT), "-dash.jpg", str(PORTRAIT), "--csv"),
    ]


def test_csv_has_a_row_per_face_and_one_for_a_picture_without_faces(
    predict: Command, blank: Path
) -> None:
    done = predict("--csv", PORTRAIT, "none,of\nthese.jpg", blank)
    assert "\r" not in done.out
    face, missing, empty = csv.DictReader(io.StringIO(done.out))
    assert list(face) == command.COLUMNS
    assert (face["path"], face["face"], face["error"]) == (str(PORTRAIT), "1", "")
    assert float(face["low"]) < float(face["high"])
    assert float(face["x1"]) < float(face["x2"])
    assert missing["path"] == "none,of\nthese.jpg"
    assert missing["error"].endswith("no such file")
    assert (missing["age"], missing["face"]) == ("", "")
    assert (empty["path"], empty["error"]) == (str(blank), "no face found")


def test_at_least_prints_a_probability(predict: Command, small_model: Path) -> None:
    face = AgeEstimator.load(small_model).predict(PORTRAIT)[0][0]
    for age in (0, 40, 100):
        chance = face.at_least(age)
        line = predict(PORTRAIT, "--at-least", age).out
        percent = float(line.partition(f", at least {age}: ")[2].split(" %")[0])
        assert percent == pytest.approx(100 * chance, abs=0.5)
        row = json.loads(predict(PORTRAIT, "--at-least", age, "--json").out)["faces"][0]
        assert row[f"at_least_{age}"] == pytest.approx(chance, abs=1e-4)
        (cells,) = csv.DictReader(predict(PORTRAIT, "--at-least", age, "--csv").out.splitlines())
        assert float(cells[f"at_least_{age}"]) == pytest.approx(chance, abs=1e-4)


def test_probabilities_are_never_printed_as_0_or_100_percent(predict: Command) -> None:
    assert ", at least 0: 99.9 %," in predict(PORTRAIT, "--at-least", 0).out
    assert ", at least 500: 0.1 %," in predict(PORTRAIT, "--at-least", 500).out


def test_two_faces_are_numbered(predict: Command, tmp_path: Path) -> None:
    portrait = np.asarray(Image.open(PORTRAIT))
    small = np.asarray(Image.open(PORTRAIT).resize((256, 300)))
    both = np.zeros((600, 768, 3), np.uint8)
    both[:300, :256], both[:, 256:] = small, portrait
    Image.fromarray(both).save(tmp_path / "two.png")
    rows = list(csv.DictReader(io.StringIO(predict("--csv", tmp_path / "two.png").out)))
    assert [row["face"] for row in rows] == ["1", "2"]
    assert float(rows[0]["x1"]) > 256 > float(rows[1]["x2"])
    assert len(predict(tmp_path / "two.png").out.splitlines()) == 2


def test_annotated_pictures_are_written(predict: Command, blank: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    done = predict("--annotate", out, PORTRAIT, blank, "none.jpg", PORTRAIT)
    assert done.code == 1
    written = sorted(path.name for path in out.iterdir())
    assert written == ["grace_hopper_1984-2.jpg", "grace_hopper_1984.jpg"]
    with Image.open(out / written[1]) as picture:
        assert picture.size == (512, 600)


def test_a_folder_that_cannot_be_written_is_one_line(predict: Command, blank: Path) -> None:
    done = predict("--annotate", blank, PORTRAIT)
    assert done.code == 2
    (line,) = done.err
    assert line.startswith(f"wrinkle: cannot write to {blank}")


def test_results_are_printed_as_they_are_ready(small_model: Path) -> None:
    """Into a pipe too, where Python would hold them back: before the next picture can be read."""
    for form in ("--csv", "--batch=1"):
        read, write = os.pipe()
        pipe = Path(f"/proc/{os.getpid()}/fd/{read}")
        if not pipe.exists():
            pytest.skip("no /proc here")
        process = start("predict", PORTRAIT, pipe, "--model", small_model, "--batch", 1, form)
        assert process.stdout is not None
        if form == "--csv":
            assert process.stdout.readline().startswith("path,face")
        assert str(PORTRAIT) in process.stdout.readline()
        os.close(write)
        process.communicate(timeout=600)
        os.close(read)


# Where pictures come from


def test_files_folders_globs_and_lists_are_accepted(
    predict: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "holiday" / "deep"
    deep.mkdir(parents=True)
    shutil.copy(PORTRAIT, deep / "b.jpg")
    shutil.copy(PORTRAIT, tmp_path / "holiday" / "a.JPG")
    (tmp_path / "holiday" / "notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)

    def named(*arguments: str, error: str | None = None) -> list[str]:
        done = predict(*arguments)
        assert done.code == 0
        summary = ("pictures, 2 faces", "picture, 1 face")
        assert [line for line in done.err if not line.endswith(summary)] == (
            [] if error is None else [error]
        )
        return [line.split(":")[0] for line in done.out.splitlines()]

    passed_over = "note: passed over 1 file (1 .txt)"
    assert named("holiday", error=passed_over) == ["holiday/a.JPG", "holiday/deep/b.jpg"]
    assert named("holiday/*.JPG") == ["holiday/a.JPG"]
    assert named("holiday/**/b*") == ["holiday/deep/b.jpg"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("holiday/a.JPG\n\nholiday/deep\r\n"))
    assert named("-") == ["holiday/a.JPG", "holiday/deep/b.jpg"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("holiday/a.JPG"))
    assert named("-", "holiday/deep/b.jpg") == ["holiday/deep/b.jpg", "holiday/a.JPG"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_may_have_any_encoding(
    predict: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    shutil.copy(PORTRAIT, tmp_path / "é.jpg")
    monkeypatch.chdir(tmp_path)
    lines = io.TextIOWrapper(io.BytesIO("é.jpg\r\né.jpg\r\n".encode(encoding)))
    monkeypatch.setattr(sys, "stdin", lines)
    done = predict("-")
    assert done.code == 0
    assert done.out.count("é.jpg: ") == 2


def test_names_that_begin_with_a_dash_or_are_long(
    predict: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "é" * 120 + ".jpg"
    for name in ("-dash.jpg", long):
        shutil.copy(PORTRAIT, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert predict("--", "-dash.jpg").out.startswith("-dash.jpg: ")
    assert predict("--annotate", "out", "--batch", "2", "--", "-dash.jpg", long).code == 0
    annotated = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert annotated == ["-dash.jpg", "é" * 100 + ".jpg"]


def test_a_url_is_named(predict: Command) -> None:
    done = predict("https://example.org/a.jpg")
    assert done.code == 1
    assert len(done.err) == 1
    assert "https://example.org/a.jpg: is a URL" in done.err[0]


def test_an_empty_list_is_one_line(predict: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    done = predict("-")
    assert (done.code, done.out) == (2, "")
    (line,) = done.err
    assert "standard input" in line


@pytest.mark.parametrize(
    ("data", "words"), [(PORTRAIT.read_bytes(), "is a picture"), (b"a.jpg\0b.jpg\0", "zero bytes")]
)
def test_standard_input_must_be_a_list(
    predict: Command, monkeypatch: pytest.MonkeyPatch, data: bytes, words: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    done = predict("-")
    assert (done.code, done.out, len(done.err)) == (2, "", 1)
    assert words in done.err[0]
    assert "a list of names, one per line" in done.err[0]


def test_an_empty_name_is_not_the_current_folder(predict: Command) -> None:
    done = predict("", PORTRAIT)
    assert (done.code, done.err[0]) == (
        1,
        "wrinkle: an empty name: name a file, a folder or a glob",
    )
    assert done.out.startswith(f"{PORTRAIT}: ")
    done = predict(PORTRAIT, "--annotate", "")
    assert (done.code, done.out) == (2, "")
    assert "--annotate: the path is empty" in done.err[-1]


@pytest.mark.parametrize("option", [("--column", "x"), ("--rows", 5), ("--out", "x")])
def test_options_of_tables_need_a_table(predict: Command, option: tuple[str, object]) -> None:
    done = predict(PORTRAIT, *option)
    assert (done.code, done.out) == (2, "")
    assert done.err == [f"wrinkle: {option[0]} is for tables: name a Parquet or CSV file"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text here")
@pytest.mark.parametrize("form", ["--json", "--csv", "--batch=9"])
def test_names_that_are_not_utf8_or_have_a_line_break_are_one_line(
    small_model: Path, tmp_path: Path, form: str
) -> None:
    """Latin-1 from an old disk, a line break: one line each all the same."""
    odd = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    broken = os.fsencode(tmp_path) + b"/two\nlines.png"
    shutil.copy(os.fsencode(PORTRAIT), odd)
    Image.new("RGB", (40, 40)).save(os.fsdecode(broken))
    process = start(
        "predict", "-", os.fsdecode(broken), "--model", small_model, form, stdin=-1, bufsize=0
    )
    assert process.stdin is not None
    process.stdin.buffer.write(odd + b"\n" + odd + b".none\n")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 1
    no_face, missing, _ = err.splitlines()
    assert r"two\nlines.png" in no_face
    assert r"caf\udce9.jpg.none" in missing
    assert r"caf\udce9.jpg" in out
    if form == "--json":
        assert [len(json.loads(line)["faces"]) for line in out.splitlines()] == [0, 1, 0]


# Hostile inputs: each one line, and nothing else in the batch


@pytest.mark.parametrize("batch", [1, 32])
def test_each_bad_picture_is_one_line(
    predict: Command, hostile: dict[str, Path], blank: Path, batch: int
) -> None:
    reasons = {
        "missing": "no such file",
        "empty file": "is empty",
        "cut short": "is cut short",
        "cut in its header": "is cut short",
        "text": "is not a picture",
        "too large": "30000×30000 is more than the limit of 200,000,000 pixels; scale it down",
        "damaged": "is ",
    }
    assert set(reasons) == set(hostile)
    bad = list(hostile.values())
    done = predict("--batch", batch, PORTRAIT, *bad[:4], PORTRAIT, *bad[4:], blank, PORTRAIT)
    assert done.code == 1
    assert len(set(done.out.splitlines())) == 1
    assert len(done.out.splitlines()) == 3
    assert len(done.err) == len(bad) + 2
    for line, (name, path) in zip(done.err, hostile.items(), strict=False):
        assert line.startswith(f"wrinkle: {path}: ")
        assert reasons[name] in line
    assert done.err[-2] == f"note: {blank}: no face found"


def test_a_picture_without_a_face_is_not_an_error(predict: Command, blank: Path) -> None:
    assert predict(blank) == (0, "", [f"note: {blank}: no face found"])


def test_a_folder_without_pictures_does_not_affect_other_arguments(
    predict: Command, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    done = predict(tmp_path / "empty", PORTRAIT, tmp_path / "*.tif")
    assert done.code == 1
    assert len(done.out.splitlines()) == 1
    *errors, last = done.err
    assert len(errors) == 2
    assert all(line.startswith("wrinkle: no picture found in ") for line in errors)
    assert last == "1 picture, 1 face, 2 arguments without a picture"
    assert predict(tmp_path / "empty").code == 1


@pytest.mark.parametrize(
    ("detector", "words"),
    [
        *(("haar", "choices: dlib, mtcnn, yunet"), ("", "choices: dlib, mtcnn, yunet")),
        *(("mtcnn:x", "mtcnn takes nothing"), ("yunet", "yunet:FILE.onnx")),
        ("yunet:none.onnx", "yunet:FILE.onnx"),
    ],
)
def test_unknown_detectors_are_one_line(predict: Command, detector: str, words: str) -> None:
    done = predict("--detector", detector, PORTRAIT)
    assert done.code == 2
    assert done.out == ""
    (line,) = done.err
    assert words in line


@pytest.mark.parametrize("device", ["gpu", "cuda:77", "meta"])
def test_unknown_devices_are_one_line(predict: Command, device: str) -> None:
    done = predict("--device", device, PORTRAIT)
    assert done == (2, "", [f"wrinkle: device {device!r} is not available: try --device cpu"])


def refused(wrinkle: Command, path: Path) -> str:
    """The one line about a model file that cannot be used."""
    done = wrinkle("predict", "--model", path, PORTRAIT)
    assert done.code == 2
    assert done.out == ""
    (line,) = done.err
    assert line.startswith(f"wrinkle: {path}: ")
    return line


def test_truncated_model_files_are_one_line(
    wrinkle: Command, small_model: Path, tmp_path: Path
) -> None:
    whole, path = small_model.read_bytes(), tmp_path / "cut.safetensors"
    for length in (0, 5, 8, 500, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "damaged or cut short" in refused(wrinkle, path)


def test_model_files_with_a_flipped_byte_are_one_line(
    wrinkle: Command, small_model: Path, tmp_path: Path
) -> None:
    whole, path = small_model.read_bytes(), tmp_path / "flipped.safetensors"
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    metadata = whole.index(b"__metadata__")
    random = np.random.default_rng(0)
    places = [0, 3, 9, metadata + 3, metadata + 40, *random.integers(8, header - 8, 10)]
    places += [header, *random.integers(header, len(whole), 6), len(whole) - 1]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << random.integers(7)
        path.write_bytes(damaged)
        assert "damaged" in refused(wrinkle, path) or place < header


def test_files_of_other_programs_are_one_line(
    wrinkle: Command, small_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    assert "of another program" in refused(wrinkle, path)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "pickled.pt")
    assert "not a model file" in refused(wrinkle, tmp_path / "pickled.pt")
    assert "not a model file" in refused(wrinkle, TABLE)


def test_tensors_of_another_model_are_one_line(
    wrinkle: Command, small_model: Path, tmp_path: Path
) -> None:
    from wrinkle.files import read_tensors, write_tensors
    from wrinkle.models import create_model
    from wrinkle.models.file import save_model

    tensors, header = read_tensors(small_model, "model")
    other, path = create_model("resnet18"), tmp_path / "other.safetensors"
    rest = {key: header[key] for key in ("input", "ages", "provenance")}
    save_model(path, other, {"model": header["model"], **rest})
    assert "not a file of this version's model" in refused(wrinkle, path)
    save_model(path, other, {"model": {"name": "vit", "fields": {}}, **rest})
    assert "unknown model 'vit'" in refused(wrinkle, path)
    rest["input"] = {**header["input"], "template": 99}
    save_model(path, other, {"model": {"name": "resnet18", "fields": {}}, **rest})
    assert "aligned by face template 99" in refused(wrinkle, path)
    write_tensors(path, tensors, {"kind": "state"})
    assert "this needs a model file" in refused(wrinkle, path)


def test_missing_models_are_one_line(wrinkle: Command, tmp_path: Path) -> None:
    for model in ("nobody", tmp_path, tmp_path / "none.safetensors"):
        done = wrinkle("predict", "--model", model, PORTRAIT)
        assert done.code == 2
        (line,) = done.err
        assert line.startswith(f"wrinkle: no model {str(model)!r}: give a model file, or one of: ")


def test_the_known_ages_are_those_in_the_examples_readme() -> None:
    rows = [line.split("|") for line in TABLE.read_text(encoding="utf-8").splitlines()]
    ages = {row[1].strip(" `"): row[5].strip() for row in rows if len(row) > 5 and ".jpg" in row[1]}
    assert set(ages) == set(KNOWN_AGES)
    for name, age in KNOWN_AGES.items():
        assert np.mean([float(part) for part in ages[name].split(" or ")]) == age


@pytest.mark.parametrize("name", ["adpf", "adpf_attention", "bif_fusion"])
def test_an_adpf_model_file_predicts(wrinkle: Command, tmp_path: Path, name: str) -> None:
    model = write_adpf(tmp_path / "model.safetensors", name)
    done = wrinkle("predict", EXAMPLES / "joe_biden_2010.jpg", "--model", model, "--json")
    (face,) = json.loads(done.out)["faces"]
    (expected,) = AgeEstimator.load(model).predict(EXAMPLES / "joe_biden_2010.jpg")[0]
    assert done.code == 0
    assert face["age"] == pytest.approx(expected.age, abs=0.01)


def test_a_dhaa_model_file_predicts(wrinkle: Command, dhaa_model: Path) -> None:
    done = wrinkle(
        "predict",
        EXAMPLES / "joe_biden_2010.jpg",
        "--model",
        dhaa_model,
        "--json",
        "--distribution",
    )
    assert done.code == 0
    assert done.err == []
    (face,) = json.loads(done.out)["faces"]
    ages = sum(age * p for age, p in enumerate(face["distribution"]))
    assert face["age"] == pytest.approx(ages, abs=0.1)
    assert len(face["distribution"]) == 101
