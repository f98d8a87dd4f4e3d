"""What holds for every registered model, walked one by one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wrinkle.faces.align import TEMPLATE
from wrinkle.models import AgeModel, create_model, list_models, registry

SIZE = 64
KEY_POINTS = torch.tensor(TEMPLATE[None], dtype=torch.float32)

# Logits of ages 0, 50 and 100 for `images()` from weights drawn with seed 0, in evaluation mode.
# A change of architecture, initialisation or order of layers shows here; a new model is added here.
STORED = {
    "adpf": (-0.0796, 0.011, 0.0998),
    "adpf_attention": (1.452, 0.0655, 0.3646),
    "bif_fusion": (0.0945, -0.0345, 0.0596),
    "dhaa": (-0.0110, 0.0185, -0.0448),
    "efficientnet_lite0": (0.777016, -0.786485, 0.338349),
    "res18_ex": (0.031194, -0.155989, 0.007701),
    "resnet18": (0.031194, -0.155989, 0.007701),
    "resnet34": (-1.629318, 0.064084, 0.382464),
    "resnet50": (-5.414366, -8.702572, 0.325198),
}


def images(count: int = 1) -> Tensor:
    """Smooth stripes (count, 3, 64, 64), without a random generator."""
    values = torch.linspace(-2 * count, 2 * count, count * 3 * SIZE * SIZE).sin()
    return values.reshape(count, 3, SIZE, SIZE)


def seeded(name: str) -> AgeModel:
    """A network that takes `images()`; ADPF's take their own input size only."""
    torch.manual_seed(0)
    fields = {"input_size": SIZE} if name.startswith(("adpf", "bif")) else {}
    return create_model(name, **fields).eval()


# Other tests register small networks of their own, which are nobody's business here.
OURS = [n for n in list_models() if registry._entry_points[n].__module__.startswith("wrinkle.")]
every_model = pytest.mark.parametrize("name", OURS)


@every_model
def test_output_is_a_distribution_over_its_ages(name: str) -> None:
    model = seeded(name)
    with torch.no_grad():
        output = model(images(2), KEY_POINTS.expand(2, 5, 2))
        probabilities = model.distribution(output)
        expectation = model.expectation(probabilities)
    assert output.logits.shape == probabilities.shape == (2, len(model.ages))
    subs = len(model.classifiers) - 1
    sub_logits = output.auxiliary.get("sub_logits", torch.zeros(2, 0, 101))
    assert sub_logits.shape == (2, subs, 101)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(2))
    assert expectation.shape == (2,)
    assert ((expectation >= 0) & (expectation <= model.ages[-1])).all()
    assert len(model.ages) == 101
    assert create_model(name).input_size >= 112
    assert len(model.mean) == len(model.std) == 3


@every_model
def test_stored_numbers(name: str) -> None:
    with torch.no_grad():
        logits = seeded(name)(images(), KEY_POINTS).logits[0, [0, 50, 100]]
    torch.testing.assert_close(logits, torch.tensor(STORED[name]), rtol=2e-3, atol=2e-4)


@every_model
def test_state_dict_round_trip(name: str) -> None:
    model, other = seeded(name), seeded(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert "ages" not in model.state_dict()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(model(images(), KEY_POINTS).logits, other(images(), KEY_POINTS).logits)


@every_model
def test_channels_last_gives_the_same(name: str) -> None:
    model = seeded(name)
    with torch.no_grad():
        points = KEY_POINTS.expand(2, 5, 2)
        expected = model(images(2), points).logits
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        logits = model(images(2).to(memory_format=torch.channels_last), points).logits
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)


@every_model
def test_gradient_reaches_every_parameter(name: str) -> None:
    model = seeded(name).train()
    output = model(images(2), KEY_POINTS.expand(2, 5, 2))
    loss = F.cross_entropy(output.logits, torch.tensor([7, 60]))
    for tensor in output.auxiliary.values():
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
        assert model(images(), torch.zeros(1, 5, 2)).logits.isfinite().all()
