"""Pictures of all sizes on canvases of one size.

oneDNN prepares a convolution for each shape of its input, which takes ten times as long as the
convolution of a small picture. The levels of many pyramids, cut where they are too large, are
therefore laid out on canvases, so that a network sees the same few shapes again and again.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

INSIDE = 0.85
"""Share of a window's width and height inside a known face from which it is not looked at: it would
be suppressed as a part of that face."""
BUNDLE = 16
"""About how many canvases are laid out at a time."""
GREY = 127


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells that a network looks at. The size of a canvas is a multiple of `stride`."""

    window: int
    """Side in pixels of the smallest part that must be inside the picture; windows begin at even
    pixels of a cell."""
    cell: int
    """Side of a cell in pixels."""
    stride: int
    """Distance of neighbouring cells in pixels."""
    side: int
    """Side of a canvas in pixels."""

    def count(self, pixels: int) -> int:
        """How many cells of a side of so many pixels have a window inside."""
        return (pixels - self.window) // self.stride + 1

    def extent(self, cells: int) -> int:
        """Pixels that so many cells cover."""
        return (cells - 1) * self.stride + self.cell


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a picture that fits on a canvas."""

    number: int
    """Of the picture."""
    pixels: np.ndarray
    """(H, W, 3) uint8; cells at the right and lower border may reach beyond it."""
    corner: tuple[int, int]
    """x and y of its upper left corner in the picture."""
    cells: tuple[int, int]
    """Columns and rows."""
    known: np.ndarray
    """(K, 4) boxes of known faces in pixels of the picture."""


class Canvas:
    """Pieces side by side, and of each cell the piece that it shows."""

    def __init__(self, grid: Grid, placed: list[tuple[Piece, int, int]]) -> None:
        self._grid = grid
        cells = (grid.side - grid.cell) // grid.stride + 1
        lowest = max(y + grid.extent(piece.cells[1]) for piece, _, y in placed)
        height = min(-(-lowest // (grid.side // 4)) * (grid.side // 4), grid.side)
        self.pixels = np.full((height, grid.side, 3), GREY, np.uint8)
        """(H, W, 3) uint8."""
        self._piece = np.full(((height - grid.cell) // grid.stride + 1, cells), -1)
        self._number = np.array([piece.number for piece, _, _ in placed])
        self._shift = np.array([(p.corner[0] - x, p.corner[1] - y) for p, x, y in placed])
        for index, (piece, x, y) in enumerate(placed):
            rows, columns = piece.pixels.shape[:2]
            self.pixels[y : y + rows, x : x + columns] = piece.pixels
            left, top = x // grid.stride, y // grid.stride
            own = self._piece[top : top + piece.cells[1], left : left + piece.cells[0]]
            own[:] = index
            if len(piece.known):
                _leave_out(own, piece.known - np.tile(piece.corner, 2), grid)

    def cells(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What is known of the chosen cells (h, w) that belong to a picture.

        Returns:
            The picture's number (N,), the corner (x, y) in its pixels (N, 2), and row (N,) and
            column (N,) of the cell.
        """
        row, column = (chosen & (self._piece >= 0)).nonzero()
        piece = self._piece[row, column]
        corner = self._grid.stride * np.stack([column, row], 1) + self._shift[piece]
        return self._number[piece], corner, row, column


def canvases(pictures: Iterable[tuple[np.ndarray, np.ndarray]], grid: Grid) -> Iterator[Canvas]:
    """Lay out pictures on canvases.

    Args:
        pictures: (H, W, 3) uint8 pictures, numbered in their order, and (K, 4) boxes of the known
            faces in each; windows inside them are left out.
        grid: cells and size of the canvases.
    """
    waiting: list[Piece] = []
    area = 0
    for number, (picture, known) in enumerate(pictures):
        for piece in _cut(number, picture, known, grid):
            waiting.append(piece)
            area += piece.pixels.shape[0] * piece.pixels.shape[1]
            if area > BUNDLE * grid.side**2:
                yield from _lay_out(waiting, grid)
                waiting, area = [], 0
    yield from _lay_out(waiting, grid)


def _cut(number: int, picture: np.ndarray, known: np.ndarray, grid: Grid) -> Iterator[Piece]:
    columns, rows = (grid.count(side) for side in picture.shape[1::-1])
    most = (grid.side - grid.cell) // grid.stride + 1
    for row in range(0, rows, most):
        for column in range(0, columns, most):
            x, y = column * grid.stride, row * grid.stride
            cells = min(columns - column, most), min(rows - row, most)
            width, height = map(grid.extent, cells)
            yield Piece(number, picture[y : y + height, x : x + width], (x, y), cells, known)


def _lay_out(pieces: list[Piece], grid: Grid) -> Iterator[Canvas]:
    """Fill canvases from the top, row by row, the highest pieces first."""
    placed: list[list[tuple[Piece, int, int]]] = []
    rows: list[_Row] = []
    for piece in sorted(pieces, key=lambda each: -each.cells[1]):
        # The next piece begins at a multiple of the stride.
        width, height = (
            -(-grid.extent(count) // grid.stride) * grid.stride for count in piece.cells
        )
        row = next((r for r in rows if r.height >= height and r.x + width <= grid.side), None)
        if row is None:
            last = rows[-1] if rows else _Row(-1, grid.side, 0)
            y = last.y + last.height
            if y + height <= grid.side:
                row = _Row(last.canvas, y, height)
            else:
                row = _Row(last.canvas + 1, 0, height)
                placed.append([])
            rows.append(row)
        placed[row.canvas].append((piece, row.x, row.y))
        row.x += width
    for each in placed:
        yield Canvas(grid, each)


@dataclass(slots=True)
class _Row:
    canvas: int
    y: int
    height: int
    x: int = 0
    """From where on it is free."""


def _leave_out(cells: np.ndarray, known: np.ndarray, grid: Grid) -> None:
    """Set cells (H, W) to −1 whose windows are inside a known face.

    Of such a window, at least `INSIDE` of the width and of the height are inside.
    """
    for box in known.tolist():
        x1, y1 = (
            max(math.ceil((low - (1 - INSIDE) * grid.window) / grid.stride), 0) for low in box[:2]
        )
        beyond = INSIDE * grid.window + grid.cell - grid.window
        x2, y2 = (max(math.floor((high - beyond) / grid.stride), -1) + 1 for high in box[2:])
        cells[y1:y2, x1:x2] = -1


def few_sizes(batch: np.ndarray) -> np.ndarray:
    """A batch (B, …), with zeros added up to 1, 2, 4 or a multiple of 8 items."""
    count = len(batch)
    most = next((size for size in (0, 1, 2, 4) if count <= size), -(-count // 8) * 8)
    if most == count:
        return batch
    return np.concatenate([batch, np.zeros((most - count, *batch.shape[1:]), batch.dtype)])
