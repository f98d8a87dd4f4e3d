"""MTCNN: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", IEEE SPL 2016.

The three nets carry the weights that the PyPI package `mtcnn` (MIT) brings along; the cascade is
ours. It works on many photographs of different sizes at once and goes from coarse to fine: a first
pass looks for faces that fill a good part of the picture, and only photographs without one pay for
the fine levels of the pyramid.
"""

import io
import pickle
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import lz4.frame
import numpy as np
import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.detectors.detection import Detection, by_prominence

CELL = 12
"""Side of the window that P-Net classifies, in pixels."""
STRIDE = 2
"""Distance of neighbouring windows, in pixels."""
RNET_SIDE = 24
ONET_SIDE = 48
PYRAMID_STEP = 0.709
"""Ratio of neighbouring pyramid levels: half the area."""


class PNet(nn.Module):
    """Proposal network, convolutional: (B, 3, H, W) → face (B, h, w), box offsets (B, 4, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 10, 3), nn.PReLU(10), nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(10, 16, 3), nn.PReLU(16),
            nn.Conv2d(16, 32, 3), nn.PReLU(32),
        )  # fmt: skip
        self.offsets = nn.Conv2d(32, 4, 1)
        self.face = nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.features(x)
        return self.face(x).softmax(1)[:, 1], self.offsets(x)


class RNet(nn.Module):
    """Refinement network: (B, 3, 24, 24) → face (B,), box offsets (B, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 28, 3), nn.PReLU(28), nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(28, 48, 3), nn.PReLU(48), nn.MaxPool2d(3, 2),
            nn.Conv2d(48, 64, 2), nn.PReLU(64),
        )  # fmt: skip
        self.hidden = nn.Sequential(nn.Linear(576, 128), nn.PReLU(128))
        self.offsets = nn.Linear(128, 4)
        self.face = nn.Linear(128, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.hidden(_flatten_columns(self.features(x)))
        return self.face(x).softmax(1)[:, 1], self.offsets(x)


class ONet(nn.Module):
    """Output network: (B, 3, 48, 48) → face (B,), box offsets (B, 4), key points (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.PReLU(32), nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(32, 64, 3), nn.PReLU(64), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 64, 3), nn.PReLU(64), nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(64, 128, 2), nn.PReLU(128),
        )  # fmt: skip
        self.hidden = nn.Sequential(nn.Linear(1152, 256), nn.PReLU(256))
        self.offsets = nn.Linear(256, 4)
        self.key_points = nn.Linear(256, 10)
        self.face = nn.Linear(256, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.hidden(_flatten_columns(self.features(x)))
        return self.face(x).softmax(1)[:, 1], self.offsets(x), self.key_points(x)


class MTCNN:
    """Face detector with five key points.

    Args:
        device: where the nets run.
        thresholds: smallest score to pass P-Net, R-Net and O-Net.
        portrait: a photograph whose largest face, found in the coarse pass, covers at least this
            share of the picture is finished with.
        coarse: side of the smallest face of the coarse pass, as a share of the shorter side.
        smallest: side in pixels of the smallest face of the fine pass, which looks at a picture of
            at most `finest_side` pixels on its longer side.
    """

    finest_side = 1280
    sure = 0.9
    """Score below which a face counts only in a photograph without a better one."""
    batch = 256
    """Boxes that R-Net and O-Net take at a time."""
    pixels = 1 << 20
    """Of pyramid levels that P-Net takes at a time: 40 MB after its first layer."""

    def __init__(
        self,
        device: str | torch.device = "cpu",
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.8),
        portrait: float = 0.08,
        coarse: float = 0.25,
        smallest: float = 20.0,
    ) -> None:
        self.device = torch.device(device)
        self.thresholds = thresholds
        self.portrait = portrait
        self.coarse = coarse
        self.smallest = smallest
        self.pnet, self.rnet, self.onet = (net.to(self.device).eval() for net in _load_nets())

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Find faces in (H, W, 3) uint8 RGB photographs; see `Detector`."""
        if not len(images):
            return []
        found = self._cascade(images, [self._coarse_side(i) for i in images])
        pending = [
            index
            for index, (image, faces) in enumerate(zip(images, found, strict=True))
            if max((f.area for f in faces), default=0)
            < self.portrait * image.shape[0] * image.shape[1]
        ]
        if pending:
            rest = [images[i] for i in pending]
            smallest = [
                max(self.smallest, self.smallest * max(i.shape[:2]) / self.finest_side)
                for i in rest
            ]
            for index, faces in zip(pending, self._cascade(rest, smallest), strict=True):
                found[index] = faces or found[index]
        for index in (i for i, faces in enumerate(found) if not faces):
            found[index] = self._in_a_frame(images[index])
        return [[f for f in faces if f.score >= self.sure] or faces for faces in found]

    def _coarse_side(self, image: np.ndarray) -> float:
        """Side of the coarse pass's smallest face; in a long strip no less than the fine pass's."""
        short, long = sorted(image.shape[:2])
        return max(self.coarse * short, self.smallest * long / self.finest_side)

    def _in_a_frame(self, image: np.ndarray) -> list[Detection]:
        """Look again at a picture that a face may fill: P-Net needs some surroundings."""
        border = round(0.2 * min(image.shape[:2]))
        framed = cv2.copyMakeBorder(
            image, border, border, border, border, cv2.BORDER_CONSTANT, value=(127, 127, 127)
        )
        (faces,) = self._cascade([framed], [self._coarse_side(framed)])
        for face in faces:
            face.box -= border
            face.key_points -= border
        return faces

    def _cascade(
        self, images: Sequence[np.ndarray], smallest: Sequence[float]
    ) -> list[list[Detection]]:
        """The faces of at least `smallest` pixels in each photograph, each one's best first.

        Worked on are copies in which the smallest face just fills O-Net's input: no net sees a
        larger one, and every resize costs what the copy, not what the photograph has of pixels.
        """
        copies, scales = zip(
            *(_shrink(i, ONET_SIDE / s) for i, s in zip(images, smallest, strict=True)), strict=True
        )
        least = [s * scale.mean() for s, scale in zip(smallest, scales, strict=True)]
        owner, boxes, score, points = self._search(copies, least)
        scale = np.array(scales)[owner]
        boxes, points = boxes / np.tile(scale, 2), points / scale[:, None]
        result: list[list[Detection]] = [[] for _ in images]
        for i, index in enumerate(owner):
            face = Detection(
                boxes[i].astype(np.float32), float(score[i]), points[i].astype(np.float32)
            )
            result[index].append(face)
        return [by_prominence(faces) for faces in result]

    def _search(
        self, images: Sequence[np.ndarray], smallest: Sequence[float]
    ) -> tuple[np.ndarray, ...]:
        """P-Net, R-Net and O-Net: owners (N,), boxes (N, 4), scores (N,), key points (N, 5, 2)."""
        owner, boxes = self._propose(images, smallest)
        boxes = _square(boxes)
        score, offsets = self._run(self.rnet, images, owner, boxes, RNET_SIDE)
        owner, boxes, score, offsets = _where(
            score > self.thresholds[1], owner, boxes, score, offsets
        )
        kept = _suppress(owner, _adjust(boxes, offsets), score, 0.7)
        owner, boxes = owner[kept], _square(_adjust(boxes, offsets)[kept])

        score, offsets, points = self._run(self.onet, images, owner, boxes, ONET_SIDE)
        owner, boxes, score, offsets, points = _where(
            score > self.thresholds[2], owner, boxes, score, offsets, points
        )
        corner, side = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
        points = corner + side * points.reshape(-1, 2, 5).transpose(0, 2, 1)
        boxes = _adjust(boxes, offsets)
        kept = _suppress(owner, boxes, score, 0.7, of_smaller=True)
        return owner[kept], boxes[kept], score[kept], points[kept]

    def _propose(
        self, images: Sequence[np.ndarray], smallest: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """P-Net over the image pyramids: owners (N,) and boxes (N, 4) in photograph pixels."""
        owners, boxes, scores = [np.empty(0, np.int64)], [np.empty((0, 4))], [np.empty(0)]
        for level in _batches(_levels(images, smallest), self.pixels):
            face, offsets = self.pnet(_batch([resized for _, _, resized in level], self.device))
            where = (face > self.thresholds[0]).nonzero()
            picked = offsets.permute(0, 2, 3, 1)[tuple(where.T)].double().cpu().numpy()
            score = face[tuple(where.T)].double().cpu().numpy()
            n, row, column = where.cpu().numpy().T
            corner = STRIDE * np.stack([column, row], 1).astype(np.float64)
            shape = np.array([resized.shape[1::-1] for _, _, resized in level])[n]
            inside = (corner + CELL <= shape).all(1)  # the padding depends on the others
            owner = np.array([index for index, _, _ in level])[n]
            box = _adjust(np.concatenate([corner, corner + CELL], 1), picked)
            box /= np.array([np.tile(scale, 2) for _, scale, _ in level])[n]
            owner, box, score = _where(inside, owner, box, score)
            kept = _suppress(owner, box, score, 0.5)
            owners.append(owner[kept])
            boxes.append(box[kept])
            scores.append(score[kept])
        owner, box = np.concatenate(owners), np.concatenate(boxes)
        kept = _suppress(owner, box, np.concatenate(scores), 0.7)
        return owner[kept], box[kept]

    def _run(
        self,
        net: nn.Module,
        images: Sequence[np.ndarray],
        owner: np.ndarray,
        boxes: np.ndarray,
        size: int,
    ) -> list[np.ndarray]:
        """Run R-Net or O-Net on the boxes' pixels, resized to `size`; float64 arrays."""
        outputs = []
        for start in range(0, max(len(boxes), 1), self.batch):
            part = slice(start, start + self.batch)
            crops = np.empty((len(boxes[part]), size, size, 3), np.uint8)
            for crop, index, box in zip(crops, owner[part], boxes[part], strict=True):
                _resize_box(images[index], box, crop)
            outputs.append(net(_normalise(torch.from_numpy(crops).to(self.device))))
        return [torch.cat(parts).double().cpu().numpy() for parts in zip(*outputs, strict=True)]


def _shrink(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture made smaller by about `scale`, if that is below 1, and its scale (x, y)."""
    height, width = image.shape[:2]
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    if scale >= 1:
        return image, np.ones(2)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.array(size) / (width, height)


def _levels(
    images: Sequence[np.ndarray], smallest: Sequence[float]
) -> Iterator[list[tuple[int, np.ndarray, np.ndarray]]]:
    """Pyramids of all photographs, finest level first: (index, scale (x, y), resized picture)."""
    current = list(images)
    scales = [CELL / s for s in smallest]
    step = 0
    while True:
        level = []
        for index, image in enumerate(images):
            height, width = image.shape[:2]
            scale = scales[index] * PYRAMID_STEP**step
            size = (round(width * scale), round(height * scale))
            if min(size) < CELL:
                continue
            # Each level is made from the one before: the photograph itself is read once.
            current[index] = cv2.resize(current[index], size, interpolation=cv2.INTER_AREA)
            level.append((index, np.array(size) / (width, height), current[index]))
        if not level:
            return
        yield level
        step += 1


def _batches(
    levels: Iterable[list[tuple[int, np.ndarray, np.ndarray]]], pixels: int
) -> Iterator[list[tuple[int, np.ndarray, np.ndarray]]]:
    """Split levels so that their pictures, padded to one shape, have at most `pixels` together."""
    for level in levels:
        batch: list[tuple[int, np.ndarray, np.ndarray]] = []
        for entry in level:
            shapes = [resized.shape[:2] for _, _, resized in (*batch, entry)]
            if batch and len(shapes) * np.max(shapes, axis=0).prod() > pixels:
                yield batch
                batch = []
            batch.append(entry)
        yield batch


def _batch(pictures: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Stack pictures of different sizes, padded with mid-grey: (B, 3, H, W)."""
    height, width = np.max([p.shape[:2] for p in pictures], axis=0)
    stacked = np.full((len(pictures), height, width, 3), 127, np.uint8)
    for target, picture in zip(stacked, pictures, strict=True):
        target[: picture.shape[0], : picture.shape[1]] = picture
    return _normalise(torch.from_numpy(stacked).to(device))


def _normalise(pictures: Tensor) -> Tensor:
    return (pictures.permute(0, 3, 1, 2).float() - 127.5) / 128


def _resize_box(image: np.ndarray, box: np.ndarray, out: np.ndarray) -> None:
    """Resize the pixels under a square box, black beyond the border, into `out`."""
    (x1, y1), (x2, y2) = (
        np.floor(box[:2]).astype(int),
        np.maximum(np.ceil(box[2:]), box[:2] + 1).astype(int),
    )
    height, width = image.shape[:2]
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    if left >= right or top >= bottom:
        out[:] = 0
        return
    pixels = image[top:bottom, left:right]
    if (left, top, right, bottom) != (x1, y1, x2, y2):
        pixels = cv2.copyMakeBorder(
            pixels,
            top - y1,
            y2 - bottom,
            left - x1,
            x2 - right,
            cv2.BORDER_CONSTANT,
            value=(0, 0, 0),
        )
    smaller = pixels.shape[0] > out.shape[0]
    cv2.resize(
        pixels, out.shape[1::-1], out, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )


def _adjust(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Move box corners by offsets given in units of the box's sides."""
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def _square(boxes: np.ndarray) -> np.ndarray:
    """Widen the shorter side of each box to the longer one."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], 1)


def _where(mask: np.ndarray, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(array[mask] for array in arrays)


def _suppress(
    owner: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    of_smaller: bool = False,
) -> np.ndarray:
    """Greedy non-maximum suppression in each photograph; indices kept, by owner and falling score.

    Overlap is intersection over union or, `of_smaller`, over the smaller box's area.
    """
    kept = []
    order = np.lexsort((-scores, owner))
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    for rest in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
        while rest.size:
            best, rest = rest[0], rest[1:]
            kept.append(best)
            low = np.maximum(boxes[best, :2], boxes[rest, :2])
            high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
            shared = np.clip(high - low, 0, None).prod(1)
            if of_smaller:
                whole = np.minimum(area[best], area[rest])
            else:
                whole = area[best] + area[rest] - shared
            rest = rest[shared <= threshold * whole]
    return np.array(kept, np.int64)


def _flatten_columns(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, W·H·C): the order in which the published dense layers were trained."""
    return x.permute(0, 3, 2, 1).flatten(1)


def _load_nets() -> tuple[PNet, RNet, ONet]:
    """The three nets with the weights of the installed package `mtcnn`."""
    spec = find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise WrinkleError(
            "the package mtcnn, which carries the detector's weights, is missing: pip install mtcnn"
        )
    folder = Path(spec.submodule_search_locations[0]) / "assets" / "weights"
    nets = PNet(), RNet(), ONet()
    for net, name in zip(nets, ("pnet", "rnet", "onet"), strict=True):
        path = folder / f"{name}.lz4"
        try:
            _fill(net, _read_arrays(path))
        except Exception as error:
            raise WrinkleError(
                f"{path} is damaged: pip install --force-reinstall mtcnn ({error})"
            ) from error
    return nets


def _fill(net: nn.Module, arrays: list[np.ndarray]) -> None:
    """Copy Keras arrays into a net's parameters, which come in the same order."""
    with torch.no_grad():
        for parameter, array in zip(net.parameters(), arrays, strict=True):
            value = torch.from_numpy(array)
            if value.ndim == 4:  # (H, W, in, out) → (out, in, H, W)
                value = value.permute(3, 2, 0, 1)
            elif value.ndim == 2:  # (in, out) → (out, in)
                value = value.T
            else:  # biases, and PReLU slopes of shape (C,) or (1, 1, C)
                value = value.flatten()
            if value.shape != parameter.shape:
                raise ValueError(f"shape {tuple(value.shape)}, expected {tuple(parameter.shape)}")
            parameter.copy_(value)


class _StoredArray:
    """Stands for joblib's NumpyArrayWrapper: the description in front of an array's raw bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


# The Python version of the unpickler: the raw bytes of an array follow its description in the
# stream, and only this version lets them be read there.
class _ArrayUnpickler(pickle._Unpickler):  # type: ignore[name-defined,misc]
    """Reads joblib's list of arrays and refuses every other object."""

    stack: list[Any]

    def __init__(self, handle: BinaryIO) -> None:
        super().__init__(handle)
        self.handle = handle

    allowed = {  # noqa: RUF012
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _StoredArray,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }
    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]  # noqa: RUF012

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} has no place among weights") from None

    def load_build(self) -> None:
        super().load_build()  # type: ignore[misc]
        stored = self.stack[-1]
        if isinstance(stored, _StoredArray):
            padding = self.handle.read(1)[0]
            self.handle.read(padding)
            count = int(np.prod(stored.shape))
            raw = self.handle.read(count * stored.dtype.itemsize)
            self.stack[-1] = np.frombuffer(raw, stored.dtype, count).reshape(stored.shape).copy()

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]


def _read_arrays(path: Path) -> list[np.ndarray]:
    handle = io.BytesIO(lz4.frame.decompress(path.read_bytes()))
    arrays: list[np.ndarray] = _ArrayUnpickler(handle).load()
    return arrays
