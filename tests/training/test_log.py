from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from wrinkle.runs.recipe import load_recipe
from wrinkle.training.folds import train


def test_short_runs_log_a_loss_and_say_where_the_model_is(
    drawn_recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = load_recipe(drawn_recipe, ["training.epochs=2", "training.batch=128"])
    train(recipe, "1", tmp_path / "runs")
    folder = tmp_path / "runs" / recipe.name
    (events,) = (folder / "1" / "tensorboard").iterdir()
    found = EventAccumulator(str(events)).Reload()
    steps = [event.step for event in found.Scalars("train/loss")]
    assert len(steps) == 2
    assert steps[1] == 2 * steps[0] < 10
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"the model is {folder / '1' / 'model.safetensors'}, "
        f"the scores are in {folder / 'results.md'}"
    )
