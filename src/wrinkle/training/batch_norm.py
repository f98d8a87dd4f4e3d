"""Batch norm over the complete batch when several processes on CPUs divide it.

PyTorch's SyncBatchNorm needs a GPU. Without shared statistics two processes would normalise half a
batch each, and their run would differ from that of one process by more than rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist


class Total(torch.autograd.Function):
    """Sum of a tensor over all processes; its gradient is summed over them too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """x of any shape → its sum over all processes, of the same shape."""
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Gradient of the sum → gradient of x."""
        return Total.forward(ctx, gradients[0])


def total(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes, of the same shape; differentiable."""
    summed: Tensor = Total.apply(x)  # type: ignore[no-untyped-call]
    return summed


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are computed over the pictures of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) → the same shape; B may differ between processes."""
        if not self.training:
            return super().forward(x)
        wide = x.float()
        count = wide.new_tensor(wide.numel() / wide.shape[1])
        dist.all_reduce(count)
        # Sums of squares about the mean, not of raw squares: those cancel badly.
        mean = total(wide.sum((0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = total(centred.square().sum((0, 2, 3))) / count
        self._update_running(mean.detach(), variance.detach() * count / (count - 1))
        y: Tensor = centred * (variance + self.eps).rsqrt()[:, None, None]
        y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(x.dtype)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


def share_batch_norm(model: nn.Module, device: torch.device) -> None:
    """Replace every BatchNorm2d below `model` by one that uses all processes' pictures, in place.

    Parameters and buffers are the same objects under the same names. Call it before the optimizer
    is made.

    Args:
        model: the network, in training.
        device: where the model trains; on a GPU the layers become PyTorch's own SyncBatchNorm.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for name, child in model.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(model, name, _shared(child))
        else:
            share_batch_norm(child, device)


def _shared(norm: nn.BatchNorm2d) -> SharedBatchNorm2d:
    """A SharedBatchNorm2d with the parameters and buffers of `norm`."""
    shared = SharedBatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    shared.weight, shared.bias = norm.weight, norm.bias
    shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
    shared.num_batches_tracked = norm.num_batches_tracked
    return shared.train(norm.training)
