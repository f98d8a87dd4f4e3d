"""Attention on synthetic faces whose age is in the texture of small discs only."""

import pytest
import torch
from benchmarks.planted_attention import draw, hits, measure


def test_hits_by_hand() -> None:
    boxes = torch.tensor([[[-1.0, -1.0, 0.0, 0.0], [0.5, 0.5, 1.0, 1.0]]])
    middles = torch.tensor([[[-0.5, -0.5], [0.6, 0.9], [0.2, 0.2], [-0.5, 0.6]]])
    assert hits(boxes, middles) == 0.5


def test_only_the_discs_show_the_age() -> None:
    faces = draw(200, 0)
    pixels = ((faces.middles + 1) * 32).long().clamp(2, 61)
    around = torch.stack(
        [
            torch.stack([image[0, y - 2 : y + 3, x - 2 : x + 3].std() for x, y in places])
            for image, places in zip(faces.images, pixels, strict=True)
        ]
    )
    rest = faces.images[:, 0].flatten(1).std(1)

    def correlation(values: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([values, faces.ages]))[0, 1])

    assert correlation(around.mean(1)) > 0.9
    assert abs(correlation(rest)) < 0.5
    assert float(rest.mean()) > 0.4  # the distractors are stronger than the noise


@pytest.mark.slow
def test_attention_finds_what_shows_the_age() -> None:
    """More often than boxes at random places do, and than the network's before training."""
    torch.set_num_threads(1)
    found = measure("pooling", steps=100, seed=1, width=4)
    assert found.trained >= 1.5 * found.chance
    assert found.untrained < 1.2 * found.chance
    assert found.mae < 15
