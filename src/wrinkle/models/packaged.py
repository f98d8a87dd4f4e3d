"""The trained models in the package."""

import os
from importlib.resources import files
from pathlib import Path

from wrinkle.errors import WrinkleError

FOLDER = Path(str(files("wrinkle.models") / "weights"))


def packaged_models() -> dict[str, Path]:
    """Return name → file of each model in the package, `default` first."""
    found = {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"))}
    return dict(sorted(found.items(), key=lambda item: item[0] != "default"))


def model_file(model: str | os.PathLike[str]) -> Path:
    """Return the file of a model.

    Args:
        model: a packaged model's name, or the path of a model file.

    Raises:
        WrinkleError: neither a packaged model nor a file.
    """
    packaged = packaged_models()
    if str(model) in packaged:
        return packaged[str(model)]
    if not Path(model).is_file():
        names = ", ".join(packaged) or "none"
        raise WrinkleError(f"no model {str(model)!r}: give a model file, or one of: {names}")
    return Path(model)
