"""Recipes: what to train, on what and how, as YAML checked by a schema.

A recipe's header comment states what it is, its command, its source and what that leaves open; the
fields are the classes below, and every one of them can be overridden as `section.field=value`.
`first` names the recipe of a first stage, which is trained before, fold by fold. What else a file
may hold, sizes, datasets, variants and a base, is in `wrinkle.runs.overlays`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from wrinkle.datasets.augment import Augment, Strength
from wrinkle.errors import WrinkleError
from wrinkle.losses import LOSSES
from wrinkle.models.registry import check_model
from wrinkle.protocols import get_protocol
from wrinkle.registry import load_plugins, plugin_entries
from wrinkle.runs.folder import MODEL_FILE
from wrinkle.runs.overlays import (
    KINDS,
    choose,
    follow,
    is_reference,
    overlaid,
    read_recipe,
    run_name,
)
from wrinkle.settings import (
    Count,
    NamedPart,
    NotNegative,
    Part,
    Positive,
    Probability,
    explain,
)


class Term(NamedPart):
    """A term of the loss; fields beside these are the term's own (see `wrinkle.losses`)."""

    weight: NotNegative = 1.0

    @model_validator(mode="after")
    def _is_registered(self) -> Self:
        LOSSES.create(self.name, self.fields)
        return self


class Model(NamedPart):
    """A network; fields beside the name are its own (see `wrinkle models`)."""

    @model_validator(mode="after")
    def _is_registered(self) -> Self:
        check_model(self.name, self.fields)
        return self


class Data(Part):
    store: str
    protocol: str
    """A protocol's name and its whole numbers, such as by-person:5."""
    limit: Count | None = None
    """At most this many rows in each part of a fold: for reduced runs."""

    @model_validator(mode="after")
    def _protocol_is_registered(self) -> Self:
        get_protocol(self.protocol)
        return self


class Input(Part):
    size: Annotated[int, Field(ge=32, le=1024)] = 112
    zoom: Positive = 1.0


class Optimizer(Part):
    name: Literal["sgd", "adamw"]
    lr: Positive
    momentum: Strength = 0.9
    """Of SGD, which is Nesterov's; AdamW does not read it."""
    weight_decay: NotNegative = 0.0
    head_lr_factor: Positive = 1.0


class Schedule(Part):
    name: Literal["step", "cosine"] = "cosine"
    steps: tuple[Count, ...] = ()
    """Epochs at whose start the rate is multiplied by `factor` (schedule `step`)."""
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_epochs: NotNegative = 0.0

    @model_validator(mode="after")
    def _steps_belong_to_step(self) -> Self:
        if (self.name == "step") != bool(self.steps):
            raise ValueError("steps: list the epochs for schedule 'step', leave out for 'cosine'")
        return self


class Training(Part):
    epochs: Count
    batch: Annotated[int, Field(ge=2)]
    """Pictures a step, over all processes together."""
    precision: Literal["float32", "bf16"] = "float32"
    clip: Positive | None = None
    """Largest norm of the gradient."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the running average of the weights, which is then what is validated and kept."""
    balance: Probability = 0.0
    """Exponent: a row's chance ∝ (1 / smoothed frequency of its age)^balance."""
    validate_every: Count = 1
    choose: Literal["best", "last"] = "best"
    checkpoint_every_steps: Count = 200
    workers: Annotated[int, Field(ge=0)] = 1
    mirror_average: bool = True
    """Evaluation averages a picture's and its mirror's distributions."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class Recipe(Part):
    INERT: ClassVar = ("training.workers", "training.checkpoint_every_steps")
    """Fields that change nothing of the result: a run may go on with other values of these."""
    SHARED: ClassVar = ("data.", "input.", "training.seed=", "training.workers=")
    """Overrides that hold for the first stage too; `first.section.field=value` is for it alone."""

    name: str = ""
    """Folder under `runs/`; by default the file's place below `recipes/` and what was chosen there:
    adpf/utkface-small-no_ranking."""
    plugins: tuple[str, ...] = ()
    """Python files that register models, heads, losses, datasets or protocols, relative to the
    recipe. A run keeps a copy of each."""
    model: Model
    init: str = "none"
    """none, imagenet, a packaged model's name, or a file: ImageNet weights or a wrinkle checkpoint.
    In a recipe file also {recipe, size, dataset, variant}: the model of that recipe's run."""
    init_classifier: bool = True
    """Whether the classifier too comes from `init`, where that has one of the same ages."""
    first: "Recipe | None" = None
    """The first stage, whose network of the same fold is put into this one."""
    data: Data
    input: Input = Input()
    augment: Augment = Augment()
    loss: Annotated[tuple[Term, ...], Field(min_length=1)] = (Term(name="dldl_v2"),)
    """Terms whose weighted sum is minimised."""
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    training: Training

    @model_validator(mode="after")
    def _stages_see_the_same(self) -> Self:
        for part in ("data", "input") if self.first is not None else ():
            own, other = (flatten(getattr(r, part).model_dump()) for r in (self, self.first))
            for field, value in own.items():
                if value != other[field]:
                    raise ValueError(
                        f"first: {part}.{field} is {other[field]!r} there, {value!r} here; both "
                        "stages see the same folds the same way"
                    )
        return self

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def resolved(self) -> dict[str, Any]:
        """Every field, as {"section.field": value}; plug-ins by their content."""
        plugins = [entry["sha256"] for entry in plugin_entries(self.plugins)]
        return flatten({**self.model_dump(mode="json"), "plugins": plugins})


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """The recipe in a YAML file, as `overrides` choose and change it.

    Args:
        path: the file.
        overrides: choices such as `size=small`, and fields such as `training.epochs=2`.

    Raises:
        WrinkleError: one line naming the file, the field, its value and the choices.
    """
    path = Path(path)
    asked, changes = {}, []
    for override in overrides or []:
        kind, equals, name = override.partition("=")
        if equals and kind in KINDS:
            asked[kind] = name
        else:
            changes.append(override)
    content = read_recipe(path)
    chosen = choose(content, asked, path)
    fields = overlaid(content, chosen)
    load_plugins(fields.get("plugins") or ())
    fields.setdefault("loss", [{"name": "dldl_v2"}])
    fields["name"] = run_name(path, fields.get("name"), chosen)
    for change in changes:
        if not change.startswith("first."):
            _override(fields, change)
    if is_reference(fields.get("init")):
        fields["init"] = _model_of(*follow(fields["init"], path, chosen))
    fields["first"] = _first(fields.get("first"), path, chosen, changes)
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise WrinkleError(f"{path}: {explain(error, Recipe)}") from None
    except WrinkleError as error:
        raise WrinkleError(f"{path}: {error}") from None


def _first(first: Any, path: Path, chosen: Mapping[str, str | None], changes: list[str]) -> Any:
    """A recipe's first stage with the overrides that concern it; a reference is loaded."""
    own = [change.removeprefix("first.") for change in changes if change.startswith("first.")]
    if isinstance(first, str):
        first = {"recipe": first}
    if is_reference(first):
        other, theirs = follow(first, path, chosen)
        if other.resolve() == path.resolve() and theirs == chosen:
            raise WrinkleError(f"{path}: a recipe cannot be its own first stage")
        choices = [f"{kind}={name}" for kind, name in theirs.items() if name is not None]
        shared = [change for change in changes if change.startswith(Recipe.SHARED)]
        return load_recipe(other, [*choices, *shared, *own])
    if own and not isinstance(first, dict):
        raise WrinkleError(f"override 'first.{own[0]}': this recipe has no first stage")
    for change in own:
        _override(first, change)
    return first


def _model_of(path: Path, chosen: Mapping[str, str | None]) -> str:
    """The model file of a recipe's run, of the fold that has its protocol's name."""
    fields = overlaid(read_recipe(path), chosen)
    try:
        fold = fields["data"]["protocol"]
    except (KeyError, TypeError):
        raise WrinkleError(f"{path}: field data.protocol is missing") from None
    return f"runs/{run_name(path, fields.get('name'), chosen)}/{fold}/{MODEL_FILE}"


def _override(content: Any, override: str) -> None:
    """Set one field; in the list of losses a term is found by its name: `loss.dldl_v2.sigma=3`."""
    field, equals, text = override.partition("=")
    *sections, last = field.strip().split(".")
    if not equals or not last or not all(sections):
        raise WrinkleError(f"override {override!r}: write section.field=value")
    for section in sections:
        inner = content.setdefault(section, {}) if isinstance(content, dict) else None
        if isinstance(content, list):
            inner = next((each for each in content if each.get("name") == section), None)
            if inner is None:
                names = ", ".join(str(each.get("name")) for each in content)
                raise WrinkleError(f"override {override!r}: no {section!r} there; choices: {names}")
        if not isinstance(inner, dict | list):
            raise WrinkleError(f"override {override!r}: {section} is a value, not a section")
        content = inner
    if isinstance(content, list):
        raise WrinkleError(f"override {override!r}: write {'.'.join(sections)}.NAME.field=value")
    try:
        content[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise WrinkleError(f"override {override!r}: the value is not YAML") from None


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} → {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
