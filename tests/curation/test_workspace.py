import os
import signal
from multiprocessing import get_context
from pathlib import Path

import daft
import pyarrow as pa
import pytest
from daft import DataType, col

from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError


def todo(count: int) -> pa.Table:
    return pa.table({"name": [f"n{i:02}" for i in range(count)]})


def lengthened(frame: daft.DataFrame) -> daft.DataFrame:
    return frame.with_column("length", col("name").length())


def test_a_stage_adds_missing_rows(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    assert workspace.frame("length") is None
    assert workspace.table("length", "name").num_rows == 0
    workspace.extend("length", todo(5), "name", lengthened, at_once=2)
    assert [len(os.listdir(part)) for part in workspace.parts("length")] == [1, 1, 1]
    asked: list[str] = []

    def watched(frame: daft.DataFrame) -> daft.DataFrame:
        asked.extend(frame.to_pydict()["name"])
        return lengthened(frame)

    workspace.extend("length", todo(8), "name", watched, at_once=2)
    assert asked == ["n05", "n06", "n07"]
    table = workspace.table("length").sort_by("name")
    assert table.to_pydict() == {"name": todo(8)["name"].to_pylist(), "length": [3] * 8}
    workspace.extend("length", todo(8), "name", watched, at_once=2)
    assert len(asked) == 3


def work_and_die(root: Path, deadly: int) -> None:
    """Kill this process in the n-th piece of work, with an unfinished part on disk."""
    workspace, calls = Workspace(root), iter(range(1, 10))

    def work(frame: daft.DataFrame) -> daft.DataFrame:
        if next(calls) == deadly:
            unfinished = root / "length" / f"{len(workspace.parts('length')):06d}.part"
            unfinished.mkdir(parents=True, exist_ok=True)
            (unfinished / "half.parquet").write_bytes(b"PAR1")
            os.kill(os.getpid(), signal.SIGKILL)
        return lengthened(frame)

    workspace.extend("length", todo(9), "name", work, at_once=2)


@pytest.mark.kills
def test_a_stage_killed_at_any_step_produces_the_same_table(tmp_path: Path) -> None:
    context = get_context("spawn")  # Daft's threads do not survive a fork
    for deadly in (1, 2):
        child = context.Process(target=work_and_die, args=(tmp_path, deadly))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    workspace = Workspace(tmp_path)
    assert len(workspace.parts("length")) == 1
    workspace.extend("length", todo(9), "name", lengthened, at_once=2)
    names = workspace.table("length", "name")["name"].to_pylist()
    assert sorted(names) == todo(9)["name"].to_pylist()


def test_a_table_can_be_replaced(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for count in (3, 5):
        workspace.replace("whole", daft.from_arrow(todo(count)))
        assert len(workspace.parts("whole")) == 1
        assert workspace.table("whole").num_rows == count


def test_notes_and_journals_of_an_earlier_version_are_moved(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.append("length", daft.from_arrow(todo(2)))
    (tmp_path / "length" / "note.json").write_text('{"rules": 1}')
    (tmp_path / "length" / "journal.jsonl").write_text('{"name": "late"}\n')
    with workspace.locked():
        assert workspace.note("length") == {"rules": 1}
        workspace.close_journal("length", todo(1).schema)
    assert workspace.table("length")["name"].to_pylist() == ["n00", "n01", "late"]
    assert all(path.name.isdecimal() for path in (tmp_path / "length").iterdir())
    workspace.discard("length")
    assert workspace.note("length") is None
    assert not workspace.journal_file("length").exists()


def test_files_that_cannot_be_written_or_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WrinkleError, match=r"^cannot create .*file/ws: Not a directory$"):
        Workspace(tmp_path / "file" / "ws")
    workspace = Workspace(tmp_path)
    (tmp_path / "faces").write_text("")
    with pytest.raises(WrinkleError, match="cannot write") as error:
        workspace.append("faces", daft.from_arrow(todo(1)))
    assert "\n" not in str(error.value)
    workspace.append("collect", daft.from_arrow(todo(1)))
    (part,) = workspace.parts("collect")
    for file in part.iterdir():
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(WrinkleError, match="collect is damaged") as error:
        workspace.table("collect", "name")
    assert "\n" not in str(error.value)


def test_daft_reports_nothing() -> None:
    assert os.environ["DO_NOT_TRACK"]
    assert DataType.string() == daft.DataType.string()
