"""Split faces → the dataset's files and its data card, in ROOT/export."""

from pathlib import Path

import matplotlib
import numpy as np
from daft.exceptions import DaftCoreException

from wrinkle.curation import export
from wrinkle.curation.config import Config
from wrinkle.curation.data_card import gather, histograms, page, readme, samples
from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError
from wrinkle.files import replacing
from wrinkle.report.style import STYLE, saved

STAGE = "card"
PAGE, AGES = "card.html", "ages"


def run(context: StageContext) -> bool:
    """Write the export again if a table or a setting that it shows has changed."""
    context.require_table("split")
    workspace, config = context.workspace, context.config
    if not (workspace.root / export.FOLDER).exists():
        workspace.discard(STAGE)
    context.remake(
        STAGE,
        ["found", "collect", "faces", "deduplicate", "coarse_label", "votes", "split"],
        [config.card.model_dump(), config.contact, config.seed],
        lambda: write_export(workspace, config),
    )
    return True


def write_export(workspace: Workspace, config: Config) -> Path:
    """Write ROOT/export again; returns it.

    Raises:
        WrinkleError: there is no split yet, or the folder cannot be written.
    """
    split = workspace.table("split")
    if not len(split):
        raise WrinkleError(f"no faces in {workspace.root} are split yet: run the earlier stages")
    facts = gather(workspace, config)
    ages, part = split["age"].to_numpy(), np.array(split["part"].to_pylist())
    folder = workspace.root / export.FOLDER
    try:
        with replacing(folder) as temporary:
            export.write(workspace, temporary, config.card.name)
            with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
                figure = histograms(ages, part)
                images = {form: saved(figure, form) for form in ("svg", "png")}
            for form, data in images.items():
                (temporary / f"{AGES}.{form}").write_bytes(data)
            faces = samples(workspace, config.card.samples, config.seed)
            (temporary / PAGE).write_text(page(facts, images["svg"], faces), encoding="utf-8")
            hub = temporary / export.HUGGING_FACE
            (hub / f"{AGES}.png").write_bytes(images["png"])
            (hub / "README.md").write_text(readme(facts), encoding="utf-8")
    except DaftCoreException as error:
        reason = str(error).partition("\n")[0]
        raise WrinkleError(f"cannot write {folder}: {reason}; run again") from error
    return folder
