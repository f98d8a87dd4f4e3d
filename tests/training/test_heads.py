"""Every kind of head is trained, calibrated, tested and predicted with, on two networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import EXAMPLES
from wrinkle import AgeEstimator
from wrinkle.evaluation import evaluate
from wrinkle.runs.recipe import load_recipe
from wrinkle.training.folds import train

LOSSES = {
    "softmax": "[{name: cross_entropy}, {name: mean_variance}]",
    "rectified": "[{name: dldl_v2}]",
    "or_cnn": "[{name: ordinal}]",
    "coral": "[{name: ordinal}]",
    "regression": "[{name: l1}]",
    "corn": "[{name: corn}]",
    "ranking_cnn": "[{name: ordinal}]",
    "unimodal": "[{name: sord}]",
    "group_encoding": "[{name: group_encoding}]",
    "regression_forest": "[{name: forest}]",
    "distribution_forest": "[{name: forest}]",
    "bridge_net": "[{name: bridge_net}]",
    "moving_window": "[{name: moving_window}]",
    "two_points": "[{name: two_points}]",
}
NETWORKS = {
    "tiny": ("model={name: tiny, dropout: 0.0}", "optimizer.lr=0.02"),
    "resnet18": ("model={name: resnet18, width: 4}", "optimizer.lr=0.01"),
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("network", ["tiny", pytest.param("resnet18", marks=pytest.mark.slow)])
@pytest.mark.parametrize("head", LOSSES)
def test_it_learns_and_predicts(
    head: str, network: str, drawn_recipe: Path, drawn_store: Path, tmp_path: Path
) -> None:
    model, rate = NETWORKS[network]
    overrides = [model, f"model.head={head}", f"loss={LOSSES[head]}", rate, "training.epochs=12"]
    # CORAL's biases have far to go from their start, and one weight vector for all questions.
    overrides += ["optimizer.head_lr_factor=10"] if head == "coral" else []
    (result,) = train(load_recipe(drawn_recipe, overrides), "1", tmp_path)
    # The drawn ages are even over 0–80: a constant 40 has an error of 20 years.
    assert result.mae < 12
    file = tmp_path / "drawn/1/model.safetensors"
    found = evaluate(str(file), drawn_store, split="test")
    assert np.abs(found.predictions.predicted - found.predictions.actual).mean() == pytest.approx(
        result.mae, abs=1e-4
    )
    interval = found.predictions.interval
    assert interval is not None
    inside = (interval[:, 0] <= found.predictions.actual) & (
        found.predictions.actual <= interval[:, 1]
    )
    assert inside.mean() > 0.75  # 64 faces, calibrated on 64 others, for 90 %
    (face,) = AgeEstimator.load(file).predict(EXAMPLES / "joe_biden_2010.jpg")[0]
    assert face.distribution.sum() == pytest.approx(1, abs=1e-5)
    assert face.interval[0] <= face.interval[1]
    assert 0 <= face.at_least(18) <= 1
