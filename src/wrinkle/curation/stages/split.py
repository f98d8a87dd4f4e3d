"""Labelled faces → a training and a test part that share no picture and, if asked, no person."""

from collections import Counter
from collections.abc import Mapping, Sequence

import daft
import pyarrow as pa
from daft import DataType, col, lit

from wrinkle.curation.config import Split
from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import shuffled

STAGE = "split"
ENDS = ("age_low", "age_high")
SHARE = 20_000 / 124_917
"""Share of Web-FaceAge's faces that are its test part."""


def run(context: StageContext) -> bool:
    """Make the split again if the faces, the ages or the settings have changed."""
    context.require_table(context.label_table)
    workspace, config = context.workspace, context.config
    context.remake(
        STAGE,
        ["found", "collect", "faces", context.label_table],
        [config.split.test, config.split.by, config.seed],
        lambda: split(workspace, config.refine is not None, config.split, config.seed),
    )
    return True


def labels(workspace: Workspace, refined: bool) -> daft.DataFrame | None:
    """Faces with an age in years: columns face, age, age_low, age_high and age_deviation.

    Args:
        refined: whether people were asked; otherwise the age is the coarse one without deviation,
            the middle of age_low and age_high where these are not null.
    """
    frame = workspace.frame("refine" if refined else "coarse_label")
    if frame is None:
        return None
    nothing = lit(None).cast(DataType.float64())
    deviation = col("deviation") if refined else nothing
    ends = [nothing if refined else col(name) for name in ENDS]
    kept = frame.where(col("dropped").is_null())
    ends = [end.alias(name) for end, name in zip(ends, ENDS, strict=True)]
    return kept.select("face", "age", *ends, deviation.alias("age_deviation"))


def persons(workspace: Workspace) -> daft.DataFrame | None:
    """Columns picture and person: pictures with one face whose sources agree on who it is."""
    found, collected, faces = map(workspace.frame, ("found", "collect", "faces"))
    if found is None or collected is None or faces is None:
        return None
    named = found.where(col("person").not_null()).select("address", "person")
    where = collected.where(col("picture").not_null()).select("address", "picture")
    by_picture = named.join(where, on="address").groupby("picture")
    names = by_picture.agg(col("person").min().alias("person"), col("person").max().alias("other"))
    counts = faces.groupby("picture").agg(col("face").count().alias("faces"))
    agreed = names.where(col("person") == col("other")).join(counts, on="picture")
    return agreed.where(col("faces") == lit(1)).select("picture", "person")


def split(workspace: Workspace, refined: bool, settings: Split, seed: int) -> None:
    """Draw the test part; columns face, picture, person, age, its range and deviation, and part.

    Args:
        refined: whether people were asked for ages.
        seed: together with the faces' names it decides the draw on every machine.

    Raises:
        WrinkleError: there are no labelled faces, too few of them, or groups too large for the
            test part.
    """
    test, by = settings.test, settings.by
    labelled, faces, who = labels(workspace, refined), workspace.frame("faces"), persons(workspace)
    if labelled is None or faces is None or who is None:
        raise WrinkleError(f"no faces in {workspace.root} have ages yet: run the earlier stages")
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
            f"the faces with ages ({len(rows):,}) cannot be split, because those of a {together}"
            " stay together: collect more, or set split.test to another number"
        )
    column = pa.array(parts, pa.string())
    workspace.replace(STAGE, daft.from_arrow(rows.append_column("part", column)))


def draw(keys: Sequence[str], count: int, seed: int) -> frozenset[str]:
    """Random groups of rows with together `count` rows, or the largest possible number below it.

    Subset sum by dynamic programming over bit sets.

    Args:
        keys: the group of each row.

    Returns:
        The keys that were drawn.
    """
    sizes: Mapping[str, int] = Counter(keys)
    order = shuffled(sizes, seed)
    # Bit n of sums[k]: some of the last k groups have together n rows.
    sums, mask = [1], (1 << (count + 1)) - 1
    for key in reversed(order):
        more = (sums[-1] | sums[-1] << sizes[key]) & mask
        sums.append(sums[-1] if more == sums[-1] else more)  # shares memory if nothing is new
    left, drawn = sums.pop().bit_length() - 1, []
    for key in order:
        rest = sums.pop()
        if sizes[key] <= left and rest >> (left - sizes[key]) & 1:
            drawn.append(key)
            left -= sizes[key]
    return frozenset(drawn)
