"""Packing: half precision, scores, and the average of two stages."""

from pathlib import Path

import pytest
import torch

from wrinkle import WrinkleError
from wrinkle.models import package_model as module
from wrinkle.models.file import load_model, save_model
from wrinkle.models.package_model import pack


@pytest.fixture
def moved(small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small model with every weight 1 larger; the package's folder is a temporary one."""
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    model, header = load_model(small_model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    save_model(tmp_path / "moved.safetensors", model, header)
    return tmp_path / "moved.safetensors"


def test_the_average_lies_between_as_weighted(small_model: Path, moved: Path) -> None:
    path = pack(moved, "both", {"test_mae": 4.5}, average=small_model, weight=0.25)
    model, header = load_model(path)
    first, _ = load_model(small_model)
    for mixed, plain in zip(model.parameters(), first.parameters(), strict=True):
        torch.testing.assert_close(mixed, plain + 0.25, rtol=2e-3, atol=2e-3)
    assert header["provenance"]["scores"] == {"test_mae": 4.5}
    assert header["provenance"]["average"]["weight"] == 0.25


def test_weights_take_half_the_room(moved: Path) -> None:
    assert pack(moved, "half", {}).stat().st_size < 0.56 * moved.stat().st_size


def test_another_network_is_refused(small_model: Path, moved: Path) -> None:
    model, header = load_model(small_model)
    header["input"]["zoom"] = 0.7
    save_model(moved.with_name("other.safetensors"), model, header)
    with pytest.raises(WrinkleError, match="another network"):
        pack(moved, "both", {}, average=moved.with_name("other.safetensors"))


def test_the_average_keeps_the_size_of_the_first(small_model: Path, moved: Path) -> None:
    model, header = load_model(small_model)
    size = header["input"]["size"]
    header["input"]["size"] = size + 32
    save_model(moved.with_name("larger.safetensors"), model, header)
    path = pack(moved, "both", {}, average=moved.with_name("larger.safetensors"))
    assert load_model(path)[1]["input"]["size"] == size


def test_where_the_training_data_lay_is_not_told(small_model: Path, moved: Path) -> None:
    model, header = load_model(small_model)
    stage = "init: /home/me/start.pth\ndata:\n  store: /home/me/faces.arrow\n"
    recipe = (
        stage + "first:\n  init: /home/me/start.pth\n  data:\n    store: /home/me/faces.arrow\n"
    )
    header["provenance"] |= {"recipe": recipe, "start": "/home/me/start.pth"}
    save_model(moved, model, header)
    _, packed = load_model(pack(moved, "plain", {}, average=moved))
    for told in (packed["provenance"], packed["provenance"]["average"]["with"]):
        assert "/home" not in told["recipe"]
        assert told["recipe"].count("start.pth") == told["recipe"].count("faces.arrow") == 2
        assert told["start"] == "start.pth"
