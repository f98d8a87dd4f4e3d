import os
import pickle
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import cv2
import lz4.frame
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wrinkle.datasets.readers.fgnet import five_points, read
from wrinkle.errors import WrinkleError
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import mtcnn
from wrinkle.faces.detectors.detection import Detection, create_detector
from wrinkle.faces.detectors.mtcnn import MTCNN

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
EYES = {
    "barack_obama_2009.jpg": [[166, 245], [243, 252]],
    "barack_obama_2012.jpg": [[312, 150], [386, 149]],
    "eileen_collins_1998.jpg": [[203, 101], [246, 103]],
    "grace_hopper_1984.jpg": [[221, 191], [308, 186]],
    "joe_biden_2010.jpg": [[193, 117], [236, 126]],
}
"""Pupils placed by hand, in pixels."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads over nets this small mostly wait for each other where other work runs beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights() -> Path:
    spec = find_spec("mtcnn")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "assets" / "weights"


@pytest.fixture(scope="module")
def detector() -> MTCNN:
    return MTCNN()


@pytest.fixture(scope="module")
def photographs() -> dict[str, np.ndarray]:
    return {name: decode(EXAMPLES / name) for name in EYES}


# The published nets once more, in plain loops over the package's own arrays.


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
def test_the_proposal_net_in_plain_loops(weights, shape):
    arrays = mtcnn._read_arrays(weights / "pnet.lz4")
    picture = _picture(*shape)
    offsets, face = _slow_net(picture, arrays, [(2, True), None, None], hidden=False)
    seen_face, seen_offsets = _run(mtcnn._load_nets()[0], picture)
    np.testing.assert_allclose(seen_face, _softmax(face)[..., 1], atol=1e-5)
    np.testing.assert_allclose(seen_offsets, offsets.transpose(2, 0, 1), atol=1e-5)


def test_the_refinement_net_in_plain_loops(weights):
    arrays = mtcnn._read_arrays(weights / "rnet.lz4")
    offsets, face = _slow_net(_picture(24, 24), arrays, [(3, True), (3, False), None], hidden=True)
    seen_face, seen_offsets = _run(mtcnn._load_nets()[1], _picture(24, 24))
    np.testing.assert_allclose(seen_face, _softmax(face)[1], atol=1e-5)
    np.testing.assert_allclose(seen_offsets, offsets, atol=1e-5)


def test_the_output_net_in_plain_loops(weights):
    arrays = mtcnn._read_arrays(weights / "onet.lz4")
    pools = [(3, True), (3, False), (2, True), None]
    offsets, points, face = _slow_net(_picture(48, 48), arrays, pools, hidden=True)
    seen_face, seen_offsets, seen_points = _run(mtcnn._load_nets()[2], _picture(48, 48))
    np.testing.assert_allclose(seen_face, _softmax(face)[1], atol=1e-5)
    np.testing.assert_allclose(seen_offsets, offsets, atol=1e-5)
    np.testing.assert_allclose(seen_points, points, atol=1e-5)


class _Intruder:
    """What a malicious weight file would hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


def _elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path, weights: Path) -> Path:
    """A copy of the weights that the loader takes for the installed ones."""
    copy = folder / "assets" / "weights"
    copy.mkdir(parents=True)
    for file in weights.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    spec = ModuleSpec("mtcnn", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(mtcnn, "find_spec", lambda name: spec)
    return copy


def _refused() -> str:
    with pytest.raises(WrinkleError, match="is damaged: pip install --force-reinstall") as caught:
        MTCNN()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_that_are_more_than_arrays_are_not_run(weights, tmp_path, monkeypatch):
    copy = _elsewhere(monkeypatch, tmp_path, weights)
    (copy / "rnet.lz4").write_bytes(
        lz4.frame.compress(pickle.dumps([_Intruder(tmp_path / "broken in")]))
    )
    assert "mkdir has no place among weights" in _refused()
    assert not (tmp_path / "broken in").exists()
    # Not even numpy's own way to rebuild an array, which calls functions.
    (copy / "rnet.lz4").write_bytes(lz4.frame.compress(pickle.dumps([np.ones(3)])))
    assert "has no place among weights" in _refused()


@pytest.mark.parametrize("length", [0, 7, 1000, 20_000])
def test_weights_cut_short_are_one_line(weights, tmp_path, monkeypatch, length):
    copy = _elsewhere(monkeypatch, tmp_path, weights)
    (copy / "pnet.lz4").write_bytes((weights / "pnet.lz4").read_bytes()[:length])
    assert "pnet.lz4" in _refused()


def test_weights_cut_short_before_packing_of_another_net_or_gone(weights, tmp_path, monkeypatch):
    copy = _elsewhere(monkeypatch, tmp_path, weights)
    stream = lz4.frame.decompress((weights / "onet.lz4").read_bytes())
    (copy / "onet.lz4").write_bytes(lz4.frame.compress(stream[: len(stream) // 2]))
    assert "onet.lz4" in _refused()
    (copy / "onet.lz4").write_bytes((weights / "rnet.lz4").read_bytes())
    assert "onet.lz4" in _refused()
    (copy / "onet.lz4").unlink()
    assert "onet.lz4" in _refused()


def test_the_package_with_the_weights_is_missing(monkeypatch):
    monkeypatch.setattr(mtcnn, "find_spec", lambda name: None)
    with pytest.raises(WrinkleError, match="pip install mtcnn"):
        create_detector("mtcnn")


def _slow_suppress(owner, boxes, scores, threshold, of_smaller) -> set[int]:
    """Go through the boxes by falling score; keep each that no kept one of its owner overlaps."""

    def area(box: np.ndarray) -> float:
        return (box[2] - box[0]) * (box[3] - box[1])

    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        for j in kept:
            wide = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0])
            high = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1])
            shared = max(wide, 0) * max(high, 0)
            areas = area(boxes[i]), area(boxes[j])
            whole = min(areas) if of_smaller else sum(areas) - shared
            if owner[i] == owner[j] and shared > threshold * whole:
                break
        else:
            kept.append(i)
    return set(kept)


@settings(max_examples=200)
@given(
    numbers=st.integers(0, 14).flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.int64, n, elements=st.integers(0, 2)),
            hnp.arrays(np.float64, (n, 4), elements=st.integers(0, 6)),
            hnp.arrays(np.float64, n, elements=st.sampled_from([0.6, 0.7, 0.75, 0.99])),
        )
    ),
    threshold=st.sampled_from([0.3, 0.5, 0.7]),
    of_smaller=st.booleans(),
)
def test_suppression_keeps_what_no_better_box_overlaps(numbers, threshold, of_smaller):
    owner, corners, scores = numbers
    boxes = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], 1)
    kept = mtcnn._suppress(owner, boxes, scores, threshold, of_smaller)
    assert len(set(kept)) == len(kept)
    assert set(kept) == _slow_suppress(owner, boxes, scores, threshold, of_smaller)
    for index in set(owner):
        assert (np.diff(scores[kept[owner[kept] == index]]) <= 0).all()


def test_square_boxes_keep_their_centre_and_longer_side():
    boxes = np.array([[2.0, 3, 12, 7], [0, 0, 1, 5], [1, 1, 4, 4]])
    expected = [[2, 0, 12, 10], [-2, 0, 3, 5], [1, 1, 4, 4]]
    np.testing.assert_array_equal(mtcnn._square(boxes), expected)


def test_what_lies_under_a_box_is_resized_and_black_beyond_the_border():
    image = np.full((40, 50, 3), 200, np.uint8)
    out = np.empty((24, 24, 3), np.uint8)
    mtcnn._resize_box(image, np.array([-12.0, -12, 12, 12]), out)
    assert (out[12:, 12:] == 200).all()
    assert (out[:12] == 0).all()
    assert (out[:, :12] == 0).all()
    mtcnn._resize_box(image, np.array([60.0, 0, 84, 24]), out)
    assert (out == 0).all()
    mtcnn._resize_box(image, np.array([48.0, 38, 96, 86]), out)
    assert (out[0, 0] == 200).all()
    assert (out[1:] == 0).all()


def _eye_error(face: Detection, eyes: np.ndarray) -> float:
    """Mean distance of both eyes, as a share of the distance between them."""
    between = float(np.linalg.norm(eyes[1] - eyes[0]))
    return float(np.linalg.norm(face.key_points[:2] - eyes, axis=1).mean()) / between


def test_the_face_of_every_example_with_eyes_where_they_are(detector, photographs):
    found = detector(list(photographs.values()))
    for (name, photograph), faces in zip(photographs.items(), found, strict=True):
        face = faces[0]
        assert face.box.dtype == face.key_points.dtype == np.float32
        assert face.box.shape == (4,)
        assert face.key_points.shape == (5, 2)
        assert face.landmarks is None
        assert 0.8 < face.score <= 1
        assert _eye_error(face, np.array(EYES[name])) < 0.06
        left, right, nose, mouth_left, mouth_right = face.key_points
        assert left[0] < nose[0] < right[0]
        assert mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
        assert (face.key_points > face.box[:2] - 1).all()
        assert (face.key_points < face.box[2:] + 1).all()
        prominence = [f.score * f.area for f in faces]
        assert prominence == sorted(prominence, reverse=True)
        assert face.area < photograph.shape[0] * photograph.shape[1]


def _assert_same(some: list[Detection], others: list[Detection]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=1e-3)
        np.testing.assert_allclose(one.key_points, other.key_points, atol=1e-3)
        assert one.score == pytest.approx(other.score, abs=1e-3)


def test_what_is_found_does_not_depend_on_the_rest_of_the_batch(detector, photographs, monkeypatch):
    pictures = list(photographs.values())
    pictures += [np.full((7, 5, 3), 128, np.uint8), pictures[0][:, ::-1], pictures[3][:301, :407]]
    alone = [detector([picture])[0] for picture in pictures]
    assert sum(map(len, alone)) >= 7
    for order in (range(8), reversed(range(8)), [4, 4, 0, 5, 7, 2]):
        order = list(order)
        for index, faces in zip(order, detector([pictures[i] for i in order]), strict=True):
            _assert_same(faces, alone[index])
    monkeypatch.setattr(MTCNN, "batch", 50)
    monkeypatch.setattr(MTCNN, "pixels", 30_000)
    for faces, expected in zip(detector(pictures), alone, strict=True):
        _assert_same(faces, expected)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 3), (5, 300), (300, 5), (11, 11), (12, 13), (1, 200_000)]
)
def test_tiny_pictures_and_strips_hold_no_face(detector, shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert detector([picture]) == [[]]


def test_no_picture_and_a_picture_without_a_face(detector):
    assert detector([]) == []
    assert detector([np.full((300, 400, 3), 90, np.uint8)] * 2) == [[], []]


def test_a_small_face_in_a_large_picture(detector, photographs):
    name = "grace_hopper_1984.jpg"
    scale = 0.12  # her eyes are ten pixels apart
    small = cv2.resize(photographs[name], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    large = np.full((900, 1200, 3), 110, np.uint8)
    large[600 : 600 + small.shape[0], 700 : 700 + small.shape[1]] = small
    (faces,) = detector([large])
    assert len(faces) == 1
    step = np.array([small.shape[1], small.shape[0]]) / photographs[name].shape[1::-1]
    assert _eye_error(faces[0], np.array(EYES[name]) * step + [700, 600]) < 0.12


def test_a_face_that_fills_the_picture(detector, photographs):
    tight = photographs["grace_hopper_1984.jpg"][150:320, 175:345]
    (faces,) = detector([tight])
    assert len(faces) == 1
    assert _eye_error(faces[0], np.array(EYES["grace_hopper_1984.jpg"]) - [175, 150]) < 0.1


def test_a_large_photograph_is_the_small_one_enlarged(detector, photographs):
    photograph = photographs["joe_biden_2010.jpg"]
    large = cv2.resize(photograph, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    (faces,) = detector([large])
    assert _eye_error(faces[0], 4 * np.array(EYES["joe_biden_2010.jpg"])) < 0.06


def test_a_crowd(detector, photographs):
    tiles = [cv2.resize(p, (160, 160), interpolation=cv2.INTER_AREA) for p in photographs.values()]
    crowd = np.vstack([np.hstack(tiles[i:] + tiles[:i]) for i in range(4)])
    (faces,) = detector([crowd])
    cells = {tuple((face.key_points[2] // 160).astype(int)) for face in faces}
    assert len(cells) == 20


@pytest.mark.data
@pytest.mark.slow
def test_fgnet_is_found_at_the_hand_placed_eyes(detector, data_root):
    rows, _ = read(data_root / "fgnet")
    errors = []
    for start in range(0, len(rows), 16):
        part = rows[start : start + 16]
        for row, faces in zip(part, detector([decode(row.path) for row in part]), strict=True):
            assert row.landmarks is not None
            eyes = five_points(row.landmarks)[:2]
            errors.append(_eye_error(faces[0], eyes) if faces else np.inf)
    assert len(errors) == 1002
    assert np.mean(np.array(errors) < 0.5) >= 0.99
    assert np.median(errors) < 0.06
