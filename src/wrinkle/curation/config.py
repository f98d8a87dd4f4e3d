"""The configuration of a dataset: YAML checked by a schema; paths are relative to the file.

    workspace: faces
    contact: me@example.org
    collect:
      sources:
        - {source: wikimedia, queries: [old woman portrait, newborn], limit: 500}
    refine: {people: 3}
    split: {test: 20000}
    card: {name: My faces, contact: me@example.org}

The sections are the classes below. Keys of services and servers come from the environment, not
from the file.
"""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from wrinkle.curation.annotators import ANNOTATORS
from wrinkle.curation.people.label_studio import check_url
from wrinkle.curation.sources import SOURCES, source_class
from wrinkle.curation.web.fetcher import Limits, check_contact
from wrinkle.errors import WrinkleError
from wrinkle.registry import load_plugins
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


def annotator_title(annotator: NamedPart) -> str:
    """What an annotator is called in tables: its name, and its model if one is given."""
    model = annotator.fields.get("model")
    return annotator.name if model is None else f"{annotator.name}:{model}"


def public_title(title: str) -> str:
    """An annotator's title without the folder of its model file."""
    name, colon, model = title.partition(":")
    return f"{name}{colon}{os.path.basename(model)}"


def _load_plugins(files: Sequence[str], info: ValidationInfo) -> tuple[str, ...]:
    """The files' absolute paths; imported first, so that what they register can be checked."""
    folder = (info.context or {}).get("folder", Path.cwd())
    paths = tuple(os.path.abspath(folder / file) for file in files)
    _as_value_error(load_plugins, paths)
    return paths


def _check_annotator(annotator: NamedPart) -> NamedPart:
    _as_value_error(ANNOTATORS.check, annotator.name, annotator.fields)
    return annotator


def _check_contact(contact: str) -> str:
    return str(_as_value_error(check_contact, contact))


def _check_url(url: str) -> str:
    return str(_as_value_error(check_url, url))


def _as_value_error(check: Any, *arguments: Any) -> Any:
    """What `check` returns; its WrinkleError as the ValueError that pydantic expects."""
    try:
        return check(*arguments)
    except WrinkleError as error:
        raise ValueError(str(error)) from None


Text = Annotated[str, Field(min_length=1)]


class SourceSection(BaseModel):
    """Queries to one source; further fields are the source's own settings.

    Attributes:
        limit: pictures of a query, at most.
        people: whether each query names a person whose pictures it finds; for a folder, the
            folder's name is the person's.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    source: str
    queries: Annotated[tuple[Text, ...], Field(min_length=1)]
    limit: Count = 1000
    people: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        known = _as_value_error(SOURCES.schema, self.source).model_fields
        for name in self.fields:
            if name not in known:
                choices = [*type(self).model_fields, *known]
                close = difflib.get_close_matches(name, choices, n=1)
                hint = f" (did you mean {close[0]}?)" if close else ""
                raise ValueError(f"unknown field {name}{hint}; choices: {', '.join(choices)}")
        _as_value_error(SOURCES.check, self.source, self.fields)
        return self


class Collect(Part):
    """Which pictures to fetch, and how.

    Attributes:
        permitted: hosts whose owner permits what their robots.txt forbids.
    """

    sources: Annotated[tuple[SourceSection, ...], Field(min_length=1)]
    limits: Limits = Limits()
    permitted: tuple[str, ...] = ()


class FaceRules(Part):
    """How faces are found, and which are kept.

    Attributes:
        score: least confidence of the detector.
        size: least side of a face's box in pixels of its picture.
        sharpness: least variance of the crop's Laplacian (Pech-Pacheco et al., ICPR 2000), in grey
            levels squared.
        crop: side of the face's crop in pixels.
    """

    detector: Annotated[str, Field(pattern="^(mtcnn|dlib|yunet:.+)$")] = "mtcnn"
    score: Probability = 0.9
    size: NotNegative = 40.0
    sharpness: NotNegative = 2.0
    crop: Annotated[int, Field(ge=32, le=1024)] = 256


class CoarseLabel(Part):
    """Who estimates ages first.

    Attributes:
        least: annotators who must have seen an age; a face with fewer is dropped.
    """

    annotators: Annotated[
        tuple[Annotated[NamedPart, AfterValidator(_check_annotator)], ...], Field(min_length=1)
    ] = (NamedPart(name="wrinkle"),)
    least: Count = 1

    @model_validator(mode="after")
    def _check_titles(self) -> Self:
        titles = [public_title(annotator_title(each)) for each in self.annotators]
        twice = next((each for each in titles if titles.count(each) > 1), None)
        if twice is not None:
            raise ValueError(f"two annotators are called {twice}: their answers would be mixed up")
        if self.least > len(titles):
            raise ValueError(f"least is {self.least}, which is more than there are annotators")
        return self


class Refine(Part):
    """Where people are asked for ages, and until when.

    Attributes:
        url: of the Label Studio server.
        project: its title there.
        people: who are asked about a face in each round.
        least: answers that must count; a face with fewer is asked about again.
        disagreement: years of label deviation above which people disagree.
        rounds: how often a face is asked about at most.
    """

    url: Annotated[str, AfterValidator(_check_url)] = "http://localhost:8080"
    project: Annotated[str, Field(min_length=3, max_length=50)] = "wrinkle faces"
    people: Count = 3
    least: Count = 2
    disagreement: Positive = 8.0
    rounds: Count = 2

    @model_validator(mode="after")
    def _check_least(self) -> Self:
        if self.least > self.people:
            raise ValueError(f"least is {self.least}, but only {self.people} people are asked")
        return self


class Split(Part):
    """The test part.

    Attributes:
        test: its faces; None: the same share as in Web-FaceAge, 16 %.
        by: "person" keeps all pictures of a known person in one part.
    """

    test: Count | None = None
    by: Literal["face", "person"] = "face"


class Card(Part):
    """The data card.

    Attributes:
        about: what the dataset is for, in a sentence or two.
        contact: where people ask to have their faces removed; by default the file's `contact`.
        samples: faces that the card shows.
    """

    name: Text = "Faces with ages"
    about: str = ""
    terms: str = "Not stated: ask the makers of this dataset before you use it."
    contact: str = ""
    samples: Count = 48


class Config(Part):
    """A configuration file.

    Attributes:
        plugins: Python files that register annotators and sources.
        contact: a mail address or URL at which owners of servers can reach you.
        refine: None: nobody is asked, the coarse age is the label.
    """

    plugins: Annotated[tuple[str, ...], AfterValidator(_load_plugins)] = ()
    workspace: Path
    contact: Annotated[str, AfterValidator(_check_contact)]
    seed: Annotated[int, Field(ge=0)] = 0
    collect: Collect
    faces: FaceRules = FaceRules()
    coarse_label: CoarseLabel = CoarseLabel()
    refine: Refine | None = None
    split: Split = Split()
    card: Card = Card()


def load_config(path: str | os.PathLike[str]) -> Config:
    """The configuration in a file, its plug-ins loaded and its paths absolute.

    Raises:
        WrinkleError: one line with the file, the field, its value and the choices.
    """
    path = Path(path)
    content = read_yaml(path, "give a mapping with sections such as collect, faces, card")
    folder = path.absolute().parent
    try:
        config = Config.model_validate(content, context={"folder": folder})
    except ValidationError as error:
        raise WrinkleError(f"{path}: {explain(error, Config)}") from None
    return _with_absolute_paths(config, folder)


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    def absolute(path: str | Path) -> str:
        return os.path.abspath(folder / path)

    def source(section: SourceSection) -> SourceSection:
        if not source_class(section.source).queries_are_paths:
            return section
        return section.model_copy(update={"queries": tuple(map(absolute, section.queries))})

    def annotator(section: NamedPart) -> NamedPart:
        model = section.fields.get("model")
        if isinstance(model, str) and os.path.isfile(absolute(model)):
            return NamedPart(name=section.name, **section.fields | {"model": absolute(model)})
        return section

    def section(name: str, **changes: Any) -> Part:
        changed: Part = getattr(config, name).model_copy(update=changes)
        return changed

    kind, colon, file = config.faces.detector.partition(":")
    changes = {
        "workspace": Path(absolute(config.workspace)),
        "collect": section("collect", sources=tuple(map(source, config.collect.sources))),
        "faces": section("faces", detector=f"{kind}:{absolute(file)}" if colon else kind),
        "coarse_label": section(
            "coarse_label", annotators=tuple(map(annotator, config.coarse_label.annotators))
        ),
    }
    return config.model_copy(update=changes)
