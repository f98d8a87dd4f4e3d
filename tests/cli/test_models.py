from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Command
from wrinkle.models import create_model, list_models, packaged


def test_networks_are_listed_with_their_parameters(wrinkle: Command) -> None:
    done = wrinkle("models")
    assert done.code == 0
    assert done.err == []
    lines = [line.split() for line in done.out.splitlines()]
    sizes = {line[0]: float(line[1]) for line in lines if line[2:] == ["M", "parameters"]}
    assert set(sizes) == set(list_models()) - {"timm", "ensemble"}
    assert ["timm", "needs", "a", "value", "for", "architecture"] in lines
    assert ["ensemble", "needs", "a", "value", "for", "members"] in lines
    count = sum(p.numel() for p in create_model("efficientnet_lite0").parameters())
    assert sizes["efficientnet_lite0"] == pytest.approx(count / 1e6, abs=0.005)


def test_heads_and_losses_are_listed_with_what_fits(wrinkle: Command) -> None:
    lines = wrinkle("models").out.splitlines()
    assert any(line.split() == ["coral", "ordinal"] for line in lines)
    assert any(line.split() == ["dldl_v2", "sigma:", "2.0"] for line in lines)


def test_packaged_models_are_listed_with_their_scores(
    wrinkle: Command, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "FOLDER", small_model.parent)
    done = wrinkle("models")
    (line,) = (line for line in done.out.splitlines() if line.startswith("  small"))
    size = small_model.stat().st_size / 2**20
    assert line.split(maxsplit=1)[1] == f"efficientnet_lite0, {size:.1f} MiB  validation_mae 4.56"


def test_the_card_of_a_model_file_is_printed(wrinkle: Command, small_model: Path) -> None:
    done = wrinkle("models", small_model)
    assert done.code == 0
    card = yaml.safe_load(done.out)
    assert card["model"] == {"name": "efficientnet_lite0", "fields": {"input_size": 64}}
    assert card["input"]["crop"] == 256
    assert card["provenance"]["scores"] == {"validation_mae": 4.56}


def test_an_unknown_model_is_one_line(wrinkle: Command) -> None:
    done = wrinkle("models", "nobody")
    assert done.code == 2
    (line,) = done.err
    assert line.startswith("wrinkle: no model 'nobody'")


def test_a_damaged_packaged_model_is_one_line(
    wrinkle: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    (tmp_path / "default.safetensors").write_bytes(b"half of it")
    for arguments in (["models"], ["predict", "x.jpg"]):
        done = wrinkle(*arguments)
        assert done.code == 2
        (line,) = done.err
        assert "default.safetensors: damaged or cut short" in line


def test_cost_lists_parameters_and_multiply_adds(wrinkle: Command, small_model: Path) -> None:
    done = wrinkle("models", "res18_ex", "--cost")
    assert done.code == 0
    title, head, *rows = [line.split() for line in done.out.splitlines()]
    assert title[:2] == ["network", "res18_ex,"]
    assert head == ["part", "parameters", "multiply-adds", "a", "face"]
    assert [row[0] for row in rows][:3] == ["conv1", "bn1", "layer1"]
    assert rows[-1][:2] == ["total", "11,228,325"]
    assert wrinkle("models", small_model, "--cost").out.splitlines()[-1].startswith("total")


def test_cost_without_a_name_is_one_line(wrinkle: Command) -> None:
    for arguments, line in (((), "--cost needs a name"), (("resnt",), "no model 'resnt'")):
        done = wrinkle("models", *arguments, "--cost")
        assert done.code == 2
        assert done.err[0].startswith(f"wrinkle: {line}")


def test_cost_of_a_name_of_a_network_and_a_model_prints_both(wrinkle: Command) -> None:
    lines = wrinkle("models", "dhaa", "--cost").out.splitlines()
    assert [line for line in lines if "dhaa" in line] == [
        "network dhaa, with its default fields",
        "model dhaa",
    ]
    totals = [line.split()[1] for line in lines if line.startswith("total")]
    assert totals == ["100,028,082", "7,038,018"]
