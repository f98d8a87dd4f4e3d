import pytest
import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.models import AgeModel, Extras, Head, Output, create_head, create_model
from wrinkle.models.base import initialise


def test_age_is_the_expectation_of_a_distribution_made_by_hand() -> None:
    head = create_head("softmax", 2, torch.arange(4.0))
    probabilities = torch.tensor([[0.5, 0.0, 0.0, 0.5], [0.0, 0.25, 0.75, 0.0]])
    torch.testing.assert_close(head.age(probabilities.log()), torch.tensor([1.5, 1.75]))


def test_distribution_is_the_softmax() -> None:
    head = create_head("softmax", 2, torch.arange(2.0))
    raw = torch.tensor([[0.0, 3.0]], dtype=torch.float64).log()
    raw[0, 0] = 0.0
    probabilities = head.distribution(raw)
    assert probabilities.dtype == torch.float64
    torch.testing.assert_close(probabilities, torch.tensor([[0.25, 0.75]], dtype=torch.float64))


def test_bfloat16_outputs_give_ages_finer_than_bfloat16() -> None:
    # bfloat16 itself steps by half a year at this age.
    head = create_head("softmax", 2, torch.arange(101.0))
    raw = torch.full((1, 101), -40.0, dtype=torch.bfloat16)
    raw[0, 80:82] = torch.tensor([0.0, -2.0])
    with torch.autocast("cpu", torch.bfloat16):
        age = head.age(raw)
    assert age.item() == pytest.approx(80 + 1 / (1 + torch.e**2), abs=1e-4)


@pytest.mark.parametrize("fields", [{"max_age": 0}, {"input_size": 15}])
def test_impossible_sizes_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(WrinkleError, match=next(iter(fields))):
        create_model("resnet18", **fields)


def test_initial_deviation_counts_the_groups() -> None:
    torch.manual_seed(0)
    dense, depthwise = nn.Conv2d(64, 128, 3), nn.Conv2d(4096, 4096, 3, groups=4096)
    initialise(nn.ModuleList([dense, depthwise]))
    assert dense.weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    assert depthwise.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.02)


class Plain(Head):
    """Its features are the distribution itself; the age is the first one's probability."""

    def forward(self, features: Tensor) -> Tensor:
        return features

    def distribution(self, raw: Tensor) -> Tensor:
        return raw

    def age(self, raw: Tensor) -> Tensor:
        return 10 * raw[:, 0]


class Sided(AgeModel):
    """Scores how light the left half is, and where its first key point is."""

    def __init__(self) -> None:
        super().__init__(1, 32)
        self.head = Plain(torch.arange(2.0))

    def forward(
        self, images: Tensor, key_points: Tensor | None = None, extras: Extras | None = None
    ) -> Output:
        assert key_points is not None
        light = images[..., :16].mean((1, 2, 3))
        if extras is not None:
            light = light + extras.values["light"]
        return Output(torch.stack([light, key_points[:, 0, 0]], -1))


IMAGES = torch.zeros(2, 3, 32, 32)
IMAGES[..., :16] = 1
POINTS = torch.tensor([[-0.4, 0], [0.2, 0], [0, 0], [-0.3, 0], [0.3, 0.0]]).expand(2, 5, 2)


def test_mirror_average_is_the_mean_with_the_mirrored_face() -> None:
    plain, both = Sided().predict(IMAGES, POINTS, mirror=False), Sided().predict(IMAGES, POINTS)
    torch.testing.assert_close(plain.distribution, torch.tensor([[1.0, -0.4]] * 2))
    # Mirrored, the eye on the image's left is the other one: from x = 0.2 to −0.2.
    torch.testing.assert_close(both.distribution, torch.tensor([[0.5, -0.3]] * 2))
    # An age is what the head decodes, which need not be the mean of the distribution.
    torch.testing.assert_close(plain.age, torch.tensor([10.0, 10.0]))
    torch.testing.assert_close(both.age, torch.tensor([5.0, 5.0]))


def test_a_network_may_leave_the_mirror_image_out() -> None:
    network = Sided()
    network.mirror_average = False
    for given, age in ((None, 10.0), (False, 10.0), (True, 5.0)):
        found = network.predict_all(IMAGES, POINTS, given)
        torch.testing.assert_close(found.age, torch.tensor([[age], [age]]))


def test_each_side_has_extras_of_its_own_and_a_motion_that_moves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Extras | None] = []
    forward = Sided.forward

    def watched(self: Sided, images: Tensor, points: Tensor, *given: Extras) -> Output:
        seen.append(given[0] if given else None)
        return forward(self, images, points, *given)

    monkeypatch.setattr(Sided, "forward", watched)
    extras = {"light": torch.tensor([[0.0, 2.0], [4.0, 8.0]])}  # a row's plain view, its mirror
    plain = Sided().predict_all(IMAGES, POINTS, mirror=False, extras=extras)
    torch.testing.assert_close(plain.distribution[:, 0, 0], torch.tensor([1.0, 5.0]))
    both = Sided().predict_all(IMAGES, POINTS, extras=extras)
    torch.testing.assert_close(both.distribution[:, 0, 0], torch.tensor([1.5, 6.5]))
    for found, count in zip(seen, (2, 4), strict=True):
        assert found is not None
        assert torch.equal(found.motion, torch.eye(2, 3).expand(count, 2, 3))
    seen.clear()
    Sided().predict(IMAGES, POINTS)
    assert seen == [None]
