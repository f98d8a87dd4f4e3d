import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.datasets.near_duplicates import near_pairs, perceptual_hash, small_grey, store_hashes
from wrinkle.datasets.store import Store


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


def test_hash_is_its_definition() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    assert perceptual_hash(pictures).tolist() == [slow_hash(each) for each in pictures]


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
def test_all_pairs_and_no_other(roots: list[int], data: st.DataObject) -> None:
    flips = st.lists(st.integers(0, 63), max_size=8)
    hashes = [
        root ^ sum(1 << bit for bit in set(data.draw(flips))) for root in roots for _ in range(4)
    ]
    found = near_pairs(np.array(hashes, np.uint64))
    first = [hashes.index(each) for each in hashes]
    # Equals stand for one another: undo that, and the pairs are those of the definition.
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


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_pair(count: int) -> None:
    assert near_pairs(np.zeros(count, np.uint64)).shape == (0, 2)


def test_many_equals_cost_no_square() -> None:
    assert len(near_pairs(np.full(100_000, 7, np.uint64))) == 99_999
