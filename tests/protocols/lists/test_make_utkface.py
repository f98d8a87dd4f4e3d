import gzip
import hashlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.datasets import Row
from wrinkle.errors import WrinkleError
from wrinkle.protocols import utkface
from wrinkle.protocols.lists.make_utkface import assign, cluster, main, perceptual_hash


def _scene(seed: int) -> np.ndarray:
    """(200, 200) uint8: smooth random light, no two seeds alike."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (8, 8)).astype(np.float32)
    return cv2.resize(coarse, (200, 200), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype("u1")


def test_the_hash_survives_compression_and_scale_and_tells_scenes_apart():
    scene = _scene(0)
    again = cv2.imdecode(cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 0)
    smaller = cv2.resize(scene, (120, 120), interpolation=cv2.INTER_AREA)
    code = perceptual_hash(scene)
    assert code.shape == (64,)
    assert code.dtype == bool
    assert (code != perceptual_hash(again)).sum() < 6
    assert (code != perceptual_hash(smaller)).sum() < 6
    assert (code != perceptual_hash(_scene(1))).sum() > 12


def test_clusters_are_chains_of_near_hashes():
    hashes = np.zeros((5, 64), bool)
    hashes[1, :5] = True  # 5 from 0
    hashes[2, :10] = True  # 5 from 1, 10 from 0
    hashes[3, 20:26] = True  # 6 from 0
    hashes[4, 20:27] = True  # 1 from 3
    assert cluster(hashes).tolist() == [0, 0, 0, 3, 3]


@given(st.lists(st.integers(0, 9), min_size=30, max_size=80), st.integers(0, 3))
def test_clusters_are_not_divided(members, seed):
    first = {member: members.index(member) for member in members}
    clusters = np.array([first[member] for member in members])
    rows = [Row(Path(f"{i}"), f"{i}", float(i % 50), "utkface") for i in range(len(members))]
    part = assign(rows, clusters, seed)
    for lowest in set(clusters.tolist()):
        assert (
            len({part[row.name] for row, c in zip(rows, clusters, strict=True) if c == lowest}) == 1
        )


def test_ten_of_an_age_are_divided_8_1_1():
    rows = [Row(Path(f"{i}"), f"{i}", float(i // 10), "utkface") for i in range(200)]
    part = assign(rows, np.arange(200))
    for age in range(20):
        ten = Counter(part[row.name] for row in rows if row.age == age)
        assert ten == {"train": 8, "validation": 1, "test": 1}


def test_the_list_is_the_same_every_time(tmp_path, capsys):
    root = tmp_path / "faces"
    root.mkdir()
    for number in range(20):
        cv2.imwrite(str(root / f"{20 + number}_0_0_{number}.jpg.chip.jpg"), _scene(number))
    copy = (root / "20_0_0_0.jpg.chip.jpg").read_bytes()
    (root / "90_0_0_0.jpg.chip.jpg").write_bytes(copy)
    packed = []
    for out in (tmp_path / "one.gz", tmp_path / "two.gz"):
        main(str(root), str(out))
        packed.append(out.read_bytes())
    assert packed[0] == packed[1]
    text = gzip.decompress(packed[0])
    assert hashlib.sha256(text).hexdigest() in capsys.readouterr().out
    lines = text.decode().splitlines()
    assert [line[2:] for line in lines if line.startswith("# ")] == list(utkface.PARTS)
    left_out = lines[lines.index("# left-out") + 1 :]
    assert left_out == ["20_0_0_0.jpg.chip.jpg", "90_0_0_0.jpg.chip.jpg"]


def test_an_unreadable_picture_is_an_error(tmp_path):
    (tmp_path / "20_0_0_0.jpg").write_bytes(b"not a picture")
    with pytest.raises(WrinkleError, match=r"20_0_0_0\.jpg"):
        main(str(tmp_path), str(tmp_path / "out.gz"))


@pytest.mark.data
@pytest.mark.slow
def test_the_packaged_list_is_reproduced(data_root, tmp_path):
    main(str(data_root / "utkface"), str(tmp_path / "list.gz"))
    text = gzip.decompress((tmp_path / "list.gz").read_bytes())
    assert hashlib.sha256(text).hexdigest() == utkface.CHECKSUM
