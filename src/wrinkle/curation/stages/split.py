"""Labelled faces → a training and a test part, which share no picture and, if asked, no person."""

from collections import Counter
from collections.abc import Mapping, Sequence

import daft
import pyarrow as pa
from daft import DataType, col, lit

from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import shuffled

STAGE = "split"
SHARE = 20_000 / 124_917
"""Of Web-FaceAge's faces, that are its test part."""


def labels(workspace: Workspace, refined: bool) -> daft.DataFrame | None:
    """Faces with an age in years: columns face, age and age_deviation.

    refined: whether people have been asked; else the age is the coarse one, its deviation null.
    """
    frame = workspace.frame("refine" if refined else "coarse_label")
    if frame is None:
        return None
    deviation = col("deviation") if refined else lit(None).cast(DataType.float64())
    kept = frame.where(col("dropped").is_null())
    return kept.select("face", "age", deviation.alias("age_deviation"))


def persons(workspace: Workspace) -> daft.DataFrame | None:
    """Columns picture and person, of the pictures with one face whose sources agree who it is."""
    found, collected, faces = map(workspace.frame, ("found", "collect", "faces"))
    if found is None or collected is None or faces is None:
        return None
    named = found.where(col("person").not_null()).select("address", "person")
    where = collected.where(col("picture").not_null()).select("address", "picture")
    said = named.join(where, on="address").groupby("picture")
    one = said.agg(col("person").min().alias("person"), col("person").max().alias("other"))
    alone = faces.groupby("picture").agg(col("face").count().alias("faces"))
    sure = one.where(col("person") == col("other")).join(alone, on="picture")
    return sure.where(col("faces") == lit(1)).select("picture", "person")


def split(workspace: Workspace, refined: bool, test: int | None, by: str, seed: int) -> None:
    """Draw the test part; columns face, picture, person, age, age_deviation and part.

    Args:
        test: faces in it; None: as large a share as in Web-FaceAge.
        by: "face", or "person", which keeps all pictures of a known person together.
        seed: with it and the faces' names the draw is the same everywhere.

    Raises:
        WrinkleError: there are no labelled faces, not enough of them, or groups too large for the
            test part.
    """
    labelled, faces, who = labels(workspace, refined), workspace.frame("faces"), persons(workspace)
    if labelled is None or faces is None or who is None:
        raise WrinkleError(f"no faces in {workspace.root} have ages yet: run the stages before")
    frame = labelled.join(faces.select("face", "picture"), on="face")
    rows = frame.join(who, on="picture", how="left").sort("face").to_arrow()
    if test is not None and test >= len(rows):
        have = "1 face has an age" if len(rows) == 1 else f"{len(rows):,} faces have ages"
        raise WrinkleError(f"split.test is {test:,}, but only {have}: make it smaller")
    people = rows["person"].to_pylist() if by == "person" else [None] * len(rows)
    keys = [
        f"picture {picture}" if person is None else f"person {person}"
        for picture, person in zip(rows["picture"].to_pylist(), people, strict=True)
    ]
    drawn = draw(keys, max(round(SHARE * len(rows)), 1) if test is None else test, seed)
    parts = ["test" if key in drawn else "train" for key in keys]
    if len(set(parts)) < 2:
        together = "picture or person" if by == "person" else "picture"
        raise WrinkleError(
            f"the faces with ages ({len(rows):,}) cannot be split, those of a {together} being kept"
            " together: collect more, or set split.test to another number"
        )
    column = pa.array(parts, pa.string())
    workspace.replace(STAGE, daft.from_arrow(rows.append_column("part", column)))


def draw(keys: Sequence[str], count: int, seed: int) -> frozenset[str]:
    """Groups of rows, each whole, that hold `count` rows, or as many below it as can be."""
    sizes: Mapping[str, int] = Counter(keys)
    order = shuffled(sizes, seed)
    # Bit n of the k-th number: some groups out of the last k hold n rows.
    sums, most = [1], (1 << (count + 1)) - 1
    for key in reversed(order):
        more = (sums[-1] | sums[-1] << sizes[key]) & most
        sums.append(sums[-1] if more == sums[-1] else more)  # one number where all is possible
    room, drawn = sums.pop().bit_length() - 1, []
    for key in order:
        rest = sums.pop()
        if sizes[key] <= room and rest >> (room - sizes[key]) & 1:
            drawn.append(key)
            room -= sizes[key]
    return frozenset(drawn)
