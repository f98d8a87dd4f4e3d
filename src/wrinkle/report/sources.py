"""What a report compares: runs, and files of anybody's predictions."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wrinkle.datasets.store import Store
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.prediction_files import SUFFIXES, read_predictions
from wrinkle.evaluation.predictions import Predictions
from wrinkle.faces.input import InputSpec
from wrinkle.models import AgeModel
from wrinkle.models.file import load_model
from wrinkle.runs.reader import Run, read_run


@dataclass(frozen=True)
class System:
    """A system in a report.

    Attributes:
        name: unique in the report.
        predictions: of a run, for the test parts of its finished folds.
        place: where it was read from.
        run: that the predictions come from, if any.
        model, header: of the model file of the run's first finished fold.
    """

    name: str
    predictions: Predictions
    place: str
    run: Run | None = None
    model: AgeModel | None = None
    header: dict[str, Any] = field(default_factory=dict)

    def exact(self) -> "System":
        """The system on the faces whose age is known."""
        return replace(self, predictions=self.predictions.exact())

    def ranged(self) -> "System":
        """The system on the faces of which only a range is known."""
        return replace(self, predictions=self.predictions.ranged())

    @property
    def spec(self) -> InputSpec:
        """What the model expects to see."""
        return InputSpec.from_header(self.header["input"])


def read_system(place: str | Path, store: Path | None = None, faces: Store | None = None) -> System:
    """Read the folder of a run, or a file of predictions.

    Args:
        store: in place of the one that the run's recipe names.
        faces: that a file of predictions is for.

    Raises:
        WrinkleError: it is neither, no fold is finished, it is damaged, or it does not fit the
            store.
    """
    path = Path(place)
    if path.suffix.lower() in SUFFIXES:
        if faces is None:
            raise WrinkleError(f"{path} needs a store: name a run before it, or give --store FILE")
        predictions = read_predictions(path, faces.columns, faces.dropped)
        return System(predictions.system, predictions, str(place))
    run = read_run(path, store)
    model, header = load_model(run.model_file)
    return System(run.recipe.name, run.predictions, str(place), run, model, header)


def renamed(systems: Sequence[System]) -> list[System]:
    """The systems with shorter names: without the folders that all runs share, if names stay
    unique, else the places where the systems were read from."""
    folders = [posixpath.dirname(system.name) for system in systems if system.run]
    common = f"{posixpath.commonpath(folders)}/" if len(folders) > 1 else ""
    names = [s.name.removeprefix(common) if s.run else s.name for s in systems]
    if len(set(names)) < len(names):
        names = [system.place for system in systems]
    return [replace(s, name=name) for s, name in zip(systems, names, strict=True)]
