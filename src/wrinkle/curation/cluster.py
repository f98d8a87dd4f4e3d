"""A Ray cluster to work on: whatever Daft computes is spread over its machines.

The workspace must lie where all of them find it under one path. Pictures are fetched, and services
asked, by the machine that runs the command alone, for only so are hosts never hurried.
"""

import logging
import os
import socket

import daft

from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

SECONDS = 5.0
QUIET = {"DO_NOT_TRACK": "1", "DAFT_PROGRESS_BAR": "0", "RAY_USAGE_STATS_ENABLED": "0"}


def join(workspace: Workspace, address: str) -> int:
    """Compute on the cluster at `address` from now on; returns how many machines it has.

    Raises:
        WrinkleError: Ray is not installed, or nobody answers there.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise WrinkleError("ray is missing: pip install 'wrinkle[ray]'") from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _knock(address)
    try:
        ray.init(
            address,
            runtime_env={"env_vars": QUIET},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        daft.set_runner_ray(address, noop_if_initialized=True)
    except Exception as error:  # Ray has many ways to say that nobody is there
        reason = str(error).strip().partition("\n")[0]
        raise WrinkleError(f"no Ray cluster at {address}: {reason}") from None
    workspace.machines = sum(node["Alive"] for node in ray.nodes())
    return workspace.machines


def _knock(address: str) -> None:
    """Ray itself would try for half a minute, and say much, before it finds nobody there."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WrinkleError(f"no Ray cluster at {address}: {reason}") from None
