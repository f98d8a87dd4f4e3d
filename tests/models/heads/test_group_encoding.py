import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.models import create_head


def test_the_age_is_the_most_likely_code() -> None:
    """All codes tried one after the other, in float64."""
    torch.manual_seed(0)
    count, n = 12, 4
    head = create_head({"name": "group_encoding", "n": n}, 6, torch.arange(count) + 20.0).double()
    raw = 2 * torch.randn(30, count + n - 1, dtype=torch.float64)
    for row, age, p in zip(raw, head.age(raw), head.distribution(raw), strict=True):
        scores = []
        for k in range(count):
            code = torch.zeros(len(row), dtype=torch.float64)
            code[k : k + n] = 1
            answers = torch.where(code > 0, row.sigmoid(), (-row).sigmoid())
            scores.append(answers.log().sum().item())
        best = max(range(count), key=scores.__getitem__)
        assert age == 20 + best
        expected = (torch.tensor(scores, dtype=torch.float64) / n).softmax(-1)
        torch.testing.assert_close(p, expected)


def test_a_face_in_the_groups_of_one_age_has_that_age() -> None:
    head = create_head({"name": "group_encoding", "n": 3}, 6, torch.arange(5.0))
    for k in range(5):
        raw = torch.full((1, 7), -6.0)
        raw[0, k : k + 3] = 6
        assert head.age(raw).item() == k


def test_no_group_is_one_line() -> None:
    with pytest.raises(WrinkleError, match="n is 0"):
        create_head({"name": "group_encoding", "n": 0}, 6, torch.arange(5.0))
