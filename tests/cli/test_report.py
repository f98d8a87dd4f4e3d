import shutil
from pathlib import Path

from tests.cli.conftest import Command
from tests.report.conftest import runs  # noqa: F401


def test_a_run_and_a_file_are_reported(wrinkle: Command, runs: Path, tmp_path: Path) -> None:  # noqa: F811
    theirs = tmp_path / "theirs.csv"
    theirs.write_text("name,predicted\n0003.jpg,30\n0001.jpg,40\n")
    done = wrinkle("report", runs / "a", theirs, "--out", tmp_path / "out", "--no-pictures")
    assert done.code == 0
    (line,) = done.err
    assert line.startswith(f"wrote {tmp_path / 'out' / 'report.html'}: 2 systems")
    assert done.out == f"{tmp_path / 'out' / 'report.html'}\n"
    assert "drawn/a" in (tmp_path / "out" / "report.html").read_text()


def test_bad_runs_are_left_out(wrinkle: Command, runs: Path, tmp_path: Path) -> None:  # noqa: F811
    going = tmp_path / "going"
    shutil.copytree(runs / "b", going)
    (going / "1" / "result.json").unlink()
    done = wrinkle("report", going, runs / "b", "--out", tmp_path / "out", "--no-pictures")
    assert (done.code, len(done.err)) == (1, 2)
    assert done.err[1].startswith("wrote ")
    assert done.err[0].startswith(f"wrinkle: left out: {going}: no fold is finished yet")
    assert (tmp_path / "out" / "report.html").exists()
    done = wrinkle("report", going, "--out", tmp_path / "none")
    assert (done.code, len(done.err)) == (2, 1)
    assert not (tmp_path / "none").exists()
    done = wrinkle("report", runs / "b", "--out", runs / "b" / "recipe.yaml", "--no-pictures")
    assert (done.code, len(done.err)) == (2, 1)
