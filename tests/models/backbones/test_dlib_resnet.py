"""dlib's face recognition network: its file, equality with dlib, and its batch norm."""

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from tests.conftest import EXAMPLES
from wrinkle.errors import WrinkleError
from wrinkle.models import create_model, load_initial
from wrinkle.models.backbones.dlib_resnet import (
    LEVELS,
    DlibResNet,
    _places,
    _tensors,
    padded_sum,
    read_dlib,
)


def integer(value: int) -> bytes:
    """dlib's serialisation: a byte of length and sign, then the value, little-endian."""
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def tensor(values: np.ndarray) -> bytes:
    head = integer(2) + integer(len(values)) + 3 * integer(1)
    return head + values.astype("<f4").tobytes()


@pytest.fixture(scope="module")
def dlib_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of that layout with random weights, and bytes between the tensors as in dlib's own."""
    random = np.random.default_rng(0)
    content = b"\x01\x01\x01\rloss_metric_2" + struct.pack("<f", 0.04)
    for _, _, shape in _places():
        size = int(np.prod(shape))
        scale = np.sqrt(2 / (shape[0] * shape[2] * shape[3]))
        filters = random.normal(0, scale, size + shape[0])
        content += b"\x05con_4" + tensor(filters) + b"\x01\x07\x01\x07"
        affine = np.concatenate([random.uniform(0.5, 1.5, shape[0]), random.normal(size=shape[0])])
        content += b"\x07affine_" + tensor(affine) + b"\x01\x01\x00"
    content += b"\x04fc_2" + integer(128) + integer(256) + tensor(random.normal(size=256 * 128))
    path = tmp_path_factory.mktemp("dlib") / "made.dat"
    path.write_bytes(content)
    return path


def loaded(file: Path, **fields: object) -> DlibResNet:
    model = create_model("dlib_resnet", input_size=112, dropout=0.0, **fields)
    assert isinstance(model, DlibResNet)
    state = {**model.state_dict(), **read_dlib(file)}
    model.load_state_dict(state)
    return model.eval()


def slow_features(file: Path, x: Tensor) -> Tensor:
    """The network as dlib's definition has it, on its own filters, biases, gains and shifts."""
    data = file.read_bytes()
    filters = iter([values for _, values in _tensors(data, b"con_4")])
    affines = iter([values for _, values in _tensors(data, b"affine_")])

    def con_affine(x: Tensor, out: int, kernel: int, stride: int) -> Tensor:
        values = torch.from_numpy(next(filters).copy()).double()
        weight = values[:-out].reshape(out, x.shape[1], kernel, kernel)
        padding = 0 if stride != 1 else kernel // 2
        gain, shift = torch.from_numpy(next(affines).copy()).double().chunk(2)
        y = F.conv2d(x, weight, values[-out:], stride, padding)
        return y * gain.view(-1, 1, 1) + shift.view(-1, 1, 1)

    x = F.max_pool2d(con_affine(x, 32, 7, 2).relu(), 3, 2)
    for level, (width, count) in enumerate(LEVELS):
        for number in range(count):
            down = level > 0 and number == 0
            y = con_affine(con_affine(x, width, 3, 2 if down else 1).relu(), width, 3, 1)
            short = F.avg_pool2d(x, 2) if down else x
            total = torch.zeros(
                1, *(max(p) for p in zip(y.shape[1:], short.shape[1:], strict=True))
            )
            total = total.double()
            for part in (y, short):
                total[:, : part.shape[1], : part.shape[2], : part.shape[3]] += part
            x = total.relu()
    return x.mean((2, 3))


@pytest.mark.parametrize("size", [112, 131, 150])
def test_it_computes_what_dlibs_definition_says(dlib_file: Path, size: int) -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, size, size) - 0.4
    model = loaded(dlib_file, features="last")
    with torch.no_grad():
        found, expected = model.forward_features(image), slow_features(dlib_file, image.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_equal_to_dlib_on_real_faces() -> None:
    dlib = pytest.importorskip("dlib")
    if importlib.util.find_spec("face_recognition_models") is None:
        pytest.skip("face-recognition-models is not installed: pip install '.[dlib]'")
    model = create_model("dlib_resnet", features="last", dropout=0.0).eval()
    load_initial(model, "dlib-faces")
    spec = importlib.util.find_spec("face_recognition_models")
    assert spec is not None
    file = Path(str(spec.origin)).parent / model.starts["dlib-faces"].file
    reference = dlib.face_recognition_model_v1(str(file))
    fc = _tensors(file.read_bytes(), b"fc_2", 2)[0][1].reshape(256, 128)
    for path in sorted(EXAMPLES.glob("*.jpg")):
        chip = np.asarray(Image.open(path).convert("RGB").resize((150, 150)))
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.mean, model.std))
        image = (torch.from_numpy(chip.copy()).permute(2, 0, 1) / 255 - mean) / std
        with torch.no_grad():
            found = model.forward_features(image[None])[0].numpy() @ fc
        expected = np.array(reference.compute_face_descriptor(chip))
        assert np.abs(found - expected).max() < 1e-5


def test_sums_count_what_is_missing_as_zeros() -> None:
    a, b = torch.ones(1, 2, 3, 2), torch.ones(1, 1, 2, 3)
    total = padded_sum(a, b)
    assert total.shape == (1, 2, 3, 3)
    assert total[0, 0].tolist() == [[2, 2, 1], [2, 2, 1], [1, 1, 0]]
    assert total[0, 1].tolist() == [[1, 1, 0]] * 3


def test_batch_norm_takes_the_statistics_of_faces_and_changes_no_output(dlib_file: Path) -> None:
    model = loaded(dlib_file)
    torch.manual_seed(1)
    views = [torch.rand(16, 3, 112, 112) for _ in range(2)]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (model.mean, model.std))
    images = (torch.cat(views) - mean) / std
    with torch.no_grad():
        before = model.forward_features(images)
        model.before_training(views, torch.zeros(32))
        after = model.eval().forward_features(images)
        # In training the statistics are those of the batch, which is all of these faces here.
        trained = model.train().forward_features(images)
    scale = before.abs().max()
    assert (after - before).abs().max() < 1e-4 * scale
    assert (trained - before).abs().max() < 1e-2 * scale
    assert all(
        bool(layer.running_mean.any())  # type: ignore[union-attr]
        for layer in model.modules()
        if isinstance(layer, nn.BatchNorm2d)
    )


def test_statistics_are_taken_once(dlib_file: Path) -> None:
    model = loaded(dlib_file)
    model.before_training([torch.rand(8, 3, 112, 112)], torch.zeros(8))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.before_training([torch.rand(8, 3, 112, 112)], torch.zeros(8))
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("cut", [0, 100, 20_000, -1000])
def test_a_cut_or_foreign_file_is_one_line(dlib_file: Path, tmp_path: Path, cut: int) -> None:
    file = tmp_path / "cut.dat"
    content = dlib_file.read_bytes()
    place = content.rfind(b"affine_")
    file.write_bytes(content[: place + cut] if cut < 0 else content[:cut])
    with pytest.raises(WrinkleError, match="damaged or is not dlib's") as error:
        read_dlib(file)
    assert "\n" not in str(error.value)


def test_features_of_levels_are_wider() -> None:
    model = create_model("dlib_resnet", input_size=112, features="levels")
    assert model.head.state_dict()["fc.weight"].shape[1] == 64 + 128 + 256 + 256
    with pytest.raises(WrinkleError, match="pixels"):
        create_model("dlib_resnet", input_size=96)
