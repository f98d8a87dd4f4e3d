"""Faces → tasks for people, on a Label Studio server."""

from wrinkle.curation.people import refine
from wrinkle.curation.stages.context import StageContext


def run(context: StageContext) -> bool:
    """Send the tasks that the server lacks, if the configuration asks people."""
    context.require_table("coarse_label")
    if context.config.refine is not None:
        refine.push(context.workspace, context.config.refine)
    return True
