import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wrinkle.faces.detectors.mtcnn.canvas import Grid, canvases, few_sizes

GRIDS = [Grid(12, 12, 2, 64), Grid(12, 14, 4, 64), Grid(12, 14, 4, 256)]
NONE = np.empty((0, 4))


def _picture(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 330), st.integers(1, 330)), max_size=12),
    grid=st.sampled_from(GRIDS),
)
def test_every_cell_of_every_picture_is_on_a_canvas_once(shapes, grid):
    pictures = [_picture(n, *shape) for n, shape in enumerate(shapes)]
    seen = [np.zeros((h, w), int) for h, w in shapes]
    for canvas in canvases([(picture, NONE) for picture in pictures], grid):
        assert canvas.pixels.shape[1] == grid.side
        assert canvas.pixels.shape[0] in [grid.side // 4 * k for k in (1, 2, 3, 4)]
        height, width = ((side - grid.cell) // grid.stride + 1 for side in canvas.pixels.shape[:2])
        cells = canvas.cells(np.ones((height, width), bool))
        for number, (x, y), row, column in zip(*cells, strict=True):
            seen[number][y, x] += 1
            part = pictures[number][y : y + grid.cell, x : x + grid.cell]
            top, left = row * grid.stride, column * grid.stride
            shown = canvas.pixels[top : top + grid.cell, left : left + grid.cell]
            assert (shown[: part.shape[0], : part.shape[1]] == part).all()
            assert part.shape[0] >= grid.window
            assert part.shape[1] >= grid.window
    for count, (height, width) in zip(seen, shapes, strict=True):
        expected = np.zeros((height, width), int)
        if min(height, width) >= grid.window:
            expected[: height - 11 : grid.stride, : width - 11 : grid.stride] = 1
        assert (count == expected).all()


def test_beyond_a_picture_there_is_grey():
    (canvas,) = canvases([(np.full((29, 29, 3), 200, np.uint8), NONE)], GRIDS[1])
    assert (canvas.pixels[:29, :29] == 200).all()
    canvas.pixels[:29, :29] = 127
    assert (canvas.pixels == 127).all()


def test_only_chosen_cells_are_given():
    (canvas,) = canvases([(_picture(0, 40, 40), NONE)], GRIDS[0])
    chosen = np.zeros(((canvas.pixels.shape[0] - 12) // 2 + 1, 27), bool)
    chosen[3, 5] = chosen[3, 26] = True  # the second is beside the picture
    number, corner, row, column = canvas.cells(chosen)
    assert (number.tolist(), corner.tolist()) == ([0], [[10, 6]])
    assert (row.tolist(), column.tolist()) == ([3], [5])


@pytest.mark.parametrize("grid", GRIDS)
def test_windows_inside_a_known_face_are_left_out(grid):
    known = np.array([[60.0, 30, 190, 150], [-5, 170, 40, 300]])
    seen = np.zeros((200, 240), bool)
    for canvas in canvases([(_picture(0, 200, 240), known)], grid):
        rows = (canvas.pixels.shape[0] - grid.cell) // grid.stride + 1
        columns = (grid.side - grid.cell) // grid.stride + 1
        _, corner, _, _ = canvas.cells(np.ones((rows, columns), bool))
        seen[corner[:, 1], corner[:, 0]] = True
    for y in range(0, 189, grid.stride):
        for x in range(0, 229, grid.stride):
            # The first and the last window of a cell are inside the face by 85 %.
            far = grid.cell - 12
            inside = any(
                left - x <= 0.15 * 12
                and top - y <= 0.15 * 12
                and x + far + 0.85 * 12 <= right
                and y + far + 0.85 * 12 <= bottom
                for left, top, right, bottom in known
            )
            assert seen[y, x] != inside, (x, y)


@pytest.mark.parametrize(("count", "size"), [(0, 0), (1, 1), (3, 4), (5, 8), (8, 8), (17, 24)])
def test_batches_have_few_sizes(count, size):
    batch = np.arange(1, 2 * count + 1, dtype=np.uint8).reshape(count, 2)
    filled = few_sizes(batch)
    assert filled.shape == (size, 2)
    assert (filled[:count] == batch).all()
    assert (filled[count:] == 0).all()
