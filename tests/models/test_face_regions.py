import numpy as np
import pytest
import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE, mirror_order
from wrinkle.faces.detectors.dlib68 import five_of_68
from wrinkle.models.face_regions import (
    FROM_68,
    FROM_FIVE,
    POINTS,
    REGIONS,
    RegionPooling,
    centre,
    face_points,
    region_points,
)

FIVE = torch.tensor(TEMPLATE)[None]


def named(points: Tensor) -> dict[str, list[float]]:
    return dict(zip(POINTS, points[0].tolist(), strict=True))


def test_points_of_a_face_by_hand() -> None:
    """Eyes at (−1, 0) and (1, 0), nose (0, 1), mouth at y = 2: eyes 2 apart, mouth 2 below."""
    five = torch.tensor([[[-1.0, 0], [1, 0], [0, 1], [-0.5, 2], [0.5, 2]]])
    points = named(face_points(five))
    assert points["left eye"] == [-1, 0]
    assert points["between eyes"] == [0, 0]
    assert points["mouth"] == [0, 2]
    # 0.07 · 2 outwards and 0.26 · 2 upwards of the eye.
    assert points["brow"] == pytest.approx([-1.14, -0.52])
    assert points["outer corner"] == pytest.approx([-1.41, 0.06])
    assert points["inner corner"] == pytest.approx([-0.59, 0.08])


def test_points_move_with_the_face() -> None:
    """A weighted mean commutes with every affine map, for both kinds of annotation."""
    random = np.random.default_rng(0)
    for count in (5, 68):
        points = torch.tensor(random.uniform(-1, 1, (1, count, 2)))
        turn, shift = torch.tensor(random.standard_normal((2, 2))), torch.tensor([0.3, -0.1])
        torch.testing.assert_close(
            face_points(points @ turn.T + shift), face_points(points) @ turn.T + shift
        )


def test_weights_sum_to_one() -> None:
    for table in (FROM_FIVE, FROM_68):
        assert tuple(table) == POINTS
        for weights in table.values():
            assert sum(weights.values()) == pytest.approx(1)


def ibug() -> np.ndarray:
    """A face in iBUG's order, symmetric about x = 0."""
    jaw = [(np.cos(a), np.sin(a)) for a in np.linspace(np.pi, 0, 17)]
    left_brow = [(-0.7 + 0.12 * i, -0.6 - 0.05 * (i % 3)) for i in range(5)]
    nose = [(0, -0.2 + 0.1 * i) for i in range(4)]
    nostrils = [(-0.2, 0.2), (-0.1, 0.25), (0, 0.27)]
    left_eye = [(-0.6, -0.3), (-0.5, -0.35), (-0.4, -0.35), (-0.3, -0.3), (-0.4, -0.25)]
    left_eye.append((-0.5, -0.25))
    lips = [(-0.4, 0.5), (-0.2, 0.42), (-0.1, 0.4), (0, 0.43)]
    under = [(-0.15, 0.6), (0, 0.62)]
    inner = [(-0.3, 0.5), (-0.1, 0.48), (0, 0.49)]
    inner_under = [(-0.1, 0.53), (0, 0.54)]

    def right(part: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(-x, y) for x, y in part]

    points = [*jaw, *left_brow, *right(left_brow)[::-1], *nose]
    points += [*nostrils, *right(nostrils[:2])[::-1], *left_eye]
    eye = right(left_eye)
    points += [eye[3], eye[2], eye[1], eye[0], eye[5], eye[4]]
    points += [*lips, *right(lips[:3])[::-1], *right(under[:1]), (0.05, 0.61), under[1]]
    points += [(-0.05, 0.61), under[0], *inner, *right(inner[:2])[::-1]]
    points += [*right(inner_under[:1]), inner_under[1], inner_under[0]]
    return np.array(points)


def test_mirroring_a_symmetric_face_changes_nothing() -> None:
    face = ibug()
    assert face.shape == (68, 2)
    mirrored = face[mirror_order(68)] * [-1, 1]
    # The tips of the lower lip's arc were drawn to mirror onto each other as well.
    np.testing.assert_allclose(mirrored, face, atol=1e-12)
    five = TEMPLATE[mirror_order(5)] * [-1, 1]
    np.testing.assert_allclose(five, TEMPLATE)


def test_68_points_agree_with_the_five_where_both_have_them() -> None:
    points = named(face_points(torch.tensor(ibug())[None]))
    five = five_of_68(ibug())
    for name, expected in zip(
        ("left eye", "right eye", "nose", "left mouth", "right mouth"), five, strict=True
    ):
        assert points[name] == pytest.approx(expected.tolist())
    assert points["outer corner"] == pytest.approx([-0.6, -0.3])
    assert points["inner corner"] == pytest.approx([-0.3, -0.3])


def test_the_larger_face_is_larger() -> None:
    tight, large = (REGIONS[name].target_points for name in ("g2", "g3"))
    ratio = (large - large.mean(0)).norm() / (tight - tight.mean(0)).norm()
    assert ratio.item() == pytest.approx(1.2, abs=0.06)


def test_targets_lie_in_their_region() -> None:
    for region in REGIONS.values():
        assert (region.target_points.abs() < 1).all()
        assert region_points(face_points(FIVE), region).shape == (1, len(region.targets), 2)


def test_centres_are_the_papers() -> None:
    points = face_points(FIVE)
    eyes, nose, mouth = (
        (TEMPLATE[0] + TEMPLATE[1]) / 2,
        TEMPLATE[2],
        (TEMPLATE[3] + TEMPLATE[4]) / 2,
    )
    expected = {
        "g2": nose,
        "g3": nose,
        "l1": TEMPLATE[0],
        "l2": (nose + eyes) / 2,
        "l3": mouth,
    }
    for name, region in REGIONS.items():
        np.testing.assert_allclose(centre(points, region)[0].numpy(), expected[name], atol=1e-12)


def test_squares_show_as_much_as_alignment_does() -> None:
    """At zoom 1 the eyes lie 0.8 apart; g2 puts them 23/32 apart, so its square is wider than 2."""
    sides = {name: region.side(1.0) for name, region in REGIONS.items()}
    assert sides["g2"] == pytest.approx(2 * 0.8 / (23 / 32), rel=0.08)
    assert sides["g3"] / sides["g2"] == pytest.approx(1 / 1.2, abs=0.05)
    assert sides["l2"] == pytest.approx(2 * 0.8 / 1.5, rel=0.06)
    for name, region in REGIONS.items():
        assert region.side(0.5) == pytest.approx(sides[name] / 2)


@pytest.mark.parametrize("count", [4, 6, 67])
def test_other_numbers_of_points_are_one_line(count: int) -> None:
    for function in (lambda: face_points(torch.zeros(1, count, 2)), lambda: mirror_order(count)):
        with pytest.raises(WrinkleError, match=f"^{count} key points .*5, or 68 in iBUG"):
            function()


def test_autocast_does_not_round_points() -> None:
    expected = face_points(FIVE.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(face_points(FIVE.float()), expected)


def test_targets_are_the_published_ones() -> None:
    """In a frame of 64 × 64; † in the specification."""
    tight = [(20.5, 26.2), (43.5, 26.2), (32, 39), (23, 52.5), (41.6, 52.5)]
    large = [(17.6, 24.8), (46.4, 24.8), (32, 40.8), (20.8, 57.6), (44, 57.6)]
    five = ["left eye", "right eye", "nose", "left mouth", "right mouth"]
    expected = {
        "g2": dict(zip(five, tight, strict=True)),
        "g3": dict(zip(five, large, strict=True)),
        "l1": {
            "brow": (32, 16),
            "left eye": (32, 32),
            "inner corner": (44, 32),
            "outer corner": (20, 32),
        },
        "l2": {"left eye": (8, 16), "right eye": (56, 16), "between eyes": (32, 16)}
        | {"nose": (32, 48)},
        "l3": {"left mouth": (16, 32), "right mouth": (48, 32), "mouth": (32, 32)}
        | {"nose": (32, 16)},
    }
    assert {name: region.targets for name, region in REGIONS.items()} == expected
    point = REGIONS["l1"].target_points[0]
    assert point.tolist() == [0.0, -0.5]


def test_boxes_surround_the_regions() -> None:
    points = torch.cat([FIVE, FIVE * 0.8 + 0.05]).float()
    pooling = RegionPooling("arp", 8, ["g2", "l1", "l3"])
    boxes = pooling.boxes(points)
    assert boxes.shape == (2, 3, 4)
    for number, inverse in enumerate(pooling.inverse_maps(points).values()):
        for face in range(2):
            corners = [inverse[face] @ torch.tensor([x, y, 1.0]) for x in (-1, 1) for y in (-1, 1)]
            places = torch.stack(corners)
            expected = torch.cat([places.amin(0), places.amax(0)])
            torch.testing.assert_close(boxes[face, number], expected)
    # The mouth's box has the corners of the mouth and the nose in it.
    inside = points[:, 2:]
    low, high = boxes[:, 2, None, :2], boxes[:, 2, None, 2:]
    assert ((inside > low) & (inside < high)).all()
