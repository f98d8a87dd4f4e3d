import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Command, start
from tests.conftest import EXAMPLES
from tests.curation.people.fake_label_studio import LEGACY, FakeLabelStudio
from tests.curation.workspaces import append
from wrinkle.cli import main
from wrinkle.curation.people.label_studio import KEY
from wrinkle.curation.stages import collect
from wrinkle.curation.workspace import Workspace

CONFIG = """
workspace: ws
contact: someone@example.org
collect:
  sources: [{{source: folder, queries: [pictures]}}]
coarse_label: {{annotators: [{{name: wrinkle, model: {model}}}]}}
"""
NAMES = sorted(path.name for path in EXAMPLES.glob("*.jpg"))
STAGES = ("found", "collect", "faces", "deduplicate", "coarse_label", "split")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Path:
    """A workspace of the example photographs, all stages done."""
    folder = tmp_path_factory.mktemp("curated")
    (folder / "pictures").mkdir()
    for name in NAMES:
        shutil.copy(EXAMPLES / name, folder / "pictures")
    (folder / "faces.yaml").write_text(CONFIG.format(model=small_model))
    assert main(["curate", "run", str(folder / "faces.yaml")]) == 0
    return folder


@pytest.fixture
def config(made: Path, tmp_path: Path, small_model: Path) -> Path:
    """A configuration with all stages done."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    rewrite(tmp_path / "ws", made.as_uri(), tmp_path.as_uri(), str(made), str(tmp_path))
    return tmp_path / "faces.yaml"


def rewrite(root: Path, *pairs: str) -> None:
    """Change the paths in a copied workspace to the copied pictures."""
    import daft
    import pyarrow as pa

    workspace = Workspace(root)
    for stage in ("found", "collect"):
        text = json.dumps(workspace.table(stage).to_pylist())
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            text = text.replace(old, new)
        schema = collect.FOUND_SCHEMA if stage == "found" else collect.SCHEMA
        table = pa.Table.from_pylist(json.loads(text), schema)
        workspace.replace(stage, daft.from_arrow(table))


def fresh(tmp_path: Path, model: Path, more: str = "") -> Path:
    """A configuration with no stage done."""
    (tmp_path / "pictures").mkdir()
    for name in NAMES:
        shutil.copy(EXAMPLES / name, tmp_path / "pictures")
    path = tmp_path / "faces.yaml"
    path.write_text(CONFIG.format(model=model) + more)
    return path


def workspace_of(config: Path) -> Workspace:
    return Workspace(config.parent / "ws")


def stages(out: str) -> dict[str, list[int]]:
    """Stage → came, kept, dropped, waiting."""
    rows = [line.split() for line in out.splitlines() if line.startswith((*STAGES, "refine"))]
    return {row[0]: [int(cell) for cell in row[1:5]] for row in rows}


def all_with(names: Iterable[str], numbers: list[int]) -> dict[str, list[int]]:
    return {name: numbers for name in names}


# Happy paths


def test_a_second_run_does_nothing(config: Path, wrinkle: Command) -> None:
    first = wrinkle("curate", "run", config)
    export = config.parent / "ws" / "export"
    line = f"the dataset is in {export}; {export / 'card.html'} describes it"
    assert (first.code, first.err) == (0, [line])
    assert stages(first.out) == all_with(STAGES, [5, 5, 0, 0])
    before = {path: path.stat().st_mtime_ns for path in config.parent.rglob("*.parquet")}
    again = wrinkle("curate", "run", config)
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in config.parent.rglob("*.parquet")} == before
    assert (config.parent / "ws" / "export" / "card.html").exists()


@pytest.mark.slow
def test_stages_run_separately(tmp_path: Path, small_model: Path, wrinkle: Command) -> None:
    config = fresh(tmp_path, small_model)
    assert "nothing yet in" in wrinkle("curate", "status", config).out
    assert not (config.parent / "ws").exists()
    for count, stage in enumerate(("collect", "faces", "deduplicate", "coarse-label", "split"), 2):
        if stage != "collect":
            early = wrinkle("curate", "card", config)
            assert (early.code, len(early.err)) == (2, 1)
        done = wrinkle("curate", stage, config)
        assert (done.code, done.err) == (0, [])
        assert stages(done.out) == all_with(STAGES[:count], [5, 5, 0, 0])
    assert wrinkle("curate", "card", config).code == 0
    assert (tmp_path / "ws" / "export" / "card.html").exists()
    assert wrinkle("curate", "status", config).out == wrinkle("curate", "run", config).out


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLabelStudio]:
    monkeypatch.setenv(KEY, LEGACY)
    with FakeLabelStudio().running() as studio:
        yield studio


@pytest.mark.slow
def test_a_run_waits_for_people(config: Path, studio: FakeLabelStudio, wrinkle: Command) -> None:
    with config.open("a") as file:
        file.write(f"refine: {{url: '{studio.url}', people: 2}}\n")
    pushed = wrinkle("curate", "push", config)
    assert (pushed.code, pushed.err) == (0, [])
    assert len(studio.stored) == 5
    waiting = wrinkle("curate", "run", config)
    assert (waiting.code, len(waiting.err)) == (1, 1)
    assert "5 faces wait for people's answers" in waiting.err[0]
    assert "no answers" in waiting.out
    assert stages(waiting.out)["refine"] == [5, 0, 0, 5]
    for task in list(studio.stored.values()):
        for person in (1, 2):
            studio.say(task["meta"]["face"], person, 40 + person)
    pulled = wrinkle("curate", "pull", config)
    assert (pulled.code, pulled.err) == (0, [])
    assert "answers: 10 of 2 people to 5 faces" in pulled.out
    done = wrinkle("curate", "run", config)
    assert (done.code, len(done.err)) == (0, 1)
    assert done.err[0].startswith("the dataset is in ")
    ages = workspace_of(config).table("split", "age")["age"].to_pylist()
    assert ages == [41.5] * 5
    face = workspace_of(config).table("split", "face")["face"][0].as_py()
    assert wrinkle("curate", "remove", config, "--face", face).code == 0
    assert len(studio.stored) == 4


@pytest.mark.slow
def test_a_removal_is_permanent(config: Path, wrinkle: Command) -> None:
    name = NAMES[0]
    url = (config.parent / "pictures" / name).as_uri()
    gone = wrinkle("curate", "remove", config, "--url", url)
    assert (gone.code, gone.err) == (0, [])
    assert gone.out.splitlines()[0] == "removed: URLs 1, pictures 1, faces 1"
    assert stages(gone.out)["found"] == [5, 4, 1, 0]
    assert stages(gone.out)["split"] == [4, 4, 0, 0]
    assert name not in (config.parent / "ws/export/card.html").read_text()
    again = wrinkle("curate", "run", config)
    assert (again.code, stages(again.out)["found"]) == (0, [5, 4, 1, 0])
    rest = workspace_of(config).table("split", "face")["face"].to_pylist()
    everybody = [argument for face in rest for argument in ("--face", face)]
    gone = wrinkle("curate", "remove", config, *everybody)
    assert (gone.code, gone.err) == (0, [])
    assert not (config.parent / "ws" / "export").exists()
    assert not list(config.parent.glob("ws/pictures/*/*"))


@pytest.mark.slow
def test_a_removed_person_is_not_searched_for(config: Path, wrinkle: Command) -> None:
    person = {"query": "Ann Example", "person": "Ann Example", "url": "https://example.org/ann.jpg"}
    row = {"search": '["wikimedia", "Ann Example", 9]', "address": person["url"], **person}
    append(workspace_of(config), "found", [row], collect.FOUND_SCHEMA)
    text = config.read_text()
    people = "{source: wikimedia, queries: [Ann Example], people: true, limit: 99}"
    config.write_text(text.replace("sources: [", f"sources: [{people}, "))
    assert wrinkle("curate", "remove", config, "--person", "Ann Example").code == 0
    done = wrinkle("curate", "run", config)  # without any request
    assert (done.code, len(done.err)) == (0, 1)
    assert "Ann Example" not in str(workspace_of(config).table("found").to_pylist())


def test_a_killed_removal_is_finished_first(config: Path, wrinkle: Command) -> None:
    workspace = workspace_of(config)
    picture = workspace.table("collect", "picture")["picture"][0].as_py()
    append(workspace, "removed", [{"key": picture}], collect.pa.schema([("key", "string")]))
    workspace.write_note("removed", {"unfinished": True})
    assert wrinkle("curate", "status", config).code == 0
    assert workspace.picture(picture).exists()
    done = wrinkle("curate", "card", config)
    assert stages(done.out)["split"] == [4, 4, 0, 0]
    assert not workspace.picture(picture).exists()
    assert picture not in str(list((config.parent / "ws/export").rglob("*")))


# --again and --retry


@pytest.mark.slow
def test_again_deletes_pictures_that_are_no_longer_found(config: Path, wrinkle: Command) -> None:
    (config.parent / "pictures" / NAMES[0]).unlink()
    kept = wrinkle("curate", "run", config)
    assert stages(kept.out)["found"] == [5, 5, 0, 0]
    again = wrinkle("curate", "collect", config, "--again")
    assert again.code == 0
    assert stages(again.out) == all_with(("found", "collect"), [4, 4, 0, 0])
    assert len(list(config.parent.glob("ws/pictures/*/*"))) == 4
    done = wrinkle("curate", "run", config)
    assert stages(done.out) == all_with(STAGES, [4, 4, 0, 0])


def test_again_allows_other_settings(config: Path, wrinkle: Command) -> None:
    with config.open("a") as file:
        file.write("faces: {size: 150}\n")
    other = wrinkle("curate", "faces", config)
    assert (other.code, len(other.err)) == (2, 1)
    assert "--again" in other.err[0]
    assert wrinkle("curate", "faces", config, "--again").code == 0
    assert len(workspace_of(config).table("faces")) == 5
    assert wrinkle("curate", "faces", config).code == 0


@pytest.mark.parametrize("action", ["collect", "run"])
def test_retry_fetches_temporary_errors_again(config: Path, wrinkle: Command, action: str) -> None:
    workspace = workspace_of(config)
    rows = workspace.table("collect").to_pylist()
    for row, reason in zip(rows, ("no connection", "not a picture"), strict=False):
        row.update(dropped=reason, picture=None, path=None)
    workspace.discard("collect")
    append(workspace, "collect", rows, collect.SCHEMA)
    done = wrinkle("curate", action, config)
    assert stages(done.out)["collect"] == [5, 3, 2, 0]
    retried = wrinkle("curate", action, config, "--retry")
    assert (retried.code, stages(retried.out)["collect"]) == (0, [5, 4, 1, 0])


# Help


@pytest.mark.parametrize(
    ("command", "own", "others"),
    [
        ("run", {"--ray", "--retry"}, {"--again", "--url"}),
        ("status", set(), {"--ray", "--again", "--retry", "--url"}),
        ("collect", {"--ray", "--retry", "--again"}, {"--url"}),
        ("faces", {"--ray", "--again"}, {"--retry", "--url"}),
        ("coarse-label", {"--ray"}, {"--again", "--retry", "--url"}),
        ("remove", {"--ray", "--url", "--person", "--face"}, {"--again", "--retry"}),
    ],
)
def test_each_command_has_its_own_options(
    wrinkle: Command, command: str, own: set[str], others: set[str]
) -> None:
    done = wrinkle("curate", command, "--help")
    assert (done.code, done.err) == (0, [])
    assert all(option in done.out for option in {"CONFIG", *own})
    assert not any(option in done.out for option in others)


# Errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--again"], "unrecognized arguments: --again"),
        (["split", "--again"], "unrecognized arguments: --again"),
        (["faces", "--retry"], "unrecognized arguments: --retry"),
        (["remove"], "remove needs --url, --person or --face"),
        (["run", "--url", "http://x/"], "unrecognized arguments: --url"),
        (["status", "--person", "Ann"], "unrecognized arguments: --person"),
        (["status", "--ray", "auto"], "unrecognized arguments: --ray"),
        (["card", "--face", "f"], "unrecognized arguments: --face"),
        (["push"], "faces.yaml: labelling by people needs a section refine"),
        (["pull"], "faces.yaml: labelling by people needs a section refine"),
        (["remove", "--face", "nobody-0"], "nothing here is known as nobody-0"),
        (["colect"], "invalid choice: 'colect'"),
    ],
)
def test_wrong_arguments_are_one_line(
    tmp_path: Path, small_model: Path, wrinkle: Command, arguments: list[str], said: str
) -> None:
    action, *options = arguments
    config = fresh(tmp_path, small_model)
    done = wrinkle("curate", action, config, *options)
    assert (done.code, done.out, len(done.err)) == (2, "", 1)
    assert said in done.err[0]


def test_a_bad_configuration_is_one_line(tmp_path: Path, wrinkle: Command) -> None:
    done = wrinkle("curate", "run", tmp_path / "no.yaml")
    assert (done.code, len(done.err)) == (2, 1)
    (tmp_path / "bad.yaml").write_text("workspace: ws\n")
    done = wrinkle("curate", "run", tmp_path / "bad.yaml")
    assert (done.code, len(done.err)) == (2, 1)
    assert not (tmp_path / "ws").exists()


@pytest.mark.slow
def test_a_failed_search_is_reported(tmp_path: Path, small_model: Path, wrinkle: Command) -> None:
    config = fresh(tmp_path, small_model)
    config.write_text(config.read_text().replace("[pictures]", "[pictures, nowhere]"))
    done = wrinkle("curate", "run", config)
    assert (done.code, len(done.err)) == (1, 1)
    assert done.err[0].endswith("nowhere is not a folder: give one with pictures")
    assert stages(done.out)["split"] == [5, 5, 0, 0]
    shutil.copytree(tmp_path / "pictures", tmp_path / "nowhere")
    assert wrinkle("curate", "run", config).code == 0


@pytest.mark.parametrize("stage", ["collect", "faces", "deduplicate"])
def test_a_damaged_table_is_one_line(config: Path, wrinkle: Command, stage: str) -> None:
    (file,) = (config.parent / "ws" / stage).glob("0*/*.parquet")
    data = bytearray(file.read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    file.write_bytes(data)
    done = wrinkle("curate", "run", config)
    assert (done.code, len(done.err)) == (2, 1)
    assert str(config.parent / "ws") in done.err[0]


def test_a_second_run_at_the_same_time_is_one_line(config: Path, wrinkle: Command) -> None:
    with workspace_of(config).locked():
        for action in ("run", "remove"):
            options = ["--url", "x"] if action == "remove" else []
            done = wrinkle("curate", action, config, *options)
            assert (done.code, done.out, len(done.err)) == (2, "", 1)
            assert "another run works in" in done.err[0]
        assert wrinkle("curate", "status", config).code == 0
        child = start("curate", "run", config)
        assert child.wait(60) == 2
        assert "another run works in" in child.communicate()[1]
    assert wrinkle("curate", "deduplicate", config).code == 0


def test_a_missing_extra_is_one_line(config: Path) -> None:
    code = (
        "import sys, wrinkle.errors; from wrinkle.cli import main;"
        "wrinkle.errors._installed = lambda package: package != 'matplotlib';"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "curate", "status", str(config)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("wrinkle: matplotlib is missing: pip install '.[curate]'")


def test_ctrl_c_is_one_line(
    config: Path, wrinkle: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(collect, "search", interrupted)
    monkeypatch.setattr("atexit.register", lambda function: None)  # it would end the tests
    done = wrinkle("curate", "run", config)
    assert (done.code, done.out) == (130, "")
    (line,) = done.err
    assert line.startswith("wrinkle: stopped")


@pytest.mark.kills
def test_ctrl_c_during_a_daft_query_is_one_line(
    tmp_path: Path, small_model: Path, wrinkle: Command
) -> None:
    config = fresh(tmp_path, small_model)
    code = (
        "import os, signal, sys, time; from wrinkle.cli import main\n"
        "from wrinkle.curation.stages import faces\n"
        "def sharpness(crop):\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(0.5); return 9.0\n"
        "faces.sharpness = sharpness\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "curate", "run", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1].startswith("wrinkle: stopped")
    again = wrinkle("curate", "run", config)
    assert (again.code, stages(again.out)) == (0, all_with(STAGES, [5, 5, 0, 0]))


def test_a_cluster_is_joined_before_the_first_stage(
    config: Path, wrinkle: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[str] = []
    monkeypatch.setattr("wrinkle.cluster.join", lambda address: joined.append(address) or 1)
    assert wrinkle("curate", "deduplicate", config, "--ray", "auto").code == 0
    assert joined == ["auto"]
