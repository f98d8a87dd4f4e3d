import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wrinkle.errors import ImageError
from wrinkle.faces.align import (
    CROP_MARGIN,
    MIRRORED,
    TEMPLATE,
    compose,
    crop_face,
    face_input,
    invert,
    similarity,
    transform,
    view_matrix,
    warp,
)

coordinates = st.floats(-1000, 1000, width=32)


def _random_maps(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Affine maps that are far from singular."""
    turn, stretch = random.uniform(0, 2 * np.pi, shape), random.uniform(0.3, 3, (*shape, 2))
    rotation = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], -1)
    linear = rotation.reshape(*shape, 2, 2) * stretch[..., None, :]
    return np.concatenate([linear, random.uniform(-50, 50, (*shape, 2, 1))], -1)


def _slow_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Solve x' = a·x − b·y + c, y' = b·x + a·y + d for a, b, c, d, point by point."""
    equations, right = [], []
    for (x, y), (to_x, to_y) in zip(source, target, strict=True):
        equations += [[x, -y, 1, 0], [y, x, 0, 1]]
        right += [to_x, to_y]
    (a, b, c, d), *_ = np.linalg.lstsq(np.array(equations), np.array(right), rcond=None)
    return np.array([[a, -b, c], [b, a, d]])


@given(
    st.integers(2, 9).flatmap(
        lambda m: st.tuples(*[hnp.arrays(np.float64, (m, 2), elements=coordinates)] * 2)
    )
)
def test_similarity_is_the_least_squares_solution(points):
    source, target = points
    spread = source - source.mean(0)
    if np.abs(spread).max() < 1e-3 * max(np.abs(source).max(), 1):
        return  # the equations of the reference solution are not sufficient then
    np.testing.assert_allclose(
        transform(similarity(source, target), source),
        transform(_slow_similarity(source, target), source),
        atol=1e-6,
    )


def test_similarity_recovers_rotation_scale_and_shift_in_any_batch_shape():
    random = np.random.default_rng(0)
    turn = random.normal(size=(3, 4)) + 1j * random.normal(size=(3, 4))
    shift = 100 * random.normal(size=(3, 4, 2))
    rows = np.stack([turn.real, -turn.imag, turn.imag, turn.real], -1).reshape(3, 4, 2, 2)
    wanted = np.concatenate([rows, shift[..., None]], -1)
    source = 30 * random.normal(size=(4, 5, 2))
    target = transform(wanted, source)
    np.testing.assert_allclose(similarity(source, target), wanted, atol=1e-9)
    np.testing.assert_allclose(similarity(target, source), invert(wanted), atol=1e-9)


@given(
    point=hnp.arrays(np.float64, 2, elements=st.floats(-1e6, 1e6)),
    target=hnp.arrays(np.float64, (5, 2), elements=coordinates),
)
def test_coincident_points_are_only_shifted(point, target):
    matrix = similarity(np.tile(point, (5, 1)), target)
    np.testing.assert_array_equal(matrix[:, :2], np.eye(2))
    np.testing.assert_allclose(matrix[:, 2], target.mean(0) - point, atol=1e-9)


@given(
    hnp.arrays(np.float64, (5, 2), elements=st.floats(-1e9, 1e9)),
    st.sampled_from([1e-300, 1e-20, 1.0, 1e20]),
)
@example(points=np.eye(5, 2), scale=1.7e-158)
@pytest.mark.filterwarnings("error")
def test_every_set_of_points_gives_a_finite_map(points, scale):
    assert np.isfinite(view_matrix(points * scale, 224)).all()


def test_compose_invert_and_transform_by_definition():
    random = np.random.default_rng(1)
    outer, inner = _random_maps(random, 6), _random_maps(random, 6)
    points = random.uniform(-20, 20, (6, 7, 2))
    composed, inverse = compose(outer, inner), invert(outer)
    for k in range(6):
        square = [np.vstack([m[k], [0, 0, 1]]) for m in (outer, inner)]
        np.testing.assert_allclose(composed[k], (square[0] @ square[1])[:2], atol=1e-12)
        np.testing.assert_allclose(inverse[k], np.linalg.inv(square[0])[:2], atol=1e-12)
        for point, moved in zip(points[k], transform(inner, points)[k], strict=True):
            np.testing.assert_allclose(moved, square[1][:2] @ [*point, 1], atol=1e-12)
    np.testing.assert_allclose(
        transform(composed, points), transform(outer, transform(inner, points)), atol=1e-10
    )
    np.testing.assert_allclose(transform(inverse, transform(outer, points)), points, atol=1e-10)


def test_one_map_transforms_many_sets_of_points():
    random = np.random.default_rng(2)
    matrix, points = _random_maps(random), random.normal(size=(3, 5, 2))
    moved = transform(matrix, points)
    np.testing.assert_array_equal(moved[1], transform(matrix, points[1]))
    assert compose(matrix, _random_maps(random, 3)).shape == (3, 2, 3)


@pytest.mark.parametrize(("size", "zoom"), [(112, 1.0), (224, 1.0), (224, 0.8)])
def test_view_puts_an_ideal_face_exactly_on_the_template(size, zoom):
    angle = 0.4
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    key_points = 37.5 * TEMPLATE @ rotation.T + [310.25, 95.5]
    seen = transform(view_matrix(key_points, size, zoom), key_points)
    np.testing.assert_allclose(seen * 2 / size - 1, TEMPLATE * zoom, atol=1e-12)


def test_template_is_its_own_mirror_image():
    np.testing.assert_array_equal(TEMPLATE[MIRRORED] * [-1, 1], TEMPLATE)


def _face_at(centre: tuple[float, float], eyes: float, angle: float = 0.0) -> np.ndarray:
    """Key points of an ideal face with `eyes` pixels between its eyes."""
    turn = np.exp(1j * angle) * eyes / 0.8
    points = TEMPLATE @ (1, 1j) * turn
    return np.stack([points.real, points.imag], -1) + centre


def _dots(shape: tuple[int, int], places: np.ndarray, radius: float) -> np.ndarray:
    """Soft white dots of that radius around pixel coordinates, on black."""
    y, x = np.indices(shape) + 0.5
    squared = (x - places[:, 0, None, None]) ** 2 + (y - places[:, 1, None, None]) ** 2
    grey = 255 * np.exp(-squared / (2 * radius**2)).max(0)
    return np.repeat(grey[..., None], 3, 2).round().astype(np.uint8)


def _dot_near(crop: np.ndarray, place: np.ndarray, reach: float) -> np.ndarray:
    """Centre of brightness within `reach` of a place, pixel coordinates."""
    y, x = np.indices(crop.shape[:2]) + 0.5
    near = np.hypot(x - place[0], y - place[1]) < reach
    weight = np.where(near, crop[..., 0].astype(float), 0)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("angle", [0.0, 0.7])
@pytest.mark.parametrize("eyes", [20.0, 45.0, 130.0])  # crop from 65, 146 and 423 pixels to 128
@pytest.mark.parametrize("centre", [(250.3, 180.8), (30.2, 20.6), (370.0, 265.0)])
def test_the_crops_map_is_from_photograph_to_crop(centre, eyes, angle):
    size = 128
    key_points = _face_at(centre, eyes, angle)
    side = round(CROP_MARGIN * eyes / 0.4)
    inside = ((key_points > eyes / 8) & (key_points < [400 - eyes / 8, 300 - eyes / 8])).all(1)
    assert inside.any()
    image = _dots((300, 400), key_points[inside], radius=max(eyes / 25, 1.5))
    crop, matrix = crop_face(image, key_points, size)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    assert matrix[0, 0] == matrix[1, 1] == pytest.approx(size / side, rel=0.02)
    assert matrix[0, 1] == matrix[1, 0] == 0
    for place in transform(matrix, key_points)[inside]:
        found = _dot_near(crop, place, reach=0.09 * size)
        assert np.hypot(*(found - place)) < 0.7


def test_the_crop_contains_the_models_view_of_an_upright_face():
    random = np.random.default_rng(3)
    image = np.zeros((300, 400, 3), np.uint8)
    for eyes in (11.0, 60.0, 90.0):
        key_points = _face_at((200, 150), eyes) + random.normal(0, 0.03 * eyes, (5, 2))
        _, matrix = crop_face(image, key_points, 256)
        to_crop = compose(matrix, invert(view_matrix(key_points, 1)))
        corners = transform(to_crop, np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]))
        assert corners.min() > 0
        assert corners.max() < 256


def test_border_pixels_are_repeated_outside_the_picture():
    image = np.random.default_rng(4).integers(0, 256, (60, 80, 3), np.uint8)
    key_points = _face_at((3, 57), 40 / CROP_MARGIN)  # 100 pixels a side: as large as the crop
    crop, matrix = crop_face(image, key_points, 100)
    np.testing.assert_array_equal(matrix[:, :2], np.eye(2))
    x, y = -matrix[:, 2].astype(int)
    assert x < 0 < y
    rows, columns = np.clip(np.arange(100) + y, 0, 59), np.clip(np.arange(100) + x, 0, 79)
    np.testing.assert_array_equal(crop, image[rows][:, columns])


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (300, 7), (40, 40)])
@pytest.mark.parametrize("eyes", [1e-3, 5.0, 1e4, 1e12])
@pytest.mark.parametrize("centre", [(5, 5), (-1e7, 3), (1e30, -1e30)])
def test_impossible_positions_give_a_crop_of_the_border(shape, eyes, centre):
    image = np.full((*shape, 3), 77, np.uint8)
    crop, matrix = crop_face(image, _face_at(centre, eyes).astype(np.float32), 64)
    assert (crop == 77).all()
    assert crop.shape == (64, 64, 3)
    assert np.isfinite(matrix).all()


def test_memory_of_a_crop_is_bounded_by_the_picture(monkeypatch):
    sides = []
    monkeypatch.setattr(
        "cv2.copyMakeBorder",
        lambda inside, top, bottom, left, right, _: (
            sides.append((inside.shape[0] + top + bottom, inside.shape[1] + left + right)) or inside
        ),
    )
    crop_face(np.zeros((10, 9000, 3), np.uint8), _face_at((4500, 5), 1e5), 64)
    assert sides == [(40, 40)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [(0, 0), (slice(None), 1), (slice(None), slice(None))])
@pytest.mark.filterwarnings("error")
def test_key_points_that_are_not_finite_do_not_crash(value, where):
    key_points = _face_at((50, 50), 20)
    key_points[where] = value
    image = np.zeros((100, 100, 3), np.uint8)
    if np.isnan(value):
        with pytest.raises(ImageError, match="key points") as caught:
            crop_face(image, key_points, 64)
        assert "\n" not in str(caught.value)
    else:
        crop, matrix = crop_face(image, key_points, 64)
        assert crop.shape == (64, 64, 3)
        assert np.isfinite(matrix).all()


def test_impossible_key_points_are_refused():
    template = (TEMPLATE - TEMPLATE.mean(0)) @ (1, 1j)
    points = np.array([1, 1j, -3, 2, 0.5])
    points = points - points.mean()
    # What is orthogonal to the template comes no nearer to it by any turn.
    points -= template * (template.conj() @ points) / (template.conj() @ template)
    key_points = 20 * np.stack([points.real, points.imag], -1) + 50
    with pytest.raises(ImageError, match="key points"):
        crop_face(np.zeros((100, 100, 3), np.uint8), key_points, 64)


def _slow_warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """(H, W) → (size, size) float64, pixel by pixel."""
    height, width = image.shape
    back = invert(matrix)
    result = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            x, y = back @ [j + 0.5, i + 0.5, 1] - 0.5
            x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
            left, top = int(x), int(y)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            u, v = x - left, y - top
            upper = (1 - u) * image[top, left] + u * image[top, right]
            lower = (1 - u) * image[bottom, left] + u * image[bottom, right]
            result[i, j] = (1 - v) * upper + v * lower
    return result


@pytest.mark.parametrize("shape", [(23, 23), (9, 31)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_warp_is_bilinear_with_the_border_repeated(shape, dtype):
    random = np.random.default_rng(5)
    pixels = random.integers(0, 256, (4, 3, *shape))
    images = torch.from_numpy(pixels).to(dtype)
    matrices = _random_maps(random, 4)
    matrices[:, :, 2] = 8 - matrices[:, :, :2] @ (shape[1] / 2, shape[0] / 2)  # centre to centre
    seen = warp(images, torch.from_numpy(matrices), 16)
    assert seen.dtype == torch.float32
    assert seen.shape == (4, 3, 16, 16)
    for k in range(4):
        for channel in range(3):
            slow = _slow_warp(pixels[k, channel].astype(float), matrices[k], 16)
            np.testing.assert_allclose(seen[k, channel].numpy(), slow, atol=0.02)


def test_identity_shift_and_mirror_are_exact():
    images = torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8)
    identity = torch.eye(2, 3, dtype=torch.float64).repeat(2, 1, 1)
    same = warp(images, identity, 40)
    torch.testing.assert_close(same, images.float(), atol=1e-3, rtol=0)
    shift = identity.clone()
    shift[:, 0, 2] = -3
    moved = warp(images, shift, 40)
    torch.testing.assert_close(moved[..., :37], images[..., 3:].float(), atol=1e-3, rtol=0)
    mirror = torch.tensor([[-1.0, 0, 40], [0, 1, 0]], dtype=torch.float64).repeat(2, 1, 1)
    once = warp(images, mirror, 40)
    torch.testing.assert_close(once, images.flip(-1).float(), atol=1e-3, rtol=0)
    torch.testing.assert_close(warp(once, mirror, 40), images.float(), atol=2e-3, rtol=0)


def test_mirroring_is_a_map_that_swaps_left_and_right():
    random = np.random.default_rng(6)
    size = 64
    key_points = _face_at((100, 80), 30) + random.normal(0, 1, (5, 2))
    mirror = np.array([[-1.0, 0, size], [0, 1, 0]])
    seen = transform(compose(mirror, view_matrix(key_points, size)), key_points)[MIRRORED]
    straight = transform(view_matrix(key_points, size), key_points)
    np.testing.assert_allclose(seen, (straight * [-1, 1] + [size, 0])[MIRRORED], atol=1e-9)
    assert seen[0, 0] < seen[1, 0]
    assert seen[3, 0] < seen[4, 0]


def test_the_composed_map_gives_the_position_of_a_dot():
    key_points = _face_at((180.4, 140.9), 50, angle=0.3)
    image = _dots((300, 400), key_points, radius=2.5)
    crop, to_crop = crop_face(image, key_points, 256)
    size = 128
    view = view_matrix(transform(to_crop, key_points), size)
    np.testing.assert_allclose(compose(view, to_crop), view_matrix(key_points, size), atol=1e-9)
    images = torch.from_numpy(crop).permute(2, 0, 1)[None]
    seen = warp(images, torch.from_numpy(view)[None], size)[0].permute(1, 2, 0).numpy()
    for place in (TEMPLATE + 1) * size / 2:
        assert np.hypot(*(_dot_near(seen, place, reach=8) - place)) < 0.35


def test_face_input_is_normalised_by_channel():
    crops = torch.randint(0, 256, (2, 48, 48, 3), dtype=torch.uint8)
    matrices = torch.tensor([[0.5, 0, 0], [0, 0.5, 0]], dtype=torch.float64).repeat(2, 1, 1)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    seen = face_input(crops, matrices, 24, mean, std)
    assert seen.shape == (2, 3, 24, 24)
    assert seen.dtype == torch.float32
    assert seen.is_contiguous(memory_format=torch.channels_last)
    # Half size: a pixel of the input is at the centre of four of the crop.
    blocks = crops.double().unflatten(1, (24, 2)).unflatten(3, (24, 2)).mean((2, 4)) / 255
    expected = (blocks - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(seen.double(), expected.permute(0, 3, 1, 2), atol=1e-4, rtol=0)
