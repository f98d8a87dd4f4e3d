"""Datasets: files on disk → rows → a packed store. One file per dataset in `readers/`."""

from wrinkle.datasets.dataset import DATASETS, Dataset, read_dataset
from wrinkle.datasets.rows import MAX_AGE, Dropped, Row

__all__ = ["DATASETS", "MAX_AGE", "Dataset", "Dropped", "Row", "read_dataset"]
