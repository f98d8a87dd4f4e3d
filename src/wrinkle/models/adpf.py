"""ADPF: "Improving Face-Based Age Estimation With Attention-Based Dynamic Patch Fusion", TIP 2022.

Two networks: AttentionNet (`wrinkle.models.attention_net`) ranks attention maps, and FusionNet
(`wrinkle.models.fusion_net`) is trained with AttentionNet frozen. FusionNet's inputs are the face
and the patches P_1 … P_n that the ranked maps select; the most important patch passes through the
most layers.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from wrinkle.models.attention_net import Attention, AttentionNet, Form, create_attention_net
from wrinkle.models.fusion_blocks import MainPath
from wrinkle.models.fusion_net import FusionNet
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

Places = Literal["attention", "fixed", "random", "none"]


class ADPF(FusionNet):
    """FusionNet over the patches of a frozen AttentionNet.

    Args:
        attention: the AttentionNet.
        ranking: whether its scales order the patches (Table VII).
        places: where the patches are; see `adpf`.
        fusion: further arguments of `FusionNet`.
    """

    first_stage: ClassVar = "adpf_attention"

    mean_boxes: Tensor
    """(n, 4) in [−1, 1], if the patches are fixed; the full picture until they are found."""

    def __init__(
        self, attention: AttentionNet, ranking: bool, places: Places, **fusion: Any
    ) -> None:
        heads = len(attention.rmhha.heads)
        super().__init__(
            attention.input_size, patches=heads, use_patches=places != "none", **fusion
        )
        self.ranking, self.places = ranking, places
        self.attention = attention.requires_grad_(False).eval()
        if places == "fixed":
            full_picture = torch.tensor([-1.0, -1.0, 1.0, 1.0])
            self.register_buffer("mean_boxes", full_picture.repeat(heads, 1))

    def train(self, mode: bool = True) -> "ADPF":
        """Set the mode of FusionNet; AttentionNet stays in evaluation mode."""
        super().train(mode)
        self.attention.eval()
        return self

    @torch.no_grad()
    def before_training(self, views: Iterable[Tensor], ages: Tensor) -> None:
        """Find the mean box of each head over the training faces, if the patches are fixed.

        Args:
            views: batches (B, 3, S, S) in [0, 1] of the training faces.
            ages: not used.
        """
        if self.places == "fixed":
            mean, std = (self.ages.new_tensor(v).view(3, 1, 1) for v in (self.mean, self.std))
            found = [self.selected_boxes((each - mean) / std) for each in views]
            self.mean_boxes.copy_(torch.cat(found).mean(0))

    @torch.no_grad()
    def find_patches(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → boxes (B, n, 4) in [−1, 1] of P_1 … P_n."""
        if self.places == "fixed":
            return self.mean_boxes.expand(images.shape[0], -1, -1)
        boxes = self.selected_boxes(images)
        return scattered(boxes, images) if self.places == "random" else boxes

    def selected_boxes(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → boxes (B, n, 4) in [−1, 1] that the ranked maps select."""
        return self.attention.boxes(self.ranked_maps(images))

    @torch.no_grad()
    def ranked_maps(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → M_1 … M_n (B, n, H, W): the weighted maps by falling scale a_n, or
        in the order of the heads without ranking."""
        with torch.autocast(images.device.type, enabled=False):
            maps = self.attention.maps(images)
        return maps[:, self.attention.rmhha.ranking()] if self.ranking else maps

    def ranked_scales(self) -> Tensor:
        """Return the scales a_n (n,) in the order of `ranked_maps`, on the CPU."""
        scales: Tensor = self.attention.scales().detach().cpu()
        return scales[self.attention.rmhha.ranking().cpu()] if self.ranking else scales

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert an AttentionNet's or a ResNet-18's state dict; other parts keep their weights.

        Args:
            given: state dict of an AttentionNet, of a ResNet-18 for FusionNet with that main path,
                or of ADPF.

        Returns:
            ADPF's state dict; another network's state dict unchanged.
        """
        if "rmhha.scales" not in given:
            return super().starting_state(given)
        own = self.state_dict()
        inside = {f"attention.{name}": tensor for name, tensor in given.items()}
        # Patches do not depend on AttentionNet's head, which may be of any kind there.
        head = "attention.head."
        fits = all(n in own and own[n].shape == t.shape for n, t in inside.items() if head in n)
        return own | {n: t for n, t in inside.items() if fits or not n.startswith(head)}


def scattered(boxes: Tensor, images: Tensor) -> Tensor:
    """Move boxes to places that seem random, but are the same whenever the image is.

    Args:
        boxes: (B, n, 4) in [−1, 1].
        images: (B, 3, S, S), whose means decide.

    Returns:
        (B, n, 4), of the same sizes, inside the image.
    """
    sides = boxes[..., 2:] - boxes[..., :2]
    steps = torch.arange(1, sides[0].numel() + 1, device=boxes.device).view(sides.shape[1:])
    shares = (1e4 * images.float().mean((1, 2, 3))[:, None, None] + 0.618034 * steps) % 1
    first = shares * (2 - sides) - 1
    return torch.cat([first, first + sides], -1)


@register
def adpf(
    input_size: int = 128,
    width: int = 64,
    channels: int = 500,
    heads: int = 5,
    stride: Literal[4, 8] = 4,
    attention: Attention = "hybrid",
    patch_size: int = 64,
    ranking: bool = True,
    head: HeadChoice = "softmax",
    form: Form = "literal",
    face_size: int | None = None,
    places: Places = "attention",
    patch_jitter: float = 0.0,
    patch_dropout: float = 0.0,
    main_path: MainPath = "short",
) -> ADPF:
    """The complete ADPF: 13 M parameters; ages 0–100.

    Training starts from the model file of an `adpf_attention` with the same arguments.

    Args:
        input_size: side in pixels of the input.
        width: channels of the first layer of both networks.
        channels: of X, divided among the attention heads.
        heads: number of attention heads, and of patches.
        stride: pixels of the face for each position of X.
        attention: "hybrid", or "self" without channel attention (Table VII).
        patch_size: side in pixels to which every patch is resized.
        ranking: whether the scales order the patches (Table VII).
        head: FusionNet's head: a name, or a mapping of its name and fields.
        form: of AttentionNet; see `adpf_attention`.
        face_size: side in pixels to which the face is reduced, a multiple of `stride` that divides
            `input_size`, while patches are cut out of the input; None: not reduced.
        places: where the patches are: where the "attention" is; "fixed" at each head's mean box
            over the training faces; "random" places for boxes of the same size; "none": no patches.
        patch_jitter: in training, patches are moved by up to this share of their sides, and their
            sides are changed by up to it; in [0, 1).
        patch_dropout: in training, probability that a patch's features are zero; in [0, 1).
        main_path: FusionNet's layers: n "short" blocks, or those of a "resnet18", whose weights it
            can start from; see `FusionNet`.
    """
    net = create_attention_net(
        form, input_size, width, channels, heads, stride, attention, "softmax", face_size
    )
    return ADPF(
        net,
        ranking,
        places,
        width=width,
        patch_size=patch_size,
        head=head,
        face_size=face_size,
        patch_jitter=patch_jitter,
        patch_dropout=patch_dropout,
        main_path=main_path,
    )
