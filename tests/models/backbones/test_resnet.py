import pytest
import torch
from torch import nn

from wrinkle.errors import WrinkleError
from wrinkle.models import create_model
from wrinkle.models.backbones.resnet import BasicBlock, Bottleneck, make_layer


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)],
)
def test_parameter_counts_are_the_published_ones(name: str, parameters: int) -> None:
    model = create_model(name, max_age=999)
    assert sum(p.numel() for p in model.parameters()) == parameters


def usual_names(counts: tuple[int, ...], convolutions: int, first_shortcut: bool) -> set[str]:
    """Names in torchvision's files, written down from their layout, but for the final layer's."""
    names = {"conv1.weight", "head.fc.weight", "head.fc.bias"}
    norms = {"bn1"}
    for layer, count in enumerate(counts, 1):
        for block in range(count):
            prefix = f"layer{layer}.{block}"
            names |= {f"{prefix}.conv{i + 1}.weight" for i in range(convolutions)}
            norms |= {f"{prefix}.bn{i + 1}" for i in range(convolutions)}
        if layer > 1 or first_shortcut:
            names.add(f"layer{layer}.0.downsample.0.weight")
            norms.add(f"layer{layer}.0.downsample.1")
    fields = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return names | {f"{norm}.{field}" for norm in norms for field in fields}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", usual_names((2, 2, 2, 2), 2, False)),
        ("resnet34", usual_names((3, 4, 6, 3), 2, False)),
        ("resnet50", usual_names((3, 4, 6, 3), 3, True)),
    ],
)
def test_state_dict_has_the_usual_names(name: str, expected: set[str]) -> None:
    assert set(create_model(name).state_dict()) == expected


def strided(model: nn.Module) -> list[str]:
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2)
    ]


def test_stride_is_where_the_usual_files_expect_it() -> None:
    assert strided(create_model("resnet50")) == ["conv1"] + [
        f"layer{n}.0.{name}" for n in (2, 3, 4) for name in ("conv2", "downsample.0")
    ]
    assert strided(create_model("resnet18")) == ["conv1"] + [
        f"layer{n}.0.{name}" for n in (2, 3, 4) for name in ("conv1", "downsample.0")
    ]


def test_layers_shrink_odd_sides_upwards() -> None:
    x = torch.zeros(1, 8, 13, 12)
    assert make_layer(BasicBlock, 8, 16, 2, stride=2)(x).shape == (1, 16, 7, 6)
    assert make_layer(Bottleneck, 8, 16, 1, stride=1)(x).shape == (1, 64, 13, 12)


@torch.no_grad()
def test_a_basic_block_computes_what_it_says() -> None:
    """One channel, 1-pixel picture: every 3×3 convolution is its centre weight."""
    block = BasicBlock(1, 1, 1).eval()
    for convolution, centre in ((block.conv1, 2.0), (block.conv2, -0.5)):
        convolution.weight.fill_(9.0)
        convolution.weight[0, 0, 1, 1] = centre
    for norm in (block.bn1, block.bn2):
        norm.eps = 0.0
    block.bn2.bias.fill_(0.25)
    outputs = [block(torch.full((1, 1, 1, 1), value)).item() for value in (3.0, -1.0, 0.1)]
    # 3 → relu(6) · −0.5 + 0.25 + 3; −1 → 0 + 0.25 − 1 < 0; 0.1 → −0.1 + 0.25 + 0.1
    assert outputs == pytest.approx([0.25, 0.0, 0.25])


def test_a_quarter_of_the_width_is_a_sixteenth_of_the_weights() -> None:
    full, quarter = (
        sum(
            p.numel()
            for n, p in create_model("resnet18", width=w).named_parameters()
            if "fc" not in n
        )
        for w in (64, 16)
    )
    assert full / quarter == pytest.approx(16, rel=0.02)
    assert create_model("resnet18", width=16).head.fc.in_features == 128


def test_no_width_is_one_line() -> None:
    with pytest.raises(WrinkleError, match="width is 0; it must be at least 1 channel"):
        create_model("res18_ex", width=0)
