from pathlib import Path

import pyarrow as pa
import pytest

from tests.tiny import write_store
from wrinkle.datasets.store import Store, write_table
from wrinkle.errors import WrinkleError
from wrinkle.inference.provenance import learned, pack_digests, split_rows
from wrinkle.protocols import get_protocol
from wrinkle.protocols.utkface import parts as utkface_parts


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(write_store(tmp_path_factory.mktemp("drawn") / "drawn.arrow", 60))


def test_a_part_of_a_fold(store: Store) -> None:
    first, second, *_ = get_protocol("random:4").folds(store.columns)
    own = {"split": "random:4", "fold": "2"}
    assert len(split_rows(store, "all")) == 60
    assert split_rows(store, "test", provenance=own).tolist() == second.test.tolist()
    assert split_rows(store, "train", "random:4", provenance=own).tolist() == second.train.tolist()
    assert split_rows(store, "test", fold="1", provenance=own).tolist() == first.test.tolist()
    # Under another protocol the model has no fold of its own.
    other = get_protocol("random:5").folds(store.columns)
    rows = split_rows(store, "validation", "random:5", provenance=own)
    assert rows.tolist() == other[0].validation.tolist()
    assert split_rows(store, "test", "random:5", "3").tolist() == other[2].test.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no protocol"),
        ({"protocol": "random:4", "fold": "9"}, "no fold '9'; choices: 1, 2, 3, 4"),
        ({"protocol": "luck"}, "unknown protocol"),
    ],
)
def test_no_such_part(store: Store, options: dict[str, str], message: str) -> None:
    with pytest.raises(WrinkleError, match=message):
        split_rows(store, "test", **options)


def test_what_a_model_file_says_of_its_training_data(store: Store) -> None:
    fold = get_protocol("random:4").folds(store.columns)[1]
    own = {"data": "drawn", "split": "random:4", "fold": "2", "fingerprint": store.fingerprint}
    assert learned(own, store, ["train"]).tolist() == fold.train.tolist()
    assert set(learned(own, store)) == {*fold.train.tolist(), *fold.validation.tolist()}
    reduced = own | {"recipe": "data: {limit: 5}"}
    assert len(learned(reduced, store, ["train"])) == 5
    for change in ({"data": "other"}, {"fingerprint": "0"}, {"split": "utkface"}):
        assert len(learned(own | change, store)) == 0


def test_pictures_are_known_by_their_files(store: Store, tmp_path: Path) -> None:
    digests = store.columns["digest"].to_pylist()
    packed = {"train": pack_digests(digests[:20]), "validation": pack_digests(digests[20:25])}
    own = {"data": "drawn", "split": "random:4", "fold": "2", "digests": packed}
    table = pa.ipc.open_file(str(store.path)).read_all()
    order = pa.array(range(59, -1, -1))
    names = pa.array([f"mine/{number}.jpg" for number in range(60)])
    renamed = table.take(order).set_column(0, table.schema.field("name"), names)
    write_table(tmp_path / "x.arrow", renamed, store.info | {"dataset": "folder"})
    other = Store(tmp_path / "x.arrow")
    assert learned(own, other, ["train"]).tolist() == [*range(40, 60)]
    assert learned(own, other).tolist() == [*range(35, 60)]


def test_earlier_files_know_listed_names_in_other_datasets(store: Store, tmp_path: Path) -> None:
    listed = [name for name, part in utkface_parts().items() if part == "train"][:10]
    tested = [name for name, part in utkface_parts().items() if part == "test"][:10]
    own = {"data": "utkface", "split": "utkface", "fold": "utkface", "fingerprint": "0"}
    table = pa.ipc.open_file(str(store.path)).read_all()
    names = [f"faces/{name}" for name in [*listed, *tested]] + [f"{n}.jpg" for n in range(40)]
    renamed = table.set_column(0, table.schema.field("name"), pa.array(names))
    write_table(tmp_path / "x.arrow", renamed, store.info | {"dataset": "folder"})
    other = Store(tmp_path / "x.arrow")
    assert learned(own, other, ["train"]).tolist() == [*range(10)]
    assert learned(own, store).tolist() == []


def test_an_unknown_part_is_one_line(drawn_store: Path) -> None:
    with pytest.raises(WrinkleError, match="split is 'tst'; choices: train"):
        split_rows(Store(drawn_store), "tst")  # type: ignore[arg-type]


def test_a_model_of_several_stores_has_a_split_of_each(store: Store) -> None:
    recipe = """
data:
  stores:
  - {store: data/drawn.arrow, protocol: "random:4", fold: "2"}
  - {store: other.arrow, protocol: "random:5", fold: null}
"""
    own = {"split": "random:4 + random:5", "fold": "drawn+other", "recipe": recipe}
    fold = get_protocol("random:4").folds(store.columns)[1]
    assert split_rows(store, "test", provenance=own).tolist() == fold.test.tolist()
    own["recipe"] = recipe.replace("data/drawn", "elsewhere")
    with pytest.raises(WrinkleError, match="several stores has no protocol for"):
        split_rows(store, "test", provenance=own)
    assert len(split_rows(store, "test", "random:4", provenance=own)) == 15


def test_an_ensemble_has_learned_what_any_of_its_members_has(store: Store) -> None:
    digests = store.columns["digest"].to_pylist()
    packed = {"train": pack_digests(digests[:20]), "validation": pack_digests(digests[20:25])}
    old = {"data": "drawn", "split": "random:4", "fold": "2", "fingerprint": store.fingerprint}
    both = {"split": "random:4", "members": [{"digests": packed}, old]}
    fold = get_protocol("random:4").folds(store.columns)[1]
    for parts, own in ((["train"], range(20)), (["train", "validation"], range(25))):
        theirs = {row for part in parts for row in getattr(fold, part).tolist()}
        assert learned(both, store, parts).tolist() == sorted(theirs | set(own))
