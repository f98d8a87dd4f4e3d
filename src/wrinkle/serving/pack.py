"""Put a trained model into the package, in half precision and with its test scores.

python -m wrinkle.serving.pack runs/…/model.safetensors default utkface_test_mae=4.5
"""

import argparse
from pathlib import Path

from wrinkle.serving.packaged import FOLDER
from wrinkle.training.checkpoint import load_model, save_model


def pack(source: Path, name: str, scores: dict[str, float]) -> Path:
    """Write `source` to the package's folder of weights as `name`; returns the file.

    scores: added to those in the file's header, MAE in years.
    """
    model, header = load_model(source)
    card = {key: header[key] for key in ("model", "input", "ages", "provenance")}
    card["provenance"]["scores"] |= scores
    path = FOLDER / f"{name}.safetensors"
    save_model(path, model, card, half=True)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("name")
    parser.add_argument("scores", nargs="*", metavar="NAME=YEARS")
    args = parser.parse_args()
    given = dict(score.split("=") for score in args.scores)
    print(pack(args.source, args.name, {key: float(value) for key, value in given.items()}))
