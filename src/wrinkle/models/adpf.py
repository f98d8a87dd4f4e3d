"""ADPF: "Improving Face-Based Age Estimation With Attention-Based Dynamic Patch Fusion", TIP 2022.

Two networks: AttentionNet (`wrinkle.models.attention_net`) ranks attention maps, and FusionNet is
trained with AttentionNet frozen. FusionNet's inputs are the face and the patches P_1 … P_n that the
ranked maps select; the most important patch passes through the most layers. Names are the paper's:
`blocks` are the yellow blocks of its Figure 2, `patch_blocks` the red ones. The paper leaves open,
and is chosen here: FusionNet's layers, which are a ResNet-18's, fewer and at higher resolution, and
the patches' size.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.layers import crop_patches, patch_boxes, patch_maps
from wrinkle.models.attention_net import MAX_AGE, Attention, AttentionNet, check_images
from wrinkle.models.backbones.resnet import BasicBlock, check_width
from wrinkle.models.base import AgeModel, Extras, Output, initialise
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

PATCH_WEIGHT_SCALE = 0.1
"""Initial scale of weights on patch features, relative to those on the face's features."""


class FusionNet(AgeModel):
    """Fusion of a face and its patches; a subclass finds the patches.

    Before each block a patch's features are concatenated to the face's (Eq. 8), so that P_1 passes
    through all blocks and P_n through the last one only.

    Args:
        input_size: side in pixels of the input, at least 32.
        width: channels of the first layer.
        patches: n, at least 1.
        patch_size: side in pixels to which every patch is resized, at least 32.
        head: name of the head, or a mapping of its name and fields.

    Raises:
        WrinkleError: an argument is too small.
    """

    bf16_parts: ClassVar = ("blocks", "patch_blocks")

    def __init__(
        self, input_size: int, width: int, patches: int, patch_size: int, head: HeadChoice
    ) -> None:
        super().__init__(MAX_AGE, input_size)
        check_width(width)
        if patches < 1:
            raise WrinkleError(f"{patches} patches; FusionNet needs at least 1")
        if min(input_size, patch_size) < 32:
            raise WrinkleError(
                f"input_size is {input_size} and patch_size {patch_size}; at least 32 pixels each"
            )
        self.patches, self.patch_size = patches, patch_size
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        # The resolution is halved three times, evenly over the blocks; each doubles the channels.
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
        self.scale_patch_weights()

    @torch.no_grad()
    def scale_patch_weights(self) -> None:
        """Multiply the blocks' weights on patch features by `PATCH_WEIGHT_SCALE`, in place.

        Otherwise half of each block's input is noise in the beginning, and little information of
        the face reaches the last block.
        """
        for block in self.blocks:
            for name, weight in block.named_parameters():
                if name in ("conv1.weight", "downsample.0.weight"):
                    weight[:, weight.shape[1] // 2 :] *= PATCH_WEIGHT_SCALE

    def find_patches(self, images: Tensor) -> Tensor:
        """Find the patches P_1 … P_n.

        Args:
            images: (B, 3, S, S), normalised.

        Returns:
            (B, n, 4): x1, y1, x2, y2 in [−1, 1].
        """
        raise NotImplementedError

    def ranked_maps(self, images: Tensor) -> Tensor | None:
        """Images (B, 3, S, S) → attention maps (B, n, H, W) in the patches' order; None without."""
        return None

    def ranked_scales(self) -> Tensor | None:
        """Return the scales (n,) of `ranked_maps`; None without maps."""
        return None

    def row_extras(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, S, S) → {"boxes": (B, n, 4)}, which training does not change."""
        return {"boxes": self.find_patches(images)}

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        """Compute the head's raw output.

        Args:
            images: (B, 3, S, S), normalised.
            key_points: not used.
            extras: results of `row_extras`; None: the patches are found in the images.

        Returns:
            The raw output.

        Raises:
            WrinkleError: images of another shape.
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
    """FusionNet over the patches of a frozen AttentionNet.

    Args:
        attention: the AttentionNet.
        ranking: whether its scales order the patches (Table VII).
        fusion: further arguments of `FusionNet`.
    """

    first_stage: ClassVar = "adpf_attention"

    def __init__(self, attention: AttentionNet, ranking: bool, **fusion: Any) -> None:
        heads = len(attention.rmhha.heads)
        super().__init__(attention.input_size, patches=heads, **fusion)
        self.ranking = ranking
        self.attention = attention.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "ADPF":
        """Set the mode of FusionNet; AttentionNet stays in evaluation mode."""
        super().train(mode)
        self.attention.eval()
        return self

    @torch.no_grad()
    def find_patches(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → boxes (B, n, 4) in [−1, 1] that the ranked maps select."""
        return patch_boxes(self.ranked_maps(images), images.shape[-1])

    @torch.no_grad()
    def ranked_maps(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → M_1 … M_n (B, n, H, W): the weighted maps by falling scale a_n, or
        in the order of the heads without ranking."""
        with torch.autocast(images.device.type, enabled=False):
            maps = self.attention.maps(images)
        return maps[:, self.attention.rmhha.ranking()] if self.ranking else maps

    def ranked_scales(self) -> Tensor:
        """Return the scales a_n (n,) in the order of `ranked_maps`, on the CPU."""
        scales: Tensor = self.attention.rmhha.scales.detach().cpu()
        return scales[self.attention.rmhha.ranking().cpu()] if self.ranking else scales

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert an AttentionNet's state dict; FusionNet keeps its weights.

        Args:
            given: state dict of an AttentionNet, or of ADPF.

        Returns:
            ADPF's state dict; another network's state dict unchanged.
        """
        if "rmhha.scales" not in given:
            return dict(given)
        own = self.state_dict()
        inside = {f"attention.{name}": tensor for name, tensor in given.items()}
        # Patches do not depend on AttentionNet's head, which may be of any kind there.
        head = "attention.head."
        fits = all(n in own and own[n].shape == t.shape for n, t in inside.items() if head in n)
        return own | {n: t for n, t in inside.items() if fits or not n.startswith(head)}


def patch_block(width: int, channels: int, stride: int) -> nn.Sequential:
    """Return the layers of one patch: a 7×7 convolution and a residual block.

    Args:
        width: channels of the convolution.
        channels: of the output.
        stride: of the residual block.
    """
    return nn.Sequential(
        nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        BasicBlock(width, channels, stride),
    )


def moved(patches: Tensor, motion: Tensor) -> Tensor:
    """Compose the maps of patches with the motion of a view.

    Args:
        patches: (B, n, 2, 3), from patches to a view.
        motion: (B, 2, 3), from that view to the images.

    Returns:
        (B, n, 2, 3), from patches to the images.
    """
    linear, shift = motion[:, None, :, :2], motion[:, None, :, 2:]
    with torch.autocast(patches.device.type, enabled=False):
        placed = linear @ patches
    return torch.cat([placed[..., :2], placed[..., 2:] + shift], -1)


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

    Training starts from the model file of an `adpf_attention` with the same arguments.

    Args:
        input_size: side in pixels of the input, a multiple of `stride`.
        width: channels of the first layer of both networks.
        channels: of X, divided among the attention heads.
        heads: number of attention heads, and of patches.
        stride: pixels of the input for each position of X.
        attention: "hybrid", or "self" without channel attention (Table VII).
        patch_size: side in pixels to which every patch is resized.
        ranking: whether the scales order the patches (Table VII).
        head: FusionNet's head: a name, or a mapping of its name and fields.
    """
    net = AttentionNet(input_size, width, channels, heads, stride, attention, "softmax")
    return ADPF(net, ranking, width=width, patch_size=patch_size, head=head)
