import csv
import io
import re
from pathlib import Path

import pytest

from tests import tiny
from tests.cli.conftest import Command
from tests.runs.hand_made import FOLDS, write_run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/ in the working folder, with the finished run "drawn" of ./drawn.yaml."""
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs"), Path("none.arrow"))
    tiny.write_recipe(tmp_path, Path("none.arrow"))
    return tmp_path / "runs"


@pytest.mark.parametrize("named", ["drawn.yaml", "runs/drawn"])
def test_a_recipe_and_its_run_folder_give_the_same_table(
    wrinkle: Command, runs: Path, named: str
) -> None:
    done = wrinkle("table", named)
    assert (done.code, done.err) == (0, [])
    assert done.out.startswith("### random:4:0, none.arrow\n")
    assert "| drawn | 4.400 (" in done.out
    assert "- People: shared (some both train and test).\n" in done.out
    assert wrinkle("table", named, named).out == done.out


def test_another_runs_folder_and_an_output_file(
    wrinkle: Command, runs: Path, tmp_path: Path
) -> None:
    runs.rename(tmp_path / "elsewhere")
    done = wrinkle("table", "drawn.yaml")
    assert done.code == 2
    (line,) = done.err
    assert re.search("runs/drawn.*wrinkle train drawn.yaml", line)
    options = "--runs", "elsewhere", "--format", "csv"
    shown = wrinkle("table", "drawn.yaml", *options)
    done = wrinkle("table", "drawn.yaml", *options, "--output", "table.csv")
    assert done == (0, "", ["wrote table.csv"])
    assert Path("table.csv").read_text(encoding="utf-8") == shown.out
    (row,) = csv.DictReader(io.StringIO(shown.out))
    assert (row["method"], row["mae"], row["run"]) == ("drawn", "4.4000", "elsewhere/drawn")
    Path("folder").mkdir()
    done = wrinkle("table", "drawn.yaml", *options, "--output", "folder")
    assert (done.code, len(done.err)) == (2, 1)
    assert "cannot write folder" in done.err[0]


def test_missing_runs_are_one_line_each(wrinkle: Command, runs: Path, tmp_path: Path) -> None:
    write_run(runs, Path("none.arrow"), {}, name="begun")
    (tmp_path / "bad.yaml").write_text("model: [")
    (tmp_path / "empty").mkdir()
    bad = ["runs/begun", "res18_ex", "bad.yaml", "resnet", "empty"]
    expected = [
        "runs/begun: no fold is finished yet (nothing is trained",
        "no run in runs/res18_ex/utkface-full: train it with `wrinkle train res18_ex`",
        "bad.yaml: not YAML in line",
        "no recipe 'resnet'",
        "empty holds no run",
    ]
    done = wrinkle("table", *bad[:3], "drawn.yaml", *bad[3:])
    assert done.code == 1
    assert "| drawn | 4.400 (" in done.out
    assert len(done.err) == len(bad)
    for line, part in zip(done.err, expected, strict=True):
        assert line.startswith("wrinkle: ")
        assert part in line
    done = wrinkle("table", *bad)
    assert (done.code, done.out) == (2, "")
    assert "none of the 5 recipes" in done.err[-1]
    for name, part in zip(bad, expected, strict=True):
        done = wrinkle("table", name)
        assert (done.code, len(done.err)) == (2, 1)
        assert part in done.err[0]


def test_no_arguments_are_one_line(wrinkle: Command) -> None:
    done = wrinkle("table")
    assert done.code == 2
    (line,) = done.err
    assert "name recipes or folders of runs" in line


def test_published_figures_without_runs(wrinkle: Command) -> None:
    done = wrinkle("table", "--published", "fgnet-lopo")
    assert (done.code, done.err) == (0, [])
    assert "| DHAA | 2.595 | IMDB-WIKI | published: DHAA, IJCAI 2019, Table 4 |" in done.out
    assert "| Res18+EX | 4.260 | ImageNet | published:" in done.out
    assert done.out.count("###") == 1
    assert wrinkle("table", "--published").out.count("###") > 5
    done = wrinkle("table", "--published", "luck", "--format", "latex")
    assert done.code == 2
    assert done.err[0].startswith("wrinkle: no published figures under 'luck'")


def test_runs_and_published_figures_share_a_table(wrinkle: Command, runs: Path) -> None:
    write_run(runs, Path("none.arrow"), {"004": FOLDS["1"]}, name="x", data__protocol="fgnet-lopo")
    done = wrinkle("table", "runs/x", "runs/drawn", "--format", "latex")
    assert done.code == 0
    assert done.out.count(r"\begin{tabular}") == 2
    assert r"1 of 82 folds (004)" in done.out
    assert r"DHAA & 3.721" in done.out


def test_a_trained_recipe_is_in_the_table(
    wrinkle: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("accelerate", reason="needs the extra train")
    monkeypatch.chdir(tmp_path)
    recipe = tiny.write_recipe(tmp_path, tiny.write_store(tmp_path / "drawn.arrow", 64))
    short = "training.epochs=1", "data.limit=32", "name=trial"
    assert wrinkle("train", recipe, *short, "--folds", "1,3").code == 0
    by_training = Path("runs/trial/results.md").read_text(encoding="utf-8")
    done = wrinkle("table", "runs/trial", "--format", "csv")
    assert (done.code, done.err) == (0, [])
    (row,) = csv.DictReader(io.StringIO(done.out))
    assert f"{float(row['mae_mean']):.3f} ± {float(row['mae_deviation']):.3f}" in by_training
    assert f"| all pictures | {row['pictures']} | {float(row['mae']):.3f} |" in by_training
    assert (row["folds_done"], row["folds"], row["limit"]) == ("2", "4", "32")
    assert (row["people"], row["drawn"]) == ("shared", "people")
    assert float(row["mae_low"]) < float(row["mae"]) < float(row["mae_high"])


def test_a_leaderboard_with_its_figure(wrinkle: Command, runs: Path) -> None:
    pytest.importorskip("matplotlib")
    write_run(runs, Path("none.arrow"), name="other", optimizer__lr=0.5)
    done = wrinkle("table", "runs/drawn", "runs/other", "--leaderboard", "--plot", "pairs.png")
    assert (done.code, done.err) == (0, ["wrote pairs.png"])
    assert Path("pairs.png").read_bytes().startswith(b"\x89PNG")
    assert "| drawn | 0 | 4.400 |" in done.out
    done = wrinkle("table", "runs/drawn", "--leaderboard", "--format", "csv")
    assert done.out.startswith("protocol,kind,method,seeds,mae")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--plot", "a.png"], "give --leaderboard too"),
        (["--leaderboard", "--published"], "not both"),
        (["--leaderboard", "--plot", "a.doc"], "ends in .png, .svg, .pdf"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    wrinkle: Command, runs: Path, options: list[str], line: str
) -> None:
    done = wrinkle("table", "runs/drawn", *options)
    assert done.code == 2
    (error,) = done.err
    assert line in error
