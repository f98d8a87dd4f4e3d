"""Several stores in one recipe."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests import tiny
from tests.datasets.test_joined import relabelled
from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol
from wrinkle.runs.data import draw_weights, open_faces, protocol_of
from wrinkle.runs.recipe import Recipe, load_recipe
from wrinkle.runs.sections import Data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """one.arrow: 48 drawn faces of 16 people; two.arrow: other 32 with ranges of ten years."""
    folder = tmp_path_factory.mktemp("several")
    tiny.write_store(folder / "one.arrow", 48)
    drawn = tiny.write_store(folder / "drawn.arrow", 80)
    ages = Store(drawn).ages // 10 * 10
    names = [f"{'train' if k % 4 else 'test'}/{k}.jpg" for k in range(80)]
    spans = {"age": [None] * 80, "age_low": ages.astype(int), "age_high": ages.astype(int) + 9}
    relabelled(folder / "two.arrow", drawn, name=names, source=["two"] * 80, **spans)
    return folder


def several(folder: Path, *changes: dict[str, object], **data: object) -> Recipe:
    stores = [
        {"store": str(folder / "one.arrow"), "protocol": "by-person:4", "fold": "2"},
        {"store": str(folder / "two.arrow"), "protocol": "by-folder"},
    ]
    for each, change in zip(stores, changes, strict=False):
        each |= change
    content = yaml.safe_load(tiny.write_recipe(folder, folder / "one.arrow").read_text())
    content["data"] = {"stores": stores, **data}
    path = folder / "several.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_recipe(path)


def test_the_fold_has_the_parts_of_each_store(folder: Path) -> None:
    recipe = several(folder)
    faces, protocol = open_faces(recipe.data), protocol_of(recipe.data)
    (fold,) = protocol.folds(faces.columns)
    assert (fold.name, protocol.name) == ("one+two", "by-person:4 + by-folder")
    for spec, number, name, start in (("by-person:4", 1, "one", 0), ("by-folder", 0, "two", 48)):
        own = get_protocol(spec).folds(Store(folder / f"{name}.arrow").columns)[number]
        end = {0: 48, 48: 128}[start]
        for part in ("train", "validation", "test"):
            rows = getattr(fold, part)
            here = rows[(rows >= start) & (rows < end)] - start
            assert here.tolist() == getattr(own, part).tolist()


def test_runs_on_the_same_files_share_the_open_store(folder: Path) -> None:
    path = tiny.write_store(folder / "shared.arrow", 48)
    recipe = several(folder, {"store": str(path)})
    faces = open_faces(recipe.data)
    assert open_faces(several(folder, {"store": str(path)}).data) is faces
    alone = open_faces(Data(store=str(path), protocol="by-person:4"))
    assert (len(alone), len(faces)) == (48, 128)
    tiny.write_store(path, 64)
    assert len(open_faces(Data(store=str(path), protocol="by-person:4"))) == 64


@pytest.mark.parametrize(
    ("changes", "data", "reason"),
    [
        ([{"protocol": "nope"}], {}, "nope"),
        ([{"fold": None}], {}, "no fold is chosen; choices: 1, 2, 3, 4"),
        ([{"fold": "9"}], {}, "there is no fold 9; choices: 1, 2, 3, 4"),
        ([{"weight": 0}], {}, "weight is 0"),
        ([{"per_person": 0}], {}, "per_person is 0"),
        ([{"colour": 1}], {}, "colour"),
        ([{}, {"store": "one.arrow"}], {}, "two have the same file name"),
        ([{}], {"store": "x.arrow"}, "not both"),
        ([{}, {"store": "none.arrow"}], {}, "no store at none.arrow"),
    ],
)
def test_errors_are_one_line(folder: Path, changes: list, data: dict, reason: str) -> None:
    def folds() -> None:
        recipe = several(folder, *changes, **data)
        protocol_of(recipe.data).folds(open_faces(recipe.data).columns)

    with pytest.raises(WrinkleError, match=reason) as caught:
        folds()
    assert "\n" not in str(caught.value)


def test_neither_store_nor_stores(folder: Path) -> None:
    path = tiny.write_recipe(folder, folder / "one.arrow")
    path.write_text(path.read_text().replace("store:", "limit: 5 #"))
    with pytest.raises(WrinkleError, match=r"data: give store and protocol, or a list of stores"):
        load_recipe(path)


def test_weights_are_those_of_the_stores(folder: Path) -> None:
    recipe = several(folder, {"weight": 2}, {"weight": 0.5})
    weights = draw_weights(recipe.data, open_faces(recipe.data))
    assert weights.tolist() == [2] * 48 + [0.5] * 80
    alone = load_recipe(tiny.write_recipe(folder, folder / "one.arrow"))
    assert draw_weights(alone.data, open_faces(alone.data)).tolist() == [1] * 48


def test_only_training_rows_are_capped_per_person(folder: Path) -> None:
    every = several(folder)
    capped = several(folder, {"per_person": 2})
    faces = open_faces(capped.data)
    (fold,), (full,) = (protocol_of(r.data).folds(faces.columns) for r in (capped, every))
    people = np.array(faces.columns["person"].to_pylist())
    own = fold.train[fold.train < 48]
    for person in np.unique(people[own]):
        before = full.train[(full.train < 48) & (people[full.train] == person)]
        assert own[people[own] == person].tolist() == before[:2].tolist()
    assert len(own) < (full.train < 48).sum()
    assert fold.train[fold.train >= 48].tolist() == full.train[full.train >= 48].tolist()
    assert fold.test.tolist() == full.test.tolist()
    assert fold.validation.tolist() == full.validation.tolist()
