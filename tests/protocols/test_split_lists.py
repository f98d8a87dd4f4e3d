import gzip
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.errors import WrinkleError
from wrinkle.protocols import PROTOCOLS, get_protocol
from wrinkle.protocols import split_lists as packed
from wrinkle.protocols.split_lists import columns_text, read_columns, read_list, write_list

FOLDER = Path(packed.__file__).parent / "lists"
MODULES = {
    name: import_module(f"wrinkle.protocols.{name}")
    for name in ("afad", "agedb", "cacd", "morph2", "utkface")
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where lists are read from, in place of the package."""
    (tmp_path / "lists").mkdir()
    monkeypatch.setattr(packed, "files", lambda package: tmp_path)
    return tmp_path / "lists"


def test_every_list_belongs_to_a_protocol_and_all_are_small():
    assert sorted(path.name for path in FOLDER.glob("*.gz")) == sorted(
        module.LIST for module in MODULES.values()
    )
    checksums = {get_protocol(name).checksum for name in PROTOCOLS.names()} - {None}
    assert checksums == {module.CHECKSUM for module in MODULES.values()}
    assert sum(path.stat().st_size for path in FOLDER.glob("*.gz")) < 560 * 1024


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_a_packaged_list_is_complete_and_without_a_time_stamp(module):
    data = (FOLDER / module.LIST).read_bytes()
    assert data[4:8] == bytes(4)
    assert read_list(module.LIST, module.CHECKSUM) == gzip.decompress(data).decode()


@pytest.mark.parametrize("damage", [b"", b"text", "cut", "a byte", "other text", None])
@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_a_damaged_list_is_one_line(folder, module, damage):
    complete = (FOLDER / module.LIST).read_bytes()
    if damage == "cut":
        damage = complete[:1000]
    elif damage == "a byte":
        damage = complete[:20] + b"\xff" * 4 + complete[24:]
    elif damage == "other text":
        damage = gzip.compress(gzip.decompress(complete)[:-1])
    if damage is not None:
        (folder / module.LIST).write_bytes(damage)
    with pytest.raises(WrinkleError, match=rf"{module.LIST} is missing or damaged"):
        read_list(module.LIST, module.CHECKSUM)


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_packing_again_changes_nothing(module, tmp_path):
    text = read_list(module.LIST, module.CHECKSUM)
    assert write_list(tmp_path / "anew.gz", text) == module.CHECKSUM
    assert write_list(tmp_path / "again.gz", text) == module.CHECKSUM
    assert (tmp_path / "anew.gz").read_bytes() == (tmp_path / "again.gz").read_bytes()
    assert (tmp_path / "anew.gz").read_bytes()[4:8] == bytes(4)


WORD = st.text("abcXYZ019-/é", min_size=1, max_size=4)


@given(
    names=st.sets(st.tuples(WORD, WORD), min_size=1, max_size=20),
    letters=st.lists(st.sampled_from("tve-"), min_size=40, max_size=40),
)
def test_columns_are_read_back(tmp_path_factory, names, letters):
    part = dict(zip(sorted(names), letters, strict=False))
    some = dict(list(part.items())[::2])
    path = tmp_path_factory.mktemp("lists") / "lists" / "list.gz"
    path.parent.mkdir()
    checksum = write_list(path, columns_text(names, {"all": part, "some": some}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "files", lambda package: path.parent.parent)
        read, columns = read_columns("list.gz", checksum, "_")
    assert dict(zip(read, columns["all"], strict=True)) == {
        f"{stem}_{ending}": letter for (stem, ending), letter in part.items()
    }
    assert dict(zip(read, columns["some"], strict=True)) == {
        f"{stem}_{ending}": some.get((stem, ending), "-") for stem, ending in names
    }
    assert list(columns) == ["all", "some"]
