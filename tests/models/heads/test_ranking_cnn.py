import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.models import create_head


def test_each_question_has_a_network_of_its_own() -> None:
    torch.manual_seed(0)
    head = create_head({"name": "ranking_cnn", "hidden": 2}, 6, torch.arange(4.0)).double()
    features = torch.randn(5, 6, dtype=torch.float64)
    w, b = head.hidden.weight.tolist(), head.hidden.bias.tolist()
    found = head(features)
    for x, logits in zip(features.tolist(), found.tolist(), strict=True):
        for k, logit in enumerate(logits):
            hidden = [
                max(0.0, sum(a * v for a, v in zip(w[2 * k + h], x, strict=True)) + b[2 * k + h])
                for h in range(2)
            ]
            expected = sum(a * v for a, v in zip(head.weight[k].tolist(), hidden, strict=True))
            assert logit == pytest.approx(expected + head.bias[k].item(), abs=1e-12)
    found[:, 1].sum().backward()
    own = head.hidden.weight.grad.abs().sum(-1) > 0
    assert not own[[0, 1, 4, 5]].any()
    assert own[2:4].any()


def test_age_counts_the_networks_that_say_yes() -> None:
    head = create_head("ranking_cnn", 6, torch.arange(10.0, 14.0))
    assert head.age(torch.tensor([[2.0, -1.0, 3.0], [-1.0, -1.0, -1.0]])).tolist() == [12, 10]


def test_no_hidden_unit_is_one_line() -> None:
    with pytest.raises(WrinkleError, match="hidden is 0"):
        create_head({"name": "ranking_cnn", "hidden": 0}, 6, torch.arange(4.0))
