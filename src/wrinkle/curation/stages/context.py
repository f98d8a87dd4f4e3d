"""What every stage gets."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from wrinkle.curation.config import Config
from wrinkle.curation.web.fetcher import Fetcher
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError


@dataclass(frozen=True)
class StageContext:
    """A workspace, its configuration, and what the stages have to report.

    Attributes:
        fetcher: for tests; None: one made from the configuration.
        problems: what went wrong or is left to do, a line each; stages append to it.
    """

    workspace: Workspace
    config: Config
    fetcher: Fetcher | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def label_table(self) -> str:
        """The table whose ages the dataset has."""
        return "coarse_label" if self.config.refine is None else "refine"

    def require_table(self, table: str) -> None:
        """Check that an earlier stage has written its table.

        Raises:
            WrinkleError: it has not.
        """
        if not self.workspace.parts(table):
            raise WrinkleError(
                f"{self.workspace.root} has no table {table} yet: run the earlier stages;"
                " `wrinkle curate status CONFIG` shows what they have done"
            )

    def remake(
        self, stage: str, inputs: Sequence[str], settings: Any, make: Callable[[], object]
    ) -> None:
        """Call `make` if the stage's table was made from other inputs or with other settings."""
        versions = {name: self.workspace.version(name) for name in inputs}
        note = json.loads(json.dumps({"from": versions, "settings": settings}))
        if self.workspace.note(stage) != note:
            make()
            self.workspace.write_note(stage, note)
