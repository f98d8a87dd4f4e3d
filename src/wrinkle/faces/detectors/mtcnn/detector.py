"""MTCNN: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", IEEE SPL 2016.

The three networks have their published weights; the cascade is ours. It takes many photographs of
different sizes at once and goes from coarse to fine: a first pass looks for faces that fill a good
part of the picture; the fine levels of the pyramid are then searched outside these faces, and P-Net
sees only the windows that a much smaller network, the prefilter, lets pass.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, TypeVar

import cv2
import numpy as np
import torch
from torch import nn

from wrinkle.faces.detectors.detection import Detection, by_prominence
from wrinkle.faces.detectors.mtcnn.boxes import adjust, select, square, suppress
from wrinkle.faces.detectors.mtcnn.canvas import Grid, canvases, few_sizes
from wrinkle.faces.detectors.mtcnn.nets import Prefilter, load_nets, load_prefilter
from wrinkle.faces.detectors.mtcnn.pixels import (
    Search,
    cut,
    halve,
    halvings,
    normalise,
    pyramid,
    resize_box,
    shrink,
)
from wrinkle.faces.detectors.registry import DETECTORS
from wrinkle.faces.detectors.threads import Threads

Windows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Of N windows: number of the picture (N,), corner (x, y) in pixels of the level (N, 2),
score (N,), and box offsets (N, 4)."""
CELL = 12
"""Side of the window that P-Net classifies, in pixels."""
STRIDE = 2
"""Distance of neighbouring windows, in pixels."""
Net = TypeVar("Net", bound=nn.Module)
Pictures = Iterable[tuple[np.ndarray, np.ndarray]]
"""Pyramid levels, and the boxes of the known faces in each."""
RNET_SIDE, ONET_SIDE = 24, 48


@DETECTORS.named("mtcnn")
class MTCNN:
    """Face detector with five key points.

    Args:
        device: where the networks run.
        min_face: side in pixels of the smallest face to look for; slightly smaller ones may be
            found. When None, it is 20.
        min_score: the smallest score of a face, in [0, 1]. When None, it is 0.9 in a photograph
            with such a face and 0.8 in others.

    Raises:
        WrinkleError: the file of weights is missing or damaged.
    """

    concurrent = True
    """Several threads may use it at the same time."""
    thresholds = (0.6, 0.7, 0.8)
    """Smallest score to pass P-Net, R-Net and O-Net."""
    sure = 0.9
    """A face with a lower score counts only in a photograph without a better one."""
    coarse = 0.25
    """Side of the smallest face of the coarse pass, as a share of the shorter side …"""
    strip = 64
    """… and the longer side is at most this many times the side of such a face."""
    batches: ClassVar = {RNET_SIDE: 32, ONET_SIDE: 8}
    """Boxes that R-Net and O-Net take at a time: more do not fit into a CPU's caches."""
    patches = 64
    """Patches that P-Net takes at a time."""
    canvas = 128
    """Side in pixels of the canvases with pyramid levels that P-Net takes …"""
    canvas_ahead = 256
    """… and of those that the prefilter takes."""
    smallest = 20.0
    """Side in pixels of the smallest face to look for."""
    portrait = 0.2
    """Share of a photograph that a face covers in a portrait: it is not searched for again."""

    def __init__(
        self,
        device: str | torch.device = "cpu",
        /,
        min_face: float | None = None,
        min_score: float | None = None,
    ) -> None:
        self.min_face, self.min_score = min_face, min_score
        self.device = torch.device(device)
        self.pnet, self.rnet, self.onet = (self._ready(net) for net in load_nets())
        self.prefilter = self._ready(load_prefilter())
        self._threads = Threads()

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Find faces in (H, W, 3) uint8 RGB photographs; see `Detector`."""
        if self.device.type != "cpu" or not len(images):
            return self._find(images)
        return self._threads.map(self._find, images)

    @torch.inference_mode()
    def _find(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        if not len(images):
            return []
        copies = [halvings(image, CELL) for image in images]
        found = self._coarse(copies)
        searches = [self._search(*each) for each in zip(images, found, strict=True)]
        pending = [i for i, search in enumerate(searches) if search.smallest < search.largest]
        fine = self._fine([copies[i] for i in pending], [searches[i] for i in pending])
        for index, faces in zip(pending, fine, strict=True):
            known = len(searches[index].known) > 0
            found[index] = _join(found[index], faces) if known else faces or found[index]
        for index in (i for i, faces in enumerate(found) if not faces):
            found[index] = self._in_a_frame(images[index])
        return [self._good(faces) for faces in found]

    @torch.inference_mode()
    def find_large(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Find only the faces that fill a good part of their photograph: a third of the time."""
        return self._coarse([halvings(image, CELL) for image in images]) if len(images) else []

    def _ready(self, net: Net) -> Net:
        """A network for prediction, in the memory format of the pictures."""
        net.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return net.eval()

    def _good(self, faces: list[Detection]) -> list[Detection]:
        if self.min_score is not None:
            return [f for f in faces if f.score >= self.min_score]
        return [f for f in faces if f.score >= self.sure] or faces

    def _coarse_side(self, image: np.ndarray) -> float:
        """Side in pixels of the coarse pass's smallest face."""
        short, long = sorted(image.shape[:2])
        least = self.min_face or self.smallest
        return float(max(self.coarse * short, long / self.strip, least))

    def _coarse(self, copies: Sequence[list[np.ndarray]]) -> list[list[Detection]]:
        """The faces that fill a good part of their photograph, of which `halvings` are given.

        All networks work on copies in which the smallest face just fills O-Net's input: none needs
        a larger one, and a resize reads the pixels of the copy, not those of the photograph.
        """
        smallest = [self._coarse_side(own[0]) for own in copies]
        small, scales = zip(
            *(shrink(own, ONET_SIDE / s) for own, s in zip(copies, smallest, strict=True)),
            strict=True,
        )
        searches = [
            Search(np.empty((0, 4)), s * scale.mean(), np.inf)
            for s, scale in zip(smallest, scales, strict=True)
        ]
        shrunk = [halvings(picture, CELL) for picture in small]
        return self._refine(shrunk, scales, *self._propose(shrunk, searches, self._windows))

    def _search(self, image: np.ndarray, found: list[Detection]) -> Search:
        """What the fine pass looks for: in a portrait, the faces beside those that are known.

        Where the coarse pass has found little, it may have taken several faces for one: the fine
        pass then looks for faces of all sizes.
        """
        smallest = self.min_face or self.smallest
        sure = [face for face in found if face.score >= self.sure]
        largest = max((face.area for face in sure), default=0.0)
        if largest < self.portrait * image.shape[0] * image.shape[1]:
            return Search(np.empty((0, 4)), smallest, np.inf)
        return Search(np.stack([f.box for f in sure]), smallest, self._coarse_side(image))

    def _fine(
        self, copies: Sequence[list[np.ndarray]], searches: Sequence[Search]
    ) -> list[list[Detection]]:
        """The faces that the searches ask for, each photograph's best first."""
        proposed = self._propose(copies, searches, self._likely_windows)
        return self._refine(copies, [np.ones(2)] * len(copies), *proposed)

    def _in_a_frame(self, image: np.ndarray) -> list[Detection]:
        """Look again at a picture that a face may fill: P-Net needs some surroundings."""
        border = round(0.2 * min(image.shape[:2]))
        framed = cv2.copyMakeBorder(
            image, border, border, border, border, cv2.BORDER_CONSTANT, value=(127, 127, 127)
        )
        (faces,) = self._coarse([halvings(framed, CELL)])
        for face in faces:
            face.box -= border
            face.key_points -= border
        return faces

    def _propose(
        self,
        copies: Sequence[list[np.ndarray]],
        searches: Sequence[Search],
        find: Callable[[Pictures], Windows],
    ) -> tuple[np.ndarray, np.ndarray]:
        """P-Net over image pyramids: owners (N,) and boxes (N, 4) in pixels of the first copies."""
        seen: list[tuple[int, np.ndarray, tuple[int, ...]]] = []

        def levels() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for owner, (own, search) in enumerate(zip(copies, searches, strict=True)):
                for scale, picture in pyramid(own, search, CELL):
                    seen.append((owner, scale, picture.shape[1::-1]))
                    yield picture, (search.known.reshape(-1, 2, 2) * scale).reshape(-1, 4)

        n, corner, score, offsets = find(levels())
        if not len(n):
            return np.empty(0, np.int64), np.empty((0, 4))
        owner, scale, size = (np.array(each)[n] for each in zip(*seen, strict=True))
        box = adjust(np.concatenate([corner, corner + CELL], 1), offsets) / np.tile(scale, 2)
        inside = np.all(corner + CELL <= size, axis=1)
        n, owner, box, score = select(inside, n, owner, box, score)
        kept = suppress(n, box, score, 0.5)
        owner, box, score = owner[kept], box[kept], score[kept]
        kept = suppress(owner, box, score, 0.7)
        return owner[kept], box[kept]

    def _windows(self, pictures: Pictures) -> Windows:
        """All windows that P-Net takes for a face."""
        found = []
        for canvas in canvases(pictures, Grid(CELL, CELL, STRIDE, self.canvas)):
            score, offsets = (part[0] for part in self._classify(canvas.pixels[None]))
            n, corner, row, column = canvas.cells(score > self.thresholds[0])
            found.append((n, corner, score[row, column], offsets[row, column]))
        return _concatenate(found)

    def _likely_windows(self, pictures: Pictures) -> Windows:
        """The same, of the windows that the prefilter lets pass and that hold no known face."""
        side, stride = Prefilter.side, Prefilter.stride
        numbers, starts, patches = [], [], []
        for canvas in canvases(pictures, Grid(CELL, side, stride, self.canvas_ahead)):
            half = torch.from_numpy(halve(canvas.pixels)[None])
            passed = self.prefilter(normalise(half.to(self.device)))[0].cpu().numpy()
            n, start, row, column = canvas.cells(passed)
            numbers.append(n)
            starts.append(start)
            patches.append(cut(canvas.pixels, stride * np.stack([column, row], 1), side))
        if not numbers:
            return _concatenate([])
        number, start, patch = map(np.concatenate, (numbers, starts, patches))
        found = []
        for first in range(0, len(patch), self.patches):
            score, offsets = self._classify(few_sizes(patch[first : first + self.patches]))
            k, row, column = (score[: len(patch) - first] > self.thresholds[0]).nonzero()
            corner = STRIDE * np.stack([column, row], 1) + start[first + k]
            found.append(
                (number[first + k], corner, score[k, row, column], offsets[k, row, column])
            )
        return _concatenate(found)

    def _classify(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(face) (B, h, w) and box offsets (B, h, w, 4) of all windows of (B, H, W, 3) uint8."""
        face, offsets = self.pnet(normalise(torch.from_numpy(pictures).to(self.device)))
        offsets = offsets.permute(0, 2, 3, 1)
        return face.double().cpu().numpy(), offsets.double().cpu().numpy()

    def _refine(
        self,
        copies: Sequence[list[np.ndarray]],
        scales: Sequence[np.ndarray],
        owner: np.ndarray,
        boxes: np.ndarray,
    ) -> list[list[Detection]]:
        """R-Net and O-Net: the faces of each photograph, each one's best first.

        Args:
            copies: of each photograph, itself or a smaller copy, and the `halvings` of this.
            scales: of each photograph, the scale (x, y) of the first of its copies.
            owner: (N,) index of each box's photograph.
            boxes: (N, 4) in pixels of the first copy.
        """
        boxes = square(boxes)
        score, offsets = self._run(self.rnet, copies, owner, boxes, RNET_SIDE)
        owner, boxes, score, offsets = select(
            score > self.thresholds[1], owner, boxes, score, offsets
        )
        kept = suppress(owner, adjust(boxes, offsets), score, 0.7)
        owner, boxes = owner[kept], square(adjust(boxes, offsets)[kept])

        score, offsets, points = self._run(self.onet, copies, owner, boxes, ONET_SIDE)
        least = self.thresholds[2] if self.min_score is None else self.min_score
        owner, boxes, score, offsets, points = select(
            score > min(least, self.thresholds[2]), owner, boxes, score, offsets, points
        )
        corner, side = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
        points = corner + side * points.reshape(-1, 2, 5).transpose(0, 2, 1)
        boxes = adjust(boxes, offsets)
        faces: list[list[Detection]] = [[] for _ in copies]
        for i in suppress(owner, boxes, score, 0.7, of_smaller=True):
            scale = scales[owner[i]]
            faces[owner[i]].append(
                Detection(
                    (boxes[i] / np.tile(scale, 2)).astype(np.float32),
                    float(score[i]),
                    (points[i] / scale).astype(np.float32),
                )
            )
        return [by_prominence(each) for each in faces]

    def _run(
        self,
        net: nn.Module,
        copies: Sequence[list[np.ndarray]],
        owner: np.ndarray,
        boxes: np.ndarray,
        size: int,
    ) -> list[np.ndarray]:
        """Run R-Net or O-Net on the boxes' pixels, resized to `size`; float64 arrays."""
        outputs, places = [], boxes.tolist()
        crops = np.empty((len(boxes), size, size, 3), np.uint8)
        for start in range(0, max(len(boxes), 1), self.batches[size]):
            part = slice(start, start + self.batches[size])
            for crop, index, box in zip(crops[part], owner[part], places[part], strict=True):
                own = copies[index]
                # The smallest copy in which O-Net's crop is not enlarged.
                halved = max(int((box[2] - box[0]) / ONET_SIDE), 1).bit_length() - 1
                halved = min(halved, len(own) - 1)
                resize_box(own[halved], [x / 2**halved for x in box], crop)
            pixels = torch.from_numpy(few_sizes(crops[part])).to(self.device)
            outputs.append([each[: len(crops[part])] for each in net(normalise(pixels))])
        return [torch.cat(parts).double().cpu().numpy() for parts in zip(*outputs, strict=True)]


def _join(large: list[Detection], small: list[Detection]) -> list[Detection]:
    """The faces of both passes; where two are at one place, the coarse pass's."""
    faces = large + small
    if not small:
        return faces
    first = np.array([f.score for f in large] + [f.score - 1 for f in small])
    boxes = np.stack([f.box for f in faces]).astype(np.float64)
    kept = suppress(np.zeros(len(faces), np.int64), boxes, first, 0.7, of_smaller=True)
    return by_prominence([faces[i] for i in kept])


def _concatenate(found: list[Windows]) -> Windows:
    nothing = np.empty(0, np.int64), np.empty((0, 2)), np.empty(0), np.empty((0, 4))
    n, corner, score, offsets = map(np.concatenate, zip(nothing, *found, strict=True))
    return n, corner, score, offsets
