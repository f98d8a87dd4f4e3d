"""Compare a training step of each variant of recipes/rivals.yaml with that of the plain head.

    python benchmarks/heads.py                   # res18 of width 16 at 112 pixels, batches of 64
    python benchmarks/heads.py --rounds 15 corn moving_window

A step is the forward pass, the loss, the backward pass and AdamW's update, on random pictures. All
variants take turns; times are CPU seconds of one thread, medians over rounds. The plain head is
`cross_entropy`, a softmax. Forests also update their leaves after each epoch: the last column has
this for UTKFace's 18,444 training faces, and the ratio counts its share of a step.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import measure
from wrinkle.losses import Target
from wrinkle.runs.overlays import choices, read_recipe
from wrinkle.runs.recipe import Recipe, load_recipe
from wrinkle.training.network import build_network, has_after_epoch
from wrinkle.training.optim import create_optimizer

RECIPE = Path(__file__).parents[1] / "recipes" / "rivals.yaml"
PLAIN = "cross_entropy"
FACES = 18_444


def main() -> None:
    every = choices(read_recipe(RECIPE))["variant"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", nargs="*", default=every)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = list(dict.fromkeys([PLAIN, *args.variants]))
    recipes = [load_recipe(RECIPE, [f"variant={name}"]) for name in names]
    seconds = measure.in_turn([step_of(r) for r in recipes], args.rounds, time.process_time)
    steps = FACES / recipes[0].training.batch
    print("| variant | CPU ms a step | over the plain head | leaf update, s an epoch |")
    print("|---|---:|---:|---:|")
    for name, recipe, second in zip(names, recipes, seconds, strict=True):
        update = update_seconds(recipe)
        ratio = (second + update / steps) / seconds[0]
        shown = f"{update:.1f}" if update else "–"
        print(f"| {name} | {1000 * second:.0f} | {ratio:.2f} | {shown} |")


def step_of(recipe: Recipe) -> Callable[[], None]:
    network = build_network(recipe).train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss, optimizer = recipe.create_loss(), create_optimizer(network, recipe.optimizer)
    batch, size = recipe.training.batch, recipe.input.size
    images = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
    target = Target(100 * torch.rand(batch), torch.full((batch,), torch.nan))

    def step() -> None:
        optimizer.zero_grad()
        loss(network(images), target, network)[0].backward()
        optimizer.step()

    return step


def update_seconds(recipe: Recipe) -> float:
    """CPU seconds of the update after an epoch; 0 for heads without one."""
    network = build_network(recipe)
    if not has_after_epoch(network):
        return 0.0
    raw = torch.randn(FACES, network.head(torch.zeros(1, features(network.head))).shape[-1])
    task = partial(network.after_epoch, raw, 100 * torch.rand(FACES))
    (seconds,) = measure.in_turn([task], 1, time.process_time)
    return seconds


def features(head: torch.nn.Module) -> int:
    (layer, *_) = (m for m in head.modules() if isinstance(m, torch.nn.Linear))
    return layer.in_features


if __name__ == "__main__":
    main()
