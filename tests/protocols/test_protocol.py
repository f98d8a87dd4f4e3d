import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.protocols.tables import table
from wrinkle.datasets import DATASETS
from wrinkle.errors import WrinkleError
from wrinkle.protocols import PROTOCOLS, get_protocol, usage
from wrinkle.registry import load_plugins

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
PLUGIN = """
import numpy as np

from wrinkle.protocols import PROTOCOLS, Fold, Protocol
from wrinkle.protocols.fold import checked


@PROTOCOLS.named("{name}")
def shifted(shift: int = 0) -> Protocol:
    def split(table):
        rows = np.arange(table.num_rows)
        place = (rows + shift) % 4
        parts = (np.isin(place, some) for some in ((0, 2), (1,), (3,)))
        return checked([Fold("only", *map(np.flatnonzero, parts))], table)

    return Protocol(name="{name}", description="every other row", source="mine", folds=split)
"""
"""A protocol in a file outside the package."""


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_every_protocol_is_described(name):
    protocol = get_protocol(name)
    assert get_protocol(protocol.name).name == protocol.name
    assert protocol.description
    assert protocol.source
    assert protocol.dataset in {None, *DATASETS.names()}
    assert protocol.people


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_the_page_has_every_protocol_with_its_sizes(name):
    row = re.findall(rf"^\| `{re.escape(usage(name))}` .*$", PAGE, re.MULTILINE)[0]
    sizes = get_protocol(name).sizes
    if len(sizes) <= 2:
        for counts in sizes.values():
            assert all(f"{count:,}" in row for count in counts if count)
    people = {None: "unknown", True: "shared", False: "on one side"}
    assert f"| {people[get_protocol(name).shares_people]} |" in row


def test_shared_people_are_described_in_words():
    said = {
        get_protocol(name).shares_people: get_protocol(name).people for name in PROTOCOLS.names()
    }
    assert set(said) == {True, False, None}
    assert said[False] == "on one side only"
    assert said[True].startswith("shared")
    assert said[None].startswith("unknown")


def test_usage_lists_the_numbers_of_a_protocol():
    assert usage("utkface") == "utkface"
    assert usage("fgnet-lopo") == "fgnet-lopo[:PEOPLE[:SEED]]"
    assert usage("morph2-white") == "morph2-white[:SEED]"


def test_numbers_fill_in_order():
    assert get_protocol("by-person:4:9").name == "by-person:4:9"
    assert get_protocol("fgnet-lopo:8").name == "fgnet-lopo:8:0"
    assert get_protocol("fgnet-lopo:0:3").name == "fgnet-lopo"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("morph", "unknown protocol 'morph'.*choices: adience, afad-coral, .*by-person.*utkface"),
        ("", "unknown protocol ''"),
        ("by-person:five", r"write by-person\[:FOLDS\[:SEED\]\], whole numbers"),
        ("by-person:", r"write by-person\[:FOLDS\[:SEED\]\]"),
        ("by-person:5:1:2", r"write by-person\[:FOLDS\[:SEED\]\]"),
        ("utkface:3", "write utkface, whole numbers"),
    ],
)
def test_a_wrong_spec_is_one_line(spec, message):
    with pytest.raises(WrinkleError, match=message):
        get_protocol(spec)


def test_a_protocol_of_a_plug_in_file_is_used(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(name="shifted-rows"), encoding="utf-8")
    load_plugins([plugin])
    assert usage("shifted-rows") == "shifted-rows[:SHIFT]"
    (fold,) = get_protocol("shifted-rows:1").folds(table(names=list("abcd")))
    assert [fold.train.tolist(), fold.validation.tolist(), fold.test.tolist()] == [[1, 3], [0], [2]]
    assert get_protocol("shifted-rows").shares_people is None


def test_listing_protocols_imports_nothing_heavy() -> None:
    code = (
        "import sys; from wrinkle.protocols import PROTOCOLS; PROTOCOLS.names();"
        "sys.exit(any(name in sys.modules for name in ('torch', 'cv2', 'scipy', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_page_has_a_protocol_that_works(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    plugin = tmp_path / "even_odd.py"
    plugin.write_text(code, encoding="utf-8")
    load_plugins([plugin])
    (fold,) = get_protocol("even-odd").folds(table(names=list("abcdefgh")))
    assert [fold.train.tolist(), fold.validation.tolist()] == [[0, 2, 4, 6], [1, 5]]
