"""What one step is: a batch of faces → the loss and its terms."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wrinkle.datasets.loader import Item
from wrinkle.faces.input import InputSpec
from wrinkle.losses import Loss, Target
from wrinkle.models import AgeModel, Extras


class StepResult(NamedTuple):
    """Loss of a batch, a scalar; its terms by name, not weighted; raw outputs (B, …)."""

    loss: Tensor
    terms: dict[str, Tensor]
    raw: Tensor


class Task:
    """Forward pass and loss of a network on batches of faces.

    Args:
        network: its heads decode the outputs.
        spec: what the network expects to see.
        bf16: whether the forward pass is autocast to bfloat16; losses are float32 always.
    """

    def __init__(self, network: AgeModel, loss: Loss, spec: InputSpec, bf16: bool) -> None:
        self.network, self.loss, self.spec, self.bf16 = network, loss, spec, bf16

    def __call__(self, model: nn.Module, batch: Item) -> StepResult:
        """Args:
        model: the network, or what a distributed run wraps around it.
        """
        images = self.spec.images(batch.crop, batch.matrix)
        with torch.autocast(images.device.type, torch.bfloat16, self.bf16):
            output = model(images, batch.key_points, *self._extras(batch))
        target = Target(batch.age, batch.deviation)
        loss, terms = self.loss(output, target, self.network)
        return StepResult(loss, terms, output.raw)

    @staticmethod
    def _extras(batch: Item) -> list[Extras]:
        """What the network computed for these rows, of the side that each input shows."""
        if not batch.extras:
            return []
        rows = torch.arange(len(batch.side), device=batch.side.device)
        values = {name: value[rows, batch.side] for name, value in batch.extras.items()}
        return [Extras(values, batch.motion)]


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of torch's random numbers (dropout) in one step of one process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])
