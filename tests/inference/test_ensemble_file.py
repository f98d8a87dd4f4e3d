"""From model files to that of their ensemble: weights, view, provenance, and what is refused."""

from pathlib import Path

import pytest
import torch

from tests.conftest import write_dhaa, write_model
from tests.models.test_ensemble import POINTS, wave
from wrinkle.errors import WrinkleError
from wrinkle.inference.ensemble_file import save_ensemble
from wrinkle.models.file import amend, load_model, read_model


def write(path: Path, zoom: float, seed: int) -> Path:
    return write_model(path, "tiny", {"input_size": 40}, zoom, seed)


def test_a_file_of_several_models(tmp_path: Path) -> None:
    sources = [write(tmp_path / "a", 1.0, 0), write(tmp_path / "b", 0.8, 1)]
    amend(sources[1], sources[1], mirror_average=False, calibration={"faces": 60})
    made = save_ensemble(sources, tmp_path / "both")
    loaded, header = load_model(tmp_path / "both")
    assert loaded.mirror_average
    assert (header["input"]["size"], header["input"]["zoom"]) == (50, 0.8)
    assert header["input"]["crop"] == 256
    assert "calibration" not in header
    for before, after in zip(made.state_dict().values(), loaded.state_dict().values(), strict=True):
        assert torch.equal(after, before)
    for source, network in zip(sources, made.members, strict=True):
        own = load_model(source)[0].state_dict()
        assert all(torch.equal(own[name], t) for name, t in network.state_dict().items())


def test_it_knows_where_each_model_comes_from(tmp_path: Path) -> None:
    sources = [write(tmp_path / "a", 1.0, 0), write(tmp_path / "b", 0.8, 1)]
    known = {"train": "AAAAAAAAAAA=", "validation": ""}
    one, two = {"split": "random:4", "digests": known}, {"split": "utkface"}
    for source, provenance in zip(sources, (one, two), strict=True):
        amend(source, source, provenance={**provenance, "scores": {"test_mae": 5.0}})
    save_ensemble(sources, tmp_path / "both")
    told = read_model(tmp_path / "both")[1]["provenance"]
    members = [read_model(source)[1]["provenance"] for source in sources]
    assert told == {"split": "random:4", "scores": {}, "members": members}


def test_files_that_cannot_be_joined(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, 1.0, seed) for seed, name in enumerate("ab"))
    save_ensemble([a, b], tmp_path / "both")
    younger = write_model(tmp_path / "c", "tiny", {"input_size": 40, "max_age": 80})
    plugin = tmp_path / "d"
    amend(a, plugin, plugins=[{"file": "x.py", "sha256": "0"}])
    for sources, words in (
        ([a], "at least two models"),
        ([a, tmp_path / "both"], "is an ensemble: name the models"),
        ([a, younger], "the same ages"),
        ([a, tmp_path / "none"], "no model"),
    ):
        with pytest.raises(WrinkleError, match=words):
            save_ensemble(sources, tmp_path / "out")
    with pytest.raises(WrinkleError, match="plug-in"):
        save_ensemble([a, plugin], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_is_not_replaced_by_its_ensemble(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, 1.0, seed) for seed, name in enumerate("ab"))
    before = b.read_bytes()
    (tmp_path / "link").symlink_to(b)
    for out in (b, tmp_path / "link", tmp_path / "x" / ".." / "b"):
        with pytest.raises(WrinkleError, match="would be overwritten: name another file"):
            save_ensemble([a, b], out)
    assert b.read_bytes() == before


def test_a_network_that_uses_key_points(tmp_path: Path) -> None:
    """DHAA's regions are where they are in its own view."""
    sources = [write_dhaa(tmp_path / "dhaa"), write(tmp_path / "a", 0.7, 0)]
    made = save_ensemble(sources, tmp_path / "both")
    dhaa = load_model(sources[0])[0]
    images, points = wave(made.input_size), POINTS.expand(2, 5, 2) * 0.7
    with torch.no_grad():
        found = made.predict(images, points).distribution
        view = dhaa.normalised(made.views[0](images))
        expected = dhaa.predict(view, POINTS.expand(2, 5, 2) * 0.8).distribution
        other = load_model(sources[1])[0]
        expected += other.predict(other.normalised(made.views[1](images)), points).distribution
    torch.testing.assert_close(found, expected / 2, atol=1e-5, rtol=1e-3)
    assert made.magnifications == pytest.approx([8 / 7, 1])
