"""How good predicted ages are: metrics, scores with their uncertainty, evaluation, calibration.

>>> from wrinkle.evaluation import calibrate_model, evaluate
>>> evaluate("default", "utkface.arrow", split="test").scores[0].mae  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrinkle.evaluation.calibration import CalibratedModel, calibrate_model
    from wrinkle.evaluation.evaluate_store import Evaluation, evaluate
    from wrinkle.evaluation.prediction_files import read_predictions, write_predictions
    from wrinkle.evaluation.predictions import Predictions

__all__ = [
    "CalibratedModel",
    "Evaluation",
    "Predictions",
    "calibrate_model",
    "evaluate",
    "read_predictions",
    "write_predictions",
]

_MODULES = {
    "CalibratedModel": "calibration",
    "Evaluation": "evaluate_store",
    "Predictions": "predictions",
    "calibrate_model": "calibration",
    "evaluate": "evaluate_store",
    "read_predictions": "prediction_files",
    "write_predictions": "prediction_files",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: metrics need neither torch nor pyarrow.
    if name in _MODULES:
        return getattr(import_module(f"wrinkle.evaluation.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'wrinkle.evaluation' has no attribute {name!r}")
