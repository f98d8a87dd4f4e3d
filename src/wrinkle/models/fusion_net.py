"""ADPF's FusionNet: the age of a face and of its patches (section III.C of the ADPF paper).

"Improving Face-Based Age Estimation With Attention-Based Dynamic Patch Fusion", TIP 2022. `blocks`
are the yellow blocks of its Figure 2, `patch_blocks` the red ones. The paper leaves open, and is
chosen here: the layers, which are a ResNet-18's, fewer and at higher resolution, and the patches'
size.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.layers import crop_patches, patch_maps
from wrinkle.models.attention_net import MAX_AGE, check_face_size, check_images, reduced
from wrinkle.models.backbones.resnet import BasicBlock, check_width
from wrinkle.models.base import AgeModel, Extras, Output, initialise
from wrinkle.models.heads import HeadChoice

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
        face_size: side in pixels to which the face is reduced; patches are cut out of the input.
            None: the face is not reduced.
        use_patches: False leaves the patches out (Eq. 8 with I alone).
        patch_jitter: in training, patches are moved by up to this share of their sides, and their
            sides are changed by up to it; in [0, 1).
        patch_dropout: in training, probability that a patch's features are zero; in [0, 1).

    Raises:
        WrinkleError: an argument is too small, or the face cannot be reduced by a whole number.
    """

    bf16_parts = ("blocks", "patch_blocks")

    def __init__(
        self,
        input_size: int,
        width: int,
        patches: int,
        patch_size: int,
        head: HeadChoice,
        face_size: int | None = None,
        use_patches: bool = True,
        patch_jitter: float = 0.0,
        patch_dropout: float = 0.0,
    ) -> None:
        super().__init__(MAX_AGE, input_size)
        check_width(width)
        face_size = check_face_size(face_size, input_size)
        if not (0 <= patch_jitter < 1 and 0 <= patch_dropout < 1):
            raise WrinkleError(
                f"patch_jitter is {patch_jitter} and patch_dropout {patch_dropout}; both are at "
                "least 0 and below 1"
            )
        self.patch_jitter, self.patch_dropout = patch_jitter, patch_dropout
        if patches < 1:
            raise WrinkleError(f"{patches} patches; FusionNet needs at least 1")
        if min(face_size, patch_size) < 32:
            raise WrinkleError(
                f"input_size is {face_size} and patch_size {patch_size}; at least 32 pixels each"
            )
        self.patches, self.patch_size, self.face_size = patches, patch_size, face_size
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        # The resolution is halved three times, evenly over the blocks; each doubles the channels.
        halvings = [3 * k // patches for k in range(patches + 1)]
        strides = [1 + (h < h_next) for h, h_next in pairwise(halvings)]
        c = [width * 2**h for h in halvings]
        self.blocks = nn.ModuleList(
            BasicBlock(c[k] * (1 + use_patches), c[k + 1], stride)
            for k, stride in enumerate(strides)
        )
        self.patch_blocks = nn.ModuleList(
            patch_block(width, channels, stride=2 if channels > width else 1)
            for channels in c[:-1]
            if use_patches
        )
        side = -(-face_size // (4 * math.prod(strides)))
        self.create_final_head(head, c[-1] * side**2)
        initialise(self)
        if use_patches:
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
        """Images (B, 3, S, S) → {"boxes": (B, n, 4)}, which training does not change; empty without
        patches."""
        if not self.patch_blocks:
            return {}
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
        x = self.conv1(reduced(images, self.face_size))
        x = self.maxpool(self.relu(self.bn1(x)))
        cropped = self.crop(images, extras) if self.patch_blocks else None
        for k, block in enumerate(self.blocks):
            if cropped is not None:
                p = self.patch_blocks[k](cropped[:, k])
                p = (
                    F.dropout(p.new_ones(p.shape[0], 1, 1, 1), self.patch_dropout, self.training)
                    * p
                )
                x = torch.cat([x, F.adaptive_avg_pool2d(p, x.shape[-2:])], 1)
            x = block(x)
        return Output(self.classify(x.flatten(1)))

    def crop(self, images: Tensor, extras: Extras | None) -> Tensor:
        """Images and `extras` as in `forward` → patches (B, n, 3, patch_size, patch_size)."""
        if extras is None:
            patches = patch_maps(self.find_patches(images))
        else:
            patches = moved(patch_maps(extras.values["boxes"]), extras.motion)
        if self.training and self.patch_jitter:
            patches = jittered(patches, self.patch_jitter)
        return crop_patches(images, patches, self.patch_size)


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


def jittered(patches: Tensor, share: float) -> Tensor:
    """Move and scale patches at random.

    Args:
        patches: (B, n, 2, 3), from patches to the images.
        share: largest shift, and largest change of the scale, relative to the patch's side.

    Returns:
        (B, n, 2, 3).
    """
    x, y, size = (
        share * (2 * torch.rand(patches.shape[:2], device=patches.device) - 1) for _ in range(3)
    )
    zero, size = torch.zeros_like(size), 1 + size
    rows = [size, zero, 2 * x], [zero, size, 2 * y]
    return moved(
        torch.stack([torch.stack(row, -1) for row in rows], -2).flatten(0, 1)[:, None],
        patches.flatten(0, 1),
    ).view_as(patches)


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
