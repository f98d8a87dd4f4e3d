"""The header of a trained model's file."""

from typing import Any

import torch

from wrinkle.datasets.store import Store
from wrinkle.faces.input import InputSpec
from wrinkle.inference.provenance import pack_digests
from wrinkle.models import AgeModel
from wrinkle.protocols import Fold
from wrinkle.registry import plugin_entries
from wrinkle.runs.folder import today
from wrinkle.runs.recipe import Recipe


def model_card(
    recipe: Recipe,
    network: AgeModel,
    spec: InputSpec,
    store: Store,
    fold: Fold,
    epochs: int,
    device: torch.device,
    validation_mae: float | None,
) -> dict[str, Any]:
    """Return the header: network, expected input and provenance.

    Args:
        recipe: of the run.
        network: the network.
        spec: its input.
        store: the faces that it was trained on.
        fold: with the rows that the run uses.
        epochs: number of finished epochs.
        device: where it was trained.
        validation_mae: years; None: not validated.
    """
    parts = {name: len(getattr(fold, name)) for name in ("train", "validation", "test")}
    digests = store.columns["digest"]
    return {
        "model": {
            "name": recipe.model.name,
            "fields": {**recipe.model.fields, "input_size": recipe.input.size},
        },
        "plugins": plugin_entries(recipe.plugins),
        "input": spec.to_header(),
        "ages": network.ages.tolist(),
        "mirror_average": recipe.training.mirror_average,
        "provenance": {
            "recipe": recipe.to_yaml(),
            "data": store.info.get("dataset"),
            "fingerprint": store.fingerprint,
            "split": recipe.data.split,
            "fold": fold.name,
            "pictures": parts,
            "digests": {
                name: pack_digests(digests.take(getattr(fold, name)).to_pylist())
                for name in ("train", "validation")
            },
            "start": recipe.init,
            "seed": recipe.training.seed,
            "epochs": epochs,
            "date": today(),
            "scores": {} if validation_mae is None else {"validation_mae": validation_mae},
            "device": device_name(device),
        },
    }


def device_name(device: torch.device) -> str:
    """Return the GPU's name, or the type of another device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
