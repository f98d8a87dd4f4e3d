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

from pydantic import AfterValidator, Field, ValidationError, model_validator

from wrinkle.curation.annotators import ANNOTATORS, fields_of
from wrinkle.curation.coarse_label import title
from wrinkle.curation.faces import Rules
from wrinkle.curation.fetch import Fetcher, Limits
from wrinkle.curation.label_studio import LabelStudio
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


def public_title(annotator: str) -> str:
    """What an annotator is called outside this machine: of a model file its name, not its place."""
    name, colon, model = annotator.partition(":")
    return f"{name}{colon}{os.path.basename(model)}"


def _source(name: str) -> str:
    if name not in SOURCES:
        raise ValueError(f"unknown source {name!r}: choose one of {', '.join(SOURCES)}")
    return name


def _annotator(annotator: NamedPart) -> NamedPart:
    """With its fields looked at: its turn may come hours later."""
    name = annotator.name
    if name not in ANNOTATORS:
        raise ValueError(f"unknown annotator {name!r}: choose one of {', '.join(ANNOTATORS)}")
    schema = fields_of(name)
    try:
        schema.model_validate(annotator.fields)
    except ValidationError as error:
        raise ValueError(f"annotator {name}: {explain(error, schema)}") from None
    return annotator


def _contact(contact: str) -> str:
    try:
        Fetcher(contact)
    except WrinkleError as error:
        raise ValueError(str(error).removeprefix("contact ")) from None
    return contact


def _server(url: str) -> str:
    try:
        LabelStudio(url, "key")
    except WrinkleError as error:
        raise ValueError(str(error)) from None
    return url


Text = Annotated[str, Field(min_length=1)]


class Source(Part):
    source: Annotated[str, AfterValidator(_source)]
    queries: Annotated[tuple[Text, ...], Field(min_length=1)]
    limit: Count = 1000
    """Pictures a query, at most."""
    people: bool = False
    """Whether each query names a person whose pictures it finds: a folder by its own name."""


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

    detector: Annotated[str, Field(pattern="^(mtcnn|dlib|yunet:.+)$")] = Rules.detector
    score: Probability = Rules.score
    size: NotNegative = Rules.size
    sharpness: NotNegative = Rules.sharpness
    crop: Annotated[int, Field(ge=32, le=1024)] = Rules.crop


class CoarseLabel(Part):
    annotators: Annotated[
        tuple[Annotated[NamedPart, AfterValidator(_annotator)], ...], Field(min_length=1)
    ] = (NamedPart(name="wrinkle"),)
    least: Count = 1
    """Annotators who must have seen an age; a face with fewer is dropped."""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        titles = [public_title(title((each.name, each.fields))) for each in self.annotators]
        twice = next((each for each in titles if titles.count(each) > 1), None)
        if twice is not None:
            raise ValueError(f"two annotators are called {twice}: their answers would be mixed up")
        if self.least > len(titles):
            raise ValueError(f"least is {self.least}, which is more than there are annotators")
        return self


class Refine(Part):
    """See `wrinkle.curation.refine.Settings`."""

    url: Annotated[str, AfterValidator(_server)] = Settings.url
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
    name: Text = "Faces with ages"
    about: str = ""
    """What the dataset is for, in a sentence or two."""
    terms: str = "Not stated: ask whoever made this dataset before you use it."
    contact: str = ""
    """Where people ask to have their faces removed; by default `contact` of the whole file."""
    samples: Count = 48


class Config(Part):
    workspace: Path
    contact: Annotated[str, AfterValidator(_contact)]
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
    return _placed(config, path.absolute().parent)


def _placed(config: Config, folder: Path) -> Config:
    """With absolute paths."""

    def there(path: str | Path) -> str:
        return os.path.abspath(folder / path)

    def placed(source: Source) -> Source:
        local = source.source in LOCAL
        queries = tuple(map(there, source.queries)) if local else source.queries
        return source.model_copy(update={"queries": queries})

    def named(annotator: NamedPart) -> NamedPart:
        model = annotator.fields.get("model")
        if isinstance(model, str) and os.path.isfile(there(model)):
            return NamedPart(name=annotator.name, **annotator.fields | {"model": there(model)})
        return annotator

    def section(name: str, **changes: Any) -> Part:
        changed: Part = getattr(config, name).model_copy(update=changes)
        return changed

    kind, colon, file = config.faces.detector.partition(":")
    changes = {
        "workspace": Path(there(config.workspace)),
        "collect": section("collect", sources=tuple(map(placed, config.collect.sources))),
        "faces": section("faces", detector=f"{kind}:{there(file)}" if colon else kind),
        "coarse_label": section(
            "coarse_label", annotators=tuple(map(named, config.coarse_label.annotators))
        ),
    }
    return config.model_copy(update=changes)
