"""ADPF's AttentionNet: ages from n ranked attention maps (section III.A of the ADPF paper).

"Improving Face-Based Age Estimation With Attention-Based Dynamic Patch Fusion", TIP 2022. By
estimating ages from n attention maps, the network learns which areas are important; its scales a_n
rank the maps. Names are the paper's: X, a_n, HA_n. The paper leaves open, and is chosen here: every
layer outside the attention, which are a ResNet-18's, fewer and at higher resolution.

`AttentionNet` is the paper's. `PoolingAttentionNet` departs from it, because there the sign of a
map and the size of a scale have no meaning: the FC can undo both.
"""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.layers import (
    RankingGuidedMultiHeadHybridAttention,
    RegionalAttention,
    attention_boxes,
    patch_boxes,
)
from wrinkle.models.backbones.resnet import BasicBlock, convolution, make_layer, stem
from wrinkle.models.base import AgeModel, Extras, Output, initialise
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

MAX_AGE = 100
Attention = Literal["hybrid", "self"]
Form = Literal["literal", "pooling"]
HIDDEN = 320
"""Features from which a PoolingAttentionNet's head estimates the age."""
WINDOWS = (1 / 16, 1 / 8)
"""Initial windows of a PoolingAttentionNet's heads in turn; see `HybridAttention`."""


class AttentionNet(AgeModel):
    """Trunk → X → RMHHA → the weighted maps, concatenated → FC.

    See `adpf_attention` for the arguments.

    Raises:
        WrinkleError: no width, heads or channels, or a face_size that is not a multiple of the
            stride or does not divide input_size.
    """

    extra_names: ClassVar = ("maps",)
    windows: ClassVar[tuple[float, ...]] = (1 / 16,)

    def __init__(
        self,
        input_size: int,
        width: int,
        channels: int,
        heads: int,
        stride: int,
        attention: Attention,
        head: HeadChoice,
        face_size: int | None = None,
    ) -> None:
        super().__init__(MAX_AGE, input_size)
        self.face_size = check_face_size(face_size, input_size)
        if self.face_size % stride:
            name = "input_size" if face_size is None else "face_size"
            raise WrinkleError(f"{name} is {self.face_size}; it must be a multiple of {stride}")
        w, side = width, self.face_size // stride
        self.conv1, self.bn1, self.relu, self.maxpool = stem(w)
        self.layer1 = make_layer(BasicBlock, w, w, 2, stride=1)
        self.layer2 = make_layer(BasicBlock, w, 2 * w, 2, stride=stride // 4)
        self.layer3 = make_layer(BasicBlock, 2 * w, 4 * w, 2, stride=1)
        self.conv2 = nn.Conv2d(4 * w, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.rmhha = RankingGuidedMultiHeadHybridAttention(
            channels, heads, (side, side), attention == "hybrid", self.windows
        )
        self.create_readout(head, -(-channels // heads), heads, side)
        for part in (self.conv1, self.layer1, self.layer2, self.layer3, self.conv2, self.head):
            initialise(part)
        # Zero padding would make the border visible to the attention maps.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = "replicate"

    def create_readout(self, head: HeadChoice, width: int, heads: int, side: int) -> None:
        """Create the layers from the maps to the age.

        Args:
            head: name of the head, or a mapping of its name and fields.
            width: number of channels of an attention head.
            heads: n.
            side: of the maps.
        """
        self.create_final_head(head, heads * side**2)

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → X (B, C, H, W).

        Raises:
            WrinkleError: images of another shape.
        """
        check_images(images, self.input_size)
        x = reduced(images, self.face_size)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        features: Tensor = self.relu(self.bn2(self.conv2(x)))
        return features

    def maps(self, images: Tensor) -> Tensor:
        """Compute the weighted maps HA_n · a_n.

        Args:
            images: (B, 3, S, S), normalised.

        Returns:
            (B, n, H, W), in the order of the heads; a side is that of the face over the stride.

        Raises:
            WrinkleError: images of another shape.
        """
        maps: Tensor = self.rmhha(self.features(images))
        return maps

    def boxes(self, maps: Tensor) -> Tensor:
        """Maps (B, n, H, W) of `maps` → boxes (B, n, 4) in [−1, 1] of the areas they highlight."""
        return patch_boxes(maps, self.face_size)

    def scales(self) -> Tensor:
        """Return the scales a_n (n,), in the order of the heads."""
        return self.rmhha.scales

    def ranked_maps(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → M_1 … M_n (B, n, H, W): the weighted maps by falling scale a_n."""
        return self.maps(images)[:, self.rmhha.ranking()]

    def find_patches(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → boxes (B, n, 4) in [−1, 1] that the ranked maps select."""
        return self.boxes(self.ranked_maps(images))

    def ranked_scales(self) -> Tensor:
        """Return the scales a_n (n,), falling, on the CPU."""
        return self.scales().detach()[self.rmhha.ranking()].cpu()

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        """Compute the head's raw output.

        Args:
            images: (B, 3, S, S), normalised.
            key_points: not used.
            extras: not used.

        Returns:
            The raw output; `extra` has "maps" (B, n, H, W), the weighted maps.

        Raises:
            WrinkleError: images of another shape.
        """
        maps = self.maps(images)
        return Output(self.classify(maps.flatten(1)), extra={"maps": maps})


class PoolingAttentionNet(AttentionNet):
    """Trunk → X → attention maps, under which X is pooled → the sum of the weighted heads → FC.

    A position of X sees about half of the face only, so that what is pooled there lies there. Each
    map becomes attention within a region (`RegionalAttention`), under which the head's channels of
    X are pooled. A linear layer per head follows, then a batch norm without parameters: the heads'
    features have the same variance, so that their scales, which are positive and have a mean of 1,
    say how much each contributes to the sum.
    """

    windows = WINDOWS

    def create_readout(self, head: HeadChoice, width: int, heads: int, side: int) -> None:
        """Create the layers from the maps to the age; arguments as in `AttentionNet`."""
        for block in (self.layer2[1], *self.layer3):
            block.conv1, block.conv2 = (
                convolution(conv.in_channels, conv.out_channels, 1)
                for conv in (block.conv1, block.conv2)
            )
        self.regional = RegionalAttention(heads)
        self.pooled = nn.ModuleList(nn.Linear(width, HIDDEN) for _ in range(heads))
        self.norms = nn.ModuleList(nn.BatchNorm1d(HIDDEN, affine=False) for _ in range(heads))
        self.create_final_head(head, HIDDEN)

    def scales(self) -> Tensor:
        """Return the scales a_n (n,), which are positive and have a mean of 1."""
        return self.rmhha.scales.softmax(0) * len(self.rmhha.scales)

    def attend(self, x: Tensor) -> Tensor:
        """X (B, C, H, W) → M (B, n, H, W), positive, sums over positions are 1."""
        with torch.autocast(x.device.type, enabled=False):
            maps: Tensor = self.regional(self.rmhha.maps(exact(x)))
        return maps

    def maps(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → M (B, n, H, W) of each face and its mirror image, averaged.

        So a face and its mirror image have the same regions. Training uses the face's own maps.
        """
        both = self.attend(self.features(torch.cat([images, images.flip(-1)])))
        pairs: Tensor = both.unflatten(0, (2, -1))
        return (pairs[0] + pairs[1].flip(-1)) / 2

    def boxes(self, maps: Tensor) -> Tensor:
        """Maps (B, n, H, W) of `maps` → boxes (B, n, 4) in [−1, 1] that hold the attention."""
        return attention_boxes(maps)

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        """As `AttentionNet.forward`; "maps" are M of the faces, without their mirror images."""
        x = self.features(images)
        maps = self.attend(x)
        pooled = [
            (exact(part) * own[:, None]).sum((2, 3))
            for part, own in zip(self.rmhha.parts(x), maps.unbind(1), strict=True)
        ]
        z = torch.stack(
            [
                a * norm(linear(each))
                for a, norm, linear, each in zip(
                    self.scales(), self.norms, self.pooled, pooled, strict=True
                )
            ]
        ).sum(0)
        return Output(self.classify(self.relu(z / len(pooled) ** 0.5)), extra={"maps": maps})


def exact(x: Tensor) -> Tensor:
    """Return a tensor in float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def check_images(images: Tensor, size: int) -> None:
    """Check the shape of images.

    Raises:
        WrinkleError: they are not (B, 3, size, size) with B ≥ 1.
    """
    if images.ndim != 4 or images.shape[1:] != (3, size, size) or not images.shape[0]:
        raise WrinkleError(
            f"this network takes images (B, 3, {size}, {size}), B ≥ 1, not {tuple(images.shape)}"
        )


def check_face_size(face_size: int | None, input_size: int) -> int:
    """Return the side in pixels to which faces are reduced.

    Args:
        face_size: None: `input_size`.
        input_size: side of the input.

    Raises:
        WrinkleError: the input is not a whole number of times as large.
    """
    if face_size is None:
        return input_size
    if face_size < 1 or input_size % face_size:
        raise WrinkleError(
            f"face_size is {face_size}; input_size, {input_size}, must be a multiple of it"
        )
    return face_size


def reduced(images: Tensor, size: int) -> Tensor:
    """Reduce images (B, 3, S, S) to (B, 3, size, size) by means over squares."""
    factor = images.shape[-1] // size
    return images if factor == 1 else F.avg_pool2d(images, factor)


def create_attention_net(form: Form, *args: Any, **fields: Any) -> AttentionNet:
    """Create an AttentionNet of a form; see `adpf_attention`."""
    classes = {"literal": AttentionNet, "pooling": PoolingAttentionNet}
    return classes[form](*args, **fields)


@register
def adpf_attention(
    input_size: int = 128,
    width: int = 64,
    channels: int = 500,
    heads: int = 5,
    stride: Literal[4, 8] = 4,
    attention: Attention = "hybrid",
    head: HeadChoice = "softmax",
    form: Form = "literal",
    face_size: int | None = None,
) -> AttentionNet:
    """ADPF's AttentionNet; ages 0–100.

    Args:
        input_size: side in pixels of the input.
        width: channels of the first layer.
        channels: of X, divided among the attention heads.
        heads: number of attention heads.
        stride: pixels of the face for each position of X.
        attention: "hybrid", or "self" without channel attention (Table VII).
        head: name of the head, or a mapping of its name and fields; "rectified" is Eq. 9.
        form: "literal", the paper's: the age is read from the maps; "pooling": from features that
            are pooled under the maps.
        face_size: side in pixels to which the input is reduced, a multiple of `stride` that divides
            `input_size`; None: not reduced.
    """
    return create_attention_net(
        form, input_size, width, channels, heads, stride, attention, head, face_size
    )
