"""Results of the recipes: finished runs → recipes/results.csv → recipes/RESULTS.md.

    python -m wrinkle.runs.results recipes runs/adpf/utkface-small --time "25 min"

appends a line for the run to results.csv and writes RESULTS.md. Without a run it only writes
RESULTS.md.
"""

import argparse
import csv
import io
import itertools
import re
from pathlib import Path

import numpy as np

from wrinkle.errors import WrinkleError
from wrinkle.files import read_tensors, replace_file
from wrinkle.runs.folder import MODEL_FILE, RECIPE_FILE, RESULT_FILE, read_result
from wrinkle.runs.overlays import choices, read_recipe, run_name
from wrinkle.runs.recipe import load_recipe

COLUMNS = (
    *("recipe", "dataset", "size", "variant", "start", "seed", "epochs", "device", "folds"),
    *("mae", "deviation", "mae_all", "cs5", "inside", "near", "validation_mae", "time", "note"),
)
"""Columns of results.csv."""
HEADINGS = {
    "mae": "MAE",
    "deviation": "± over folds",
    "mae_all": "MAE of all pictures",
    "cs5": "CS(5) %",
    "inside": "in range %",
    "near": "± 1 group %",
    "validation_mae": "validation MAE",
}
"""Column → heading in RESULTS.md, if it differs."""
HEAD = """# Results of the recipes

What was measured, each row one run. MAE is the mean absolute error in years on the test part, the
mean over folds where there are several; ± is the sample deviation between folds; CS(5) is the share
within 5 years. Runs of size `small` are reduced: do not compare them with published figures.

Made from `results.csv` by `python -m wrinkle.runs.results recipes`, which also appends a finished
run: `python -m wrinkle.runs.results recipes runs/NAME --time "25 min"`."""
Row = dict[str, str]
"""A line of results.csv: column → value."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: of the command line; None: the program's.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", type=Path, help="the folder of recipes")
    parser.add_argument("run", nargs="?", type=Path, help="the folder of a finished run")
    parser.add_argument("--time", default="", help="how long it took")
    parser.add_argument("--note", default="")
    args = parser.parse_args(arguments)
    rows = read_rows(args.recipes / "results.csv")
    if args.run is not None:
        row = row_of(args.run, args.recipes)
        rows.append({**row, "time": args.time, "note": args.note})
        rows.sort(key=lambda row: row["recipe"])  # stable: later runs come last
        write_rows(args.recipes / "results.csv", rows)
    replace_file(args.recipes / "RESULTS.md", markdown(rows).encode())


def read_rows(path: Path) -> list[Row]:
    """Read results.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        return [dict.fromkeys(COLUMNS, "") | row for row in csv.DictReader(file)]


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write results.csv."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode())


def row_of(run: Path, recipes: Path) -> Row:
    """Return a finished run's line, without time and note.

    Args:
        run: folder of the run.
        recipes: folder of the recipes.

    Raises:
        WrinkleError: no fold is finished, or the run is not of one of the recipes.
    """
    recipe = load_recipe(run / RECIPE_FILE)
    results = [read_result(file.parent) for file in sorted(run.glob(f"*/{RESULT_FILE}"))]
    if not results:
        raise WrinkleError(f"{run}: no fold is finished")
    chosen = runs_of(recipes).get(recipe.name)
    if chosen is None:
        raise WrinkleError(f"{run}: {recipe.name} is not a run of a recipe in {recipes}")
    header = read_tensors(run / results[0].fold / MODEL_FILE, "model")[1]
    tested = [(r.mae, 100 * (r.cs5 or 0), r.n) for r in results if r.mae is not None]
    mae, cs5, n = np.reshape(tested, (-1, 3)).T.astype(float)
    validation = [r.validation_mae for r in results if r.validation_mae is not None]
    several = len(mae) > 1
    return {
        **chosen,
        "start": re.sub(rf"^runs/(.+?)(/[^/]+/{MODEL_FILE})?$", r"\1", recipe.init),
        "seed": str(recipe.training.seed),
        "epochs": str(recipe.training.epochs),
        "device": header["provenance"]["device"],
        "folds": str(len(results)),
        "mae": f"{mae.mean():.3f}" if n.any() else "",
        "deviation": f"{mae.std(ddof=1):.3f}" if several else "",
        "mae_all": f"{np.average(mae, weights=n):.3f}" if several else "",
        "cs5": f"{np.average(cs5, weights=n):.1f}" if n.any() else "",
        "inside": _share([(r.inside, r.ranges) for r in results]),
        "near": _share([(r.near, r.ranges) for r in results]),
        "validation_mae": f"{np.mean(validation):.3f}" if validation else "",
    }


def _share(shares: list[tuple[float | None, int]]) -> str:
    """The mean of shares over folds, weighted by the numbers of pictures, in per cent."""
    total = sum(pictures for _, pictures in shares)
    mean = sum((share or 0) * pictures for share, pictures in shares) / max(1, total)
    return f"{100 * mean:.1f}" if total else ""


def runs_of(recipes: Path) -> dict[str, Row]:
    """Return the name of every run that a folder's recipes offer → its recipe and choices."""
    found: dict[str, Row] = {}
    for path in sorted(recipes.rglob("*.yaml")):
        content = read_recipe(path)
        offered = choices(content)
        offered["variant"].insert(0, "")
        for names in itertools.product(*(offered[kind] or [""] for kind in offered)):
            chosen = dict(zip(offered, names, strict=True))
            name = run_name(path, content.get("name"), chosen)
            found[name] = {"recipe": path.relative_to(recipes).as_posix(), **chosen}
    return found


def markdown(rows: list[Row]) -> str:
    """Return RESULTS.md: a table for each recipe, without empty columns."""
    parts = [HEAD]
    for recipe, group in itertools.groupby(rows, lambda row: row["recipe"]):
        lines = list(group)
        shown = [name for name in COLUMNS[1:] if any(row[name] for row in lines)]
        parts += ["", f"## {recipe}", "", _line([HEADINGS.get(name, name) for name in shown])]
        parts.append("|" + "---|" * len(shown))
        parts += [_line([row[name] for name in shown]) for row in lines]
    return "\n".join(parts) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
