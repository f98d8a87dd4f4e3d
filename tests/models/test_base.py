import pytest
import torch
from torch import nn

from wrinkle.errors import WrinkleError
from wrinkle.models import Output, create_model
from wrinkle.models.base import AgeModel, initialise


def test_expectation_of_a_distribution_made_by_hand() -> None:
    model = AgeModel(max_age=3, input_size=64)
    probabilities = torch.tensor([[0.5, 0.0, 0.0, 0.5], [0.0, 0.25, 0.75, 0.0]])
    assert model.expectation(probabilities).tolist() == [1.5, 1.75]


def test_distribution_is_the_softmax() -> None:
    model = AgeModel(max_age=1, input_size=64)
    logits = torch.tensor([[0.0, 3.0]], dtype=torch.float64).log()
    logits[0, 0] = 0.0
    probabilities = model.distribution(Output(logits, {}))
    assert probabilities.dtype == torch.float64
    torch.testing.assert_close(probabilities, torch.tensor([[0.25, 0.75]], dtype=torch.float64))


def test_bfloat16_logits_give_ages_finer_than_bfloat16() -> None:
    # bfloat16 itself steps by half a year at this age.
    model = AgeModel(max_age=100, input_size=64)
    logits = torch.full((1, 101), -40.0, dtype=torch.bfloat16)
    logits[0, 80:82] = torch.tensor([0.0, -2.0])
    with torch.autocast("cpu", torch.bfloat16):
        age = model.expectation(model.distribution(Output(logits, {})))
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


def test_mirror_average_is_the_mean_with_the_mirrored_face() -> None:
    class Sided(AgeModel):
        """Scores how light the left half is, and where its first key point lies."""

        def forward(self, images: torch.Tensor, key_points: torch.Tensor) -> Output:
            scores = torch.stack([images[..., :16].mean((1, 2, 3)), key_points[:, 0, 0]], -1)
            return Output(scores, {})

        def distributions(self, output: Output) -> torch.Tensor:
            return output.logits[:, None]

    images = torch.zeros(2, 3, 32, 32)
    images[..., :16] = 1
    points = torch.tensor([[-0.4, 0], [0.2, 0], [0, 0], [-0.3, 0], [0.3, 0.0]]).expand(2, 5, 2)
    model = Sided(1, 32)
    plain = model.predict(images, points, mirror=False)
    both = model.predict(images, points)
    torch.testing.assert_close(plain, torch.tensor([[1.0, -0.4]] * 2))
    # Mirrored, the eye on the image's left is the other one: from x = 0.2 to −0.2.
    torch.testing.assert_close(both, torch.tensor([[0.5, -0.3]] * 2))
