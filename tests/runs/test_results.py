import json
import shutil
from pathlib import Path

import pytest

from wrinkle.errors import WrinkleError
from wrinkle.files import write_tensors
from wrinkle.runs.recipe import load_recipe
from wrinkle.runs.results import COLUMNS, main, markdown, read_rows, row_of, runs_of

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
CHOICES = ("recipe", "dataset", "size", "variant")


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A copy of the repository's recipes."""
    return Path(shutil.copytree(RECIPES, tmp_path / "recipes"))


def write_run(runs: Path, recipes: Path, maes: dict[str, float], *overrides: str) -> Path:
    """A finished run of recipes/dhaa.yaml, of which 10, 20, … pictures were tested a fold."""
    recipe = load_recipe(recipes / "dhaa.yaml", list(overrides))
    run = runs / recipe.name
    for number, (fold, mae) in enumerate(maes.items(), start=1):
        (run / fold).mkdir(parents=True)
        result = {"fold": fold, "n": 10 * number, "mae": mae, "cs5": mae / 10, "epochs": 16}
        result["validation_mae"] = None
        (run / fold / "result.json").write_text(json.dumps(result))
        header = {"kind": "model", "provenance": {"device": "cpu"}}
        write_tensors(run / fold / "model.safetensors", {}, header)
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.yaml").write_text(recipe.to_yaml())
    return run


def test_the_committed_table_is_made_from_the_committed_rows() -> None:
    rows = read_rows(RECIPES / "results.csv")
    assert (RECIPES / "RESULTS.md").read_text(encoding="utf-8") == markdown(rows)


def test_every_row_is_a_run_of_a_recipe() -> None:
    rows = read_rows(RECIPES / "results.csv")
    offered = [{key: row[key] for key in CHOICES} for row in runs_of(RECIPES).values()]
    for row in rows:
        assert list(row) == list(COLUMNS)
        assert {key: row[key] for key in CHOICES} in offered
        assert row["mae"] or row["validation_mae"]
        float(row["mae"] or 0), float(row["cs5"] or 0), int(row["folds"])


def test_names_of_runs_are_those_of_loaded_recipes() -> None:
    runs = runs_of(RECIPES)
    chosen = ["dataset=fgnet_lopo", "size=small", "variant=heads_2"]
    assert runs[load_recipe(RECIPES / "adpf.yaml", chosen).name] == {
        "recipe": "adpf.yaml",
        "dataset": "fgnet_lopo",
        "size": "small",
        "variant": "heads_2",
    }


def test_a_finished_run_is_appended(recipes: Path, tmp_path: Path) -> None:
    chosen = "size=small", "dataset=fgnet_by_person", "variant=roi", "training.seed=3"
    run = write_run(tmp_path / "runs", recipes, {"1": 4.0, "2": 7.0}, *chosen)
    before = read_rows(recipes / "results.csv")
    main([str(recipes), str(run), "--time", "9 min", "--note", "twice"])
    rows = read_rows(recipes / "results.csv")
    (new,) = [row for row in rows if row not in before]
    assert len(rows) == len(before) + 1
    assert new == {
        "recipe": "dhaa.yaml",
        "dataset": "fgnet_by_person",
        "size": "small",
        "variant": "roi",
        "start": "dhaa/utkface-small-roi",
        "seed": "3",
        "epochs": "16",
        "device": "cpu",
        "folds": "2",
        "mae": "5.500",
        "deviation": "2.121",
        "mae_all": "6.000",
        "cs5": "60.0",
        "inside": "",
        "near": "",
        "validation_mae": "",
        "time": "9 min",
        "note": "twice",
    }
    text = (recipes / "RESULTS.md").read_text(encoding="utf-8")
    assert "| 2 | 5.500 | 2.121 | 6.000 | 60.0 |" in text
    assert text.count("## dhaa.yaml") == 1


def test_runs_that_cannot_be_appended_are_one_line(recipes: Path, tmp_path: Path) -> None:
    begun = write_run(tmp_path / "runs", recipes, {}, "size=small")
    with pytest.raises(WrinkleError, match="no fold is finished"):
        row_of(begun, recipes)
    other = write_run(tmp_path / "runs", recipes, {"1": 4.0}, "name=other")
    with pytest.raises(WrinkleError, match="not a run of a recipe"):
        row_of(other, recipes)
    with pytest.raises(WrinkleError, match="cannot read"):
        row_of(tmp_path, recipes)
