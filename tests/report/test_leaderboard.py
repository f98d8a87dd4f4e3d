import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.report.test_table import read_latex, read_markdown
from tests.runs.hand_made import write_run
from wrinkle.evaluation.pairwise import pairwise
from wrinkle.report.leaderboard import Leaderboard, Method, leaderboards
from wrinkle.report.leaderboard_formats import COLUMNS, latex, markdown, to_csv
from wrinkle.runs.reader import Run, read_run

FACES = [(f"{n:04}.jpg", float(n * 37 % 81)) for n in range(12)]
ERRORS = {"sord": (2.0, 3.0), "coral": (7.0, 7.5), "dldl": (2.0,)}
"""Error of every face, by method and seed."""


def boards_of(folder: Path, **fields: object) -> list[Leaderboard]:
    runs = []
    for method, errors in ERRORS.items():
        for seed, error in enumerate(errors):
            rows = [(name, age, age + error * (-1) ** n) for n, (name, age) in enumerate(FACES)]
            run = write_run(
                folder,
                folder / "none.arrow",
                {"1": rows[: 12 - seed]},
                name=f"own/utk-small-{method}-seed{seed}",
                training__seed=seed,
                loss=f"[{{name: {'sord' if method == 'coral' else method}}}]",
                optimizer__lr=0.5 if method == "coral" else 0.1,
                **fields,
            )
            runs.append(read_run(run))
    return leaderboards(runs)


@pytest.fixture
def board(tmp_path: Path) -> Leaderboard:
    (board,) = boards_of(tmp_path)
    return board


def test_seeds_are_joined_and_the_best_is_first(board: Leaderboard) -> None:
    assert [m.name for m in board.methods] == ["dldl", "sord", "coral"]
    assert [m.seeds for m in board.methods] == [[0], [0, 1], [0, 1]]
    np.testing.assert_allclose(board.methods[1].mae, [2, 3])
    np.testing.assert_allclose(board.methods[2].cs5, [0, 0])
    np.testing.assert_allclose(board.pairs.difference[:, 0], [0, 0.5, 5.25])
    assert board.pairs.real[2, 0]
    text = " ".join(board.notes)
    assert "11 pictures" in text
    assert "Some runs tested more" in text
    assert "Not told apart from the best: sord." in text
    assert "One seed only: dldl." in text


def test_markdown(board: Leaderboard) -> None:
    best, second, last = read_markdown(markdown([board]))
    assert (best["method"], best["seeds"], best["MAE"]) == ("dldl", "0", "2.000")
    assert (best["± over seeds"], best["minus the best"]) == ("–", "–")
    assert (second["MAE"], second["± over seeds"], second["seeds"]) == ("2.500", "0.707", "0, 1")
    assert second["CS(5) %"] == "100.0"
    assert last["minus the best"].startswith("+5.250 (+")


def test_latex_and_csv(board: Leaderboard) -> None:
    head, *rows = read_latex(latex([board]))
    assert head[0] == "method"
    assert [row[0] for row in rows] == ["dldl", "sord", "coral"]
    records = list(csv.DictReader(io.StringIO(to_csv([board]))))
    assert list(records[0]) == list(COLUMNS)
    assert records[1]["mae"] == "2.5000"
    assert records[2]["difference"] == "5.2500"
    assert records[0]["deviation"] == ""


def test_figures_on_other_splits_stand_beside_and_are_called_so(tmp_path: Path) -> None:
    (board,) = boards_of(tmp_path, data__protocol="utkface")
    rows = read_markdown(markdown([board]))
    (sord,) = (row for row in rows if row["method"].startswith("ResNet-50, SORD"))
    assert sord["MAE"] == "4.36"
    assert sord["source"].startswith("published: Paplhám and Franc")
    assert "other splits" in board.notes[-1]


def test_methods_with_one_name_keep_their_full_names(tmp_path: Path) -> None:
    runs = [
        read_run(
            write_run(tmp_path, tmp_path / "none.arrow", name=name, training__seed=1, **fields)
        )
        for name, fields in (("a/x-seed1", {}), ("a/x", {"optimizer__lr": 0.5}))
    ]
    (board,) = leaderboards(runs)
    assert sorted(m.name for m in board.methods) == ["a/x", "a/x-seed1"]


def test_a_seed_counts_once(tmp_path: Path) -> None:
    def run(name: str, seed: int, error: float) -> Run:
        rows = [(face, age, age + error) for face, age in FACES]
        none = tmp_path / "none.arrow"
        return read_run(write_run(tmp_path, none, {"1": rows}, name=name, training__seed=seed))

    runs = [run("a/x-seed0", 0, 2), run("a/x", 0, 2), run("a/x-seed1", 1, 4)]
    (board,) = leaderboards(runs)
    (method,) = board.methods
    assert method.seeds == [0, 1]
    np.testing.assert_allclose(method.mae, [2, 4])
    assert "Left out, same recipe and seed as another run: a/x." in board.notes


def test_the_figure_shows_every_pair(board: Leaderboard) -> None:
    pytest.importorskip("matplotlib")
    from wrinkle.report.leaderboard_figure import pairwise_figure

    errors = [np.random.default_rng(n).gamma(2, 1 + n / 9, (300, 2)) for n in range(5)]
    pairs = pairwise(errors, samples=200)
    methods = [
        Method(f"method {n}", [0, 1], e.mean(0), e.mean(0), mae)
        for n, (e, mae) in enumerate(zip(errors, pairs.mae, strict=True))
    ]
    figure = pairwise_figure(replace(board, methods=methods, pairs=pairs))
    figure.canvas.draw()
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == [m.name for m in methods]
    found = {text.get_position(): text.get_text() for text in right.texts}
    assert len(found) == 20
    for row in range(5):
        for column in range(5):
            if row != column:
                assert found[column, row] == f"{100 * pairs.difference[row, column]:+.0f}"
    grey = np.ma.getmaskarray(right.images[0].get_array())
    np.testing.assert_array_equal(grey, ~pairs.real)
