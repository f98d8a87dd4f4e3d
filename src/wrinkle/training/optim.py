"""Optimizers, and learning rates as functions of the step."""

import math
from collections import defaultdict

import torch
from torch import nn

from wrinkle.models import AgeModel
from wrinkle.runs import sections


def create_optimizer(model: AgeModel, choice: sections.Optimizer) -> torch.optim.Optimizer:
    """Create an optimizer: SGD with Nesterov momentum, or AdamW.

    Norms and biases (parameters of one dimension) have no weight decay. The learning rate of the
    heads and of the other parts that are random after a start from another network
    (`AgeModel.starts_at_random`) is `lr * head_lr_factor`. Each parameter group has its full rate
    as `base_lr`, which `set_learning_rate` scales.

    Args:
        model: the network.
        choice: the recipe's optimizer.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_head = model.starts_at_random(name)
            groups[in_head, parameter.ndim > 1].append(parameter)
    parts = []
    for (in_head, decays), parameters in groups.items():
        rate = choice.lr * (choice.head_lr_factor if in_head else 1.0)
        decay = choice.weight_decay if decays else 0.0
        group = {"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay}
        parts.append({**group, "heads": in_head})
    if choice.name == "sgd":
        return torch.optim.SGD(
            parts, lr=choice.lr, momentum=choice.momentum, nesterov=choice.momentum > 0
        )
    return torch.optim.AdamW(parts, lr=choice.lr)


def learning_rate_factor(
    schedule: sections.Schedule, epochs: int, steps_per_epoch: int, step: int
) -> float:
    """Return the learning rate at a step as a share of the full rate.

    It is 1 while only the heads are trained. Warm-up rises linearly and reaches 1 at its last step.
    After it `cosine` falls from 1 to 0 at the end of the last epoch; `step` multiplies the rate by
    `factor` after each number of epochs in `steps`.

    Args:
        schedule: the recipe's schedule.
        epochs: number of epochs.
        steps_per_epoch: number of steps in an epoch.
        step: number of the step from 0, over all epochs.

    Returns:
        The share, in [0, 1].
    """
    alone = head_steps(schedule, steps_per_epoch)
    warmup = round(schedule.warmup_epochs * steps_per_epoch)
    if step < alone:
        return 1.0
    if step - alone < warmup:
        return (step - alone + 1) / warmup
    if schedule.name == "step":
        return schedule.factor ** sum(step >= e * steps_per_epoch for e in schedule.steps)
    total, warmup = epochs * steps_per_epoch, warmup + alone
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def head_steps(schedule: sections.Schedule, steps_per_epoch: int) -> int:
    """Return the number of steps at the start in which only the heads are trained."""
    return round(schedule.head_epochs * steps_per_epoch)


def set_learning_rate(
    optimizer: torch.optim.Optimizer, factor: float, only_heads: bool = False
) -> None:
    """Set the rate of every parameter group to `factor` times its full rate.

    Args:
        optimizer: from `create_optimizer`.
        factor: share of the full rate.
        only_heads: whether the rate of all other parameters is 0.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor * (group["heads"] or not only_heads)
