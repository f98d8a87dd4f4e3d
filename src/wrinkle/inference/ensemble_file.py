"""From the files of several trained models to that of their ensemble."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.files import check_output, is_safetensors
from wrinkle.models.ensemble import Ensemble
from wrinkle.models.file import load_model, save_model
from wrinkle.models.heads.softmax import Decode
from wrinkle.models.packaged import model_file
from wrinkle.models.registry import create_model


def save_ensemble(
    models: Sequence[str | Path], out: str | Path, decode: Decode = "median"
) -> Ensemble:
    """Write the ensemble of several trained models to a model file.

    Its predictions are averaged with those for the mirror image. The intervals are not calibrated;
    see `wrinkle.evaluation.calibrate_model`.

    Args:
        models: at least two: packaged models' names or model files, with the same ages.
        out: the new model file; none of `models`.
        decode: the age is the "mean" or the "median" of the mean distribution.

    Returns:
        The ensemble, in evaluation mode.

    Raises:
        WrinkleError: a file cannot be read or written, there is one model only, the models' ages
            differ, two are the same, `out` is one of them or a file of another kind, or one needs a
            plug-in or is an ensemble itself.
    """
    if len(models) < 2:
        raise WrinkleError("an ensemble needs at least two models")
    files = [model_file(each) for each in models]
    if len({file.resolve() for file in files}) < len(files):
        raise WrinkleError("two of the models are the same file: name each once")
    check_output(out, "a model file", is_safetensors, files)
    loaded = [load_model(file) for file in files]
    for source, (network, header) in zip(models, loaded, strict=True):
        if header.get("plugins"):
            raise WrinkleError(f"{source} needs a plug-in, which an ensemble cannot contain")
        if isinstance(network, Ensemble):
            raise WrinkleError(f"{source} is an ensemble: name the models that it is made of")
    headers = [header for _, header in loaded]
    fields = {"members": [_member(header) for header in headers], "decode": decode}
    result = create_model("ensemble", **fields).eval()
    assert isinstance(result, Ensemble)
    for (network, _), member in zip(loaded, result.members, strict=True):
        member.load_state_dict(network.state_dict())
    save_model(out, result, _card(result, fields, headers))
    return result


def _member(header: dict[str, Any]) -> dict[str, Any]:
    """A model file's header as a member's fields, see `Member`."""
    view = {name: header["input"][name] for name in ("size", "zoom")}
    return {"name": header["model"]["name"], "fields": header["model"]["fields"], **view}


def _card(
    result: Ensemble, fields: dict[str, Any], headers: list[dict[str, Any]]
) -> dict[str, Any]:
    """The ensemble's header. Its recipe and split are the first model's; "members" has all."""
    crop = max(header["input"]["crop"] for header in headers)
    assert result.zoom is not None
    spec = InputSpec(result.input_size, result.zoom, crop, result.mean, result.std)
    members = [header["provenance"] for header in headers]
    own = ("digests", "average")
    first = {name: value for name, value in members[0].items() if name not in own}
    return {
        "model": {"name": "ensemble", "fields": fields},
        "input": spec.to_header(),
        "ages": result.ages.tolist(),
        "mirror_average": True,
        "provenance": {**first, "scores": {}, "members": members},
    }
