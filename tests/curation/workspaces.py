"""Small workspaces, their tables written as the stages would, without a network or a detector."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import daft
import numpy as np
import pyarrow as pa

from wrinkle.curation.config import Collect, Config, SourceSection, Split
from wrinkle.curation.stages import coarse_label, collect, deduplicate, faces
from wrinkle.curation.stages.split import split
from wrinkle.curation.web.addresses import normalise
from wrinkle.curation.workspace import Workspace
from wrinkle.settings import NamedPart

ANNOTATORS = (NamedPart(name="wrinkle"), NamedPart(name="facepp"))
SIDE = 64
FACES = pa.schema(
    [("picture", pa.string())]
    + [(name, kind.to_arrow_dtype()) for name, kind in faces.FACE.fields.items()]
)


@dataclass(frozen=True)
class Picture:
    """Found once, with faces of these ages (None: no annotator sees one)."""

    name: str
    ages: tuple[float | None, ...] = (30.0,)
    source: str = "wikimedia"
    query: str = "portrait"
    limit: int = 100
    url: str = ""
    data: bytes = b""
    hashes: tuple[int, ...] = ()
    dropped: str | None = None
    """Why its faces are not kept."""
    licence: str | None = None
    page: str | None = None
    title: str | None = None
    creator: str | None = None
    person: str | None = None
    final_url: str | None = None

    @property
    def address(self) -> str:
        url = self.url or f"https://example.org/{self.name}.jpg"
        return url if self.source == "folder" else normalise(url)

    @property
    def bytes(self) -> bytes:
        return self.data or f"picture {self.name}".encode()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.bytes).hexdigest()

    @property
    def face(self) -> str:
        return f"{self.digest}-0"

    @property
    def search(self) -> str:
        return json.dumps([self.source, self.query, self.limit])


def crop(name: str) -> bytes:
    """A face's JPEG, another one for every name."""
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    image = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", image)[1].tobytes()


def some(count: int, **fields: Any) -> list[Picture]:
    """Pictures p0, p1 …, aged 1, 2 …"""
    return [Picture(f"p{k}", (1.0 + k,), **fields) for k in range(count)]


def collected(root: Path, pictures: Sequence[Picture]) -> Workspace:
    """found, collect, and the files of pictures."""
    workspace = Workspace(root)
    found = [
        {name: getattr(p, name, None) for name in collect.FOUND_SCHEMA.names}
        | {"url": p.url or p.address, "dropped": None, "detail": None}
        for p in pictures
    ]
    fetched = [
        {
            "address": p.address,
            "picture": p.digest,
            "path": workspace.picture(p.digest).relative_to(root).as_posix(),
            "final_url": p.final_url or p.address,
            "fetched_at": "2026-01-02T03:04:05+00:00",
            "http_status": 200,
            "bytes": len(p.bytes),
        }
        for p in {p.address: p for p in pictures}.values()
    ]
    append(workspace, collect.FOUND, found, collect.FOUND_SCHEMA)
    append(workspace, collect.STAGE, fetched, collect.SCHEMA)
    for p in pictures:
        workspace.keep_picture(p.digest, p.bytes)
    return workspace


def labelled(
    root: Path, pictures: Sequence[Picture], annotators: Sequence[NamedPart] = ANNOTATORS
) -> Workspace:
    """All stages up to coarse labels; each annotator sees the same age, two years apart."""
    workspace = collected(root, pictures)
    rows = [row for p in {p.digest: p for p in pictures[::-1]}.values() for row in _faces(p)]
    append(workspace, faces.STAGE, [row for row, _ in rows], FACES)
    deduplicate.deduplicate(workspace, seed=0)
    for number, annotator in enumerate(annotators):
        answers = {
            row["digest"]: {
                "digest": row["digest"],
                "age": None if age is None else age + 2 * number,
            }
            for row, age in rows
            if row["image"]
        }
        stage = coarse_label.answers_stage(annotator)
        append(workspace, stage, list(answers.values()), coarse_label.SCHEMA)
    coarse_label.coarse_label(workspace, annotators, 1)
    return workspace


def divided(root: Path, pictures: Sequence[Picture], test: int = 2, **options: Any) -> Workspace:
    """All stages up to the split."""
    workspace = labelled(root, pictures, **options)
    split(workspace, False, Split(test=test), 0)
    return workspace


def config_of(workspace: Workspace, **sections: Any) -> Config:
    """A configuration for a workspace, with the annotators of `labelled`."""
    return Config(
        **{
            "workspace": workspace.root,
            "contact": "someone@example.org",
            "collect": Collect(sources=(SourceSection(source="wikimedia", queries=("x",)),)),
            "coarse_label": {"annotators": ANNOTATORS},
            **sections,
        }
    )


def append(
    workspace: Workspace, stage: str, rows: Sequence[dict[str, Any]], schema: pa.Schema
) -> None:
    workspace.append(stage, daft.from_arrow(pa.Table.from_pylist(list(rows), schema)))


def _faces(p: Picture) -> list[tuple[dict[str, Any], float | None]]:
    if not p.ages:
        nothing = dict.fromkeys(FACES.names)
        return [({**nothing, "picture": p.digest, "face": p.digest, "dropped": "no face"}, None)]
    rows = []
    for number, age in enumerate(p.ages):
        image = crop(f"{p.digest}-{number}")
        own = int(hashlib.sha256(image).hexdigest()[:16], 16)
        row = {
            "picture": p.digest,
            "face": f"{p.digest}-{number}",
            "dropped": p.dropped,
            "image": image,
            "digest": hashlib.sha256(image).hexdigest(),
            "box": [10.0, 10.0, 60.0, 60.0],
            "key_points": [20.0, 24.0, 44.0, 24.0, 32.0, 36.0, 24.0, 46.0, 40.0, 46.0],
            "score": 0.99,
            "size": 50.0,
            "sharpness": 9.0,
            "hash": p.hashes[number] if p.hashes else own,
        }
        rows.append((dict.fromkeys(FACES.names) | row, age))
    return rows
