"""ADPF: "Improving Face-Based Age Estimation With Attention-Based Dynamic Patch Fusion", TIP 2022.

Two networks. AttentionNet estimates ages from n attention maps and by that learns where to look;
its scales a_n rank the maps. FusionNet is trained with AttentionNet frozen: it sees the face and
the patches P_1 … P_n that the ranked maps cut out of it, the most important one on the longest
path. Names are the paper's: X, a_n, HA_n, P_n; `blocks` are the yellow ones of its Figure 2,
`patch_blocks` the red ones. What the paper leaves open and is chosen here: every layer outside the
attention (those of a ResNet-18, fewer and at higher resolution) and the patches' size.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.layers import (
    RankingGuidedMultiHeadHybridAttention,
    crop_patches,
    patch_boxes,
    patch_maps,
)
from wrinkle.models.backbones.resnet import BasicBlock, check_width, make_layer
from wrinkle.models.base import AgeModel, Extras, Output, initialise
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

MAX_AGE = 100
Attention = Literal["hybrid", "self"]
QUIET = 0.1
"""Share of a face's weight that a patch's has at the start."""


class AttentionNet(AgeModel):
    """Trunk → X → RMHHA → the weighted maps, concatenated → FC; see `adpf_attention`.

    WrinkleError for no width, heads or channels, and an input_size that the stride does not divide.
    """

    extra_names: ClassVar = ("maps",)

    def __init__(
        self,
        input_size: int,
        width: int,
        channels: int,
        heads: int,
        stride: int,
        attention: Attention,
        head: HeadChoice,
    ) -> None:
        super().__init__(MAX_AGE, input_size)
        check_width(width)
        if input_size % stride:
            raise WrinkleError(f"input_size is {input_size}; it must be a multiple of {stride}")
        w, side = width, input_size // stride
        self.conv1 = nn.Conv2d(3, w, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = make_layer(BasicBlock, w, w, 2, stride=1)
        self.layer2 = make_layer(BasicBlock, w, 2 * w, 2, stride=stride // 4)
        self.layer3 = make_layer(BasicBlock, 2 * w, 4 * w, 2, stride=1)
        self.conv2 = nn.Conv2d(4 * w, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.rmhha = RankingGuidedMultiHeadHybridAttention(
            channels, heads, (side, side), channel_attention=attention == "hybrid"
        )
        self.create_final_head(head, heads * side**2)
        for part in (self.conv1, self.layer1, self.layer2, self.layer3, self.conv2, self.head):
            initialise(part)
        # Maps that say where to look must not see the frame, which padding with zeros draws.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = "replicate"

    def maps(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) → weighted maps HA_n · a_n (B, n, S / stride, S / stride), in the
        order of the heads."""
        check_images(images, self.input_size)
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer3(self.layer2(self.layer1(x)))
        maps: Tensor = self.rmhha(self.relu(self.bn2(self.conv2(x))))
        return maps

    def ranked_maps(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → M_1 … M_n (B, n, H, W): the weighted maps by falling scale a_n."""
        return self.maps(images)[:, self.rmhha.ranking()]

    def find_patches(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → boxes (B, n, 4) in [−1, 1] that the ranked maps would cut out."""
        return patch_boxes(self.ranked_maps(images), images.shape[-1])

    def ranked_scales(self) -> Tensor:
        """The scales a_n (n,), falling."""
        return self.rmhha.scales.detach()[self.rmhha.ranking()].cpu()

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        """Images (B, 3, S, S) → the head's raw output; no key points.

        `extra`: "maps" (B, n, H, W), the weighted maps.
        """
        maps = self.maps(images)
        return Output(self.classify(maps.flatten(1)), extra={"maps": maps})


class FusionNet(AgeModel):
    """The face's stream, which takes a patch's features up before each of its blocks (Eq. 8), so
    that P_1 passes through all of them and P_n through the last; a subclass finds the patches.

    WrinkleError for no width or patches, an input_size or patch_size below 32.
    """

    bf16_parts: ClassVar = ("blocks", "patch_blocks")

    def __init__(
        self, input_size: int, width: int, patches: int, patch_size: int, head: HeadChoice
    ) -> None:
        super().__init__(MAX_AGE, input_size)
        check_width(width)
        if patches < 1:
            raise WrinkleError(f"{patches} patches; FusionNet fuses at least 1")
        if min(input_size, patch_size) < 32:
            raise WrinkleError(
                f"input_size is {input_size} and patch_size {patch_size}; at least 32 pixels each"
            )
        self.patches, self.patch_size = patches, patch_size
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        # Three halvings of the resolution, spread over the blocks; each doubles the channels.
        halvings = [3 * k // patches for k in range(patches + 1)]
        strides = [1 + (h < h_next) for h, h_next in pairwise(halvings)]
        c = [width * 2**h for h in halvings]
        self.blocks = nn.ModuleList(
            BasicBlock(2 * c[k], c[k + 1], stride) for k, stride in enumerate(strides)
        )
        self.patch_blocks = nn.ModuleList(
            patch_block(width, channels, stride=2 if channels > width else 1) for channels in c[:-1]
        )
        side = -(-input_size // (4 * math.prod(strides)))
        self.create_final_head(head, c[-1] * side**2)
        initialise(self)
        self.quiet_patches()

    @torch.no_grad()
    def quiet_patches(self) -> None:
        """Let patches say little at first: else half of what each block reads is noise to it, and
        of the face little reaches the last one."""
        for block in self.blocks:
            for name, weight in block.named_parameters():
                if name in ("conv1.weight", "downsample.0.weight"):
                    weight[:, weight.shape[1] // 2 :] *= QUIET

    def find_patches(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → boxes of P_1 … P_n (B, n, 4): x1, y1, x2, y2 in [−1, 1]."""
        raise NotImplementedError

    def ranked_maps(self, images: Tensor) -> Tensor | None:
        """The attention maps behind the patches, in their order; none where patches are fixed."""
        return None

    def ranked_scales(self) -> Tensor | None:
        """The scales of the attention maps, in their order."""
        return None

    def row_extras(self, images: Tensor) -> dict[str, Tensor]:
        """ "boxes": `find_patches`, which does not change during training."""
        return {"boxes": self.find_patches(images)}

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        """Images (B, 3, S, S) → the head's raw output; no key points.

        Args:
            extras: `row_extras`, where they are known; else the patches are found in the images.
        """
        check_images(images, self.input_size)
        if extras is None:
            patches = patch_maps(self.find_patches(images))
        else:
            patches = moved(patch_maps(extras.values["boxes"]), extras.motion)
        cropped = crop_patches(images, patches, self.patch_size)
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for k, (block, patch_block) in enumerate(zip(self.blocks, self.patch_blocks, strict=True)):
            p = patch_block(cropped[:, k])
            p = F.adaptive_avg_pool2d(p, x.shape[-2:])
            x = block(torch.cat([x, p], 1))
        return Output(self.classify(x.flatten(1)))


class ADPF(FusionNet):
    """FusionNet over the patches of a frozen AttentionNet; see `adpf`."""

    first_stage: ClassVar = "adpf_attention"

    def __init__(self, attention: AttentionNet, ranking: bool, **fusion: Any) -> None:
        heads = len(attention.rmhha.heads)
        super().__init__(attention.input_size, patches=heads, **fusion)
        self.ranking = ranking
        self.attention = attention.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "ADPF":
        super().train(mode)
        self.attention.eval()
        return self

    @torch.no_grad()
    def find_patches(self, images: Tensor) -> Tensor:
        return patch_boxes(self.ranked_maps(images), images.shape[-1])

    @torch.no_grad()
    def ranked_maps(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) → M_1 … M_n (B, n, H, W): the maps by falling scale a_n, or in the
        order of the heads without ranking."""
        with torch.autocast(images.device.type, enabled=False):
            maps = self.attention.maps(images)
        return maps[:, self.attention.rmhha.ranking()] if self.ranking else maps

    def ranked_scales(self) -> Tensor:
        scales: Tensor = self.attention.rmhha.scales.detach().cpu()
        return scales[self.attention.rmhha.ranking().cpu()] if self.ranking else scales

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """An AttentionNet's checkpoint is put in its place, FusionNet stays as it is."""
        if "rmhha.scales" not in given:
            return dict(given)
        return {**self.state_dict(), **{f"attention.{name}": t for name, t in given.items()}}


def patch_block(width: int, channels: int, stride: int) -> nn.Sequential:
    """What a patch passes through before it joins the face: a 7×7 convolution, a residual block."""
    return nn.Sequential(
        nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        BasicBlock(width, channels, stride),
    )


def moved(patches: Tensor, motion: Tensor) -> Tensor:
    """Maps (B, n, 2, 3) from patches to a view, and (B, 2, 3) from that view to the images → maps
    (B, n, 2, 3) from patches to the images."""
    linear, shift = motion[:, None, :, :2], motion[:, None, :, 2:]
    with torch.autocast(patches.device.type, enabled=False):
        placed = linear @ patches
    return torch.cat([placed[..., :2], placed[..., 2:] + shift], -1)


def check_images(images: Tensor, size: int) -> None:
    if images.ndim != 4 or images.shape[1:] != (3, size, size) or not len(images):
        raise WrinkleError(
            f"this network takes images (B, 3, {size}, {size}), B ≥ 1, not {tuple(images.shape)}"
        )


@register
def adpf_attention(
    input_size: int = 128,
    width: int = 64,
    channels: int = 500,
    heads: int = 5,
    stride: Literal[4, 8] = 4,
    attention: Attention = "hybrid",
    head: HeadChoice = "softmax",
) -> AttentionNet:
    """ADPF's AttentionNet; ages 0–100.

    Args:
        width: channels of the first layer.
        channels: of X, divided among the attention heads.
        heads: attention heads.
        stride: pixels of the input to a position of X.
        attention: "hybrid", or "self" without channel attention (Table VII).
        head: "softmax", or "rectified" as Eq. 9 has it; any head.
    """
    return AttentionNet(input_size, width, channels, heads, stride, attention, head)


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
) -> ADPF:
    """The complete ADPF: 13 M parameters; ages 0–100.

    Args:
        patch_size: side in pixels to which every patch is resized.
        ranking: whether the scales order the patches (Table VII).
        head: FusionNet's.

    The rest as `adpf_attention`, whose model file of the same fields is the start.
    """
    net = AttentionNet(input_size, width, channels, heads, stride, attention, "softmax")
    return ADPF(net, ranking, width=width, patch_size=patch_size, head=head)
