import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wrinkle.models import create_head


def test_it_is_the_binomial_distribution_with_a_temperature() -> None:
    head = create_head("unimodal", 6, torch.arange(31.0)).double()
    for logit, width in ((0.3, 0.541325), (-2.0, 3.0), (4.0, -1.0)):
        p, temperature = 1 / (1 + math.exp(-logit)), math.log1p(math.exp(width))
        weights = [
            (math.comb(30, k) * p**k * (1 - p) ** (30 - k)) ** (1 / temperature) for k in range(31)
        ]
        expected = torch.tensor(weights, dtype=torch.float64) / sum(weights)
        raw = torch.tensor([[logit, width]], dtype=torch.float64)
        torch.testing.assert_close(head.distribution(raw)[0], expected, rtol=1e-5, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(logit=st.floats(-30, 30), width=st.floats(-5, 50))
def test_it_has_one_mode(logit: float, width: float) -> None:
    head = create_head("unimodal", 6, torch.arange(101.0))
    log_p = head.log_distribution(torch.tensor([[logit, width]])).numpy()[0]
    rising = np.diff(log_p) > 1e-4
    falling = np.diff(log_p) < -1e-4
    assert not rising[falling.argmax() :].any() or not falling.any()
