"""A store of drawn faces, a network of a few hundred weights, and a recipe for both."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import torch
import yaml
from torch import Tensor, nn

from wrinkle.datasets.store import FORMAT, SCHEMA, write_table
from wrinkle.faces.align import TEMPLATE
from wrinkle.models.base import AgeModel
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register

SIDE = 48


class Tiny(AgeModel):
    """One convolution with batch norm, and a classifier of what is left of the face."""

    def __init__(self, max_age: int, input_size: int, dropout: float, head: HeadChoice) -> None:
        super().__init__(max_age, input_size)
        self.conv = nn.Conv2d(3, 8, 4, stride=4, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(dropout)
        self.create_final_head(head, 8)

    def forward_features(self, images: Tensor, key_points: Tensor | None) -> Tensor:
        x = torch.relu(self.bn(self.conv(images))).mean((2, 3))
        features: Tensor = self.dropout(x)
        return features


@register
def tiny(
    max_age: int = 100,
    input_size: int = 32,
    dropout: float = 0.1,
    head: HeadChoice = "softmax",
) -> Tiny:
    return Tiny(max_age, input_size, dropout, head)


def draw_face(age: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A disc as light as its age on noise, with five dark dots: (SIDE, SIDE, 3) and (5, 2)."""
    random = np.random.default_rng(number)
    picture = random.integers(90, 160, (SIDE, SIDE, 3), np.uint8)
    middle = random.uniform(-2, 2, 2) + SIDE / 2
    cv2.circle(picture, tuple(int(x) for x in middle), SIDE // 3, (55 + 2 * age, age, 200), -1)
    points = TEMPLATE * SIDE * 0.4 + middle
    for x, y in points:
        cv2.circle(picture, (int(x), int(y)), 2, (0, 0, 0), -1)
    return picture, points


def write_store(path: Path, count: int = 256) -> Path:
    rows = []
    for number in range(count):
        age = number * 37 % 81
        picture, points = draw_face(age, number)
        data = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
        row = dict.fromkeys(SCHEMA.names)
        row |= {
            "name": f"{number:04}.jpg",
            "image": data,
            "key_points": points.ravel().astype(np.float32),
            "age": age,
            "person": f"p{number % 16}",
            "source": "drawn",
            "digest": hashlib.sha256(data).hexdigest(),
        }
        rows.append(row)
    table = pa.Table.from_pylist(rows, SCHEMA)
    write_table(path, table, {"format": FORMAT, "size": SIDE, "dataset": "drawn"})
    return path


def write_recipe(folder: Path, store: Path) -> Path:
    content = {
        "model": {"name": "tiny"},
        "data": {"store": str(store), "protocol": "random:4"},
        "input": {"size": 32},
        "augment": {"rotation": 10, "scale": 0.1, "translation": 0.05},
        "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.01},
        "training": {"epochs": 3, "batch": 32, "ema": 0.9, "workers": 0},
    }
    content["augment"]["photometric"] = {"brightness": 0.1, "noise": 0.5, "jpeg": 0.5}
    path = folder / "drawn.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
