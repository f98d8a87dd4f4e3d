"""The stages in their order: each alone, or all that are not done yet.

Stages that go face by face add what is missing. The others are made anew, as a whole, when what
they are made from has changed: the tables before them, or their settings.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wrinkle.curation import data_card, export, remove
from wrinkle.curation.stages import coarse_label, collect, deduplicate, faces, split
from wrinkle.curation.people import refine
from wrinkle.curation.stages.coarse_label import Choice
from wrinkle.curation.config import Config
from wrinkle.curation.web.fetcher import Fetcher, Limits
from wrinkle.curation.status import WAITING
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError


@dataclass(frozen=True)
class Run:
    """One run over a workspace.

    fetcher: for tests; by default one of the configuration. troubles: what is left to do, a line
    each.
    """

    workspace: Workspace
    config: Config
    fetcher: Fetcher | None = None
    troubles: list[str] = field(default_factory=list)

    @property
    def choices(self) -> list[Choice]:
        return [(each.name, each.fields) for each in self.config.coarse_label.annotators]

    @property
    def labelled(self) -> str:
        """The table whose ages the dataset has."""
        return coarse_label.STAGE if self.config.refine is None else refine.STAGE

    def needs(self, table: str) -> None:
        if not self.workspace.parts(table):
            raise WrinkleError(
                f"{self.workspace.root} has no table {table} yet: run the stages before this one;"
                " `wrinkle curate status CONFIG` says what they have come to"
            )

    def whole(
        self, stage: str, inputs: Sequence[str], settings: Any, make: Callable[[], object]
    ) -> None:
        """Make a stage anew if its note says that it was made from something else."""
        made = {name: self.workspace.version(name) for name in inputs}
        note = json.loads(json.dumps({"from": made, "settings": settings}))
        if self.workspace.note(stage) != note:
            make()
            self.workspace.write_note(stage, note)


def _collect(run: Run) -> bool:
    limits = Limits(**run.config.collect.limits.model_dump())
    fetcher = run.fetcher or Fetcher(run.config.contact, limits, run.config.collect.permitted)
    run.troubles.extend(collect.search(run.workspace, run.config.collect.sources, fetcher))
    collect.collect(run.workspace, fetcher)
    if not run.workspace.parts(collect.STAGE):
        found_nothing = "no source has found a picture: see `wrinkle curate status CONFIG`"
        raise WrinkleError("; ".join(run.troubles) or found_nothing)
    return True


def _faces(run: Run) -> bool:
    run.needs("collect")
    faces.find_all(run.workspace, faces.Rules(**run.config.faces.model_dump()))
    back = remove.returned(run.workspace)
    if back:
        remove.remove(run.workspace, faces=back)
    return True


def _deduplicate(run: Run) -> bool:
    run.needs("faces")
    seed = run.config.seed
    run.whole(
        deduplicate.STAGE,
        ["faces"],
        seed,
        lambda: deduplicate.deduplicate(run.workspace, seed),
    )
    return True


def _coarse_label(run: Run) -> bool:
    run.needs("deduplicate")
    choices, least = run.choices, run.config.coarse_label.least
    troubles = coarse_label.ask_all(run.workspace, choices)
    run.troubles.extend(troubles)
    run.whole(
        coarse_label.STAGE,
        ["faces", "deduplicate", *map(coarse_label.answers_stage, choices)],
        [choices, least],
        lambda: coarse_label.coarse_label(run.workspace, choices, least),
    )
    return not troubles


def _push(run: Run) -> bool:
    run.needs("coarse_label")
    if run.config.refine is not None:
        refine.push(run.workspace, refine.Settings(**run.config.refine.model_dump()))
    return True


def _pull(run: Run) -> bool:
    run.needs("coarse_label")
    if run.config.refine is None:
        return True
    settings = refine.Settings(**run.config.refine.model_dump())
    refine.pull(run.workspace, settings)
    dropped = run.workspace.table(refine.STAGE, "dropped")["dropped"].to_pylist()
    waiting = sum(reason in WAITING for reason in dropped)
    if waiting:
        run.troubles.append(
            f"{waiting:,} {'faces wait' if waiting > 1 else 'face waits'} for people's answers at"
            f" {settings.url}: run again when"
            " there are some, or go on without them with `wrinkle curate split` and `card`"
        )
    return not waiting


def _split(run: Run) -> bool:
    run.needs(run.labelled)
    refined, seed = run.config.refine is not None, run.config.seed
    test, by = run.config.split.test, run.config.split.by
    run.whole(
        split.STAGE,
        ["found", "collect", "faces", run.labelled],
        [test, by, seed],
        lambda: split.split(run.workspace, refined, test, by, seed),
    )
    return True


def _card(run: Run) -> bool:
    run.needs("split")
    refined = run.config.refine is not None
    if not (run.workspace.root / export.FOLDER).exists():
        run.workspace.discard(card.STAGE)
    run.whole(
        card.STAGE,
        ["found", "collect", "faces", "deduplicate", "coarse_label", "votes", "split"],
        [run.config.card.model_dump(), run.config.contact, run.config.seed],
        lambda: card.make(
            run.workspace,
            run.config.card,
            run.config.contact,
            run.choices,
            refined,
            run.config.seed,
        ),
    )
    return True


STAGES: Mapping[str, Callable[[Run], bool]] = {
    "collect": _collect,
    "faces": _faces,
    "deduplicate": _deduplicate,
    "coarse-label": _coarse_label,
    "push": _push,
    "pull": _pull,
    "split": _split,
    "card": _card,
}
"""By the names they are called by, in their order; False: the next one had better wait."""


def go(run: Run, stages: Sequence[str] = tuple(STAGES)) -> None:
    """Run `stages`, or what of them is not done, up to the first whose work is not finished."""
    for stage in stages:
        if not STAGES[stage](run):
            return
