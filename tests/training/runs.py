"""Programs that the tests run as processes of their own: `python -m tests.training.runs NAME …`."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests import tiny  # noqa: F401  (registers the model)
from wrinkle import files
from wrinkle.runs.recipe import load_recipe
from wrinkle.training import loop
from wrinkle.training.folds import train


def once(recipe: str, runs: str, *overrides: str) -> None:
    """Train; under torchrun as one of its processes."""
    torch.set_num_threads(1)
    train(load_recipe(recipe, list(overrides)), "1", runs)


def killed(recipe: str, runs: str, kills: str, *overrides: str) -> None:
    """Train in children that are killed, by themselves and from outside, then in one that is not.

    A child dies at its n-th event, n drawn anew each time. Events: before and after each step, and
    around each replacing of a file.
    """
    luck = random.Random(int(kills))
    # Its first optimizer costs torch seconds of imports: once, not in every child.
    torch.optim.SGD([torch.zeros(1)], 0.1)
    for _ in range(int(kills)):
        deadly = luck.randint(1, 25)
        child(lambda deadly=deadly: kill_at(deadly), recipe, runs, overrides)
    for _ in range(2):
        pid = start(lambda: None, recipe, runs, overrides)
        time.sleep(luck.uniform(0.05, 0.5))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert child(lambda: None, recipe, runs, overrides) == 0


def child(prepare: Callable[[], None], *job: Any) -> int:
    return os.waitpid(start(prepare, *job), 0)[1]


def start(prepare: Callable[[], None], recipe: str, runs: str, overrides: tuple[str, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    prepare()
    once(recipe, runs, *overrides)
    os._exit(0)


def kill_at(deadly: int) -> None:
    events = 0

    def count() -> None:
        nonlocal events
        events += 1
        if events == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            count()
            value = function(*arguments)
            count()
            return value

        return call

    loop.Trainer._step = watched(loop.Trainer._step)  # type: ignore[method-assign]
    files.os.replace = watched(os.replace)  # type: ignore[attr-defined]


if __name__ == "__main__":
    {"once": once, "killed": killed}[sys.argv[1]](*sys.argv[2:])
    assert Path(sys.argv[3]).exists()
