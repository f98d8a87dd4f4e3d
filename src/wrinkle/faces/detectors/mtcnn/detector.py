"""MTCNN: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", IEEE SPL 2016.

The three networks have their published weights; the cascade is ours. It takes many photographs of
different sizes at once and goes from coarse to fine: a first pass looks for faces that fill a good
part of the picture, and only photographs without one pay for the fine levels of the pyramid.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import nn

from wrinkle.faces.detectors.detection import Detection, by_prominence
from wrinkle.faces.detectors.mtcnn.boxes import adjust, select, square, suppress
from wrinkle.faces.detectors.mtcnn.nets import load_nets
from wrinkle.faces.detectors.mtcnn.pixels import (
    normalise,
    pyramids,
    resize_box,
    shrink,
    split,
    stack,
)
from wrinkle.faces.detectors.registry import DETECTORS

CELL = 12
"""Side of the window that P-Net classifies, in pixels."""
STRIDE = 2
"""Distance of neighbouring windows, in pixels."""
RNET_SIDE = 24
ONET_SIDE = 48


@DETECTORS.named("mtcnn")
class MTCNN:
    """Face detector with five key points.

    Args:
        device: where the networks run.

    Raises:
        WrinkleError: the file of weights is missing or damaged.
    """

    thresholds = (0.6, 0.7, 0.8)
    """Smallest score to pass P-Net, R-Net and O-Net."""
    sure = 0.9
    """A face with a lower score counts only in a photograph without a better one."""
    portrait = 0.08
    """A photograph is done after the coarse pass if its largest face covers this share of it."""
    coarse = 0.25
    """Side of the smallest face of the coarse pass, as a share of the photograph's shorter side."""
    smallest = 20.0
    """Side in pixels of the smallest face of the fine pass …"""
    finest_side = 1280
    """… in a photograph whose longer side, in pixels, is this at most."""
    batch = 256
    """Boxes that R-Net and O-Net take at a time."""
    pixels = 1 << 20
    """Of pyramid levels that P-Net takes at a time: 40 MB after its first layer."""

    def __init__(self, device: str | torch.device = "cpu", /) -> None:
        self.device = torch.device(device)
        self.pnet, self.rnet, self.onet = (net.to(self.device).eval() for net in load_nets())

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
        return float(max(self.coarse * short, self.smallest * long / self.finest_side))

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

        All networks work on copies in which the smallest face just fills O-Net's input: none needs
        a larger one, and a resize reads the pixels of the copy, not those of the photograph.
        """
        copies, scales = zip(
            *(shrink(i, ONET_SIDE / s) for i, s in zip(images, smallest, strict=True)), strict=True
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
        boxes = square(boxes)
        score, offsets = self._run(self.rnet, images, owner, boxes, RNET_SIDE)
        owner, boxes, score, offsets = select(
            score > self.thresholds[1], owner, boxes, score, offsets
        )
        kept = suppress(owner, adjust(boxes, offsets), score, 0.7)
        owner, boxes = owner[kept], square(adjust(boxes, offsets)[kept])

        score, offsets, points = self._run(self.onet, images, owner, boxes, ONET_SIDE)
        owner, boxes, score, offsets, points = select(
            score > self.thresholds[2], owner, boxes, score, offsets, points
        )
        corner, side = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
        points = corner + side * points.reshape(-1, 2, 5).transpose(0, 2, 1)
        boxes = adjust(boxes, offsets)
        kept = suppress(owner, boxes, score, 0.7, of_smaller=True)
        return owner[kept], boxes[kept], score[kept], points[kept]

    def _propose(
        self, images: Sequence[np.ndarray], smallest: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """P-Net over the image pyramids: owners (N,) and boxes (N, 4) in photograph pixels."""
        owners, boxes, scores = [np.empty(0, np.int64)], [np.empty((0, 4))], [np.empty(0)]
        for level in split(pyramids(images, smallest, CELL), self.pixels):
            face, offsets = self.pnet(stack([resized for _, _, resized in level], self.device))
            where = (face > self.thresholds[0]).nonzero()
            picked = offsets.permute(0, 2, 3, 1)[tuple(where.T)].double().cpu().numpy()
            score = face[tuple(where.T)].double().cpu().numpy()
            n, row, column = where.cpu().numpy().T
            corner = STRIDE * np.stack([column, row], 1).astype(np.float64)
            shape = np.array([resized.shape[1::-1] for _, _, resized in level])[n]
            inside = (corner + CELL <= shape).all(1)  # the padding depends on the others
            owner = np.array([index for index, _, _ in level])[n]
            box = adjust(np.concatenate([corner, corner + CELL], 1), picked)
            box /= np.array([np.tile(scale, 2) for _, scale, _ in level])[n]
            owner, box, score = select(inside, owner, box, score)
            kept = suppress(owner, box, score, 0.5)
            owners.append(owner[kept])
            boxes.append(box[kept])
            scores.append(score[kept])
        owner, box = np.concatenate(owners), np.concatenate(boxes)
        kept = suppress(owner, box, np.concatenate(scores), 0.7)
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
                resize_box(images[index], box, crop)
            outputs.append(net(normalise(torch.from_numpy(crops).to(self.device))))
        return [torch.cat(parts).double().cpu().numpy() for parts in zip(*outputs, strict=True)]
