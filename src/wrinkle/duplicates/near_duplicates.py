"""Pictures that are nearly the same: saved again, scaled, brightened.

Two pictures count as near-identical when the 64-bit perceptual hashes differ in fewer than
`NEAR` bits (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010;
the bits are those of `imagehash.phash`).
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from wrinkle.datasets.store import Store

NEAR = 6
"""Bits. Hashes that differ in fewer are near-identical."""
_SMALL, _LOW = 32, 8
_OWN_SIZES = range(_SMALL, 513)
"""Sides of the squares that are scaled here. Other pictures are left to Pillow."""
_SURE = 1e-3
"""Coefficients of a hash this far apart compare alike however they are rounded."""
_CHUNK = 4_000_000
"""Pairs that are compared at once."""
_NEIGHBOURS, _CROWD = 8, 32
"""Of more rows than a crowd that agree, groups first take each row's neighbours in order."""
_SAMPLE = 100_000
"""Hashes from which the number of bands is chosen."""
_TABLE_COST = 4
"""What a row costs in each table, permuted and sorted, in comparisons of two rows."""
_Pairs = tuple[np.ndarray, np.ndarray]


def perceptual_hash(grey: np.ndarray) -> np.ndarray:
    """Hashes of grey pictures at 32×32 pixels, (…, 32, 32) uint8 → (…,) uint64.

    The bits, from the highest: which of the 8×8 lowest coefficients of the cosine transform, row by
    row, are above their median.
    """
    pictures = grey.reshape(-1, _SMALL, _SMALL)
    low = (_DCT @ pictures.astype(np.float64) @ _DCT.T).reshape(-1, _LOW**2)
    middle = np.partition(low, (31, 32), axis=-1)[:, 31:33]
    # Where the two in the middle are equal but for rounding, as in flat pictures, the bits are
    # imagehash's only if every operation is.
    for row in np.flatnonzero(middle[:, 1] - middle[:, 0] < _SURE):
        low[row] = _rounded_as_scipy(pictures[row]).ravel()
        middle[row] = np.sort(low[row])[31:33]
    above = low > (middle[:, :1] + middle[:, 1:]) / 2
    bits = np.packbits(above, axis=-1).view(">u8").astype(np.uint64)
    return bits.reshape(grey.shape[:-2])


_DCT = np.cos(np.pi / _SMALL * (np.arange(_SMALL) + 0.5) * np.arange(_LOW)[:, None])


def small_grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB → (32, 32) uint8, as `imagehash` makes it.

    That is Pillow's `convert("L")` and Lanczos filter to the bit: fixed-point numbers, in floats
    that hold them exactly, so that each filter is a matrix product.
    """
    height, size = image.shape[:2]
    if height != size or size not in _OWN_SIZES:
        # Which of the two filters comes first depends on Pillow's version in a tall picture.
        whole = Image.fromarray(image).convert("L")
        return np.asarray(whole.resize((_SMALL, _SMALL), Image.Resampling.LANCZOS))
    rows = _grey(image).astype(np.float64)
    narrow, small = np.empty((size, _SMALL)), np.empty((_SMALL, _SMALL))
    for read, written, weights in _filter(size):
        np.matmul(rows[:, read], weights, out=narrow[:, written])
    _round(narrow)
    for read, written, weights in _filter(size):
        np.matmul(weights.T, narrow[read], out=small[written])
    return _round(small).astype(np.uint8)


def _grey(image: np.ndarray) -> np.ndarray:
    """Pillow's. The weighted sums fit in a float's 24 bits, a byte drops their fraction."""
    return cv2.transform(image.astype(np.float32), _LUMA).astype(np.uint8)


_LUMA = np.array([[19595, 38470, 7471, 0x8000]], np.float32) / 0x10000
"""Weights of red, green and blue, and a half."""


@lru_cache(64)
def _filter(size: int) -> list[tuple[slice, slice, np.ndarray]]:
    """Lanczos filter from `size` pixels to 32 as Pillow rounds it, in bands of 8 pixels.

    Of each band the columns that it reads, those that it writes, and weights (read, written) in
    multiples of 2⁻²².
    """
    scale = size / _SMALL
    weights = np.zeros((size, _SMALL))
    for out in range(_SMALL):
        center = (out + 0.5) * scale
        first, end = max(int(center - 3 * scale + 0.5), 0), min(int(center + 3 * scale + 0.5), size)
        taps = [_lanczos((x - center + 0.5) * (1 / scale)) for x in range(first, end)]
        total = np.cumsum(taps)[-1]  # in Pillow's order
        weights[first:end, out] = np.trunc(np.array(taps) / total * 2**22 + np.copysign(0.5, taps))
    bands = []
    for start in range(0, _SMALL, 8):
        part = slice(start, start + 8)
        read = np.flatnonzero(weights[:, part].any(1))
        columns = slice(int(read[0]), int(read[-1]) + 1)
        bands.append((columns, part, weights[columns, part] / 2**22))
    return bands


def _lanczos(x: float) -> float:
    if not -3 <= x < 3:
        return 0.0
    a, b = x * math.pi, x / 3 * math.pi
    return math.sin(a) / a * (math.sin(b) / b) if x else 1.0


def _round(values: np.ndarray) -> np.ndarray:
    """To the nearest byte, halves up; in place."""
    values += 0.5
    np.floor(values, out=values)
    np.maximum(values, 0, out=values)
    return np.minimum(values, 255, out=values)


def _rounded_as_scipy(grey: np.ndarray) -> np.ndarray:
    """(32, 32) → the 8×8 lowest of `scipy.fftpack.dct` along both axes, to the last bit."""
    return _scipy_dct(_scipy_dct(grey.T.astype(np.float64)).T)[:_LOW, :_LOW]


def _scipy_dct(lines: np.ndarray) -> np.ndarray:
    """Cosine transform of (N, 32), each operation as PocketFFT's `T_dcst23` does it."""
    turn = [complex(math.cos(math.pi * k / 64), math.sin(math.pi * k / 64)) for k in range(16)]
    eighth = complex(math.sin(math.pi / 4), math.cos(math.pi / 4))
    cos = np.array([turn[k].real for k in range(16)] + [(z * eighth).real for z in turn])
    spectrum = np.empty((len(lines), 17), complex)
    spectrum[:, 0], spectrum[:, 16] = lines[:, 0] * 2, lines[:, -1] * 2
    spectrum.real[:, 1:16] = lines[:, 1:31:2] + lines[:, 2:31:2]
    spectrum.imag[:, 1:16] = lines[:, 2:31:2] - lines[:, 1:31:2]
    c = np.fft.irfft(spectrum, _SMALL, norm="forward")
    low, high = np.arange(1, 16), np.arange(31, 16, -1)
    a = cos[low] * c[:, high] + cos[high] * c[:, low]
    b = cos[low] * c[:, low] - cos[high] * c[:, high]
    c[:, low], c[:, high] = 0.5 * (a + b), 0.5 * (a - b)
    c[:, 16] *= cos[16]
    return c


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
    for table in _tables(unique):
        pairs += [first[np.stack(pair, 1)] for pair in table.near_pairs(table.agreeing())]
    rows = np.arange(len(hashes))
    again = rows != first[inverse]
    pairs.append(np.stack([first[inverse[again]], rows[again]], 1))
    found = np.sort(np.concatenate(pairs), axis=1)
    return found[np.lexsort(found.T[::-1])]


def near_groups(hashes: np.ndarray) -> np.ndarray:
    """(N,) int64: for each row of (N,) uint64 the lowest row that it is linked to by near pairs."""
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    group = np.arange(len(unique))
    for table in _tables(unique):
        _link(group, table.near_pairs(table.agreeing(crowds=False)))
        _link(group, table.near_pairs(table.strangers(group)))
    group = _roots(group, group)
    lowest = np.full(len(unique), len(hashes))
    np.minimum.at(lowest, group, first)
    return lowest[group][inverse]


def _link(group: np.ndarray, pairs: Iterator[_Pairs]) -> None:
    """Join the groups of pairs of rows; the root of a group, its lowest row, points to itself."""
    for a, b in pairs:
        while len(a):
            a, b = _roots(group, a), _roots(group, b)
            apart = a != b
            a, b = a[apart], b[apart]
            np.minimum.at(group, np.maximum(a, b), np.minimum(a, b))
            joined = np.unique(np.maximum(a, b))
            # Roots may now be chains, each twice as near to its end every time.
            while (group[joined] != group[group[joined]]).any():
                group[joined] = group[group[joined]]


def _roots(group: np.ndarray, rows: np.ndarray) -> np.ndarray:
    root = group[rows]
    while (root != group[root]).any():
        root = group[root]
    group[rows] = root
    return root


@dataclass(frozen=True)
class _Table:
    """Hashes, their bits moved so that those of some bands come first, in ascending order.

    moves: for a shift to the left, which bits take it. low: number of bits below those bands.
    before: bits of each band left out that precedes one of those.
    """

    unique: np.ndarray
    values: np.ndarray
    moves: dict[int, int]
    low: int
    before: list[int]

    def near_pairs(self, candidates: Iterator[_Pairs]) -> Iterator[_Pairs]:
        """Rows of pairs of positions that are near, each pair in one table of all alone."""
        for a, b in candidates:
            differ = self.values[a] ^ self.values[b]
            near = np.flatnonzero(np.bitwise_count(differ) < NEAR)
            # In the first table in which all its bands agree, that is.
            for band in self.before:
                near = near[differ[near] & np.uint64(band) != 0]
            yield self.rows(a[near]), self.rows(b[near])

    def rows(self, positions: np.ndarray) -> np.ndarray:
        back = {-shift: _shifted(bits, shift) for shift, bits in self.moves.items()}
        return np.searchsorted(self.unique, _moved(self.values[positions], back))

    def agreeing(self, crowds: bool = True) -> Iterator[_Pairs]:
        """All pairs of positions whose bands agree, some at a time.

        Without crowds, only neighbours where more than `_CROWD` agree: `strangers` has the others.
        """
        key = self.values >> np.uint64(self.low)
        left, step = np.flatnonzero(key[1:] == key[:-1]), 1
        while len(left):
            for start in range(0, len(left), _CHUNK):
                part = left[start : start + _CHUNK]
                yield part, part + step
            if step == _NEIGHBOURS and not crowds:
                own = key[left]
                size = np.searchsorted(key, own, "right") - np.searchsorted(key, own)
                left = left[size <= _CROWD]
            step += 1
            left = left[: np.searchsorted(left, len(key) - step)]
            left = left[key[left] == key[left + step]]

    def strangers(self, group: np.ndarray) -> Iterator[_Pairs]:
        """Pairs whose bands agree but not their groups, of the crowds that `agreeing` left out.

        Thousands of near-identical rows are one group by then: without it, pairs are few.
        """
        key = self.values >> np.uint64(self.low)
        edges = np.flatnonzero(np.diff(key, prepend=~key[:1], append=~key[-1:]))
        sizes = np.diff(edges)
        crowded = np.flatnonzero(np.repeat(sizes > _CROWD, sizes))
        key, own = key[crowded], _roots(group, self.rows(crowded))
        order = np.lexsort((own, key))
        crowded, key, own = crowded[order], key[order], own[order]
        # Of each row where the next group and where the next key begins.
        new_key = np.diff(key, prepend=~key[:1]) != 0
        new = new_key | (np.diff(own, prepend=-1) != 0)
        other, end = _next(new), _next(new_key)
        left = np.arange(len(key))
        while len(left := left[other[left] < end[left]]):
            for start in range(0, len(left), _CHUNK):
                part = left[start : start + _CHUNK]
                yield crowded[part], crowded[other[part]]
            other += 1


def _next(begins: np.ndarray) -> np.ndarray:
    """For each position the next one, after it, at which something begins."""
    starts = np.append(np.flatnonzero(begins), len(begins))
    return np.repeat(starts[1:], np.diff(starts))


def _tables(unique: np.ndarray) -> Iterator[_Table]:
    """Tables of ascending hashes, in at least one of which the bands of every near pair agree.

    5 differing bits spoil at most 5 of n bands, so the other n − 5 agree (the pigeonhole principle;
    Manku, Jain, Sarma, "Detecting near-duplicates for web crawling", WWW 2007): a table for each
    choice of n − 5.
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
    """How many bands cost least: more bands, longer keys, fewer candidates, but more tables.

    Hashes of faces crowd together more than chance does, so candidates are counted in a sample.
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
    """Values whose bits are moved, some to the left, some to the right."""
    result = np.zeros_like(values)
    for start in range(0, len(values), 1 << 15):  # what a cache holds
        part, into = values[start : start + (1 << 15)], result[start : start + (1 << 15)]
        for shift, bits in moves.items():
            some = part & np.uint64(bits)
            into |= some << np.uint64(shift) if shift >= 0 else some >> np.uint64(-shift)
    return result


def _shifted(bits: int, shift: int) -> int:
    return bits << shift if shift >= 0 else bits >> -shift
