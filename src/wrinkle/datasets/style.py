"""Mixing of the light and colour of faces: low frequencies of one get the strength of another's.

Xu, Zhang, Zhang, Wang and Tian, "A Fourier-based Framework for Domain Generalization", CVPR 2021
(amplitude mix), for low frequencies alone, as in Yang and Soatto, "FDA: Fourier Domain Adaptation
for Semantic Segmentation", CVPR 2020.
"""

import torch
from torch import Tensor

BAND = 0.03
"""Highest frequency that changes, in cycles per pixel; at 150 pixels 4 cycles per side."""


def mix_style(images: Tensor, probability: float) -> Tensor:
    """Give some images of a batch a part of the low frequencies' amplitude of other ones.

    The amplitude of an image's frequencies up to `BAND`, and each channel's mean, become (1 − λ)
    times its own plus λ times another's, λ uniform in [0, 1]; the phase, and with it the face's
    shape, stays. Random numbers are torch's.

    Args:
        images: (B, C, H, W) float.
        probability: share of images that change, in [0, 1].

    Returns:
        (B, C, H, W).
    """
    count, (rows, columns) = len(images), images.shape[-2:]
    device = images.device
    strength = torch.rand(count) * (torch.rand(count) < probability)
    other = torch.randperm(count).to(device)
    spectrum = torch.fft.rfft2(images)
    amplitude = spectrum.abs()
    low = torch.fft.fftfreq(rows, device=device).abs()[:, None] <= BAND
    low = low & (torch.fft.rfftfreq(columns, device=device) <= BAND)
    share = strength.to(images)[:, None, None, None] * low
    mixed = spectrum * (1 + share * (amplitude[other] / amplitude.clamp_min(1e-6) - 1))
    # The mean has no phase: its sign is that of the normalised channel.
    mean, others = spectrum[..., :1, :1], spectrum[other][..., :1, :1]
    mixed[..., :1, :1] = torch.lerp(mean, others, share[..., :1, :1].to(mean))
    images = torch.fft.irfft2(mixed, s=(rows, columns))
    return images
