"""Hybrid attention and its ranking-guided multi-head form, section III.A of "Improving Face-Based
Age Estimation With Attention-Based Dynamic Patch Fusion", TIP 2022 (the ADPF paper).

Names are the paper's: Q, K and V, relative encodings r^h and r^w, channel weights w_CA, maps HA_n
and their scales a_n. What the paper leaves open and is chosen here: c_V is the head's width (100),
c_Q = c_K = 16, near the eighth that its source for images, Zhang et al., take, FC1 leaves a quarter
of c, and a head starts with looking around each position (`HybridAttention.look_around`).
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from wrinkle.errors import WrinkleError

KEYS = 16
"""c_Q and c_K of a head at least as wide."""
REDUCTION = 4
"""Channels of CA over those between FC1 and FC2."""
CPU_ROOM, GPU_ROOM = 2**20, 2**26
"""Entries of the attention matrix that are worked on at a time: what a CPU's cache holds for each
thread, and what keeps a GPU busy."""
NEGLIGIBLE = -60.0
"""Logits this far below the highest count as no farther: exp gives 1e-26, and nothing smaller that
a CPU would take many times as long to compute with."""


class HybridAttention(nn.Module):
    """One head: self-attention with relative positions, its channels weighted by channel attention
    and summed to a single map (Eq. 1–5).

    in_channels: c, of the head's input. size: (H, W) of its input. channel_attention: without it
    every channel counts 1 ("ADPF w/ SA" of Table VII). WrinkleError for other sizes and inputs.

    Memory grows with H · W, also in training, where the matrix of Eq. 1 grows with its square.
    """

    def __init__(
        self, in_channels: int, size: tuple[int, int], channel_attention: bool = True
    ) -> None:
        super().__init__()
        if in_channels < 1 or len(size) != 2 or min(size) < 1:
            raise WrinkleError(
                f"hybrid attention of {in_channels} channels at {size}: both are at least 1"
            )
        c, (h, w) = in_channels, size
        c_k = min(c, KEYS)
        self.in_channels, self.size = c, (h, w)
        # 1×1 convolutions, as linear layers of a position's channels.
        self.q = nn.Linear(c, c_k)
        self.k = nn.Linear(c, c_k)
        self.v = nn.Linear(c, c)
        self.r_h = nn.Parameter(torch.empty(2 * h - 1, c_k))
        self.r_w = nn.Parameter(torch.empty(2 * w - 1, c_k))
        self.channel_attention = ChannelAttention(c) if channel_attention else None
        self.look_around()

    @torch.no_grad()
    def look_around(self) -> None:
        """Start with a Gaussian window around each position, a sixteenth of the sides' mean wide.

        Random encodings would start with the mean over all positions: a map without a shape. The
        window rests on one channel, which every query has through its bias.
        """
        c_k, width = self.r_h.shape[1], sum(self.size) / 2 / 16
        self.q.bias.zero_()
        self.q.bias[0] = math.sqrt(c_k)
        for r, length in ((self.r_h, self.size[0]), (self.r_w, self.size[1])):
            nn.init.normal_(r, std=c_k**-0.5)
            offsets = torch.arange(1 - length, length, dtype=r.dtype, device=r.device)
            r[:, 0] = -0.5 * (offsets / width).square()

    def forward(self, x: Tensor) -> Tensor:
        """Z, x (B, c, H, W) → HA (B, 1, H, W)."""
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
        """Of one face, without those of the linear layers that are called as such."""
        (h, w), c, c_k = self.size, self.in_channels, self.q.out_features
        positions = h * w
        encodings = positions * (h + w) * c_k
        return positions**2 * (c_k + 1) + encodings + c**2 + positions * c

    def weighted_values(self, z: Tensor) -> Tensor:
        """Z (B, H, W, c) → Σ_c w_CA,c V_c (B, H, W): Eq. 5 before Eq. 3, for the sum over channels
        and the mean over positions commute; attention has one value a position to average, not c.
        """
        w_ca = z.new_ones(len(z), self.in_channels)
        if self.channel_attention is not None:
            w_ca = self.channel_attention(z)
        w_v = (w_ca @ self.v.weight)[:, :, None]
        u = torch.baddbmm((w_ca @ self.v.bias)[:, None, None], z.flatten(1, 2), w_v)
        return u.view(z.shape[:3])


class ChannelAttention(nn.Module):
    """Weight of each channel: w_CA = σ(W_FC2 δ(W_FC1 δ(max CA))) (Eq. 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(1, channels // REDUCTION)
        self.ca = nn.Linear(channels, channels)
        self.fc1 = nn.Linear(channels, between, bias=False)
        self.fc2 = nn.Linear(between, channels, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        """Z (B, H, W, c) → (B, c) in (0, 1)."""
        z = z.flatten(1, 2)
        # A maximum's gradient reaches one position a channel: found first, it is all that is kept.
        with torch.no_grad():
            place = self.ca(z).argmax(1)
        at = z.gather(1, place[..., None].expand(-1, -1, z.shape[-1]))
        ca = (at * self.ca.weight).sum(-1) + self.ca.bias
        weights: Tensor = self.fc2(self.fc1(ca.relu()).relu()).sigmoid()
        return weights


class RankingGuidedMultiHeadHybridAttention(nn.Module):
    """Heads on their own channels, each map times a learnable scale: {HA_1 · a_1, …, HA_n · a_n}
    (Eq. 6). The order of the scales ranks the maps.

    in_channels: C. heads: n, each reads ⌈C / n⌉ channels; where n does not divide C, zeros take the
    place of what the last heads lack. size, channel_attention: as of `HybridAttention`.
    WrinkleError for no heads, more heads than channels, and what a head refuses.
    """

    scales: nn.Parameter
    """(n,): a, 1 at the start."""

    def __init__(
        self,
        in_channels: int,
        heads: int,
        size: tuple[int, int],
        channel_attention: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= heads <= in_channels:
            raise WrinkleError(
                f"heads is {heads}; with {in_channels} channels it is 1 to {in_channels}"
            )
        self.in_channels = in_channels
        width = -(-in_channels // heads)
        self.heads = nn.ModuleList(
            HybridAttention(width, size, channel_attention) for _ in range(heads)
        )
        self.scales = nn.Parameter(torch.ones(heads))

    def forward(self, x: Tensor) -> Tensor:
        """X (B, C, H, W) → weighted maps (B, n, H, W), in the order of the heads."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise WrinkleError(
                f"attention takes (B, {self.in_channels}, H, W), not {tuple(x.shape)}"
            )
        width = -(-self.in_channels // len(self.heads))
        missing = width * len(self.heads) - self.in_channels
        parts = F.pad(x, (0, 0, 0, 0, 0, missing)).split(width, 1)
        maps = torch.cat([head(part) for head, part in zip(self.heads, parts, strict=True)], 1)
        return maps * self.scales.view(-1, 1, 1)

    def ranking(self) -> Tensor:
        """(n,) int64: the heads from the highest scale to the lowest; equals keep their order."""
        return self.scales.detach().argsort(descending=True, stable=True)


def relative(r: Tensor, length: int) -> Tensor:
    """Encodings of offsets −(L − 1) … L − 1, (2L − 1, c) → (L, L, c): that of j − i at [i, j]."""
    places = torch.arange(length, device=r.device)
    return r[places - places[:, None] + length - 1]


def attend(q: Tensor, k: Tensor, m_h: Tensor, m_w: Tensor, u: Tensor) -> Tensor:
    """Eq. 2 and 3 for one value a position: Σ_j softmax_j(l_ij) u_j, (B, H, W).

    q, k: (B, H, W, c_K), q already over √c_K. m_h (B, H, W, H): a query's logit for each row of
    keys; m_w (B, H, W, W): for each column; l_ij = q_i · k_j + m_h[i, j_y] + m_w[i, j_x].
    u: (B, H, W).

    No matrix of H · W squared outlives the piece of it being worked on; the backward pass computes
    each piece again.
    """
    flat = (t.flatten(1, 2).contiguous() for t in (q, k, m_h, m_w, u))
    result: Tensor = _Attend.apply(*flat)  # type: ignore[no-untyped-call]
    maps: Tensor = result.unflatten(1, u.shape[1:])
    return maps


class _Attend(torch.autograd.Function):
    """On q, k (B, L, c), m_h (B, L, H), m_w (B, L, W), u (B, L), L = H · W."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, m_h: Tensor, m_w: Tensor, u: Tensor) -> Tensor:
        out, log_sum = torch.empty_like(u), torch.empty_like(u)
        for i, rows, p, _ in pieces(q):
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
        q, k, m_h, m_w, u, out, log_sum = ctx.saved_tensors
        dq, dm_h, dm_w = torch.empty_like(q), torch.empty_like(m_h), torch.empty_like(m_w)
        dk, du = torch.zeros_like(k), torch.zeros_like(u)
        shifted, g_rows, g_q = m_h - log_sum[..., None], g[..., None], q * g[..., None]
        for i, rows, p, spare in pieces(q):
            logits(q[i, rows], k[i], shifted[i, rows], m_w[i, rows], p)
            p.clamp_(min=NEGLIGIBLE).exp_()
            du[i, None].baddbmm_(g[i, None, rows], p)
            # The gradient of l_ij is g_i p_ij (u_j − out_i); g_i is left for the end.
            dl = p.mul_(torch.sub(u[i, None], out[i, rows, None], out=spare))
            torch.bmm(dl, k[i], out=dq[i, rows])
            dk[i].baddbmm_(dl.mT, g_q[i, rows])
            dl = dl.unflatten(-1, (m_h.shape[-1], m_w.shape[-1]))
            torch.sum(dl, -1, out=dm_h[i, rows])
            torch.sum(dl, -2, out=dm_w[i, rows])
        return dq * g_rows, dk, dm_h * g_rows, dm_w * g_rows, du


def logits(q: Tensor, k: Tensor, m_h: Tensor, m_w: Tensor, out: Tensor) -> Tensor:
    """Eq. 2 for some queries: l (b, rows, L), written into `out`."""
    torch.bmm(q, k.mT, out=out)
    grid = out.view(*out.shape[:2], m_h.shape[-1], m_w.shape[-1])
    grid.add_(m_h[..., None]).add_(m_w[..., None, :])
    return out


def pieces(q: Tensor) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """For queries (B, L, c): slices of the batch and of the queries, and room for two (b, rows, L)
    parts of the matrices, the same for every piece."""
    b, length = q.shape[:2]
    # On a CPU a face for each thread: products of separate matrices share nothing.
    threads = torch.get_num_threads() if q.device.type == "cpu" else 1
    room = threads * CPU_ROOM if q.device.type == "cpu" else GPU_ROOM
    faces = min(b, max(threads, room // length**2))
    rows = min(length, max(1, room // (faces * length)))
    shared = q.new_empty(2, faces * rows * length)
    for i in range(0, b, faces):
        for a in range(0, length, rows):
            shape = min(faces, b - i), min(rows, length - a), length
            first, second = shared[:, : math.prod(shape)].unflatten(1, shape)
            yield slice(i, i + faces), slice(a, a + rows), first, second
