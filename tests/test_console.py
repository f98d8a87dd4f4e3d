import io
import sys

import pytest

from wrinkle import console
from wrinkle.console import complain, count, note, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_counts_have_their_noun() -> None:
    assert count(0, "face") == "0 faces"
    assert count(1, "face") == "1 face"
    assert count(2292, "face") == "2,292 faces"
    assert count(1, "person", "people") == "1 person"
    assert count(3, "person", "people") == "3 people"


def test_short_work_writes_nothing_to_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(3), "read", "file")) == [0, 1, 2]
    with progress(what="read", total=3) as bar:
        bar.update(2)
    assert capfd.readouterr().err == ""


def test_long_work_writes_lines_to_a_log(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "EVERY", 0.0)
    for _ in progress(range(3), "read", "file"):
        note("one")
    lines = capfd.readouterr().err.splitlines()
    assert lines.count("note: one") == 3
    shown = [line for line in lines if line.startswith("read: ")]
    assert "3/3" in shown[-1]
    assert "" not in lines
    assert not any("\r" in line for line in lines)


def test_a_terminal_has_a_bar_that_messages_do_not_break(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress(what="read", unit="file", total=3) as bar:
        bar.start_t -= 1  # a bar is shown after half a second
        bar.last_print_t -= 1
        bar.update(2)
        complain("bad.jpg: is empty")
    text = screen.getvalue()
    assert "2/3" in text
    before, _, after = text.partition("wrinkle: bad.jpg: is empty\n")
    assert before.endswith("\r")
    assert "2/3" in after


def test_nothing_is_shown_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert list(progress(range(3), shown=False)) == [0, 1, 2]
    assert screen.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", None)
    assert list(progress(range(3))) == [0, 1, 2]
    note("no standard error")
