"""Shared by all tests: the folder of the research datasets, which are not part of the repository,
small models and a small store."""

import csv
import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each, set before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
KNOWN_AGES = {
    "barack_obama_2009.jpg": 48,
    "barack_obama_2012.jpg": 51,
    "eileen_collins_1998.jpg": 41.5,
    "grace_hopper_1984.jpg": 77,
    "joe_biden_2010.jpg": 67,
}
"""Years at the time of the picture, from examples/README.md."""


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that holds fgnet/ and utkface/; tests that ask for it are skipped without it."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    root = Path(os.environ.get("WRINKLE_DATA", default))
    if not (root / "fgnet").is_dir() or not (root / "utkface").is_dir():
        pytest.skip(f"no FG-NET and UTKFace in {root}: set WRINKLE_DATA to the folder of both")
    return root


def write_model(
    path: Path, name: str, fields: dict[str, object], zoom: float = 1.0, seed: int = 0
) -> Path:
    """A complete model file: random weights, so large that every face gets another age."""
    import torch

    from wrinkle.faces.align import TEMPLATE_VERSION
    from wrinkle.models import create_model
    from wrinkle.models.file import save_model

    torch.manual_seed(seed)
    model = create_model(name, **fields)
    with torch.no_grad():
        model.get_submodule("head.fc").weight.mul_(8)
    card = {
        "model": {"name": name, "fields": fields},
        "input": {
            "size": fields["input_size"],
            "zoom": zoom,
            "crop": 256,
            "mean": list(model.mean),
            "std": list(model.std),
            "template": TEMPLATE_VERSION,
        },
        "ages": model.ages.tolist(),
        "provenance": {"split": "random:4", "fold": "1", "scores": {"validation_mae": 4.56}},
    }
    save_model(path, model, card, half=True)
    return path


def write_dhaa(path: Path, **fields: object) -> Path:
    """A model file of a DHAA of 64 pixels with 4 channels where the paper has 64."""
    return write_model(path, "dhaa", {"input_size": 64, "width": 4, **fields}, zoom=0.8)


def write_adpf(path: Path, name: str = "adpf", **fields: object) -> Path:
    """A model file of a small ADPF of 64 pixels, its AttentionNet, or its predecessor."""
    small: dict[str, object] = {"input_size": 64, "width": 4}
    if name != "bif_fusion":
        small |= {"channels": 20, "stride": 8}
    if name != "adpf_attention":
        small |= {"patch_size": 32}
    return write_model(path, name, {**small, **fields})


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    return write_model(path, "efficientnet_lite0", {"input_size": 64}, seed=42)


@pytest.fixture(scope="session")
def dhaa_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dhaa(tmp_path_factory.mktemp("model") / "dhaa.safetensors")


@pytest.fixture(scope="session")
def example_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example photographs, packed by `wrinkle prepare folder`."""
    from wrinkle.cli import main

    folder = tmp_path_factory.mktemp("packed")
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "age", "age_deviation", "gender", "group"])
        for name, age in KNOWN_AGES.items():
            female = name.startswith(("eileen", "grace"))
            table.writerow([EXAMPLES / name, age, 2.5, "female" if female else "male", "official"])
    store = folder / "examples.arrow"
    assert main(["prepare", "folder", str(folder / "labels.csv"), str(store)]) == 0
    return store


@pytest.fixture(scope="session")
def drawn_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 256 drawn faces, 16 persons, ages 0–80."""
    from tests.tiny import write_store

    return write_store(tmp_path_factory.mktemp("drawn") / "drawn.arrow")


@pytest.fixture
def drawn_recipe(tmp_path: Path, drawn_store: Path) -> Path:
    """A recipe that trains the tiny network on the drawn faces in a second."""
    from tests.tiny import write_recipe

    return write_recipe(tmp_path, drawn_store)
