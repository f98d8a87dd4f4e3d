"""From the files of several trained models to that of their ensemble."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wrinkle.errors import WrinkleError
from wrinkle.faces.input import InputSpec
from wrinkle.models.base import AgeModel
from wrinkle.models.ensemble import Ensemble
from wrinkle.models.file import load_model, save_model
from wrinkle.models.packaged import model_file
from wrinkle.models.registry import create_model


def save_ensemble(
    models: Sequence[str | Path], out: str | Path, decode: str = "median", half: bool = False
) -> Ensemble:
    """Write the ensemble of several trained models to a model file.

    Its predictions are averaged with those for the mirror image. The intervals are not calibrated;
    see `wrinkle.evaluation.calibrate_model`.

    Args:
        models: at least two: packaged models' names or model files, with the same ages.
        out: the new model file.
        decode: the age is the "mean" or the "median" of the mean distribution.
        half: store weights in float16.

    Returns:
        The ensemble, in evaluation mode.

    Raises:
        WrinkleError: a file cannot be read or written, there is one model only, the models' ages
            differ, or one needs a plug-in or is an ensemble itself.
    """
    if len(models) < 2:
        raise WrinkleError("an ensemble needs at least two models")
    loaded = [load_model(model_file(each)) for each in models]
    for source, (network, header) in zip(models, loaded, strict=True):
        if header.get("plugins"):
            raise WrinkleError(f"{source} needs a plug-in, which an ensemble cannot contain")
        if isinstance(network, Ensemble):
            raise WrinkleError(f"{source} is an ensemble: name the models that it is made of")
    headers = [header for _, header in loaded]
    fields = {"members": [_member(header) for header in headers], "decode": decode}
    result = create_model("ensemble", **fields).eval()
    assert isinstance(result, Ensemble)
    _copy([network for network, _ in loaded], result)
    save_model(out, result, _card(result, fields, headers), half)
    return result


def _member(header: dict[str, Any]) -> dict[str, Any]:
    """A model file's header as a member's fields, see `Member`."""
    view = {name: header["input"][name] for name in ("size", "zoom")}
    return {"name": header["model"]["name"], "fields": header["model"]["fields"], **view}


def _copy(networks: list[AgeModel], result: Ensemble) -> None:
    for network, member in zip(networks, result.members, strict=True):
        member.load_state_dict(network.state_dict())


def _card(
    result: Ensemble, fields: dict[str, Any], headers: list[dict[str, Any]]
) -> dict[str, Any]:
    """The ensemble's header. Its provenance is the first model's, with the faces of all."""
    crop = max(header["input"]["crop"] for header in headers)
    assert result.zoom is not None
    spec = InputSpec(result.input_size, result.zoom, crop, result.mean, result.std)
    provenance = [header["provenance"] for header in headers]
    own = {**_without_digests(provenance[0]), "scores": {}}
    own["members"] = [_without_digests(each) for each in provenance]
    digests = _all_digests(provenance)
    return {
        "model": {"name": "ensemble", "fields": fields},
        "input": spec.to_header(),
        "ages": result.ages.tolist(),
        "mirror_average": True,
        "provenance": own if digests is None else {**own, "digests": digests},
    }


def _without_digests(provenance: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in provenance.items() if name != "digests"}


def _all_digests(provenance: list[dict[str, Any]]) -> dict[str, str] | None:
    """The digests of the faces that any of the models learned from or was chosen by, see
    `wrinkle.inference.provenance.pack_digests`; None if a file says none."""
    if any("digests" not in each for each in provenance):
        return None

    def union(part: str) -> str:
        every = [base64.b64decode(each["digests"][part]) for each in provenance]
        known = {one[place : place + 8] for one in every for place in range(0, len(one), 8)}
        return base64.b64encode(b"".join(sorted(known))).decode()

    return {part: union(part) for part in ("train", "validation")}
