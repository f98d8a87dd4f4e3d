"""The state of a run: everything that is needed to resume it with the same results."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.files import FORMAT, read_tensors, write_tensors
from wrinkle.runs.folder import STATE_FILE


@dataclass
class Progress:
    """The position of a run.

    Attributes:
        epoch: number of finished epochs.
        step: finished steps of the current epoch.
        sums: name → sum of the loss, and of its terms, over the pictures of this epoch so far.
        seen: number of these pictures.
        best: lowest validation MAE so far, years.
        history: a line for each finished epoch.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seen: int = 0
    best: float | None = None
    history: list[dict[str, float | None]] = field(default_factory=list)

    def check_finite(self, loss: float) -> None:
        """Check a loss.

        Args:
            loss: of a batch, or a sum of losses.

        Raises:
            WrinkleError: it is infinite or not a number.
        """
        if not math.isfinite(loss):
            raise WrinkleError(
                f"the loss is {loss} in epoch {self.epoch + 1}, step {self.step}: lower"
                " optimizer.lr, add schedule.warmup_epochs or set training.clip"
            )


def write_state(folder: Path, progress: Progress, parts: dict[str, dict[str, Tensor]]) -> None:
    """Write the state file of a fold.

    Args:
        folder: of the fold.
        progress: of the run.
        parts: part → name → tensor; the file's tensors are named "part/name".
    """
    tensors = {f"{part}/{n}": t for part, named in parts.items() for n, t in named.items()}
    write_tensors(folder / STATE_FILE, tensors, {"kind": "state", "progress": asdict(progress)})


def read_state(folder: Path) -> tuple[Progress, dict[str, dict[str, Tensor]]]:
    """Read the state file of a fold.

    Args:
        folder: of the fold.

    Returns:
        The progress, and part → name → tensor; initial and empty if there is no state file.

    Raises:
        WrinkleError: the file is damaged, or of an older version.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return Progress(), {}
    tensors, header = read_tensors(path, "state")
    if header["format"] != FORMAT:
        raise WrinkleError(
            f"{path} is of an older version of wrinkle: finish the run with it, or remove {folder}"
        )
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = tensor
    return Progress(**header["progress"]), parts


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as "key:parameter name" → tensor.

    Args:
        model: the network.
        optimizer: of its parameters.
    """
    return {
        f"{key}:{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Restore the optimizer's state, each tensor on the device of its parameter, in place.

    Args:
        model: the network.
        optimizer: of its parameters.
        tensors: as `optimizer_tensors` returns them.
    """
    parameters = dict(model.named_parameters())
    for entry, value in tensors.items():
        key, _, name = entry.partition(":")
        parameter = parameters[name]
        like = torch.empty_like(parameter) if value.shape == parameter.shape else value.clone()
        optimizer.state[parameter][key] = like.copy_(value)
