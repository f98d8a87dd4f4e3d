"""Several stores as one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError


class JoinedStore(Store):
    """The rows of several stores, one store after the other, as one store.

    Names are preceded by that of their store's file: "utkface/1.jpg" in utkface.arrow. `columns`
    has the further column "store", the name of that file without its ending.

    Args:
        stores: with crops of the same size.

    Attributes:
        stores: the stores.
        starts: (number of stores + 1,), the first row of each store; the last is that of all rows.

    Raises:
        WrinkleError: the crops differ in size.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        self.stores = list(stores)
        self.path = Path(" + ".join(str(store.path) for store in stores))
        sizes = {store.path.name: store.size for store in stores}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise WrinkleError(
                f"stores have crops of different sizes ({listed}): prepare one again"
            )
        self.size = stores[0].size
        self.starts = np.cumsum([0, *map(len, stores)])
        self.columns = pa.concat_tables([_labels(store) for store in stores])
        self.ages = np.concatenate([store.ages for store in stores])
        self.ranges = np.concatenate([store.ranges for store in stores])
        self.exact = np.concatenate([store.exact for store in stores])
        self.key_points = np.concatenate([store.key_points for store in stores])
        datasets = [str(store.info.get("dataset")) for store in stores]
        self.info = {"dataset": " + ".join(datasets), "size": self.size}
        self.info["dropped"] = [
            (f"{store.path.stem}/{name}",) for store in stores for name in store.dropped
        ]

    def __reduce__(self) -> tuple[type[Store], tuple[Any]]:
        return JoinedStore, (self.stores,)

    def image(self, index: int) -> np.ndarray:
        """See `Store.image`."""
        return self._store(index).image(index - self._start(index))

    def landmarks(self, index: int) -> np.ndarray | None:
        """See `Store.landmarks`."""
        return self._store(index).landmarks(index - self._start(index))

    def _number(self, index: int) -> int:
        return int(np.searchsorted(self.starts, index, side="right")) - 1

    def _store(self, index: int) -> Store:
        return self.stores[self._number(index)]

    def _start(self, index: int) -> int:
        return int(self.starts[self._number(index)])


def _labels(store: Store) -> pa.Table:
    table = store.columns.append_column("store", pa.array([store.path.stem] * len(store)))
    names = [f"{store.path.stem}/{name}" for name in table["name"].to_pylist()]
    place = table.schema.get_field_index("name")
    return table.set_column(place, table.schema.field("name"), pa.array(names, pa.string()))
