"""The data card: what a dataset is, where it comes from, what it lacks, and whom to ask.

Written beside the exported faces, as a page with pictures and as the README of the Hugging Face
folder. All text that comes from sources is a stranger's and is escaped in both.
"""

import base64
import html
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from daft import col
from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wrinkle import __version__
from wrinkle.curation import export
from wrinkle.curation.stages.coarse_label import Choice, title
from wrinkle.curation.config import Card, public_title
from wrinkle.curation.status import Counts, counts
from wrinkle.curation.people.votes import agreement
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import shuffled
from wrinkle.report.style import STYLE, canvas, colour, saved

STAGE = "card"
PAGE, AGES = "card.html", "ages"
FEW = 0.01
"""Share of the faces below which a decade of ages counts as a gap."""
OLDEST = 100
MANY = 2000
"""Faces from which on a histogram shows single years, else five at a time."""
LONGEST = 200
"""Characters of a stranger's text that are shown."""
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

    @property
    def size(self) -> str:
        said = [
            number(self.parts["train"], "training face"),
            number(self.parts["test"], "test face"),
        ]
        if self.people:
            said.append(number(self.people, "person", "people") + " known by name")
        return ", ".join(said)

    @property
    def labelling(self) -> str:
        """How the ages came about, in a sentence."""
        *most, last = self.annotators
        several = f"{', '.join(most)} and {last} say" if most else f"{last} says"
        if self.voters is None:
            what = "the mean of what" if most else "what"
            return f"The ages are {what} {several}; nobody has looked at them."
        said = number(self.voters, "person was", "people were") + f" asked, shown what {several};"
        said += " the age is the robust mean of their answers"
        if self.deviation is not None:
            said += f", whose mean deviation is {self.deviation:.1f} years"
        if self.alpha is not None:
            said += f"; Krippendorff's α is {self.alpha:.2f}"
        return f"{said}."

    @property
    def lacking(self) -> str:
        if not self.gaps:
            return f"No decade has fewer than {FEW:.0%} of the faces."
        return f"Gaps, decades with fewer than {FEW:.0%} of the faces: {', '.join(self.gaps)}."


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
    ages, part = split["age"].to_numpy(), np.array(split["part"].to_pylist())
    with export.anew(workspace) as folder:
        export.write(workspace, folder, card.name)
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
        stages=list(counts(workspace, refined)),
        parts={name: int((part == name).sum()) for name in export.PARTS},
        people=len(set(split["person"].drop_null().to_pylist())),
        decades=decades,
        gaps=[f"{years} ({n:,})" for years, *both in decades if (n := sum(both)) < FEW * len(ages)],
        sources=_sources(workspace),
        annotators=[public_title(title(choice)) for choice in choices],
        voters=None if votes is None else len(set(votes["person"].to_pylist())),
        alpha=None if votes is None else agreement(_careful(workspace, votes)),
        deviation=float(deviations.mean()) if len(deviations) else None,
    )


def _careful(workspace: Workspace, votes: pa.Table) -> pa.Table:
    """The answers of those who are not careless."""
    people = workspace.table("people", "person", "careless")
    careless = people["person"].filter(people["careless"].is_valid())
    return votes.filter(pc.invert(pc.is_in(votes["person"], careless.cast(votes["person"].type))))


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
    """How many faces are how old in both parts: Figure 4 of DHAA."""
    figure, panels = canvas(7.5, 2.6, 1, 2, sharex=True)
    years = 1 if len(ages) >= MANY else 5
    edges = np.arange(0, max(OLDEST, ages.max()) + years + 1, years)
    for place, (axes, name) in enumerate(zip(panels, export.PARTS, strict=True)):
        some = ages[part == name]
        axes.hist(some, edges, color=colour(place), edgecolor="white", linewidth=0.5)
        heading = f"{name}: {number(len(some), 'face')}"
        axes.set(xlabel="age, years", ylabel="faces", title=heading, xlim=(0, edges[-1]))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return figure


def samples(workspace: Workspace, count: int, seed: int) -> list[dict[str, Any]]:
    """Faces over all ages, youngest first, with what is known of each: Figure 3 of DHAA."""
    ages = dict(zip(*workspace.table("split", "face", "age").to_pydict().values(), strict=True))
    order = sorted(shuffled(ages, seed), key=lambda face: ages[face])
    step = max(len(order) / count, 1.0)
    chosen = [order[int((k + 0.5) * step)] for k in range(min(count, len(order)))]
    frame = export.rows(workspace).where(col("face").is_in(chosen))
    rows = sorted(frame.to_pylist(), key=lambda row: (row["age"], row["face"]))
    images = export.pictures(workspace, sorted(chosen))
    for row in rows:
        row["address"] = _data("image/jpeg", images[row["face"]])
        said = min(map(export.public, row["sources"] or ()), key=str, default={})
        row["from"] = {name: short(text) for name, text in said.items() if text}
    return rows


def page(facts: Facts, histogram: bytes, sheet: Sequence[dict[str, Any]]) -> str:
    """The card as one HTML file that asks nobody for anything."""
    drawn = _data("image/svg+xml", histogram)
    return _template("card.html", True, clean).render(facts=facts, ages=drawn, sheet=sheet)


def readme(facts: Facts) -> str:
    """The card as Markdown, with the header that Hugging Face reads."""
    header = {
        "pretty_name": clean(facts.card.name),
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
    text = _template("card.md", False, plain).render(facts=facts)
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n{text}"


def number(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def clean(text: str) -> str:
    """Text in one line, without what is not seen but turns text around or hides it."""
    joiners = "\u200c\u200d"  # which some scripts need
    return "".join(c for c in " ".join(text.split()) if c.isprintable() or c in joiners)


def short(text: str) -> str:
    """What of a stranger's text is shown."""
    text = clean(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def plain(text: str) -> str:
    """Text that means nothing to Markdown or HTML, in one line."""
    marked = re.sub(r"([\\`*_{}\[\]()#!|~$])", r"\\\1", html.escape(clean(text), quote=False))
    return re.sub(r"^(\d*)([-+=.)])(?=[-+=]*(\s|$))", r"\1\\\2", marked)  # a list's or line's


def code(text: str) -> str:
    """A stranger's text as Markdown shows code: addresses in it do not become links either."""
    inside = short(text).replace("`", "'").replace("|", "¦")
    return f"`{inside or '?'}`"


def _template(name: str, escaped: bool, written: Callable[[str], str]) -> Template:
    """A template of this folder, in which all text is `written`, but for what `code` has marked."""
    environment = Environment(
        loader=PackageLoader("wrinkle.curation", "."),
        autoescape=escaped,
        finalize=lambda value: written(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": short, "code": lambda text: Markup(code(text))}
    environment.globals |= {"number": "{:,}".format}
    return environment.get_template(name)


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


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
