"""utkface: one fixed 80/10/10 split of UTKFace, made by make_utkface.py.

Of the 23,707 pictures 595 are left out (176 spare copies of a file, and 419 files of 205 groups of
identical files whose ages contradict each other); 18,504 train, 2,310 validate and 2,298 test. The
661 clusters of near-identical pictures (1,420 pictures) each lie in one part. A store that lacks
some pictures, where no face was found, say, keeps the split of the others; a name that is not
UTKFace's is an error, and rows of left-out pictures belong to no part.
"""

import gzip
import hashlib
import zlib
from functools import cache
from importlib.resources import files

import numpy as np
import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold, Protocol, checked

LIST = "utkface.txt.gz"
# Of the unpacked text, so that packing it anew with another zlib changes nothing.
CHECKSUM = "b25d840a677a88450b4d933bbad90b1aa9023ef4ceed6f0e99e4cfaf324a4796"
PARTS = ("train", "validation", "test", "left-out")


@cache
def parts() -> dict[str, str]:
    """File name → one of PARTS, for every file of UTKFace.

    The list's text has a heading for each part, then its names, one a line. WrinkleError when the
    packaged file is damaged.
    """
    try:
        text = gzip.decompress((files("wrinkle.protocols") / "lists" / LIST).read_bytes())
    except (OSError, EOFError, zlib.error):
        text = b""
    if hashlib.sha256(text).hexdigest() != CHECKSUM:
        raise WrinkleError(f"the packaged list {LIST} is missing or damaged: install wrinkle again")
    part, found = "", {}
    for line in text.decode("ascii").splitlines():
        if line.startswith("# "):
            part = line[2:]
        else:
            found[line] = part
    return found


def protocol() -> Protocol:
    """The packaged split, one fold."""
    return Protocol(
        name="utkface",
        description="UTKFace 80/10/10, duplicates removed, near-duplicates on one side",
        source="wrinkle (Zhang, Song, Qi, CVPR 2017, publish no split)",
        checksum=CHECKSUM,
        folds=_split,
    )


def _split(table: pa.Table) -> list[Fold]:
    names = table["name"].to_pylist()
    part = [parts().get(name) for name in names]
    matched = len(part) - part.count(None)
    if matched < len(names) or not names:
        example = names[part.index(None)] if names else "nothing"
        raise WrinkleError(
            f"{matched} of the store's {len(names)} names are in the list of UTKFace (not:"
            f" {example}): prepare it with 'utkface' from the aligned and cropped faces"
        )
    rows = {key: np.flatnonzero(np.array(part) == key) for key in PARTS}
    return checked([Fold("utkface", rows["train"], rows["validation"], rows["test"])], table)
