"""DHAA at full size on a CPU: cost, and speed of prediction and training beside plain PyTorch.

    python benchmarks/dhaa.py                                       # cost, prediction, training
    python benchmarks/dhaa.py --model dhaa --store utkface.arrow    # and the change of ages

Plain is the network without preparation: eager, float32, channels first, trained in a loop of a few
lines. Ours is what `AgeEstimator` and `wrinkle train` run: batch norms folded, weights packed, the
sub-networks in bfloat16 where the processor multiplies it in hardware; training with
`training.precision: bf16` in channels last. Both take turns in one run; printed are medians. The
floor is the number of multiply-adds divided by the processor's measured peak, the fastest of a
large matrix product and a large convolution. Weights are random; the change of ages is therefore
measured with another model, on faces of a store.
"""

import argparse
import copy
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

import measure
from wrinkle.faces.align import TEMPLATE
from wrinkle.faces.input import InputSpec
from wrinkle.inference import prepared as inference
from wrinkle.inference.predict_store import predict_store
from wrinkle.inference.prepared import prepare_for_inference
from wrinkle.losses import Loss, Target
from wrinkle.models import AgeModel, create_model
from wrinkle.models.cost import costs
from wrinkle.models.face_regions import VIEW
from wrinkle.training.memory import keep_freed_memory

BATCHES = (1, 2, 4, 8, 16, 32, 64)
TRAINED = 16
"""Pictures a training step."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--float32", action="store_true", help="as without bfloat16")
    parser.add_argument("--model", help="a packaged model or model file whose ages are compared")
    parser.add_argument("--store", help="a packed dataset: faces for that")
    parser.add_argument("--limit", type=int, default=500, help="faces for that")
    parser.add_argument("--memory-of", nargs=2, metavar=("WHO", "BATCH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.float32:
        inference.multiplies_bf16 = lambda: False
    if args.memory_of:
        print(peak_memory(args.memory_of[0], int(args.memory_of[1])))
        return
    bf16 = "yes" if inference.multiplies_bf16() else "no"
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}", end=", ")
    print(f"{torch.get_num_threads()} threads, bfloat16: {bf16}")
    total = cost()
    prediction(total, args.batches, args.rounds)
    training(total, args.rounds)
    if args.model:
        difference(args.model, args.store, args.limit)


def cost() -> int:
    rows = costs(create_model("dhaa"))
    print("\n| part | parameters | multiply-adds a face |\n|---|---:|---:|")
    for row in rows:
        print(f"| {row.part} | {row.parameters:,} | {row.multiply_adds:,} |")
    return rows[-1].multiply_adds


def faces(count: int) -> tuple[Tensor, Tensor]:
    """Noise in place of pictures, and an aligned face's key points."""
    torch.manual_seed(0)
    points = torch.tensor(TEMPLATE * VIEW, dtype=torch.float32).expand(count, 5, 2)
    return torch.randn(count, 3, 256, 256), points


def prediction(multiply_adds: int, batches: list[int], rounds: int) -> None:
    plain = create_model("dhaa").eval()
    ours = prepare_for_inference(copy.deepcopy(plain))
    peak = {dtype: measured_peak(dtype) for dtype in (torch.float32, torch.bfloat16)}
    trunk = sum(r.multiply_adds for r in costs(plain) if r.part in ("conv1", "layer1"))
    floor32 = 1000 * multiply_adds / peak[torch.float32]
    floor16 = 1000 * ((multiply_adds - trunk) / peak[torch.bfloat16] + trunk / peak[torch.float32])
    floor = floor16 if inference.multiplies_bf16() else floor32
    print(f"\npeak: {peak[torch.float32] / 1e9:.0f} G multiply-adds/s in float32, ", end="")
    print(f"{peak[torch.bfloat16] / 1e9:.0f} in bfloat16")
    print(
        f"floor of a face: plain {floor32:.0f} ms, ours {floor:.0f} ms; two with its mirror image"
    )
    print(
        "\n| batch | plain, ms a face | × floor | ours | × floor | plain / ours "
        "| peak MiB, plain | ours | with mirror / without |"
    )
    print("|---:|" + "---:|" * 8)
    for batch in batches:
        images, points = faces(batch)
        last = images.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            a, b, mirrored = measure.in_turn(
                [
                    partial(plain.predict, images, points, mirror=False),
                    partial(ours.predict, last, points, mirror=False),
                    partial(ours.predict, last, points, mirror=True),
                ],
                rounds,
            )
        x, y = (1000 * seconds / batch for seconds in (a, b))
        memory = [memory_of(who, batch) for who in ("plain", "ours")]
        print(
            f"| {batch} | {x:.1f} | {x / floor32:.2f} | {y:.1f} | {y / floor:.2f} | {x / y:.2f} | "
            f"{memory[0]} | {memory[1]} | {mirrored / b:.2f} |",
            flush=True,
        )


def training(multiply_adds: int, rounds: int) -> None:
    plain = create_model("dhaa").train()
    ours = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    keep_freed_memory()
    images, points = faces(TRAINED)
    last = images.contiguous(memory_format=torch.channels_last)
    a, b = measure.in_turn(
        [
            stepper(plain, images, points, False),
            stepper(ours, last, points, inference.multiplies_bf16()),
        ],
        rounds,
    )
    kind = "bf16" if inference.multiplies_bf16() else "float32"
    peak = measured_peak(torch.bfloat16 if inference.multiplies_bf16() else torch.float32)
    # Forward, gradient of the features, gradient of the weights.
    floor = 3 * multiply_adds * TRAINED / peak
    print(f"\ntraining step of {TRAINED}: plain {a:.2f} s, ours ({kind}) {b:.2f} s, ", end="")
    print(f"plain / ours {a / b:.2f}; ours / floor {b / floor:.2f}")


def stepper(model: AgeModel, images: Tensor, points: Tensor, bf16: bool) -> Callable[[], object]:
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, nesterov=True)
    target = Target(torch.linspace(0, 100, len(images)), torch.full((len(images),), torch.nan))
    loss = Loss([{"name": "cross_entropy"}])

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, bf16):
            output = model(images, points)
        optimizer.zero_grad()
        loss(output, target, model)[0].backward()
        optimizer.step()

    return step


def measured_peak(dtype: torch.dtype) -> float:
    """Multiply-adds a second of the fastest of some 2048³ matrix products and convolutions."""
    a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    x = torch.randn(16, 512, 14, 14).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(512, 512, 3, 3).to(dtype, memory_format=torch.channels_last)
    best = 0.0
    for _ in range(6):
        for work, multiply_adds in (
            (lambda: a @ b, 2048**3),
            (lambda: torch.conv2d(x, weight, padding=1), 16 * 14**2 * 9 * 512**2),
        ):
            began = time.perf_counter()
            work()
            best = max(best, multiply_adds / (time.perf_counter() - began))
    return best


def memory_of(who: str, batch: int) -> str:
    command = [sys.executable, __file__, "--memory-of", who, str(batch)]
    command += ["--float32"] * (not inference.multiplies_bf16())
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def peak_memory(who: str, batch: int) -> int:
    """Peak memory in MiB of a separate process that predicts one batch."""
    model = create_model("dhaa").eval()
    images, points = faces(batch)
    if who == "ours":
        model = prepare_for_inference(model)
        images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        model.predict(images, points, mirror=False)
    return int(measure.peak_memory())


def difference(name: str, path: str, limit: int) -> None:
    """Change of ages from plain to ours, over test faces of the model's own protocol."""
    from wrinkle.datasets.store import Store
    from wrinkle.models.file import load_model
    from wrinkle.models.packaged import model_file
    from wrinkle.protocols import get_protocol

    model, header = load_model(model_file(name))
    store = Store(path)
    rows = get_protocol(header["provenance"]["split"]).folds(store.columns)[0].test[:limit]
    spec = InputSpec.from_header(header["input"])

    def ages(network: AgeModel) -> np.ndarray:
        return predict_store(network, spec, store, rows, workers=1).age

    plain = ages(model)
    moved = np.abs(ages(prepare_for_inference(model)) - plain)
    share = (moved <= 0.05).mean()
    print(
        f"\n{name} on {len(rows)} faces, ours against plain: mean {moved.mean():.4f} years, ",
        end="",
    )
    print(f"99 % within {np.quantile(moved, 0.99):.3f}, all within {moved.max():.3f}; ", end="")
    print(f"{100 * share:.1f} % within 0.05")


if __name__ == "__main__":
    main()
