"""Random views of a face: one affine motion, and changes of its pixels."""

from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from wrinkle.faces.align import compose, transform
from wrinkle.settings import Part, Probability

Strength = Annotated[float, Field(ge=0, lt=1)]


class Photometric(Part):
    """Changes of the crop's pixels. The first four are strengths, the rest probabilities.

    `cast` is the colour cast of old prints and cheap lamps: a gain of each channel of its own.
    `detail` smooths skin, as beauty filters do, or sharpens it; edges stay. `local_contrast` evens
    the light over the face (CLAHE).
    """

    brightness: Strength = 0.0
    contrast: Strength = 0.0
    saturation: Strength = 0.0
    cast: Strength = 0.0
    greyscale: Probability = 0.0
    blur: Probability = 0.0
    downscale: Probability = 0.0
    jpeg: Probability = 0.0
    noise: Probability = 0.0
    grain: Probability = 0.0
    detail: Probability = 0.0
    local_contrast: Probability = 0.0


class Augment(Part):
    """Random view of a face: `mirror` is a probability, `rotation` ± degrees, `scale` and
    `translation` ± fractions (of the face's size and of the input's side). `zero_padding` makes
    black what a motion brings in from outside the view, which otherwise is the rest of the crop.
    `style` is the share of faces that get a part of another face's light and colour
    (`datasets.style`)."""

    mirror: Probability = 0.5
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    scale: Strength = 0.0
    translation: Strength = 0.0
    zero_padding: bool = False
    photometric: Photometric = Photometric()
    style: Probability = 0.0


def generator(seed: int, epoch: int, row: int, draw: int) -> np.random.Generator:
    """Random numbers of one draw: Philox at a place of its own, nothing to seed or to carry on."""
    counter = np.array([0, draw, row, epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=seed, counter=counter))


def mirror_matrix(size: int) -> np.ndarray:
    """(2, 3): swaps left and right of a picture `size` pixels wide."""
    return np.array([[-1.0, 0.0, size], [0.0, 1.0, 0.0]])


def motion_matrix(
    size: int, degrees: float, scale: float, shift: tuple[float, float], mirror: bool
) -> np.ndarray:
    """(2, 3) map of input pixels to input pixels: turn and scale about the middle, shift, mirror.

    Args:
        degrees: positive turns clockwise as seen, y pointing down.
        shift: (x, y) as fractions of the input's side.
    """
    turn = scale * np.exp(1j * np.deg2rad(degrees))
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    middle = np.full(2, size / 2)
    offset = middle + np.asarray(shift) * size - linear @ middle
    motion = np.concatenate([linear, offset[:, None]], 1)
    return compose(mirror_matrix(size), motion) if mirror else motion


def draw_motion(
    random: np.random.Generator, augment: Augment, size: int
) -> tuple[np.ndarray, bool]:
    """A random `motion_matrix` within the recipe's ranges, and whether it mirrors."""
    turn, scale, x, y = random.uniform(-1, 1, 4)
    mirror = bool(random.random() < augment.mirror)
    shift = x * augment.translation, y * augment.translation
    # A power, so that as many faces come nearer as go away.
    factor = (1 + augment.scale) ** scale
    return motion_matrix(size, turn * augment.rotation, factor, shift, mirror), mirror


def black_outside(crop: np.ndarray, view: np.ndarray, size: int) -> np.ndarray:
    """Make black what a view does not show of a crop.

    Args:
        crop: (S, S, 3) uint8, not changed.
        view: (2, 3) map from the crop's pixels to the view's.
        size: side of the view in pixels.

    Returns:
        (S, S, 3) uint8.
    """
    side = np.arange(crop.shape[0]) + 0.5
    centres = np.stack(np.meshgrid(side, side), -1)
    shown = transform(view, centres)
    inside = np.all((shown >= 0) & (shown <= size), axis=-1, keepdims=True)
    padded: np.ndarray = np.where(inside, crop, 0).astype(np.uint8)
    return padded


def vary_pixels(random: np.random.Generator, strength: Photometric, crop: np.ndarray) -> np.ndarray:
    """Light and colour, then the losses of cheap lenses, scanners and files.

    crop: (S, S, 3) uint8, not changed; the result has the same shape.
    """
    brightness, contrast, saturation = random.uniform(-1, 1, 3)
    losses = ("greyscale", "blur", "downscale", "noise", "jpeg", "grain")
    chance = dict(zip(losses, random.random(len(losses)), strict=True))
    cast = random.uniform(-1, 1, 3)
    if strength.brightness or strength.contrast or strength.cast:
        gains = (1 + contrast * strength.contrast) * (1 + cast * strength.cast)
        crop = _tone(crop, gains, brightness * strength.brightness)
    if chance["greyscale"] < strength.greyscale:
        crop = _saturate(crop, 0.0)
    elif strength.saturation:
        crop = _saturate(crop, 1 + saturation * strength.saturation)
    if strength.local_contrast and random.random() < strength.local_contrast:
        crop = _local_contrast(crop, random.uniform(0.5, 4))
    if strength.detail and random.random() < strength.detail:
        crop = _detail(crop, random.uniform(0.0, 1.8), random.uniform(0.01, 0.03))
    if chance["blur"] < strength.blur:
        crop = cv2.GaussianBlur(crop, (0, 0), random.uniform(0.5, 2.0))
    if chance["downscale"] < strength.downscale:
        crop = _downscale(crop, random.uniform(0.25, 0.75))
    if chance["grain"] < strength.grain:
        crop = _grain(random, crop, random.uniform(1, 12) / 256, random.uniform(2, 10))
    if chance["noise"] < strength.noise:
        crop = _noise(random, crop, random.uniform(2.0, 12.0))
    if chance["jpeg"] < strength.jpeg:
        crop = _jpeg(crop, int(random.integers(15, 80)))
    return crop


def _tone(crop: np.ndarray, gains: np.ndarray, brightness: float) -> np.ndarray:
    """A straight tone curve for each channel, through mid-grey moved by `brightness`."""
    levels = (np.arange(256)[:, None] - 127.5) * gains + 127.5 + 255 * brightness
    return cv2.LUT(crop, np.clip(np.rint(levels), 0, 255).astype(np.uint8)[:, None])


def _saturate(crop: np.ndarray, amount: float) -> np.ndarray:
    grey = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(crop, amount, grey, 1 - amount, 0)


def _local_contrast(crop: np.ndarray, limit: float) -> np.ndarray:
    """CLAHE of the lightness over 4 × 4 fields, with a clip limit."""
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(limit, (4, 4)).apply(np.ascontiguousarray(lab[..., 0]))
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def _detail(crop: np.ndarray, gain: float, radius: float, edge: float = 12.0) -> np.ndarray:
    """Multiply fine detail by a gain, below 1 to smooth; edges are kept.

    The base without detail is the self-guided filter of He, Sun and Tang, "Guided Image Filtering",
    TPAMI 2013: mean + var / (var + edge²) · (pixel − mean), over a square.

    Args:
        radius: half the square's side, as a fraction of the crop's.
        edge: standard deviation in grey levels from which on something counts as an edge.
    """
    x = crop.astype(np.float32)
    side = 2 * max(1, round(radius * crop.shape[0])) + 1
    mean = cv2.blur(x, (side, side))
    variance = cv2.blur(x * x, (side, side)) - mean * mean
    keep = variance / (variance + edge**2)
    base = mean + cv2.blur(keep, (side, side)) * (x - mean)
    detailed: np.ndarray = np.clip(base + gain * (x - base), 0, 255).astype(np.uint8)
    return detailed


def _downscale(crop: np.ndarray, factor: float) -> np.ndarray:
    size = crop.shape[0]
    small = max(8, round(size * factor))
    crop = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)


def _noise(random: np.random.Generator, crop: np.ndarray, sigma: float) -> np.ndarray:
    noise = random.standard_normal(crop.shape, np.float32)
    noisy: np.ndarray = np.clip(crop + noise * np.float32(sigma), 0, 255).astype(np.uint8)
    return noisy


def _grain(random: np.random.Generator, crop: np.ndarray, width: float, sigma: float) -> np.ndarray:
    """Light and dark specks about `width` of the crop's side wide: film grain, paper, halftone."""
    size = crop.shape[0]
    cells = max(2, min(size, round(1 / width)))
    specks = cv2.resize(
        random.standard_normal((cells, cells), np.float32),
        (size, size),
        interpolation=cv2.INTER_LINEAR,
    )
    specks *= np.float32(sigma) / specks.std()
    return np.clip(crop + specks[:, :, None], 0, 255).astype(np.uint8)


def _jpeg(crop: np.ndarray, quality: int) -> np.ndarray:
    # Channel order does not matter to the round trip but for chroma: hand over as BGR.
    ok, data = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert ok
    assert decoded is not None
    return decoded[..., ::-1]
