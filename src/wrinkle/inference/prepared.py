"""Preparation of a trained network for faster prediction."""

import platform
from itertools import pairwise
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wrinkle.models.base import AgeModel
from wrinkle.models.convolutions import ReLU6Of, SameConv2d

OPERATIONS = (
    "_convolution_pointwise",
    "_linear_pointwise",
    "_reorder_convolution_weight",
    "_reorder_linear_weight",
)
"""Of torch's oneDNN; they are not public, and a build of torch may lack them."""


def prepare_for_inference(model: AgeModel, device: str | torch.device = "cpu") -> AgeModel:
    """Prepare a network for prediction on a device, in evaluation mode; in place.

    Batch norms are folded into their convolutions, and the memory format becomes channels_last. On
    a CPU, weights are reordered for oneDNN once instead of at every call, and each `ReLU6Of` is
    computed with its convolution. If the processor has bfloat16 instructions, the network's
    `bf16_parts` are computed in bfloat16, which changes an age by a few hundredths of a year and
    halves the time. Float32 predictions change by rounding only.

    Args:
        model: the network; it cannot be trained or saved afterwards.
        device: where it will predict.

    Returns:
        The same network.
    """
    device = torch.device(device)
    model.to(device).eval().requires_grad_(False)
    fold_batch_norm(model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu" and all(hasattr(torch.ops.mkldnn, each) for each in OPERATIONS):
        if multiplies_bf16():
            for part in model.bf16_parts:
                pack_convolutions(model.get_submodule(part), torch.bfloat16)
        pack_convolutions(model, torch.float32)
    return model


def fold_batch_norm(module: nn.Module) -> None:
    """Fold every BatchNorm2d into the convolution registered directly before it, in place.

    Args:
        module: a network in evaluation mode, in which every batch norm is registered directly after
            its convolution, as in all networks of wrinkle.
    """
    for (name, child), (norm_name, norm) in pairwise(list(module.named_children())):
        if isinstance(child, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, norm))
            setattr(module, norm_name, nn.Identity())
    for child in module.children():
        fold_batch_norm(child)


def pack_convolutions(module: nn.Module, dtype: torch.dtype) -> None:
    """Replace convolutions below a module by `PackedConv2d`, with their `ReLU6Of`; in place.

    Convolutions with other than zero padding are kept, strided ones with SAME padding if they are
    not grouped, and in float32 those that would not be faster: grouped without a ReLU6.

    Args:
        module: a network or a part of it.
        dtype: type to compute in, float32 or bfloat16.
    """
    children = dict(module.named_children())
    activations = {m.convolution: n for n, m in children.items() if isinstance(m, ReLU6Of)}
    for name, child in children.items():
        if not can_be_packed(child):
            pack_convolutions(child, dtype)
        elif dtype != torch.float32 or is_reordered(child) or name in activations:
            setattr(module, name, PackedConv2d(child, dtype, relu6=name in activations))
            if name in activations:
                setattr(module, activations[name], nn.Identity())


def can_be_packed(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a module is a convolution that `PackedConv2d` computes, and faster."""
    if type(module) is SameConv2d:
        return module.stride == (1, 1) or (module.stride == (2, 2) and module.groups > 1)
    return type(module) is nn.Conv2d and module.padding_mode == "zeros"


def is_reordered(convolution: nn.Conv2d) -> bool:
    """Return whether oneDNN's memory layout makes a convolution faster.

    Not if it is grouped, or 1×1 with a stride or padding.
    """
    return convolution.groups == 1 and (is_linear(convolution) or convolution.kernel_size != (1, 1))


def is_linear(convolution: nn.Conv2d) -> bool:
    """Return whether a convolution is a linear layer of each pixel.

    For some of these, such as 512 → 512, the layout that oneDNN chooses for a convolution without
    knowing the input's size is ten times slower; that for a linear layer is fast for any size.
    """
    one, none = (1, 1), (0, 0)
    alone = convolution.groups == 1 and convolution.padding == none
    return alone and convolution.kernel_size == convolution.stride == one


class PackedConv2d(nn.Module):
    """A convolution on a CPU with its weight in oneDNN's memory layout, see `is_reordered`.

    In bfloat16 only the factors and the result are rounded; sums and the bias are float32.

    Args:
        convolution: the convolution to replace; `can_be_packed` is true.
        dtype: type to compute in, float32 or bfloat16.
        relu6: whether a ReLU6 follows.
    """

    def __init__(self, convolution: nn.Conv2d, dtype: torch.dtype, relu6: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        self.geometry = (
            [int(p) for p in convolution.padding],
            list(convolution.stride),
            list(convolution.dilation),
            convolution.groups,
        )
        self.activation = ("hardtanh", [0.0, 6.0], "") if relu6 else ("none", [], "")
        weight = convolution.weight.detach()
        self.same = type(convolution) is SameConv2d and convolution.stride == (2, 2)
        if self.same:
            # SAME padding of an even side has its extra pixel at the end. A kernel with zeros at
            # its start makes the padding equal on both sides, which is twice as fast as `F.pad`.
            weight = F.pad(weight, (1, 0, 1, 0))
        weight = weight.to(dtype, memory_format=torch.channels_last)
        self.linear = is_linear(convolution)
        if self.linear:
            weight = torch.ops.mkldnn._reorder_linear_weight(weight.flatten(1).contiguous(), None)
        elif is_reordered(convolution):
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            weight = reorder(weight, *self.geometry, None)
        self.weight = weight
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) of any floating type → (B, O, H', W') in `dtype`."""
        rows, columns = (side % 2 if self.same else 0 for side in x.shape[-2:])
        if rows or columns:
            x = F.pad(x, (columns, 0, rows, 0))
        x = x.to(self.dtype, memory_format=torch.channels_last)
        if self.linear:
            y: Tensor = torch.ops.mkldnn._linear_pointwise(
                x.permute(0, 2, 3, 1), self.weight, self.bias, *self.activation
            )
            return y.permute(0, 3, 1, 2)
        y = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.geometry, *self.activation
        )
        return y


def multiplies_bf16() -> bool:
    """Return whether this processor has bfloat16 instructions: x86 with AVX512_BF16 or AMX."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
