"""A source and an annotator in a file outside the package."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES
from wrinkle.cli import main
from wrinkle.curation.annotators import ANNOTATORS
from wrinkle.curation.config import load_config
from wrinkle.curation.sources import SOURCES
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

PLUGIN = """
from pathlib import Path

from wrinkle.curation.annotators import ANNOTATORS, Label
from wrinkle.curation.sources import SOURCES, SearchResult, Source


@SOURCES.named("album")
class Album(Source):
    rights = "shared by the family"
    queries_are_paths = gives_files = True

    def __init__(self, fetcher, /, ending: str = ".png"):
        self.ending = ending

    def search(self, query):
        for path in sorted(Path(query).glob(f"*{self.ending}")):
            yield SearchResult(path.as_uri(), query, "album")


@ANNOTATORS.named("constant")
class Constant:
    local = True

    def __init__(self, age: float = 30.0):
        self.age = age

    def annotate(self, crops):
        return [Label(self.age) for _ in crops]
"""
CONFIG = """
plugins: [{plugin}]
workspace: ws
contact: someone@example.org
collect: {{sources: [{{source: album, queries: ['{folder}'], {source}}}]}}
coarse_label: {{annotators: [{{name: constant, {annotator}}}]}}
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("plugin") / "own.py"
    path.write_text(PLUGIN)
    yield path
    SOURCES._factories.pop("album")
    ANNOTATORS._factories.pop("constant")


def write(
    folder: Path, plugin: Path | str, source: str = "ending: .jpg", annotator: str = "age: 33"
) -> Path:
    path = folder / "faces.yaml"
    fields = {"plugin": plugin, "source": source, "annotator": annotator}
    path.write_text(CONFIG.format(folder=EXAMPLES, **fields))
    return path


def test_a_dataset_with_an_own_source_and_annotator(tmp_path: Path, plugin: Path) -> None:
    assert main(["curate", "run", str(write(tmp_path, plugin))]) == 0
    split = Workspace(tmp_path / "ws").table("split", "age")
    assert split["age"].to_pylist() == [33.0] * 5
    card = (tmp_path / "ws" / "export" / "card.html").read_text()
    assert "shared by the family" in card
    assert str(EXAMPLES) not in card


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "ending: 3"}, "source album: ending is 3"),
        ({"source": "endings: .jpg"}, "unknown field endings (did you mean ending?)"),
        ({"annotator": "age: old"}, "annotator constant: age is 'old'"),
        ({"annotator": "aeg: 3"}, "no field 'aeg' (did you mean 'age'?)"),
    ],
)
def test_their_settings_are_checked(
    tmp_path: Path, plugin: Path, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(WrinkleError, match=re.escape(message)):
        load_config(write(tmp_path, plugin, **fields))


@pytest.mark.parametrize("content", [None, "import nothing_of_this_name"])
def test_a_plugin_that_cannot_be_imported_is_one_line(tmp_path: Path, content: str | None) -> None:
    path = write(tmp_path, "own.py")
    if content is not None:
        (tmp_path / "own.py").write_text(content)
    with pytest.raises(WrinkleError, match=r"faces\.yaml: plugins: .*own\.py") as error:
        load_config(path)
    assert "\n" not in str(error.value)
