"""A service on a free port of this machine, in a thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from wrinkle.serving.http import server
from wrinkle.serving.http.app import create_app
from wrinkle.serving.http.keys import Keys
from wrinkle.serving.http.limits import Limits


@contextmanager
def live(estimator: Any, limits: Limits | None = None, keys: Keys | None = None) -> Iterator[str]:
    """Serve, and give the address."""
    with server.listen("127.0.0.1", 0) as listening:
        app = create_app(estimator, limits, keys)
        config = uvicorn.Config(app, http=server.Protocol, log_config=None, server_header=False)
        uvicorn_server = uvicorn.Server(config)
        thread = threading.Thread(target=uvicorn_server.run, args=([listening],))
        thread.start()
        try:
            while not uvicorn_server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            uvicorn_server.should_exit = True
            thread.join()
