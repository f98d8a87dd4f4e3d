"""Build a dataset: search queries, URL lists or folders → labelled, split, documented faces.

wrinkle curate run faces.yaml             # every stage that is not done; it can be stopped anytime
wrinkle curate status faces.yaml          # what was collected, kept and dropped, and why
wrinkle curate faces faces.yaml           # one stage only
wrinkle curate remove faces.yaml --url https://example.org/me.jpg

docs/curation.md describes the stages and the configuration.
"""

import argparse
import atexit
from dataclasses import replace
from typing import TYPE_CHECKING

from wrinkle.curation.stages import STAGES
from wrinkle.errors import WrinkleError, require

if TYPE_CHECKING:
    from wrinkle.curation.config import Config
    from wrinkle.curation.stages.context import StageContext

AGAIN = {"collect": ("found", "collect", "pictures", "faces"), "faces": ("faces",)}
"""Stage → folders that --again deletes; they include those made from the stage's results."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(
        dest="action", metavar="COMMAND", required=True, title="commands"
    )

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("config", metavar="CONFIG", help="a YAML file; see docs/curation.md")
        command.set_defaults(ray=None, again=False, retry=False)
        return command

    add("status", "show what was collected, kept and dropped, and why")
    actions = {"run": add("run", "run all stages that are not done")}
    actions |= {stage: add(stage, text) for stage, text in STAGES.items()}
    actions["remove"] = add("remove", "remove pictures, persons or faces from every stage")
    for command in actions.values():
        command.add_argument(
            "--ray", metavar="ADDRESS", help="a Ray cluster, such as ray://HOST:10001, or auto"
        )
    for name in ("run", "collect"):
        actions[name].add_argument(
            "--retry", action="store_true", help="fetch again what failed temporarily"
        )
    for name in AGAIN:
        actions[name].add_argument(
            "--again", action="store_true", help="first delete the results of the stage"
        )
    for option, text in (
        ("--url", "the URL of a picture"),
        ("--person", "a person's name in the sources"),
        ("--face", "a face's name in the tables"),
    ):
        actions["remove"].add_argument(option, action="append", default=[], help=text)


def run(args: argparse.Namespace) -> int:
    if args.action == "remove" and not (args.url or args.person or args.face):
        raise WrinkleError("remove needs --url, --person or --face")
    require("curate")
    from daft.exceptions import DaftCoreException

    from wrinkle.console import complain
    from wrinkle.curation.config import load_config

    config = load_config(args.config)
    if args.action in ("push", "pull") and config.refine is None:
        raise WrinkleError(f"{args.config}: labelling by people needs a section refine")
    if args.action == "status" and not config.workspace.exists():
        print(f"nothing yet in {config.workspace}: start with `wrinkle curate run CONFIG`")
        return 0
    try:
        problems = _act(args, config)
    except DaftCoreException as error:
        reason = str(error).strip().partition("\n")[0]
        raise WrinkleError(
            f"a table in {config.workspace} cannot be read ({reason}): delete its folder, and run"
            " the command again"
        ) from None
    for line in problems:
        complain(line)
    return 1 if problems else 0


def _act(args: argparse.Namespace, config: "Config") -> list[str]:
    """Run the action, print the status, and return the problems."""
    from wrinkle.console import say
    from wrinkle.curation import export
    from wrinkle.curation.people.refine import summary
    from wrinkle.curation.stages.card import PAGE
    from wrinkle.curation.stages.context import StageContext
    from wrinkle.curation.status import table
    from wrinkle.curation.workspace import Workspace

    refined = config.refine is not None
    context = StageContext(Workspace(config.workspace), config)
    if args.action != "status":
        with context.workspace.locked():
            _run_stages(args, context)
    print(table(context.workspace, refined))
    if refined and args.action in ("run", "pull"):
        print(summary(context.workspace))
    exported = context.workspace.root / export.FOLDER
    if args.action in ("run", "card") and not context.problems and exported.exists():
        say(f"the dataset is in {exported}; {exported / PAGE} describes it")
    return context.problems


def _run_stages(args: argparse.Namespace, context: "StageContext") -> None:
    from wrinkle.cluster import exit_after_interrupt, join
    from wrinkle.curation.remove import finish, without
    from wrinkle.curation.stages.collect import forget_temporary_errors
    from wrinkle.curation.stages.pipeline import run_stages

    workspace = context.workspace
    if args.ray is not None:
        workspace.machines = join(args.ray)
    try:
        finish(workspace)
        if args.action == "remove":
            _remove(args, context)
            return
        for folder in AGAIN[args.action] if args.again else ():
            workspace.discard(folder)
        if args.retry:
            forget_temporary_errors(workspace)
        context = replace(context, config=without(context.config, workspace))
        run_stages(context, STAGES if args.action == "run" else (args.action,))
    except KeyboardInterrupt:
        atexit.register(exit_after_interrupt)
        raise KeyboardInterrupt("stopped: run the same command again to continue") from None


def _remove(args: argparse.Namespace, context: "StageContext") -> None:
    from wrinkle.curation import export
    from wrinkle.curation.remove import remove
    from wrinkle.curation.stages.pipeline import run_stages

    workspace, refine = context.workspace, context.config.refine
    if refine is None and workspace.parts("votes"):
        context.problems.append(
            f"faces were labelled by people, but {args.config} has no section refine: delete the"
            " tasks for these faces on the labelling server yourself"
        )
    exported = (workspace.root / export.FOLDER).exists()
    removed = remove(workspace, args.url, args.person, args.face, refine)
    print(f"removed: URLs {removed.urls:,}, pictures {removed.pictures:,}, faces {removed.faces:,}")
    if exported and len(workspace.table("split", "face")):
        run_stages(context, ("card",))
