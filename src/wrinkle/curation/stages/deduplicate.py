"""Near-identical faces: groups of those whose hashes differ in few bits; one of each is kept."""

import daft
import pyarrow as pa
import pyarrow.compute as pc

from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.workspace import Workspace
from wrinkle.duplicates.near_duplicates import near_groups
from wrinkle.protocols.fold import shuffled

STAGE = "deduplicate"


def run(context: StageContext) -> bool:
    """Make the table again if the faces or the seed have changed."""
    context.require_table("faces")
    workspace, seed = context.workspace, context.config.seed
    context.remake(STAGE, ["faces"], seed, lambda: deduplicate(workspace, seed))
    return True


def deduplicate(workspace: Workspace, seed: int) -> None:
    """Group the faces that are kept: columns face, group (the name of the face kept) and dropped.

    A group is a chain of faces, each near to the next, see `near_groups`. `seed` and the group's
    faces decide which one is kept; the others are its duplicates.
    """
    faces = workspace.table("faces", "face", "hash", "dropped")
    faces = faces.filter(pc.is_null(faces["dropped"])).sort_by("face")
    names = faces["face"].to_pylist()
    members: dict[int, list[str]] = {}
    for name, group in zip(names, near_groups(faces["hash"].to_numpy()).tolist(), strict=True):
        members.setdefault(group, []).append(name)
    kept = {name: shuffled(group, seed)[0] for group in members.values() for name in group}
    dropped = [None if kept[n] == n else f"duplicate of {kept[n]}" for n in names]
    table = pa.table(
        {
            "face": pa.array(names, pa.string()),
            "group": pa.array([kept[name] for name in names], pa.string()),
            "dropped": pa.array(dropped, pa.string()),
        }
    )
    workspace.replace(STAGE, daft.from_arrow(table))
