"""Print what is installed, which device is used, and whether the model files are intact."""

import argparse
import os
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

from wrinkle import __version__
from wrinkle.cores import usable_cores
from wrinkle.errors import WrinkleError, extras, install_command, missing_packages

DEVELOPMENT = ("check", "docs", "test")
"""Extras for the development of wrinkle only."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> int:
    import torch

    from wrinkle.faces.detectors import create_detector
    from wrinkle.inference.device import choose_device
    from wrinkle.models.file import load_model
    from wrinkle.models.packaged import packaged_models

    print(f"wrinkle {__version__}, Python {platform.python_version()}, {platform.platform()}")
    names = (
        "torch",
        "numpy",
        "opencv-python-headless",
        "pillow",
        "pyarrow",
        "safetensors",
        "simplejpeg",
    )
    print("installed: " + ", ".join(f"{name} {version(name)}" for name in names))
    for extra in extras():
        if extra not in DEVELOPMENT:
            missing = missing_packages(extra)
            state = f"missing: {install_command(extra)}" if missing else "installed"
            print(f"extra {extra}: {state}")
    device = choose_device(None)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    cores = f"{usable_cores()} of {os.cpu_count()} cores"
    print(f"device: {device} ({name}), {torch.get_num_threads()} threads on {cores}")
    intact = _check("detector mtcnn", partial(create_detector, "mtcnn"))
    if not packaged_models():
        print("model default: missing from the package: install wrinkle again")
        intact = False
    for name, path in packaged_models().items():
        intact &= _check(f"model {name}", partial(load_model, path))
    return 0 if intact else 1


def _check(name: str, load: Callable[[], object]) -> bool:
    try:
        load()
    except WrinkleError as error:
        print(f"{name}: {error}")
        return False
    print(f"{name}: intact")
    return True
