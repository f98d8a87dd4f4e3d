"""Add a trained model to the package, in half precision and with its test scores.

    python -m wrinkle.models.package_model runs/…/model.safetensors default utkface_test_mae=4.5

With --average OTHER --weight W its weights are first averaged with those of an earlier stage: W of
its own and 1 − W of the other's. The average is often more accurate than either model on pictures
unlike the training data (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
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
    """Write a model file to the package's folder of weights.

    Args:
        source: the model file.
        name: the packaged model's name.
        scores: name → MAE in years; replace the scores in the header.
        average: model file of the same network to average with; its input may have another size.
        weight: share of `source` in the average, in [0, 1].

    Returns:
        The written file.

    Raises:
        WrinkleError: a file cannot be read or written, or `average` is of another network.
    """
    model, header = load_model(source)
    if header.get("plugins"):
        raise WrinkleError(f"{source} needs a plug-in, which is not a part of the package")
    kept = "model", "input", "ages", "mirror_average", "provenance"
    card = {key: header[key] for key in kept if key in header}
    if average is None and "calibration" in header:
        card["calibration"] = header["calibration"]
    card["provenance"]["scores"] = scores
    card["provenance"] = without_folders(card["provenance"])
    if average is not None:
        other, other_header = load_model(average)
        other_state = other.state_dict()
        views = [{**each["input"], "size": None} for each in (header, other_header)]
        if views[0] != views[1] or shapes(other) != shapes(model):
            raise WrinkleError(f"{average} holds another network than {source}")
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(other_state[key], 1 - weight)
        second = without_folders(other_header["provenance"])
        if second.get("digests") == card["provenance"].get("digests"):
            second.pop("digests", None)
        card["provenance"]["average"] = {"weight": weight, "with": second}
    path = FOLDER / f"{name}.safetensors"
    save_model(path, model, card, half=True)
    return path


def without_folders(provenance: dict[str, Any]) -> dict[str, Any]:
    """Remove local folders from the paths in a provenance.

    Args:
        provenance: from the header of a model file.

    Returns:
        A copy in which the store is only a file name, and so is a start given by an absolute path.
    """
    clean = dict(provenance)
    if "members" in clean:
        clean["members"] = [without_folders(each) for each in clean["members"]]
    if "start" in clean:
        clean["start"] = without_folder(clean["start"])
    if "recipe" in clean:
        content = yaml.safe_load(clean["recipe"])
        for stage in (content, content.get("first") or {}):
            data = stage.get("data", {})
            for place in (data, *data.get("stores", ())):
                if "store" in place:
                    place["store"] = Path(place["store"]).name
            if "init" in stage:
                stage["init"] = without_folder(stage["init"])
        clean["recipe"] = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return clean


def without_folder(path: str) -> str:
    """Return the file name of an absolute path; another path as it is."""
    return Path(path).name if Path(path).is_absolute() else path


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return name → shape of each tensor in a network's state dict."""
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
