"""The same predictions in less time: what is done to a trained network before it only predicts."""

import platform
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wrinkle.models.base import AgeModel


def prepare_for_inference(model: AgeModel, device: str | torch.device = "cpu") -> AgeModel:
    """Move a network to where it will only predict, in evaluation mode; in place.

    Batch norms are folded into their convolutions and pixels laid out channels last. On a CPU
    weights are put into the order that oneDNN computes in, once instead of at every call, and where
    the processor multiplies bfloat16 itself, the network's `bf16_parts` are computed in it, which
    changes an age by some hundredths of a year and takes half the time.

    The model cannot be trained or saved any more. Its float32 predictions change by rounding only.
    """
    device = torch.device(device)
    model.to(device).eval().requires_grad_(False)
    fold_batch_norm(model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu" and hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        if multiplies_bf16():
            for part in model.bf16_parts:
                pack_convolutions(model.get_submodule(part), torch.bfloat16)
        pack_convolutions(model, torch.float32)
    return model


def fold_batch_norm(module: nn.Module) -> None:
    """Multiply every BatchNorm2d into the convolution that is registered just before it.

    In all of wrinkle's networks a batch norm follows its convolution in that order.
    """
    for (name, child), (norm_name, norm) in pairwise(list(module.named_children())):
        if isinstance(child, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, norm))
            setattr(module, norm_name, nn.Identity())
    for child in module.children():
        fold_batch_norm(child)


def pack_convolutions(module: nn.Module, dtype: torch.dtype) -> None:
    """Replace every plain Conv2d below `module` by a `PackedConv2d` that computes in `dtype`."""
    for name, child in module.named_children():
        if type(child) is nn.Conv2d and child.groups == 1 and child.padding_mode == "zeros":
            setattr(module, name, PackedConv2d(child, dtype))
        else:
            pack_convolutions(child, dtype)


class PackedConv2d(nn.Module):
    """A convolution on a CPU with its weight in oneDNN's own order.

    In bfloat16 only the factors are rounded: sums and the bias are float32, the result is rounded
    once.
    """

    def __init__(self, convolution: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.place = (
            [int(p) for p in convolution.padding],
            list(convolution.stride),
            list(convolution.dilation),
        )
        weight = convolution.weight.to(dtype, memory_format=torch.channels_last)
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight, self.place[0], self.place[1], self.place[2], 1, None
        )
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) of any floating type → (B, O, H', W') in `dtype`."""
        x = x.to(self.dtype, memory_format=torch.channels_last)
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.place, 1, "none", [], ""
        )
        return y


def multiplies_bf16() -> bool:
    """Whether bfloat16 is faster than float32 on this processor: x86 with AVX512_BF16 or AMX."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
