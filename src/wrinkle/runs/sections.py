"""The sections of a recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from wrinkle.datasets.augment import Strength
from wrinkle.errors import WrinkleError
from wrinkle.losses import LOSSES
from wrinkle.models.registry import check_model
from wrinkle.protocols import get_protocol
from wrinkle.settings import Count, NamedPart, NotNegative, Part, Positive, Probability


class Term(NamedPart):
    """A term of the loss; its other fields are those of the term (see `wrinkle.losses`)."""

    weight: NotNegative = 1.0

    @model_validator(mode="after")
    def _is_registered(self) -> Self:
        LOSSES.create(self.name, self.fields)
        return self


class Model(NamedPart):
    """A network; its other fields are those of the network (see `wrinkle models`)."""

    @model_validator(mode="after")
    def _is_registered(self) -> Self:
        if "input_size" in self.fields:
            raise WrinkleError("model.input_size is not used: set input.size")
        check_model(self.name, self.fields)
        return self


class Faces(Part):
    """One of several stores."""

    store: str
    """File made by `wrinkle prepare`."""
    protocol: str
    """A protocol's name and its integers, such as by-person:5."""
    fold: str | None = None
    """The protocol's fold that is used; None: its only one."""
    weight: Positive = 1.0
    """How often a training row of this store is drawn, relative to those of the others."""
    per_person: Count | None = None
    """Largest number of training rows of one person; None: all."""

    @model_validator(mode="after")
    def _protocol_is_registered(self) -> Self:
        get_protocol(self.protocol)
        return self


class Data(Part):
    """The faces, and how they are split: a store with its protocol, or several `stores`."""

    store: str = ""
    """File made by `wrinkle prepare`."""
    protocol: str = ""
    """A protocol's name and its integers, such as by-person:5."""
    stores: tuple[Faces, ...] = ()
    """Several stores instead of one: one fold, with the training, validation and test rows of all
    of them."""
    limit: Count | None = None
    """Largest number of rows in each part of a fold, for reduced runs; None: all."""

    @model_validator(mode="after")
    def _protocol_is_registered(self) -> Self:
        if self.stores and (self.store or self.protocol):
            raise ValueError("give store and protocol, or stores, not both")
        if not self.stores and not (self.store and self.protocol):
            raise ValueError("give store and protocol, or a list of stores")
        if not self.stores:
            get_protocol(self.protocol)
        names = [Path(each.store).stem for each in self.stores]
        if len(set(names)) < len(names):
            raise ValueError("stores: two have the same file name: rename one")
        return self

    @property
    def files(self) -> list[str]:
        """The store's file, or those of all stores."""
        return [each.store for each in self.stores] or [self.store]

    @property
    def split(self) -> str:
        """The protocol, or all of them, in words."""
        return " + ".join(each.protocol for each in self.stores) or self.protocol


class Input(Part):
    """The network's input."""

    size: Annotated[int, Field(ge=32, le=1024)] = 112
    """Side in pixels."""
    zoom: Positive = 1.0
    """Size of the face relative to the default view."""


class Optimizer(Part):
    """The optimizer."""

    name: Literal["sgd", "adamw"]
    lr: Positive
    """Full learning rate, which the schedule scales."""
    momentum: Strength = 0.9
    """Nesterov momentum of SGD; AdamW ignores it."""
    weight_decay: NotNegative = 0.0
    head_lr_factor: Positive = 1.0
    """Learning rate of the heads, relative to `lr`."""


class Schedule(Part):
    """The learning-rate schedule."""

    name: Literal["step", "cosine"] = "cosine"
    steps: tuple[Count, ...] = ()
    """Numbers of epochs after which the rate is multiplied by `factor` (schedule `step`)."""
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_epochs: NotNegative = 0.0
    """Length of the linear warm-up."""
    head_epochs: NotNegative = 0.0
    """Epochs at the start in which only the heads are trained; the warm-up comes after them."""

    @model_validator(mode="after")
    def _steps_belong_to_step(self) -> Self:
        if (self.name == "step") != bool(self.steps):
            raise ValueError("steps: list the epochs for schedule 'step', omit it for 'cosine'")
        return self


class Training(Part):
    """Settings of the training loop."""

    epochs: Count
    batch: Annotated[int, Field(ge=2)]
    """Pictures in a step, over all processes."""
    precision: Literal["float32", "bf16"] = "float32"
    clip: Positive | None = None
    """Largest norm of the gradient; None: not clipped."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the weights' moving average, which is then validated and saved; None: no average."""
    balance: Probability = 0.0
    """Exponent: a row is drawn with probability ∝ (1 / smoothed frequency of its age)^balance."""
    frozen: tuple[str, ...] = ()
    """Parts of the network that keep their starting weights and statistics, such as "conv1" or
    "blocks.0"."""
    validate_every: Count = 1
    """Epochs between validations."""
    choose: Literal["best", "last"] = "best"
    """The epoch whose model is saved: that of the lowest validation MAE, or the last."""
    checkpoint_every_steps: Count = 200
    workers: Annotated[int, Field(ge=0)] = 1
    """Processes that decode faces."""
    mirror_average: bool = True
    """In evaluation, average the prediction with that for the mirror image."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


def joined_name(stores: Sequence[str]) -> str:
    """The name of the only fold of several stores, from their files."""
    return "+".join(Path(store).stem for store in stores)
