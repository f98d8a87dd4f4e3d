"""Exported networks: the same ages, the same header, and what is refused."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.test_every_model import OURS
from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE, TEMPLATE_VERSION
from wrinkle.inference.engines import load_network
from wrinkle.inference.graph_inputs import quantization_inputs
from wrinkle.models import AgeModel, create_model
from wrinkle.models.file import load_model
from wrinkle.models.packaged import model_file

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
from wrinkle.inference.export import export_model

SMALL: dict[str, dict[str, Any]] = {
    "adpf": {"width": 4, "channels": 20, "stride": 8, "patch_size": 32},
    "adpf_attention": {"width": 4, "channels": 20, "stride": 8},
    "bif_fusion": {"width": 4, "patch_size": 32},
    "dhaa": {"width": 4},
    "dlib_resnet": {"input_size": 103},
    "resnet18": {"width": 4},
    "resnet34": {"width": 4},
    "resnet50": {"width": 4},
}
"""Fields of networks, beside an input of 64 pixels, with which they are exported quickly."""
SLOW = ("adpf", "bif_fusion", "dhaa", "dlib_resnet", "efficientnet_lite0", "resnet34", "resnet50")
WITH_MARKS = [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in OURS]


def network(name: str, **fields: Any) -> tuple[AgeModel, dict[str, Any]]:
    """A network whose head's random weights are scaled so that faces get different ages."""
    fields = {"input_size": 64, **SMALL.get(name, {}), **fields}
    torch.manual_seed(2)
    model = create_model(name, **fields).eval()
    for _ in range(30):
        spread = np.ptp(expected(model)[:, -1])
        if 0.5 < spread < 50:
            break
        with torch.no_grad():
            for parameter in model.head.parameters():
                parameter.mul_(1.3 if spread < 1 else 0.7)
    card = {
        "model": {"name": name, "fields": fields},
        "input": {
            "size": fields["input_size"],
            "zoom": 1.0,
            "crop": 96,
            "mean": list(model.mean),
            "std": list(model.std),
            "template": TEMPLATE_VERSION,
        },
        "ages": model.ages.tolist(),
        "provenance": {"licence": "none", "scores": {}},
        "calibration": {"residuals": [-1.0, 0.0, 1.0], "faces": 60, "data": "some"},
    }
    return model, {"format": 2, "kind": "model", "sha256": "", **card}


def faces(size: int, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Coloured waves (count, 3, S, S), RGB from 0 to 255, and key points (count, 5, 2)."""
    at = torch.linspace(0, 1, size)
    waves = [
        (at[:, None] * (3 + 5 * n + k) + at * (7 * n - k) + n).sin()
        for n in range(count)
        for k in range(3)
    ]
    points = torch.tensor(TEMPLATE, dtype=torch.float32).repeat(count, 1, 1)
    moves = torch.tensor([[0.05, 0.0], [-0.1, 0.1], [0.0, -0.07]])[:count, None]
    return 127.5 * (1 + torch.stack(waves).view(count, 3, size, size)), points + moves


def expected(model: AgeModel, mirror: bool = True) -> np.ndarray:
    """Distributions and ages (3, A + 1) by PyTorch."""
    rgb, points = faces(model.input_size)
    with torch.inference_mode():
        found = model.predict(model.normalised(rgb / 255), points, mirror)
    return torch.cat([found.distribution, found.age[:, None]], 1).numpy()


def found(path: Path, together: bool = True) -> np.ndarray:
    """The same by the engine of an exported file."""
    model, header = load_network(path)
    rgb, points = faces(header["input"]["size"])
    rows = [slice(0, 3)] if together else [slice(n, n + 1) for n in range(3)]
    each = [model.predict(rgb[r], points[r]) for r in rows]
    return torch.cat([torch.cat([e.distribution, e.age[:, None]], 1) for e in each]).numpy()


@pytest.fixture(scope="module")
def small_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "small.onnx"
    export_model(*network("tiny_age_net"), path)
    return path


@pytest.mark.parametrize("name", WITH_MARKS)
def test_every_network_gives_the_same_ages_in_onnx(name: str, tmp_path: Path) -> None:
    model, header = network(name)
    wanted = expected(model)
    path = tmp_path / "model.onnx"
    export_model(model, header, path)
    own = found(path)
    assert np.ptp(wanted[:, -1]) > 0.1, "faces of the same age compare little"
    np.testing.assert_allclose(own[:, -1], wanted[:, -1], atol=0.01, rtol=0)
    np.testing.assert_allclose(own[:, :-1], wanted[:, :-1], atol=1e-4, rtol=0)
    np.testing.assert_allclose(found(path, together=False), own, atol=1e-2, rtol=0)


def test_without_the_mirror_image(tmp_path: Path) -> None:
    model, header = network("tiny_age_net")
    alone, both = expected(model, mirror=False), expected(model)
    export_model(model, header, tmp_path / "model.onnx", mirror=False)
    np.testing.assert_allclose(found(tmp_path / "model.onnx"), alone, atol=2e-3, rtol=0)
    assert np.abs(alone[:, -1] - both[:, -1]).max() > 0.1


def test_the_header_travels_with_the_graph(small_onnx: Path) -> None:
    _, before = network("tiny_age_net")
    _, header = load_network(small_onnx)
    for key in ("model", "ages", "provenance", "calibration"):
        assert header[key] == before[key]
    # What the graph takes: the same view, not normalised.
    assert header["input"] == {**before["input"], "mean": [0, 0, 0], "std": [1 / 255] * 3}
    assert header["exported"]["precision"] == "float32"
    assert header["exported"]["mirror"] is True


def test_any_program_reads_the_metadata_and_checks_the_graph(small_onnx: Path) -> None:
    import onnx

    graph = onnx.load(small_onnx)
    onnx.checker.check_model(graph)
    assert {node.domain for node in graph.graph.node} == {""}, "only standard operators"
    (entry,) = (each for each in graph.metadata_props if each.key == "wrinkle")
    assert json.loads(entry.value)["provenance"]["licence"] == "none"
    assert [each.name for each in graph.graph.input] == ["face"]
    assert [each.name for each in graph.graph.output] == ["distribution", "age"]


def test_float16_halves_the_file(small_onnx: Path, tmp_path: Path) -> None:
    model, header = network("mobilenet_v1")
    wanted = expected(model)
    export_model(model, header, tmp_path / "half.onnx", "float16")
    weights = sum(p.numel() for p in model.parameters())
    assert 2 * weights < (tmp_path / "half.onnx").stat().st_size < 2.3 * weights
    np.testing.assert_allclose(found(tmp_path / "half.onnx")[:, -1], wanted[:, -1], atol=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "dhaa"])
def test_float16_of_a_packaged_model_hardly_changes_ages(
    name: str, example_store: Path, tmp_path: Path
) -> None:
    model, header = load_model(model_file(name))
    inputs = quantization_inputs(header, str(example_store))
    (rgb, points), *others = (
        tuple(torch.from_numpy(each[key]) for key in ("face", "key_points")) for each in inputs
    )
    assert (len(rgb), others) == (5, [])
    rgb = rgb.permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted = model.predict(model.normalised(rgb / 255), points).age
    export_model(model, header, tmp_path / "half.onnx", "float16")
    own = load_network(tmp_path / "half.onnx")[0].predict(rgb, points).age
    assert 1e-5 < (own - wanted).abs().max() < 0.2


def test_int8_is_calibrated_on_faces_of_a_store(drawn_store: Path, tmp_path: Path) -> None:
    model, header = network("tiny_age_net")
    with pytest.raises(WrinkleError, match="faces"):
        export_model(model, header, tmp_path / "int8.onnx", "int8")
    inputs = quantization_inputs(header, str(drawn_store))
    rgb, points = (
        torch.from_numpy(np.concatenate([each[name] for each in inputs]))
        for name in ("face", "key_points")
    )
    assert rgb.shape == (256, 64, 64, 3)
    assert 150 < rgb.max() <= 255
    rgb = rgb.permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted = model.predict(model.normalised(rgb / 255), points).age
    export_model(model, header, tmp_path / "int8.onnx", "int8", faces=inputs)
    own = load_network(tmp_path / "int8.onnx")[0].predict(rgb, points).age
    assert 0.001 * wanted.std() < (own - wanted).abs().mean() < 0.5 * wanted.std()


def test_a_name_must_choose_a_format(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match=r"\.onnx or.*\.xml"):
        export_model(*network("tiny_age_net"), tmp_path / "model.pt")


def test_an_engine_works_in_a_forked_process(small_onnx: Path) -> None:
    model, header = load_network(small_onnx)
    rgb, points = faces(header["input"]["size"])
    wanted = model.predict(rgb, points).age.tolist()

    def child(end: Any) -> None:
        end.send(model.predict(rgb, points).age.tolist())

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(theirs,))
    process.start()
    assert ours.poll(60)
    assert ours.recv() == pytest.approx(wanted)
    process.join()


# Files that cannot be used


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 0.999])
def test_a_flipped_byte_is_noticed(small_onnx: Path, tmp_path: Path, place: float) -> None:
    content = bytearray(small_onnx.read_bytes())
    content[int(place * len(content))] ^= 64
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(WrinkleError, match="damaged"):
        load_network(tmp_path / "model.onnx")


@pytest.mark.parametrize("length", [0, 100, 0.5, 0.99])
def test_a_file_that_is_cut_short(small_onnx: Path, tmp_path: Path, length: float) -> None:
    content = small_onnx.read_bytes()
    size = int(length * len(content)) if length < 1 else int(length)
    (tmp_path / "model.onnx").write_bytes(content[:size])
    with pytest.raises(WrinkleError, match=r"damaged|another program") as error:
        load_network(tmp_path / "model.onnx")
    assert "\n" not in str(error.value)


def test_a_file_of_another_program(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    names = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", names[:1], names[1:])
    opset = helper.make_opsetid("", 18)
    path = tmp_path / "other.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString()
    )
    with pytest.raises(WrinkleError, match="another program"):
        load_network(path)
    with pytest.raises(WrinkleError, match="no such file"):
        load_network(tmp_path / "none.onnx")


def test_a_missing_extra_is_named(small_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wrinkle.errors.missing_packages", lambda extra: ["onnxruntime"])
    with pytest.raises(WrinkleError, match=r"onnxruntime is missing.*\[onnx\]"):
        load_network(small_onnx)


# OpenVINO


def test_openvino_gives_the_same(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model, header = network("tiny_age_net")
    wanted = expected(model)
    path = tmp_path / "model.xml"
    export_model(model, header, path)
    np.testing.assert_allclose(found(path)[:, -1], wanted[:, -1], atol=0.01, rtol=0)
    np.testing.assert_allclose(found(path, together=False), found(path), atol=1e-2, rtol=0)
    assert load_network(path)[1]["calibration"] == header["calibration"]
    graph, weights = path.read_text(), bytearray(path.with_suffix(".bin").read_bytes())
    assert 'strides="2, 2"' in graph
    for changed in (graph.replace('strides="2, 2"', 'strides="4, 4"', 1), "<html></html>", ""):
        path.write_text(changed)
        with pytest.raises(WrinkleError, match="damaged"):
            load_network(path)
    path.write_text(graph)
    weights[len(weights) // 2] ^= 64
    path.with_suffix(".bin").write_bytes(weights)
    with pytest.raises(WrinkleError, match="damaged"):
        load_network(path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(WrinkleError, match=r"model\.bin: no such file.*model\.xml.*beside"):
        load_network(path)
