import math

import pytest
import torch

from tests.losses.terms import loss_of
from wrinkle.losses import CORN, Target
from wrinkle.models import Output, create_head

AGES = torch.arange(6.0)


def reference(raw: torch.Tensor, labels: list[int]) -> float:
    """Classifier by classifier, face by face, in float64."""
    total, seen = 0.0, 0
    for k in range(raw.shape[1]):
        for row, label in zip(raw.tolist(), labels, strict=True):
            if k == 0 or label > k - 1:
                p = 1 / (1 + math.exp(-row[k]))
                total -= math.log(p if label > k else 1 - p)
                seen += 1
    return total / seen


@pytest.mark.parametrize("labels", [[0, 0, 0], [5, 5, 2], [1, 3, 4]])
def test_value_is_the_mean_over_conditional_questions(labels: list[int]) -> None:
    raw = 2 * torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = loss_of(CORN(), raw, torch.tensor(labels).double(), AGES.double(), "corn")
    assert found.item() == pytest.approx(reference(raw, labels), rel=1e-9)


def test_equals_coral_pytorch() -> None:
    losses = pytest.importorskip("coral_pytorch.losses")
    torch.manual_seed(0)
    raw, labels = 3 * torch.randn(64, 100), torch.randint(0, 101, (64,))
    found = loss_of(CORN(), raw, labels.float(), torch.arange(101.0), "corn")
    torch.testing.assert_close(found, losses.corn_loss(raw, labels, 101))


def test_a_range_of_one_age_is_that_age() -> None:
    raw, ages = torch.randn(4, 5), torch.tensor([0.0, 2, 3, 5])
    head, unknown = create_head("corn", 8, AGES), torch.full((4,), math.nan)
    exact = CORN()(Output(raw), Target(ages, unknown), head)
    ranges = Target(ages, unknown, torch.stack([ages, ages], 1), torch.zeros(4, dtype=torch.bool))
    torch.testing.assert_close(CORN().of_range(Output(raw), ranges, head), exact)
