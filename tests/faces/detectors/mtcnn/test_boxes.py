import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wrinkle.faces.detectors.mtcnn.boxes import square, suppress


def _slow_suppress(owner, boxes, scores, threshold, of_smaller) -> set[int]:
    """Go through the boxes by falling score; keep each that no kept one of its owner overlaps."""

    def area(box: np.ndarray) -> float:
        return (box[2] - box[0]) * (box[3] - box[1])

    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        for j in kept:
            wide = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0])
            high = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1])
            shared = max(wide, 0) * max(high, 0)
            areas = area(boxes[i]), area(boxes[j])
            whole = min(areas) if of_smaller else sum(areas) - shared
            if owner[i] == owner[j] and shared > threshold * whole:
                break
        else:
            kept.append(i)
    return set(kept)


@settings(max_examples=200)
@given(
    numbers=st.integers(0, 14).flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.int64, n, elements=st.integers(0, 2)),
            hnp.arrays(np.float64, (n, 4), elements=st.integers(0, 6)),
            hnp.arrays(np.float64, n, elements=st.sampled_from([0.6, 0.7, 0.75, 0.99])),
        )
    ),
    threshold=st.sampled_from([0.3, 0.5, 0.7]),
    of_smaller=st.booleans(),
)
def test_suppression_keeps_boxes_that_no_better_box_overlaps(numbers, threshold, of_smaller):
    owner, corners, scores = numbers
    boxes = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], 1)
    kept = suppress(owner, boxes, scores, threshold, of_smaller)
    assert len(set(kept)) == len(kept)
    assert set(kept) == _slow_suppress(owner, boxes, scores, threshold, of_smaller)
    for index in set(owner):
        assert (np.diff(scores[kept[owner[kept] == index]]) <= 0).all()


def test_square_boxes_keep_their_centre_and_longer_side():
    boxes = np.array([[2.0, 3, 12, 7], [0, 0, 1, 5], [1, 1, 4, 4]])
    expected = [[2, 0, 12, 10], [-2, 0, 3, 5], [1, 1, 4, 4]]
    np.testing.assert_array_equal(square(boxes), expected)
