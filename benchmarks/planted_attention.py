"""Does ADPF's attention find what shows the age? Synthetic faces on which that is known.

    python benchmarks/planted_attention.py [--forms pooling literal] [--steps 600] [--seeds 3]

The age is written into the texture of two small discs: the contrast of a fine grating. One lies in
the upper half of the picture, one in the lower, each anywhere within a range of half the picture's
side. Left and right are larger gratings of higher contrast, which is random. An AttentionNet is
trained on such pictures. A disc is found if its middle is in one of the network's boxes. Printed
are the share of discs that are found on new pictures, beside boxes of the same sizes at random
places and beside the boxes of the network before training, and the network's MAE; ages are uniform
in 0 to 100, so that a network which finds nothing has 25.
"""

import argparse
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wrinkle.losses import Loss, Target
from wrinkle.models import create_model
from wrinkle.models.adpf import scattered
from wrinkle.models.attention_net import AttentionNet

SIZE = 64
RADIUS = 0.14
"""Of a disc, as a share of half the picture's side; a distractor's is twice as large."""
ANCHORS = ((0.0, -0.15), (0.0, 0.2))
"""Middles (x, y) of the discs' ranges, in [−1, 1]."""
RANGE = (0.45, 0.2)
"""Half of the range in x and y."""


class Planted(NamedTuple):
    """Synthetic faces.

    Attributes:
        images: (B, 3, SIZE, SIZE), normalised.
        ages: (B,) years.
        middles: (B, 2, 2): x and y in [−1, 1] of the discs that show the age.
    """

    images: Tensor
    ages: Tensor
    middles: Tensor


def draw(count: int, seed: int) -> Planted:
    """Draw synthetic faces."""
    random = np.random.default_rng(seed)
    at = (2 * np.arange(SIZE) + 1) / SIZE - 1
    x, y = np.meshgrid(at, at)
    ages = random.uniform(0, 100, count)
    middles = np.array(ANCHORS) + random.uniform(-1, 1, (count, 2, 2)) * RANGE
    pictures = np.empty((count, SIZE, SIZE))
    for i in range(count):
        picture = random.normal(0, 0.15, (SIZE, SIZE)) + random.uniform(-0.5, 0.5)
        for side in (-0.75, 0.75):
            place = side, random.uniform(-0.75, 0.75)
            picture += grating(x, y, place, 2 * RADIUS, random.uniform(1, 3), random)
        for place in middles[i]:
            picture += grating(x, y, place, RADIUS, 0.2 + ages[i] / 50, random)
        pictures[i] = picture
    images = torch.from_numpy(pictures).float()[:, None].expand(-1, 3, -1, -1).contiguous()
    return Planted(images, torch.from_numpy(ages).float(), torch.from_numpy(middles).float())


def grating(
    x: np.ndarray,
    y: np.ndarray,
    middle: np.ndarray | tuple[float, float],
    radius: float,
    contrast: float,
    random: np.random.Generator,
) -> np.ndarray:
    """A disc of stripes, four pixels wide, at a random angle: (SIZE, SIZE)."""
    angle, phase = random.uniform(0, np.pi), random.uniform(0, 2 * np.pi)
    along = (x * np.cos(angle) + y * np.sin(angle)) * SIZE / 2
    inside = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 <= radius**2
    stripes: np.ndarray = contrast * inside * np.sin(np.pi * along / 2 + phase)
    return stripes


def hits(boxes: Tensor, middles: Tensor) -> float:
    """Share of the middles (B, m, 2) that are in one of their picture's boxes (B, n, 4)."""
    first, last = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    inside = (middles[:, :, None] >= first) & (middles[:, :, None] <= last)
    return float(inside.all(-1).any(-1).float().mean())


class Found(NamedTuple):
    """Shares of discs found, and the MAE in years."""

    trained: float
    untrained: float
    chance: float
    mae: float


def measure(form: str, steps: int, seed: int, width: int = 8) -> Found:
    """Train an AttentionNet of two heads on synthetic faces and look for the discs."""
    torch.manual_seed(seed)
    net = create_model(
        "adpf_attention", form=form, input_size=SIZE, width=width, channels=32, heads=2
    )
    assert isinstance(net, AttentionNet)
    loss = Loss([{"name": "dldl_v2"}, {"name": "diversity", "form": "cosine", "weight": 0.1}])
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    new = draw(300, 10**6 + seed)
    with torch.no_grad():
        untrained = hits(net.eval().find_patches(new.images), new.middles)
    net.train()
    for step in range(steps):
        batch = draw(32, seed * 10**4 + step)
        unknown = torch.full_like(batch.ages, torch.nan)
        value, _ = loss(net(batch.images), Target(batch.ages, unknown), net)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    with torch.inference_mode():
        net.eval()
        boxes = net.find_patches(new.images)
        age = net.predict(new.images, torch.zeros(len(new.ages), 5, 2), mirror=False).age
    chance = hits(scattered(boxes, new.images), new.middles)
    mae = float((age - new.ages).abs().mean())
    return Found(hits(boxes, new.middles), untrained, chance, mae)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--forms", nargs="+", default=["pooling", "literal"])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    print("| form | seed | found, % | before training | by chance | found / chance | MAE |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for form in args.forms:
        for seed in range(args.seeds):
            found = measure(form, args.steps, seed)
            shares = " | ".join(f"{100 * share:.1f}" for share in found[:3])
            ratio = found.trained / found.chance
            print(f"| {form} | {seed} | {shares} | {ratio:.2f} | {found.mae:.1f} |", flush=True)


if __name__ == "__main__":
    main()
