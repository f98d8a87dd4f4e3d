"""Makes the packaged list of UTKFace:  python -m wrinkle.protocols.lists.make_utkface ROOT [OUT]

1. Of byte-identical pictures one is kept, or none where their ages differ (left-out).
2. Pictures whose 64-bit perceptual hashes differ in fewer than 6 bits form clusters, and a cluster
   is never divided. On inspection, pairs 0 or 2 bits apart are one photograph, scaled, cropped or
   compressed again. Of pairs 4 bits apart about half are, and keeping two people together by
   mistake has no cost. At 8 bits one cluster would have a thousand different people.
3. Clusters are sorted by age. Of every ten in this order, eight are drawn to train and one each to
   validate and test, so that the three parts have the same ages.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from wrinkle.datasets import Row, read_dataset
from wrinkle.datasets.same_files import find_duplicates
from wrinkle.duplicates.near_duplicates import near_groups
from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import shuffled
from wrinkle.protocols.split_lists import write_list
from wrinkle.protocols.utkface import LIST, PARTS

SEED = 0
_TEN = ("train",) * 8 + ("validation", "test")


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Perceptual hash of a grey picture.

    Args:
        image: (H, W) uint8.

    Returns:
        (64,) bool: which of the 8×8 lowest coefficients of the cosine transform at 32×32 pixels are
        above their median, which is taken without the mean brightness.
    """
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    return np.greater(low, np.median(low[1:]))


def cluster(hashes: np.ndarray) -> np.ndarray:
    """(N,) int64: `near_groups` of (N, 64) bool."""
    return near_groups(np.packbits(hashes, axis=-1).view(">u8")[:, 0].astype(np.uint64))


def assign(rows: Sequence[Row], clusters: np.ndarray, seed: int = SEED) -> dict[str, str]:
    """Name of every row → "train", "validation" or "test": step 3 above."""
    age = {rows[lowest].name: rows[lowest].age for lowest in np.unique(clusters).tolist()}
    order = sorted(shuffled(age, seed), key=lambda name: age[name])
    part: dict[str, str] = {}
    for start in range(0, len(order), len(_TEN)):
        ten = shuffled(order[start : start + len(_TEN)], seed + 1)
        part.update(zip(ten, _TEN, strict=False))
    return {
        row.name: part[rows[lowest].name]
        for row, lowest in zip(rows, clusters.tolist(), strict=True)
    }


def main(root: str, out: str | None = None) -> None:
    """Write the list to `out` (default: into the package) and print sizes and checksum."""
    kept, dropped = find_duplicates(read_dataset("utkface", root)[0])
    clusters = cluster(np.stack([perceptual_hash(_grey(row.path)) for row in kept]))
    part = assign(kept, clusters) | {entry.name: "left-out" for entry in dropped}
    text = "".join(
        f"# {heading}\n" + "".join(f"{name}\n" for name in sorted(part) if part[name] == heading)
        for heading in PARTS
    )
    path = Path(out) if out else Path(__file__).parent / LIST
    checksum = write_list(path, text)
    several = Counter(np.unique(clusters, return_counts=True)[1].tolist())
    del several[1]
    print(f"parts: {dict(Counter(part.values()))}")
    print(f"clusters of near-identical pictures: {several.total()}, by size {dict(several)}")
    print(f"CHECKSUM = {checksum!r}")


def _grey(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise WrinkleError(f"cannot read {path}: the list needs every picture of UTKFace")
    return image


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m wrinkle.protocols.lists.make_utkface ROOT [OUT]")
    main(*sys.argv[1:])
