from collections import Counter

import numpy as np
import pytest

from tests.protocols.tables import sizes, table
from wrinkle.datasets import read_dataset
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol, utkface


def test_the_packaged_list_is_complete():
    parts = utkface.parts()
    assert Counter(parts.values()) == {
        "train": 18_504,
        "validation": 2_310,
        "test": 2_298,
        "left-out": 595,
    }
    assert len(parts) == 23_707
    protocol = get_protocol("utkface")
    assert protocol.checksum == utkface.CHECKSUM
    assert protocol.sizes == {"utkface": (18_504, 2_310, 2_298)}
    assert sizes(*protocol.folds(table(names=sorted(parts)))) == (18_504, 2_310, 2_298)
    assert set(protocol.names()) == {name for name, part in parts.items() if part != "left-out"}
    assert all(f"{n:,}" in utkface.__doc__ for n in Counter(parts.values()).values())


def test_the_parts_have_the_same_ages():
    ages = {part: [] for part in utkface.PARTS}
    for name, part in utkface.parts().items():
        ages[part].append(int(name.split("_")[0]))
    edges = [0, 10, 20, 30, 40, 50, 60, 70, 120]
    train, validation, test = (
        np.histogram(ages[part], edges)[0] / len(ages[part])
        for part in ("train", "validation", "test")
    )
    np.testing.assert_allclose(validation, train, atol=0.01)
    np.testing.assert_allclose(test, train, atol=0.01)


def test_any_share_of_the_pictures_keeps_its_split():
    names = sorted(utkface.parts())[::7]
    (fold,) = get_protocol("utkface").folds(table(names=names))
    for part in ("train", "validation", "test"):
        rows = getattr(fold, part)
        assert len(rows) > 0
        assert {utkface.parts()[names[row]] for row in rows} == {part}
    split = np.concatenate([fold.train, fold.validation, fold.test])
    rest = set(range(len(names))) - set(split.tolist())
    assert {utkface.parts()[names[row]] for row in rest} == {"left-out"}


def test_another_dataset_is_an_error_with_counts():
    names = [*sorted(utkface.parts())[:3], "images/001A02.JPG"]
    with pytest.raises(WrinkleError, match=r"3 of the store's 4 names.*images/001A02\.JPG"):
        get_protocol("utkface").folds(table(names=names))
    with pytest.raises(WrinkleError, match="0 of the store's 0 names"):
        get_protocol("utkface").folds(table(names=[]))


def test_a_store_without_test_pictures_is_refused():
    names = [name for name, part in utkface.parts().items() if part == "train"][:5]
    with pytest.raises(WrinkleError, match="no validation rows"):
        get_protocol("utkface").folds(table(names=names))


@pytest.mark.data
def test_the_list_names_the_real_files(data_root):
    rows, _ = read_dataset("utkface", data_root / "utkface")
    assert {row.name for row in rows} == set(utkface.parts())
