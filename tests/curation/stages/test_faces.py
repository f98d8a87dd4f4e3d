import hashlib

import cv2
import daft
import numpy as np
import pyarrow as pa
import pytest

from tests.conftest import EXAMPLES
from wrinkle.curation.config import FaceRules
from wrinkle.curation.stages.deduplicate import deduplicate
from wrinkle.curation.stages.faces import drop_reason, find_faces, sharpness
from wrinkle.curation.workspace import Workspace
from wrinkle.duplicates.near_duplicates import perceptual_hash, small_grey
from wrinkle.faces.decode import decode

PORTRAITS = sorted(EXAMPLES.glob("*.jpg"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The examples, one of them also at half its size, two in one picture, and two pictures without
    a face; one more was dropped before."""
    root = tmp_path_factory.mktemp("ws")
    again = decode(PORTRAITS[0])[::2, ::2, ::-1]
    cv2.imwrite(str(root / "again.jpg"), again, [cv2.IMWRITE_JPEG_QUALITY, 80])
    two = [cv2.resize(decode(path), (300, 360)) for path in PORTRAITS[2:4]]
    cv2.imwrite(str(root / "two.png"), np.hstack(two)[..., ::-1])
    cv2.imwrite(str(root / "flat.png"), np.full((200, 200, 3), 128, np.uint8))
    (root / "text.jpg").write_text("<html>")
    files = [*PORTRAITS, *(root / n for n in ("again.jpg", "two.png", "flat.png", "text.jpg"))]
    names = [hashlib.sha256(path.read_bytes()).hexdigest()[:8] + path.stem for path in files]
    rows = {
        "picture": [*names, "gone"],
        "path": [*map(str, files), "gone.jpg"],
        "dropped": pa.array([None] * len(files) + ["HTTP 404"], pa.string()),
    }
    made = Workspace(root)
    made.append("collect", daft.from_arrow(pa.table(rows)))
    find_faces(made, FaceRules(size=20))
    deduplicate(made, 0)
    return made


def test_every_picture_has_a_row(workspace: Workspace) -> None:
    rows = workspace.table("faces").to_pylist()
    by_name: dict[str, list[dict]] = {}
    for row in rows:
        by_name.setdefault(row["picture"][8:], []).append(row)
    assert set(by_name) == {*(p.stem for p in PORTRAITS), "again", "two", "flat", "text"}
    assert [row["dropped"] for row in by_name["flat"]] == ["no face"]
    (text,) = by_name["text"]
    assert text["dropped"] == "unreadable"
    assert text["detail"].startswith("is not a picture")
    assert len([row for row in by_name["two"] if row["dropped"] is None]) == 2
    assert len({row["face"] for row in rows}) == len(rows)


def test_a_face_has_its_own_crop(workspace: Workspace) -> None:
    kept = [row for row in workspace.table("faces").to_pylist() if row["dropped"] is None]
    for row in kept:
        crop = decode(row["image"])
        assert row["digest"] == hashlib.sha256(row["image"]).hexdigest()
        assert crop.shape == (256, 256, 3)
        points = np.reshape(row["key_points"], (5, 2))
        assert ((points > 60) & (points < 196)).all()
        assert row["score"] >= 0.9
        x1, y1, x2, y2 = row["box"]
        assert row["size"] == pytest.approx(min(x2 - x1, y2 - y1), abs=1e-3)
        near = int(perceptual_hash(small_grey(crop))) ^ row["hash"]
        assert near.bit_count() <= 2  # the hash is of the crop before it was compressed
        assert row["sharpness"] > 2


def test_one_of_each_group_is_kept(workspace: Workspace) -> None:
    rows = workspace.table("deduplicate").to_pylist()
    faces = workspace.table("faces", "face", "dropped").to_pylist()
    assert {row["face"] for row in rows} == {f["face"] for f in faces if f["dropped"] is None}
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row["face"])
        same = row["face"] == row["group"]
        assert row["dropped"] == (None if same else f"duplicate of {row['group']}")
    first = next(row["face"] for row in rows if PORTRAITS[0].stem in row["face"])
    again = next(row["face"] for row in rows if "again" in row["face"])
    assert sorted(groups[rows[[r["face"] for r in rows].index(first)]["group"]]) == sorted(
        [first, again]
    )
    before = workspace.table("deduplicate")
    deduplicate(workspace, 0)
    assert workspace.table("deduplicate") == before
    drawn = set()
    for seed in range(8):
        deduplicate(workspace, seed)
        table = workspace.table("deduplicate").to_pylist()
        drawn.add(next(row["group"] for row in table if row["face"] == first))
    assert drawn == {first, again}


def test_every_dropped_face_has_its_reason() -> None:
    rules = FaceRules(score=0.9, size=40, sharpness=5)
    assert drop_reason(0.95, 41, 6, rules) is None
    assert drop_reason(0.85, 41, 6, rules) == "uncertain"
    assert drop_reason(0.95, 39, 6, rules) == "small"
    assert drop_reason(0.95, 41, 4, rules) == "blurred"


def test_blurring_lowers_sharpness() -> None:
    image = decode(PORTRAITS[0])
    assert sharpness(cv2.GaussianBlur(image, (0, 0), 3)) < sharpness(image) / 4
    assert sharpness(np.full((9, 9, 3), 77, np.uint8)) == 0
