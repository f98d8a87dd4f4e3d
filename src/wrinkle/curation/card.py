"""The data card: what a dataset is, where it comes from, what it lacks, and whom to ask.

Written beside the exported faces, as a page with pictures and as the README of the Hugging Face
folder. All text that comes from sources is a stranger's and is escaped in both.
"""

import base64
import html
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import yaml
from daft import col
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from wrinkle import __version__
from wrinkle.curation import export
from wrinkle.curation.coarse_label import Choice, title
from wrinkle.curation.config import Card
from wrinkle.curation.status import Counts, counts
from wrinkle.curation.votes import agreement
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import shuffled
from wrinkle.report.canvas import STYLE, canvas, colour, saved

STAGE = "card"
PAGE, AGES = "card.html", "ages"
FEW = 0.01
"""Share of the faces below which a decade of ages counts as a gap."""
OLDEST = 100
STATED = {
    "wikimedia": "each file's own licence, stated by Wikimedia Commons",
    "openverse": "each picture's own licence, stated by Openverse and not verified",
    "url_list": "as the list states, if it does",
    "folder": "known to whoever put the pictures there",
}
"""What a source says of rights; of all others: nothing."""
SILENT = "states no licence: copyright stays with whoever made each picture"


@dataclass(frozen=True)
class Facts:
    """What a card says."""

    card: Card
    contact: str
    seed: int
    made: str
    version: str
    stages: list[Counts]
    parts: dict[str, int]
    people: int
    decades: list[tuple[str, int, int]]
    """Ages, and the faces that train and test."""
    gaps: list[str]
    sources: list[tuple[str, int, str, list[tuple[str, int]]]]
    """A source, its faces, what it says of rights, and the licences it states."""
    annotators: list[str]
    voters: int | None
    """People who were asked for ages; None: nobody was."""
    alpha: float | None
    deviation: float | None


def make(
    workspace: Workspace,
    card: Card,
    contact: str,
    choices: Sequence[Choice],
    refined: bool,
    seed: int,
) -> Path:
    """Write ROOT/export anew, faces and card; returns it.

    contact: where people ask for removal, unless the card names another. refined: whether people
    were asked for ages.

    Raises:
        WrinkleError: there is no split yet, or the folder cannot be written.
    """
    split = workspace.table("split")
    if not len(split):
        raise WrinkleError(f"no faces in {workspace.root} are split yet: run the stages before")
    facts = gather(workspace, card, contact, choices, refined, seed)
    rows = export.rows(workspace)
    ages, part = split["age"].to_numpy(), np.array(split["part"].to_pylist())
    with export.anew(workspace.root / export.FOLDER) as folder:
        export.write(rows, folder, card.name, facts.parts)
        with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
            figure = histograms(ages, part)
            drawn = {form: saved(figure, form) for form in ("svg", "png")}
        for form, data in drawn.items():
            (folder / f"{AGES}.{form}").write_bytes(data)
        sheet = samples(workspace, card.samples, seed)
        (folder / PAGE).write_text(page(facts, drawn["svg"], sheet), encoding="utf-8")
        hub = folder / export.HUGGING_FACE
        (hub / f"{AGES}.png").write_bytes(drawn["png"])
        (hub / "README.md").write_text(readme(facts), encoding="utf-8")
    return workspace.root / export.FOLDER


def gather(
    workspace: Workspace,
    card: Card,
    contact: str,
    choices: Sequence[Choice],
    refined: bool,
    seed: int,
) -> Facts:
    """All that a card says, from the tables."""
    split = workspace.table("split", "age", "part", "person", "age_deviation")
    ages, part = split["age"].to_numpy(), np.array(split["part"].to_pylist())
    deviations = split["age_deviation"].drop_null().to_numpy()
    votes = workspace.table("votes") if refined else None
    decades = by_decade(ages, part)
    return Facts(
        card=card,
        contact=card.contact or contact,
        seed=seed,
        made=datetime.now(UTC).date().isoformat(),
        version=__version__,
        stages=list(counts(workspace)),
        parts=dict(sorted(Counter(part.tolist()).items())),
        people=len(set(split["person"].drop_null().to_pylist())),
        decades=decades,
        gaps=[f"{ages} ({n:,})" for ages, *both in decades if (n := sum(both)) < FEW * len(split)],
        sources=_sources(workspace),
        annotators=[title(choice) for choice in choices],
        voters=None if votes is None else len(set(votes["person"].to_pylist())),
        alpha=None if votes is None else agreement(votes),
        deviation=float(deviations.mean()) if len(deviations) else None,
    )


def by_decade(ages: np.ndarray, part: np.ndarray) -> list[tuple[str, int, int]]:
    """Ages "0–9", "10–19", … up to 100 or the oldest, and how many faces train and test."""
    decades = (ages // 10).astype(int)
    return [
        (
            f"{10 * d}–{10 * d + 9}",
            int(((decades == d) & (part == "train")).sum()),
            int(((decades == d) & (part == "test")).sum()),
        )
        for d in range(max(OLDEST // 10, decades.max() + 1))
    ]


def histograms(ages: np.ndarray, part: np.ndarray) -> Figure:
    """Faces of each year of age in both parts: Figure 4 of DHAA."""
    figure, panels = canvas(7.5, 2.6, 1, 2)
    edges = np.arange(max(OLDEST, ages.max()) + 2) - 0.5
    for number, (axes, name) in enumerate(zip(panels, ("train", "test"), strict=True)):
        some = ages[part == name]
        axes.hist(some, edges, color=colour(number))
        axes.set(xlabel="age, years", ylabel="faces", title=f"{name}: {len(some):,} faces")
    return figure


def samples(workspace: Workspace, count: int, seed: int) -> list[dict[str, Any]]:
    """Faces over all ages, youngest first, with what is known of each: Figure 3 of DHAA."""
    ages = dict(zip(*workspace.table("split", "face", "age").to_pydict().values(), strict=True))
    order = sorted(shuffled(ages, seed), key=lambda face: ages[face])
    step = max(len(order) / count, 1.0)
    chosen = [order[int((k + 0.5) * step)] for k in range(min(count, len(order)))]
    frame = export.rows(workspace).where(col("face").is_in(chosen))
    rows = sorted(frame.to_pylist(), key=lambda row: (row["age"], row["face"]))
    for row in rows:
        row["address"] = f"data:image/jpeg;base64,{base64.b64encode(row['image']).decode()}"
        row["from"] = min(map(export.public, row["sources"]), key=str)
    return rows


def page(facts: Facts, histogram: bytes, sheet: Sequence[dict[str, Any]]) -> str:
    """The card as one HTML file that asks nobody for anything."""
    environment = Environment(
        loader=PackageLoader("wrinkle.curation", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = f"data:image/svg+xml;base64,{base64.b64encode(histogram).decode()}"
    return environment.get_template("card.html").render(facts=facts, ages=drawn, sheet=sheet)


def readme(facts: Facts) -> str:
    """The card as Markdown, with the header that Hugging Face reads."""
    environment = Environment(
        loader=PackageLoader("wrinkle.curation", "."),
        finalize=lambda value: plain(value) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    header = {
        "pretty_name": facts.card.name,
        "task_categories": ["image-classification"],
        "tags": ["age-estimation", "faces"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": part, "path": f"data/{part}-*.parquet"} for part in facts.parts
                ],
            }
        ],
    }
    text = environment.get_template("card.md").render(facts=facts)
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n{text}"


def plain(text: str) -> str:
    """Text that means nothing to Markdown or HTML, in one line."""
    return re.sub(r"([\\`*_{}\[\]()#!|~])", r"\\\1", html.escape(" ".join(text.split())))


def _sources(workspace: Workspace) -> list[tuple[str, int, str, list[tuple[str, int]]]]:
    faces: Counter[str] = Counter()
    licences: dict[str, Counter[str]] = {}
    for row in export.rows(workspace).select("sources").iter_rows():
        named = {(each["source"], each["licence"]) for each in row["sources"] or ()}
        faces.update({source for source, _ in named})
        for source, licence in named:
            licences.setdefault(source, Counter()).update([licence] if licence else [])
    return [
        (source, count, STATED.get(source, SILENT), licences[source].most_common(10))
        for source, count in sorted(faces.items())
    ]
