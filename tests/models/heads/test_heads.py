"""What holds for every head, and each head's own decoding by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wrinkle.errors import WrinkleError
from wrinkle.models import HEADS, create_head, create_model
from wrinkle.models.heads.ranks import CORAL, smallest_so_far
from wrinkle.models.heads.softmax import median

FEATURES = 6
NAMES = HEADS.names()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.01, 300), first=st.integers(0, 60), count=st.integers(2, 40))
def test_distributions_and_ages(name: str, scale: float, first: int, count: int) -> None:
    torch.manual_seed(count)
    ages = torch.arange(float(first), first + count)
    head = create_head(name, FEATURES, ages)
    raw = head(scale * torch.randn(5, FEATURES))
    p, age = head.distribution(raw), head.age(raw)
    assert p.shape == (5, count)
    assert (p >= 0).all()
    torch.testing.assert_close(p.sum(-1), torch.ones(5))
    assert age.shape == (5,)
    assert age.isfinite().all()
    if name not in (
        "regression",
        "stagewise",
        "two_points",
    ):  # whose value may lie outside the ages
        assert ((age >= first - 1e-3) & (age <= first + count - 1 + 1e-3)).all()
    torch.testing.assert_close(head.log_distribution(raw).exp(), p, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("network", ["resnet18", "efficientnet_lite0", "dhaa", "adpf_attention"])
def test_any_head_on_any_network(name: str, network: str) -> None:
    fields = {
        "resnet18": {"width": 4},
        "efficientnet_lite0": {},
        "dhaa": {"width": 4, "input_size": 64},
        "adpf_attention": {"width": 4, "channels": 10, "stride": 8, "input_size": 64},
    }[network]
    model = create_model(network, head={"name": name}, **fields).eval()
    points = torch.tensor([[[-0.4, -0.2], [0.4, -0.2], [0.0, 0.2], [-0.3, 0.5], [0.3, 0.5]]])
    found = model.predict_all(torch.randn(2, 3, 64, 64), points.expand(2, 5, 2))
    assert found.distribution.shape == (2, len(model.classifiers), 101)
    assert found.age.shape == (2, len(model.classifiers))
    torch.testing.assert_close(found.distribution.sum(-1), torch.ones(found.age.shape))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_every_head_is_exported_to_onnx(name: str) -> None:
    pytest.importorskip("onnxscript")
    from onnx.reference import ReferenceEvaluator

    class Decoded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = create_head(name, FEATURES, torch.arange(101.0))

        def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            raw = self.head(features)
            return self.head.distribution(raw), self.head.age(raw)

    batch = {"features": {0: torch.export.Dim("batch", min=1)}}
    inputs = (torch.randn(3, FEATURES),)
    program = torch.onnx.export(
        Decoded().eval(), inputs, dynamo=True, dynamic_shapes=batch, verbose=False
    )
    assert program is not None
    features = torch.randn(5, FEATURES)
    found = ReferenceEvaluator(program.model_proto).run(None, {"features": features.numpy()})
    for own, expected in zip(found, program.exported_program.module()(features), strict=True):
        np.testing.assert_allclose(own, expected.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_low_precision_raw_gives_float32(name: str) -> None:
    head = create_head(name, FEATURES, torch.arange(30.0))
    raw = head(torch.randn(2, FEATURES)).bfloat16()
    assert head.distribution(raw).dtype == torch.float32


def test_softmax_by_hand() -> None:
    head = create_head("softmax", FEATURES, torch.tensor([10.0, 20.0, 40.0]))
    raw = torch.tensor([[0.0, math.log(2), 0.0]])
    torch.testing.assert_close(head.distribution(raw), torch.tensor([[0.25, 0.5, 0.25]]))
    assert head.age(raw).item() == pytest.approx(22.5)


def test_ranks_by_hand() -> None:
    head = create_head("or_cnn", FEATURES, torch.tensor([10.0, 20.0, 40.0, 80.0]))
    p = np.array([0.9, 0.6, 0.2])
    raw = torch.tensor(np.log(p / (1 - p)), dtype=torch.float32)[None]
    expected = torch.tensor([[0.1, 0.3, 0.4, 0.2]])
    torch.testing.assert_close(head.distribution(raw), expected)
    # Two questions have P > ½, so the third age; the mean would be 39 years.
    assert head.age(raw).item() == 40
    assert (expected @ head.ages).item() == pytest.approx(39)


def test_inconsistent_ranks_still_give_a_distribution() -> None:
    head = create_head("or_cnn", FEATURES, torch.arange(4.0))
    p = torch.tensor([0.5, 0.8, 0.1])  # the second counts as 0.5
    raw = (p / (1 - p)).log()[None]
    torch.testing.assert_close(head.distribution(raw), torch.tensor([[0.5, 0.0, 0.4, 0.1]]))


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40))
def test_the_smallest_so_far_is_cummin(row: list[float]) -> None:
    x = torch.tensor([row, row[::-1]])
    assert torch.equal(smallest_so_far(x), x.cummin(-1).values)


def test_coral_shares_its_weights_and_starts_consistent() -> None:
    head = create_head("coral", FEATURES, torch.arange(11.0))
    assert isinstance(head, CORAL)
    head.reset_parameters()
    assert head.fc.weight.shape == (1, FEATURES)
    raw = head(100 * torch.randn(20, FEATURES))
    assert (raw.diff(dim=-1) < 0).all()
    torch.testing.assert_close(head.bias, torch.linspace(1, 0.1, 10))


def test_regression_splits_its_value_between_two_ages() -> None:
    head = create_head("regression", FEATURES, torch.tensor([0.0, 10.0, 20.0, 40.0]))
    # The middle is 20, a quarter of the range 10.
    raw = torch.tensor([[0.0], [1.0], [-1.5], [9.0], [-9.0]])
    torch.testing.assert_close(head.age(raw), torch.tensor([20.0, 30.0, 5.0, 110.0, -70.0]))
    expected = [[0, 0, 1, 0], [0, 0, 0.5, 0.5], [0.5, 0.5, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]
    torch.testing.assert_close(head.distribution(raw), torch.tensor(expected).float())


def test_stagewise_by_hand() -> None:
    head = create_head({"name": "stagewise", "bins": [2, 3]}, FEATURES, torch.arange(10.0, 71.0))
    # Of each stage: p, η and Δ; 0.5 = tanh 0.549306. The range of 61 years is divided into
    # 2 (1 + 0.5) = 3 bins, these into 3 (1 − 0.5) = 1.5: 61 / 3 and 61 / 4.5 years each.
    half = 0.549306
    raw = torch.tensor([[0.2, 0.5, 0.0, -half, half, -3.0, 0.25, 0.5, 9.0, half, 0.0, -half]])
    years = 0.5 * (1 - 0.5) * 61 / 3 + (0.25 * (1 + 0.5) + 0.5 * 2) * 61 / 4.5
    torch.testing.assert_close(head.age(raw), torch.tensor([10 + years]))
    distribution = head.distribution(raw)
    torch.testing.assert_close((distribution * head.ages).sum(-1), torch.tensor([10 + years]))
    assert (distribution > 0).sum() == 2


def test_stages_start_even_and_alive_on_any_network() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        head = create_head("stagewise", 128, torch.arange(101.0))
        head.reset_parameters()
        features = torch.rand(20, 128)
        ages = head.age(head(features))
        # Of three even bins the mean index is 1: 101 / 3 + 101 / 9 + 101 / 27 years.
        torch.testing.assert_close(ages, torch.full((20,), 101 * 13 / 27), atol=25, rtol=0)
        ages.sum().backward()
        # The tanh shift of the first bin gives its weight a gradient too.
        assert all(layer.bias.grad.any() for layer in head.weights)


def test_parts_of_the_features_belong_to_one_stage_each() -> None:
    fields = {"name": "stagewise", "bins": [2, 3], "parts": [[1, 2], [2, 1]]}
    head = create_head(fields, FEATURES, torch.arange(101.0))
    features = torch.ones(1, FEATURES)
    before = head(features)
    for column, changed in enumerate([[4], [0, 1, 2, 3], [0, 1, 2, 3], [11], [11], range(5, 11)]):
        other = features.clone()
        other[0, column] = 2
        assert (head(other) != before)[0].nonzero().flatten().tolist() == list(changed)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"bins": []}, "at least one bin"),
        ({"bins": [3, 0]}, "at least one bin"),
        ({"bins": [3, 3], "parts": [[3, 3]]}, "two widths for each of 2"),
        ({"bins": [3], "parts": [[3, 2]]}, "add up to 5; the features have 6"),
    ],
)
def test_wrong_stages_are_one_line(fields: dict[str, object], line: str) -> None:
    with pytest.raises(WrinkleError, match=line):
        create_head({"name": "stagewise", **fields}, FEATURES, torch.arange(101.0))


@pytest.mark.parametrize(
    ("choice", "line"),
    [
        ("corla", "unknown head 'corla'.*did you mean 'coral'"),
        ({"name": "softmax", "width": 2}, "head softmax has no field 'width'"),
    ],
)
def test_a_wrong_head_is_one_line(choice: str, line: str) -> None:
    with pytest.raises(WrinkleError, match=line):
        create_model("resnet18", head=choice)


def test_the_median_by_hand() -> None:
    """Half of the probability of 0.2, 0.2, 0.4, 0.2 is reached a quarter into the third age."""
    p = torch.tensor([[0.2, 0.2, 0.4, 0.2], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    ages = torch.arange(4.0)
    # The first and the last age stand for half a year only.
    torch.testing.assert_close(median(p, ages), torch.tensor([1.75, 0.25, 2.75]))
    torch.testing.assert_close(median(p[:1], 10 * ages), torch.tensor([17.5]))


def test_a_softmax_may_be_decoded_as_its_median() -> None:
    torch.manual_seed(0)
    ages = torch.arange(101.0)
    raw = 3 * torch.randn(50, 101)
    head = create_head({"name": "softmax", "decode": "median"}, 8, ages)
    found = head.age(raw)
    for p, age in zip(raw.softmax(-1).double(), found.double(), strict=True):
        year = int(age.round())
        assert p[:year].sum() <= 0.5 + 1e-6
        assert p[year + 1 :].sum() <= 0.5 + 1e-6
    mean = create_head("softmax", 8, ages).age(raw)
    torch.testing.assert_close(mean, (raw.softmax(-1) * ages).sum(-1))
    with pytest.raises(WrinkleError, match="decode is 'mode'"):
        create_head({"name": "softmax", "decode": "mode"}, 8, ages)
