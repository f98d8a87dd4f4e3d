"""From a photograph to ages: detect → crop → align → network → distribution over ages."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.align import crop_face, face_input, transform, view_matrix
from wrinkle.faces.decode import count_pixels, decode
from wrinkle.faces.detectors.detection import Detection, create_detector
from wrinkle.inference.conformal import Calibration
from wrinkle.inference.device import choose_device
from wrinkle.inference.prepared import prepare_for_inference
from wrinkle.models.base import AgeModel
from wrinkle.models.file import load_model
from wrinkle.models.packaged import model_file

Picture = str | os.PathLike[str] | bytes | Image.Image | np.ndarray

MEMORY_PIXELS = 48_000_000
"""Pixels of the photographs that are worked on at a time, about 150 MB, and of those that are read
ahead meanwhile. One photograph may exceed it."""


@dataclass(slots=True)
class Face:
    """A face and its estimated age. Coordinates are pixels of the photograph, as in `Detection`."""

    box: np.ndarray
    """(4,) float32: x1, y1, x2, y2."""
    score: float
    """The detector's confidence in [0, 1]."""
    key_points: np.ndarray
    """(5, 2) float32: image-left eye, image-right eye, nose tip, left and right mouth corner."""
    age: float
    """Years: the mean of the distribution."""
    interval: tuple[float, float]
    """Years: 90 %, calibrated where the model is (`calibration`), else the distribution's own."""
    distribution: np.ndarray = field(repr=False)
    """(A,) float32, sums to 1: the network's probability of each whole age 0, 1, …, A − 1."""
    calibration: Calibration | None = field(default=None, repr=False)
    """The model's, on faces that it was not trained on."""

    def at_least(self, age: float) -> float:
        """P(whoever this is has turned `age`), in [0, 1]; calibrated where the model is."""
        if self.calibration is not None:
            ages = np.arange(len(self.distribution))
            return float(self.calibration.at_least(self.distribution[None], ages, age)[0])
        edges = np.arange(len(self.distribution) + 1) - 0.5
        below = np.concatenate([[0.0], np.cumsum(self.distribution, dtype=np.float64)])
        return float(1 - np.interp(age - 0.5, edges, below / below[-1]))


@dataclass(slots=True)
class Prediction:
    """What became of one picture: its faces, most prominent first, or why it could not be used."""

    source: Picture
    faces: list[Face]
    error: str | None = None
    image: np.ndarray | None = field(default=None, repr=False)
    """(H, W, 3) uint8 RGB, upright; None if it could not be read."""


class AgeEstimator:
    """Estimates the age of every face in photographs.

    Example:
        >>> estimator = AgeEstimator.load()
        >>> for face in estimator.predict("portrait.jpg")[0]:
        ...     print(f"{face.age:.0f} years, 90 % between {face.interval[0]:.0f} and ...")
    """

    def __init__(
        self, model: AgeModel, header: dict[str, Any], device: str | torch.device, detector: str
    ) -> None:
        self.device = torch.device(device)
        self.model = prepare_for_inference(model, self.device)
        self.header = header
        self.calibration = Calibration.from_header(header)
        self.detector = create_detector(detector, str(device))

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] = "default",
        device: str | None = None,
        detector: str = "mtcnn",
    ) -> Self:
        """Load a packaged model by name or a model file by path.

        Args:
            device: cpu, cuda, cuda:1, mps; the GPU if there is one when None.
            detector: mtcnn, dlib or yunet:FILE.onnx.

        Raises:
            WrinkleError: no such model or device, or a damaged file; one line.
        """
        where = choose_device(device)
        network, header = load_model(model_file(model))
        return cls(cast(AgeModel, network), header, where, detector)

    def predict(self, images: Picture | Sequence[Picture], batch: int = 32) -> list[list[Face]]:
        """Find the faces of one or several pictures and estimate their ages.

        Args:
            images: a path, file content, PIL image or (H, W, 3) uint8 RGB array, or a list of
                these, sizes mixed at will.
            batch: pictures worked on at a time.

        Returns:
            For each picture its faces, most prominent first; an empty list where there is none.

        Raises:
            ImageError: a picture cannot be read. `stream` goes on after such a picture.
        """
        alone = isinstance(images, (str, os.PathLike, bytes, Image.Image, np.ndarray))
        pictures = [cast(Picture, images)] if alone else cast(Sequence[Picture], images)
        result = []
        for prediction in self.stream(pictures, batch):
            if prediction.error is not None:
                raise ImageError(prediction.error)
            result.append(prediction.faces)
        return result

    def stream(self, pictures: Iterable[Picture], batch: int = 32) -> Iterator[Prediction]:
        """Predict any number of pictures in order, in bounded memory; a bad one costs itself.

        Args:
            pictures: may be a generator; less than `batch` of it are read ahead.
            batch: pictures worked on at a time; with 1, each comes out before the next is read.
        """
        if batch < 1:
            raise WrinkleError(f"batch is {batch}: give 1 or more")
        for group in _decoded(pictures, batch):
            self._find_faces(group)
            yield from group

    def _find_faces(self, predictions: list[Prediction]) -> None:
        readable = [p for p in predictions if p.image is not None]
        faces = self._faces([cast(np.ndarray, p.image) for p in readable])
        for prediction, found in zip(readable, faces, strict=True):
            prediction.faces = found

    def _faces(self, images: list[np.ndarray]) -> list[list[Face]]:
        detections = self.detector(images) if images else []
        distributions = self._distributions(
            [
                (image, face)
                for image, found in zip(images, detections, strict=True)
                for face in found
            ]
        )
        following = iter(distributions)
        return [
            [_face(face, next(following), self.calibration) for face in found]
            for found in detections
        ]

    @torch.inference_mode()
    def _distributions(self, faces: list[tuple[np.ndarray, Detection]]) -> np.ndarray:
        """(N, A) distributions of the faces at the detected places."""
        # A CPU's caches hold what a few faces become within the network: a fourth less time.
        batch = 8 if self.device.type == "cpu" else 64
        parts = [np.empty((0, len(self.model.ages)), np.float32)]
        for start in range(0, len(faces), batch):
            pixels, key_points = self.inputs(faces[start : start + batch])
            parts.append(self.model.predict(pixels, key_points).cpu().numpy())
        return np.concatenate(parts)

    def inputs(self, faces: list[tuple[np.ndarray, Detection]]) -> tuple[Tensor, Tensor]:
        """Faces, each with its photograph, as the network takes them: pixels (B, 3, size, size),
        normalised, and key points (B, 5, 2) in [−1, 1]."""
        expected = self.header["input"]
        crops, points = [], []
        for image, face in faces:
            crop, matrix = crop_face(image, face.key_points, expected["crop"])
            crops.append(crop)
            points.append(transform(matrix, face.key_points))
        views = view_matrix(np.stack(points), expected["size"], expected["zoom"])
        key_points = transform(views, np.stack(points)) * 2 / expected["size"] - 1
        pixels = face_input(
            torch.from_numpy(np.stack(crops)).to(self.device),
            torch.from_numpy(views).to(self.device),
            expected["size"],
            expected["mean"],
            expected["std"],
        )
        return pixels, torch.from_numpy(key_points.astype(np.float32)).to(self.device)


def interval(distribution: np.ndarray, share: float = 0.9) -> tuple[float, float]:
    """Central interval of a distribution over whole ages, (A,), in years with interpolation.

    An age a stands for [a − ½, a + ½); ends are clipped to [0, A − 1].
    """
    edges = np.arange(len(distribution) + 1) - 0.5
    below = np.concatenate([[0.0], np.cumsum(distribution, dtype=np.float64)])
    low, high = np.interp([(1 - share) / 2, (1 + share) / 2], below / below[-1], edges)
    return float(max(low, 0)), float(min(high, len(distribution) - 1))


def _face(found: Detection, distribution: np.ndarray, calibration: Calibration | None) -> Face:
    age = float(distribution @ np.arange(len(distribution)))
    if calibration is None:
        ends = interval(distribution)
    else:
        low, high = calibration.interval(distribution[None], np.arange(len(distribution)))[0]
        ends = float(low), float(high)
    return Face(found.box, found.score, found.key_points, age, ends, distribution, calibration)


def _read(source: Picture) -> Prediction:
    try:
        return Prediction(source, [], image=decode(source))
    except ImageError as error:
        return Prediction(source, [], error=str(error))


def _decoded(pictures: Iterable[Picture], batch: int) -> Iterator[list[Prediction]]:
    """Groups of up to `batch` pictures and `MEMORY_PIXELS`, the next ones read meanwhile.

    A group's list is emptied when the next one is asked for.
    """
    waiting: deque[tuple[Future[Prediction], int]] = deque()
    source = iter(pictures)
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    # Files are opened where Ctrl-C does not strike between opening and closing.
    measure = ThreadPoolExecutor(1)
    group: list[Prediction] = []
    pixels = ahead = 0
    try:
        while True:
            while len(waiting) < batch and ahead < MEMORY_PIXELS:
                following = list(islice(source, 1))
                if not following:
                    break
                size = measure.submit(count_pixels, following[0]).result()
                waiting.append((pool.submit(_read, following[0]), size))
                ahead += size
            if waiting:
                future, size = waiting.popleft()
                group.append(future.result())
                pixels, ahead = pixels + size, ahead - size
            if group and (not waiting or len(group) >= batch or pixels >= MEMORY_PIXELS):
                yield group
                group.clear()
                pixels = 0
            elif not waiting:
                return
    finally:
        # Whoever stops early, by Ctrl-C say, does not wait for what nobody will look at.
        for each in (pool, measure):
            each.shutdown(cancel_futures=True)
