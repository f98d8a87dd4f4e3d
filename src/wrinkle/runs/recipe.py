"""Recipes: model, data and training settings of a run, as YAML checked by a schema.

A recipe's header comment states what it trains, its command, its source and what the source leaves
open. Its fields are the classes below; each of them can be overridden as `section.field=value`.
`first` names the recipe of a first stage, which is trained before it, fold by fold. Sizes,
datasets, variants and a base are described in `wrinkle.runs.overlays`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from wrinkle.datasets.augment import Augment
from wrinkle.errors import WrinkleError
from wrinkle.losses import Loss
from wrinkle.models.registry import head_kind
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
from wrinkle.runs.sections import (
    Data,
    Input,
    Model,
    Optimizer,
    Schedule,
    Term,
    Training,
    joined_name,
)
from wrinkle.settings import Part, explain


class Recipe(Part):
    """A recipe."""

    INERT: ClassVar = ("training.workers", "training.checkpoint_every_steps")
    """Fields that do not affect the result: a run may be resumed with other values of these."""
    SHARED: ClassVar = ("data.", "input.", "training.seed=", "training.workers=")
    """Overrides that the first stage gets too; `first.section.field=value` is for it only."""

    name: str = ""
    """Folder in `runs/`; by default the file's path below `recipes/` and the choices, such as
    adpf/utkface-small-no_ranking."""
    plugins: tuple[str, ...] = ()
    """Python files that register models, heads, losses, datasets or protocols, relative to the
    recipe. A run keeps a copy of each."""
    model: Model
    init: str = "none"
    """none, imagenet, a packaged model's name, a file of ImageNet weights or of a model, or a run's
    folder, of which each fold gets a model that knows no people or pictures of its test part. In a
    recipe file also {recipe, size, dataset, variant}: that recipe's run."""
    init_classifier: bool = True
    """Whether to load the heads from `init` too, if it has heads for the same ages."""
    teachers: tuple[str, ...] = ()
    """Packaged models or model files; the loss `distillation` learns the mean of their
    distributions, which are computed once for each training picture. In a recipe file also
    references, as for `init`."""
    first: "Recipe | None" = None
    """The first stage, whose network of the same fold becomes a part of this one."""
    data: Data
    input: Input = Input()
    augment: Augment = Augment()
    loss: Annotated[tuple[Term, ...], Field(min_length=1)] = (Term(name="dldl_v2"),)
    """Terms whose weighted sum is minimised."""
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    training: Training

    @field_validator("name")
    @classmethod
    def _name_is_below_runs(cls, name: str) -> str:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{name!r} is not a place below runs/")
        return name

    @model_validator(mode="after")
    def _loss_fits_the_head(self) -> Self:
        kind = head_kind(self.model.name, self.model.fields)
        if kind is not None:
            self.create_loss().check_kind(kind)
        return self

    @model_validator(mode="after")
    def _teachers_are_used(self) -> Self:
        if bool(self.teachers) != any(term.name == "distillation" for term in self.loss):
            raise ValueError("teachers and the loss distillation need each other: give both")
        return self

    def create_loss(self) -> Loss:
        """The loss of the recipe."""
        return Loss([{"name": t.name, "weight": t.weight, **t.fields} for t in self.loss])

    @model_validator(mode="after")
    def _stages_see_the_same(self) -> Self:
        for part in ("data", "input") if self.first is not None else ():
            own, other = (flatten(getattr(r, part).model_dump()) for r in (self, self.first))
            for field, value in own.items():
                if value != other[field]:
                    raise ValueError(
                        f"first: {part}.{field} is {other[field]!r} there, {value!r} here; both "
                        "stages need the same folds and the same input"
                    )
        return self

    def to_yaml(self) -> str:
        """Return the recipe as YAML, with every field."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def resolved(self) -> dict[str, Any]:
        """Return every field as {"section.field": value}; plug-ins by their SHA-256."""
        plugins = [entry["sha256"] for entry in plugin_entries(self.plugins)]
        return flatten({**self.model_dump(mode="json"), "plugins": plugins})


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Load a recipe.

    Args:
        path: a YAML file.
        overrides: choices such as `size=small`, and fields such as `training.epochs=2`.

    Returns:
        The recipe with the overrides applied.

    Raises:
        WrinkleError: the recipe is invalid; names the file, the field, its value and the choices.
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
    fields.setdefault("loss", [{"name": "dldl_v2"}])
    _from_earlier(fields)
    fields["name"] = run_name(path, fields.get("name"), chosen)
    for change in changes:
        if not change.startswith("first."):
            _override(fields, change)
    _load_plugins(fields.get("plugins") or [], path)
    if is_reference(fields.get("init")):
        fields["init"] = _model_of(*follow(fields["init"], path, chosen))
    if isinstance(fields.get("teachers"), list):
        fields["teachers"] = [
            _model_of(*follow(each, path, chosen)) if is_reference(each) else each
            for each in fields["teachers"]
        ]
    fields["first"] = _first(fields.get("first"), path, chosen, changes)
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise WrinkleError(f"{path}: {explain(error, Recipe)}") from None
    except WrinkleError as error:
        raise WrinkleError(f"{path}: {error}") from None


def _from_earlier(fields: dict[str, Any]) -> None:
    """Convert the loss and head of a recipe of version 0.1, as run folders keep them, in place."""
    loss, model = fields.get("loss"), fields.get("model")
    if isinstance(loss, dict) and loss.get("name") in ("distribution", "attention_net"):
        terms = [{"name": "dldl_v2", "sigma": loss.get("sigma", 2.0)}]
        if loss["name"] == "attention_net":
            weight, form = loss.get("diversity_weight", 0.01), loss.get("diversity", "literal")
            terms.append({"name": "diversity", "form": form, "weight": weight})
        fields["loss"] = terms
    elif isinstance(loss, dict) and loss.get("name") in ("cross_entropy", "dhaa"):
        fields["loss"] = [{"name": "cross_entropy"}]
    if isinstance(model, dict) and model.get("distribution") in ("softmax", "rectified"):
        fields["model"] = {n: v for n, v in model.items() if n != "distribution"}
        fields["model"]["head"] = model["distribution"]


def _load_plugins(files: object, path: Path) -> None:
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise WrinkleError(f"{path}: plugins is {files!r}: give a list of Python files")
    names = [Path(file).name for file in files]
    if len(set(names)) < len(names):
        raise WrinkleError(f"{path}: two plug-ins have the same file name: rename one")
    load_plugins(files)


def _first(first: Any, path: Path, chosen: Mapping[str, str | None], changes: list[str]) -> Any:
    """A recipe's first stage with the overrides that apply to it; a reference is loaded."""
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
    """The model file of a recipe's run; unless its one fold has the protocol's name, its folder."""
    fields = overlaid(read_recipe(path), chosen)
    run = f"runs/{run_name(path, fields.get('name'), chosen)}"
    try:
        data = fields["data"]
        stores = [each["store"] for each in data.get("stores") or ()]
        protocol = None if stores else get_protocol(data["protocol"])
    except (AttributeError, KeyError, TypeError):
        raise WrinkleError(f"{path}: field data.protocol is missing") from None
    if protocol is None:
        return f"{run}/{joined_name(stores)}/{MODEL_FILE}"
    return f"{run}/{protocol.name}/{MODEL_FILE}" if [*protocol.sizes] == [protocol.name] else run


def _override(content: Any, override: str) -> None:
    """Set one field; in the list of losses a term is found by name: `loss.dldl_v2.sigma=3`."""
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
    """Flatten nested mappings: {"a": {"b": 1}} → {"a.b": 1}.

    Args:
        content: the nested mapping.
        prefix: of all keys.
    """
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
