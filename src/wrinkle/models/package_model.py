"""Put a trained model into the package, in half precision and with its test scores.

    python -m wrinkle.models.package_model runs/…/model.safetensors default utkface_test_mae=4.5

With --average OTHER --weight W its weights are first mixed, W of its own and 1 − W of an earlier
stage's: that often serves pictures unlike the training's better than either (Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022).
"""

import argparse
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from wrinkle.errors import WrinkleError
from wrinkle.models.file import load_model, save_model
from wrinkle.models.packaged import FOLDER


def pack(
    source: Path,
    name: str,
    scores: dict[str, float],
    average: Path | None = None,
    weight: float = 0.5,
) -> Path:
    """Write `source` to the package's folder of weights as `name`; returns the file.

    Args:
        scores: take the place of those in the file's header, MAE in years.
        average: another file of the same network.
        weight: share of `source` in the average, in [0, 1].
    """
    model, header = load_model(source)
    card = {key: header[key] for key in ("model", "input", "ages", "provenance")}
    if average is None and "calibration" in header:
        card["calibration"] = header["calibration"]
    card["provenance"]["scores"] = scores
    card["provenance"] = without_folders(card["provenance"])
    if average is not None:
        other, other_header = load_model(average)
        theirs = other.state_dict()
        if other_header["input"] != header["input"] or shapes(other) != shapes(model):
            raise WrinkleError(f"{average} holds another network than {source}")
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(theirs[key], 1 - weight)
        card["provenance"]["average"] = {
            "weight": weight,
            "with": without_folders(other_header["provenance"]),
        }
    path = FOLDER / f"{name}.safetensors"
    save_model(path, model, card, half=True)
    return path


def without_folders(provenance: dict[str, Any]) -> dict[str, Any]:
    """The same with the store and an absolute start named without the folders they lay in, which
    are nobody's business."""
    clean = dict(provenance)
    if "start" in clean:
        clean["start"] = without_folder(clean["start"])
    if "recipe" in clean:
        content = yaml.safe_load(clean["recipe"])
        for stage in (content, content.get("first") or {}):
            if "data" in stage:
                stage["data"]["store"] = Path(stage["data"]["store"]).name
            if "init" in stage:
                stage["init"] = without_folder(stage["init"])
        clean["recipe"] = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return clean


def without_folder(path: str) -> str:
    """The name alone of a file that is given by an absolute path."""
    return Path(path).name if Path(path).is_absolute() else path


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("name")
    parser.add_argument("scores", nargs="*", metavar="NAME=YEARS")
    parser.add_argument("--average", type=Path, metavar="OTHER")
    parser.add_argument("--weight", type=float, default=0.5)
    args = parser.parse_args()
    given = {key: float(value) for key, value in (score.split("=") for score in args.scores)}
    print(pack(args.source, args.name, given, args.average, args.weight))
