"""The state of a run: everything it needs to go on as if it had not been stopped."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.files import FORMAT, read_tensors, write_tensors
from wrinkle.runs.folder import STATE_FILE


@dataclass
class Progress:
    """Where a run is: in `epoch` (0-based) before `step`.

    Attributes:
        sums: of the loss and of its terms over this epoch's `seen` pictures so far.
        best: lowest validation MAE in years.
        history: a line for each finished epoch.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seen: int = 0
    best: float | None = None
    history: list[dict[str, float | None]] = field(default_factory=list)


def write_state(folder: Path, progress: Progress, parts: dict[str, dict[str, Tensor]]) -> None:
    """Write the state file of a fold; tensors of each part are named "part/name"."""
    tensors = {f"{part}/{n}": t for part, named in parts.items() for n, t in named.items()}
    write_tensors(folder / STATE_FILE, tensors, {"kind": "state", "progress": asdict(progress)})


def read_state(folder: Path) -> tuple[Progress, dict[str, dict[str, Tensor]]]:
    """Progress and tensors by part; a fresh start where the fold has no state file.

    Raises:
        WrinkleError: the file is damaged, or of an older version.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return Progress(), {}
    tensors, header = read_tensors(path, "state")
    if header["format"] != FORMAT:
        raise WrinkleError(
            f"{path} was written by an older wrinkle: finish that run with it, or remove {folder}"
        )
    parts: dict[str, dict[str, Tensor]] = {}
    for place, tensor in tensors.items():
        part, _, name = place.partition("/")
        parts.setdefault(part, {})[name] = tensor
    return Progress(**header["progress"]), parts


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory (momenta and the like) under the names of the parameters."""
    return {
        f"{key}:{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Put `optimizer_tensors` back, each where the optimizer itself would have made it."""
    parameters = dict(model.named_parameters())
    for place, value in tensors.items():
        key, _, name = place.partition(":")
        parameter = parameters[name]
        like = torch.empty_like(parameter) if value.shape == parameter.shape else value.clone()
        optimizer.state[parameter][key] = like.copy_(value)
