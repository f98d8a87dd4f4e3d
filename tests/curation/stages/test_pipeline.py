from pathlib import Path

import daft
import pyarrow as pa
import pytest

from tests.conftest import EXAMPLES
from wrinkle.curation.config import Refine, load_config
from wrinkle.curation.people import refine
from wrinkle.curation.stages import STAGES, card, deduplicate, split
from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.stages.pipeline import run_stages
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

CONFIG = """
workspace: ws
contact: someone@example.org
seed: {seed}
collect: {{sources: [{{source: folder, queries: ['{pictures}'], limit: {limit}}}]}}
faces: {{size: {size}}}
"""


@pytest.fixture
def configured(tmp_path: Path):
    def run(**changes: object) -> StageContext:
        fields = {"seed": 0, "pictures": EXAMPLES, "limit": 10, "size": 40, **changes}
        more = fields.pop("more", "")
        (tmp_path / "faces.yaml").write_text(CONFIG.format(**fields) + str(more))
        config = load_config(tmp_path / "faces.yaml")
        return StageContext(Workspace(config.workspace), config)

    return run


def test_only_changed_stages_run_again(configured, monkeypatch) -> None:
    made: list[str] = []

    def watch(module, name: str) -> None:
        real = getattr(module, name)

        def watched(*args, **kwargs):
            made.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, watched)

    for module, name in ((deduplicate, "deduplicate"), (split, "split"), (card, "write_export")):
        watch(module, name)
    run = configured(limit=3)
    run_stages(run)
    assert made == ["deduplicate", "split", "write_export"]
    run_stages(run)
    assert made == ["deduplicate", "split", "write_export"]
    made.clear()
    run_stages(configured(limit=3, more="split: {test: 1}\ncard: {name: Another}\n"))
    assert made == ["split", "write_export"]
    made.clear()
    run_stages(configured(limit=5, more="split: {test: 1}\ncard: {name: Another}\n"))
    assert made == ["deduplicate", "split", "write_export"]
    assert len(run.workspace.table("split")) == 5


def test_faces_with_other_settings_are_refused(configured) -> None:
    run_stages(configured(), ["collect", "faces"])
    with pytest.raises(WrinkleError, match=r"found with size 40\.0: .*--again") as error:
        run_stages(configured(size=80), ["faces"])
    assert "\n" not in str(error.value)
    run = configured(size=120)
    run.workspace.discard("faces")
    run_stages(run, ["faces"])
    assert "small" in run.workspace.table("faces")["dropped"].to_pylist()


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "collect"])
def test_a_stage_needs_the_tables_of_earlier_ones(configured, stage: str) -> None:
    asked = stage in ("push", "pull")
    run = configured(more="refine: {people: 2}\n" if asked else "")
    with pytest.raises(WrinkleError, match=r"no table .* yet: run the earlier stages") as error:
        run_stages(run, [stage])
    assert "\n" not in str(error.value)


def test_without_pictures_the_error_has_the_reason(configured, tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match="nowhere is not a folder") as error:
        run_stages(configured(pictures="nowhere"))
    assert "\n" not in str(error.value)
    (tmp_path / "none.txt").write_text("ftp://h/a.jpg\n")
    listed = "[{source: url_list, queries: [none.txt]}]"
    (tmp_path / "listed.yaml").write_text(
        f"workspace: other\ncontact: someone@example.org\ncollect: {{sources: {listed}}}\n"
    )
    config = load_config(tmp_path / "listed.yaml")
    with pytest.raises(WrinkleError, match="no source has found a picture"):
        run_stages(StageContext(Workspace(config.workspace), config))


def test_the_split_waits_for_people(configured, monkeypatch) -> None:
    """With unanswered faces, only a command of its own makes a split."""
    said = {"dropped": [None, "unanswered", "asked again"]}

    def pull(workspace: Workspace, settings: Refine) -> None:
        faces = workspace.table("coarse_label")["face"].to_pylist()[:3]
        table = pa.table(
            {
                "face": faces,
                "age": [30.0, None, 40.0],
                "deviation": [1.5, None, 20.0],
                "dropped": pa.array(said["dropped"], pa.string()),
            }
        )
        workspace.replace("refine", daft.from_arrow(table))

    monkeypatch.setattr(refine, "push", lambda *_: 0)
    monkeypatch.setattr(refine, "pull", pull)
    run = configured(more="refine: {people: 2}\nsplit: {test: 1}\n")
    run_stages(run)
    assert len(run.problems) == 1
    assert run.problems[0].startswith("2 faces wait for people's answers at http://localhost:8080")
    assert not run.workspace.parts("split")
    said["dropped"] = [None, None, "disagreement"]
    run = configured(more="refine: {people: 2}\nsplit: {test: 1}\n")
    monkeypatch.setattr(card, "write_export", lambda *_: None)
    run_stages(run)
    assert run.problems == []
    assert len(run.workspace.table("split")) == 2


def test_two_runs_at_a_time_are_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with (
        workspace.locked(),
        pytest.raises(WrinkleError, match="another run works in") as error,
        Workspace(tmp_path).locked(),
    ):
        pass
    assert "\n" not in str(error.value)
    with Workspace(tmp_path).locked():
        pass
