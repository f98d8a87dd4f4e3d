import json
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE, TEMPLATE_VERSION, face_input, transform, view_matrix
from wrinkle.faces.input import InputSpec

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPEC = InputSpec(48, 0.8, 64, MEAN, STD)


def _faces(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random crops of 64 pixels, and key points (count, 5, 2) in them, float32 as in a store."""
    random = np.random.default_rng(0)
    points = 32 + 18 * TEMPLATE + random.normal(0, 2, (count, 5, 2))
    return random.integers(0, 256, (count, 64, 64, 3), np.uint8), points.astype(np.float32)


def test_a_batch_equals_the_geometry_functions_to_the_bit() -> None:
    crops, points = _faces(3)
    views = view_matrix(points.astype(np.float64), 48, 0.8)
    expected = face_input(torch.from_numpy(crops), torch.from_numpy(views), 48, MEAN, STD)
    placed = (transform(views, points.astype(np.float64)) * 2 / 48 - 1).astype(np.float32)
    for given_crops in (crops, torch.from_numpy(crops)):
        images, key_points = SPEC(given_crops, points)
        assert torch.equal(images, expected)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert key_points.dtype == torch.float32
        np.testing.assert_array_equal(key_points.numpy(), placed)


def test_each_step_equals_the_geometry_functions_to_the_bit() -> None:
    crops, points = _faces(2)
    matrices = SPEC.matrices(points)
    np.testing.assert_array_equal(matrices, view_matrix(points, 48, 0.8))
    crop, matrix = torch.from_numpy(crops), torch.from_numpy(matrices)
    assert torch.equal(SPEC.images(crop, matrix), face_input(crop, matrix, 48, MEAN, STD))
    plain = SPEC.pixels(crop, matrix)
    assert torch.equal(plain, face_input(crop, matrix, 48, (0, 0, 0), (1, 1, 1)))
    assert 0 <= plain.min() < plain.max() <= 1


@given(hnp.arrays(np.float64, (2, 5, 2), elements=st.floats(-100, 100)), st.integers(1, 300))
def test_corners_of_the_input_are_minus_one_and_one(points: np.ndarray, size: int) -> None:
    spec = InputSpec(size, 1.0, 64, MEAN, STD)
    corners = spec.normalised(np.array([[0, 0], [size, size], [size / 2, size]]))
    np.testing.assert_array_equal(corners, np.float32([[-1, -1], [1, 1], [0, 1]]))
    assert spec.normalised(points).dtype == np.float32
    np.testing.assert_array_equal(spec.normalised(points), np.float32(points * 2 / size - 1))


def test_one_face_without_a_batch_has_one_matrix() -> None:
    _, points = _faces(2)
    assert SPEC.matrices(points[0]).shape == (2, 3)
    np.testing.assert_allclose(SPEC.matrices(points[0]), SPEC.matrices(points)[0], atol=1e-12)


def test_the_header_is_read_back() -> None:
    header = SPEC.to_header()
    assert header == {
        "size": 48,
        "zoom": 0.8,
        "crop": 64,
        "mean": list(MEAN),
        "std": list(STD),
        "template": TEMPLATE_VERSION,
    }
    assert InputSpec.from_header(json.loads(json.dumps(header))) == SPEC
    assert hash(SPEC) == hash(InputSpec.from_header(header))
    with pytest.raises(FrozenInstanceError):
        SPEC.size = 3  # type: ignore[misc]


def test_zoom_may_be_an_integer_and_unknown_fields_are_ignored() -> None:
    header = {**SPEC.to_header(), "zoom": 1, "colour": "rgb"}
    assert InputSpec.from_header(header).zoom == 1.0


@pytest.mark.parametrize("field", ["size", "zoom", "crop", "mean", "std"])
def test_a_missing_field_is_named(field: str) -> None:
    header = SPEC.to_header()
    del header[field]
    with pytest.raises(WrinkleError, match=rf"input\.{field} .* required") as caught:
        InputSpec.from_header(header)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("size", "48"), ("size", 0), ("size", 4.5), ("size", True), ("zoom", 0), ("zoom", None)),
        *(
            ("crop", -1),
            ("mean", [0.5, 0.5]),
            ("mean", 0.5),
            ("std", [1, 1, "1"]),
            ("std", [0] * 3),
        ),
    ],
)
def test_a_field_of_another_kind_is_named(field: str, value: Any) -> None:
    with pytest.raises(WrinkleError, match=rf"input\.{field}") as caught:
        InputSpec.from_header({**SPEC.to_header(), field: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header", [None, [], "input", 3])
def test_headers_that_are_not_mappings_are_refused(header: Any) -> None:
    with pytest.raises(WrinkleError, match="input of the model's header"):
        InputSpec.from_header(header)


@pytest.mark.parametrize("change", [{"template": TEMPLATE_VERSION + 1}, {}])
def test_another_face_template_is_refused(change: dict[str, int]) -> None:
    header = SPEC.to_header()
    del header["template"]
    with pytest.raises(WrinkleError, match=r"face template .* train again"):
        InputSpec.from_header({**header, **change})
