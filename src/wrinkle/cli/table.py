"""Compare finished runs in a table, with published figures under the same protocol.

wrinkle table runs/dhaa/fgnet_lopo-full*
wrinkle table runs/dhaa/fgnet_lopo-full --format latex --output fgnet.tex
wrinkle table --published fgnet-lopo        # published figures only; without a name all of them
wrinkle table runs/rivals/* --leaderboard --plot pairs.png     # joins seeds, compares all pairs

The run of a recipe is read from its folder in `runs`. The table states how many folds are finished.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wrinkle.cli.recipes import recipe_file
from wrinkle.errors import WrinkleError, require
from wrinkle.files import replace_file

if TYPE_CHECKING:
    from wrinkle.runs.reader import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "recipes",
        nargs="*",
        default=[],
        metavar="recipe",
        help="a YAML file, a listed name, a run's folder",
    )
    add("--published", action="store_true", help="published figures only, of the protocols named")
    add("--leaderboard", action="store_true", help="join seeds, compare all pairs of methods")
    add("--plot", type=Path, metavar="FILE", help="with --leaderboard: its figure, as .png or .svg")
    add("--format", choices=["markdown", "latex", "csv"], default="markdown")
    add("--runs", type=Path, default=Path("runs"), help="folder of the runs (default: runs)")
    add("--output", type=Path, metavar="FILE", help="write to this file")


def run(args: argparse.Namespace) -> int:
    from wrinkle.console import say

    if args.plot is not None and not args.leaderboard:
        raise WrinkleError("--plot draws a leaderboard: give --leaderboard too")
    if args.leaderboard and args.published:
        raise WrinkleError("give --leaderboard or --published, not both")
    bad: list[WrinkleError] = []
    if args.leaderboard:
        text, bad = _leaderboard(args)
    else:
        text, bad = _table(args)
    if args.output is None:
        print(text, end="")
    else:
        replace_file(args.output, text.encode())
        say(f"wrote {args.output}")
    return 1 if bad else 0


def _table(args: argparse.Namespace) -> tuple[str, list[WrinkleError]]:
    from wrinkle.report import table_formats
    from wrinkle.report.published import published_by_protocol
    from wrinkle.report.table import published_table, tables

    bad: list[WrinkleError] = []
    if args.published:
        found = [published_table(rows) for rows in published_by_protocol(args.recipes)]
    else:
        runs, bad = _runs(args.recipes, args.runs)
        found = tables(runs)
    formats = {"latex": table_formats.latex, "csv": table_formats.to_csv}
    return formats.get(args.format, table_formats.markdown)(found), bad


def _leaderboard(args: argparse.Namespace) -> tuple[str, list[WrinkleError]]:
    """The leaderboards of runs; the figure of the first one is written if it is asked for."""
    from wrinkle.console import say
    from wrinkle.report import leaderboard_formats
    from wrinkle.report.leaderboard import leaderboards

    forms = ("png", "svg", "pdf")
    form = "" if args.plot is None else args.plot.suffix[1:]
    if args.plot is not None:
        require("figures")
        if form not in forms:
            raise WrinkleError(f"{args.plot}: give a file that ends in .{', .'.join(forms)}")
    runs, bad = _runs(args.recipes, args.runs)
    boards = leaderboards(runs)
    if args.plot is not None:
        from wrinkle.report.leaderboard_figure import pairwise_figure
        from wrinkle.report.style import saved

        if len(boards) > 1:
            raise WrinkleError(
                f"--plot draws one leaderboard, and these are runs of {len(boards)} protocols or "
                "data: name those of one"
            )
        replace_file(args.plot, saved(pairwise_figure(boards[0]), form))
        say(f"wrote {args.plot}")
    formats = {"latex": leaderboard_formats.latex, "csv": leaderboard_formats.to_csv}
    return formats.get(args.format, leaderboard_formats.markdown)(boards), bad


def _runs(names: list[str], root: Path) -> "tuple[list[Run], list[WrinkleError]]":
    """The runs of recipes, and the errors of those without one, which are printed.

    Raises:
        WrinkleError: there is no run at all.
    """
    from wrinkle.console import complain, progress
    from wrinkle.runs.reader import read_run

    if not names:
        raise WrinkleError("name recipes or folders of runs, or give --published")
    found, bad = {}, []
    for name in progress(names, "read", "run"):
        try:
            folder = _folder(name, root)
            found[folder.resolve()] = read_run(folder)
        except WrinkleError as error:
            bad.append(error)
    if not found and len(bad) == 1:
        raise bad[0]
    for each in bad:
        complain(each)
    if not found:
        raise WrinkleError(f"none of the {len(names)} recipes has a finished fold in {root}")
    return list(found.values()), bad


def _folder(name: str, root: Path) -> Path:
    """The folder of a recipe's run, or `name` if it is a folder."""
    from wrinkle.runs.folder import RECIPE_FILE
    from wrinkle.runs.recipe import load_recipe

    folder = Path(name) if Path(name).is_dir() else root / load_recipe(recipe_file(name)).name
    if not (folder / RECIPE_FILE).is_file():
        if Path(name).is_dir():
            raise WrinkleError(f"{folder} holds no run: give a folder that `wrinkle train` made")
        raise WrinkleError(f"no run in {folder}: train it with `wrinkle train {name}`")
    return folder
