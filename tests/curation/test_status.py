import re
from pathlib import Path

import daft
import pyarrow as pa
import pytest
from daft import col

from tests.curation.workspaces import Picture, append, collected, divided, labelled, some
from wrinkle.curation.remove import remove
from wrinkle.curation.stages import collect, deduplicate
from wrinkle.curation.status import counts, table
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

PICTURES = [
    *some(4),
    Picture("same", data=Picture("p0").bytes),
    Picture("twin", hashes=(7,)),
    Picture("twin2", hashes=(15,)),
    Picture("family", (3.0, 30.0)),
    Picture("empty", ()),
    Picture("blurred", dropped="blurred"),
    Picture("blind", (None,)),
    Picture("p1", query="another query"),
]


def seen(workspace: Workspace, **options: bool) -> dict[str, tuple]:
    """Stage → came, kept, waiting, and the dropped."""
    rows = list(counts(workspace, **options))
    for row in rows:
        assert min(row.kept, row.waiting, *row.dropped.values(), 0) == 0, row
        assert row.came == row.kept + row.waiting + sum(row.dropped.values())
    return {row.stage: (row.came, row.kept, row.waiting, row.dropped) for row in rows}


def test_every_stage_counts_its_input(tmp_path: Path) -> None:
    workspace = labelled(tmp_path, PICTURES)
    row = {"search": '["wikimedia", "nothing", 100]', "dropped": "nothing found"}
    append(workspace, "found", [row, row | {"dropped": "bad URL"}], collect.FOUND_SCHEMA)
    assert seen(workspace) == {
        "found": (14, 11, 0, {"same URL": 1, "nothing found": 1, "bad URL": 1}),
        "collect": (11, 10, 0, {"same bytes": 1}),
        "faces": (11, 9, 0, {"no face": 1, "blurred": 1}),
        "deduplicate": (9, 8, 0, {"duplicate": 1}),
        "coarse_label": (8, 7, 0, {"no age seen": 1}),
    }


def test_unprocessed_items_wait(tmp_path: Path) -> None:
    workspace = collected(tmp_path, PICTURES)
    workspace.discard("collect")
    assert seen(workspace) == {
        "found": (12, 11, 0, {"same URL": 1}),
        "collect": (11, 0, 11, {}),
    }
    whole = labelled(tmp_path / "whole", PICTURES)
    for stage, condition in (
        ("collect", col("address").is_in([p.address for p in PICTURES if p.name in "p0 family"])),
        ("faces", col("picture") == PICTURES[0].digest),
        ("coarse_label", col("face") != PICTURES[0].face),
    ):
        frame = whole.frame(stage)
        assert frame is not None
        workspace.replace(stage, frame.where(condition))
    stale = pa.table({"face": ["elsewhere"], "dropped": pa.array([None], pa.string())})
    workspace.replace("deduplicate", daft.from_arrow(stale))
    assert seen(workspace) == {
        "found": (12, 11, 0, {"same URL": 1}),
        "collect": (11, 2, 9, {}),
        "faces": (2, 1, 1, {}),
        "deduplicate": (1, 0, 1, {}),
        "coarse_label": (0, 0, 0, {}),
    }
    deduplicate.deduplicate(workspace, 0)
    assert seen(workspace)["coarse_label"] == (1, 0, 1, {})


def test_failed_downloads_have_their_reasons(tmp_path: Path) -> None:
    workspace = collected(tmp_path, some(2))
    failed = [{"address": "http://x.example/", "dropped": "HTTP error", "detail": "HTTP 404"}]
    append(workspace, "collect", failed, collect.SCHEMA)
    assert seen(workspace)["collect"] == (2, 2, 0, {})  # no longer found
    append(workspace, "found", [{**failed[0], "dropped": None}], collect.FOUND_SCHEMA)
    assert seen(workspace)["collect"] == (3, 2, 0, {"HTTP error": 1})


def test_faces_wait_for_people(tmp_path: Path) -> None:
    workspace = divided(tmp_path, some(5), test=1)
    faces = workspace.table("split", "face")["face"].to_pylist()
    said = [None, "unanswered", "asked again", "unusable"]
    rows = [{"face": f, "dropped": why} for f, why in zip(faces[:4], said, strict=True)]
    workspace.replace("refine", daft.from_pylist(rows))
    assert seen(workspace)["refine"] == (5, 1, 3, {"unusable": 1})
    assert seen(workspace)["split"] == (1, 1, 0, {})
    assert "refine" not in seen(workspace, refined=False)
    assert seen(workspace, refined=False)["split"] == (5, 5, 0, {})


def test_removed_items_are_not_counted(tmp_path: Path) -> None:
    workspace = divided(tmp_path, PICTURES)
    remove(workspace, urls=[PICTURES[0].address])
    assert seen(workspace) == {
        "found": (12, 9, 0, {"removed": 2, "same URL": 1}),
        "collect": (9, 9, 0, {}),
        "faces": (10, 8, 0, {"no face": 1, "blurred": 1}),
        "deduplicate": (8, 7, 0, {"duplicate": 1}),
        "coarse_label": (7, 6, 0, {"no age seen": 1}),
        "split": (6, 6, 0, {}),
    }


def test_the_table_is_aligned(tmp_path: Path) -> None:
    workspace = divided(tmp_path, PICTURES)
    lines = table(workspace).splitlines()
    ends = [match.end() for match in re.finditer(r"\S+", lines[0])]
    assert lines[0].split() == ["stage", "came", "kept", "dropped", "waiting"]
    for line in lines[1:]:
        numbers = [match.end() for match in re.finditer(r"(?<!\S)[\d,]+(?!\S)", line[: ends[-1]])]
        assert numbers == (ends[1:] if line[0] != " " else [ends[3]])
        assert not re.search(r"[\[\]{}\"\\]", line)
    assert "  faces: 5 train, 2 test" in lines[-1]
    drops = [line.split(maxsplit=1)[1] for line in lines if line[0] == " "]
    assert drops == ["same URL", "same bytes", "blurred", "no face", "duplicate", "no age seen"]


def test_an_empty_workspace_is_reported(tmp_path: Path) -> None:
    assert table(Workspace(tmp_path)) == (
        f"nothing yet in {tmp_path}: start with `wrinkle curate run CONFIG`"
    )


def test_tables_that_change_at_the_same_time_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = collected(tmp_path, some(2))
    old = daft.read_parquet(f"{workspace.parts('found')[0]}/*.parquet")
    workspace.replace("found", daft.from_arrow(pa.table({"address": ["a"], "dropped": ["b"]})))
    monkeypatch.setattr(workspace, "frame", lambda stage: old)
    with pytest.raises(WrinkleError, match="are being changed: ask again") as error:
        table(workspace)
    assert "\n" not in str(error.value)
