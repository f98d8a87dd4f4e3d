"""Files of predictions: CSV for exchange, Parquet in full.

Anybody's predictions can be evaluated. They come as a CSV or a Parquet file with these columns, in
any order:

    name,predicted,low,high
    images/001A02.JPG,3.1,0,8

    name       the picture's name in the store
    predicted  years
    low, high  optional: the system's 90 % interval in years

Without a store, each line has its label too: age, or age_low and age_high (the first and the last
year of a range). Further columns are ignored, and pictures of the store may be missing. Predictions
of pictures that `wrinkle prepare` dropped are left out and counted. Predictions are within 0 and
120 years, and low ≤ predicted ≤ high. `wrinkle.tables` says which CSV files are understood.

A Parquet file written here holds the predictions in full, without rounding:

    name          string
    age           float32, years: the label in the store; null where only a range is known
    age_low       int16, years: first year of the label's range; null where it has none
    age_high      int16, years: its last year
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
import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wrinkle.datasets.rows import MAX_AGE
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.predictions import Predictions, unlabelled
from wrinkle.files import check_output, replace_file, replacing
from wrinkle.tables import normal, read_table

FORMAT = 1
FURTHER = "classifier."
RANGE = ("age_low", "age_high")
SUFFIXES = (".csv", ".parquet")


def read_predictions(
    path: str | Path, rows: pa.Table | None = None, dropped: Collection[str] = ()
) -> Predictions:
    """Read a CSV or Parquet file of predictions.

    Args:
        rows: the labels of the store that the faces are of (`Store.columns`); the predictions come
            in its order. None: names and ages are those in the file, in the file's order, and no
            other label is known.
        dropped: names of the pictures that the store lacks because `prepare` dropped them.

    Raises:
        WrinkleError: the file cannot be read or lacks a column, the store does not know a picture,
            a picture occurs twice, or an age is not a number or not possible.
    """
    path = Path(path)
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
    found, places = read(path, labelled=rows is None)
    names = found.rows["name"].to_pylist()
    if not names:
        raise WrinkleError(f"{path} holds no predictions")
    if rows is None:
        _check_twice(path, names, names, places)
        return found
    row_of = {_plain(name): row for row, name in enumerate(rows["name"].to_pylist())}
    row_of |= {name: row for row, name in enumerate(rows["name"].to_pylist())}
    without = {*map(_plain, dropped)}
    where = [row_of.get(name, row_of.get(_plain(name), -1)) for name in names]
    for name, row, place in zip(names, where, places, strict=True):
        if row < 0 and _plain(name) not in without:
            raise WrinkleError(f"{path}, {place}: the store has no picture {name!r}")
    kept = np.flatnonzero(np.array(where) >= 0)
    if not len(kept):
        raise WrinkleError(f"{path}: `prepare` dropped all {len(names):,} pictures that it names")
    _check_twice(
        path, [names[k] for k in kept], [where[k] for k in kept], [places[k] for k in kept]
    )
    order = kept[np.argsort(np.array(where)[kept])]
    return replace(
        found.take(order), rows=rows.take(np.array(where)[order]), left_out=len(names) - len(kept)
    )


def _plain(name: str) -> str:
    """A picture's name with `/` between folders and in Unicode's composed form."""
    return posixpath.normpath(normal(name).replace("\\", "/"))


def _check_twice(
    path: Path, names: Sequence[str], keys: Sequence[object], places: Sequence[str]
) -> None:
    """WrinkleError for the first picture whose key was there before."""
    seen = set()
    for name, key, place in zip(names, keys, places, strict=True):
        if key in seen:
            raise WrinkleError(f"{path}, {place}: {name!r} occurs twice")
        seen.add(key)


def check_predictions_output(path: Path, inputs: Sequence[str | Path]) -> None:
    """Check that `write_predictions` would destroy no input and no file of another kind.

    Raises:
        WrinkleError: it would.
    """
    starts = (b"PAR1", b"name,")
    check_output(path, "a file of predictions", lambda head: head.startswith(starts), inputs)


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write predictions in full (`.parquet`), or without distributions and rounded (`.csv`).

    Raises:
        WrinkleError: another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        replace_file(path, to_csv(predictions))
    elif path.suffix.lower() == ".parquet":
        with replacing(path) as temporary:
            pq.write_table(_to_parquet(predictions), temporary, compression="zstd")
    else:
        raise WrinkleError(f"{path}: name a file that ends in {' or '.join(SUFFIXES)}")


def to_csv(predictions: Predictions) -> bytes:
    """name, age, predicted, low and high where known, and the ages by further classifiers.

    Where there are ranges, age_low and age_high come after the age.
    """
    columns = {"predicted": predictions.predicted}
    if predictions.interval is not None:
        columns |= {"low": predictions.interval[:, 0], "high": predictions.interval[:, 1]}
    columns |= {FURTHER + name: ages for name, ages in predictions.classifiers.items()}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    labels = ["age", *RANGE] if not np.isnan(predictions.ranges).all() else ["age"]
    table.writerow(["name", *labels, *columns])
    # The shortest text that gives the same float32 again.
    ages = [
        "" if np.isnan(a) else np.format_float_positional(a, trim="-")
        for a in predictions.actual.astype(np.float32)
    ]
    ends = [predictions.rows[end].to_pylist() for end in labels[1:]]
    cells = zip(predictions.rows["name"].to_pylist(), ages, *ends, strict=True)
    numbers = np.stack(list(columns.values()), 1).tolist()
    for label, row in zip(cells, numbers, strict=True):
        table.writerow([*label, *(f"{value:.3f}" for value in row)])
    return text.getvalue().encode()


def _read_csv(path: Path, labelled: bool) -> tuple[Predictions, list[str]]:
    """Predictions in the file's order, and the place of each in the file.

    Args:
        labelled: whether the labels are those in the file.
    """
    label: tuple[str, ...] = ("age",) if labelled else ()
    table = read_table(
        path, ("name", *label, "predicted"), ("name", *RANGE, "predicted") if labelled else ()
    )
    places = [f"line {number}" for number, _ in table.lines]
    ends = [end for end in ("low", "high") if table.lines and end in table.columns]
    if len(ends) == 1:
        raise WrinkleError(f"{path} has the column {ends[0]} alone: an interval is low and high")
    ranges = [end for end in RANGE if labelled and end in table.columns]
    label = tuple(column for column in label if column in table.columns)
    values: dict[str, np.ndarray] = {}
    for column in (*label, *ranges, "predicted", *ends):
        numbers = table.numbers(column)
        for place, number, (_, cells) in zip(places, numbers, table.lines, strict=True):
            empty = bool(ranges) and column in ("age", *RANGE) and not cells[column]
            if number is None and not empty:
                raise WrinkleError(
                    f"{path}, {place}: {column} is {cells[column]!r}, not a number of years"
                )
        values[column] = np.array(numbers, np.float64)  # None becomes NaN
    rows = _labels(path, [cells["name"] for _, cells in table.lines], values, places, labelled)
    interval = np.stack([values[end] for end in ends], 1) if ends else None
    found = Predictions(path.stem, rows, values["predicted"], interval)
    _check_years(path, found, places)
    return found, places


def _labels(
    path: Path,
    names: list[str],
    values: Mapping[str, np.ndarray],
    places: Sequence[str],
    labelled: bool,
) -> pa.Table:
    """The rows of labels, from columns of numbers.

    Raises:
        WrinkleError: a row that should have a label has no age and no range, or half of a range.
    """
    nothing = np.full(len(names), np.nan)
    if not labelled:
        return unlabelled(names, nothing)
    age, low, high = (values.get(column, nothing) for column in ("age", *RANGE))
    whole = (low % 1 == 0) & (high % 1 == 0) & (low >= 0) & (low <= high) & (high <= MAX_AGE)
    none = np.isnan(low) & np.isnan(high)
    for row in np.flatnonzero(~(whole | (none & ~np.isnan(age))))[:1]:
        raise WrinkleError(
            f"{path}, {places[row]}: {names[row]!r} needs an age, or age_low and age_high in whole"
            " years"
        )
    return unlabelled(names, age, np.stack([low, high], 1))


def _check_years(path: Path, found: Predictions, places: Sequence[str]) -> None:
    """WrinkleError for the first prediction or interval that is not possible."""
    for row, (place, predicted) in enumerate(zip(places, found.predicted, strict=True)):
        if not 0 <= predicted <= MAX_AGE:
            raise WrinkleError(
                f"{path}, {place}: predicted is {predicted:g} years, not within 0–{MAX_AGE}"
            )
        if found.interval is not None:
            low, high = found.interval[row]
            if not low <= predicted <= high:
                raise WrinkleError(
                    f"{path}, {place}: predicted is {predicted:g}, outside of its interval"
                    f" {low:g}–{high:g}"
                )
            if max(predicted - low, high - predicted) > MAX_AGE:
                raise WrinkleError(
                    f"{path}, {place}: the interval {low:g}–{high:g} is wider than a life"
                )


def _read_parquet(path: Path, labelled: bool) -> tuple[Predictions, list[str]]:
    """As `_read_csv`."""
    required = ("name", "age", "predicted") if labelled else ("name", "predicted")
    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {}).get(b"wrinkle", b"{}"))
        missing = [name for name in required if name not in table.column_names]
        if missing:
            raise WrinkleError(f"{path} lacks the column {' and '.join(missing)}")
        names = table["name"].cast(pa.string()).to_pylist()
        known = ("predicted", "low", "high", *(("age", *RANGE) if labelled else ()))
        numbers = [n for n in table.column_names if n in known]
        numbers += [n for n in table.column_names if n.startswith(FURTHER)]
        values = {n: table[n].cast(pa.float64()).to_numpy() for n in numbers}  # null: NaN
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
        optional = name in RANGE or (name == "age" and RANGE[0] in values)
        for row in np.flatnonzero(np.isinf(column) if optional else ~np.isfinite(column))[:1]:
            raise WrinkleError(f"{path}, row {row}: {name} is {column[row]}, not a number of years")
    further = {n.removeprefix(FURTHER): v for n, v in values.items() if n.startswith(FURTHER)}
    rows = _labels(path, names, values, places, labelled)
    found = Predictions(path.stem, rows, values["predicted"], interval, further, distribution, ages)
    if not about:  # the models of wrinkle may be a little outside, such as a regression
        _check_years(path, found, places)
    return found, places


def _to_parquet(predictions: Predictions) -> pa.Table:
    interval = predictions.interval
    if interval is None:
        low = high = pa.nulls(len(predictions.predicted), pa.float64())
    else:
        low, high = (pa.array(end, pa.float64()) for end in interval.T)
    columns = {
        "name": predictions.rows["name"],
        "age": predictions.rows["age"].cast(pa.float32()),
        **{end: predictions.rows[end].cast(pa.int16()) for end in RANGE},
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
