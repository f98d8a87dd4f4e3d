"""The command line: `wrinkle COMMAND …`, one file per command.

A module of this package is a command if it defines `add_arguments(parser)`, which adds the
command's arguments, and `run(args)`, which runs it and returns the exit code. Its docstring is the
command's help. Installed packages add commands by entry points `wrinkle.commands` that name such a
module. A command is imported when it is called; slow imports are inside `run`.
"""

import argparse
import ast
import difflib
import os
import pkgutil
import re
import signal
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from wrinkle import __version__
from wrinkle.cores import configure_openmp
from wrinkle.errors import WrinkleError

MARK = "\0"
"""Precedes a name that begins with a dash while argparse parses it; no name can contain it."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises a `WrinkleError` instead of printing an error and exiting."""

    def error(self, message: str) -> NoReturn:
        """Raise a WrinkleError with argparse's message."""
        raise WrinkleError(f"{message}; see `{self.prog} --help`")

    def parse(self, given: Sequence[str]) -> argparse.Namespace:
        """Parse a command line; options may be between files unless there are subcommands.

        What follows `--` is never an option.

        Args:
            given: arguments after the command's name.

        Raises:
            WrinkleError: they are invalid.
        """
        if self._subparsers is not None:  # not supported by `parse_intermixed_args`
            return self.parse_args(given)
        # `parse_intermixed_args` forgets `--`, so names such as -a.jpg are marked instead.
        end = given.index("--") if "--" in given else len(given)
        names = [f"{MARK}{name}" if name.startswith("-") else name for name in given[end + 1 :]]
        found = self.parse_intermixed_args([*given[:end], *names])
        return argparse.Namespace(**{key: _unmarked(value) for key, value in vars(found).items()})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: of the command line; None: the program's.

    Returns:
        The exit code: 0, 1 (some inputs were invalid), 2 (failed), 130 (Ctrl-C) or 143 (a run
        stopped by SIGTERM).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_standard_streams()
    configure_openmp()
    if hasattr(sys.stdout, "reconfigure"):  # some file names cannot be encoded
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except WrinkleError as error:
        _complain(_one_line(error))
        return 2
    except KeyboardInterrupt as stop:
        _complain(str(stop) or "stopped")
        return 128 + getattr(stop, "signal", signal.SIGINT)
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        _flush_or_drop()
        return 0
    except OSError as error:  # such as a full disk: `> ages.csv`
        _flush_or_drop()
        name = f"{error.filename}: " if error.filename else ""
        _complain(f"{name}{error.strerror}" if error.strerror else str(error))
        return 2


def _open_standard_streams() -> None:
    """Connect those that the caller closed (`>&-`) to the null device.

    Otherwise the next file that is opened would become the standard output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            stream = os.fdopen(number, "w" if number else "r", encoding="utf-8")
            setattr(sys, name, stream)


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(each) for each in value]
    if isinstance(value, str | Path) and str(value).startswith(MARK):
        return type(value)(str(value).removeprefix(MARK))
    return value


def _complain(text: str) -> None:
    from wrinkle.console import complain  # tqdm takes 20 ms to import

    complain(text)


def _run(given: Sequence[str]) -> int:
    try:
        if not given or given[0].startswith("-"):
            _overview().parse_args(given or ["--help"])
        return _run_command(given[0], given[1:])
    except SystemExit as end:  # raised by argparse after --help and --version
        return int(end.code or 0)


def _run_command(name: str, given: Sequence[str]) -> int:
    module: Any = _load(name)
    parser = command_parser(f"wrinkle {name}", module)
    code: int = module.run(parser.parse(given))
    return code


def command_parser(program: str, module: ModuleType) -> Parser:
    """Create the parser of a command.

    Args:
        program: name in its help, such as "wrinkle train".
        module: of the command.
    """
    parser = Parser(
        prog=program,
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def commands() -> dict[str, str]:
    """Return every command's name → its first sentence, without importing the commands."""
    texts = {}
    for finder, name, _ in pkgutil.iter_modules(__path__):
        spec = finder.find_spec(name, None)
        source = spec.loader.get_source(name) if spec else None  # type: ignore[union-attr]
        text = _summary(source or "")
        if text is not None:
            texts[name] = text
    for point in _entry_points():
        package = point.dist.name if point.dist else point.value
        texts.setdefault(point.name, f"from the package {package}")
    return texts


def _summary(source: str) -> str | None:
    """The docstring's first sentence, up to a colon; None if the module is not a command."""
    module = ast.parse(source)
    defined = {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
    if not {"add_arguments", "run"} <= defined:
        return None
    text = " ".join((ast.get_docstring(module) or "").split())
    return re.split(r"[.:](?:\s|$)", text, maxsplit=1)[0]


def _load(name: str) -> ModuleType:
    known = commands()
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise WrinkleError(f"unknown command {name!r}{hint}; choices: {', '.join(known)}")
    if name in (module.name for module in pkgutil.iter_modules(__path__)):
        return import_module(f"wrinkle.cli.{name}")
    (point, *_) = (point for point in _entry_points() if point.name == name)
    try:
        module: ModuleType = point.load()
    except Exception as error:  # code of another package may raise anything
        raise WrinkleError(
            f"command {name!r} ({point.value}) cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return module


def _entry_points() -> Sequence[EntryPoint]:
    return tuple(entry_points(group="wrinkle.commands"))


def _overview() -> Parser:
    texts = commands()
    width = max(map(len, texts)) + 4
    lines = (
        textwrap.fill(
            text, 80, initial_indent=f"  {name}".ljust(width), subsequent_indent=" " * width
        )
        for name, text in texts.items()
    )
    parser = Parser(
        prog="wrinkle",
        usage="wrinkle COMMAND …",
        description="Facial age estimation.\n\ncommands:\n" + "\n".join(lines),
        epilog="`wrinkle COMMAND --help` describes a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"wrinkle {__version__}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    return parser


def _one_line(error: WrinkleError) -> str:
    # The message of an error in a worker process follows the worker's traceback.
    return str(error).rpartition("WrinkleError: ")[2].strip().replace("\n", " ")


def _flush_or_drop() -> None:
    """Flush standard output; if that fails, redirect it so that Python does not retry at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
