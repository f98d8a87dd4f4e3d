"""The real Label Studio, for benchmarks and tests: a server, and accounts that answer.

The environment variable LABEL_STUDIO_BIN has the path of its command if it is not installed.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

BINARY = os.environ.get("LABEL_STUDIO_BIN") or shutil.which("label-studio")


def result(age: float | None) -> list[dict[str, Any]]:
    """The result of an answer; without an age: unusable."""
    about: dict[str, Any] = {"from_name": "age", "to_name": "image", "type": "number"}
    if age is None:
        about = {"from_name": "unusable", "to_name": "image", "type": "choices"}
        return [{**about, "value": {"choices": ["no face"]}}]
    return [{**about, "value": {"number": age}}]


class Account:
    """An account, created by the sign-up page, with both of its tokens."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        session = requests.Session()
        session.get(f"{url}/user/signup/", timeout=60).raise_for_status()
        form = {"email": f"{name}@example.org", "password": f"the password of {name}"}
        form["csrfmiddlewaretoken"] = session.cookies["csrftoken"]
        answer = session.post(f"{url}/user/signup/", data=form, timeout=60, allow_redirects=False)
        assert answer.status_code == 302, answer.text[:500]
        secret = {"X-CSRFToken": session.cookies["csrftoken"]}
        self.number = str(session.get(f"{url}/api/current-user/whoami", timeout=60).json()["id"])
        self.legacy = session.get(f"{url}/api/current-user/token", timeout=60).json()["token"]
        personal = session.post(f"{url}/api/token/", headers=secret, timeout=60)
        self.personal = personal.json()["token"]

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        header = {"Authorization": f"Token {self.legacy}"}
        return requests.request(method, self.url + path, headers=header, timeout=60, **options)

    def label(self, project: int, answer: Callable[[str], float | None]) -> list[str]:
        """Answer all tasks that the server gives; returns their faces in order."""
        faces = []
        while (task := self.ask("GET", f"/api/projects/{project}/next/")).status_code == 200:
            number, face = task.json()["id"], task.json()["data"]["face"]
            body = {"result": result(answer(face)), "lead_time": 4.5}
            self.ask("POST", f"/api/tasks/{number}/annotations/", json=body).raise_for_status()
            faces.append(face)
        return faces


@contextmanager
def real_server(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Label Studio with an empty database: its URL and a function that stops it."""
    assert BINARY
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    quiet = {"COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false", "SENTRY_DSN": ""}
    own = {"LABEL_STUDIO_BASE_DATA_DIR": str(folder), "HOME": str(folder)}
    words = f"start -b --port {port} --internal-host 127.0.0.1 --enable-legacy-api-token"
    words += " --username owner@example.org --password owner"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [BINARY, *words.split()],
            env={**os.environ, **quiet, "FRONTEND_SENTRY_DSN": "", **own},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def stop() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)

    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            with suppress(requests.RequestException):
                requests.get(f"{url}/api/version", timeout=5).raise_for_status()
                break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.5)
        yield url, stop
    finally:
        stop()
