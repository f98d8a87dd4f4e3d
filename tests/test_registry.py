"""The registry: names, fields checked by signature, packages, entry points, plug-in files."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest

from wrinkle.errors import WrinkleError
from wrinkle.registry import (
    Registry,
    find_plugins,
    load_plugins,
    plugin_content,
    plugin_entries,
)


def shapes() -> Registry[dict[str, object]]:
    shapes: Registry[dict[str, object]] = Registry("shape")

    @shapes.register
    def square(
        scale: float,
        /,
        side: int = 2,
        colour: Literal["red", "blue"] = "red",
        border: float | None = None,
        corners: tuple[int, ...] = (),
        *,
        clock: object = None,
    ) -> dict[str, object]:
        return {"scale": scale, "side": side, "colour": colour, "border": border, "at": corners}

    return shapes


def test_create_takes_fields_and_positional_arguments() -> None:
    made = shapes().create("square", {"side": 3, "corners": [1, 2]}, 0.5)
    expected = {"scale": 0.5, "side": 3, "colour": "red", "border": None, "at": (1, 2)}
    assert made == expected


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sid": 3}, ["no field 'sid'", "did you mean 'side'"]),
        ({"scale": 2.0}, ["no field 'scale'"]),
        ({"clock": 1}, ["no field 'clock'"]),
        ({"side": "3"}, ["side", "integer"]),
        ({"side": True}, ["side"]),
        ({"side": 2.5}, ["side"]),
        ({"colour": "green"}, ["colour", "'red'", "'blue'"]),
        ({"border": "wide"}, ["border"]),
        ({"border": float("nan")}, ["border"]),
        ({"corners": ["a"]}, ["corners"]),
        ({"side": object()}, ["plain value"]),
    ],
)
def test_wrong_fields_and_types_are_refused(fields: dict[str, object], words: list[str]) -> None:
    with pytest.raises(WrinkleError) as error:
        shapes().create("square", fields, 1.0)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_takes_numbers_of_numpy() -> None:
    fields = {"side": np.int64(3), "border": np.float32(0.5)}
    checked = shapes().check("square", fields)
    assert (checked["side"], checked["border"]) == (3, 0.5)


@pytest.mark.parametrize("fields", [{"border": 1}, {"border": None}, {"colour": "blue"}])
def test_unions_literals_and_integers_for_floats_are_accepted(fields: dict[str, object]) -> None:
    shapes().check("square", fields)


def test_check_fills_in_the_defaults() -> None:
    expected = {"side": 2, "colour": "red", "border": None, "corners": ()}
    assert shapes().check("square", {}) == expected


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(WrinkleError, match=r"unknown shape 'sqare'.*did you mean 'square'"):
        shapes().get("sqare")


def test_two_factories_of_one_name_are_refused() -> None:
    known = shapes()
    known.register(dict, "square_of_mine")
    with pytest.raises(WrinkleError, match="two shapes are called"):
        known.register(list, "square_of_mine")


def test_imports_every_module_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "some_shapes"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from wrinkle.registry import Registry\nSHAPES = Registry('shape', __name__)\n"
    )
    (folder / "circle.py").write_text(
        "from some_shapes import SHAPES\n\n\n@SHAPES.register\ndef circle():\n    return 'round'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import some_shapes  # type: ignore[import-not-found]

    assert some_shapes.SHAPES.names() == ["circle"]
    assert some_shapes.SHAPES.create("circle") == "round"


def test_entry_points_of_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_broken() -> object:
        raise ImportError("no such thing")

    points = [
        SimpleNamespace(name="star", load=lambda: dict, dist=SimpleNamespace(name="their-shapes")),
        SimpleNamespace(name="bad", load=load_broken, dist=SimpleNamespace(name="their-shapes")),
    ]
    asked = []

    def entry_points(group: str) -> list[SimpleNamespace]:
        asked.append(group)
        return points

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    known = shapes()
    assert known.names() == ["bad", "square", "star"]
    assert asked == ["wrinkle.shapes"]
    assert Registry("loss").group == "wrinkle.losses"
    assert known.get("star") is dict
    with pytest.raises(WrinkleError, match=r"'bad' of the package their-shapes.*no such thing"):
        known.get("bad")


def test_plugin_file_is_run_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("made = []\nmade.append(1)\n")
    first, again = load_plugins([file, file])
    assert first is again
    assert first.made == [1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("1 / 0", "ZeroDivisionError"),
        ("from wrinkle import WrinkleError\nraise WrinkleError('not like this')", "not like this"),
    ],
)
def test_plugin_that_cannot_be_imported_is_one_line(
    tmp_path: Path, content: str | None, words: str
) -> None:
    file = tmp_path / "broken.py"
    if content is not None:
        file.write_text(content)
    with pytest.raises(WrinkleError, match=words) as error:
        load_plugins([file])
    assert "broken.py" in str(error.value)
    assert "\n" not in str(error.value)


HEAD = """
from wrinkle.models.heads import HEADS
from wrinkle.models.heads.softmax import Softmax


@HEADS.named("versioned")
class Versioned(Softmax):
    number = {number}
"""


def test_a_plugin_with_a_name_of_wrinkles_own(tmp_path: Path) -> None:
    file = tmp_path / "again.py"
    file.write_text(HEAD.format(number=1).replace("versioned", "coral"))
    # In a new process, because it matters whether wrinkle's own heads are known yet.
    program = f"from wrinkle.registry import load_plugins; load_plugins(['{file}'])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert re.search(r"plug-in .*again\.py: two heads are called 'coral'.*rename", ended.stderr)


def test_of_two_versions_of_a_plugin_the_last_loaded_is_used(tmp_path: Path) -> None:
    from wrinkle.models.heads import HEADS

    (tmp_path / "old").mkdir()
    new, old = tmp_path / "versions.py", tmp_path / "old" / "versions.py"
    old.write_text(HEAD.format(number=1))
    load_plugins([old])
    entries = plugin_entries([old])
    new.write_text(HEAD.format(number=2))
    load_plugins([new])
    assert HEADS.get("versioned").number == 2  # type: ignore[attr-defined]
    assert find_plugins(entries, []) == {"versions.py": old.read_bytes()}
    assert HEADS.get("versioned").number == 1  # type: ignore[attr-defined]


def test_an_edit_after_the_import_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "edited.py"
    file.write_text("number = 1\n")
    load_plugins([file])
    entries = plugin_entries([file])
    file.write_text("number = 2\n")
    assert plugin_entries([file]) == entries
    assert plugin_content(file) == b"number = 1\n"
