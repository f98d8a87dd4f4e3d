"""Inputs of an exported graph for faces of a store."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.inference.export import plain_input
from wrinkle.inference.provenance import Split, split_rows

FACES = 256
"""Largest number of faces by which the ranges of 8 bits are chosen."""
BATCH = 8


def quantization_inputs(
    header: dict[str, Any],
    store: str,
    split: Split = "all",
    protocol: str | None = None,
    fold: str | None = None,
) -> list[dict[str, np.ndarray]]:
    """Return the graph's inputs for up to `FACES` faces, at equal distances in the store.

    Args:
        header: of the model file.
        store: a file made by `wrinkle prepare`.
        split, protocol, fold: which faces, as for `wrinkle.inference.provenance.split_rows`.

    Returns:
        Batches {"face": (B, S, S, 3), "key_points": (B, 5, 2)}, see `export_model`.

    Raises:
        WrinkleError: the store is missing or damaged, or has no such faces.
    """
    opened = Store(store)
    rows = split_rows(opened, split, protocol, fold, header["provenance"])
    return list(graph_inputs(InputSpec.from_header(header["input"]), opened, _spaced(rows, FACES)))


def bench_inputs(
    header: dict[str, Any],
    store: str | None,
    limit: int,
    split: Split = "all",
    protocol: str | None = None,
    fold: str | None = None,
) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]], np.ndarray]:
    """Return inputs to measure errors on, and others to choose the ranges of 8 bits by.

    Args:
        header: of the model file.
        store: a file made by `wrinkle prepare`; None: nothing is returned.
        limit: largest number of faces to measure on, at equal distances among those of known age.
        split, protocol, fold: which faces, as for `quantization_inputs`; those outside, or all that
            are not measured, are for the ranges.

    Returns:
        Batches for the errors, batches for the ranges, and the ages (N,) of the former.

    Raises:
        WrinkleError: as for `quantization_inputs`, or none of the faces is of known age.
    """
    if store is None:
        return [], [], np.zeros(0)
    opened, spec = Store(store), InputSpec.from_header(header["input"])
    rows = split_rows(opened, split, protocol, fold, header["provenance"])
    chosen = _spaced(rows[opened.exact[rows]], limit)
    if not len(chosen):
        raise WrinkleError(f"{store} has no face of known age there to measure errors on")
    others = np.setdiff1d(np.arange(len(opened)), chosen if split == "all" else rows)
    faces = list(graph_inputs(spec, opened, chosen))
    ranges = list(graph_inputs(spec, opened, _spaced(others, FACES)))
    return faces, ranges, np.asarray(opened.ages[chosen])


def _spaced(rows: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` rows at equal distances."""
    if not len(rows):
        return rows
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return np.asarray(rows[places])


def graph_inputs(
    spec: InputSpec, store: Store, rows: np.ndarray
) -> Iterator[dict[str, np.ndarray]]:
    """Compute an exported graph's inputs for rows of a store, in batches.

    Args:
        spec: input of the model or of the exported graph, which differ in normalisation only.
        store: the faces.
        rows: (N,).

    Yields:
        {"face": (B, S, S, 3) float32, "key_points": (B, 5, 2) float32}.
    """
    plain = plain_input(spec)
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        images, points = plain(
            np.stack([store.image(int(r)) for r in some]), store.key_points[some]
        )
        faces = images.permute(0, 2, 3, 1).contiguous()
        yield {"face": faces.numpy(), "key_points": points.numpy()}
