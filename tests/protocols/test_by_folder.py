import numpy as np
import pytest

from tests.protocols.tables import table
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol


def test_names_determine_the_parts():
    names = ["train/b", "test/a", "validation/c", "train/a", "spare/d", "testing/e"]
    (fold,) = get_protocol("by-folder").folds(table(names=names))
    assert (fold.train.tolist(), fold.validation.tolist(), fold.test.tolist()) == ([0, 3], [2], [1])


def test_without_a_validation_folder_a_tenth_of_the_people_validates():
    names = [f"train/{i}" for i in range(200)] + [f"test/{i}" for i in range(20)]
    persons = [f"p{i // 4}" for i in range(200)] + [None] * 20
    rows = table(names=names, persons=persons)
    (fold,) = get_protocol("by-folder:1").folds(rows)
    assert [len(fold.train), len(fold.validation), len(fold.test)] == [180, 20, 20]
    assert not set(fold.train // 4) & set(fold.validation // 4)
    (again,) = get_protocol("by-folder:1").folds(rows)
    (other,) = get_protocol("by-folder:2").folds(rows)
    assert np.array_equal(fold.validation, again.validation)
    assert not np.array_equal(fold.validation, other.validation)


def test_a_name_without_a_folder_is_in_no_part():
    with pytest.raises(WrinkleError, match="train/ and with test/; the store has 1 and 0"):
        get_protocol("by-folder").folds(table(names=["train/a", "b"]))


def test_identical_files_in_two_parts_are_an_error():
    rows = table(names=["train/a", "train/b", "test/a"], digests=["x", "y", "x"])
    with pytest.raises(WrinkleError, match="share a digest"):
        get_protocol("by-folder").folds(rows)
