"""One training step: a batch of faces → the loss and its terms."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wrinkle.datasets.loader import Item
from wrinkle.datasets.style import mix_style
from wrinkle.faces.input import InputSpec
from wrinkle.losses import Loss, Target
from wrinkle.models import AgeModel, Extras


class StepResult(NamedTuple):
    """The result of a step.

    Attributes:
        loss: of the batch, a scalar.
        terms: name → term of the loss before it is weighted, a scalar.
        raw: (B, …), raw outputs of the final head.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    raw: Tensor


class Task:
    """Forward pass and loss of a network on batches of faces.

    Args:
        network: the network, whose heads decode the outputs.
        loss: the loss.
        spec: the network's input.
        bf16: whether the forward pass is autocast to bfloat16; losses are always float32.
        style: share of images whose light and colour are mixed with another's, in [0, 1].
    """

    def __init__(
        self, network: AgeModel, loss: Loss, spec: InputSpec, bf16: bool, style: float = 0.0
    ) -> None:
        self.network, self.loss, self.spec = network, loss, spec
        self.bf16, self.style = bf16, style

    def __call__(self, model: nn.Module, batch: Item) -> StepResult:
        """Compute the loss of a batch.

        Args:
            model: the network, or its wrapper in a distributed run.
            batch: the faces.

        Returns:
            The loss, its terms and the raw outputs.
        """
        images = self.spec.images(batch.crop, batch.matrix)
        if self.style:
            images = mix_style(images, self.style)
        with torch.autocast(images.device.type, torch.bfloat16, self.bf16):
            output = model(images, batch.key_points, *self._extras(batch))
        teacher = batch.teacher if batch.teacher.shape[1] else None
        target = Target(batch.age, batch.deviation, batch.ranges, batch.exact, teacher)
        loss, terms = self.loss(output, target, self.network)
        return StepResult(loss, terms, output.raw)

    @staticmethod
    def _extras(batch: Item) -> list[Extras]:
        """The row extras of a batch, of the plain view or of the mirror image as in each input."""
        if not batch.extras:
            return []
        rows = torch.arange(len(batch.side), device=batch.side.device)
        values = {name: value[rows, batch.side] for name, value in batch.extras.items()}
        return [Extras(values, batch.motion)]


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of torch's random numbers (dropout, style) for one step.

    Args:
        seed: of the recipe.
        step: number of the step from 0, over all epochs.
        rank: number of the process.
    """
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])
