"""What a dataset is, and the registry of all of them."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from wrinkle.datasets.rows import Dropped, Row
from wrinkle.errors import WrinkleError
from wrinkle.registry import Registry


class Dataset(ABC):
    """A reader of a dataset's files, and what people must know before they use it.

    Attributes:
        description: name, number of pictures and people, range of ages.
        terms: what its licence allows.
        obtain: where to get it, and which folder or file to give to `read`.
        key_points: for datasets whose rows have landmarks: which landmarks (counted from zero) have
            their mean at the left eye, right eye, nose tip, left and right mouth corner, left and
            right as in the picture.

    Example:
        >>> class Holiday(Dataset):
        ...     description = "Holiday: 2,000 photographs, ages 3 to 80"
        ...     terms = "ask the people in them"
        ...     obtain = "a folder of pictures named AGE_NUMBER.jpg"
        ...
        ...     def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        ...         files = sorted(root.glob("*.jpg"))
        ...         ages = [float(file.name.partition("_")[0]) for file in files]
        ...         return [Row(f, f.name, a, "holiday") for f, a in zip(files, ages)], []
    """

    description: ClassVar[str]
    terms: ClassVar[str]
    obtain: ClassVar[str]
    key_points: ClassVar[Sequence[Sequence[int]] | None] = None

    def __init_subclass__(cls) -> None:
        missing = [name for name in ("description", "terms", "obtain") if not hasattr(cls, name)]
        if missing:
            raise WrinkleError(f"dataset {cls.__qualname__} does not state its {missing[0]}")

    @abstractmethod
    def read(self, root: Path) -> tuple[list[Row], list[Dropped]]:
        """Rows of the dataset in `root`, and what was left out with the reason.

        Args:
            root: an existing folder or file.

        Raises:
            WrinkleError: `root` is not this dataset, or a file of it cannot be read; one line.
        """


def five_points(landmarks: np.ndarray, key_points: Sequence[Sequence[int]]) -> np.ndarray:
    """The five key points of a detector, from landmarks.

    Args:
        landmarks: (..., N, 2).
        key_points: as in `Dataset`.

    Returns:
        (..., 5, 2) in the same unit.
    """
    return np.stack([landmarks[..., list(some), :].mean(-2) for some in key_points], axis=-2)


DATASETS: Registry[Dataset] = Registry("dataset", "wrinkle.datasets.readers")


def read_dataset(name: str, root: str | os.PathLike[str]) -> tuple[list[Row], list[Dropped]]:
    """Rows of dataset `name` in `root`, and what was left out with the reason.

    Args:
        name: one of `DATASETS.names()`.
        root: the dataset's folder; "folder" also takes the CSV file itself.

    Raises:
        WrinkleError: the name is unknown, `root` does not exist or is not this dataset.
    """
    dataset = DATASETS.create(name)
    path = Path(root)
    if not path.exists():
        own = "a folder of pictures, or its CSV file"
        what = own if name == "folder" else f"the folder that holds {name}"
        raise WrinkleError(f"{path} does not exist: give {what}")
    return dataset.read(path)
