"""An ensemble is the mean of its networks' distributions, each at its own view of the face."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.tiny import Tiny, tiny
from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE
from wrinkle.faces.input import InputSpec
from wrinkle.inference.prepared import prepare_for_inference
from wrinkle.models import create_model
from wrinkle.models.base import Output
from wrinkle.models.ensemble import CentralView, Ensemble, Member, common_view

POINTS = torch.tensor(TEMPLATE[None], dtype=torch.float32)


def member(size: int, zoom: float, **fields: Any) -> dict[str, Any]:
    return {"name": "tiny", "fields": {"input_size": size, **fields}, "size": size, "zoom": zoom}


def build(*members: dict[str, Any], decode: str = "median") -> Ensemble:
    """An ensemble whose networks give clearly different distributions."""
    torch.manual_seed(1)
    result = create_model("ensemble", members=list(members), decode=decode).eval()
    assert isinstance(result, Ensemble)
    with torch.no_grad():
        for each in result.members:
            each.get_submodule("head.fc").weight.normal_(std=8)
    return result


def wave(size: int, count: int = 2) -> Tensor:
    at = torch.linspace(0, 7, size)
    planes = [(at[:, None] * (k + 1) + at * (n + 2)).sin() for n in range(count) for k in range(3)]
    return 0.5 + torch.stack(planes).view(count, 3, size, size) / 2


def slow_view(picture: np.ndarray, view: int, part: float, size: int) -> np.ndarray:
    """A channel (view, view) → (size, size): triangle filter, one pixel after the other."""
    step = part / size
    reach = max(step, 1.0)

    def weights(n: int) -> dict[int, float]:
        middle = view / 2 - part / 2 + (n + 0.5) * step
        found = {m: 1 - abs(m + 0.5 - middle) / reach for m in range(view)}
        kept = {m: w for m, w in found.items() if w > 0}
        return {m: w / sum(kept.values()) for m, w in kept.items()}

    rows = [weights(n) for n in range(size)]
    return np.array(
        [
            [
                sum(a * b * picture[y, x] for y, a in up.items() for x, b in across.items())
                for across in rows
            ]
            for up in rows
        ]
    )


@pytest.mark.parametrize(("view", "part", "size"), [(40, 40, 24), (40, 31.5, 20), (33, 20, 30)])
def test_a_view_is_filtered_as_by_hand(view: int, part: float, size: int) -> None:
    picture = np.random.default_rng(0).random((view, view))
    given_ = torch.from_numpy(picture).float().expand(1, 3, -1, -1)
    expected = slow_view(picture, view, part, size)
    np.testing.assert_allclose(CentralView(view, part, size)(given_)[0, 2], expected, atol=2e-6)


@given(st.integers(16, 90), st.integers(0, 40), st.floats(-1, 1))
def test_pixels_of_the_same_resolution_are_copied(size: int, border: int, off: float) -> None:
    view = size + 2 * border
    picture = torch.rand(1, 3, view, view)
    found = CentralView(view, min(size + off, view), size)(picture)
    assert torch.equal(found, picture[..., border : border + size, border : border + size])


def test_the_common_view_is_the_widest_at_the_finest_resolution() -> None:
    def of(*views: tuple[int, float]) -> tuple[float, int]:
        return common_view([Member(name="x", fields={}, size=s, zoom=z) for s, z in views])

    assert of((160, 1.0), (150, 0.9)) == (0.9, 178)
    assert of((150, 0.9), (160, 1.0)) == (0.9, 178)
    assert of((64, 1.0)) == (1.0, 64)
    assert of((128, 1.0), (128, 0.8)) == (0.8, 160)
    assert of((61, 1.0), (70, 0.7)) == (0.7, 87)  # 87.1, and odd as 61


def test_the_distribution_is_the_mean_over_each_networks_view() -> None:
    model = build(member(40, 1.0), member(36, 0.8), member(50, 0.8))
    assert (model.zoom, model.input_size, model.mean) == (0.8, 50, (0.0, 0.0, 0.0))
    images = wave(50)
    with torch.no_grad():
        found = model.predict(images, POINTS.expand(2, 5, 2), mirror=False)
        views = [
            images[..., 5:45, 5:45],
            CentralView(50, 50, 36)(images),
            images,
        ]
        expected = torch.stack(
            [
                network.predict(network.normalised(view), POINTS.expand(2, 5, 2), mirror=False)[0]
                for network, view in zip(model.members, views, strict=True)
            ]
        )
    assert (expected[0] - expected[1]).abs().max() > 0.05
    torch.testing.assert_close(found.distribution, expected.mean(0))
    half = expected.mean(0).double().cumsum(1)
    for age, sums in zip(found.age, half, strict=True):
        # The median: half of the probability is below it, each age reaching half a year around.
        at = np.interp(float(age), np.arange(101) + 0.5, sums)
        assert at == pytest.approx(0.5, abs=1e-4)


def test_the_mean_may_be_decoded_too() -> None:
    model = build(member(40, 1.0), member(40, 1.0), decode="mean")
    with torch.no_grad():
        found = model.predict(wave(40), POINTS.expand(2, 5, 2))
    expected = (found.distribution * torch.arange(101.0)).sum(1)
    torch.testing.assert_close(found.age, expected)


def test_the_view_of_a_member_is_that_of_its_own_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampled out of the crop directly or out of the common view: the same picture and points."""
    model = build(member(44, 0.9), member(48, 1.1))
    seen: list[tuple[Tensor, Tensor]] = []

    def forward(self: Tiny, images: Tensor, key_points: Tensor, extras: object = None) -> Output:
        seen.append((images * torch.tensor(self.std).view(3, 1, 1), key_points))
        return Output(torch.zeros(len(images), 101))

    monkeypatch.setattr(Tiny, "forward", forward)
    at = np.linspace(0, 9, 96)
    crop = (127 + 100 * np.sin(at[:, None] * 2 + at)).astype(np.uint8)
    crops = np.repeat(crop[None, ..., None], 3, -1)
    points = TEMPLATE[None] * 30 + 48 + np.array([3.0, -2.0])
    spec = InputSpec(model.input_size, 0.9, 96, model.mean, model.std)
    model(*spec(crops, points))
    for (images, key_points), (size, zoom) in zip(seen, ((44, 0.9), (48, 1.1)), strict=True):
        own = InputSpec(size, zoom, 96, tiny().mean, (1.0, 1.0, 1.0))
        expected, expected_points = own(crops, points)
        torch.testing.assert_close(key_points, expected_points, atol=1e-5, rtol=0)
        assert (images - expected)[..., 2:-2, 2:-2].abs().mean() < 0.01


def test_refused() -> None:
    with pytest.raises(WrinkleError, match="at least one network"):
        create_model("ensemble", members=[])
    with pytest.raises(WrinkleError, match="the same ages"):
        create_model("ensemble", members=[member(40, 1), member(40, 1, max_age=90)])
    with pytest.raises(WrinkleError, match="zoom"):
        create_model("ensemble", members=[member(40, 0)])


def test_prepared_for_inference_it_predicts_the_same() -> None:
    fields = {"input_size": 64}
    members = [
        {"name": name, "fields": fields, "size": 64, "zoom": zoom}
        for name, zoom in (("mobilenet_v1", 1.0), ("resnet18", 0.9))
    ]
    torch.manual_seed(0)
    model = create_model("ensemble", members=members).eval()
    assert model.bf16_parts[0] == "members.0.blocks.2"
    images, points = wave(model.input_size), POINTS.expand(2, 5, 2)
    with torch.no_grad():
        expected = model.predict(images, points)
        found = prepare_for_inference(model).predict(images, points)
    torch.testing.assert_close(found.distribution, expected.distribution, atol=2e-4, rtol=0.05)
