"""Tables as a store gives them to a protocol."""

from collections.abc import Sequence

import pyarrow as pa


def table(
    *,
    names: Sequence[str],
    persons: Sequence[str | None] | None = None,
    digests: Sequence[str | None] | None = None,
) -> pa.Table:
    count = len(names)
    return pa.table(
        {
            "name": pa.array(names, pa.string()),
            "age": pa.array([float(i % 80) for i in range(count)], pa.float32()),
            "person": pa.array(persons or [None] * count, pa.string()),
            "gender": pa.array([None] * count, pa.string()),
            "group": pa.array([None] * count, pa.string()),
            "source": pa.array(["test"] * count, pa.string()),
            "digest": pa.array(digests or [f"digest of {name}" for name in names], pa.string()),
        }
    )
