import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests import tiny
from wrinkle.datasets.augment import Augment
from wrinkle.datasets.joined import JoinedStore
from wrinkle.datasets.loader import Draw, Faces
from wrinkle.datasets.store import FORMAT, Store, write_table
from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.protocols import Fold
from wrinkle.protocols.integrity import find_leaks


def relabelled(path: Path, original: Path, **columns: list) -> Path:
    """A copy of a store with other labels."""
    table = pa.ipc.open_file(pa.memory_map(str(original))).read_all()
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(name)
        table = table.set_column(place, field, pa.array(values, field.type))
    write_table(path, table, {"format": FORMAT, "size": tiny.SIDE, "dataset": path.stem})
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Twelve faces of known age, and eight with ranges."""
    folder = tmp_path_factory.mktemp("joined")
    first = tiny.write_store(folder / "one.arrow", 12)
    drawn = tiny.write_store(folder / "drawn.arrow", 8)
    ages = Store(drawn).ages // 10 * 10
    spans = {"age": [None] * 8, "age_low": ages.astype(int), "age_high": ages.astype(int) + 9}
    names = [f"other{k}.jpg" for k in range(8)]
    second = relabelled(folder / "two.arrow", drawn, **spans, name=names, source=["two"] * 8)
    return first, second


@pytest.fixture
def joined(files: tuple[Path, Path]) -> JoinedStore:
    return JoinedStore([Store(file) for file in files])


def test_rows_follow_each_other(joined: JoinedStore, files: tuple[Path, Path]) -> None:
    first, second = map(Store, files)
    assert (len(joined), joined.size, joined.starts.tolist()) == (20, tiny.SIDE, [0, 12, 20])
    assert joined.columns["name"].to_pylist() == [
        *(f"one/{name}" for name in first.columns["name"].to_pylist()),
        *(f"two/other{k}.jpg" for k in range(8)),
    ]
    assert joined.columns["store"].to_pylist() == ["one"] * 12 + ["two"] * 8
    for own, row, of in ((first, 3, 3), (second, 12, 0), (second, 19, 7)):
        np.testing.assert_array_equal(joined.image(row), own.image(of))
        np.testing.assert_array_equal(joined.key_points[row], own.key_points[of])
        assert joined.ages[row] == own.ages[of]
        assert joined.exact[row] == own.exact[of]
        np.testing.assert_array_equal(joined.ranges[row], own.ranges[of])
        assert joined.landmarks(row) is None
    assert joined.info["dataset"] == "drawn + two"


def test_loader_workers_have_the_same_rows(joined: JoinedStore) -> None:
    again = pickle.loads(pickle.dumps(joined))
    assert again.fingerprint == joined.fingerprint
    assert again.columns.equals(joined.columns)
    np.testing.assert_array_equal(again.image(15), joined.image(15))
    faces = Faces(joined, InputSpec(32, 1.0, tiny.SIDE, (0.0,) * 3, (1.0,) * 3), Augment(), 0)
    workers = torch.utils.data.DataLoader(
        faces, 4, num_workers=1, sampler=[Draw(0, 2, 0), Draw(0, 13, 0)]
    )
    (batch,) = list(workers)
    assert batch.age.tolist() == joined.ages[[2, 13]].tolist()
    assert batch.exact.tolist() == [True, False]
    np.testing.assert_array_equal(batch.ranges[1], joined.ranges[13])
    assert batch.ranges[0].isnan().all()


def test_stores_of_different_sizes_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    small = Store(files[0])
    small.size = 32
    with pytest.raises(WrinkleError, match=r"different sizes \(one.arrow 32, two.arrow 48\)"):
        JoinedStore([small, Store(files[1])])


def test_a_picture_in_both_stores_is_a_leak(joined: JoinedStore) -> None:
    """The test part of one store against the training and validation parts of the other."""
    fold = Fold("one+two", np.arange(6), np.arange(6, 12), np.arange(12, 20))
    leaks = [leak for leak in find_leaks(joined, [fold]) if leak.kind == "file"]
    assert [(leak.test, leak.train) for leak in leaks] == [
        (f"two/other{k}.jpg", f"one/{k:04}.jpg") for k in range(8)
    ]


def test_people_are_those_of_a_dataset(files: tuple[Path, Path], tmp_path: Path) -> None:
    """The same name in another dataset is another person; in two stores of one it is the same."""
    fold = Fold("all", np.arange(12), np.arange(0), np.arange(12, 20))
    for source, shared in (("two", 0), ("drawn", 8)):
        copy = relabelled(tmp_path / f"{source}.arrow", files[1], source=[source] * 8)
        found = find_leaks(JoinedStore([Store(files[0]), Store(copy)]), [fold])
        assert sum(leak.kind == "person" for leak in found) == shared
