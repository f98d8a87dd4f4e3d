"""Hybrid attention against Eq. 1–6 of the paper, written out in float64 position by position."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.layers import HybridAttention, RankingGuidedMultiHeadHybridAttention
from wrinkle.layers import hybrid_attention as module

SIZES = [(1, 1), (4, 4), (3, 5), (6, 2), (1, 7)]


def reference(head: HybridAttention, x: np.ndarray) -> np.ndarray:
    """Eq. 1–5 for x (B, c, H, W), float64, with loops over positions and nothing clever."""
    p = {n: t.detach().double().numpy() for n, t in head.named_parameters()}
    (h, w), maps = head.size, []
    for z in x:
        z = z.reshape(len(z), -1).T  # positions × channels
        q = z @ p["q.weight"].T + p["q.bias"]
        k = z @ p["k.weight"].T + p["k.bias"]
        v = z @ p["v.weight"].T + p["v.bias"]
        logits = np.zeros((h * w, h * w))
        for i in range(h * w):
            for j in range(h * w):
                (iy, ix), (jy, jx) = divmod(i, w), divmod(j, w)
                r_w, r_h = p["r_w"][jx - ix + w - 1], p["r_h"][jy - iy + h - 1]
                logits[i, j] = q[i] @ (k[j] + r_w + r_h) / math.sqrt(q.shape[1])  # Eq. 2
        similarity = np.exp(logits - logits.max(1, keepdims=True))
        sa = similarity / similarity.sum(1, keepdims=True) @ v  # Eq. 1 and 3
        w_ca = np.ones(v.shape[1])
        if head.channel_attention is not None:
            ca = z @ p["channel_attention.ca.weight"].T + p["channel_attention.ca.bias"]
            hidden = p["channel_attention.fc1.weight"] @ np.maximum(ca.max(0), 0)
            w_ca = 1 / (1 + np.exp(-p["channel_attention.fc2.weight"] @ np.maximum(hidden, 0)))
        maps.append((sa * w_ca).sum(1).reshape(1, h, w))  # Eq. 5
    return np.stack(maps)


def random_head(channels: int, size: tuple[int, int], **fields: bool) -> HybridAttention:
    """A head in which every parameter matters: none is at its start."""
    torch.manual_seed(0)
    head = HybridAttention(channels, size, **fields)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=0.5)
    return head


@pytest.mark.parametrize("channel_attention", [True, False])
@pytest.mark.parametrize("channels", [1, 6, 20])
@pytest.mark.parametrize("size", SIZES)
def test_head_is_eq_1_to_5(size: tuple[int, int], channels: int, channel_attention: bool) -> None:
    head = random_head(channels, size, channel_attention=channel_attention)
    x = torch.randn(3, channels, *size)
    expected = reference(head, x.double().numpy())
    np.testing.assert_allclose(head(x).detach().numpy(), expected, atol=2e-5, rtol=1e-4)


def test_the_initial_window_is_local() -> None:
    """Each position's map is about its own value: far positions have no influence."""
    torch.manual_seed(0)
    head = HybridAttention(8, (16, 16))
    x = torch.randn(1, 8, 16, 16)
    far = x.clone()
    far[..., 12:, 12:] += 5.0
    with torch.no_grad():
        before, after = head.weighted_values(x.movedim(1, -1)), head(x)
        w_ca = head.channel_attention(x.movedim(1, -1))
        assert head.channel_attention is not None
        head.channel_attention.forward = lambda z: w_ca  # type: ignore[method-assign]
        moved = head(far)
    assert before.shape == (1, 16, 16)
    torch.testing.assert_close(moved[..., :6, :6], after[..., :6, :6], atol=1e-3, rtol=0)
    assert (moved - after)[..., 13:, 13:].abs().mean() > 0.1
    assert float(after.std()) > 0.02


def literal(q: Tensor, k: Tensor, m_h: Tensor, m_w: Tensor, u: Tensor) -> Tensor:
    logits = torch.einsum("bijc,bklc->bijkl", q, k) + m_h[..., None] + m_w[..., None, :]
    weights = logits.flatten(3).softmax(-1)
    return torch.einsum("bijp,bp->bij", weights, u.flatten(1))


def operands(b: int, h: int, w: int, c: int, scale: float = 1.0) -> list[Tensor]:
    torch.manual_seed(b + h + w)
    shapes = (b, h, w, c), (b, h, w, c), (b, h, w, h), (b, h, w, w), (b, h, w)
    return [(torch.randn(s) * scale).double().requires_grad_() for s in shapes]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(2, 200)
)
def test_blocks_of_any_size_give_the_literal_value_and_gradients(
    b: int, h: int, w: int, c: int, room: int
) -> None:
    ours, theirs = operands(b, h, w, c), operands(b, h, w, c)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CPU_BLOCK", room)
        value = module.attend(*ours)
        value.square().sum().backward()
    expected = literal(*theirs)
    expected.square().sum().backward()
    torch.testing.assert_close(value, expected)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("size", [(2, 3), (4, 1)])
def test_gradcheck_of_attention(size: tuple[int, int]) -> None:
    assert torch.autograd.gradcheck(module.attend, operands(2, *size, 3))


def test_gradcheck_of_a_head() -> None:
    head = random_head(3, (2, 3)).double()
    x = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    names = [n for n, _ in head.named_parameters()]

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(head, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *head.parameters()))


def test_extreme_logits_give_finite_values() -> None:
    values = [t.detach().float().requires_grad_() for t in operands(2, 4, 4, 3, scale=1e3)]
    out = module.attend(*values)
    out.sum().backward()
    assert out.isfinite().all()
    assert all(t.grad is not None and t.grad.isfinite().all() for t in values)
    u = values[-1].flatten(1)
    assert (out.flatten(1) <= u.amax(1, keepdim=True) + 1e-3).all()


def test_memory_does_not_grow_with_positions_squared() -> None:
    """What the graph saves grows with the number of positions."""
    kept = {}
    for side in (8, 16):
        head = HybridAttention(6, (side, side))
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t,  # type: ignore[misc]
            lambda t: t,
        ):
            head(torch.randn(2, 6, side, side, requires_grad=True))
        kept[side] = max(sizes)
        assert max(sizes) < side**4
    assert kept[16] < 9 * kept[8]


@pytest.mark.parametrize(("channels", "heads"), [(20, 5), (20, 3), (7, 4), (5, 5), (4, 1)])
def test_multi_head_is_eq_6(channels: int, heads: int) -> None:
    torch.manual_seed(0)
    rmhha = RankingGuidedMultiHeadHybridAttention(channels, heads, (3, 4))
    with torch.no_grad():
        rmhha.scales.copy_(torch.randn(heads))
    x = torch.randn(2, channels, 3, 4)
    width = math.ceil(channels / heads)
    padded = np.zeros((2, width * heads, 3, 4))
    padded[:, :channels] = x.numpy()
    maps = rmhha(x).detach().numpy()
    assert maps.shape == (2, heads, 3, 4)
    for n, head in enumerate(rmhha.heads):
        assert isinstance(head, HybridAttention)
        expected = reference(head, padded[:, n * width : (n + 1) * width])
        np.testing.assert_allclose(maps[:, [n]], expected * rmhha.scales[n].item(), atol=1e-5)


def test_ranking_is_the_order_of_the_scales() -> None:
    rmhha = RankingGuidedMultiHeadHybridAttention(8, 4, (2, 2))
    assert rmhha.ranking().tolist() == [0, 1, 2, 3]  # equal at the start
    with torch.no_grad():
        rmhha.scales.copy_(torch.tensor([0.5, -2.0, 0.9, 0.5]))
    assert rmhha.ranking().tolist() == [2, 0, 3, 1]


def test_bfloat16_changes_the_result_little() -> None:
    rmhha = RankingGuidedMultiHeadHybridAttention(20, 2, (8, 8))
    x = torch.randn(2, 20, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        maps = rmhha(x)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps, rmhha(x), atol=0.1, rtol=0)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: HybridAttention(0, (2, 2)), "hybrid attention of 0 channels"),
        (lambda: HybridAttention(3, (0, 2)), r"at \(0, 2\)"),
        (lambda: HybridAttention(3, (2, 2))(torch.zeros(1, 3, 2, 3)), r"takes \(B, 3, 2, 2\)"),
        (lambda: RankingGuidedMultiHeadHybridAttention(4, 0, (2, 2)), "heads is 0"),
        (lambda: RankingGuidedMultiHeadHybridAttention(4, 5, (2, 2)), "it is 1 to 4"),
        (
            lambda: RankingGuidedMultiHeadHybridAttention(4, 2, (2, 2))(torch.zeros(1, 5, 2, 2)),
            r"attention takes \(B, 4, H, W\)",
        ),
    ],
)
def test_wrong_values_are_refused(make: object, line: str) -> None:
    with pytest.raises(WrinkleError, match=line):
        make()  # type: ignore[operator]
