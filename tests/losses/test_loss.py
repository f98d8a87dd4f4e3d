"""The weighted sum of terms over all heads of a network."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.losses import LOSSES, Loss, Target, diversity_loss
from wrinkle.models import AgeModel, Output, create_model

OF_DISTRIBUTIONS = ["cross_entropy", "dldl", "dldl_v2", "l1", "l2", "mean_variance"]
OF_DISTRIBUTIONS += ["soft_softmax", "sord"]
HEADS_AND_TERMS = {
    "softmax": OF_DISTRIBUTIONS,
    "rectified": OF_DISTRIBUTIONS,
    "unimodal": OF_DISTRIBUTIONS,
    "or_cnn": ["ordinal"],
    "coral": ["ordinal"],
    "ranking_cnn": ["ordinal"],
    "corn": ["corn"],
    "group_encoding": ["group_encoding"],
    "regression_forest": ["forest"],
    "distribution_forest": ["forest"],
    "bridge_net": ["bridge_net"],
    "moving_window": ["moving_window"],
    "two_points": ["two_points"],
    "regression": ["l1", "l2"],
}


def model(name: str = "resnet18", **fields: object) -> AgeModel:
    return create_model(name, width=4, **fields)


def target(*ages: float) -> Target:
    return Target(torch.tensor(ages), torch.full((len(ages),), math.nan))


def test_dhaa_with_cross_entropy_is_its_eq_4() -> None:
    network = model("dhaa", input_size=64)
    torch.manual_seed(0)
    raw = torch.randn(3, 101)
    sub = {name: torch.randn(3, 101) for name in list(network.classifiers)[1:]}
    labels = [0, 50, 99]
    expected = 0.0
    for scores in [raw, *sub.values()]:
        for row, y in zip(scores.double().numpy(), labels, strict=True):
            expected -= math.log(math.exp(row[y]) / np.exp(row).sum()) / len(labels)
    loss = Loss([{"name": "cross_entropy"}])
    total, parts = loss(Output(raw, sub), target(*labels), network)
    assert total.item() == pytest.approx(expected, rel=1e-6)
    assert parts["cross_entropy"].item() == pytest.approx(expected, rel=1e-6)


def test_attention_net_is_eq_14() -> None:
    network = model("adpf_attention", input_size=64, channels=20, stride=8)
    torch.manual_seed(0)
    maps, raw = torch.randn(2, 5, 8, 8), torch.randn(2, 101)
    loss = Loss([{"name": "dldl_v2"}, {"name": "diversity", "form": "rectified", "weight": 0.25}])
    loss.check(network)
    total, parts = loss(Output(raw, extra={"maps": maps}), target(20, 30), network)
    l_ae = Loss([{"name": "dldl_v2"}])(Output(raw), target(20, 30), network)[0]
    diversity = diversity_loss(maps, "rectified")
    torch.testing.assert_close(parts["dldl_v2"], l_ae)
    torch.testing.assert_close(parts["diversity"], diversity)
    torch.testing.assert_close(total, l_ae + 0.25 * diversity)


@pytest.mark.parametrize("head", HEADS_AND_TERMS)
@pytest.mark.parametrize("term", LOSSES.names())
def test_which_terms_fit_which_heads(head: str, term: str) -> None:
    network, loss = model(head=head), Loss([{"name": term}])
    # Distillation has tests of its own, because it needs teachers.
    if term in HEADS_AND_TERMS[head] or (
        term == "distillation" and "dldl" in HEADS_AND_TERMS[head]
    ):
        loss.check(network)
        return
    with pytest.raises(WrinkleError) as caught:
        loss.check(network)
    assert term in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("head", HEADS_AND_TERMS)
def test_descending_any_loss_moves_the_age_to_the_label(head: str) -> None:
    for term in HEADS_AND_TERMS[head]:
        network, loss = model(head=head, max_age=20), Loss([{"name": term}])
        torch.manual_seed(1)
        raw = network.head(torch.randn(2, 32)).detach()
        if head == "rectified":
            raw += 1  # where an output is negative, Eq. 9 has no gradient
        raw.requires_grad_()
        # The age of two points is in units of ten years.
        optimizer = torch.optim.Adam([raw], lr=0.02 if head == "two_points" else 0.2)
        labels = target(4.0, 16.0)
        for _ in range(150):
            optimizer.zero_grad()
            loss(Output(raw), labels, network)[0].backward()
            optimizer.step()
        torch.testing.assert_close(network.head.age(raw), labels.age, atol=0.5, rtol=0, msg=term)


def test_low_precision_outputs_are_computed_in_float32() -> None:
    network = model()
    raw = torch.linspace(-2, 2, 101)[None].bfloat16()
    total, _ = Loss([{"name": "dldl_v2"}])(Output(raw), target(30), network)
    exact, _ = Loss([{"name": "dldl_v2"}])(Output(raw.float()), target(30), network)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(exact.item(), 1e-6)


def test_one_term_twice_has_two_names() -> None:
    loss = Loss([{"name": "dldl_v2", "sigma": 1}, {"name": "dldl_v2", "sigma": 4, "weight": 0.5}])
    raw: Tensor = torch.zeros(1, 101)
    total, parts = loss(Output(raw), target(30), model())
    assert list(parts) == ["dldl_v2", "dldl_v2_2"]
    assert total.item() == pytest.approx((parts["dldl_v2"] + 0.5 * parts["dldl_v2_2"]).item())


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        ([], "loss is empty"),
        ([{"name": "dldlv2"}], "unknown loss 'dldlv2'.*did you mean 'dldl_v2'"),
        ([{"name": "dldl_v2", "weight": -1}], "weight is -1"),
        ([{"name": "dldl_v2", "weight": math.inf}], "weight is inf"),
        ([{"name": "dldl_v2", "sigma": 0}], "sigma is 0"),
        ([{"name": "dldl_v2", "width": 2}], "no field 'width'; choices: sigma"),
    ],
)
def test_impossible_choices_are_one_line(choices: list[dict[str, object]], line: str) -> None:
    with pytest.raises(WrinkleError, match=line):
        Loss(choices)


def test_losses_that_do_not_train_the_head_are_refused() -> None:
    network = model("adpf_attention", input_size=64, channels=20, stride=8)
    with pytest.raises(WrinkleError, match="does not train the head"):
        Loss([{"name": "diversity"}]).check(network)
