"""Build a dataset: search queries, URL lists or folders → labelled, split, documented faces.

wrinkle curate run faces.yaml             # every stage that is not done; stop it at any moment
wrinkle curate status faces.yaml          # what came, was kept, was dropped and why
wrinkle curate faces faces.yaml           # one stage alone
wrinkle curate remove faces.yaml --url https://example.org/me.jpg

Stages: collect, faces, deduplicate, coarse-label, push and pull (people's ages, through Label
Studio), split, card. docs/curation.md walks through them.
"""

import argparse
import atexit
import os
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    from wrinkle.curation.stages.pipeline import Run

STAGES = ("collect", "faces", "deduplicate", "coarse-label", "push", "pull", "split", "card")
AGAIN = {"collect": ("found", "collect", "pictures", "faces"), "faces": ("faces",)}
"""Stages whose work --again throws away, and its folders: no face stays without its picture."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    actions = ("run", "status", *STAGES, "remove")
    add("action", choices=actions, metavar="ACTION", help=", ".join(actions))
    add("config", help="a YAML file; see docs/curation.md")
    add("--ray", metavar="ADDRESS", help="work on a Ray cluster, ray://HOST:10001 say, or auto")
    add("--again", action="store_true", help="collect, faces: throw away what the stage has done")
    add("--retry", action="store_true", help="collect: ask anew for what failed in passing")
    add("--url", action="append", default=[], help="remove: the URL of a picture")
    add("--person", action="append", default=[], help="remove: a person, as sources name them")
    add("--face", action="append", default=[], help="remove: a face, as tables name it")


def run(args: argparse.Namespace) -> int:
    _check(args)
    try:
        from daft.exceptions import DaftCoreException

        from wrinkle.curation.config import load_config
        from wrinkle.curation.stages.pipeline import Run
        from wrinkle.curation.status import table
        from wrinkle.curation.workspace import Workspace
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise WrinkleError(f"{missing} is missing: pip install 'wrinkle[curate]'") from None

    config = load_config(args.config)
    refined = config.refine is not None
    if args.action in ("push", "pull") and not refined:
        raise WrinkleError(f"{args.config}: nobody is to be asked: add a section refine")
    if args.action == "status" and not config.workspace.exists():
        print(f"nothing yet in {config.workspace}: `wrinkle curate run CONFIG` begins")
        return 0
    workspace = Workspace(config.workspace)
    troubles: list[str] = []
    try:
        if args.action != "status":
            this = Run(workspace, config, troubles=troubles)
            with workspace.locked():
                _work(args, this)
        print(table(workspace, refined))
        if refined and args.action in ("run", "pull"):
            from wrinkle.curation.people.refine import summary

            print(summary(workspace))
    except DaftCoreException as error:
        reason = str(error).strip().partition("\n")[0]
        raise WrinkleError(
            f"a table in {config.workspace} cannot be read ({reason}): delete its folder, and run"
            " again"
        ) from None
    for line in troubles:
        print(f"wrinkle: {line}", file=sys.stderr)
    return 1 if troubles else 0


def _check(args: argparse.Namespace) -> None:
    """Options stand where they mean something."""
    if args.again and args.action not in AGAIN:
        raise WrinkleError(f"--again goes with {' or '.join(AGAIN)}, not with {args.action}")
    if args.retry and args.action not in ("collect", "run"):
        raise WrinkleError(f"--retry goes with collect or run, not with {args.action}")
    if bool(args.url or args.person or args.face) != (args.action == "remove"):
        raise WrinkleError("remove goes with --url, --person or --face, and they with remove")


def _work(args: argparse.Namespace, this: "Run") -> None:
    from wrinkle.curation.stages.collect import forget_passing
    from wrinkle.curation.remove import finish, without
    from wrinkle.curation.stages.pipeline import go

    if args.ray is not None:
        from wrinkle.curation.cluster import join

        join(this.workspace, args.ray)
    try:
        finish(this.workspace)
        if args.action == "remove":
            _remove(args, this)
            return
        for folder in AGAIN[args.action] if args.again else ():
            this.workspace.discard(folder)
        if args.retry:
            forget_passing(this.workspace)
        this = replace(this, config=without(this.config, this.workspace))
        go(this, STAGES if args.action == "run" else (args.action,))
    except KeyboardInterrupt:
        atexit.register(_leave)
        raise KeyboardInterrupt("stopped: run the same command again to go on") from None


def _leave() -> None:
    """Do not wait for Daft's threads: one that comes back to Python as it ends aborts it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(130)


def _remove(args: argparse.Namespace, this: "Run") -> None:
    from wrinkle.curation import export
    from wrinkle.curation.people.refine import Settings
    from wrinkle.curation.remove import remove
    from wrinkle.curation.stages.pipeline import go

    workspace, refine = this.workspace, this.config.refine
    settings = None if refine is None else Settings(**refine.model_dump())
    if settings is None and workspace.parts("votes"):
        this.troubles.append(
            f"people were once asked, but {args.config} has no section refine: what their server"
            " shows of these faces is left for you to delete"
        )
    exported = (workspace.root / export.FOLDER).exists()
    gone = remove(workspace, args.url, args.person, args.face, settings)
    print(f"removed: URLs {gone.urls:,}, pictures {gone.pictures:,}, faces {gone.faces:,}")
    if exported and len(workspace.table("split", "face")):
        go(this, ("card",))
