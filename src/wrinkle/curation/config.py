"""What a dataset is to be made of, as YAML checked by a schema; all paths are relative to the file.

    workspace: faces
    contact: me@example.org
    collect:
      sources:
        - {source: wikimedia, queries: [old woman portrait, newborn], limit: 500}
    refine: {people: 3}
    split: {test: 20000}
    card: {name: My faces, contact: me@example.org}

The sections are the classes below. Keys of services and servers are not among them: they come from
the environment.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from wrinkle.curation.annotators import ANNOTATORS
from wrinkle.curation.faces import Rules
from wrinkle.curation.fetch import Limits
from wrinkle.curation.refine import Settings
from wrinkle.curation.sources import SOURCES
from wrinkle.errors import WrinkleError
from wrinkle.settings import (
    Count,
    NamedPart,
    NotNegative,
    Part,
    Positive,
    Probability,
    explain,
    read_yaml,
)

LOCAL = ("url_list", "folder")
"""Sources whose queries are paths."""


class Source(Part):
    source: str
    queries: Annotated[tuple[str, ...], Field(min_length=1)]
    limit: Count = 1000
    """Pictures a query, at most."""
    people: bool = False
    """Whether each query is the name of a person, whose pictures it finds."""


class Costs(Part):
    """See `wrinkle.curation.fetch.Limits`."""

    seconds: Positive = Limits.seconds
    size: Count = Limits.size
    pixels: Count = Limits.pixels
    interval: NotNegative = Limits.interval
    threads: Count = Limits.threads


class Collect(Part):
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    limits: Costs = Costs()
    permitted: tuple[str, ...] = ()
    """Hosts whose owner has given you leave in spite of their robots.txt."""


class Faces(Part):
    """See `wrinkle.curation.faces.Rules`."""

    detector: str = Rules.detector
    score: Probability = Rules.score
    size: NotNegative = Rules.size
    sharpness: NotNegative = Rules.sharpness
    crop: Annotated[int, Field(ge=32, le=1024)] = Rules.crop


class CoarseLabel(Part):
    annotators: Annotated[tuple[NamedPart, ...], Field(min_length=1)] = (NamedPart(name="wrinkle"),)
    least: Count = 1
    """Annotators who must have seen an age; a face with fewer is dropped."""


class Refine(Part):
    """See `wrinkle.curation.refine.Settings`."""

    url: str = Settings.url
    project: Annotated[str, Field(min_length=3, max_length=50)] = Settings.project
    people: Count = Settings.people
    least: Count = Settings.least
    disagreement: Positive = Settings.disagreement
    rounds: Count = Settings.rounds

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.least > self.people:
            raise ValueError(f"least is {self.least}, but only {self.people} people are asked")
        return self


class Split(Part):
    test: Count | None = None
    """Faces of the test part; None: as large a share as in Web-FaceAge, 16 %."""
    by: Literal["face", "person"] = "face"


class Card(Part):
    name: str = "Faces with ages"
    about: str = ""
    """What the dataset is for, in a sentence or two."""
    terms: str = "Not stated: ask whoever made this dataset before you use it."
    contact: str = ""
    """Where people ask to have their faces removed; by default `contact` of the whole file."""
    samples: Count = 48


class Config(Part):
    workspace: Path
    contact: str
    """A mail address or URL at which owners of servers reach you."""
    seed: Annotated[int, Field(ge=0)] = 0
    collect: Collect
    faces: Faces = Faces()
    coarse_label: CoarseLabel = CoarseLabel()
    refine: Refine | None = None
    """None: nobody is asked, the coarse age is the label."""
    split: Split = Split()
    card: Card = Card()


def load_config(path: str | os.PathLike[str]) -> Config:
    """The configuration in a file.

    WrinkleError, one line naming the file, the field, its value and the choices.
    """
    path = Path(path)
    content = read_yaml(path, "give a mapping with sections such as collect, faces, card")
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise WrinkleError(f"{path}: {explain(error, Config)}") from None
    for kind, names, choices in (
        ("source", [source.source for source in config.collect.sources], SOURCES),
        ("annotator", [each.name for each in config.coarse_label.annotators], ANNOTATORS),
    ):
        for name in names:
            if name not in choices:
                raise WrinkleError(
                    f"{path}: unknown {kind} {name!r}: choose one of {', '.join(choices)}"
                )
    return _placed(config, path.absolute().parent)


def _placed(config: Config, folder: Path) -> Config:
    """With absolute paths."""
    sources = [
        source.model_copy(
            update={"queries": tuple(os.path.join(folder, q) for q in source.queries)}
        )
        if source.source in LOCAL
        else source
        for source in config.collect.sources
    ]
    changes: dict[str, Any] = {
        "workspace": folder / config.workspace,
        "collect": config.collect.model_copy(update={"sources": tuple(sources)}),
    }
    return config.model_copy(update=changes)
