"""Pictures that are nearly the same: saved again, scaled, brightened.

Two pictures count as near-identical when the 64-bit perceptual hashes differ in fewer than
`NEAR` bits (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010;
the bits are those of `imagehash.phash`).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from wrinkle.datasets.store import Store

NEAR = 6
"""Bits. Hashes that differ in fewer are near-identical."""
BANDS = 7
"""Of as many parts of two hashes that differ in at most `NEAR` − 1 = 5 bits, two at least agree."""
_SMALL, _LOW = 32, 8
_CHUNK = 4_000_000


def perceptual_hash(grey: np.ndarray) -> np.ndarray:
    """Hashes of grey pictures at 32×32 pixels, (…, 32, 32) uint8 → (…,) uint64.

    The bits, from the highest: which of the 8×8 lowest coefficients of the cosine transform, row by
    row, are above their median.
    """
    n = np.arange(_SMALL)
    dct = np.cos(np.pi / _SMALL * (n + 0.5) * np.arange(_LOW)[:, None])
    low = (dct @ grey.astype(np.float64) @ dct.T).reshape(*grey.shape[:-2], _LOW**2)
    above = low > np.median(low, axis=-1, keepdims=True)
    return np.packbits(above, axis=-1).view(">u8")[..., 0].astype(np.uint64)


def small_grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB → (32, 32) uint8, as `imagehash` makes it."""
    small = Image.fromarray(image).convert("L").resize((_SMALL, _SMALL), Image.Resampling.LANCZOS)
    return np.asarray(small)


def store_hashes(store: Store) -> np.ndarray:
    """Hash of every face crop of a store, (N,) uint64; on all cores."""
    rows = range(len(store))
    with ThreadPoolExecutor(cv2.getNumberOfCPUs()) as pool:
        every = pool.map(lambda row: small_grey(store.image(row)), rows)
        small = list(tqdm(every, "hashes", len(rows), leave=False, unit="face", disable=None))
    return perceptual_hash(np.stack(small)) if small else np.zeros(0, np.uint64)


def near_pairs(hashes: np.ndarray) -> np.ndarray:
    """All pairs of rows of (N,) uint64 whose hashes differ in fewer than `NEAR` bits, exactly.

    Returns (P, 2) int64, first < second, ascending. Rows with the same hash stand for one another:
    each is paired with the first of them alone, and only that one with rows of other hashes.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    pairs = [np.zeros((0, 2), np.int64)]
    for a, b in _candidates(unique):
        pairs.append(np.stack([a, b], 1)[np.bitwise_count(unique[a] ^ unique[b]) < NEAR])
    among = first[np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)]
    rows = np.arange(len(hashes))
    again = rows != first[inverse]
    same = np.stack([first[inverse][again], rows[again]], 1)
    found = np.sort(np.concatenate([among.reshape(-1, 2), same]), axis=1)
    return found[np.lexsort(found.T[::-1])]


def near_groups(hashes: np.ndarray) -> np.ndarray:
    """(N,) int64: for each row of (N,) uint64 the lowest row that it is linked to by near pairs."""
    parent = np.arange(len(hashes))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for first, second in near_pairs(hashes).tolist():
        a, b = root(first), root(second)
        parent[max(a, b)] = min(a, b)
    return np.array([root(row) for row in range(len(hashes))], dtype=np.int64)


def _candidates(unique: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows that agree in two bands, some at a time; a pair may come again.

    5 differing bits spoil at most 5 of 7 bands, so every near pair agrees in two of them (the
    pigeonhole principle; Manku, Jain, Sarma, "Detecting near-duplicates for web crawling", WWW
    2007).
    """
    edges = np.linspace(0, 64, BANDS + 1).round().astype(int)
    masks = [((1 << (b - a)) - 1) << a for a, b in pairwise(edges.tolist())]
    for one, other in combinations(masks, 2):
        key = unique & np.uint64(one | other)
        order = np.argsort(key)
        key = key[order]
        # Positions whose next one, next but one, … still agrees.
        left, step = np.arange(len(key) - 1), 1
        while len(left):
            left = left[: np.searchsorted(left, len(key) - step)]
            left = left[key[left] == key[left + step]]
            for start in range(0, len(left), _CHUNK):
                part = left[start : start + _CHUNK]
                yield order[part], order[part + step]
            step += 1
