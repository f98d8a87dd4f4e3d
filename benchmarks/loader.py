"""Whether data loading limits training: pictures per second of the loader and of a step.

    python benchmarks/loader.py recipes/efficientnet_lite0.yaml data.store=utkface.arrow

One worker process reads, decodes and augments the crops as in training; the network is then
trained on the same batches from memory, on the CPU, with all of torch's threads.
"""

import argparse
import time
from itertools import cycle, islice
from pathlib import Path

import torch

from wrinkle.datasets.loader import (
    EpochBatches,
    Faces,
    Item,
    balance_weights,
    create_loader,
)
from wrinkle.datasets.store import Store
from wrinkle.faces.input import InputSpec
from wrinkle.protocols import get_protocol
from wrinkle.runs.recipe import Recipe, load_recipe
from wrinkle.training.network import create_network
from wrinkle.training.optim import create_optimizer
from wrinkle.training.task import Task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--steps", type=int, default=15)
    args = parser.parse_args()
    recipe = load_recipe(args.recipe, args.overrides)
    network, store = create_network(recipe).train(), Store(recipe.data.store)
    size, zoom = recipe.input.size, recipe.input.zoom
    spec = InputSpec(size, zoom, store.size, network.mean, network.std)
    batches, loaded = time_loader(recipe, store, spec, 4 * args.steps)
    task = Task(network, recipe.create_loss(), spec, bf16=False)
    trained = time_network(recipe, task, batches, args.steps)
    print(f"loader, 1 worker   {loaded:8.0f} pictures/s")
    print(f"training step      {trained:8.0f} pictures/s, {torch.get_num_threads()} threads")
    print(f"ratio              {loaded / trained:8.1f}")


def time_loader(
    recipe: Recipe, store: Store, spec: InputSpec, steps: int
) -> tuple[list[Item], float]:
    fold = get_protocol(recipe.data.protocol).folds(store.columns)[0]
    faces = Faces(store, spec, recipe.augment)
    weights = balance_weights(store.ages[fold.train], recipe.training.balance)
    sampler = EpochBatches(fold.train, weights, recipe.training.batch, seed=0)
    loader = iter(create_loader(faces, sampler, 1, torch.device("cpu")))
    kept = [next(loader) for _ in range(4)]
    # Batches that were read ahead before the clock started are not counted.
    for _ in range(8):
        next(loader)
    start, count = time.perf_counter(), 0
    for batch in islice(loader, steps):
        count += len(batch.age)
    return kept, count / (time.perf_counter() - start)


def time_network(recipe: Recipe, task: Task, batches: list[Item], steps: int) -> float:
    network = task.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = create_optimizer(network, recipe.optimizer)
    count = 0
    for step, batch in enumerate(islice(cycle(batches), steps + 2)):
        if step == 2:
            start, count = time.perf_counter(), 0
        loss = task(network, batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        count += len(batch.age)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
