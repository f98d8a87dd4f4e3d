"""Whether DHAA's ages depend on its regions: occlusion, against places of the same size.

    python benchmarks/regions.py dhaa utkface.arrow --limit 500

Each region is covered with the picture's mean colour: the mean absolute change of the age, that at
25 places of the same size spread over the picture, their ratio, and the largest of these places.
Faces on which the model was trained or chosen are left out.
"""

import argparse

import numpy as np
import torch

from wrinkle.datasets.store import Store
from wrinkle.evaluation.occlusion import Occlusion, occlusion
from wrinkle.faces.input import InputSpec
from wrinkle.inference.prepared import prepare_for_inference
from wrinkle.inference.provenance import learned
from wrinkle.models.dhaa import DHAA
from wrinkle.models.file import load_model
from wrinkle.models.packaged import model_file
from wrinkle.serving.explain import store_inputs

BATCH = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a packaged model or a model file: a DHAA")
    parser.add_argument("store", help="a packed dataset")
    parser.add_argument("--limit", type=int, default=500, help="faces")
    args = parser.parse_args()
    model, header = load_model(model_file(args.model))
    assert isinstance(model, DHAA), f"{args.model} is no DHAA"
    store = Store(args.store)
    rows = np.setdiff1d(np.arange(len(store)), learned(header["provenance"], store))
    rows = rows[np.linspace(0, len(rows) - 1, min(args.limit, len(rows))).astype(int)]
    spec = InputSpec.from_header(header["input"])
    prepare_for_inference(model)
    parts = []
    for first in range(0, len(rows), BATCH):
        images, points = store_inputs(store, rows[first : first + BATCH], spec)
        parts.append(occlusion(model, images, points, model.pooling.boxes(points)))
    found = Occlusion(*(torch.cat(column) for column in zip(*parts, strict=True)))
    print(f"{len(rows)} faces of {args.store}: change of the age, years, where covered")
    print("| region | region | any place | ratio | best place |\n|---|---:|---:|---:|---:|")
    for number, name in enumerate(model.pooling.pools):
        region, anywhere, best = (float(part[:, number].mean()) for part in found)
        print(f"| {name} | {region:.2f} | {anywhere:.2f} | {region / anywhere:.2f} | {best:.2f} |")


if __name__ == "__main__":
    main()
