"""ADPF's AttentionNet: ages from n ranked attention maps (section III.A of the ADPF paper).

"Improving Face-Based Age Estimation With Attention-Based Dynamic Patch Fusion", TIP 2022. By
estimating ages from n attention maps, the network learns which areas are important; its scales a_n
rank the maps. Names are the paper's: X, a_n, HA_n. The paper leaves open, and is chosen here: every
layer outside the attention, which are a ResNet-18's, fewer and at higher resolution.
"""

from typing import ClassVar, Literal

from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.layers import RankingGuidedMultiHeadHybridAttention, patch_boxes
from wrinkle.models.backbones.resnet import BasicBlock, check_width, make_layer
from wrinkle.models.base import AgeModel, Extras, Output, initialise
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

MAX_AGE = 100
Attention = Literal["hybrid", "self"]


class AttentionNet(AgeModel):
    """Trunk → X → RMHHA → the weighted maps, concatenated → FC.

    See `adpf_attention` for the arguments.

    Raises:
        WrinkleError: no width, heads or channels, or an input_size that is not a multiple of the
            stride.
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
        # Zero padding would make the border visible to the attention maps.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = "replicate"

    def maps(self, images: Tensor) -> Tensor:
        """Compute the weighted maps HA_n · a_n.

        Args:
            images: (B, 3, S, S), normalised.

        Returns:
            (B, n, S / stride, S / stride), in the order of the heads.

        Raises:
            WrinkleError: images of another shape.
        """
        check_images(images, self.input_size)
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer3(self.layer2(self.layer1(x)))
        maps: Tensor = self.rmhha(self.relu(self.bn2(self.conv2(x))))
        return maps

    def ranked_maps(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → M_1 … M_n (B, n, H, W): the weighted maps by falling scale a_n."""
        return self.maps(images)[:, self.rmhha.ranking()]

    def find_patches(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) → boxes (B, n, 4) in [−1, 1] that the ranked maps select."""
        return patch_boxes(self.ranked_maps(images), images.shape[-1])

    def ranked_scales(self) -> Tensor:
        """Return the scales a_n (n,), falling, on the CPU."""
        return self.rmhha.scales.detach()[self.rmhha.ranking()].cpu()

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


def check_images(images: Tensor, size: int) -> None:
    """Check the shape of images.

    Raises:
        WrinkleError: they are not (B, 3, size, size) with B ≥ 1.
    """
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
        input_size: side in pixels of the input, a multiple of `stride`.
        width: channels of the first layer.
        channels: of X, divided among the attention heads.
        heads: number of attention heads.
        stride: pixels of the input for each position of X.
        attention: "hybrid", or "self" without channel attention (Table VII).
        head: name of the head, or a mapping of its name and fields; "rectified" is Eq. 9.
    """
    return AttentionNet(input_size, width, channels, heads, stride, attention, head)
