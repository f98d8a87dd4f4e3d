"""Hybrid attention and its ranking-guided multi-head form, section III.A of the ADPF paper.

"Improving Face-Based Age Estimation With Attention-Based Dynamic Patch Fusion", TIP 2022. Names are
the paper's: Q, K and V, relative encodings r^h and r^w, channel weights w_CA, maps HA_n and their
scales a_n.

The paper leaves open, and is chosen here: c_V is the head's width (100); c_Q = c_K = 16, near the
eighth that its source for images, Zhang et al., use; FC1 has a quarter of c outputs; attention
starts as a window around each position (`HybridAttention.reset_attention`).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from wrinkle.errors import WrinkleError

KEYS = 16
"""c_Q and c_K, in heads of at least this many channels."""
REDUCTION = 4
"""Ratio of the channels of CA to those between FC1 and FC2."""
CPU_BLOCK, GPU_BLOCK = 2**20, 2**26
"""Entries of the attention matrix in a block: for each thread of a CPU, what its cache holds; for a
GPU, enough to use it fully."""
NARROW = 1 / 16
"""Standard deviation of a head's initial window, as a share of the side."""
NEGLIGIBLE = -60.0
"""Smallest logit relative to the highest; smaller ones are clamped to it. exp gives 1e-26 there,
while denormal numbers would be many times slower on a CPU."""


class HybridAttention(nn.Module):
    """One head: self-attention with relative positions, its channels weighted by channel attention
    and summed to a single map (Eq. 1–5).

    Memory grows with H · W, in training too, although the matrix of Eq. 1 has (H · W)² entries.

    Args:
        in_channels: c, channels of the head's input.
        size: (H, W) of its input.
        channel_attention: False weights every channel with 1 ("ADPF w/ SA" of Table VII).
        window: standard deviation of the initial window, as a share of the mean of both sides.

    Raises:
        WrinkleError: no channels or size; in `forward`, an input of another shape.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        channel_attention: bool = True,
        window: float = NARROW,
    ) -> None:
        super().__init__()
        if in_channels < 1 or len(size) != 2 or min(size) < 1:
            raise WrinkleError(
                f"hybrid attention of {in_channels} channels at {size}: both are at least 1"
            )
        c, (h, w) = in_channels, size
        c_k = min(c, KEYS)
        self.in_channels, self.size = c, (h, w)
        # The paper's 1×1 convolutions, as linear layers on each position's channels.
        self.q = nn.Linear(c, c_k)
        self.k = nn.Linear(c, c_k)
        self.v = nn.Linear(c, c)
        self.r_h = nn.Parameter(torch.empty(2 * h - 1, c_k))
        self.r_w = nn.Parameter(torch.empty(2 * w - 1, c_k))
        self.channel_attention = ChannelAttention(c) if channel_attention else None
        self.reset_attention(window)

    @torch.no_grad()
    def reset_attention(self, window: float) -> None:
        """Initialise attention as a Gaussian window around each position, in place.

        Random encodings would average over all positions, which gives a flat map. The window is
        encoded in one channel, to which the queries' bias gives a constant value.

        Args:
            window: its standard deviation, as a share of the mean of both sides.
        """
        c_k, width = self.r_h.shape[1], window * sum(self.size) / 2
        self.q.bias.zero_()
        self.q.bias[0] = math.sqrt(c_k)
        for r, length in ((self.r_h, self.size[0]), (self.r_w, self.size[1])):
            nn.init.normal_(r, std=c_k**-0.5)
            offsets = torch.arange(1 - length, length, dtype=r.dtype, device=r.device)
            r[:, 0] = -0.5 * (offsets / width).square()

    def forward(self, x: Tensor) -> Tensor:
        """Z (B, c, H, W), here `x`, → HA (B, 1, H, W)."""
        if x.ndim != 4 or x.shape[1:] != (self.in_channels, *self.size):
            raise WrinkleError(
                f"this head takes (B, {self.in_channels}, {self.size[0]}, {self.size[1]}), "
                f"not {tuple(x.shape)}"
            )
        z = x.movedim(1, -1).contiguous()
        q, k, u = self.q(z), self.k(z), self.weighted_values(z)
        with torch.autocast(x.device.type, enabled=False):
            exact = torch.promote_types(u.dtype, torch.float32)
            q = q.to(exact) / math.sqrt(q.shape[-1])
            m_h = torch.einsum("byxc,yjc->byxj", q, relative(self.r_h, self.size[0]))
            m_w = torch.einsum("byxc,xjc->byxj", q, relative(self.r_w, self.size[1]))
            ha = attend(q, k.to(exact), m_h, m_w, u.to(exact))
        return ha[:, None]

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one face, except those of q, k and the channel attention's layers."""
        (h, w), c, c_k = self.size, self.in_channels, self.q.out_features
        positions = h * w
        encodings = positions * (h + w) * c_k
        return positions**2 * (c_k + 1) + encodings + c**2 + positions * c

    def weighted_values(self, z: Tensor) -> Tensor:
        """Z (B, H, W, c) → Σ_c w_CA,c V_c (B, H, W).

        Eq. 5 is applied before Eq. 3, because the sum over channels and the mean over positions
        commute. Attention then averages one value a position instead of c.
        """
        w_ca = z.new_ones(z.shape[0], self.in_channels)
        if self.channel_attention is not None:
            w_ca = self.channel_attention(z)
        w_v = (w_ca @ self.v.weight)[:, :, None]
        u = torch.baddbmm((w_ca @ self.v.bias)[:, None, None], z.flatten(1, 2), w_v)
        return u.view(z.shape[:3])


class ChannelAttention(nn.Module):
    """Weight of each channel: w_CA = σ(W_FC2 δ(W_FC1 δ(max CA))) (Eq. 4).

    Args:
        channels: c.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(1, channels // REDUCTION)
        self.ca = nn.Linear(channels, channels)
        self.fc1 = nn.Linear(channels, between, bias=False)
        self.fc2 = nn.Linear(between, channels, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        """Z (B, H, W, c) → w_CA (B, c) in (0, 1)."""
        z = z.flatten(1, 2)
        # Only the position of each channel's maximum has a gradient, so only it is kept.
        with torch.no_grad():
            place = self.ca(z).argmax(1)
        at = z.gather(1, place[..., None].expand(-1, -1, z.shape[-1]))
        ca = (at * self.ca.weight).sum(-1) + self.ca.bias
        weights: Tensor = self.fc2(self.fc1(ca.relu()).relu()).sigmoid()
        return weights


class RankingGuidedMultiHeadHybridAttention(nn.Module):
    """n heads, each on its own channels, whose maps are multiplied by learnable scales (Eq. 6).

    The output is {HA_1 · a_1, …, HA_n · a_n}. The order of the scales ranks the maps.

    Args:
        in_channels: C.
        heads: n; each reads ⌈C / n⌉ channels. If n does not divide C, zeros are appended.
        size: (H, W) of the input.
        channel_attention: as in `HybridAttention`.
        windows: `HybridAttention`'s window for the heads in turn.

    Raises:
        WrinkleError: no heads, more heads than channels, no size; in `forward`, an input of another
            shape.
    """

    scales: nn.Parameter
    """(n,): a, initially 1."""

    def __init__(
        self,
        in_channels: int,
        heads: int,
        size: tuple[int, int],
        channel_attention: bool = True,
        windows: Sequence[float] = (NARROW,),
    ) -> None:
        super().__init__()
        if not 1 <= heads <= in_channels:
            raise WrinkleError(
                f"heads is {heads}; with {in_channels} channels it is 1 to {in_channels}"
            )
        self.in_channels = in_channels
        width = -(-in_channels // heads)
        self.heads = nn.ModuleList(
            HybridAttention(width, size, channel_attention, windows[n % len(windows)])
            for n in range(heads)
        )
        self.scales = nn.Parameter(torch.ones(heads))

    def forward(self, x: Tensor) -> Tensor:
        """X (B, C, H, W) → weighted maps (B, n, H, W), in the order of the heads."""
        return self.maps(x) * self.scales.view(-1, 1, 1)

    def maps(self, x: Tensor) -> Tensor:
        """X (B, C, H, W) → maps HA_1 … HA_n without their scales (B, n, H, W)."""
        parts = self.parts(x)
        return torch.cat([head(part) for head, part in zip(self.heads, parts, strict=True)], 1)

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """X (B, C, H, W) → the channels of each head, n × (B, ⌈C / n⌉, H, W)."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise WrinkleError(
                f"attention takes (B, {self.in_channels}, H, W), not {tuple(x.shape)}"
            )
        width = -(-self.in_channels // len(self.heads))
        missing = width * len(self.heads) - self.in_channels
        parts: tuple[Tensor, ...] = F.pad(x, (0, 0, 0, 0, 0, missing)).split(width, 1)
        return parts

    def ranking(self) -> Tensor:
        """Return the indices (n,) int64 of the heads by falling scale; ties keep their order."""
        scales = self.scales.detach()
        if torch.compiler.is_compiling():  # ONNX has no stable sort, but its TopK is stable
            return scales.topk(len(scales)).indices
        return scales.argsort(descending=True, stable=True)


def relative(r: Tensor, length: int) -> Tensor:
    """Arrange the encodings of offsets by pairs of positions.

    Args:
        r: (2L − 1, c), encodings of the offsets −(L − 1) … L − 1.
        length: L.

    Returns:
        (L, L, c): the encoding of j − i at [i, j].
    """
    positions = torch.arange(length, device=r.device)
    return r[positions - positions[:, None] + length - 1]


def attend(q: Tensor, k: Tensor, m_h: Tensor, m_w: Tensor, u: Tensor) -> Tensor:
    """Eq. 2 and 3 for one value a position: Σ_j softmax_j(l_ij) u_j.

    l_ij = q_i · k_j + m_h[i, j_y] + m_w[i, j_x]. The matrix of (H · W)² entries is computed in
    blocks and never stored; the backward pass computes each block again.

    Args:
        q: (B, H, W, c_K), queries, already divided by √c_K.
        k: (B, H, W, c_K), keys.
        m_h: (B, H, W, H), a query's logit for each row of keys.
        m_w: (B, H, W, W), a query's logit for each column of keys.
        u: (B, H, W), values.

    Returns:
        (B, H, W).
    """
    if torch.compiler.is_compiling():  # the blocks cannot be exported
        l_ij = torch.einsum("byxc,bvuc->byxvu", q, k) + m_h[..., None] + m_w[..., None, :]
        p = l_ij.flatten(3).softmax(-1)
        return (p * u.flatten(1)[:, None, None]).sum(-1)
    flat = (t.flatten(1, 2).contiguous() for t in (q, k, m_h, m_w, u))
    result: Tensor = _Attend.apply(*flat)  # type: ignore[no-untyped-call]
    maps: Tensor = result.unflatten(1, u.shape[1:])
    return maps


class _Attend(torch.autograd.Function):
    """`attend` on q, k (B, L, c), m_h (B, L, H), m_w (B, L, W), u (B, L), with L = H · W."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, m_h: Tensor, m_w: Tensor, u: Tensor) -> Tensor:
        """Σ_j softmax_j(l_ij) u_j (B, L), block by block."""
        out, log_sum = torch.empty_like(u), torch.empty_like(u)
        for i, rows, p, _ in blocks(q):
            logits(q[i, rows], k[i], m_h[i, rows], m_w[i, rows], p)
            highest = p.amax(-1, keepdim=True)
            total = p.sub_(highest).clamp_(min=NEGLIGIBLE).exp_().sum(-1)
            out[i, rows] = torch.bmm(p, u[i, :, None])[..., 0] / total
            log_sum[i, rows] = highest[..., 0] + total.log()
        ctx.save_for_backward(q, k, m_h, m_w, u, out, log_sum)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, ...]:
        """Gradient g (B, L) of the result → gradients of q, k, m_h, m_w and u."""
        q, k, m_h, m_w, u, out, log_sum = ctx.saved_tensors
        dq, dm_h, dm_w = torch.empty_like(q), torch.empty_like(m_h), torch.empty_like(m_w)
        dk, du = torch.zeros_like(k), torch.zeros_like(u)
        shifted, g_rows, g_q = m_h - log_sum[..., None], g[..., None], q * g[..., None]
        for i, rows, p, spare in blocks(q):
            logits(q[i, rows], k[i], shifted[i, rows], m_w[i, rows], p)
            p.clamp_(min=NEGLIGIBLE).exp_()
            du[i, None].baddbmm_(g[i, None, rows], p)
            # The gradient of l_ij is g_i p_ij (u_j − out_i); g_i is multiplied in at the end.
            dl = p.mul_(torch.sub(u[i, None], out[i, rows, None], out=spare))
            torch.bmm(dl, k[i], out=dq[i, rows])
            dk[i].baddbmm_(dl.mT, g_q[i, rows])
            dl = dl.unflatten(-1, (m_h.shape[-1], m_w.shape[-1]))
            torch.sum(dl, -1, out=dm_h[i, rows])
            torch.sum(dl, -2, out=dm_w[i, rows])
        return dq * g_rows, dk, dm_h * g_rows, dm_w * g_rows, du


def logits(q: Tensor, k: Tensor, m_h: Tensor, m_w: Tensor, out: Tensor) -> Tensor:
    """Eq. 2 for a block of queries.

    Args:
        q: (b, rows, c_K).
        k: (b, L, c_K).
        m_h: (b, rows, H).
        m_w: (b, rows, W).
        out: (b, rows, L), overwritten.

    Returns:
        `out`, which holds l.
    """
    torch.bmm(q, k.mT, out=out)
    grid = out.view(*out.shape[:2], m_h.shape[-1], m_w.shape[-1])
    grid.add_(m_h[..., None]).add_(m_w[..., None, :])
    return out


def blocks(q: Tensor) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Divide the attention matrix into blocks.

    Args:
        q: (B, L, c), queries.

    Yields:
        A slice of the batch, a slice of the queries, and two buffers (b, rows, L) for that block's
        matrices, whose memory all blocks share.
    """
    b, length = q.shape[:2]
    # On a CPU each thread computes the matrix products of other faces.
    threads = torch.get_num_threads() if q.device.type == "cpu" else 1
    size = threads * CPU_BLOCK if q.device.type == "cpu" else GPU_BLOCK
    faces = min(b, max(threads, size // length**2))
    rows = min(length, max(1, size // (faces * length)))
    shared = q.new_empty(2, faces * rows * length)
    for i in range(0, b, faces):
        for a in range(0, length, rows):
            shape = min(faces, b - i), min(rows, length - a), length
            first, second = shared[:, : math.prod(shape)].unflatten(1, shape)
            yield slice(i, i + faces), slice(a, a + rows), first, second
