"""Occlusion of regions, on networks whose age is known by construction."""

import pytest
import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.evaluation.occlusion import covered, occlusion, places_of_size
from wrinkle.models.base import AgeModel, Prediction

POINTS = torch.zeros(2, 5, 2)


class Corner(AgeModel):
    """The age is the mean brightness of the upper left quarter, in a picture that is dark."""

    def __init__(self) -> None:
        super().__init__(100, 40)
        self.create_final_head("softmax", 1)

    def predict(self, images: Tensor, key_points: Tensor, mirror: bool | None = None) -> Prediction:
        age = images[..., :20, :20].mean((1, 2, 3))
        return Prediction(torch.zeros(len(images), 101), age)


def pictures() -> Tensor:
    images = torch.zeros(2, 3, 40, 40)
    images[..., :20, :20] = 40.0
    return images


def test_changes_by_hand() -> None:
    """The mean colour is 10, so that covering the quarter moves the age from 40 to 10."""
    boxes = torch.tensor([[-1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]).expand(2, 2, 4)
    found = occlusion(Corner(), pictures(), POINTS, boxes, places=3)
    torch.testing.assert_close(found.regions, torch.tensor([[30.0, 0.0]] * 2))
    # Nine places: one covers all of the quarter, two a half, one a fourth, five nothing.
    expected = torch.full((2, 2), 30 * (1 + 2 * 0.5 + 0.25) / 9)
    torch.testing.assert_close(found.anywhere, expected)
    torch.testing.assert_close(found.best, torch.full((2, 2), 30.0))
    assert found.ratio == pytest.approx(15 / expected[0, 0])


def test_a_part_of_the_box_outside_the_picture_does_not_count() -> None:
    boxes = torch.tensor([[[-3.0, -2.0, 0.0, 0.0]]]).expand(2, 1, 4)
    found = occlusion(Corner(), pictures(), POINTS, boxes, places=1)
    torch.testing.assert_close(found.regions, torch.full((2, 1), 30.0))
    # The one place to compare with is the middle, which covers a fourth of the quarter.
    torch.testing.assert_close(found.anywhere, torch.full((2, 1), 7.5))


def test_each_image_has_its_own_box_and_colour() -> None:
    images = torch.stack([torch.zeros(3, 4, 6), torch.ones(3, 4, 6)])
    images[:, :, 0, 0] = 24.0
    found = covered(images, torch.tensor([[-1.0, -1.0, 0.0, 0.0], [0.0, 0.5, 1.0, 1.0]]))
    changed = (found != images).any(1)
    assert changed[0].nonzero().tolist() == [[y, x] for y in range(2) for x in range(3)]
    assert changed[1].nonzero().tolist() == [[3, x] for x in range(3, 6)]
    assert found[0, 0, 0, 0] == 1.0
    assert found[1, 0, 3, 3] == pytest.approx((24 + 23) / 24)


def test_places_cover_the_picture_and_stay_inside() -> None:
    box = torch.tensor([[0.2, -0.4, 0.7, 0.6]])
    places = torch.cat(places_of_size(box, 4))
    assert places.shape == (16, 4)
    torch.testing.assert_close(
        places[:, 2:] - places[:, :2], torch.tensor([0.5, 1.0]).expand(16, 2)
    )
    torch.testing.assert_close(places.amin(0), torch.tensor([-1.0, -1.0, -0.5, 0.0]))
    torch.testing.assert_close(places.amax(0), torch.tensor([0.5, 0.0, 1.0, 1.0]))


@pytest.mark.parametrize(
    ("boxes", "places", "line"),
    [((1, 2, 4), 3, "boxes"), ((2, 4), 3, "boxes"), ((2, 1, 4), 0, "places")],
)
def test_other_shapes_are_refused(boxes: tuple[int, ...], places: int, line: str) -> None:
    with pytest.raises(WrinkleError, match=line):
        occlusion(Corner(), pictures(), POINTS, torch.zeros(boxes), places)
