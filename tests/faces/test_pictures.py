import contextlib
import io
from collections import OrderedDict, UserList
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wrinkle.errors import ImageError
from wrinkle.faces.decode import count_pixels, decode
from wrinkle.faces.pictures import each_picture, in_memory

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
_buffer = io.BytesIO()
Image.fromarray(RGB).save(_buffer, "PNG")
PNG = _buffer.getvalue()


def _one(make) -> None:
    """What `make` returns is one picture: RGB."""
    found = [decode(picture) for picture in each_picture(make())]
    assert len(found) == 1
    np.testing.assert_array_equal(found[0], RGB)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PNG,
        lambda: bytearray(PNG),
        lambda: memoryview(PNG),
        lambda: io.BytesIO(PNG),
        lambda: Image.fromarray(RGB),
        lambda: RGB,
        lambda: RGB / 255,
        lambda: RGB.astype(np.uint16) * 257,
        lambda: RGB[None],
        lambda: torch.from_numpy(RGB),
        lambda: torch.from_numpy(RGB).permute(2, 0, 1),
        lambda: torch.from_numpy(RGB).permute(2, 0, 1)[None] / 255,
        lambda: torch.from_numpy(RGB).double().requires_grad_() / 255,
        lambda: [PNG],
        lambda: (picture for picture in [PNG]),
        lambda: UserList([RGB]),
    ],
)
def test_one_picture(make):
    _one(make)


def test_paths_and_open_files(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    for make in (lambda: path, lambda: str(path), lambda: np.array([str(path)])):
        _one(make)
    for make in (lambda: pd.Series([path]), lambda: np.array([path], dtype=object)):
        _one(make)
    with path.open("rb") as file:
        file.seek(9)
        _one(lambda: file)
        _one(lambda: file)  # it is read from its start each time
        assert file.tell() == 9
    with pytest.raises(ImageError, match=r"a\.png: cannot be read"):
        decode(file)
    with path.open(encoding="latin-1") as file, pytest.raises(ImageError, match="as text"):
        decode(file)


def test_a_stream_that_cannot_seek():
    class Stream:
        def read(self) -> bytes:
            return PNG

    np.testing.assert_array_equal(decode(Stream()), RGB)
    assert count_pixels(in_memory(Stream())) == 600


def test_many():
    assert len(list(each_picture(np.stack([RGB] * 4)))) == 4
    assert len(list(each_picture(torch.zeros(4, 3, 9, 9)))) == 4
    assert len(list(each_picture([PNG, RGB, "a.jpg"]))) == 3
    assert list(each_picture(pd.Series(["a.jpg", Path("b.jpg")]))) == ["a.jpg", Path("b.jpg")]
    assert list(each_picture([])) == []


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, "None"),
        (3, "the number 3"),
        (2.5, "the number 2.5"),
        ({"a": 1}, "a dict"),
        (OrderedDict(), "an OrderedDict"),
        ({"a.jpg"}, "a set, which has no order"),
        (pd.DataFrame({"path": ["a.jpg"]}), "a DataFrame"),
        (object(), "an object"),
        (len, "a builtin_function_or_method"),
    ],
)
def test_anything_else_is_refused_by_name(given, name):
    with pytest.raises(ImageError, match=f"cannot read {name}.*: give a path"):
        list(each_picture(given))


@pytest.mark.parametrize(
    "array",
    [
        RGB.transpose(2, 0, 1),
        RGB.transpose(2, 0, 1)[None],
        RGB[:, :, None],
        np.array(3),
        RGB[..., 0:2],
    ],
)
def test_arrays_of_other_shapes_are_refused_as_one(array):
    (one,) = each_picture(array)
    with pytest.raises(ImageError, match="of shape"):
        decode(one)
    if array.shape[-3:] == (3, 20, 30):
        with pytest.raises(ImageError, match="move the channels"):
            decode(one)


def test_ambiguous_tensors_are_refused():
    with pytest.raises(ImageError, match="channels first or last"):
        decode(torch.zeros(3, 9, 3))


_SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 7]), max_size=5)
_ARRAYS = st.builds(
    lambda shape, dtype: np.ones(shape, dtype),
    _SHAPES,
    st.sampled_from(["u1", "u2", "i8", "f2", "f4", "f8", "?", "c8", "U3", "O", "M8[s]"]),
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.binary(max_size=9),
    st.binary(max_size=9).map(io.BytesIO),
    st.just(PNG),
    st.just(RGB),
    st.text(max_size=5).map(io.StringIO),
    st.builds(lambda shape: torch.ones(shape), _SHAPES),
    st.just(Image.new("I;16", (3, 3))),
    _ARRAYS,
)
_GIVEN = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(iter),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
        st.lists(inner, max_size=2).map(lambda items: pd.Series(items, dtype=object)),
    ),
    max_leaves=5,
)


@settings(max_examples=2000, deadline=None)
@given(_GIVEN)
def test_whatever_is_given(given):
    with contextlib.suppress(ImageError):
        for picture in each_picture(given):
            content = in_memory(picture)
            assert count_pixels(content) >= 0
            with contextlib.suppress(ImageError):
                pixels = decode(content)
                assert pixels.dtype == np.uint8
                assert pixels.ndim == 3
