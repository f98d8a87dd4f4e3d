"""Age estimation in photographs: detect → crop → align → network → distribution over ages."""

import os
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.align import crop_face, transform
from wrinkle.faces.detectors import Detection, create_detector, find_upright, turn
from wrinkle.faces.detectors.threads import Threads, cores
from wrinkle.faces.input import InputSpec
from wrinkle.faces.pictures import Picture, each_picture
from wrinkle.inference.conformal import Calibration
from wrinkle.inference.device import choose_device
from wrinkle.inference.engines import load_network
from wrinkle.inference.prepared import prepare_for_inference
from wrinkle.inference.resolution import longer_side, widening
from wrinkle.models.base import AgeModel
from wrinkle.models.packaged import model_file
from wrinkle.serving.prediction import Face, Prediction, age_interval
from wrinkle.serving.process import building, own_settings, prepare_process
from wrinkle.serving.stream import in_order


class AgeEstimator:
    """Estimates the age of every face in photographs.

    Args:
        model: the network.
        header: of its model file.
        device: where it runs.
        detector: mtcnn, dlib or yunet:FILE.onnx.
        min_face: as for `load`.
        min_score: as for `load`.
        largest: as for `load`.
        max_faces: as for `load`.

    Example:
        >>> estimator = AgeEstimator.load()
        >>> for face in estimator.predict("portrait.jpg")[0]:
        ...     print(f"{face.age:.0f} years, 90 % between {face.interval[0]:.0f} and ...")
    """

    def __init__(
        self,
        model: AgeModel,
        header: dict[str, Any],
        device: str | torch.device,
        detector: str,
        min_face: float | None = None,
        min_score: float | None = None,
        largest: bool = False,
        max_faces: int | None = None,
    ) -> None:
        prepare_process()
        self.device, self._process = torch.device(device), os.getpid()
        self.model = prepare_for_inference(model, self.device)
        self.header = header
        self.spec = InputSpec.from_header(header["input"])
        self.ages = self.model.ages.cpu().numpy()
        self.calibration = Calibration.from_header(header)
        with building():
            self.detector = create_detector(detector, str(device), min_face, min_score)
        if max_faces is not None and not (isinstance(max_faces, int) and max_faces >= 1):
            raise WrinkleError(
                f"max_faces {max_faces!r}: give a whole number of at least 1, or None"
            )
        self.max_faces = 1 if largest else max_faces
        self._threads = Threads()
        self._loaded: tuple[Any, ...] | None = None

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] = "default",
        device: str | None = None,
        detector: str = "mtcnn",
        min_face: float | None = None,
        min_score: float | None = None,
        largest: bool = False,
        max_faces: int | None = None,
    ) -> Self:
        """Load a packaged model by name, or a model file by path.

        Args:
            model: a packaged model's name, or the path of a model file or an exported one, .onnx
                or .xml, which ONNX Runtime or OpenVINO runs on the CPU.
            device: cpu, cuda, cuda:1 or mps; None: the GPU if there is one, else the CPU.
            detector: mtcnn, dlib or yunet:FILE.onnx.
            min_face: longer side in pixels of the smallest face. None: the detector's choice, with
                mtcnn 20.
            min_score: smallest score of a face, in [0, 1]. None: the detector's choice, with mtcnn
                0.9, or 0.8 in pictures without such a face.
            largest: whether only the most prominent face of each picture is used.
            max_faces: the most faces of a picture whose ages are estimated, most prominent first;
                `Prediction.left_out` counts the others. None: all.

        Returns:
            The estimator.

        Raises:
            WrinkleError: there is no such model, detector or device, a file is damaged, or
                `max_faces` is below 1.
        """
        prepare_process()
        where = choose_device(device)
        with building():
            network, header = load_network(model_file(model))
        others = detector, min_face, min_score, largest, max_faces
        estimator = cls(network, header, where, *others)
        estimator._loaded = str(model_file(model).absolute()), str(where), *others
        return estimator

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, in this or another process, is loaded from the model's file again."""
        if self._loaded is None:
            raise WrinkleError(
                "an estimator that AgeEstimator.load has not made cannot be copied or pickled: "
                "make one in the other process"
            )
        return type(self).load, self._loaded

    def predict(self, images: Picture | Iterable[Picture], batch: int = 32) -> list[list[Face]]:
        """Find the faces of one or several pictures and estimate their ages.

        Args:
            images: one picture as `decode` takes it: a path, a file's content, an open file, a
                Pillow image, an array or a tensor; or several, of any sizes: an array (N, H, W, 3)
                or an iterable of such pictures.
            batch: pictures in a group.

        Returns:
            For each picture its faces, most prominent first; an empty list if there is none.

        Raises:
            ImageError: a picture cannot be read, or `images` is none. `stream` continues after
                a picture that cannot be read.
            WrinkleError: `batch` is below 1.
        """
        result = []
        for prediction in self.stream(images, batch):
            if prediction.error is not None:
                raise ImageError(prediction.error)
            result.append(prediction.faces)
        return result

    def stream(
        self, pictures: Picture | Iterable[Picture], batch: int = 32
    ) -> Iterator[Prediction]:
        """Predict any number of pictures in order, in bounded memory.

        Args:
            pictures: as for `predict`; of a generator, fewer than twice `batch` are read ahead.
            batch: pictures in a group, or in the groups that several CPU cores compute at a time;
                with 1, each result is returned before the next picture is read.

        Yields:
            The result for each picture; `error` is set for one that cannot be read.

        Raises:
            ImageError: `pictures` is neither a picture nor an iterable, or a dict or a set.
            WrinkleError: `batch` is below 1, or the process was forked from one whose GPU the
                estimator or whose stream this is.
        """
        if not isinstance(batch, int) or batch < 1:
            raise WrinkleError(f"batch is {batch}: give 1 or more")
        if self.device.type == "cuda" and os.getpid() != self._process:
            raise WrinkleError(
                "an estimator on a GPU cannot be used after a fork: load it in the child process, "
                "or start processes by spawn or forkserver"
            )
        parallel = self.device.type == "cpu" and getattr(self.detector, "concurrent", False)
        count = cores() if parallel else 1
        # Detection holds Python's lock half of the time, the network hardly ever: while one thread
        # detects, another one runs the network.
        detecting = threading.Semaphore(max(count // 2, 1))
        work = partial(self._find_faces, detecting)
        yield from in_order(each_picture(pictures), batch, work, self._threads, count)

    def find(self, images: list[np.ndarray]) -> list[list[Detection]]:
        """Find the faces of upright pictures (H, W, 3) uint8 RGB, most prominent first."""
        with own_settings(self.device):
            found = self.detector(images)
        return [faces[: self.max_faces] for faces in found]

    def estimate(self, faces: list[tuple[np.ndarray, Detection]]) -> tuple[np.ndarray, np.ndarray]:
        """Estimate the ages of faces that were found.

        Args:
            faces: N pairs of a picture (H, W, 3) uint8 RGB and a face in it.

        Returns:
            Distributions (N, A) and ages (N,) in years.
        """
        with own_settings(self.device):
            return self._predict(faces)

    def _find_faces(self, detecting: threading.Semaphore, predictions: list[Prediction]) -> None:
        readable = [p for p in predictions if p.image is not None]
        with own_settings(self.device):
            self._predict_faces(detecting, readable)

    def _predict_faces(self, detecting: threading.Semaphore, predictions: list[Prediction]) -> None:
        with detecting:
            upright = find_upright(self.detector, [cast(np.ndarray, p.image) for p in predictions])
        found = []
        for prediction, (rotation, faces) in zip(predictions, upright, strict=True):
            if rotation:
                prediction.rotation = rotation
                prediction.image = turn(cast(np.ndarray, prediction.image), rotation)
                prediction.height, prediction.width = prediction.image.shape[:2]
            kept = faces[: self.max_faces]
            prediction.left_out = len(faces) - len(kept)
            found += [(prediction, face) for face in kept]
        places = [(cast(np.ndarray, p.image), face) for p, face in found]
        for (prediction, face), *each in zip(found, *self._predict(places), strict=True):
            prediction.faces.append(self._face(face, *each))

    @torch.inference_mode()
    def _predict(self, faces: list[tuple[np.ndarray, Detection]]) -> tuple[np.ndarray, np.ndarray]:
        """Distributions (N, A) and ages (N,) of detected faces."""
        # On a CPU the activations of 8 faces fit into its caches, which saves a fourth of the time.
        batch = 8 if self.device.type == "cpu" else 64
        distributions = [np.empty((0, len(self.ages)), np.float32)]
        ages = [np.empty(0, np.float32)]
        start = 0
        while start < len(faces):
            # A power of two: oneDNN prepares its convolutions for each size of a batch.
            size = min(batch, 1 << (len(faces) - start).bit_length() - 1)
            found = self.model.predict(*self.inputs(faces[start : start + size]))
            start += size
            distributions.append(found.distribution.cpu().numpy())
            ages.append(found.age.cpu().numpy())
        return np.concatenate(distributions), np.concatenate(ages)

    def _face(self, found: Detection, distribution: np.ndarray, age: np.floating) -> Face:
        widen = widening(longer_side(found.box))
        interval = age_interval(distribution, self.ages, float(age), self.calibration, widen)
        return Face(
            found.box,
            found.score,
            found.key_points,
            float(age),
            interval,
            distribution,
            self.ages,
            self.calibration,
        )

    def inputs(self, faces: list[tuple[np.ndarray, Detection]]) -> tuple[Tensor, Tensor]:
        """Compute the network's input for detected faces.

        Args:
            faces: B pairs of a photograph (H, W, 3) uint8 RGB and a face in it.

        Returns:
            Pixels (B, 3, S, S), normalised, and key points (B, 5, 2) in [−1, 1].
        """
        cropped = [crop_face(image, face.key_points, self.spec.crop) for image, face in faces]
        crops = np.stack([crop for crop, _ in cropped])
        points = [
            transform(matrix, face.key_points)
            for (_, matrix), (_, face) in zip(cropped, faces, strict=True)
        ]
        return self.spec(crops, np.stack(points), self.device)
