"""wrinkle: facial age estimation, from a photograph to an age with an honest interval."""

from typing import TYPE_CHECKING, Any

from wrinkle.errors import ImageError, WrinkleError

if TYPE_CHECKING:
    from wrinkle.serving.estimator import AgeEstimator
    from wrinkle.serving.prediction import Face, Prediction

__version__ = "0.1.0"
__all__ = ["AgeEstimator", "Face", "ImageError", "Prediction", "WrinkleError", "__version__"]


def __getattr__(name: str) -> Any:
    # The estimator brings torch along; the command line's help must not wait for it.
    if name in ("AgeEstimator", "Face", "Prediction"):
        from wrinkle.serving import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module 'wrinkle' has no attribute {name!r}")
