from pathlib import Path

import numpy as np
import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.faces.detectors import create_detector
from wrinkle.faces.detectors.mtcnn import nets
from wrinkle.faces.detectors.mtcnn.nets import WEIGHTS, load_nets
from wrinkle.files import read_tensors, write_tensors


def _arrays(net: str) -> list[np.ndarray]:
    """A net's arrays in the file's order of layers; kernels as (H, W, in, out) or (in, out)."""
    axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    tensors, _ = read_tensors(WEIGHTS, "detector")
    order = {"pnet": nets.PNet, "rnet": nets.RNet, "onet": nets.ONet}[net]()
    arrays = [tensors[f"{net}.{name}"].numpy() for name, _ in order.named_parameters()]
    return [array.transpose(axes[array.ndim]) for array in arrays]


# The published networks once more, in plain loops over the file's own arrays.


def _convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    height, width = kernel.shape[:2]
    rows, columns = x.shape[0] - height + 1, x.shape[1] - width + 1
    result = np.empty((rows, columns, len(bias)))
    for i in range(rows):
        for j in range(columns):
            window = x[i : i + height, j : j + width]
            result[i, j] = np.tensordot(window, kernel.astype(float), 3) + bias
    return result


def _prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, x * slope)


def _pool(x: np.ndarray, side: int, beyond: bool) -> np.ndarray:
    """Maximum of every other window; the last one may reach beyond the border."""
    count = [(n - 2) // 2 + 1 if beyond else (n - side) // 2 + 1 for n in x.shape[:2]]
    if beyond:
        count = [-(-n // 2) for n in x.shape[:2]]
    windows = [
        [x[2 * i : 2 * i + side, 2 * j : 2 * j + side].max((0, 1)) for j in range(count[1])]
        for i in range(count[0])
    ]
    return np.array(windows)


def _softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def _slow_net(
    x: np.ndarray, arrays: list[np.ndarray], pools: list[tuple[int, bool] | None], hidden: bool
) -> list[np.ndarray]:
    """Blocks of convolution, PReLU and pooling, a hidden layer if any; then each head's output."""
    left = iter(arrays)
    for pool in pools:
        x = _prelu(_convolve(x, next(left), next(left)), next(left))
        x = x if pool is None else _pool(x, *pool)
    if hidden:
        flat = x.transpose(1, 0, 2).ravel()  # column by column
        x = _prelu(flat @ next(left).astype(float) + next(left), next(left))
    return [x @ kernel.reshape(kernel.shape[-2:]).astype(float) + next(left) for kernel in left]


def _picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (*shape, 3))


def _run(net: torch.nn.Module, picture: np.ndarray) -> list[np.ndarray]:
    with torch.inference_mode():
        outputs = net.eval()(torch.from_numpy(picture).float().permute(2, 0, 1)[None])
    return [output[0].numpy() for output in outputs]


@pytest.mark.parametrize("shape", [(12, 12), (17, 20)])
def test_the_proposal_net_equals_plain_loops(shape):
    arrays = _arrays("pnet")
    picture = _picture(*shape)
    offsets, face = _slow_net(picture, arrays, [(2, True), None, None], hidden=False)
    seen_face, seen_offsets = _run(load_nets()[0], picture)
    np.testing.assert_allclose(seen_face, _softmax(face)[..., 1], atol=1e-5)
    np.testing.assert_allclose(seen_offsets, offsets.transpose(2, 0, 1), atol=1e-5)


def test_the_refinement_net_equals_plain_loops():
    arrays = _arrays("rnet")
    offsets, face = _slow_net(_picture(24, 24), arrays, [(3, True), (3, False), None], hidden=True)
    seen_face, seen_offsets = _run(load_nets()[1], _picture(24, 24))
    np.testing.assert_allclose(seen_face, _softmax(face)[1], atol=1e-5)
    np.testing.assert_allclose(seen_offsets, offsets, atol=1e-5)


def test_the_output_net_equals_plain_loops():
    arrays = _arrays("onet")
    pools = [(3, True), (3, False), (2, True), None]
    offsets, points, face = _slow_net(_picture(48, 48), arrays, pools, hidden=True)
    seen_face, seen_offsets, seen_points = _run(load_nets()[2], _picture(48, 48))
    np.testing.assert_allclose(seen_face, _softmax(face)[1], atol=1e-5)
    np.testing.assert_allclose(seen_offsets, offsets, atol=1e-5)
    np.testing.assert_allclose(seen_points, points, atol=1e-5)


def _refused() -> str:
    with pytest.raises(WrinkleError) as caught:
        create_detector("mtcnn")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("length", [0, 7, 1000, 1_900_000])
def test_truncated_weights_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    copy = tmp_path / "weights.safetensors"
    copy.write_bytes(WEIGHTS.read_bytes()[:length])
    monkeypatch.setattr(nets, "WEIGHTS", copy)
    assert f"{copy}: damaged" in _refused()


def test_changed_or_missing_weights_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "weights.safetensors"
    monkeypatch.setattr(nets, "WEIGHTS", copy)
    assert "no such file" in _refused()
    content = bytearray(WEIGHTS.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    assert "checksum" in _refused()
    write_tensors(copy, {"face": torch.zeros(3)}, {"kind": "model"})
    assert "detector file" in _refused()


def test_the_weights_are_small_and_licensed() -> None:
    assert WEIGHTS.stat().st_size < 2_100_000
    notice = WEIGHTS.with_name("weights.LICENSE.txt").read_text(encoding="utf-8")
    assert "MIT License" in notice
    assert "Iván de Paz Centeno" in notice
    assert "Kaipeng Zhang" in notice
