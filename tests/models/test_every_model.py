"""What holds for every registered model, walked one by one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wrinkle.faces.align import TEMPLATE
from wrinkle.losses import LOSSES, Target
from wrinkle.models import MODELS, AgeModel, Output, create_model
from wrinkle.models.heads.two_points import TwoPoints

SIZES = {"dlib_resnet": 103}
"""Sides of the inputs other than 64 pixels."""
KEY_POINTS = torch.tensor(TEMPLATE[None], dtype=torch.float32)

# Raw outputs for `images()`, the first, the middle and the last one (logits of ages 0, 50 and 100),
# from weights drawn with seed 0, in evaluation mode.
# A change of architecture, initialisation or order of layers shows here; a new model is added here.
STORED = {
    "adpf": (-0.0796, 0.011, 0.0998),
    "adpf_attention": (1.452, 0.0655, 0.3646),
    "bif_fusion": (0.0945, -0.0345, 0.0596),
    "c3ae": (0.0393992, -0.0042508, 5.01142),
    "dhaa": (-0.0110, 0.0185, -0.0448),
    "dlib_resnet": (0.2221, 0.2847, -0.3354),
    "efficientnet_lite0": (0.777016, -0.786485, 0.338349),
    "mobilenet_v1": (0.0026, -0.0071, 0.0024),
    "res18_ex": (0.031194, -0.155989, 0.007701),
    "resnet18": (0.031194, -0.155989, 0.007701),
    "resnet34": (-1.629318, 0.064084, 0.382464),
    "resnet50": (-5.414366, -8.702572, 0.325198),
    "ssr_net": (-1.2328e-03, -4.9469e-05, -1.3461e-02),
    "thin_age_net": (-0.0171563, 0.0268457, 0.0188573),
    "tiny_age_net": (0.0109876, -0.00343015, 0.00196464),
    "vgg16": (0.00211057, 0.00355201, -0.00206435),
}
RAW_WIDTH = {"c3ae": 12, "ssr_net": 21}
"""Width of the raw output where it is not the number of ages."""
SEEDS = {"ssr_net": 2}
"""Seeds other than 0. Each of SSR-Net's stages has three products of ReLUs, which are all zero with
many seeds."""


def images(name: str, count: int = 1) -> Tensor:
    """Smooth stripes (count, 3, S, S) for a network, without a random generator."""
    size = SIZES.get(name, 64)
    values = torch.linspace(-2 * count, 2 * count, count * 3 * size * size).sin()
    return values.reshape(count, 3, size, size)


def seeded(name: str) -> AgeModel:
    """A network that takes `images()`; ADPF's take their own input size only."""
    torch.manual_seed(SEEDS.get(name, 0))
    fields = {"input_size": 64} if name.startswith(("adpf", "bif", "vgg")) else {}
    return create_model(name, **fields).eval()


def is_ours(name: str) -> bool:
    """Whether a network is one of the package's, which other tests add to, and can be created
    without fields."""
    fields = MODELS.schema(name).model_fields.values()
    ours = MODELS.get(name).__module__.startswith("wrinkle.")
    return ours and not any(field.is_required() for field in fields)


OURS = [name for name in MODELS.names() if is_ours(name)]
every_model = pytest.mark.parametrize("name", OURS)


def raw(name: str, model: AgeModel) -> Tensor:
    """The raw output for `images()`."""
    output: Output = model(images(name), KEY_POINTS)
    return output.raw


def test_every_network_of_ours_has_stored_numbers() -> None:
    assert sorted(STORED) == OURS


@every_model
def test_output_is_a_distribution_over_its_ages(name: str) -> None:
    model = seeded(name)
    points = KEY_POINTS.expand(2, 5, 2)
    with torch.no_grad():
        output = model(images(name, 2), points)
        probabilities = model.head.distribution(output.raw)
        age = model.head.age(output.raw)
        every = model.predict_all(images(name, 2), points, mirror=False)
    assert probabilities.shape == (2, len(model.ages))
    assert output.raw.shape == (2, RAW_WIDTH.get(name, len(model.ages)))
    assert list(output.sub) == list(model.sub_heads) == list(model.classifiers)[1:]
    assert all(sub.shape == (2, 101) for sub in output.sub.values())
    assert set(output.extra) == set(model.extra_names)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(2))
    assert age.shape == (2,)
    if model.head.trained_as not in ("value", "points"):  # which may be outside the ages
        assert ((age >= 0) & (age <= model.ages[-1])).all()
    assert every.distribution.shape == (2, len(model.classifiers), 101)
    torch.testing.assert_close(every.distribution[:, 0], probabilities)
    torch.testing.assert_close(every.age[:, 0], age)
    assert len(model.ages) == 101
    side = MODELS.schema(name).model_fields["input_size"].default
    assert side >= (64 if name == "ssr_net" else 112)
    assert len(model.mean) == len(model.std) == 3


@every_model
def test_stored_numbers(name: str) -> None:
    with torch.no_grad():
        found = raw(name, seeded(name))[0]
    logits = found[[0, len(found) // 2, -1]]
    torch.testing.assert_close(logits, torch.tensor(STORED[name]), rtol=2e-3, atol=2e-4)


@every_model
def test_state_dict_round_trip(name: str) -> None:
    model, other = seeded(name), seeded(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert not [entry for entry in model.state_dict() if entry.endswith("ages")]
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(raw(name, model), raw(name, other))


@every_model
def test_channels_last_gives_the_same(name: str) -> None:
    model = seeded(name)
    with torch.no_grad():
        points = KEY_POINTS.expand(2, 5, 2)
        expected = model(images(name, 2), points).raw
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found = model(images(name, 2).to(memory_format=torch.channels_last), points).raw
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@every_model
def test_gradient_reaches_every_parameter(name: str) -> None:
    model = seeded(name).train()
    output = model(images(name, 2), KEY_POINTS.expand(2, 5, 2))
    labels = torch.tensor([7.0, 60.0])
    if isinstance(model.head, TwoPoints):
        # Both below the untrained age, or the bias's gradients would cancel.
        young = Target(torch.tensor([7.0, 20.0]), torch.full((2,), torch.nan))
        loss = LOSSES.create("two_points")(output, young, model.head)
    elif model.head.trained_as == "value":
        loss = (model.head.age(output.raw) - labels).abs().mean()
    else:
        loss = F.cross_entropy(output.raw, labels.long())
    for tensor in [*output.sub.values(), *output.extra.values()]:
        loss = loss + tensor.square().mean()
    loss.backward()
    learning = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    assert model.first_stage or len(learning) == len(list(model.parameters()))
    idle = [n for n, p in learning if p.grad is None or not p.grad.any()]
    assert idle == []


@every_model
def test_key_points_may_be_given(name: str) -> None:
    model = seeded(name)
    with torch.no_grad():
        assert model(images(name), torch.zeros(1, 5, 2)).raw.isfinite().all()
