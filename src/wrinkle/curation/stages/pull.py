"""People's answers on a Label Studio server → tables."""

from wrinkle.curation.people import refine
from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.status import WAITING


def run(context: StageContext) -> bool:
    """Get the answers; unfinished while faces wait for some."""
    context.require_table("coarse_label")
    settings = context.config.refine
    if settings is None:
        return True
    refine.pull(context.workspace, settings)
    dropped = context.workspace.table(refine.STAGE, "dropped")["dropped"].to_pylist()
    waiting = sum(reason in WAITING for reason in dropped)
    if waiting:
        context.problems.append(
            f"{waiting:,} {'faces wait' if waiting > 1 else 'face waits'} for people's answers at"
            f" {settings.url}: run again when there are some, or continue without them with"
            " `wrinkle curate split` and `card`"
        )
    return not waiting
