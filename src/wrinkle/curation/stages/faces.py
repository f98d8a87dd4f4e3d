"""Pictures → faces: a row and a crop for every face, with the reason if it is not kept."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import daft
import numpy as np
from daft import DataType, col

from wrinkle.curation import remove
from wrinkle.curation.config import FaceRules
from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.workspace import Workspace
from wrinkle.duplicates.near_duplicates import perceptual_hash, small_grey
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.align import crop_face, transform
from wrinkle.faces.decode import decode
from wrinkle.faces.detectors import Detection, create_detector

STAGE = "faces"
AT_ONCE = 512
"""Pictures of a part: a killed run loses the work on at most so many."""
BATCH = 16
"""Pictures in a call of the detector, or fewer large ones."""
BATCH_BYTES = 150_000_000
"""Decoded pictures in a call of the detector, not counting the last one."""
QUALITY = 93
"""Of the crops' JPEG."""

FACE = DataType.struct(
    {
        "face": DataType.string(),  # PICTURE-NUMBER; PICTURE if there is no face
        "dropped": DataType.string(),  # why not kept; null: kept
        "detail": DataType.string(),
        "image": DataType.binary(),  # JPEG
        "digest": DataType.string(),  # SHA-256 of it
        "box": DataType.list(DataType.float32()),  # x1, y1, x2, y2 in the picture
        "key_points": DataType.list(DataType.float32()),  # five, x and y in the crop
        "score": DataType.float32(),
        "size": DataType.float32(),
        "sharpness": DataType.float32(),
        "hash": DataType.uint64(),
    }
)


def run(context: StageContext) -> bool:
    """Find the faces of new pictures; those of pictures that were once removed go again."""
    context.require_table("collect")
    find_faces(context.workspace, context.config.faces)
    returned = remove.returned(context.workspace)
    if returned:
        remove.remove(context.workspace, faces=returned)
    return True


def find_faces(workspace: Workspace, rules: FaceRules) -> None:
    """Find the faces of all collected pictures that were not processed yet.

    Raises:
        WrinkleError: the table has faces that were found by other rules.
    """
    frame = workspace.frame("collect")
    if frame is None:
        return
    now = rules.model_dump()
    before = (workspace.note(STAGE) or {}).get("rules", now)
    other = [f"{name} {old!r}" for name, old in before.items() if old != now[name]]
    if other:
        raise WrinkleError(
            f"the faces in {workspace.root} were found with {', '.join(other)}: set this again, or"
            " find all faces again with `wrinkle curate faces CONFIG --again`"
        )
    workspace.write_note(STAGE, {"rules": now})
    kept = frame.where(col("dropped").is_null()).select("picture", "path").distinct()
    finder = Finder(str(workspace.root), rules)

    def work(pictures: daft.DataFrame) -> daft.DataFrame:
        found = pictures.with_column("found", finder.find(col("picture"), col("path")))  # type: ignore[arg-type]
        exploded = found.explode("found")
        columns = [col("found").get(name).alias(name) for name in FACE.fields]
        return exploded.select("picture", *columns)

    workspace.extend(STAGE, kept.sort("picture").to_arrow(), "picture", work, AT_ONCE)


@daft.cls
class Finder:
    """A detector, created once in each working process."""

    def __init__(self, root: str, rules: FaceRules) -> None:
        self.root, self.rules = Path(root), rules
        self.detect = create_detector(rules.detector)

    @daft.method.batch(return_dtype=DataType.list(FACE))
    def find(self, pictures: daft.Series, paths: daft.Series) -> list[list[dict[str, Any]]]:
        """Rows for the faces of each picture, or one row that says why there is none."""
        found: list[list[dict[str, Any]]] = []
        for batch in self._batches(zip(pictures.to_pylist(), paths.to_pylist(), strict=True)):
            readable = [image for _, image in batch if isinstance(image, np.ndarray)]
            faces = iter(self.detect(readable))
            for name, image in batch:
                if isinstance(image, str):
                    found.append([{"face": name, "dropped": "unreadable", "detail": image}])
                else:
                    found.append(list(face_rows(name, image, next(faces), self.rules)))
        return found

    def _batches(
        self, pictures: Iterable[tuple[str, str]]
    ) -> Iterator[list[tuple[str, np.ndarray | str]]]:
        """Names and images, or why they cannot be read; a limited size at a time."""
        batch: list[tuple[str, np.ndarray | str]] = []
        size = 0
        for name, file in pictures:
            image = self._read(file)
            batch.append((name, image))
            size += getattr(image, "nbytes", 0)
            if len(batch) == BATCH or size > BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _read(self, file: str) -> np.ndarray | str:
        try:
            return decode(self.root / file)
        except (ImageError, OSError) as error:
            return str(error).removeprefix(f"{self.root / file}: ")


def face_rows(
    picture: str, image: np.ndarray, faces: Iterable[Detection], rules: FaceRules
) -> Iterator[dict[str, Any]]:
    """A row of `FACE` for each face, the most prominent first, or one row without a face.

    Args:
        picture: SHA-256 of the picture.
        image: (H, W, 3) uint8 RGB.
    """
    number = -1
    for number, face in enumerate(faces):
        crop, matrix = crop_face(image, face.key_points, rules.crop)
        _, data = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        size = float(min(face.box[2:] - face.box[:2]))
        sharp = sharpness(crop)
        yield {
            "face": f"{picture}-{number}",
            "dropped": drop_reason(face.score, size, sharp, rules),
            "image": data.tobytes(),
            "digest": hashlib.sha256(data.tobytes()).hexdigest(),
            "box": face.box.tolist(),
            "key_points": transform(matrix, face.key_points).ravel().tolist(),
            "score": face.score,
            "size": size,
            "sharpness": sharp,
            "hash": int(perceptual_hash(small_grey(crop))),
        }
    if number < 0:
        yield {"face": picture, "dropped": "no face"}


def drop_reason(score: float, size: float, sharp: float, rules: FaceRules) -> str | None:
    """Why a face is not kept; None if it is."""
    if score < rules.score:
        return "uncertain"
    if size < rules.size:
        return "small"
    return "blurred" if sharp < rules.sharpness else None


def sharpness(crop: np.ndarray) -> float:
    """Variance of the Laplacian of (H, W, 3) uint8 RGB."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
