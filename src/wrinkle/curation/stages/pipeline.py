"""Running the stages in their order: each alone, or all that are not done yet.

Stages that work row by row add what is missing. The others make their table again when the tables
before them or their settings have changed.
"""

from collections.abc import Iterable
from importlib import import_module

from wrinkle.curation.stages import STAGES
from wrinkle.curation.stages.context import StageContext


def run_stages(context: StageContext, stages: Iterable[str] = STAGES) -> None:
    """Run some stages, up to the first that could not finish its work."""
    for stage in stages:
        module = import_module(f"wrinkle.curation.stages.{stage.replace('-', '_')}")
        if not module.run(context):
            return
