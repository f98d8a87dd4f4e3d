"""Structs in MATLAB's own files, version 5 (before 7.3). Nothing in them is unpickled."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wrinkle.errors import WrinkleError, require


def read_struct(
    file: Path, name: str, numbers: Sequence[str], texts: Sequence[str]
) -> dict[str, np.ndarray]:
    """Fields of a struct, each with N entries.

    Args:
        name: the struct's name in the file.
        numbers: fields to read as float64.
        texts: fields of cells to read as str.

    Returns:
        Field → (N,).

    Raises:
        WrinkleError: SciPy is missing, the file is damaged or of another kind, or the struct lacks
            a field or has fields of different lengths.
    """
    require("matlab")
    from scipy.io import loadmat

    try:
        struct = loadmat(file, variable_names=[name])[name][0, 0]
        columns = {field: struct[field].ravel().astype(float) for field in numbers}
        columns |= {field: _texts(struct[field]) for field in texts}
        if len({len(column) for column in columns.values()}) != 1:
            raise ValueError("fields of different lengths")
    except Exception as error:  # what damage raises depends on where SciPy's parser meets it
        raise WrinkleError(
            f"{file} is not a complete MATLAB file, version 5, with the struct {name}: unpack it"
            " again"
        ) from error
    return columns


def _texts(cells: np.ndarray) -> np.ndarray:
    """(N,) str from cells of text; an empty text is an array without elements."""
    return np.array(["".join(cell.ravel()) for cell in cells.ravel()], dtype=object)
