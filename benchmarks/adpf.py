"""ADPF at full size on a CPU: milliseconds a face, in total and for each part.

    python benchmarks/adpf.py

Plain is the network without preparation: eager, float32, channels first. Ours is what
`AgeEstimator` runs: batch norms folded, weights packed, FusionNet's blocks in bfloat16 where the
processor multiplies it in hardware. The parts are those of ours: AttentionNet, contours and boxes,
FusionNet on known patches. Training is a step of each stage on 32 faces as in `wrinkle train` with
bf16; FusionNet's both with known patches, as from the second epoch on, and with patches searched in
every step. All take turns in one run; printed are medians. Weights are random.
"""

import argparse
import copy
from collections.abc import Callable

import torch
from torch import Tensor

import measure
from wrinkle.faces.align import TEMPLATE
from wrinkle.inference import prepared as inference
from wrinkle.inference.prepared import prepare_for_inference
from wrinkle.layers import patch_boxes
from wrinkle.losses import Loss, Target
from wrinkle.models import AgeModel, Extras, create_model
from wrinkle.models.adpf import ADPF
from wrinkle.models.attention_net import AttentionNet
from wrinkle.training.memory import keep_freed_memory

TRAINED = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=(1, 16))
    args = parser.parse_args()
    bf16 = inference.multiplies_bf16()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, bfloat16: {bf16}")
    prediction(args.batches, args.rounds)
    keep_freed_memory()
    training(args.rounds, bf16)


def faces(count: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    images = torch.randn(count, 3, 128, 128)
    return images, torch.tensor(TEMPLATE, dtype=torch.float32).expand(count, 5, 2)


def placed(boxes: Tensor) -> Extras:
    """Boxes (B, n, 4) of the images themselves, as a network takes them."""
    return Extras({"boxes": boxes}, torch.eye(2, 3).expand(len(boxes), 2, 3))


def prediction(batches: list[int], rounds: int) -> None:
    plain = create_model("adpf").eval()
    ours = prepare_for_inference(copy.deepcopy(plain))
    assert isinstance(ours, ADPF)
    print("\n| batch | plain, ms a face | ours | plain / ours ", end="")
    print("| AttentionNet | boxes | FusionNet | with mirror / without |\n|---:|" + "---:|" * 7)
    for batch in batches:
        images, points = faces(batch)
        last = images.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            maps = ours.ranked_maps(last)
            known = placed(patch_boxes(maps, 128))
            tasks: list[Callable[[], object]] = [
                lambda x=images, p=points: plain.predict(x, p, mirror=False),
                lambda x=last, p=points: ours.predict(x, p, mirror=False),
                lambda x=last: ours.ranked_maps(x),
                lambda m=maps: patch_boxes(m, 128),
                lambda x=last, k=known: ours(x, None, k),
                lambda x=last, p=points: ours.predict(x, p, mirror=True),
            ]
            times = measure.in_turn(tasks, rounds)
        a, b, *parts, mirrored = (1000 * seconds / batch for seconds in times)
        shown = " | ".join(f"{part:.2f}" for part in parts)
        print(f"| {batch} | {a:.1f} | {b:.1f} | {a / b:.2f} | {shown} | {mirrored / b:.2f} |")


def training(rounds: int, bf16: bool) -> None:
    attention, fusion = create_model("adpf_attention").train(), create_model("adpf").train()
    assert isinstance(attention, AttentionNet)
    for model in (attention, fusion):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = faces(TRAINED)[0].contiguous(memory_format=torch.channels_last)
    target = Target(torch.linspace(0, 100, TRAINED), torch.full((TRAINED,), torch.nan))
    age_loss = Loss([{"name": "dldl_v2"}])
    both_losses = Loss([{"name": "dldl_v2"}, {"name": "diversity", "weight": 0.01}])
    known = placed(fusion.find_patches(images))

    def step(model: AgeModel, loss: Loss, extras: Extras | None = None) -> None:
        with torch.autocast("cpu", torch.bfloat16, bf16):
            output = model(images, None, extras)
        loss(output, target, model)[0].backward()

    a, b, c = measure.in_turn(
        [
            lambda: step(attention, both_losses),
            lambda: step(fusion, age_loss, known),
            lambda: step(fusion, age_loss),
        ],
        rounds,
    )
    print(f"\ntraining step of {TRAINED}: AttentionNet {a:.2f} s; ", end="")
    print(f"FusionNet {b:.2f} s, looking for patches in every step {c:.2f} s ({c / b:.2f} ×)")


if __name__ == "__main__":
    main()
