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
        reader = importlib.import_module(f"wrinkle.datasets.readers.{self.name}").read
        return reader

    @property
    def five_points(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """How the dataset's own landmarks give the five key points, if it has any."""
        module = importlib.import_module(f"wrinkle.datasets.readers.{self.name}")
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
            "morph2",
            "MORPH Album 2: 55,134 police photographs of 13,617 people, ages 16–77, with gender and"
            " race",
            "non-commercial research, by the university's licence; the people were under arrest",
            "University of North Carolina Wilmington, https://uncw.edu/oic/tech/morph.html (folder"
            " Album2 and morph_2008_nonCommercial.csv beside it)",
        ),
        DatasetInfo(
            "cacd",
            "CACD: 163,446 faces of 2,000 celebrities, ages 14–62; noisy above rank 5",
            "academic research only; copyright stays with the owners of the pictures",
            "https://bcsiriuschen.github.io/CARC/ (CACD2000.tar.gz, face images)",
        ),
        DatasetInfo(
            "lap2015",
            "ChaLearn LAP 2015, 4,691 photographs with apparent ages and their deviations; also LAP"
            " 2016 and APPA-REAL, 7,591",
            "research only, on the terms of ChaLearn's pages",
            "https://chalearnlap.cvc.uab.cat/dataset/18/description/ (2015), …/19/… (2016), …/26/…"
            " (APPA-REAL); a folder with train, valid and test and their CSV files",
        ),
        DatasetInfo(
            "imdb_wiki",
            "IMDB-WIKI: 523,051 faces of celebrities with dates of birth; noisy, to pretrain on",
            "academic research only; copyright stays with the owners of the pictures",
            "https://data.vision.ee.ethz.ch/cvl/rrothe/imdb-wiki/ (imdb_crop.tar, wiki_crop.tar,"
            " one or both); needs pip install 'wrinkle[matlab]'",
        ),
        DatasetInfo(
            "afad",
            "AFAD: more than 160,000 faces of Asian people, ages from 15, with gender; AFAD-Lite:"
            " 60,000, ages 18–39",
            "academic research only",
            "https://afad-dataset.github.io/ (folder AFAD-Full or AFAD-Lite)",
        ),
        DatasetInfo(
            "agedb",
            "AgeDB: 16,488 pictures of 567 well-known people, ages 1–101, with gender",
            "non-commercial research only",
            "https://ibug.doc.ic.ac.uk/resources/agedb/ (AgeDB.zip; its authors give the password)",
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
