"""Leaderboards: methods with several seeds each, compared in pairs on the same pictures."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wrinkle.evaluation.pairwise import Pairwise, pairwise
from wrinkle.evaluation.predictions import Predictions, in_common
from wrinkle.evaluation.scores import CUMULATIVE, clusters, known_people
from wrinkle.evaluation.uncertainty import Estimate
from wrinkle.protocols import Protocol
from wrinkle.report.published import Published, published
from wrinkle.runs.reader import Run
from wrinkle.runs.recipe import Recipe

SEED = re.compile(r"-seed\d+$")
"""The end of a run's name that `wrinkle train --seeds` gives."""


class Method(NamedTuple):
    """A method: runs of recipes that differ in their seed only.

    Attributes:
        name: of the recipes, without the seed and without what all methods share.
        seeds: of the runs.
        mae: of each run, years, on the pictures that all runs of the leaderboard tested.
        cs5: of each run, per cent.
        interval: of the mean of `mae`, with its 95 % interval.
    """

    name: str
    seeds: list[int]
    mae: np.ndarray
    cs5: np.ndarray
    interval: Estimate


@dataclass(frozen=True)
class Leaderboard:
    """Methods under one protocol, the best first.

    Attributes:
        protocol: that split the pictures.
        methods: the best first.
        pairs: all pairs of methods, in the same order.
        published: figures under the protocol; if there are none, figures on the same dataset.
        notes: sentences below the table.
    """

    protocol: Protocol
    methods: list[Method]
    pairs: Pairwise
    published: list[Published]
    notes: list[str]


def leaderboards(runs: Sequence[Run]) -> list[Leaderboard]:
    """One leaderboard for each protocol and data.

    Of several runs of one recipe and seed, such as a run and its copy, the first is used.

    Raises:
        WrinkleError: runs of one protocol tested no picture of known age in common.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.protocol.name, run.data), []).append(run)
    return [_leaderboard(group) for group in groups.values()]


def _leaderboard(given: list[Run]) -> Leaderboard:
    first: dict[tuple[str, int], Run] = {}
    again = []
    for run in given:
        key = _identity(run.recipe), run.recipe.training.seed
        if first.setdefault(key, run) is not run:
            again.append(run.recipe.name)
    runs = list(first.values())
    methods: dict[str, list[int]] = {}
    for number, (identity, _) in enumerate(first):
        methods.setdefault(identity, []).append(number)
    tested = in_common([run.predictions.exact() for run in runs])
    errors = np.stack([np.abs(each.predicted - each.actual) for each in tested], 1)
    order = sorted(methods.values(), key=lambda numbers: errors[:, numbers].mean())
    pairs = pairwise([errors[:, numbers] for numbers in order], clusters(tested[0]))
    names = _names([runs[numbers[0]].recipe.name for numbers in order])
    rows = [
        Method(
            name,
            [runs[n].recipe.training.seed for n in numbers],
            errors[:, numbers].mean(0),
            100 * (errors[:, numbers] <= CUMULATIVE).mean(0),
            mae,
        )
        for name, numbers, mae in zip(names, order, pairs.mae, strict=True)
    ]
    protocol = runs[0].protocol
    figures, note = _published(protocol)
    notes = [*_notes(runs, tested, rows, pairs), *([note] if note else [])]
    if again:
        notes.append(f"Left out, same recipe and seed as another run: {', '.join(again)}.")
    return Leaderboard(protocol, rows, pairs, figures, notes)


def _identity(recipe: Recipe) -> str:
    """What recipes that differ in their seed only have in common."""
    fields = recipe.resolved()
    apart = ("name", "training.seed", *Recipe.INERT)
    return json.dumps({k: v for k, v in fields.items() if k not in apart}, default=str)


def _names(full: list[str]) -> list[str]:
    """Names without the seed and without what all share; full where they would be the same."""
    without = [SEED.sub("", name) for name in full]
    if len(set(without)) < len(without):
        return full
    parts = [re.split(r"(?<=[-/])", name) for name in without]
    while min(map(len, parts)) > 1 and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    return ["".join(part) for part in parts]


def _published(protocol: Protocol) -> tuple[list[Published], str]:
    """Figures to show beside, and a note on them."""
    figures = published(protocol.name)
    if figures:
        return figures, "Published figures are as printed in the papers."
    letters = re.compile(r"[^a-z0-9]")
    figures = [
        row
        for row in published()
        if protocol.dataset and letters.sub("", row.dataset.lower()) == protocol.dataset
    ]
    note = "Published figures are for other splits of the dataset, as printed in the papers."
    return figures, note if figures else ""


def _notes(
    runs: list[Run], tested: list[Predictions], rows: list[Method], pairs: Pairwise
) -> list[str]:
    drawn = "people" if known_people(tested[0]) else "pictures (the people are not known)"
    notes = [
        f"MAE (years) and CS(5) are means over seeds on {len(tested[0].predicted):,} pictures that "
        "all runs tested; ±: sample standard deviation over seeds. Intervals, 95 %, are from a "
        f"bootstrap over {drawn} and seeds.",
    ]
    if len(rows) > 1:
        notes.append(
            "Minus the best: difference of MAE on the same pictures. Its intervals hold for all "
            f"pairs of methods together; those of {int(np.triu(pairs.real).sum())} of "
            f"{len(rows) * (len(rows) - 1) // 2} pairs do not include 0."
        )
    level = [row.name for row, real in zip(rows[1:], pairs.real[0, 1:], strict=True) if not real]
    if level:
        notes.append(f"Not told apart from the best: {', '.join(level)}.")
    single = [row.name for row in rows if len(row.seeds) == 1]
    if single:
        which = "all methods" if len(single) == len(rows) else ", ".join(single)
        notes.append(
            f"One seed only: {which}. Intervals there do not include the deviation over seeds and "
            "are too narrow."
        )
    if any(run.recipe.data.limit for run in runs):
        notes.append("Reduced: runs use a part of the data.")
    counts = {len(run.predictions.exact().predicted) for run in runs}
    if len(counts) > 1:
        notes.append("Some runs tested more pictures than are compared.")
    stores = {Path(file).name for run in runs for file in run.recipe.data.files}
    return [f"Data: {', '.join(sorted(stores))}. People: {runs[0].protocol.people}.", *notes]
