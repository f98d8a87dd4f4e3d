"""Photographs → rows of a store: detect faces, choose the one that the label is about, crop it.

Rows are packed in parts. A part is an Arrow file of its own, so that finished parts survive.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from wrinkle.datasets.dataset import five_points
from wrinkle.datasets.rows import Dropped, Row
from wrinkle.datasets.store import SCHEMA, write_table
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.align import crop_face, transform
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import Detection, Detector, create_detector

BATCH = 16
"""Photographs per call of the detector, or fewer large ones."""
BATCH_BYTES = 150_000_000
"""A batch ends with the photograph whose decoded pixels exceed this sum."""
JPEG_QUALITY = 93
_counts: Any = {}
"""See `share_counts`."""


@dataclass(frozen=True)
class Job:
    """What a worker process needs in addition to its rows.

    Attributes:
        parts: the folder for finished parts.
        size: side of the face crops in pixels.
        detector: name of the face detector.
        key_points: of the dataset, see `wrinkle.datasets.Dataset`.
    """

    parts: Path
    size: int
    detector: str
    key_points: Sequence[Sequence[int]] | None


@dataclass(frozen=True, slots=True)
class Photograph:
    """A row's photograph, (H, W, 3) uint8 RGB, and the SHA-256 of its file."""

    row: Row
    image: np.ndarray
    digest: str


def share_counts(counts: Any) -> None:
    """Let `make_part` count its photographs where the main process sees them.

    Args:
        counts: first row of a part → number of its photographs that are done.
    """
    global _counts
    _counts = counts


def part_path(parts: Path, start: int) -> Path:
    """The file of the part that begins with row `start`."""
    return parts / f"{start:08d}.arrow"


def make_part(job: Job, start: int, rows: Sequence[Row]) -> None:
    """Pack some rows into a file of their own."""
    packed: list[dict[str, Any]] = []
    dropped: list[Dropped] = []
    for batch in batches(rows, dropped):
        found = _detector(job.detector)([photograph.image for photograph in batch])
        for photograph, faces in zip(batch, found, strict=True):
            try:
                packed.append(pack(job, photograph, choose(job, photograph, faces)))
            except ImageError as error:
                dropped.append(Dropped(photograph.row.name, "no face", str(error)))
            _counts[start] = len(packed) + len(dropped)
    _counts[start] = len(rows)
    table = pa.Table.from_pylist(packed, SCHEMA)
    write_table(part_path(job.parts, start), table, dropped)


def read_part(path: Path) -> tuple[pa.Table, list[Dropped]]:
    """The packed rows of a part, and what was left out.

    Raises:
        WrinkleError: the file is damaged.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        dropped = [Dropped(*entry) for entry in json.loads(table.schema.metadata[b"wrinkle"])]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise WrinkleError(f"{path} is damaged: delete it and run again") from error
    return table.replace_schema_metadata(), dropped


def batches(rows: Sequence[Row], dropped: list[Dropped]) -> Iterator[list[Photograph]]:
    """Read photographs, few at a time to bound memory; add what cannot be read to `dropped`."""
    batch: list[Photograph] = []
    for row in rows:
        try:
            data = row.path.read_bytes()
            image = decode(data)
        except ImageError as error:
            _, _, reason = str(error).partition(": ")  # before the colon: "the picture …"
            dropped.append(Dropped(row.name, "unreadable", reason))
        except OSError as error:
            dropped.append(Dropped(row.name, "unreadable", error.strerror or str(error)))
        else:
            batch.append(Photograph(row, image, hashlib.sha256(data).hexdigest()))
        if len(batch) == BATCH or sum(p.image.nbytes for p in batch) > BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def choose(job: Job, photograph: Photograph, faces: list[Detection]) -> Detection:
    """The face that the label is about: at the hand-placed points, else the most prominent one.

    Where no detected face is at the hand-placed points, these are used, with a score of NaN.

    Args:
        faces: as detected, the most prominent first.

    Raises:
        ImageError: there is none.
    """
    landmarks = photograph.row.landmarks
    if landmarks is None or job.key_points is None:
        if not faces:
            raise ImageError("")
        return faces[0]
    placed = five_points(landmarks, job.key_points)
    between = np.linalg.norm(placed[1] - placed[0])
    for face in faces:
        if np.linalg.norm(face.key_points[:2] - placed[:2], axis=1).mean() < 0.5 * between:
            return face
    height, width = photograph.image.shape[:2]
    if not ((placed >= 0) & (placed <= [width, height])).all():
        raise ImageError("the hand-placed points are outside the picture")
    box = np.concatenate([landmarks.min(0), landmarks.max(0)])
    return Detection(box, float("nan"), placed)


def pack(job: Job, photograph: Photograph, face: Detection) -> dict[str, Any]:
    """A row of the store; see `wrinkle.datasets.store.SCHEMA`."""
    row = photograph.row
    crop, matrix = crop_face(photograph.image, face.key_points, job.size)
    _, data = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    landmarks = row.landmarks if job.key_points else face.landmarks
    return {
        "name": row.name,
        "image": data.tobytes(),
        "key_points": transform(matrix, face.key_points).ravel(),
        "landmarks": None if landmarks is None else transform(matrix, landmarks).ravel(),
        "age": row.age,
        "age_low": row.age_low,
        "age_high": row.age_high,
        "age_deviation": row.age_deviation,
        "person": row.person,
        "gender": row.gender,
        "group": row.group,
        "source": row.source,
        "digest": photograph.digest,
        "score": None if np.isnan(face.score) else face.score,
    }


@cache
def _detector(name: str) -> Detector:
    return create_detector(name)
