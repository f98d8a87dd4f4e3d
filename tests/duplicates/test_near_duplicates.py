import math
from collections.abc import Iterator
from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.fftpack import dct

from wrinkle.datasets.store import Store
from wrinkle.duplicates import near_duplicates
from wrinkle.duplicates.near_duplicates import (
    near_groups,
    near_pairs,
    perceptual_hash,
    small_grey,
    store_hashes,
)


def slow_hash(grey: np.ndarray) -> int:
    """The definition, a coefficient at a time."""
    low = [
        sum(
            float(grey[y, x])
            * math.cos(math.pi * (2 * y + 1) * v / 64)
            * math.cos(math.pi * (2 * x + 1) * u / 64)
            for y in range(32)
            for x in range(32)
        )
        for v in range(8)
        for u in range(8)
    ]
    median = sorted(low)[31] / 2 + sorted(low)[32] / 2
    return int("".join("1" if value > median else "0" for value in low), 2)


def test_hash_follows_its_definition() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    assert perceptual_hash(pictures).tolist() == [slow_hash(each) for each in pictures]


def imagehash_of(picture: np.ndarray) -> int:
    return int(str(imagehash.phash(Image.fromarray(picture))), 16)


def fill(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if kind == "mirrored":
        part = random.integers(0, 256, ((height + 1) // 2, (width + 1) // 2, 3), np.uint8)
        part = np.concatenate([part, part[::-1][height % 2 :]])
        return np.concatenate([part, part[:, ::-1][:, width % 2 :]], axis=1)
    if kind == "black and white":
        return random.integers(0, 2, (height, width, 1), np.uint8).repeat(3, 2) * np.uint8(255)
    shapes = {"flat": (1, 1, 3), "columns": (1, width, 3), "rows": (height, 1, 3)}
    values = random.integers(0, 256, shapes.get(kind, (height, width, 3)), np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values, (height, width, 3)))


KINDS = ["noise", "flat", "columns", "rows", "mirrored", "black and white"]
SIDES = st.integers(1, 80) | st.sampled_from([32, 33, 224, 256, 511, 512, 513])


@given(st.sampled_from(KINDS), SIDES, SIDES, st.booleans(), st.integers(0, 2**32))
def test_hash_equals_that_of_imagehash(
    kind: str, height: int, width: int, square: bool, seed: int
) -> None:
    picture = fill(kind, height, height if square else width, seed)
    assert int(perceptual_hash(small_grey(picture))) == imagehash_of(picture)


@pytest.mark.parametrize("side", [32, 33, 100, 256, 512])
@pytest.mark.parametrize("kind", KINDS)
def test_hash_of_square_pictures_equals_that_of_imagehash(kind: str, side: int) -> None:
    picture = fill(kind, side, side, side)
    assert int(perceptual_hash(small_grey(picture))) == imagehash_of(picture)


def test_cosine_transform_equals_scipys_to_the_bit() -> None:
    lines = np.random.default_rng(0).integers(0, 256, (500, 3, 32)).astype(float)
    np.testing.assert_array_equal(near_duplicates._cosine_transform(lines), dct(lines))


def test_hashes_have_any_batch_shape() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), np.uint8)
    hashes = perceptual_hash(pictures)
    assert hashes.dtype == np.uint64
    assert hashes.shape == (2, 3)
    assert hashes[1, 2] == perceptual_hash(pictures[1, 2])
    assert perceptual_hash(pictures[:0]).shape == (0, 3)


def test_huge_and_thin_pictures_are_hashed() -> None:
    for height, width in [(3000, 2000), (1, 5000), (5000, 1)]:
        picture = fill("noise", height, width, 0)
        assert int(perceptual_hash(small_grey(picture))) == imagehash_of(picture)


@pytest.mark.data
@pytest.mark.parametrize("files", ["fgnet/**/*.[jJ][pP][gG]", "utkface/**/*.jpg"])
def test_hashes_of_faces_are_those_of_imagehash(data_root: Path, files: str) -> None:
    paths = sorted(data_root.glob(files))[::40][:300]
    if not paths:
        pytest.skip(f"no {files}")
    for path in paths:
        picture = Image.open(path).convert("RGB")
        for each in (picture, picture.resize((256, 256))):
            image = np.asarray(each)
            assert int(perceptual_hash(small_grey(image))) == imagehash_of(image)


def test_a_face_saved_again_is_near_and_others_are_not(example_store: object) -> None:
    store = Store(example_store)  # type: ignore[arg-type]
    hashes = store_hashes(store)
    assert len(near_pairs(hashes)) == 0
    half = store.image(0)[::2, ::2] // 2 + 60
    again = perceptual_hash(small_grey(half)[None])
    assert near_pairs(np.concatenate([hashes, again])).tolist() == [[0, 5]]


def slow_pairs(hashes: list[int]) -> set[tuple[int, int]]:
    return {
        (i, j)
        for j in range(len(hashes))
        for i in range(j)
        if (hashes[i] ^ hashes[j]).bit_count() < 6
    }


@given(st.lists(st.integers(0, 2**64 - 1), max_size=4), st.data())
def test_exactly_the_near_pairs_are_found(roots: list[int], data: st.DataObject) -> None:
    flips = st.lists(st.integers(0, 63), max_size=8)
    hashes = [
        root ^ sum(1 << bit for bit in set(data.draw(flips))) for root in roots for _ in range(4)
    ]
    found = near_pairs(np.array(hashes, np.uint64))
    first = [hashes.index(each) for each in hashes]
    # Of equal hashes only the first is paired with others: add the pairs of the rest.
    listed = {tuple(pair) for pair in found.tolist()}
    every = {
        (i, j)
        for j in range(len(hashes))
        for i in range(j)
        if first[i] == first[j] or tuple(sorted((first[i], first[j]))) in listed
    }
    assert every == slow_pairs(hashes)
    assert all(i < j for i, j in listed)
    assert len(listed) == len(found)


def slow_groups(count: int, pairs: set[tuple[int, int]]) -> list[int]:
    group = list(range(count))
    for a, b in pairs:
        one, other = sorted((group[a], group[b]))
        group = [one if each == other else each for each in group]
    return group


@given(st.lists(st.integers(0, 2**64 - 1), max_size=4), st.data(), st.integers(1, 3))
def test_groups_are_chains_of_near_pairs(roots: list[int], data: st.DataObject, crowd: int) -> None:
    flips = st.lists(st.integers(0, 63), max_size=8)
    many = data.draw(st.lists(st.sampled_from(roots), max_size=25)) if roots else []
    hashes = [root ^ sum(1 << bit for bit in set(data.draw(flips))) for root in many]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_NEIGHBOURS", 1)
        patch.setattr(near_duplicates, "_MANY", crowd)
        found = near_groups(np.array(hashes, np.uint64))
    assert found.tolist() == slow_groups(len(hashes), slow_pairs(hashes))


def even(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**64, count, np.uint64)


def flipped(hashes: np.ndarray, bits: int) -> np.ndarray:
    random = np.random.default_rng(1)
    for _ in range(bits):
        hashes = hashes ^ (np.uint64(1) << random.integers(0, 64, len(hashes), np.uint64))
    return hashes


@pytest.mark.parametrize("bands", range(6, 13))
def test_every_number_of_bands_finds_the_same_pairs(
    bands: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = flipped(np.repeat(even(50), 20), 4)
    # Some share half their bits with all others, but few of their pairs are near.
    hashes = np.unique(np.concatenate([near, near[::5] & np.uint64(0xFFFF_FFFF)]))
    hashes = np.random.default_rng(2).permutation(hashes)
    monkeypatch.setattr(near_duplicates, "_bands", lambda unique: bands)
    every = np.argwhere(np.triu(np.bitwise_count(hashes[:, None] ^ hashes) < 6, 1))
    np.testing.assert_array_equal(near_pairs(hashes), every)


def test_more_hashes_get_more_bands() -> None:
    def crowded(count: int) -> np.ndarray:
        return np.unique(even(count) & np.uint64(0xFFF0_0FFF_0FFF_FFF0))

    few, many = near_duplicates._bands(even(1000)), near_duplicates._bands(even(300_000))
    assert few < many <= near_duplicates._bands(crowded(300_000))


@pytest.mark.parametrize("count", [0, 1])
def test_no_hashes_have_no_pairs(count: int) -> None:
    assert near_pairs(np.zeros(count, np.uint64)).shape == (0, 2)
    assert near_groups(np.zeros(count, np.uint64)).tolist() == [0] * count


def test_thousands_of_near_hashes_are_not_compared_pairwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """40,000 hashes within 3 bits of one: 10⁸ near pairs, one group."""
    crowd = flipped(np.full(200_000, 7, np.uint64), 3)
    compared = []
    near = near_duplicates._Table.near_pairs

    def counted(table: near_duplicates._Table, candidates: Iterator) -> Iterator:
        for pair in candidates:
            compared.append(len(pair[0]))
            yield from near(table, iter([pair]))

    monkeypatch.setattr(near_duplicates._Table, "near_pairs", counted)
    groups = near_groups(np.concatenate([crowd, even(1000)]))
    assert (groups[: len(crowd)] == 0).all()
    assert sum(compared) < 1e8


def test_many_equal_hashes_are_not_compared_pairwise() -> None:
    assert len(near_pairs(np.full(100_000, 7, np.uint64))) == 99_999
    groups = near_groups(np.full(100_000, 7, np.uint64))
    assert (groups == 0).all()
