import torch
import torch.nn.functional as F
from torch import nn

from wrinkle.models import create_model

TABLE = [3 * 9 * 32 + 32, *[32 * 9 * 32 + 32] * 3, 32 * 32 + 32]
"""Parameters of the convolutions in the paper's table: 896, 9248 three times, 1056."""
BATCH_NORMS = 4 * 4 * 32
"""Weights, biases, means and variances of four, which the table counts as 128 each."""


def test_the_plain_model_has_the_parameters_of_the_paper() -> None:
    model = create_model("c3ae", context=False, max_age=110)
    assert TABLE == [896, 9248, 9248, 9248, 1056]
    found = [
        sum(p.numel() for p in m.parameters()) for m in model.plain if isinstance(m, nn.Conv2d)
    ]
    assert found == TABLE
    statistics = sum(b.numel() for n, b in model.named_buffers() if "running" in n)
    total = sum(p.numel() for p in model.parameters()) + statistics
    # Of the head: twelve points 0, 10, …, 110 from 512 features, and the age.
    assert total == sum(TABLE) + BATCH_NORMS + (512 * 12 + 12) + 13 == 36_377


def test_features_are_those_of_nested_views() -> None:
    torch.manual_seed(0)
    model = create_model("c3ae", input_size=100).eval()
    images = torch.randn(2, 3, 100, 100)
    views = [images, images[..., 10:90, 10:90], images[..., 20:80, 20:80]]
    with torch.no_grad():
        expected = [model.plain(F.interpolate(v, (64, 64), mode="bilinear")) for v in views]
        found = model.forward_features(images)
    assert found.shape == (2, 3 * 512)
    torch.testing.assert_close(found, torch.cat([e.flatten(1) for e in expected], 1))


def test_a_view_of_64_pixels_is_used_as_it_is() -> None:
    model = create_model("c3ae", context=False, input_size=64).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.forward_features(images), model.plain(images).flatten(1))
