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
from wrinkle.faces.align import face_input
from wrinkle.models import create_model
from wrinkle.protocols import get_protocol
from wrinkle.runs.recipe import Recipe, load_recipe
from wrinkle.training.loop import create_loss
from wrinkle.training.optim import create_optimizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--steps", type=int, default=15)
    args = parser.parse_args()
    recipe = load_recipe(args.recipe, args.overrides)
    batches, loaded = time_loader(recipe, 4 * args.steps)
    trained = time_network(recipe, batches, args.steps)
    print(f"loader, 1 worker   {loaded:8.0f} pictures/s")
    print(f"training step      {trained:8.0f} pictures/s, {torch.get_num_threads()} threads")
    print(f"ratio              {loaded / trained:8.1f}")


def time_loader(recipe: Recipe, steps: int) -> tuple[list[Item], float]:
    store = Store(recipe.data.store)
    fold = get_protocol(recipe.data.protocol).folds(store.columns)[0]
    faces = Faces(store, recipe.input.size, recipe.input.zoom, recipe.augment)
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


def time_network(recipe: Recipe, batches: list[Item], steps: int) -> float:
    fields = {**recipe.model.fields, "input_size": recipe.input.size}
    network = create_model(recipe.model.name, **fields).train()
    network.to(memory_format=torch.channels_last)
    optimizer = create_optimizer(network, recipe.optimizer)
    loss = create_loss(recipe.loss, network)
    count = 0
    for step, batch in enumerate(islice(cycle(batches), steps + 2)):
        if step == 2:
            start, count = time.perf_counter(), 0
        images = face_input(batch.crop, batch.matrix, recipe.input.size, network.mean, network.std)
        output = network(images, batch.key_points)
        optimizer.zero_grad()
        loss(output, batch, network.ages).backward()
        optimizer.step()
        count += len(batch.age)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
