"""A source and an annotator in a file outside the package: those of the page "Extending"."""

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

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
SECTION = PAGE.read_text("utf-8").partition("## Annotator and source of pictures")[2]


def block(language: str) -> str:
    """The section's first block in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", SECTION, re.M | re.S)[0]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("plugin") / "own.py"
    path.write_text(block("python"))
    yield path
    SOURCES._factories.pop("family_album")
    ANNOTATORS._factories.pop("constant")


def write(
    folder: Path, plugin: Path | str, source: str = "ending: .jpg", annotator: str = "age: 33"
) -> Path:
    """The page's configuration for the example pictures, with other fields."""
    text = block("yaml")
    for old, new in {
        "own.py": str(plugin),
        "[album]": f"['{EXAMPLES}']",
        "ending: .jpg": source,
        "age: 33": annotator,
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = folder / "faces.yaml"
    path.write_text(text)
    return path


def test_a_dataset_with_an_own_source_and_annotator(tmp_path: Path, plugin: Path) -> None:
    assert main(["curate", "run", str(write(tmp_path, plugin))]) == 0
    split = Workspace(tmp_path / "faces").table("split", "age")
    assert split["age"].to_pylist() == [33.0] * 5
    card = (tmp_path / "faces" / "export" / "card.html").read_text()
    assert "shared by the family" in card
    assert str(EXAMPLES) not in card


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "ending: 3"}, "source family_album: ending is 3"),
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
