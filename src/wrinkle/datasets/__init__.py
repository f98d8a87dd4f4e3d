"""Datasets: files on disk → rows. One file per dataset, each with `read(root)`."""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wrinkle.datasets.rows import MAX_AGE, Dropped, Row
from wrinkle.errors import WrinkleError

__all__ = ["DATASETS", "MAX_AGE", "DatasetInfo", "Dropped", "Row", "read_dataset"]


@dataclass(frozen=True)
class DatasetInfo:
    """What people must know of a dataset before they use it, and the reader of its files."""

    name: str
    description: str
    terms: str
    obtain: str

    @property
    def read(self) -> Callable[[Path], tuple[list[Row], list[Dropped]]]:
        """The dataset's `read(root)`, imported when asked for."""
        reader: Callable[[Path], tuple[list[Row], list[Dropped]]]
        reader = importlib.import_module(f"wrinkle.datasets.{self.name}").read
        return reader

    @property
    def five_points(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """How the dataset's own landmarks give the five key points, if it has any."""
        module = importlib.import_module(f"wrinkle.datasets.{self.name}")
        return getattr(module, "five_points", None)


DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo(
            "fgnet",
            "FG-NET: 1,002 scans of 82 people, ages 0–69, 68 hand-placed landmarks",
            "research only; the photographs belong to the people who gave them",
            "https://yanweifu.github.io/FG_NET_data/ (folders images and points)",
        ),
        DatasetInfo(
            "utkface",
            "UTKFace: 23,707 aligned faces of 200×200 pixels, ages 1–116, with gender and race",
            "non-commercial research only; copyright stays with the owners of the pictures",
            "https://susanqq.github.io/UTKFace/ (Aligned&Cropped Faces)",
        ),
        DatasetInfo(
            "folder",
            "your own pictures with a CSV file of path, age and optional columns",
            "yours to know: whoever took and whoever is in the pictures has a say",
            "a folder with one CSV file in it; columns path, age[, age_deviation, person, gender,"
            " group]",
        ),
    )
}


def read_dataset(name: str, root: str | os.PathLike[str]) -> tuple[list[Row], list[Dropped]]:
    """Rows of dataset `name` under `root`, and what was left out with the reason.

    `root` is the dataset's folder; "folder" also takes the CSV file itself. WrinkleError when the
    name is unknown, `root` does not exist or does not look like this dataset.
    """
    if name not in DATASETS:
        raise WrinkleError(f"unknown dataset {name!r}: choose one of {', '.join(DATASETS)}")
    path = Path(root)
    if not path.exists():
        raise WrinkleError(f"{path} does not exist: give the folder that holds {name}")
    return DATASETS[name].read(path)
