"""All stages over a local web: the result of every URL, and runs that are killed."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from benchmarks.local_web import CONTACT, LOOPBACK, Server
from benchmarks.planted_web import PlantedWeb, resolver

from tests.conftest import EXAMPLES
from tests.curation.annotators.local_service import Service, reply
from wrinkle.curation.config import load_config
from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.stages.pipeline import run_stages
from wrinkle.curation.status import counts
from wrinkle.curation.web.fetcher import Fetcher, Limits
from wrinkle.curation.workspace import Workspace
from wrinkle.datasets.store import Store

PORTRAITS = sorted(EXAMPLES.glob("*.jpg"))
TABLES = ("found", "collect", "faces", "deduplicate", "coarse_label", "split")
CONFIG = """
workspace: {}
contact: someone@example.org
collect: {{sources: [{{source: url_list, queries: [urls.txt]}}]}}
faces: {{size: 30}}
coarse_label: {{annotators: [{}]}}
split: {{test: 2}}
"""
FACE = {
    "face_rectangle": {"width": 140, "top": 50, "left": 60, "height": 141},
    "attributes": {"age": {"value": 40}},
}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantedWeb]:
    with Server().running() as server:
        web = PlantedWeb(server)
        for number, file in enumerate(PORTRAITS):
            web.add(f"p{number}.jpg", file.read_bytes(), file)
        web.add_copies(PORTRAITS[:2])
        web.add_faults()
        yield web
        web.stop.set()


def configured(folder: Path, web: PlantedWeb, name: str, annotator: str) -> Path:
    (folder / "urls.txt").write_text("\n".join([*web.expected, next(iter(web.expected))]))
    file = folder / f"{name}.yaml"
    file.write_text(CONFIG.format(name, annotator))
    return file


def run(file: Path) -> Workspace:
    config = load_config(file)
    workspace = Workspace(config.workspace)
    limits = Limits(seconds=1, size=3_000_000, interval=0, threads=1)
    fetcher = Fetcher(CONTACT, limits, allow=LOOPBACK, resolver=resolver)
    run_stages(StageContext(workspace, config, fetcher))
    return workspace


def final(workspace: Workspace) -> dict[str, list[dict]]:
    """The tables without their times."""
    tables = {}
    for name in TABLES:
        rows: pa.Table = workspace.table(name)
        dated = [column for column in rows.column_names if column.endswith("_at")]
        tables[name] = sorted(rows.drop_columns(dated).to_pylist(), key=str)
    return tables


def test_every_url_has_the_expected_result(web: PlantedWeb, tmp_path: Path) -> None:
    workspace = run(configured(tmp_path, web, "ws", "{name: wrinkle}"))
    found = {row["address"]: row["url"] for row in workspace.table("found").to_pylist()}
    ends = {
        found[row["address"]]: row["dropped"] or "kept"
        for row in workspace.table("collect").to_pylist()
    }
    assert ends == {url: web.expected[url] for url in ends}
    assert len(set(web.expected.values())) == 9
    for row in counts(workspace):
        assert row.came == row.kept + sum(row.dropped.values()), row
        assert row.waiting == 0
    pictures = {row["picture"] for row in workspace.table("collect").to_pylist()} - {None}
    assert len(pictures) == 5 + 2 * 3  # the same bytes are the same picture
    groups: dict[str, set[str]] = {}
    for row in workspace.table("deduplicate").to_pylist():
        groups.setdefault(row["group"], set()).add(row["face"].partition("-")[0])
    assert sorted(len(group) for group in groups.values()) == [1, 1, 1, 4, 4]
    for group in groups.values():
        assert len({web.origin[picture] for picture in group}) == 1
    check_other_programs(workspace)
    store = Store(workspace.root / "export" / "faces.arrow")
    assert len(store) == 5
    assert Counter(name[:4] for name in store.columns["name"].to_pylist()) == {"test": 2, "trai": 3}


def check_other_programs(workspace: Workspace) -> None:
    """pandas, Polars and DuckDB read a stage's folder as it is."""
    stages = [path.name for path in workspace.root.iterdir() if workspace.parts(path.name)]
    stages.remove("pictures")
    assert {*TABLES} < {*stages}
    for stage in stages:
        folder = str(workspace.root / stage)
        rows = workspace.table(stage)
        assert len(pd.read_parquet(folder)) == len(rows) > 0
        assert pl.read_parquet(folder).columns == rows.column_names
        assert len(pl.read_parquet(folder)) == len(rows)
        assert duckdb.read_parquet(f"{folder}/**/*.parquet").shape[0] == len(rows)


def run_and_die(file: Path, deadly: int) -> None:
    """Kill this process at the n-th change on disk: around a rename, after a journal line."""
    from wrinkle.curation import workspace as module

    left = deadly

    def step() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    replace, add = os.replace, module._Journal.add

    def deadly_replace(source: Path, target: Path) -> None:
        if not str(target).startswith(str(file.parent)) or "pictures" in str(target):
            return replace(source, target)
        step()
        replace(source, target)
        step()

    def deadly_add(self: "module._Journal", row: dict) -> None:
        add(self, row)
        step()

    os.replace = deadly_replace  # type: ignore[assignment]
    module._Journal.add = deadly_add  # type: ignore[method-assign]
    run(file)


@pytest.mark.kills
@pytest.mark.slow
def test_a_run_killed_at_any_step_produces_the_same_tables(
    web: PlantedWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEPP_API_KEY", "key")
    monkeypatch.setenv("FACEPP_API_SECRET", "secret")
    with Service().running() as service:
        service.replies = [reply({"faces": [FACE]})]
        web.server.asked.clear()
        annotator = f"{{name: facepp, base: '{service.url}', interval: 0}}"
        expected = final(run(configured(tmp_path, web, "whole", annotator)))
        asked = Counter(path for path in web.server.asked if path != "/robots.txt")
        bought = len(service.heard)
        assert bought == 5
        web.server.asked.clear()
        service.heard.clear()
        file = configured(tmp_path, web, "killed", annotator)
        context = get_context("spawn")  # Daft's threads do not survive a fork
        deaths = 0
        while True:
            child = context.Process(target=run_and_die, args=(file, 3 * deaths + 2))
            child.start()
            child.join()
            if child.exitcode == 0:
                break
            assert child.exitcode == -signal.SIGKILL
            deaths += 1
        assert deaths >= 4
        assert final(run(file)) == expected
        assert len(service.heard) == bought
        again = Counter(path for path in web.server.asked if path != "/robots.txt")
        assert again == asked
    assert not list((tmp_path / "killed").glob("*/*.part"))


@pytest.mark.slow
@pytest.mark.data
def test_hundreds_of_real_faces_pass_every_stage(data_root: Path, tmp_path: Path) -> None:
    fgnet = sorted((data_root / "fgnet").rglob("*.[jJ][pP][gG]"))[::4]
    with Server().running() as server:
        web = PlantedWeb(server)
        for number, file in enumerate(fgnet):
            web.add(f"p{number}.jpg", file.read_bytes(), file)
        web.add_copies(fgnet[::10])
        web.add_faults()
        workspace = run(configured(tmp_path, web, "ws", "{name: wrinkle}"))
        web.stop.set()
    for row in counts(workspace):
        assert row.came == row.kept + sum(row.dropped.values())
    groups: dict[str, set[str]] = {}
    for row in workspace.table("deduplicate").to_pylist():
        picture = row["face"].partition("-")[0]
        groups.setdefault(row["group"], set()).add(str(web.origin[picture]))
    merged = [group for group in groups.values() if len(group) > 1]
    people = [{Path(file).name[:3] for file in group} for group in merged]
    assert [names for names in people if len(names) > 1] == [], "different people are merged"
    copies = {url.rpartition("/")[2] for url in web.copy_of}
    assert len(copies) == 4 * len(fgnet[::10])
    dropped = sum(row["dropped"] is not None for row in workspace.table("deduplicate").to_pylist())
    # Key points move a little with the size of a picture, and the compared crops with them.
    assert dropped >= 0.85 * 3 * len(fgnet[::10])
