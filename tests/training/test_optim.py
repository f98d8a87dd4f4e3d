import pytest
import torch

from tests.tiny import tiny
from wrinkle.models import create_model
from wrinkle.runs import sections
from wrinkle.training.optim import (
    create_optimizer,
    head_steps,
    learning_rate_factor,
    set_learning_rate,
)


def factors(schedule: sections.Schedule, epochs: int, steps: int) -> list[float]:
    return [learning_rate_factor(schedule, epochs, steps, step) for step in range(epochs * steps)]


def test_step_by_hand() -> None:
    schedule = sections.Schedule(name="step", steps=(2, 3), factor=0.1)
    expected = [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    assert factors(schedule, 4, 2) == pytest.approx(expected)


def test_cosine_by_hand() -> None:
    # cos 0, 45°, 90°, 135°
    expected = [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2]
    assert factors(sections.Schedule(name="cosine"), 2, 2) == pytest.approx(expected)


def test_warm_up_by_hand() -> None:
    cosine = sections.Schedule(name="cosine", warmup_epochs=0.5)
    # 2 of 8 steps rise; the cosine then has 6.
    expected = [0.5, 1, 1, 0.933013, 0.75, 0.5, 0.25, 0.066987]
    assert factors(cosine, 2, 4) == pytest.approx(expected, abs=1e-6)
    step = sections.Schedule(name="step", steps=(1,), factor=0.5, warmup_epochs=1)
    assert factors(step, 3, 2) == pytest.approx([0.5, 1, 0.5, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_norms_and_biases_do_not_decay_and_the_head_has_its_rate(name: str) -> None:
    model = tiny()
    choice = sections.Optimizer.model_validate(
        {"name": name, "lr": 0.1, "weight_decay": 0.5, "head_lr_factor": 3}
    )
    optimizer = create_optimizer(model, choice)
    set_learning_rate(optimizer, 0.5)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert groups == {
        "conv.weight": (pytest.approx(0.05), 0.5),
        "bn.weight": (pytest.approx(0.05), 0),
        "bn.bias": (pytest.approx(0.05), 0),
        "head.fc.weight": (pytest.approx(0.15), 0.5),
        "head.fc.bias": (pytest.approx(0.15), 0),
    }


def test_sgd_is_nesterovs() -> None:
    model = tiny()
    weight = model.head.fc.weight
    choice = sections.Optimizer(name="sgd", lr=0.1, momentum=0.9)
    optimizer = create_optimizer(model, choice)
    start = weight.detach().clone()
    for _ in range(2):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    # v1 = 1, step 1 + 0.9·1; v2 = 1.9, step 1 + 0.9·1.9
    expected = torch.full_like(start, 0.1 * (1.9 + 2.71))
    torch.testing.assert_close(start - weight.detach(), expected)


def test_at_first_only_the_heads_are_trained() -> None:
    schedule = sections.Schedule(name="cosine", head_epochs=0.5, warmup_epochs=0.5)
    # Of 8 steps: 2 with heads alone, 2 of warm-up, 4 of the cosine.
    expected = [1, 1, 0.5, 1, 1, 0.853553, 0.5, 0.146447]
    assert factors(schedule, 2, 4) == pytest.approx(expected, abs=1e-6)
    assert [step < head_steps(schedule, 4) for step in range(4)] == [True, True, False, False]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_body_does_not_change_while_only_the_heads_are_trained(name: str) -> None:
    model = tiny()
    choice = sections.Optimizer.model_validate({"name": name, "lr": 0.1, "weight_decay": 0.5})
    optimizer = create_optimizer(model, choice)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}

    def changed(only_heads: bool) -> set[str]:
        set_learning_rate(optimizer, 1.0, only_heads)
        optimizer.zero_grad()
        model(torch.rand(4, 3, 32, 32), None).raw.square().sum().backward()
        optimizer.step()
        return {k for k, value in model.named_parameters() if not torch.equal(value, before[k])}

    assert changed(only_heads=True) == {"head.fc.weight", "head.fc.bias"}
    assert changed(only_heads=False) == set(before)


def test_all_parts_that_start_at_random_have_the_rate_of_the_heads() -> None:
    model = create_model("dhaa", input_size=64, width=4)
    choice = sections.Optimizer(name="sgd", lr=0.01, head_lr_factor=5)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {
        names[id(parameter)]: group["base_lr"]
        for group in create_optimizer(model, choice).param_groups
        for parameter in group["params"]
    }
    fast = ("head.fc.bias", "sub_heads.G-1.fc.weight", "sub_networks.c2.conv.weight")
    for name in (*fast, "sub_networks.l1.fc.bias", "fusion.g.lstm.weight_ih_l0"):
        assert rates[name] == pytest.approx(0.05)
    for name in ("conv1.weight", "layer2.l3.0.bn1.bias", "sub_networks.c2.layer3.0.conv1.weight"):
        assert rates[name] == 0.01
