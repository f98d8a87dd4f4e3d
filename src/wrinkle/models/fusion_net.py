"""ADPF's FusionNet: the age of a face and of its patches (section III.C of the ADPF paper).

"Improving Face-Based Age Estimation With Attention-Based Dynamic Patch Fusion", TIP 2022. `blocks`
are the yellow blocks of its Figure 2, `patch_blocks` the red ones. The paper leaves open, and is
chosen here: the layers, which are a ResNet-18's, fewer and at higher resolution, and the patches'
size.
"""

from collections.abc import Mapping
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.layers import crop_patches, patch_maps
from wrinkle.models.attention_net import MAX_AGE, check_face_size, check_images, reduced
from wrinkle.models.backbones.resnet import BasicBlock, stem
from wrinkle.models.backbones.trunk import widened
from wrinkle.models.base import AgeModel, Extras, Output, initialise
from wrinkle.models.fusion_blocks import JoinedBlock, MainPath, layout, patch_block
from wrinkle.models.heads import HeadChoice

PATCH_WEIGHT_SCALE = 0.1
"""Initial scale of weights on patch features, relative to those on the face's features."""


class FusionNet(AgeModel):
    """Fusion of a face and its patches; a subclass finds the patches.

    A patch's features are concatenated to the face's before a block (Eq. 8), so that P_1 passes
    through all blocks and P_n through the last ones only.

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
        main_path: "short": n blocks, a patch before each, and a head on all positions of the last;
            a patch passes through a convolution and a block first. "resnet18": the blocks of a
            ResNet-18, a patch before n of the eight, evenly, and a
            head on the mean over positions; a patch first passes through copies of the layers that
            the face passes through.

    Raises:
        WrinkleError: an argument is too small, the face cannot be reduced by a whole number, or
            there are more than eight patches for a ResNet-18.
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
        main_path: MainPath = "short",
    ) -> None:
        super().__init__(MAX_AGE, input_size)
        face_size = check_face_size(face_size, input_size)
        if not (0 <= patch_jitter < 1 and 0 <= patch_dropout < 1):
            raise WrinkleError(
                f"patch_jitter is {patch_jitter} and patch_dropout {patch_dropout}; both are at "
                "least 0 and below 1"
            )
        self.patch_jitter, self.patch_dropout = patch_jitter, patch_dropout
        if min(face_size, patch_size) < 32:
            raise WrinkleError(
                f"input_size is {face_size} and patch_size {patch_size}; at least 32 pixels each"
            )
        strides, joints = layout(main_path, patches)
        self.patches, self.patch_size, self.face_size = patches, patch_size, face_size
        self.main_path, self.joints = main_path, joints if use_patches else ()
        self.conv1, self.bn1, self.relu, self.maxpool = stem(width)
        c = list(accumulate(strides, int.__mul__, initial=width))
        if main_path == "short":
            self.create_short_path(width, strides, c)
            side = -(-face_size // (4 * c[-1] // width))
            features = c[-1] * side**2
        else:
            self.create_resnet18_path(width, strides, c)
            features = c[-1]
        self.create_final_head(head, features)
        initialise(self)
        if use_patches:
            self.scale_patch_weights()

    def create_short_path(self, width: int, strides: list[int], c: list[int]) -> None:
        """Create blocks on both features, and a convolution and a block for each patch.

        Args:
            width: channels after the first layers.
            strides: of the blocks.
            c: channels before each block, and after the last.
        """
        self.blocks = nn.ModuleList(
            BasicBlock(c[j] * (1 + (j in self.joints)), c[j + 1], stride)
            for j, stride in enumerate(strides)
        )
        self.patch_blocks = nn.ModuleList(
            patch_block(width, c[j], 2 if c[j] > width else 1) for j in self.joints
        )

    def create_resnet18_path(self, width: int, strides: list[int], c: list[int]) -> None:
        """Create ResNet-18's blocks, and for each patch the layers up to its own; arguments as for
        `create_short_path`."""
        self.blocks = nn.ModuleList(
            (JoinedBlock if j in self.joints else BasicBlock)(c[j], c[j + 1], stride)
            for j, stride in enumerate(strides)
        )
        self.patch_blocks = nn.ModuleList(
            nn.Sequential(*stem(width), *(BasicBlock(c[i], c[i + 1], strides[i]) for i in range(j)))
            for j in self.joints
        )

    @torch.no_grad()
    def scale_patch_weights(self) -> None:
        """Multiply the blocks' weights on patch features by `PATCH_WEIGHT_SCALE`, in place.

        Otherwise half of each block's input is noise in the beginning, and little information of
        the face reaches the last block.
        """
        for j in self.joints:
            for name, weight in self.blocks[j].named_parameters():
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
        for j, block in enumerate(self.blocks):
            if cropped is not None and j in self.joints:
                k = self.joints.index(j)
                p = self.patch_blocks[k](cropped[:, k])
                p = (
                    F.dropout(p.new_ones(p.shape[0], 1, 1, 1), self.patch_dropout, self.training)
                    * p
                )
                x = torch.cat([x, F.adaptive_avg_pool2d(p, x.shape[-2:])], 1)
            x = block(x)
        x = x.flatten(1) if self.main_path == "short" else x.mean((2, 3))
        return Output(self.classify(x))

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert a ResNet-18's state dict, if that is the main path.

        The layers serve the face and every patch. The weights on patch features are zero, so that
        the network computes at first what the ResNet-18 does.

        Args:
            given: state dict of a ResNet-18, or of this network.

        Returns:
            This network's state dict; another network's state dict unchanged.
        """
        if self.main_path != "resnet18" or "layer4.1.conv2.weight" not in given:
            return dict(given)
        layers = ["conv1", "bn1", "relu", "maxpool"]
        layers += [f"layer{1 + j // 2}.{j % 2}" for j in range(len(self.blocks))]
        first = len(layers) - len(self.blocks)
        state = self.state_dict()
        state |= {name: t for name, t in given.items() if not name.startswith("layer")}
        for j, layer in enumerate(layers[first:]):
            block = part(given, layer)
            if j in self.joints:
                block["conv1.weight"] = widened(block["conv1.weight"])
            state |= {f"blocks.{j}.{name}": tensor for name, tensor in block.items()}
        for k, j in enumerate(self.joints):
            for i, layer in enumerate(layers[: first + j]):
                state |= {f"patch_blocks.{k}.{i}.{n}": t for n, t in part(given, layer).items()}
        return state

    def crop(self, images: Tensor, extras: Extras | None) -> Tensor:
        """Images and `extras` as in `forward` → patches (B, n, 3, patch_size, patch_size)."""
        if extras is None:
            patches = patch_maps(self.find_patches(images))
        else:
            patches = moved(patch_maps(extras.values["boxes"]), extras.motion)
        if self.training and self.patch_jitter:
            patches = jittered(patches, self.patch_jitter)
        return crop_patches(images, patches, self.patch_size)


def part(state: Mapping[str, Tensor], layer: str) -> dict[str, Tensor]:
    """Return the state dict of a layer, out of that of its network."""
    return {n.removeprefix(f"{layer}."): t for n, t in state.items() if n.startswith(f"{layer}.")}


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
