import re
from pathlib import Path

import pytest

from wrinkle.datasets import DATASETS
from wrinkle.errors import WrinkleError
from wrinkle.protocols import PROTOCOLS, get_protocol, usage

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_described(name):
    protocol = get_protocol(name)
    assert get_protocol(protocol.name).name == protocol.name
    assert protocol.description
    assert protocol.source
    assert protocol.dataset in {None, *DATASETS}
    assert protocol.people


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_page_has_every_protocol_with_its_sizes(name):
    row = re.findall(rf"^\| `{re.escape(usage(name))}` .*$", PAGE, re.MULTILINE)[0]
    sizes = get_protocol(name).sizes
    if len(sizes) <= 2:
        for counts in sizes.values():
            assert all(f"{count:,}" in row for count in counts if count)
    people = {None: "unknown", True: "shared", False: "on one side"}
    assert f"| {people[get_protocol(name).shares_people]} |" in row


def test_what_tables_say_of_people():
    said = {get_protocol(name).shares_people: get_protocol(name).people for name in PROTOCOLS}
    assert set(said) == {True, False, None}
    assert said[False] == "on one side only"
    assert said[True].startswith("shared")
    assert said[None].startswith("unknown")


def test_usage_says_which_numbers_a_protocol_takes():
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
        ("morph", "unknown protocol 'morph': choose one of utkface, fgnet-lopo, by-person, random"),
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
