import argparse
import importlib
import re
import shlex
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tests.cli.conftest import Command, start
from tests.conftest import EXAMPLES
from wrinkle import WrinkleError, __version__, cli
from wrinkle.cli import main
from wrinkle.training.stop import Stopped

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = list(cli.commands())
PORTRAIT = EXAMPLES / "joe_biden_2010.jpg"

# Help


def test_overview_names_every_command(wrinkle: Command) -> None:
    for arguments in (["--help"], ["-h"], []):
        done = wrinkle(*arguments)
        assert done.code == 0
        assert done.err == []
        listed = re.findall(r"^  (\w+)  +[A-Z]", done.out.partition("options:")[0], re.MULTILINE)
        assert listed == COMMANDS
        assert max(map(len, done.out.splitlines())) <= 80


def test_every_file_that_defines_one_is_a_command() -> None:
    folder = Path(cli.__file__).parent
    files = {file.stem for file in folder.glob("*.py") if "def add_arguments" in file.read_text()}
    assert set(COMMANDS) == files - {"__init__"}
    assert "options" not in COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(wrinkle: Command, command: str) -> None:
    done = wrinkle(command, "--help")
    assert done.code == 0
    assert done.err == []
    assert done.out.startswith(f"usage: wrinkle {command}")


def test_version_is_printed(wrinkle: Command) -> None:
    assert wrinkle("--version").out == f"wrinkle {__version__}\n"


def test_help_does_not_wait_for_torch() -> None:
    """Of the overview first, where numpy is too slow as well, then of every command."""
    code = """
import sys
from wrinkle.cli import main
from wrinkle.training.stop import Stopped
slow = {"torch", "cv2", "PIL", "pyarrow"}
assert main(["--help"]) == 0
assert not {*slow, "numpy", "pydantic"} & set(sys.modules), "overview"
for command in sys.argv[1:]:
    assert main([command, "--help"]) == 0
    assert not slow & set(sys.modules), command
"""
    done = subprocess.run([sys.executable, "-c", code, *COMMANDS], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert done.stdout.count("usage: wrinkle") == 1 + len(COMMANDS)


def test_every_command_in_the_documentation_is_parsed() -> None:
    """Its options at least: a command's parser takes each line that starts with `wrinkle`."""
    lines = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text("utf-8")
        for language, block in re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", text):
            if language in ("", "sh"):
                lines += re.findall(r"(?m)^ *(?:.*\| )?wrinkle ([a-z].+?)(?: > .*)?$", block)
    assert len(lines) > 20
    for line in lines:
        command, *rest = shlex.split(line, comments=True)
        module = importlib.import_module(f"wrinkle.cli.{command}")
        parser = cli.command_parser(f"wrinkle {command}", module)
        if "--help" in rest:
            with pytest.raises(SystemExit):
                parser.parse(rest)
        else:
            parser.parse(rest)


# Commands of other packages


def test_an_installed_package_adds_a_command(
    wrinkle: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "greeting.py").write_text(
        '''"""Greet somebody."""

def add_arguments(parser):
    parser.add_argument("whom")

def run(args):
    print(f"hello {args.whom}")
    return 1
'''
    )
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint("greet", "greeting", "wrinkle.commands")]
    points += [EntryPoint("broken", "no_such_module", "wrinkle.commands")]
    monkeypatch.setattr(cli, "entry_points", lambda group: points)
    assert re.search("^  greet +from the package greeting$", wrinkle().out, re.MULTILINE)
    assert "Greet somebody." in wrinkle("greet", "--help").out
    assert wrinkle("greet", "you") == (1, "hello you\n", [])
    (line,) = wrinkle("broken").err
    assert re.fullmatch(".*'broken'.*no_such_module.*cannot be imported.*", line)


def test_a_command_may_have_subcommands(wrinkle: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_subparsers(dest="action").add_parser("go").add_argument("--far", type=int)

    monkeypatch.setattr("wrinkle.cli.datasets.add_arguments", add_arguments)
    monkeypatch.setattr("wrinkle.cli.datasets.run", lambda args: int(args.far))
    assert wrinkle("datasets", "go", "--far", "7").code == 7
    (line,) = wrinkle("datasets", "go", "--near").err
    assert "--near" in line


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["predit"],
            r"unknown command 'predit' \(did you mean predict\?\); choices: bench, .*",
        ),
        (["fly"], r"unknown command 'fly'; choices: bench, .*, train"),
        ([""], r"unknown command ''; choices: .*"),
        (["--jsn"], r"unrecognized arguments: --jsn; see `wrinkle --help`"),
        (["--", "predict"], r"unknown command '--'; choices: .*"),
        (["train"], r"the following arguments are required: recipe; see .*"),
        (["predict"], r"nothing to predict: name pictures, .*"),
        (["predict", "x", "--jsn"], r"unrecognized arguments: --jsn; see `wrinkle predict .*"),
        (["predict", "x", "--json", "--csv"], r".*not allowed with.*"),
        (["predict", "x", "--batch", "many"], r".*--batch: invalid integer value: 'many'.*"),
        (["predict", "x", "--batch", "0"], r".*--batch: 0 is too small: give 1 or more.*"),
        (["prepare", "lfv", ".", "x"], r"unknown dataset 'lfv'.*choices: .*fgnet.*"),
        (["prepare", "fgnet", ".", "x", "--size", "8"], r".*a size of 8: give 32 to 2048 pixels"),
        (["prepare", "fgnet", ".", "x", "--workers", "0"], r".*0 is too small: give 1 or more.*"),
        (["evaluate", "default"], r".*required: store.*"),
        (["evaluate", "default", "x", "--split", "best"], r".*invalid choice: 'best'.*"),
        (["evaluate", "default", "x", "--batch", "0"], r".*0 is too small: give 1 or more.*"),
        (["evaluate", "default", "x", "--workers", "-1"], r".*-1 is too small: give 0 or more.*"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    wrinkle: Command, arguments: list[str], expected: str
) -> None:
    done = wrinkle(*arguments)
    assert done.code == 2
    assert done.out == ""
    (line,) = done.err
    assert re.fullmatch(f"wrinkle: {expected}", line)


def test_options_may_come_between_files(wrinkle: Command, small_model: Path) -> None:
    done = wrinkle("predict", PORTRAIT, "--model", small_model, PORTRAIT, "--batch", 2, PORTRAIT)
    assert done.code == 0
    assert len(done.out.splitlines()) == 3


def test_an_error_from_a_worker_process_is_one_line_too(
    wrinkle: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: object) -> int:
        raise WrinkleError(
            "Caught WrinkleError in DataLoader worker process 0.\nOriginal Traceback (most recent "
            'call last):\n  File "x.py"\nwrinkle.errors.WrinkleError: x.arrow: row 3 is damaged\n'
        )

    monkeypatch.setattr("wrinkle.cli.datasets.run", fail)
    assert wrinkle("datasets") == (2, "", ["wrinkle: x.arrow: row 3 is damaged"])


# Interrupted, or the output is closed


def test_ctrl_c_prints_stopped(wrinkle: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(args: object) -> int:
        raise KeyboardInterrupt(*said)

    monkeypatch.setattr("wrinkle.cli.datasets.run", stop)
    said: tuple[str, ...] = ()
    assert wrinkle("datasets") == (130, "", ["wrinkle: stopped"])
    said = ("stopped: run the same command again to continue",)
    assert wrinkle("datasets") == (130, "", [f"wrinkle: {said[0]}"])


def test_a_run_that_sigterm_stopped_has_its_exit_code(
    wrinkle: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(args: object) -> int:
        raise Stopped("stopped in epoch 1", signal.SIGTERM)

    monkeypatch.setattr("wrinkle.cli.datasets.run", stop)
    assert wrinkle("datasets") == (143, "", ["wrinkle: stopped in epoch 1"])


@pytest.mark.kills
def test_ctrl_c_during_a_batch_keeps_the_lines_printed_so_far(small_model: Path) -> None:
    process = start("predict", *[PORTRAIT] * 2000, "--model", small_model, "--batch", 8)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, complaints = process.communicate(timeout=600)
    assert first.startswith(str(PORTRAIT))
    assert all(line.startswith(str(PORTRAIT)) for line in rest.splitlines())
    assert complaints == "wrinkle: stopped\n"
    assert process.returncode == 130


def test_a_closed_pipe_ends_without_an_error(small_model: Path) -> None:
    """As in `wrinkle predict … | head -1`: results come one by one, and the end is quiet."""
    process = start("predict", *[PORTRAIT] * 2000, "--model", small_model, "--batch", 1)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(str(PORTRAIT))
    process.stdout.close()
    assert process.wait(timeout=600) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_an_unread_pipe_ends_without_an_error() -> None:
    command = f'"{sys.executable}" -m wrinkle datasets | true; exit "${{PIPESTATUS[0]}}"'
    for arguments in ("datasets", "--help", "recipes --help"):
        line = command.replace("datasets", arguments)
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "closed",
    [">&- 2>&- <&-", *(pytest.param(e, marks=pytest.mark.slow) for e in (">&-", "2>&-", "<&-"))],
)
def test_closed_standard_streams_end_quietly(closed: str) -> None:
    for arguments, code in (("datasets", 0), ("predict none.jpg", 1), ("predict -", 2)):
        line = f'"{sys.executable}" -m wrinkle {arguments} {closed}'
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code
        assert len(done.stderr.splitlines()) == (0 if "2>" in closed or not code else 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "wrinkle", "datasets"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("wrinkle: ")
    assert "No space left on device" in line


def test_a_file_name_that_is_too_long_is_one_line(wrinkle: Command) -> None:
    done = wrinkle("predict", PORTRAIT, "--model", "x" * 300)
    assert done.code == 2
    (line,) = done.err
    assert "x" * 300 in line


def test_main_reads_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["wrinkle", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("wrinkle ")
