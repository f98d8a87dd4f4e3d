"""Files of predictions: CSV for exchange, Parquet in full.

Anybody's predictions can be evaluated. They come as a CSV or a Parquet file with these columns, in
any order:

    name,predicted,low,high
    images/001A02.JPG,3.1,0,8

    name       the picture's name in the store
    predicted  years
    low, high  optional: the system's 90 % interval in years

Further columns are ignored, and pictures of the store may be missing. CSV files are UTF-8, with
commas.

A Parquet file written here holds the predictions in full, without rounding:

    name          string
    age           float32, years: the label in the store
    predicted     float64, years
    low, high     float64, years; null where the system gives no interval
    classifier.X  float64, years: the age by the further classifier X of the network
    distribution  list<float32>: the probability of each of the ages; absent where there is none

Its metadata has the key "wrinkle" with {"format": 1, "ages": [years, …]}, the ages behind
`distribution`.
"""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wrinkle.datasets.csv_files import read_table
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.predictions import Predictions, unlabelled
from wrinkle.files import replace_file, replacing

FORMAT = 1
FURTHER = "classifier."
SUFFIXES = (".csv", ".parquet")


def read_predictions(path: str | Path, rows: pa.Table | None = None) -> Predictions:
    """Read a CSV or Parquet file of predictions.

    Args:
        rows: the labels of the store that the faces are of (`Store.columns`); the predictions come
            in its order. None: names and ages are those in the file, in the file's order, and no
            other label is known.

    Raises:
        WrinkleError: the file cannot be read or lacks a column, the store does not have a picture,
            a picture occurs twice, or an age is not a number.
    """
    path = Path(path)
    read = _read_parquet if path.suffix == ".parquet" else _read_csv
    required = ("name", "predicted") if rows is not None else ("name", "age", "predicted")
    found, places = read(path, required)
    names = found.rows["name"].to_pylist()
    if not names:
        raise WrinkleError(f"{path} holds no predictions")
    known = names if rows is None else rows["name"].to_pylist()
    row_of = {name: row for row, name in enumerate(known)}
    seen: set[str] = set()
    for name, place in zip(names, places, strict=True):
        if name not in row_of:
            raise WrinkleError(f"{path}, {place}: the store has no picture {name!r}")
        if name in seen:
            raise WrinkleError(f"{path}, {place}: {name!r} occurs twice")
        seen.add(name)
    if rows is None:
        return found
    where = np.array([row_of[name] for name in names])
    order = np.argsort(where)
    return replace(found.take(order), rows=rows.take(where[order]))


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write predictions in full (`.parquet`), or without distributions and rounded (`.csv`).

    Raises:
        WrinkleError: another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix == ".csv":
        replace_file(path, to_csv(predictions))
    elif path.suffix == ".parquet":
        with replacing(path) as temporary:
            pq.write_table(_to_parquet(predictions), temporary, compression="zstd")
    else:
        raise WrinkleError(f"{path}: name a file that ends in {' or '.join(SUFFIXES)}")


def to_csv(predictions: Predictions) -> bytes:
    """name, age, predicted, low and high where known, and the ages by further classifiers."""
    columns = {"predicted": predictions.predicted}
    if predictions.interval is not None:
        columns |= {"low": predictions.interval[:, 0], "high": predictions.interval[:, 1]}
    columns |= predictions.classifiers
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", "age", *columns])
    # The shortest text that gives the same float32 again.
    ages = [np.format_float_positional(a, trim="-") for a in predictions.actual.astype(np.float32)]
    numbers = np.stack(list(columns.values()), 1).tolist()
    for name, age, row in zip(predictions.rows["name"].to_pylist(), ages, numbers, strict=True):
        table.writerow([name, age, *(f"{value:.3f}" for value in row)])
    return text.getvalue().encode()


def _read_csv(path: Path, required: Sequence[str]) -> tuple[Predictions, list[str]]:
    """Predictions in the file's order, and the place of each in the file."""
    table = read_table(path, required)
    places = [f"line {number}" for number, _ in table]
    columns = [column for column in required if column != "name"]
    if table and {"low", "high"} <= table[0][1].keys():
        columns += ["low", "high"]
    values = {
        column: np.array(
            [_number(cells[column], column, f"{path}, line {number}") for number, cells in table]
        )
        for column in columns
    }
    ends = [values[column] for column in ("low", "high") if column in values]
    names = [cells["name"] for _, cells in table]
    rows = unlabelled(names, values.get("age", np.zeros(len(names))))
    interval = np.stack(ends, 1) if ends else None
    return Predictions(path.stem, rows, values["predicted"], interval), places


def _read_parquet(path: Path, required: Sequence[str]) -> tuple[Predictions, list[str]]:
    """As `_read_csv`."""
    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {}).get(b"wrinkle", b"{}"))
        missing = [name for name in required if name not in table.column_names]
        if missing:
            raise WrinkleError(f"{path} lacks the column {' and '.join(missing)}")
        names = table["name"].cast(pa.string()).to_pylist()
        numbers = [n for n in table.column_names if n in ("age", "predicted", "low", "high")]
        numbers += [n for n in table.column_names if n.startswith(FURTHER)]
        values = {n: table[n].cast(pa.float64()).to_numpy() for n in numbers}
        distribution, ages = None, None
        if "distribution" in table.column_names and "ages" in about:
            ages = np.array(about["ages"], np.float64)
            flat = table["distribution"].combine_chunks().flatten().to_numpy()
            distribution = flat.reshape(len(table), len(ages))
    except FileNotFoundError:
        raise WrinkleError(f"cannot read {path}: no such file") from None
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise WrinkleError(f"{path} is damaged or not a Parquet file of predictions") from error
    places = [f"row {number}" for number in range(len(names))]
    interval = None
    if {"low", "high"} <= values.keys() and not np.isnan([values["low"], values["high"]]).all():
        interval = np.stack([values["low"], values["high"]], 1)
    else:
        values = {name: v for name, v in values.items() if name not in ("low", "high")}
    for name, column in values.items():
        for row in np.flatnonzero(~np.isfinite(column))[:1]:
            raise WrinkleError(f"{path}, row {row}: {name} is {column[row]}, not a number of years")
    further = {n.removeprefix(FURTHER): v for n, v in values.items() if n.startswith(FURTHER)}
    rows = unlabelled(names, values.get("age", np.zeros(len(names))))
    return (
        Predictions(path.stem, rows, values["predicted"], interval, further, distribution, ages),
        places,
    )


def _to_parquet(predictions: Predictions) -> pa.Table:
    interval = predictions.interval
    if interval is None:
        low = high = pa.nulls(len(predictions.predicted), pa.float64())
    else:
        low, high = (pa.array(end, pa.float64()) for end in interval.T)
    columns = {
        "name": predictions.rows["name"],
        "age": pa.array(predictions.actual, pa.float32()),
        "predicted": pa.array(predictions.predicted, pa.float64()),
        "low": low,
        "high": high,
    }
    for name, ages in predictions.classifiers.items():
        columns[FURTHER + name] = pa.array(ages, pa.float64())
    about: dict[str, object] = {"format": FORMAT}
    if predictions.distribution is not None and predictions.ages is not None:
        flat = pa.array(predictions.distribution.astype(np.float32).ravel())
        columns["distribution"] = pa.FixedSizeListArray.from_arrays(flat, len(predictions.ages))
        about["ages"] = np.asarray(predictions.ages, np.float64).tolist()
    return pa.table(columns, metadata={"wrinkle": json.dumps(about)})


def _number(text: str, column: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise WrinkleError(f"{where}: {column} is {text!r}, not a number of years")
    return value
