"""Pictures that are nearly the same: saved again, scaled, brightened.

Two pictures count as near duplicates when their 64-bit perceptual hashes differ in fewer than
`NEAR` bits (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010;
the bits are those of `imagehash.phash`).
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from PIL import Image

from wrinkle.console import progress
from wrinkle.datasets.store import Store

NEAR = 6
"""Bits. Pictures whose hashes differ in fewer are near duplicates."""
_SIDE, _LOW = 32, 8
"""Side of the grey picture that is hashed, in pixels, and of the coefficients that count."""
_BATCH = 64
"""Faces that are hashed at a time."""
_CHUNK = 4_000_000
"""Pairs that are compared at once."""
_NEIGHBOURS, _MANY = 8, 32
"""Where more than `_MANY` hashes have the same bands, `near_groups` first compares each with its
next `_NEIGHBOURS` only."""
_SAMPLE = 100_000
"""Hashes from which the number of bands is chosen."""
_TABLE_COST = 4
"""Cost of permuting and sorting one hash for a table, in comparisons of two hashes."""
_Pairs = tuple[np.ndarray, np.ndarray]


def small_grey(image: np.ndarray) -> np.ndarray:
    """The small grey picture that is hashed: (H, W, 3) uint8 RGB → (32, 32) uint8."""
    grey = Image.fromarray(image).convert("L")
    return np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS))


def perceptual_hash(grey: np.ndarray) -> np.ndarray:
    """Hash small grey pictures.

    The bits, from the highest: which of the 8×8 lowest coefficients of the cosine transform, row by
    row, are above their median.

    Args:
        grey: (…, 32, 32) uint8, from `small_grey`.

    Returns:
        (…,) uint64.
    """
    pixels = grey.reshape(-1, _SIDE, _SIDE).astype(np.float64)
    down = _cosine_transform(pixels.swapaxes(1, 2))[..., :_LOW]
    low = _cosine_transform(down.swapaxes(1, 2))[..., :_LOW].reshape(-1, _LOW**2)
    above = low > np.median(low, axis=-1, keepdims=True)
    bits = np.packbits(above, axis=-1).view(">u8").astype(np.uint64)
    return bits.reshape(grey.shape[:-2])


def _cosine_transform(lines: np.ndarray) -> np.ndarray:
    """Cosine transform (type 2) of the last axis, (…, 32) float64, as `scipy.fftpack.dct` has it.

    Each operation is SciPy's (PocketFFT's `T_dcst23`), so even those coefficients are the same that
    are zero but for rounding, as in flat and symmetric pictures.
    """
    half, places = _SIDE // 2, np.arange(1, _SIDE // 2)
    spectrum = np.empty((*lines.shape[:-1], half + 1), complex)
    spectrum[..., 0], spectrum[..., half] = lines[..., 0] * 2, lines[..., -1] * 2
    spectrum.real[..., 1:half] = lines[..., 1:-1:2] + lines[..., 2:-1:2]
    spectrum.imag[..., 1:half] = lines[..., 2:-1:2] - lines[..., 1:-1:2]
    result = np.fft.irfft(spectrum, _SIDE, norm="forward")
    low, high = result[..., places], result[..., -places]
    a = _COSINES[places] * high + _COSINES[-places] * low
    b = _COSINES[places] * low - _COSINES[-places] * high
    result[..., places], result[..., -places] = 0.5 * (a + b), 0.5 * (a - b)
    result[..., half] *= _COSINES[half]
    return result


_TURNS = [complex(math.cos(math.pi * k / 64), math.sin(math.pi * k / 64)) for k in range(16)]
_EIGHTH = complex(math.sin(math.pi / 4), math.cos(math.pi / 4))
_COSINES = np.array([turn.real for turn in [*_TURNS, *(turn * _EIGHTH for turn in _TURNS)]])
"""(32,) cos(πk/64), each rounded as PocketFFT rounds it."""


def store_hashes(store: Store) -> np.ndarray:
    """Hash of every face crop of a store, (N,) uint64; on all cores."""

    def hash_batch(start: int) -> np.ndarray:
        rows = range(start, min(start + _BATCH, len(store)))
        return perceptual_hash(np.stack([small_grey(store.image(row)) for row in rows]))

    hashes = [np.zeros(0, np.uint64)]
    with (
        ThreadPoolExecutor(cv2.getNumberOfCPUs()) as pool,
        progress(what="hashes", unit="face", total=len(store)) as bar,
    ):
        for batch in pool.map(hash_batch, range(0, len(store), _BATCH)):
            hashes.append(batch)
            bar.update(len(batch))
    return np.concatenate(hashes)


def near_pairs(hashes: np.ndarray) -> np.ndarray:
    """All pairs of rows whose hashes differ in fewer than `NEAR` bits, exactly.

    Of rows with equal hashes only the first is paired with rows of other hashes; the others are
    each paired with that first one.

    Args:
        hashes: (N,) uint64.

    Returns:
        (P, 2) int64 rows, first < second, ascending.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    pairs = [np.zeros((0, 2), np.int64)]
    for table in _tables(unique):
        pairs += [first[np.stack(pair, 1)] for pair in table.near_pairs(table.same_bands())]
    rows = np.arange(len(hashes))
    again = rows != first[inverse]
    pairs.append(np.stack([first[inverse[again]], rows[again]], 1))
    found = np.sort(np.concatenate(pairs), axis=1)
    return found[np.lexsort(found.T[::-1])]


def near_groups(hashes: np.ndarray) -> np.ndarray:
    """Groups of rows that chains of near pairs connect.

    Args:
        hashes: (N,) uint64.

    Returns:
        (N,) int64, the lowest row of each row's group.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    group = np.arange(len(unique))
    for table in _tables(unique):
        _link(group, table.near_pairs(table.same_bands(all_pairs=False)))
        _link(group, table.near_pairs(table.between_groups(group)))
    group = _roots(group, group)
    lowest = np.full(len(unique), len(hashes))
    np.minimum.at(lowest, group, first)
    return lowest[group][inverse]


def _link(group: np.ndarray, pairs: Iterator[_Pairs]) -> None:
    """Join the groups of pairs of rows; the root of a group is its lowest row, its own parent."""
    for a, b in pairs:
        while len(a):
            a, b = _roots(group, a), _roots(group, b)
            apart = a != b
            a, b = a[apart], b[apart]
            np.minimum.at(group, np.maximum(a, b), np.minimum(a, b))
            joined = np.unique(np.maximum(a, b))
            # Roots may now be chains: each step halves the way to their ends.
            while (group[joined] != group[group[joined]]).any():
                group[joined] = group[group[joined]]


def _roots(group: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The roots of the rows' groups, which become the rows' parents."""
    root: np.ndarray = group[rows]
    while (root != group[root]).any():
        root = group[root]
    group[rows] = root
    return root


@dataclass(frozen=True)
class _Table:
    """Hashes, their bits moved so that those of some bands are the highest, then sorted."""

    unique: np.ndarray
    """The hashes as they were, ascending."""
    values: np.ndarray
    """The same with moved bits, ascending."""
    moves: dict[int, int]
    """Shift to the left (negative: to the right) → mask of the bits that it moves."""
    low: int
    """Number of bits below the chosen bands."""
    before: list[int]
    """Mask in `values` of each band that was not chosen but precedes a chosen one."""

    def near_pairs(self, candidates: Iterator[_Pairs]) -> Iterator[_Pairs]:
        """Rows of `unique` of the near ones among pairs of positions in `values`.

        Over all tables, each near pair is given once: by the first table whose bands are equal.
        """
        for a, b in candidates:
            differ = self.values[a] ^ self.values[b]
            near = np.flatnonzero(np.bitwise_count(differ) < NEAR)
            for band in self.before:
                near = near[differ[near] & np.uint64(band) != 0]
            yield self.rows(a[near]), self.rows(b[near])

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """Positions in `values` → rows of `unique`."""
        back = {-shift: _shifted(bits, shift) for shift, bits in self.moves.items()}
        return np.searchsorted(self.unique, _moved(self.values[positions], back))

    def same_bands(self, all_pairs: bool = True) -> Iterator[_Pairs]:
        """Pairs of positions whose chosen bands are equal, at most `_CHUNK` at a time.

        Args:
            all_pairs: if false, each is paired with its next `_NEIGHBOURS` only where more than
                `_MANY` are equal; `between_groups` has the pairs that are still needed then.
        """
        key = self.values >> np.uint64(self.low)
        left, step = np.flatnonzero(key[1:] == key[:-1]), 1
        while len(left):
            for start in range(0, len(left), _CHUNK):
                part = left[start : start + _CHUNK]
                yield part, part + step
            if step == _NEIGHBOURS and not all_pairs:
                own = key[left]
                size = np.searchsorted(key, own, "right") - np.searchsorted(key, own)
                left = left[size <= _MANY]
            step += 1
            left = left[: np.searchsorted(left, len(key) - step)]
            left = left[key[left] == key[left + step]]

    def between_groups(self, group: np.ndarray) -> Iterator[_Pairs]:
        """The pairs that `same_bands(all_pairs=False)` left out, except those within one group.

        Thousands of near duplicates are one group by then, so few pairs are left.
        """
        key = self.values >> np.uint64(self.low)
        edges = np.flatnonzero(np.diff(key, prepend=~key[:1], append=~key[-1:]))
        sizes = np.diff(edges)
        many = np.flatnonzero(np.repeat(sizes > _MANY, sizes))
        key, own = key[many], _roots(group, self.rows(many))
        order = np.lexsort((own, key))
        many, key, own = many[order], key[order], own[order]
        # For each position, where the next group and where the next key begins.
        new_key = np.diff(key, prepend=~key[:1]) != 0
        new = new_key | (np.diff(own, prepend=-1) != 0)
        other, end = _next(new), _next(new_key)
        left = np.arange(len(key))
        while len(left := left[other[left] < end[left]]):
            for start in range(0, len(left), _CHUNK):
                part = left[start : start + _CHUNK]
                yield many[part], many[other[part]]
            other += 1


def _next(begins: np.ndarray) -> np.ndarray:
    """For each position the next one, after it, at which something begins."""
    starts = np.append(np.flatnonzero(begins), len(begins))
    return np.repeat(starts[1:], np.diff(starts))


def _tables(unique: np.ndarray) -> Iterator[_Table]:
    """One table for each choice of n − 5 of n bands; `unique` are ascending hashes.

    5 differing bits change at most 5 bands, so every near pair is equal in the n − 5 bands of at
    least one table (Manku, Jain, Sarma, "Detecting near-duplicates for web crawling", WWW 2007).
    """
    if len(unique) < 2:
        return
    bands = _bands(unique)
    edges = _edges(bands)
    for agree in combinations(range(bands), bands - NEAR + 1):
        order = [*agree, *(band for band in range(bands) if band not in agree)]
        moves: dict[int, int] = {}
        place, moved, low = 64, {}, 0
        for number, band in enumerate(order):
            start, end = edges[band], edges[band + 1]
            place -= end - start
            bits = ((1 << end - start) - 1) << start
            moves[place - start] = moves.get(place - start, 0) | bits
            moved[band] = _shifted(bits, place - start)
            low = place if number < len(agree) else low
        before = [bits for band, bits in moved.items() if band < agree[-1] and band not in agree]
        values = _moved(unique, moves)
        values.sort()
        yield _Table(unique, values, moves, low, before)


def _bands(unique: np.ndarray) -> int:
    """The number of bands that costs least.

    More bands mean longer keys and fewer candidates, but more tables. Hashes of faces are not
    uniform, so candidates are counted in a sample.
    """
    random = np.random.default_rng(0)
    sample = unique
    if len(unique) > _SAMPLE:
        sample = random.choice(unique, _SAMPLE, replace=False, shuffle=False)
    costs = {}
    for bands in range(NEAR, 2 * NEAR + 1):
        tables = math.comb(bands, NEAR - 1)
        found = []
        for _ in range(4):
            agree = random.choice(bands, bands - NEAR + 1, replace=False)
            edges = _edges(bands)
            key = sum(((1 << edges[n + 1]) - (1 << edges[n])) for n in agree.tolist())
            keys = np.sort(sample & np.uint64(key))
            sizes = np.diff(np.flatnonzero(np.diff(keys, prepend=~keys[:1], append=~keys[-1:])))
            found.append(float(sizes.astype(float) @ (sizes - 1)) / 2)
        candidates = np.mean(found) * (len(unique) / len(sample)) ** 2
        costs[bands] = tables * (_TABLE_COST * len(unique) + candidates)
    return min(costs, key=lambda bands: costs[bands])


def _edges(bands: int) -> list[int]:
    return [round(64 * n / bands) for n in range(bands + 1)]


def _moved(values: np.ndarray, moves: dict[int, int]) -> np.ndarray:
    """The values with moved bits; `moves` is as in `_Table`."""
    result = np.zeros_like(values)
    for start in range(0, len(values), 1 << 15):  # what a cache holds
        part, into = values[start : start + (1 << 15)], result[start : start + (1 << 15)]
        for shift, bits in moves.items():
            some = part & np.uint64(bits)
            into |= some << np.uint64(shift) if shift >= 0 else some >> np.uint64(-shift)
    return result


def _shifted(bits: int, shift: int) -> int:
    return bits << shift if shift >= 0 else bits >> -shift
