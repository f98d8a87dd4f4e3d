"""Hybrid attention beside a literal version of the paper's equations: time and peak memory.

    python benchmarks/attention.py

Five heads on 500 channels, forward and backward, all gradients, float32. Literal is Eq. 1–6 in
plain PyTorch: the matrices of logits and of relative positions (by a table of offsets, as usual),
softmax, the product with all channels of V, and autograd. Both take turns in one run; printed are
medians. Memory is the peak of a separate process during one step, less what it has before the step.
With `--keep-memory` the process keeps freed memory, as in `wrinkle train`.
"""

import argparse
import math
import subprocess
import sys
from functools import partial

import torch
from torch import Tensor, nn

import measure
from wrinkle.layers import HybridAttention, RankingGuidedMultiHeadHybridAttention
from wrinkle.training.memory import keep_freed_memory

CHANNELS, HEADS = 500, 5
SIDES = ((16, 16), (32, 16), (32, 4), (48, 4), (64, 4))
"""Positions a side, and the batch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep-memory", action="store_true")
    parser.add_argument("--memory-of", nargs=3, metavar=("WHO", "SIDE", "BATCH"), help="internal")
    args = parser.parse_args()
    if args.keep_memory:
        keep_freed_memory()
    if args.memory_of:
        print(peak_memory(args.memory_of[0], *map(int, args.memory_of[1:])))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("| positions | batch | literal, s | ours, s | literal / ours | difference", end="")
    print(" | peak MiB, literal | ours |\n|---|" + "---:|" * 7)
    for side, batch in SIDES:
        a, b, difference = compare(side, batch, args.rounds)
        memory = [memory_of(who, side, batch) for who in ("literal", "ours")]
        print(
            f"| {side} × {side} | {batch} | {a:.3f} | {b:.3f} | {a / b:.2f} | {difference:.1e} "
            f"| {memory[0]} | {memory[1]} |",
            flush=True,
        )


def module_and_input(side: int, batch: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    rmhha = RankingGuidedMultiHeadHybridAttention(CHANNELS, HEADS, (side, side))
    return rmhha, torch.randn(batch, CHANNELS, side, side, requires_grad=True)


def literal(rmhha: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(rmhha, RankingGuidedMultiHeadHybridAttention)
    parts = x.split(CHANNELS // HEADS, 1)
    maps = [literal_head(head, part) for head, part in zip(rmhha.heads, parts, strict=True)]  # type: ignore[arg-type]
    return torch.cat(maps, 1) * rmhha.scales.view(-1, 1, 1)


def literal_head(head: HybridAttention, x: Tensor) -> Tensor:
    h, w = head.size
    z = x.flatten(2).mT
    q, k, v = head.q(z), head.k(z), head.v(z)
    y, x_place = torch.arange(h * w) // w, torch.arange(h * w) % w
    rows = (y - y[:, None] + h - 1).expand(len(x), -1, -1)
    columns = (x_place - x_place[:, None] + w - 1).expand(len(x), -1, -1)
    m_h = (q @ head.r_h.T).gather(2, rows)
    m_w = (q @ head.r_w.T).gather(2, columns)
    sa = ((q @ k.mT + m_h + m_w) / math.sqrt(q.shape[-1])).softmax(-1) @ v  # Eq. 3
    attention = head.channel_attention
    assert attention is not None
    ca = attention.ca(z).amax(1).relu()
    w_ca = attention.fc2(attention.fc1(ca).relu()).sigmoid()  # Eq. 4
    return (sa * w_ca[:, None]).sum(-1).view(len(x), 1, h, w)  # Eq. 5


def step(who: str, rmhha: nn.Module, x: Tensor) -> Tensor:
    rmhha.zero_grad()
    x.grad = None
    maps: Tensor = literal(rmhha, x) if who == "literal" else rmhha(x)
    maps.square().sum().backward()
    return maps.detach()


def compare(side: int, batch: int, rounds: int) -> tuple[float, float, float]:
    rmhha, x = module_and_input(side, batch)
    difference = (step("literal", rmhha, x) - step("ours", rmhha, x)).abs().max()
    tasks = [partial(step, who, rmhha, x) for who in ("literal", "ours")]
    a, b = measure.in_turn(tasks, rounds)
    return a, b, float(difference)


def memory_of(who: str, side: int, batch: int) -> str:
    command = [sys.executable, __file__, "--memory-of", who, str(side), str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "out of memory"


def peak_memory(who: str, side: int, batch: int) -> int:
    """Peak memory of a step in MiB, less what the process has before it."""
    rmhha, x = module_and_input(side, batch)
    small, y = module_and_input(4, 1)
    step(who, small, y)
    before = measure.peak_memory()
    step(who, rmhha, x)
    return int(measure.peak_memory() - before)


if __name__ == "__main__":
    main()
