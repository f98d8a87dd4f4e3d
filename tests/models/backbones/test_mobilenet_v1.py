"""MobileNet-v1 against a slow version, on a made file in TensorFlow.js's form."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.models import create_model, load_initial
from wrinkle.models.backbones.mobilenet_v1 import BLOCKS, STAGE_ENDS, MobileNetV1
from wrinkle.models.pretrained import _read_tensorflow_js


def layout() -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the published file's tensors, without those of its own heads."""
    names: list[tuple[str, tuple[int, ...]]] = [
        ("feats/kernel", (1024, 256)),
        ("conv1/convolution/merged_input", (3, 3, 3, 32)),
        ("conv1_bn/batchnorm_1/sub", (32,)),
        ("conv1_relu/Const_1", ()),
    ]
    channels = 32
    for number, (out_channels, _) in enumerate(BLOCKS, 1):
        names += [
            (f"conv_dw_{number}/depthwise_kernel", (3, 3, channels, 1)),
            (f"conv_dw_{number}_bn/batchnorm_1/mul", (channels,)),
            (f"conv_dw_{number}_bn/batchnorm_1/sub", (channels,)),
            (f"conv_pw_{number}/convolution/merged_input", (1, 1, channels, out_channels)),
            (f"conv_pw_{number}_bn/batchnorm_1/sub", (out_channels,)),
        ]
        channels = out_channels
    return names


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A file of that layout with random weights in float16, and its tensors."""
    random = np.random.default_rng(0)
    tensors, weights = {}, []
    for name, shape in layout():
        scale = 1 / math.sqrt(math.prod(shape[:3])) if len(shape) == 4 else 1.0
        values = random.normal(0, 1, shape) * scale * (3 if "depthwise" in name else 1.5)
        tensors[name] = np.asarray(values, np.float16)
        quantization = {"dtype": "float16", "original_dtype": "float32"}
        weights.append(
            {"name": name, "shape": shape, "dtype": "float32", "quantization": quantization}
        )
    weights.append({"name": "global_pooling/indices", "shape": [2], "dtype": "int32"})
    folder = tmp_path_factory.mktemp("faceres")
    content = b"".join(tensor.tobytes() for tensor in tensors.values())
    content += np.array([1, 2], "<i4").tobytes()
    # In two files, as larger models are.
    (folder / "a.bin").write_bytes(content[:1000])
    (folder / "b.bin").write_bytes(content[1000:])
    manifest = [{"paths": ["a.bin", "b.bin"], "weights": weights}]
    (folder / "faceres.json").write_text(json.dumps({"weightsManifest": manifest}))
    return folder / "faceres.json", tensors


def slow_features(tensors: dict[str, np.ndarray], x: Tensor) -> list[Tensor]:
    """Output of each block for x (B, 3, S, S) in BGR, float64, from TensorFlow's own tensors."""

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(tensors[name].astype(np.float64))

    def same(x: Tensor, kernel: int, stride: int) -> Tensor:
        side = x.shape[-1]
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        return F.pad(x, (total // 2, total - total // 2) * 2)

    def shifted(x: Tensor, name: str) -> Tensor:
        return (x + tensor(f"{name}_bn/batchnorm_1/sub").view(-1, 1, 1)).clamp(0, 6)

    filters = tensor("conv1/convolution/merged_input").permute(3, 2, 0, 1)
    x = shifted(F.conv2d(same(x, 3, 2), filters, stride=2), "conv1")
    outputs = []
    for number, (_, stride) in enumerate(BLOCKS, 1):
        name = f"conv_dw_{number}"
        filters = tensor(f"{name}/depthwise_kernel").permute(2, 3, 0, 1)
        x = F.conv2d(same(x, 3, stride), filters, stride=stride, groups=x.shape[1])
        x = shifted(x * tensor(f"{name}_bn/batchnorm_1/mul").view(-1, 1, 1), name)
        name = f"conv_pw_{number}"
        filters = tensor(f"{name}/convolution/merged_input").permute(3, 2, 0, 1)
        x = shifted(F.conv2d(x, filters), name)
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("size", [64, 97])
def test_it_computes_what_the_tensors_say(
    made: tuple[Path, dict[str, np.ndarray]], size: int
) -> None:
    path, tensors = made
    model = create_model("mobilenet_v1", input_size=size, dropout=0.0).eval()
    load_initial(model, str(path))
    torch.manual_seed(0)
    pixels = 255 * torch.rand(2, 3, size, size)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.mean, model.std))
    bgr = pixels.flip(1).double() - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    outputs = slow_features(tensors, bgr)
    expected = torch.cat([outputs[block].mean((2, 3)) for block in STAGE_ENDS], 1)
    with torch.no_grad():
        found = model.forward_features((pixels / 255 - mean) / std)
    assert found.shape == (2, 256 + 512 + 1024)
    assert float(expected.std()) > 0.01
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)


def test_stages_end_where_the_resolution_changes() -> None:
    model = create_model("mobilenet_v1", features="last")
    assert isinstance(model, MobileNetV1)
    assert [BLOCKS[block + 1][1] for block in STAGE_ENDS[:-1]] == [2, 2]
    # Howard et al., Table 8: 4.2 million with 1000 classes, of which the classifier has 1,025,000.
    backbone = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("head"))
    assert backbone == 3_206_976 == 4_231_976 - 1_025_000
    assert model.forward_features(torch.zeros(1, 3, 64, 64)).shape == (1, 1024)


def test_integers_are_scaled(tmp_path: Path) -> None:
    weight = {"name": "a", "shape": [2, 2], "dtype": "float32"}
    weight["quantization"] = {"dtype": "uint8", "scale": 0.5, "min": -3.0}
    (tmp_path / "a.bin").write_bytes(bytes([0, 1, 6, 255]))
    manifest = [{"paths": ["a.bin"], "weights": [weight]}]
    (tmp_path / "a.json").write_text(json.dumps({"weightsManifest": manifest}))
    found = _read_tensorflow_js(tmp_path / "a.json")
    assert found["a"].tolist() == [[-3.0, -2.5], [0.0, 124.5]]


def test_damaged_files_are_named(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    path, _ = made
    model = create_model("mobilenet_v1")
    copied = tmp_path / "faceres.json"

    def error(text: str | bytes) -> str:
        copied.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(WrinkleError, match=r"faceres\.json") as caught:
            load_initial(model, str(copied))
        return str(caught.value)

    text = path.read_text()
    assert "a.bin" in error(text)
    content = (path.parent / "a.bin").read_bytes()
    (tmp_path / "a.bin").write_bytes(content)
    (tmp_path / "b.bin").write_bytes((path.parent / "b.bin").read_bytes()[:-4])
    assert "damaged" in error(text)
    (tmp_path / "b.bin").write_bytes((path.parent / "b.bin").read_bytes() + b"more")
    assert "damaged" in error(text)
    for damaged in (text[:100], "[]", "{}", b"\xff\xfe\x00", "null"):
        assert "TensorFlow.js" in error(damaged)

    (tmp_path / "b.bin").write_bytes((path.parent / "b.bin").read_bytes())
    other: dict[str, Any] = json.loads(text)
    group = other["weightsManifest"][0]
    group["weights"][1]["shape"] = [3, 3, 32, 3]
    assert "another network" in error(json.dumps(other))
