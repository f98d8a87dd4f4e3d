"""A Ray cluster: what Daft computes is distributed over its machines.

All of them must see the same files under the same paths.
"""

import logging
import os
import socket
import sys
from contextlib import suppress

from wrinkle.errors import WrinkleError, require

SECONDS = 5.0
QUIET = {"DO_NOT_TRACK": "1", "DAFT_PROGRESS_BAR": "0", "RAY_USAGE_STATS_ENABLED": "0"}

for _name, _value in QUIET.items():  # before Daft, which otherwise reports its import
    os.environ.setdefault(_name, _value)


def join(address: str) -> int:
    """Compute on the cluster at `address` from now on; returns how many machines it has.

    Raises:
        WrinkleError: Ray is not installed, or there is no cluster at the address.
    """
    require("ray")
    import daft
    import ray

    _check_connection(address)
    try:
        ray.init(
            address,
            runtime_env={"env_vars": QUIET},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        daft.set_runner_ray(address, noop_if_initialized=True)
    except Exception as error:  # Ray raises many kinds of errors if there is no cluster
        reason = str(error).strip().partition("\n")[0]
        raise WrinkleError(f"no Ray cluster at {address}: {reason}") from None
    return sum(node["Alive"] for node in ray.nodes())


def cores() -> int:
    """How many cores the joined cluster has."""
    import ray

    return max(int(ray.cluster_resources().get("CPU", 1)), 1)


def exit_after_interrupt() -> None:
    """Exit without waiting for Daft's threads, which abort if Python shuts down meanwhile."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(130)


def _check_connection(address: str) -> None:
    """Fail early: Ray would try for half a minute and print many lines."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WrinkleError(f"no Ray cluster at {address}: {reason}") from None
