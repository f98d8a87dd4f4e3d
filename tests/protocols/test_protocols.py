import pytest

from wrinkle.errors import WrinkleError
from wrinkle.protocols import PROTOCOLS, get_protocol


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_described(name):
    protocol = get_protocol(name)
    assert get_protocol(protocol.name).name == protocol.name
    assert protocol.description
    assert protocol.source


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
