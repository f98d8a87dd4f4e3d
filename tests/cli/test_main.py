import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command, start
from tests.conftest import EXAMPLES
from wrinkle import WrinkleError, __version__
from wrinkle.cli import VERBS, main

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
PORTRAIT = EXAMPLES / "joe_biden_2010.jpg"

# Help


def test_overview_names_every_verb(wrinkle: Command) -> None:
    for arguments in (["--help"], ["-h"], []):
        done = wrinkle(*arguments)
        assert done.code == 0
        assert done.err == []
        for verb, text in VERBS.items():
            assert re.search(rf"^  {verb} +{re.escape(text)}$", done.out, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(wrinkle: Command, verb: str) -> None:
    done = wrinkle(verb, "--help")
    assert done.code == 0
    assert done.err == []
    assert done.out.startswith(f"usage: wrinkle {verb}")


def test_version(wrinkle: Command) -> None:
    assert wrinkle("--version").out == f"wrinkle {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    heavy = {"torch", "cv2", "PIL", "pyarrow"}
    if arguments == ["--help"]:
        heavy.add("numpy")
    code = (
        "import sys; from wrinkle.cli import main; code = main(sys.argv[1:]);"
        f"sys.exit(code or ' '.join({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert done.stdout.startswith("usage: wrinkle")


def test_every_command_of_the_readme_is_understood() -> None:
    """Its options at least: a verb's parser takes each line that starts with `wrinkle`."""
    import importlib
    import shlex

    from wrinkle.cli import Parser

    lines = re.findall(r"^(?:.*\| )?wrinkle ([a-z].+?)(?: > .*)?$", README, re.MULTILINE)
    assert len(lines) > 5
    for line in lines:
        verb, *rest = shlex.split(line, comments=True)
        module = importlib.import_module(f"wrinkle.cli.{verb}")
        parser = Parser()
        module.add_arguments(parser)
        parser.parse_intermixed_args(rest)


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["predit"], r"unknown verb 'predit' \(did you mean predict\?\); choices: predict, .*"),
        (["fly"], r"unknown verb 'fly'; choices: predict, .*, doctor"),
        ([""], r"unknown verb ''; choices: .*"),
        (["--jsn"], r"unrecognized arguments: --jsn; `wrinkle --help` explains"),
        (["--", "predict"], r"unknown verb '--'; choices: .*"),
        (["predict"], r".*required: pictures; `wrinkle predict --help` explains"),
        (["predict", "x", "--jsn"], r"unrecognized arguments: --jsn; `wrinkle predict .*"),
        (["predict", "x", "--json", "--csv"], r".*not allowed with.*"),
        (["predict", "x", "--batch", "many"], r".*--batch: invalid whole_number value: 'many'.*"),
        (["predict", "x", "--batch", "0"], r".*--batch: 0 is too small: give 1 or more.*"),
        (["prepare", "lfw", ".", "x"], r".*invalid choice: 'lfw' \(choose from .*fgnet.*\).*"),
        (["prepare", "fgnet", ".", "x", "--size", "8"], r".*8 is too small: give 32 or more.*"),
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


def test_options_may_stand_between_files(wrinkle: Command, small_model: Path) -> None:
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


# Ends that are nobody's mistake


def test_ctrl_c_says_so(wrinkle: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(args: object) -> int:
        raise KeyboardInterrupt(*said)

    monkeypatch.setattr("wrinkle.cli.datasets.run", stop)
    said: tuple[str, ...] = ()
    assert wrinkle("datasets") == (130, "", ["wrinkle: stopped"])
    said = ("stopped: run the same command again to go on",)
    assert wrinkle("datasets") == (130, "", [f"wrinkle: {said[0]}"])


def test_ctrl_c_in_the_middle_of_a_batch(small_model: Path) -> None:
    process = start("predict", *[PORTRAIT] * 2000, "--model", small_model, "--batch", 8)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, complaints = process.communicate(timeout=600)
    assert first.startswith(str(PORTRAIT))
    assert all(line.startswith(str(PORTRAIT)) for line in rest.splitlines())
    assert complaints == "wrinkle: stopped\n"
    assert process.returncode == 130


def test_a_reader_who_has_seen_enough(small_model: Path) -> None:
    """As in `wrinkle predict … | head -1`: results come one by one, and the end is quiet."""
    process = start("predict", *[PORTRAIT] * 2000, "--model", small_model, "--batch", 1)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(str(PORTRAIT))
    process.stdout.close()
    assert process.wait(timeout=600) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_reader_who_never_looked() -> None:
    command = f'"{sys.executable}" -m wrinkle datasets | true; exit "${{PIPESTATUS[0]}}"'
    for arguments in ("datasets", "--help", "recipes --help"):
        line = command.replace("datasets", arguments)
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_the_output() -> None:
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


def test_a_file_name_that_is_too_long(wrinkle: Command) -> None:
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
