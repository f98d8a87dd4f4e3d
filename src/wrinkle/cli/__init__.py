"""The command line: `wrinkle VERB …`. One file per verb, imported when the verb is called."""

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from wrinkle import __version__
from wrinkle.errors import WrinkleError

VERBS = {
    "predict": "ages of the faces in photographs",
    "prepare": "pack a dataset's faces into one file",
    "curate": "build a dataset: queries or folders → labelled, split, documented faces",
    "train": "train a recipe, any of its folds, and gather their scores",
    "evaluate": "score systems on a packed dataset, and compare them",
    "table": "compare finished runs, beside what papers publish under the same protocol",
    "calibrate": "make a model's intervals hold on faces whose ages are known",
    "report": "one page of tables and figures on runs, beside one another",
    "explain": "draw what a model looks at in a face, and what each of its parts says",
    "models": "networks and trained models at hand",
    "datasets": "datasets that can be read, their terms, how to obtain them",
    "protocols": "ways to split a dataset, their sizes, and what of them a store holds",
    "recipes": "recipes at hand, or the text of one",
    "doctor": "what is installed, which device is used, whether the model file is whole",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is an error of ours: one line, like every other."""

    def error(self, message: str) -> NoReturn:
        raise WrinkleError(f"{message}; `{self.prog} --help` explains")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; returns the exit code: 0, 1 (some input was bad), 2 (failed), 130 (Ctrl-C)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if hasattr(sys.stdout, "reconfigure"):  # a file's name may hold what cannot be printed
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except WrinkleError as error:
        print(f"wrinkle: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"wrinkle: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        _flush_or_drop()
        return 0
    except OSError as error:  # such as a full disk behind `> ages.csv`
        _flush_or_drop()
        print(f"wrinkle: {error}", file=sys.stderr)
        return 2


def _run(given: Sequence[str]) -> int:
    try:
        if not given or given[0].startswith("-"):
            _overview().parse_args(given or ["--help"])
        return _run_verb(given[0], given[1:])
    except SystemExit as leave:  # how argparse ends --help and --version
        return int(leave.code or 0)


def _run_verb(verb: str, given: Sequence[str]) -> int:
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise WrinkleError(f"unknown verb {verb!r}{hint}; choices: {', '.join(VERBS)}")
    module = importlib.import_module(f"wrinkle.cli.{verb}")
    parser = Parser(
        prog=f"wrinkle {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    code: int = module.run(parser.parse_intermixed_args(given))
    return code


def _overview() -> Parser:
    verbs = "\n".join(f"  {verb:<10} {text}" for verb, text in VERBS.items())
    parser = Parser(
        prog="wrinkle",
        usage="wrinkle VERB …",
        description=f"Facial age estimation.\n\nverbs:\n{verbs}",
        epilog="`wrinkle VERB --help` explains a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"wrinkle {__version__}")
    parser.add_argument("verb", nargs="?", help=argparse.SUPPRESS)
    return parser


def _one_line(error: WrinkleError) -> str:
    # What a worker process raised arrives with the worker's traceback in front of it.
    return str(error).rpartition("WrinkleError: ")[2].strip().replace("\n", " ")


def _flush_or_drop() -> None:
    """Write out what was printed; where that fails, it must not fail once more at the very end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
