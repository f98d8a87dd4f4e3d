"""Mixing of low frequencies: against a slow transform, and what stays."""

import numpy as np
import pytest
import torch

from wrinkle.datasets.style import BAND, mix_style


def slow_mix(own: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """One channel (H, W): each low frequency's amplitude one by one, float64."""
    a, b = np.fft.fft2(own), np.fft.fft2(other)
    rows, columns = np.fft.fftfreq(own.shape[0]), np.fft.fftfreq(own.shape[1])
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            if y == x == 0:
                a[y, x] = (1 - share) * a[y, x] + share * b[y, x]
            elif abs(row) <= BAND and abs(column) <= BAND:
                amplitude = (1 - share) * abs(a[y, x]) + share * abs(b[y, x])
                a[y, x] = amplitude * np.exp(1j * np.angle(a[y, x]))
    return np.fft.ifft2(a).real


@pytest.mark.parametrize("size", [(70, 70), (67, 80)])
def test_it_is_the_slow_mix(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 2, *size, dtype=torch.float64)
    torch.manual_seed(1)
    strength = torch.rand(3) * (torch.rand(3) < 1)
    other = torch.randperm(3)
    torch.manual_seed(1)
    mixed = mix_style(images, 1.0)
    for number in range(3):
        for channel in range(2):
            expected = slow_mix(
                images[number, channel].numpy(),
                images[other[number], channel].numpy(),
                float(strength[number]),
            )
            np.testing.assert_allclose(mixed[number, channel], expected, atol=1e-6)


def test_probability_is_the_share_of_images_that_change() -> None:
    torch.manual_seed(0)
    images = torch.randn(400, 1, 34, 34)
    changed = (mix_style(images, 0.3) - images).abs().amax((1, 2, 3)) > 1e-4
    assert 0.2 < changed.float().mean() < 0.4
    torch.testing.assert_close(mix_style(images, 0.0), images, atol=1e-5, rtol=0)


def test_detail_stays() -> None:
    torch.manual_seed(0)
    detail = torch.tensor([1.0, -1.0]).repeat(32).expand(64, 64)
    images = torch.stack([detail + shade for shade in (0.0, 2.0)])[:, None]
    mixed = mix_style(images, 1.0)
    difference = mixed - mixed.mean((2, 3), keepdim=True)
    torch.testing.assert_close(difference[:, 0], detail.expand(2, 64, 64), atol=1e-5, rtol=0)
