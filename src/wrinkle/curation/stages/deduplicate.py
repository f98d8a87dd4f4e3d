"""Near-identical faces: groups of those whose hashes differ in few bits, one of each is kept."""

import daft
import pyarrow as pa
import pyarrow.compute as pc

from wrinkle.curation.workspace import Workspace
from wrinkle.duplicates.near_duplicates import near_groups
from wrinkle.protocols.fold import shuffled

STAGE = "deduplicate"


def deduplicate(workspace: Workspace, seed: int = 0) -> None:
    """Group the faces that are kept: columns face, group (a face's name) and dropped.

    Groups are chains of faces each near to the next, see `near_groups`. Which one of a group is
    kept is drawn by `seed` and depends on the faces alone; the others are its duplicates.
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
