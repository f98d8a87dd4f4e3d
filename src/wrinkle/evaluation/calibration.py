"""Calibrate the intervals of a model on faces of known age."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.evaluate_store import predict
from wrinkle.evaluation.predictions import pooled
from wrinkle.files import check_output, is_safetensors
from wrinkle.inference.conformal import Calibration, balanced_weights, calibrate, check_number
from wrinkle.inference.device import choose_device
from wrinkle.inference.provenance import Split, learned, split_rows
from wrinkle.models.file import amend, load_model
from wrinkle.models.packaged import model_file


class CalibratedModel(NamedTuple):
    """What `calibrate_model` wrote, and the mean width in years of the 90 % intervals that it gives
    the calibration faces."""

    calibration: Calibration
    mean_width: float


def calibrate_model(
    model: str | Path,
    store: str | Path | Store,
    out: str | Path,
    *,
    split: Split = "validation",
    protocol: str | None = None,
    fold: str | None = None,
    device: str | None = None,
    batch: int = 64,
    workers: int = 1,
    also: Sequence[str | Path | Store] = (),
) -> CalibratedModel:
    """Calibrate a model's intervals and write the model to a new file.

    The intervals hold for faces like the ones used here (split conformal calibration, see
    `wrinkle.inference.conformal`).

    Args:
        model: a packaged model's name or a model file.
        store: a file made by `wrinkle prepare`, or an opened one, at least `LEAST_FACES` faces of
            known age; faces of which only a range is known are not used.
        out: the new model file; it may be the old one.
        split, protocol, fold, device, batch, workers: as for `wrinkle.evaluation.evaluate`.
        also: further stores, each with as many faces. Each store, and in a store each person, then
            counts the same, and so do errors of either sign, because a model that is too high on
            one store is often too low on the next.

    Raises:
        WrinkleError: the model was trained on some of the faces, a store has too few, two are the
            same, `out` is a file of another kind, or as for `evaluate`.
    """
    check_output(out, "a model file", is_safetensors)
    source = model_file(model)
    network, header = load_model(source, choose_device(device))
    stores = [each if isinstance(each, Store) else Store(each) for each in (store, *also)]
    if len({each.fingerprint for each in stores}) < len(stores):
        raise WrinkleError("two of the stores hold the same faces: name each once")
    rows = [_rows(str(model), header, each, split, protocol, fold) for each in stores]
    found = pooled(
        [
            predict(str(model), network, header, each, some, device, batch, workers)
            for each, some in zip(stores, rows, strict=True)
        ]
    )
    assert found.distribution is not None
    assert found.ages is not None
    part = "all faces" if split == "all" else f"{split} part"
    names = [each.path.name for each in stores]
    weights = None
    if also:
        domains = np.repeat(np.arange(len(rows)), [len(some) for some in rows]).tolist()
        weights = balanced_weights(domains, found.rows["person"].to_pylist())
    calibration = calibrate(
        found.distribution,
        found.ages,
        found.actual,
        f"{part} of {', '.join(names)}",
        found.predicted,
        weights,
        symmetric=bool(also),
    )
    amend(source, out, calibration=calibration.to_header())
    ends = calibration.interval(found.distribution, found.ages, predicted=found.predicted)
    return CalibratedModel(calibration, float(np.diff(ends, axis=1).mean()))


def _rows(
    model: str,
    header: dict[str, Any],
    faces: Store,
    split: Split,
    protocol: str | None,
    fold: str | None,
) -> np.ndarray:
    """Rows of a store with a known age, on none of which the model was trained."""
    rows = split_rows(faces, split, protocol, fold, header["provenance"])
    rows = np.asarray(rows[faces.exact[rows]])
    if not len(rows):
        raise WrinkleError(
            f"{faces.path} has no face of known age there: ranges are not used to calibrate"
        )
    trained = np.isin(rows, learned(header["provenance"], faces, ["train"])).sum()
    if trained:
        raise WrinkleError(
            f"{model} was trained on {trained:,} of these {len(rows):,} faces, where its errors "
            "are too small: calibrate on others, such as --split validation"
        )
    check_number(len(rows), str(faces.path))
    return rows
