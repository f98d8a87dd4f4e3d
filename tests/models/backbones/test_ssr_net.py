"""SSR-Net: equality with a slow evaluation of the Keras graph, its file, and its fields."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import EXAMPLES
from wrinkle.errors import WrinkleError
from wrinkle.models import create_model, load_initial
from wrinkle.models.backbones.ssr_net import SSRNet

h5py = pytest.importorskip("h5py")

SHAPES = {
    **{f"conv2d_{n}": (3, 3, 3 if n == 1 else 32, 32) for n in range(1, 5)},
    **{f"conv2d_{n}": (3, 3, 3 if n == 5 else 16, 16) for n in range(5, 9)},
    **{f"conv2d_{n}": (1, 1, 16 if n % 2 else 32, 10) for n in range(9, 15)},
    **{f"dense_{n}": (160 if n < 3 else 90, 3) for n in (1, 2, 4, 5, 7, 8)},
    **{f"dense_{n}": (3, 6) for n in (3, 6, 9)},
    **{f"delta_s{k}": (160 if k == 1 else 90, 1) for k in (1, 2, 3)},
    **{f"pred_age_stage{k}": (6, 3) for k in (1, 2, 3)},
    **{f"local_delta_stage{k}": (6, 3) for k in (1, 2, 3)},
}
"""Layer of the published network → shape of its kernel."""


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the published layout with random weights."""
    random = np.random.default_rng(0)
    layers = {}
    for name, shape in SHAPES.items():
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        kernel = random.normal(0, scale, shape)
        if name.startswith(("dense", "pred")):  # ReLUs that are not all zero
            kernel = np.abs(kernel) / 20
        if name.startswith("delta"):  # a tanh that is not ±1
            kernel /= 20
        layers[name] = {"kernel": kernel, "bias": random.normal(0, 0.1, shape[-1])}
    for number in range(1, 9):
        channels = 32 if number < 5 else 16
        layers[f"batch_normalization_{number}"] = {
            "gamma": random.uniform(0.5, 1.5, channels),
            "beta": random.normal(size=channels),
            "moving_mean": random.normal(0, 50 if number in (1, 5) else 1, channels),
            "moving_variance": random.uniform(0.5, 2, channels)
            * (90**2 if number in (1, 5) else 1),
        }
    path = tmp_path_factory.mktemp("ssr") / "made.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in [*layers, "flatten_1"]]
        file.create_group("flatten_1").attrs["weight_names"] = []
        for name, values in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{kind}:0".encode() for kind in values]
            for kind, value in values.items():
                group[f"{name}/{kind}:0"] = value.astype(np.float32)
    return path


def slow_age(path: Path, image: np.ndarray) -> float:
    """The age of an image (64, 64, 3), BGR from 0 to 255, as the Keras graph computes it, in
    float64 and with loops over positions; rows, columns, channels."""
    file = h5py.File(path, "r")

    def weight(layer: str, kind: str) -> np.ndarray:
        value: np.ndarray = file[layer][f"{layer}/{kind}:0"][()].astype(np.float64)
        return value

    def conv(x: np.ndarray, layer: str) -> np.ndarray:
        kernel = weight(layer, "kernel")
        rows, columns = (side - len(kernel) + 1 for side in x.shape[:2])
        out = np.empty((rows, columns, kernel.shape[3]))
        for row in range(rows):
            for column in range(columns):
                patch = x[row : row + len(kernel), column : column + len(kernel)]
                out[row, column] = np.tensordot(patch, kernel, 3)
        return out + weight(layer, "bias")

    def norm(x: np.ndarray, layer: str) -> np.ndarray:
        deviation = np.sqrt(weight(layer, "moving_variance") + 1e-3)
        centred = (x - weight(layer, "moving_mean")) / deviation
        return centred * weight(layer, "gamma") + weight(layer, "beta")

    def pool(x: np.ndarray, side: int, reduce: Callable[..., np.ndarray]) -> np.ndarray:
        rows, columns = (length // side for length in x.shape[:2])
        return np.array(
            [
                [
                    reduce(x[r * side : (r + 1) * side, c * side : (c + 1) * side], (0, 1))
                    for c in range(columns)
                ]
                for r in range(rows)
            ]
        )

    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def dense(x: np.ndarray, layer: str) -> np.ndarray:
        return x @ weight(layer, "kernel") + weight(layer, "bias")

    x = s = image.astype(np.float64)
    xs, ss = [], []
    for level in range(1, 5):
        x = relu(norm(conv(x, f"conv2d_{level}"), f"batch_normalization_{level}"))
        s = np.tanh(norm(conv(s, f"conv2d_{level + 4}"), f"batch_normalization_{level + 4}"))
        if level < 4:
            x, s = pool(x, 2, np.mean), pool(s, 2, np.max)
        xs.append(x)
        ss.append(s)
    age, width = 0.0, 101.0
    for stage, (level, side) in enumerate([(3, 1), (1, 4), (0, 8)], 1):
        first = 3 * stage - 2
        s = pool(relu(conv(ss[level], f"conv2d_{2 * stage + 7}")), side, np.max).reshape(-1)
        x = pool(relu(conv(xs[level], f"conv2d_{2 * stage + 8}")), side, np.mean).reshape(-1)
        delta = np.tanh(dense(s * x, f"delta_s{stage}"))[0]
        mixed = relu(dense(s, f"dense_{first}")) * relu(dense(x, f"dense_{first + 1}"))
        mixed = relu(dense(mixed, f"dense_{first + 2}"))
        p = relu(dense(mixed, f"pred_age_stage{stage}"))
        eta = np.tanh(dense(mixed, f"local_delta_stage{stage}"))
        width /= 3 * (1 + delta)
        age += sum(p[i] * (i + eta[i]) for i in range(3)) * width
    return float(age)


def faces() -> np.ndarray:
    """(N, 64, 64, 3) uint8 RGB: the middle of each example photograph."""
    pictures = [Image.open(path).convert("RGB") for path in sorted(EXAMPLES.glob("*.jpg"))]
    return np.stack([np.asarray(picture.resize((64, 64))) for picture in pictures])


def age_of(model: SSRNet, rgb: np.ndarray) -> float:
    image = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.mean, model.std))
    with torch.no_grad():
        return float(model.head.age(model((image - mean) / std).raw))


def loaded(path: Path) -> SSRNet:
    model = create_model("ssr_net")
    load_initial(model, str(path))
    assert isinstance(model, SSRNet)
    return model.eval()


def test_it_computes_what_the_keras_graph_does(keras_file: Path) -> None:
    model = loaded(keras_file)
    noise = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    ages = []
    for rgb in noise:
        expected = slow_age(keras_file, rgb[..., ::-1])
        ages.append(expected)
        assert age_of(model, rgb) == pytest.approx(expected, rel=1e-5, abs=1e-4)
    assert abs(ages[0] - ages[1]) > 1e-2


def test_equal_to_the_published_weights_on_real_faces() -> None:
    folder = Path(os.environ.get("WRINKLE_SSR_NET", ""))
    files = sorted(folder.glob("*_ssrnet_3_3_3_64_1.0_1.0.h5")) if folder.name else []
    if not files:
        pytest.skip("WRINKLE_SSR_NET is not the folder of the published weights")
    for file in files:
        model = loaded(file)
        for rgb in faces():
            assert age_of(model, rgb) == pytest.approx(slow_age(file, rgb[..., ::-1]), abs=1e-4)


def test_number_of_parameters_is_the_published_one() -> None:
    model = create_model("ssr_net")
    statistics = [b for name, b in model.named_buffers() if name.split(".")[-1].startswith("run")]
    assert sum(t.numel() for t in [*model.parameters(), *statistics]) == 40_915


@pytest.mark.parametrize("cut", [0, 100, 50_000])
def test_a_cut_file_is_one_line(keras_file: Path, tmp_path: Path, cut: int) -> None:
    file = tmp_path / "cut.h5"
    file.write_bytes(keras_file.read_bytes()[:cut])
    with pytest.raises(WrinkleError, match="damaged") as error:
        load_initial(create_model("ssr_net"), str(file))
    assert "\n" not in str(error.value)


def test_a_foreign_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "foreign.h5"
    with h5py.File(file, "w") as content:
        content["something"] = np.zeros(3)
    with pytest.raises(WrinkleError, match="damaged"):
        load_initial(create_model("ssr_net"), str(file))


def test_another_input_size_is_said(keras_file: Path) -> None:
    with pytest.raises(WrinkleError, match="another shape"):
        load_initial(create_model("ssr_net", input_size=96), str(keras_file))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input_size": 37}, "38 pixels"),
        ({"dropout": 1.0}, "dropout"),
        ({"bins": [3, 3]}, "three stages"),
        ({"bins": [3, 0, 3]}, "at least one"),
    ],
)
def test_wrong_fields(fields: dict[str, object], words: str) -> None:
    with pytest.raises(WrinkleError, match=words):
        create_model("ssr_net", **fields)


@pytest.mark.parametrize("size", [38, 64, 112])
def test_sizes_bins_and_other_heads(size: int) -> None:
    images = 255 * torch.rand(2, 3, size, size)
    for head in ("stagewise", "softmax"):
        model = create_model("ssr_net", input_size=size, bins=[4, 2, 3], head=head).eval()
        with torch.no_grad():
            assert model(images).raw.shape == (2, 21 if head == "stagewise" else 101)
