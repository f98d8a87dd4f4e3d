"""Batch norm over the whole batch when several processes on CPUs share it.

PyTorch's SyncBatchNorm needs a GPU. Without it two processes would normalise half a batch each, and
two runs of one recipe would differ by more than rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist


class Total(torch.autograd.Function):
    """Sum of a tensor over all processes; the gradient is summed likewise."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return Total.forward(ctx, gradients[0])


def total(x: Tensor) -> Tensor:
    """Sum of a tensor over all processes, with its gradient."""
    summed: Tensor = Total.apply(x)  # type: ignore[no-untyped-call]
    return summed


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are those of all processes' pictures together."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → same shape; B may differ between the processes."""
        if not self.training:
            return super().forward(x)
        wide = x.float()
        count = wide.new_tensor(wide.numel() / wide.shape[1])
        dist.all_reduce(count)
        # Sums of squares about the mean, not of raw squares: those cancel badly.
        mean = total(wide.sum((0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = total(centred.square().sum((0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        y: Tensor = centred * (variance + self.eps).rsqrt()[:, None, None]
        y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


def share_batch_norm(model: nn.Module, device: torch.device) -> None:
    """Make every BatchNorm2d count all processes' pictures; tensors and their names stay.

    device: where the model trains; on a GPU the layers become PyTorch's own SyncBatchNorm.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            # The layer keeps its weights and hooks; only what a forward pass does changes.
            module.__class__ = SharedBatchNorm2d
