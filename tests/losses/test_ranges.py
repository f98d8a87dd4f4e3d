"""Losses of labels that are ranges, against slow float64 versions."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.losses.test_loss import HEADS_AND_TERMS, model
from wrinkle.losses import Loss, Target
from wrinkle.losses.term import distance_to_range, in_range
from wrinkle.models import Output, create_head

NAN = math.nan
AGES = torch.arange(101.0)
RANGES = [(20, 29), (0, 2), (70, 120), (50, 50), (110, 120)]
"""The last one is beyond the head's last age, which stands for it."""
PAIRS = [(head, term) for head, terms in HEADS_AND_TERMS.items() for term in terms]
OWN_TESTS = {"corn", "group_encoding", "forest", "bridge_net", "moving_window", "two_points"}
"""Terms whose loss of ranges is compared with a slow version in their own tests."""


def raw_of(head: str, rows: int, seed: int = 0) -> Tensor:
    width = create_head(head, 8, AGES)(torch.zeros(1, 8)).shape[-1]
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def spans(*ranges: tuple[float, float]) -> Tensor:
    return torch.tensor(ranges, dtype=torch.float32)


def ranged(*ranges: tuple[float, float]) -> Target:
    middle = spans(*ranges).mean(1)
    unknown = torch.full((len(ranges),), NAN)
    return Target(middle, unknown, spans(*ranges), torch.zeros(len(ranges), dtype=torch.bool))


def slow(head: str, term: str, raw: Tensor) -> float:
    """The mean over RANGES, one face, one age and one classifier at a time, in float64."""
    made, total = model(head=head).head.double(), 0.0
    for row, (low, high) in zip(raw.double(), RANGES, strict=True):
        inside = [a for a in range(101) if low <= a <= high] or [100]
        if term == "ordinal":
            for k, score in enumerate(row.tolist()):
                older = 1 / (1 + math.exp(-score))  # probability of an age above k
                if k < low:
                    total -= math.log(older)
                elif k >= high:
                    total -= math.log(1 - older)
            continue
        age = float(made.age(row[None]))
        away = max(low - age, 0) + max(age - high, 0)
        if term in ("l1", "l2"):
            total += away ** int(term[1])
            continue
        p = made.log_distribution(row[None])[0].exp()
        total -= math.log(sum(float(p[a]) for a in inside))
        if term == "dldl_v2":
            expected = sum(a * float(p[a]) for a in range(101))
            total += max(low - expected, 0) + max(expected - high, 0)
    return total / len(RANGES)


@pytest.mark.parametrize(("head", "term"), PAIRS)
def test_every_term_and_head(head: str, term: str) -> None:
    raw = raw_of(head, len(RANGES)).requires_grad_()
    loss, _ = Loss([{"name": term}])(Output(raw), ranged(*RANGES), model(head=head))
    if term not in OWN_TESTS:
        assert loss.item() == pytest.approx(slow(head, term, raw.detach()), rel=1e-5)
    loss.backward()
    assert torch.isfinite(raw.grad).all()
    assert raw.grad.abs().sum() > 0


@pytest.mark.parametrize(("head", "term"), PAIRS)
def test_a_mixed_batch_is_the_weighted_mean_of_its_parts(head: str, term: str) -> None:
    raw, network, loss = raw_of(head, 5), model(head=head), Loss([{"name": term}])
    ages = torch.tensor([30.0, 24.5, 7, 1, 95])
    ranges = spans((NAN, NAN), (20, 29), (5, 9), (0, 2), (70, 120))
    exact = torch.tensor([True, False, True, False, False])
    target = Target(ages, torch.full((5,), NAN), ranges, exact)
    found = loss(Output(raw), target, network)[0]
    parts = [
        loss(Output(raw[rows]), target.take(rows), network)[0] * rows.sum() / 5
        for rows in (exact, ~exact)
    ]
    torch.testing.assert_close(found, parts[0] + parts[1])


@pytest.mark.parametrize(("head", "term"), PAIRS)
def test_exact_labels_without_ranges_are_as_before(head: str, term: str) -> None:
    raw, network, loss = raw_of(head, 3), model(head=head), Loss([{"name": term}])
    ages, unknown = torch.tensor([30.0, 24, 7]), torch.full((3,), NAN)
    nothing = Target(ages, unknown, torch.full((3, 2), NAN), torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(
        loss(Output(raw), nothing, network)[0],
        loss(Output(raw), Target(ages, unknown), network)[0],
        rtol=0,
        atol=0,
    )


def test_the_distribution_of_an_age_with_a_range_is_cut_to_it() -> None:
    raw, network = raw_of("softmax", 2), model()
    ages, ranges = torch.tensor([21.0, 40.0]), spans((20, 29), (NAN, NAN))
    target = Target(ages, torch.tensor([NAN, NAN]), ranges, torch.tensor([True, True]))
    found = Loss([{"name": "dldl_v2", "sigma": 2.0}])(Output(raw), target, network)[0]
    total = 0.0
    for row, age, inside in zip(
        raw.double().numpy(), (21, 40), (range(20, 30), range(101)), strict=True
    ):
        p = np.exp(row) / np.exp(row).sum()
        weights = {a: math.exp(-((a - age) ** 2) / 8) for a in inside}
        label = {a: w / sum(weights.values()) for a, w in weights.items()}
        total += sum(q * math.log(q / p[a]) for a, q in label.items() if q > 0)
        total += abs((p * np.arange(101)).sum() - age)
    assert found.item() == pytest.approx(total / 2, rel=1e-5)


def test_a_range_between_two_ages_is_the_nearest_one() -> None:
    head = create_head("softmax", 8, torch.tensor([0.0, 10, 20]))
    target = ranged((12, 14), (25, 30), (0, 12))
    assert in_range(target, head.ages).tolist() == [
        [False, True, False],
        [False, False, True],
        [True, True, False],
    ]


def test_distance_by_hand() -> None:
    ages, ranges = torch.tensor([18.0, 20, 29, 31.5]), spans(*[(20, 29)] * 4)
    assert distance_to_range(ages, ranges).tolist() == [2, 0, 0, 2.5]
