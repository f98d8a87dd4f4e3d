import os
import sys
import types
from pathlib import Path

import pyarrow as pa
import pytest

from tests.conftest import EXAMPLES
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from wrinkle.cluster import join

    monkeypatch.setattr("wrinkle.errors._installed", lambda package: False)
    with pytest.raises(WrinkleError, match=r"ray is missing: pip install '.\[ray\]'"):
        join("auto")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:99999"])
def test_an_address_without_a_cluster_fails_at_once(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    from wrinkle.cluster import join

    monkeypatch.setattr("wrinkle.errors._installed", lambda package: True)
    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))
    with pytest.raises(WrinkleError, match=r"^no Ray cluster at ") as error:
        join(address)
    assert address in str(error.value)


PROGRAM = """
import os, sys, daft
from pathlib import Path
from wrinkle.cluster import join
from wrinkle.curation.config import load_config
from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.stages.pipeline import run_stages
from wrinkle.curation.workspace import Workspace

config = load_config(sys.argv[1])
workspace = Workspace(config.workspace)
workspace.machines = join(sys.argv[2])
print(workspace.machines)

@daft.func
def who(name: str) -> str:
    import ray
    return ray.get_runtime_context().get_node_id()

import pyarrow as pa
todo = pa.table({"name": [str(i) for i in range(64)]})
work = lambda frame: frame.with_column("node", who(frame["name"]))
workspace.extend("nodes", todo, "name", work, 64)
run_stages(StageContext(workspace, config))
"""
CONFIG = """
workspace: {}
contact: someone@example.org
collect: {{sources: [{{source: folder, queries: ['{}']}}]}}
coarse_label: {{annotators: [{{name: wrinkle}}]}}
"""


@pytest.mark.slow
def test_two_machines_produce_the_same_rows(tmp_path: Path) -> None:
    """Two nodes of Ray on this machine, and a run without a cluster."""
    pytest.importorskip("ray")
    import subprocess

    from ray.cluster_utils import Cluster

    from wrinkle.curation.config import load_config
    from wrinkle.curation.stages.context import StageContext
    from wrinkle.curation.stages.pipeline import run_stages

    for name in ("alone", "spread"):
        (tmp_path / f"{name}.yaml").write_text(CONFIG.format(name, EXAMPLES))
    config = load_config(tmp_path / "alone.yaml")
    run_stages(StageContext(Workspace(config.workspace), config))
    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=200_000_000)
        (tmp_path / "program.py").write_text(PROGRAM)
        done = subprocess.run(
            [sys.executable, "program.py", str(tmp_path / "spread.yaml"), cluster.address],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    finally:
        cluster.shutdown()
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["2"]
    alone, spread = Workspace(tmp_path / "alone"), Workspace(tmp_path / "spread")
    assert len(set(spread.table("nodes")["node"].to_pylist())) == 2
    for stage in ("found", "collect", "faces", "deduplicate", "coarse_label", "split"):
        assert rows(alone, stage) == rows(spread, stage), stage


def rows(workspace: Workspace, stage: str) -> list[dict]:
    """Rows with ages rounded to two decimals: a network's ages depend slightly on its batches."""
    table: pa.Table = workspace.table(stage)
    if "age" in table.column_names:
        ages = pa.array([round(age, 2) for age in table["age"].to_pylist()])
        table = table.set_column(table.column_names.index("age"), "age", ages)
    table = table.drop_columns([name for name in ("by",) if name in table.column_names])
    dated = [name for name in table.column_names if name.endswith("_at")]
    return sorted(table.drop_columns(dated).to_pylist(), key=str)


def test_daft_prints_nothing() -> None:
    assert os.environ["DAFT_PROGRESS_BAR"] == "0"
