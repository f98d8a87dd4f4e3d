"""Recipes: what to train, on what and how, as YAML checked by a schema.

A recipe's header comment states its command, cost, start and expected score; the fields are the
classes below, and every one of them can be overridden as `section.field=value`. `base: FILE`,
relative to the recipe, takes over another recipe's fields; the recipe's own change them.
`first: FILE` names the recipe of a first stage, which is trained before, fold by fold.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from wrinkle.datasets.augment import Augment, Strength
from wrinkle.errors import WrinkleError
from wrinkle.losses import LOSSES
from wrinkle.models.registry import check_model
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


class Term(NamedPart):
    """A term of the loss; fields beside these are the term's own (see `wrinkle.losses`)."""

    weight: NotNegative = 1.0

    @model_validator(mode="after")
    def _is_registered(self) -> Self:
        LOSSES.check(self.name, self.fields)
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
    limit: Count | None = None
    """At most this many rows in each part of a fold: for reduced runs."""


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
    """Folder under `runs/`; by default the file's place below `recipes/`."""
    plugins: tuple[str, ...] = ()
    """Python files that register models, heads, losses, datasets or protocols."""
    model: Model
    init: str = "none"
    """none, imagenet, or a file: ImageNet weights or a wrinkle checkpoint."""
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
        """Every field, as {"section.field": value}."""
        return flatten(self.model_dump(mode="json"))


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Recipe in a YAML file, after `overrides` such as `training.epochs=2`.

    Raises WrinkleError, one line naming the file, the field, its value and the choices.
    """
    path = Path(path)
    content = _read_with_base(path)
    overrides = overrides or []
    for_first = [each.removeprefix("first.") for each in overrides if each.startswith("first.")]
    for override in overrides:
        if not override.startswith("first."):
            _override(content, override)
    first = content.get("first")
    if isinstance(first, str):
        shared = [each for each in overrides if each.startswith(Recipe.SHARED)]
        content["first"] = load_recipe(first, [*shared, *for_first])
    elif for_first:
        raise WrinkleError(f"override 'first.{for_first[0]}': this recipe has no first stage")
    content.setdefault("name", _default_name(path))
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise WrinkleError(f"{path}: {explain(error, Recipe)}") from None


def _read_with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A recipe's content laid over that of its base, and of the base's base."""
    if path.resolve() in above:
        raise WrinkleError(f"{path}: a recipe cannot be its own base")
    content = read_yaml(path, "a recipe is a YAML mapping with sections such as model, data")
    if isinstance(content.get("first"), str):
        content["first"] = str(path.parent / content["first"])
    base = content.pop("base", None)
    if base is None:
        return content
    if not isinstance(base, str):
        raise WrinkleError(f"{path}: base is {base!r}: give the file of another recipe")
    inherited = _read_with_base(path.parent / base, (*above, path.resolve()))
    inherited.pop("name", None)  # two recipes of one name would share a folder of runs
    return _merged(inherited, content)


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the fields of `change` in place of its own; a section of another `name` takes
    the old one's place whole, for its fields are not those of the new thing."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            renamed = "name" in value and value["name"] != old.get("name")
            merged[key] = value if renamed else _merged(old, value)
        else:
            merged[key] = value
    return merged


def _override(content: dict[str, Any], override: str) -> None:
    field, equals, text = override.partition("=")
    *sections, last = field.strip().split(".")
    if not equals or not last or not all(sections):
        raise WrinkleError(f"override {override!r}: write section.field=value")
    for section in sections:
        inner = content.setdefault(section, {})
        if not isinstance(inner, dict):
            raise WrinkleError(f"override {override!r}: {section} is a value, not a section")
        content = inner
    try:
        content[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise WrinkleError(f"override {override!r}: the value is not YAML") from None


def _default_name(path: Path) -> str:
    parts = path.absolute().with_suffix("").parts
    if "recipes" in parts[:-1]:
        start = len(parts) - parts[::-1].index("recipes")
        return "/".join(parts[start:])
    return parts[-1]


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} → {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
