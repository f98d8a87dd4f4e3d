import math

import pytest
import torch

from tests.losses.terms import made
from wrinkle.errors import WrinkleError
from wrinkle.losses import Distillation, Loss, Target
from wrinkle.models import Output, create_model

AGES = torch.arange(30.0)
NAN = math.nan


def given(teacher: torch.Tensor, ranges: list[tuple[float, float]] | None = None) -> Target:
    count = len(teacher)
    spans = None if ranges is None else torch.tensor(ranges)
    return Target(torch.zeros(count), torch.full((count,), NAN), spans, teacher=teacher)


def slow(raw: torch.Tensor, teacher: torch.Tensor, low: float = 0, high: float = 29) -> float:
    """One face, age by age, in float64."""
    p = raw.double().softmax(-1).tolist()
    t = [q if low <= a <= high else 0.0 for a, q in enumerate(teacher.double().tolist())]
    t = [q / sum(t) for q in t]
    kl = sum(q * math.log(q / r) for q, r in zip(t, p, strict=True) if q > 0)
    return kl + abs(sum(a * (r - q) for a, (q, r) in enumerate(zip(t, p, strict=True))))


def test_against_a_slow_version() -> None:
    torch.manual_seed(0)
    raw, teacher = torch.randn(3, 30), torch.randn(3, 30).softmax(-1)
    expected = sum(slow(*pair) for pair in zip(raw, teacher, strict=True)) / 3
    found = Distillation()(Output(raw), given(teacher), made("softmax", AGES))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_teacher_is_cut_to_the_range() -> None:
    torch.manual_seed(0)
    raw, teacher = torch.randn(2, 30), torch.randn(2, 30).softmax(-1)
    target = given(teacher, [(5, 9), (NAN, NAN)])
    expected = (slow(raw[0], teacher[0], 5, 9) + slow(raw[1], teacher[1])) / 2
    found = Distillation().of_range(Output(raw), target, made("softmax", AGES))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_ages_and_ranges_keeps_each_face_with_its_teacher() -> None:
    torch.manual_seed(0)
    network = create_model("resnet18", width=4, max_age=29)
    raw, teacher = torch.randn(2, 30), torch.randn(2, 30).softmax(-1)
    target = given(teacher, [(5, 9), (NAN, NAN)])._replace(exact=torch.tensor([False, True]))
    expected = (slow(raw[0], teacher[0], 5, 9) + slow(raw[1], teacher[1])) / 2
    found, _ = Loss([{"name": "distillation"}])(Output(raw), target, network)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_student_that_agrees_has_no_loss() -> None:
    raw = torch.randn(3, 30)
    found = Distillation()(Output(raw), given(raw.softmax(-1)), made("softmax", AGES))
    assert found.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("teacher", "says"),
    [(None, "name models in `teachers`"), (torch.ones(3, 9) / 9, "know 9 ages, the head 30")],
)
def test_no_teacher_or_one_of_other_ages(teacher: torch.Tensor | None, says: str) -> None:
    target = Target(torch.zeros(3), torch.full((3,), NAN), teacher=teacher)
    with pytest.raises(WrinkleError, match=says):
        Distillation()(Output(torch.zeros(3, 30)), target, made("softmax", AGES))
