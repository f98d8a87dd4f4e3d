"""Optimizers, and learning-rate schedules as pure functions of the step."""

import math
from collections import defaultdict

import torch
from torch import nn

from wrinkle.models import AgeModel
from wrinkle.runs import recipe


def create_optimizer(model: AgeModel, choice: recipe.Optimizer) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW.

    Norms and biases (everything of one dimension) are not decayed. The heads, which a start from
    ImageNet leaves random, learn at `lr * head_lr_factor`. Each group keeps its own full rate
    under `base_lr`; `set_learning_rate` scales it.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_head = name.startswith(("head.", "sub_heads."))
            groups[in_head, parameter.ndim > 1].append(parameter)
    parts = []
    for (in_head, decays), parameters in groups.items():
        rate = choice.lr * (choice.head_lr_factor if in_head else 1.0)
        decay = choice.weight_decay if decays else 0.0
        parts.append({"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay})
    if choice.name == "sgd":
        return torch.optim.SGD(
            parts, lr=choice.lr, momentum=choice.momentum, nesterov=choice.momentum > 0
        )
    return torch.optim.AdamW(parts, lr=choice.lr)


def learning_rate_factor(
    schedule: recipe.Schedule, epochs: int, steps_per_epoch: int, step: int
) -> float:
    """Share of the full learning rate at `step` (0-based, over the whole training), in [0, 1].

    Warm-up rises linearly and reaches 1 at its last step. `cosine` then falls from 1 to 0 at the
    end of the last epoch; `step` multiplies by `factor` at the start of each listed epoch, counted
    from 1 as in "after 20 epochs" = 20.
    """
    warmup = round(schedule.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / warmup
    if schedule.name == "step":
        return schedule.factor ** sum(step >= e * steps_per_epoch for e in schedule.steps)
    total = epochs * steps_per_epoch
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
