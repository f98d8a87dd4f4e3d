"""DHAA: "Deeply-learned Hybrid Representations for Facial Age Estimation", IJCAI 2019.

A shared trunk, regions aligned by the key points, nine sub-networks in three branches, recurrent
fusion, and a head for each sub-network and for the fused features. Names are the paper's: CBν is
layer ν of ResNet-18; g, l and c are the global, local and global-local branch; k = 1, 2, 3 are
their sub-networks; z and h are their features before and after fusion. The paper leaves open, and
is chosen here: the convolution to 128 channels is 1×1 with batch norm and ReLU, and z is linear.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE
from wrinkle.layers import FullyConnectedFusion, RecurrentFusion
from wrinkle.models.backbones.dlib_resnet import dlib_trunk
from wrinkle.models.backbones.resnet import resnet18_trunk
from wrinkle.models.backbones.trunk import Trunk, widened
from wrinkle.models.base import AgeModel, Extras, Output, initialise
from wrinkle.models.face_regions import VIEW, RegionPooling
from wrinkle.models.folded_norm import unfold_batch_norms
from wrinkle.models.heads import HeadChoice, create_head
from wrinkle.models.registry import register

BRANCHES = {"global": "g", "local": "l", "global-local": "c"}
"""Names in recipes → the paper's letters."""
FIGURE_6_NAMES = {"g": "G", "l": "L", "c": "GL"}
"""The paper's letters → prefixes of the sub-networks' names in its Figure 6."""
TRUNKS: dict[str, Callable[..., Trunk]] = {
    "resnet18": resnet18_trunk,
    "dlib_resnet": dlib_trunk,
}
SMALLEST_INPUT = {"resnet18": 32, "dlib_resnet": 147}
"""Trunk → pixels, with which something is left for its last convolution."""
SUB_NETWORKS = ("1", "2", "3")
FEATURES = 128
"""Size of z and of h (sections 2.3 and 2.4), for every width."""


class SubNetwork(nn.Module):
    """Layers 3 and 4 of one region, and the layers that compute its feature z (section 2.3).

    Args:
        channels: of the input.
        trunk: whose layers these are.
    """

    def __init__(self, channels: int, trunk: Trunk) -> None:
        super().__init__()
        self.layer3 = trunk.layer(3, channels)
        self.layer4 = trunk.layer(4, trunk.channels[2])
        self.conv = nn.Conv2d(trunk.channels[3], FEATURES, 1, bias=False)
        self.bn = nn.BatchNorm2d(FEATURES)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, channels, H, W), the output of CB2, → z (B, 128)."""
        x = self.layer4(self.layer3(x))
        x = self.relu(self.bn(self.conv(x)))
        with torch.autocast(x.device.type, enabled=False):
            z: Tensor = self.fc(x.mean((2, 3), dtype=self.fc.weight.dtype))
        return z


class DHAA(AgeModel):
    """The complete network; see `dhaa` for its arguments.

    Raises:
        WrinkleError: an unknown branch, pooling or fusion, width below 1, or input_size below 32.
    """

    # Not the trunk: bfloat16 there would double the change of an age.
    bf16_parts = ("layer2", "sub_networks")
    final_name: ClassVar = "DHAA"

    def __init__(
        self,
        input_size: int,
        trunk: str,
        width: int | None,
        branches: str,
        pooling: str,
        fusion: str,
        sub_losses: bool,
        head: HeadChoice,
    ) -> None:
        super().__init__(100, input_size)
        if trunk not in TRUNKS:
            raise WrinkleError(f"trunk is {trunk!r}; choices: {', '.join(TRUNKS)}")
        self.trunk = TRUNKS[trunk]() if width is None else TRUNKS[trunk](width)
        self.mean, self.std = self.trunk.mean, self.trunk.std  # type: ignore[misc]
        self.starts = self.trunk.starts  # type: ignore[misc]
        if input_size < SMALLEST_INPUT[trunk]:
            raise WrinkleError(
                f"input_size is {input_size}; DHAA's regions need {SMALLEST_INPUT[trunk]} pixels"
            )
        self.branches = parse_branches(branches)
        if pooling == "roi":
            self.zoom = VIEW
        c1, c2, _, _ = self.trunk.channels
        self.conv1, maxpool = self.trunk.first()
        self.bn1 = nn.BatchNorm2d(c1)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = maxpool
        self.layer1 = self.trunk.layer(1, c1)
        layer2 = [f"{b}{k}" for b in "gl" for k in SUB_NETWORKS if {b, "c"} & set(self.branches)]
        # The paper's proportion: 56 of CB1's 64 pixels.
        self.pooling = RegionPooling(pooling, -(-self.trunk.side(input_size) * 7 // 8), layer2)
        self.layer2 = nn.ModuleDict({name: self.trunk.layer(2, c1) for name in layer2})
        self.sub_networks = nn.ModuleDict(
            {
                f"{b}{k}": SubNetwork(2 * c2 if b == "c" else c2, self.trunk)
                for b in self.branches
                for k in SUB_NETWORKS
            }
        )
        self.fusion = nn.ModuleDict({b: create_fusion(fusion) for b in self.branches})
        self.create_final_head(head, FEATURES * len(self.branches))
        initialise(self)
        for part in (*self.sub_networks.values(), *self.fusion.values()):
            # Not a final layer: weights near zero would make all gradients before it vanish.
            if isinstance(part, SubNetwork | FullyConnectedFusion):
                part.fc.reset_parameters()
        for name in self.sub_networks if sub_losses else ():
            self.sub_heads[figure_6_name(name)] = create_head(head, FEATURES, self.ages)
        initialise(self.sub_heads)

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        """Compute the raw outputs of all heads.

        Args:
            images: (B, 3, S, S), normalised.
            key_points: (B, 5, 2) in [−1, 1], or (B, 68, 2) in iBUG's order.
            extras: not used.

        Returns:
            The raw outputs; `sub` has an entry for each sub-network, none without `sub_losses`.

        Raises:
            WrinkleError: key points are missing, or shapes differ.
        """
        check_inputs(images, key_points)
        assert key_points is not None
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        regions = self.pooling(self.layer1(x), key_points)
        cb2 = {name: layer2(regions[name]) for name, layer2 in self.layer2.items()}
        if "c" in self.branches:
            for k in SUB_NETWORKS:
                cb2[f"c{k}"] = torch.cat([cb2[f"g{k}"], cb2[f"l{k}"]], 1)
        z = {name: network(cb2[name]) for name, network in self.sub_networks.items()}
        # Always float32: it costs little, and rounding here would change ages by hundredths.
        with torch.autocast(x.device.type, enabled=False):
            return self.fuse(z)

    def fuse(self, z: dict[str, Tensor]) -> Output:
        """Fuse the features z, {"g1": (B, 128), …}, of all sub-networks, and apply all heads."""
        h = [
            self.fusion[b](torch.stack([z[f"{b}{k}"] for k in SUB_NETWORKS], 1))
            for b in self.branches
        ]
        names = {figure_6_name(name): name for name in self.sub_networks}
        sub = {name: head(z[names[name]]) for name, head in self.sub_heads.items()}
        return Output(self.head(torch.cat(h, 1)), sub)

    def starting_state(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert the trunk's own state dict: its layers for the trunk and for every sub-network.

        The input of c_k has twice the channels of the trunk's layer 3. The weights of its second
        half, the local region's features, are zero at first, so that c_k starts with what g_k
        computes. Heads, fusion and the layers of z keep their random weights.

        Args:
            given: state dict of the trunk's network, or of DHAA.

        Returns:
            DHAA's state dict; another network's state dict unchanged.
        """
        renamed = {self.trunk.own_name(name): tensor for name, tensor in given.items()}
        if "layer4.0.conv1.weight" not in renamed:
            return dict(given)
        state = {n: tensor for n, tensor in self.state_dict().items() if self.starts_at_random(n)}
        for name, tensor in renamed.items():
            layer = name.partition(".")[0]
            if layer == "layer2":
                state |= {f"layer2.{n}{name[6:]}": tensor for n in self.layer2}
            elif layer in ("layer3", "layer4"):
                for n in self.sub_networks:
                    own = f"sub_networks.{n}.{name}"
                    state[own] = widened(tensor) if n[0] == "c" and name in WIDENED else tensor
            elif layer not in ("fc", "head"):
                state[name] = tensor
        return state

    def starts_at_random(self, name: str) -> bool:
        """Return whether a parameter has no counterpart in the trunk's own network.

        Args:
            name: of the parameter.

        Returns:
            Whether it belongs to a head, to the fusion or to the layers of z.
        """
        part, _, rest = name.partition(".")
        of_z = part == "sub_networks" and not rest.partition(".")[2].startswith("layer")
        return of_z or part in ("sub_heads", "fusion", "head")

    def before_training(self, views: Iterable[Tensor], ages: Tensor) -> None:
        """Give the trunk's batch norms the statistics of training faces, if they are folded."""
        if bool(self.bn1.running_mean.any()):  # type: ignore[union-attr]
            return
        points = torch.tensor(TEMPLATE * VIEW, dtype=torch.float32)

        def inputs() -> Iterator[tuple[Tensor, Tensor]]:
            for x in views:
                aligned = points.to(x.device).expand(len(x), 5, 2)
                yield self.normalised(x), aligned

        unfold_batch_norms(self, inputs())
        for name, layer in self.named_modules():
            if isinstance(layer, nn.BatchNorm2d) and self.starts_at_random(name):
                layer.reset_parameters()


WIDENED = ("layer3.0.conv1.weight", "layer3.0.downsample.0.weight")
"""Convolutions on the joined features of a global-local sub-network's two regions."""


def figure_6_name(name: str) -> str:
    """Return a sub-network's name in the paper's Figure 6: "c1" → "GL-1"."""
    return f"{FIGURE_6_NAMES[name[0]]}-{name[1]}"


def parse_branches(text: str) -> tuple[str, ...]:
    """Return the letters of branches in the order g, l, c: "global+local" → ("g", "l").

    Raises:
        WrinkleError: an unknown branch, or none.
    """
    names = text.split("+")
    for name in names:
        if name not in BRANCHES:
            raise WrinkleError(
                f"unknown branch {name!r} in {text!r}; choices, joined by +: {', '.join(BRANCHES)}"
            )
    return tuple(letter for name, letter in BRANCHES.items() if name in names)


def create_fusion(name: str) -> nn.Module:
    """Build a branch's fusion, "lstm" or "fc".

    Raises:
        WrinkleError: another name.
    """
    if name == "lstm":
        return RecurrentFusion(FEATURES, FEATURES)
    if name == "fc":
        return FullyConnectedFusion(FEATURES, FEATURES, len(SUB_NETWORKS))
    raise WrinkleError(f"fusion is {name!r}; choices: lstm, fc")


def check_inputs(images: Tensor, key_points: Tensor | None) -> None:
    """Check the inputs of DHAA.

    Raises:
        WrinkleError: images are not (B, 3, H, W) of at least 32 pixels with B ≥ 1, or key points
            are not (B, m, 2).
    """
    if (
        images.ndim != 4
        or images.shape[1] != 3
        or min(images.shape[2:]) < 32
        or not images.shape[0]
    ):
        raise WrinkleError(
            f"DHAA takes images (B, 3, H, W) of 32 pixels or more, B ≥ 1, not {tuple(images.shape)}"
        )
    if key_points is None:
        raise WrinkleError("DHAA aligns its regions by key points: give (B, 5, 2)")
    if key_points.shape[:1] != images.shape[:1] or key_points.shape[2:] != (2,):
        raise WrinkleError(
            f"{len(images)} images need key points ({len(images)}, 5, 2), "
            f"not {tuple(key_points.shape)}"
        )


@register
def dhaa(
    input_size: int = 256,
    trunk: Literal["resnet18", "dlib_resnet"] = "resnet18",
    width: int | None = None,
    branches: str = "global+local+global-local",
    pooling: Literal["arp", "roi"] = "arp",
    fusion: Literal["lstm", "fc"] = "lstm",
    sub_losses: bool = True,
    head: HeadChoice = "softmax",
) -> DHAA:
    """DHAA; ages 0–100. As published it has 100.0 M parameters and 10.8 G multiply-adds a face.

    Args:
        input_size: side in pixels of the input, at least 32; 256 in the paper. dlib_resnet needs
            147.
        trunk: the residual network whose layers it has; ResNet-18 in the paper.
        width: channels of the first layer. None: 64 as in the paper, 32 for dlib_resnet. 16 gives
            ResNet-18 7 M parameters.
        branches: any of "global", "local" and "global-local", joined by "+" (Table 1).
        pooling: "arp", or "roi", which requires zoom 0.8 (Figure 5).
        fusion: "lstm" or "fc" (Figure 5).
        sub_losses: whether each sub-network has a head (Figure 5).
        head: the final head and each sub-network's: a name, or a mapping of name and fields.
    """
    return DHAA(input_size, trunk, width, branches, pooling, fusion, sub_losses, head)
