"""From a folder of photographs to a store: whatever happens, finished parts are kept."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import EXAMPLES, KNOWN_AGES
from wrinkle.datasets import DATASETS, pack, read_dataset
from wrinkle.datasets import prepare as module
from wrinkle.datasets.dataset import five_points
from wrinkle.datasets.prepare import prepare
from wrinkle.datasets.readers.fgnet import FGNet
from wrinkle.datasets.rows import Dropped, Row
from wrinkle.datasets.store import Store, write_table
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.detectors.detection import Detection


def folder_of(path: Path, copies: int) -> Path:
    """A folder dataset of the examples, each `copies` times with different bytes and ages."""
    path.mkdir()
    lines = ["path,age"]
    for number in range(copies):
        for name in KNOWN_AGES:
            picture = cv2.imread(str(EXAMPLES / name))
            cv2.imwrite(str(path / f"{number}_{name}"), picture[number:, number:])
            lines.append(f"{number}_{name},{20 + number}")
    (path / "labels.csv").write_text("\n".join(lines))
    return path


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 4)


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_the_order_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", 2)
    for workers in (1, 2):
        prepare("folder", source, tmp_path / f"{workers}.arrow", 64, workers=workers)
    one, two = (Store(tmp_path / f"{workers}.arrow") for workers in (1, 2))
    names = [f"{number}_{name}" for number in range(2) for name in KNOWN_AGES]
    assert one.columns["name"].to_pylist() == names
    assert (tmp_path / "1.arrow").read_bytes() == (tmp_path / "2.arrow").read_bytes()
    assert not list(tmp_path.glob("*.parts"))
    assert len(two) == 10


def test_every_picture_left_out_has_its_reason(tmp_path: Path) -> None:
    good = (EXAMPLES / "joe_biden_2010.jpg").read_bytes()
    files = {
        "good.jpg": good,
        "same.jpg": good,
        "cut.jpg": good[: len(good) // 2],
        "text.jpg": b"no picture",
        "grey.png": cv2.imencode(".png", np.full((80, 80), 99, np.uint8))[1].tobytes(),
        "odd1.png": cv2.imencode(".png", np.full((9, 9), 1, np.uint8))[1].tobytes(),
        "odd2.png": cv2.imencode(".png", np.full((9, 9), 1, np.uint8))[1].tobytes(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    ages = {name: 67 for name in files} | {"odd2.png": 12}
    lines = ["path,age", *(f"{name},{age}" for name, age in ages.items()), "none.jpg,3"]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    done = prepare("folder", tmp_path, tmp_path / "x.arrow", 64, workers=1)
    assert done.kept == 1
    assert {d.name: d.reason for d in done.dropped} == {
        "same.jpg": "duplicate",
        "cut.jpg": "unreadable",
        "text.jpg": "unreadable",
        "grey.png": "no face",
        "odd1.png": "conflicting duplicate labels",
        "odd2.png": "conflicting duplicate labels",
        "none.jpg": "no such picture",
    }
    assert [Dropped(*d) for d in Store(done.path).info["dropped"]] == done.dropped
    assert "      2  dropped: unreadable" in done.table()


@pytest.mark.kills
@pytest.mark.slow
def test_a_killed_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = folder_of(tmp_path / "in", 3), tmp_path / "out.arrow"
    code = (
        "import sys; from wrinkle.datasets import prepare as m; m.PART = 2;"
        "from tests.datasets.test_prepare import slow_down; m.make_part = slow_down;"
        "m.prepare('folder', sys.argv[1], sys.argv[2], 64, workers=1)"
    )
    command = [sys.executable, "-c", code, str(source), str(out)]
    running = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    parts = out.with_name("out.arrow.parts")
    deadline = time.monotonic() + 120
    while len(list(parts.glob("*.arrow"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    done = {part: part.stat().st_mtime_ns for part in parts.glob("*.arrow")}
    assert 2 <= len(done) < 8
    assert not out.exists()
    subprocess.run([*command[:2], code.replace("m.make_part = slow_down;", KEEP), *command[3:]])
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert {str(part): time for part, time in done.items()}.items() <= kept.items()
    monkeypatch.setattr(module, "PART", 2)
    prepare("folder", source, tmp_path / "complete.arrow", 64, workers=1)
    assert out.read_bytes() == (tmp_path / "complete.arrow").read_bytes()


KEEP = (
    "import json, pathlib, shutil; real = shutil.rmtree;"
    "m.shutil.rmtree = lambda p: (pathlib.Path(p).with_name('kept.json').write_text(json.dumps("
    "{str(f): f.stat().st_mtime_ns for f in pathlib.Path(p).glob('*.arrow')})), real(p));"
)
"""Notes the parts and their times of writing before they are deleted."""


def slow_down(*arguments: Any) -> None:
    """`make_part` with time to be killed between two parts."""
    make_part(*arguments)
    time.sleep(0.3)


make_part = pack.make_part


@pytest.mark.usefixtures("small_parts")
def test_parts_with_other_settings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folder_of(tmp_path / "in", 1), tmp_path / "out.arrow"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_table", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare("folder", source, out, 64, workers=1)
    with pytest.raises(WrinkleError, match=r"out.arrow.parts .*other size"):
        prepare("folder", source, out, 96, workers=1)
    part = out.with_name("out.arrow.parts") / "00000004.arrow"
    complete = part.read_bytes()
    part.write_bytes(complete[:-100])
    with pytest.raises(WrinkleError, match=r"00000004.arrow is damaged"):
        prepare("folder", source, out, 64, workers=1)
    part.write_bytes(complete)
    assert prepare("folder", source, out, 64, workers=1).kept == 5


def test_a_full_disk_is_one_line_and_keeps_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folder_of(tmp_path / "in", 1), tmp_path / "out.arrow"

    def full(path: Path, *rest: object) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", _no_space)
            write_table(path, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_table", full)
        with pytest.raises(WrinkleError, match=r"disk is full.*packed so far is kept"):
            prepare("folder", source, out, 64, workers=1)
    assert len(list(out.with_name("out.arrow.parts").glob("*.arrow"))) == 1
    assert not out.exists()


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


def run_apart(code: str, *arguments: Path, **options: Any) -> "subprocess.Popen[str]":
    """Python code in a process group of its own; `m` is the module, in parts of 2."""
    head = "import sys; from wrinkle.datasets import prepare as m; m.PART = 2;"
    return subprocess.Popen(
        [sys.executable, "-c", head + code, *map(str, arguments)],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


SLOWLY = (
    "from tests.datasets.test_prepare import slow_down; m.make_part = slow_down;"
    "from wrinkle.cli import main;"
    "sys.exit(main(['prepare', 'folder', *sys.argv[1:], '--size', '64', '--workers', '2']))"
)


def wait_for_part(out: Path) -> None:
    parts, deadline = out.with_name(out.name + ".parts"), time.monotonic() + 120
    while not any(parts.glob("*.arrow")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.kills
@pytest.mark.slow
def test_ctrl_c_is_one_line_and_keeps_what_is_done(tmp_path: Path) -> None:
    source, out = folder_of(tmp_path / "in", 4), tmp_path / "out.arrow"
    running = run_apart(SLOWLY, source, out)
    wait_for_part(out)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does, to parent and workers
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 130
    assert errors.splitlines()[-1].startswith("wrinkle: stopped")
    assert "Traceback" not in errors
    assert any(out.with_name("out.arrow.parts").glob("*.arrow"))
    assert not out.exists()


@pytest.mark.kills
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    source, out = folder_of(tmp_path / "in", 4), tmp_path / "out.arrow"
    running = run_apart(SLOWLY, source, out)
    wait_for_part(out)
    assert len(members(running.pid)) >= 3
    running.kill()
    running.wait()
    deadline = time.monotonic() + 60
    while members(running.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running.stderr.close()  # type: ignore[union-attr]


def members(group: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, leader = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # gone meanwhile
            continue
        if int(leader) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
def test_the_file_size_limit_is_one_line_and_keeps_the_parts(tmp_path: Path) -> None:
    source, out = folder_of(tmp_path / "in", 4), tmp_path / "out.arrow"
    limit = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000));"
        "from wrinkle.cli import main;"
        "sys.exit(main(['prepare', 'folder', *sys.argv[1:], '--size', '64', '--workers', '1']))"
    )
    running = run_apart(limit, source, out)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 2
    line = errors.splitlines()[-1]
    assert line.startswith(f"wrinkle: cannot write {out}: File too large; what is packed so far")
    assert "Traceback" not in errors
    assert len(list(out.with_name("out.arrow.parts").glob("*.arrow"))) == 10
    assert not out.with_name("out.arrow.part").exists()


def die(*_: object) -> None:
    """What the system does to a worker when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.kills
def test_a_dead_worker_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "make_part", die)
    with pytest.raises(WrinkleError, match="worker process died") as caught:
        prepare("folder", folder_of(tmp_path / "in", 1), tmp_path / "out.arrow", workers=1)
    assert "\n" not in str(caught.value)


def test_a_missing_detector_leaves_no_files(tmp_path: Path) -> None:
    source, out = folder_of(tmp_path / "in", 1), tmp_path / "new" / "folder" / "out.arrow"
    with pytest.raises(WrinkleError, match=r"none\.onnx"):
        prepare("folder", source, out, 64, "yunet:none.onnx", workers=1)
    done = prepare("folder", source, out, 64, workers=1, limit=2)
    assert done.kept == 2
    assert Store(out).columns["name"].to_pylist() == [f"0_{name}" for name in KNOWN_AGES][:2]
    assert list(out.parent.iterdir()) == [out]


def test_a_folder_as_output_is_one_line(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", 1)
    for place in (tmp_path, Path()):
        with pytest.raises(WrinkleError, match="is a folder: name a file"):
            prepare("folder", source, place, 64, workers=1)
    (tmp_path / "file").touch()
    with pytest.raises(WrinkleError, match="cannot write"):
        prepare("folder", source, tmp_path / "file" / "out.arrow", 64, workers=1)


ROW = Row(Path("x.jpg"), "x.jpg", 30.0, "made")


def test_parts_with_other_labels_are_refused() -> None:
    points = np.zeros((68, 2), np.float32)
    others = [
        replace(ROW, **change)
        for change in (
            {},
            {"age": 31.0},
            {"age_deviation": 2.0},
            {"person": "p"},
            {"gender": "male"},
            {"group": "g"},
            {"landmarks": points},
            {"landmarks": points + 1},
        )
    ]
    assert len({module._fingerprint([row]) for row in others}) == len(others)


def test_photographs_are_read_in_batches_of_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for index, side in enumerate([10, 10, 90, 10, 10, 10]):
        path = tmp_path / f"{index}.png"
        cv2.imwrite(str(path), np.full((side, side, 3), index, np.uint8))
        rows.append(replace(ROW, path=path, name=path.name))
    rows[4].path.unlink()
    monkeypatch.setattr(pack, "BATCH_BYTES", 3 * 50 * 50)
    dropped: list[Dropped] = []
    batches = list(pack.batches(rows, dropped))
    names = [[photograph.row.name for photograph in batch] for batch in batches]
    assert names == [["0.png", "1.png", "2.png"], ["3.png", "5.png"]]
    assert dropped == [Dropped("4.png", "unreadable", "No such file or directory")]
    monkeypatch.setattr(pack, "BATCH", 1)
    assert list(map(len, pack.batches(rows, []))) == [1] * 5


def test_the_face_at_the_hand_placed_points_is_used(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(20, 80, (68, 2)).astype(np.float32)
    placed = five_points(points, FGNet.key_points)
    image = np.zeros((100, 100, 3), np.uint8)
    photograph = pack.Photograph(replace(ROW, landmarks=points), image, "")
    job = pack.Job(tmp_path, 64, "mtcnn", FGNet.key_points)
    large = Detection(np.array([0, 0, 99, 99]), 0.9, placed + 100)
    right = Detection(np.array([0, 0, 9, 9]), 0.9, placed + 0.5)
    assert pack.choose(job, photograph, [large, right]) is right
    stand_in = pack.choose(job, photograph, [large])
    np.testing.assert_array_equal(stand_in.key_points, placed)
    packed = pack.pack(job, photograph, stand_in)
    assert packed["score"] is None
    np.testing.assert_allclose(
        packed["key_points"].reshape(5, 2),
        five_points(packed["landmarks"].reshape(68, 2), FGNet.key_points),
    )
    beyond = pack.Photograph(photograph.row, image[:30], "")
    with pytest.raises(ImageError, match="outside the picture"):
        pack.choose(job, beyond, [])
    assert pack.choose(replace(job, key_points=None), beyond, [large, right]) is large


PHOTOGRAPH = (EXAMPLES / "joe_biden_2010.jpg").read_bytes()


def cropped() -> bytes:
    """The face of `PHOTOGRAPH` with a small margin, as in datasets of faces."""
    picture = cv2.imdecode(np.frombuffer(PHOTOGRAPH, np.uint8), cv2.IMREAD_COLOR)
    face = picture[35:225, 125:285]
    return cv2.imencode(".jpg", cv2.resize(face, (160, 190)))[1].tobytes()


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("morph2", {"Album2/009055_0M54.JPG": PHOTOGRAPH}, ("009055_0M54.JPG", 54, None, "009055")),
        (
            "cacd",
            {"CACD2000/53_Robin_Williams_0001.jpg": cropped()},
            ("53_Robin_Williams_0001.jpg", 53, None, "Robin_Williams"),
        ),
        (
            "lap2015",
            {"valid/004113.jpg": PHOTOGRAPH, "valid_gt.csv": b"image,mean,stdv\n004113.jpg,35,4\n"},
            ("validation/004113.jpg", 35, 4, None),
        ),
        ("afad", {"18/111/1234-0.jpg": cropped()}, ("18/111/1234-0.jpg", 18, None, None)),
        (
            "agedb",
            {"7_JoeBiden_67_m.jpg": cropped()},
            ("7_JoeBiden_67_m.jpg", 67, None, "JoeBiden"),
        ),
    ],
)
def test_pictures_of_other_datasets_are_packed(
    tmp_path: Path, name: str, files: dict[str, bytes], expected: tuple[Any, ...]
) -> None:
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(content)
    rows, dropped = read_dataset(name, tmp_path)
    assert dropped == []
    job = pack.Job(tmp_path, 64, "mtcnn", DATASETS.create(name).key_points)
    pack.make_part(job, 0, rows)
    table, left_out = pack.read_part(pack.part_path(tmp_path, 0))
    assert left_out == []
    (packed,) = table.select(["name", "age", "age_deviation", "person"]).to_pylist()
    assert tuple(packed.values()) == expected
    assert table["source"].to_pylist() == [name]


@pytest.mark.slow
@pytest.mark.data
def test_fgnet_is_prepared_completely(data_root: Path, tmp_path: Path) -> None:
    done = prepare("fgnet", data_root / "fgnet", tmp_path / "fgnet.arrow")
    store = Store(done.path)
    assert len(store) == 1002
    assert done.by_hand <= 10  # faces found in at least 99 %
    landmarks = np.stack([store.landmarks(n) for n in range(1002)])  # type: ignore[misc]
    placed = five_points(landmarks, FGNet.key_points)
    between = np.linalg.norm(placed[:, 1] - placed[:, 0], axis=1)
    eyes = np.linalg.norm(store.key_points[:, :2] - placed[:, :2], axis=2).mean(1)
    assert np.median(eyes / between) < 0.06


def test_the_main_process_sees_how_many_photographs_are_done(tmp_path: Path) -> None:
    rows, _ = read_dataset("folder", folder_of(tmp_path / "in", 1))
    counts: dict[int, int] = {}
    seen: list[int] = []

    class Counts(dict[int, int]):
        def __setitem__(self, start: int, number: int) -> None:
            seen.append(number)
            counts[start] = number

    pack.share_counts(Counts())
    try:
        parts = tmp_path / "parts"
        parts.mkdir()
        pack.make_part(pack.Job(parts, 64, "mtcnn", None), 0, rows)
    finally:
        pack.share_counts({})
    assert seen == sorted(seen)
    assert len(set(seen)) > 1
    assert counts == {0: len(rows)}
