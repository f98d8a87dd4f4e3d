"""The data card: what a dataset contains, where it comes from, what it lacks, and whom to contact.

As an HTML page with pictures, and as the README of the Hugging Face folder. All text from sources
comes from strangers and is escaped in both.
"""

import base64
import html
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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
from wrinkle.curation.config import Card, Config, annotator_title, public_title
from wrinkle.curation.people.votes import agreement
from wrinkle.curation.sources import source_class
from wrinkle.curation.status import Counts, counts
from wrinkle.curation.workspace import Workspace
from wrinkle.protocols.fold import shuffled
from wrinkle.report.style import canvas, colour

FEW = 0.01
"""Share of the faces below which a decade of ages counts as a gap."""
OLDEST = 100
MANY = 2000
"""Faces from which on a histogram has bins of one year instead of five."""
MAX_TEXT = 200
"""Characters of a stranger's text that are shown."""


@dataclass(frozen=True)
class Facts:
    """What a card says.

    Attributes:
        parts: part → faces.
        people: who are known by name.
        decades: ages such as "10–19", and the faces of both parts.
        gaps: decades with few faces.
        sources: a source, its faces, what it says about rights, and the licences it states.
        voters: people who were asked for ages; None: nobody was.
        alpha: Krippendorff's α of their answers.
        deviation: mean deviation of their answers, in years.
    """

    card: Card
    contact: str
    seed: int
    made: str
    version: str
    stages: list[Counts]
    parts: dict[str, int]
    people: int
    decades: list[tuple[str, int, int]]
    gaps: list[str]
    sources: list[tuple[str, int, str, list[tuple[str, int]]]]
    annotators: list[str]
    voters: int | None
    alpha: float | None
    deviation: float | None

    @property
    def size(self) -> str:
        parts = [
            number(self.parts["train"], "training face"),
            number(self.parts["test"], "test face"),
        ]
        if self.people:
            parts.append(number(self.people, "person", "people") + " known by name")
        return ", ".join(parts)

    @property
    def labelling(self) -> str:
        """Where the ages come from, in a sentence."""
        *most, last = self.annotators
        several = f"{', '.join(most)} and {last} say" if most else f"{last} says"
        if self.voters is None:
            what = "the mean of what" if most else "what"
            return f"The ages are {what} {several}; nobody has checked them."
        text = number(self.voters, "person was", "people were") + f" asked, shown what {several};"
        text += " the age is the robust mean of their answers"
        if self.deviation is not None:
            text += f", whose mean deviation is {self.deviation:.1f} years"
        if self.alpha is not None:
            text += f"; Krippendorff's α is {self.alpha:.2f}"
        return f"{text}."

    @property
    def lacking(self) -> str:
        if not self.gaps:
            return f"No decade has fewer than {FEW:.0%} of the faces."
        return f"Gaps, decades with fewer than {FEW:.0%} of the faces: {', '.join(self.gaps)}."


def gather(workspace: Workspace, config: Config) -> Facts:
    """Everything that a card says, from the tables."""
    refined = config.refine is not None
    split = workspace.table("split", "age", "part", "person", "age_deviation")
    ages, part = split["age"].to_numpy(), np.array(split["part"].to_pylist())
    deviations = split["age_deviation"].drop_null().to_numpy()
    votes = workspace.table("votes") if refined else None
    decades = by_decade(ages, part)
    return Facts(
        card=config.card,
        contact=config.card.contact or config.contact,
        seed=config.seed,
        made=datetime.now(UTC).date().isoformat(),
        version=__version__,
        stages=list(counts(workspace, refined)),
        parts={name: int((part == name).sum()) for name in export.PARTS},
        people=len(set(split["person"].drop_null().to_pylist())),
        decades=decades,
        gaps=[f"{years} ({n:,})" for years, *both in decades if (n := sum(both)) < FEW * len(ages)],
        sources=_sources(workspace),
        annotators=[public_title(annotator_title(a)) for a in config.coarse_label.annotators],
        voters=None if votes is None else len(set(votes["person"].to_pylist())),
        alpha=None if votes is None else agreement(_careful(workspace, votes)),
        deviation=float(deviations.mean()) if len(deviations) else None,
    )


def _careful(workspace: Workspace, votes: pa.Table) -> pa.Table:
    """The answers of people who are not careless."""
    people = workspace.table("people", "person", "careless")
    careless = people["person"].filter(people["careless"].is_valid())
    return votes.filter(pc.invert(pc.is_in(votes["person"], careless.cast(votes["person"].type))))


def by_decade(ages: np.ndarray, part: np.ndarray) -> list[tuple[str, int, int]]:
    """Ages "0–9", "10–19", … up to 100 or the oldest, and how many faces both parts have."""
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
    """Histograms of the ages of both parts, as Figure 4 of DHAA."""
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
    """Faces over all ages, youngest first, with their sources, as Figure 3 of DHAA."""
    ages = dict(zip(*workspace.table("split", "face", "age").to_pydict().values(), strict=True))
    order = sorted(shuffled(ages, seed), key=lambda face: ages[face])
    step = max(len(order) / count, 1.0)
    chosen = [order[int((k + 0.5) * step)] for k in range(min(count, len(order)))]
    frame = export.rows(workspace).where(col("face").is_in(chosen))
    rows = sorted(frame.to_pylist(), key=lambda row: (row["age"], row["face"]))
    images = export.pictures(workspace, sorted(chosen))
    for row in rows:
        row["address"] = _data("image/jpeg", images[row["face"]])
        source = min(map(export.public, row["sources"] or ()), key=str, default={})
        row["from"] = {name: short(text) for name, text in source.items() if text}
    return rows


def page(facts: Facts, histogram: bytes, sheet: Sequence[dict[str, Any]]) -> str:
    """The card as one HTML file that loads nothing else."""
    drawn = _data("image/svg+xml", histogram)
    return _template("data_card.html", True, clean).render(facts=facts, ages=drawn, sheet=sheet)


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
    text = _template("data_card.md", False, plain).render(facts=facts)
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n{text}"


def number(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def clean(text: str) -> str:
    """Text in one line, without invisible characters that reverse or hide text."""
    joiners = "\u200c\u200d"  # which some scripts need
    return "".join(c for c in " ".join(text.split()) if c.isprintable() or c in joiners)


def short(text: str) -> str:
    """A stranger's text, shortened."""
    text = clean(text)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def plain(text: str) -> str:
    """Text in one line, escaped for Markdown and HTML."""
    marked = re.sub(r"([\\`*_{}\[\]()#!|~$])", r"\\\1", html.escape(clean(text), quote=False))
    return re.sub(r"^(\d*)([-+=.)])(?=[-+=]*(\s|$))", r"\1\\\2", marked)  # lists and lines


def code(text: str) -> str:
    """A stranger's text as inline code, in which URLs do not become links."""
    inside = short(text).replace("`", "'").replace("|", "¦")
    return f"`{inside or '?'}`"


def _template(name: str, escape_html: bool, escape: Callable[[str], str]) -> Template:
    """A template of this folder; `escape` is applied to all text that `code` has not marked."""
    environment = Environment(
        loader=PackageLoader("wrinkle.curation", "."),
        autoescape=escape_html,
        finalize=lambda value: escape(value) if type(value) is str else value,
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
        (source, count, source_class(source).rights, licences[source].most_common(10))
        for source, count in sorted(faces.items())
    ]
