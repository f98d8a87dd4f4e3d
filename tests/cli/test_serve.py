"""`wrinkle serve` as a process: started, asked, stopped."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from tests.cli.conftest import Command, start
from tests.conftest import EXAMPLES
from wrinkle import errors

pytest.importorskip("fastapi")
PORTRAIT = EXAMPLES / "grace_hopper_1984.jpg"


class Served(NamedTuple):
    """A service in a process of its own."""

    address: str
    process: "subprocess.Popen[str]"
    log: list[str]
    """Lines of its standard output; complete after `end`."""

    def end(self, ending: signal.Signals = signal.SIGTERM) -> str:
        """Stop it, and return its standard error."""
        assert self.process.stderr is not None
        self.process.send_signal(ending)
        self.process.wait(60)
        return self.process.stderr.read()


@contextmanager
def served(*arguments: object) -> Iterator[Served]:
    """Start a service; it is killed if it goes on."""
    process = start("serve", "--port", 0, "--device", "cpu", *arguments)
    log: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    reader = threading.Thread(target=log.extend, args=(process.stdout,))
    reader.start()
    try:
        line = process.stderr.readline()
        found = re.match(r"(http://\S+:\d+): ", line)
        assert found, line + process.stderr.read()
        for _ in range(600):
            try:
                requests.get(f"{found[1]}/health", timeout=60)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield Served(found[1], process, log)
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_what_has_begun(small_model: Path, ending: signal.Signals) -> None:
    answers: list[requests.Response] = []
    with served("--model", small_model, "--batch", 1) as service:
        address = service.address
        files = [("pictures", (f"secret{n}.jpg", PORTRAIT.read_bytes())) for n in range(24)]
        post = threading.Thread(
            target=lambda: answers.append(
                requests.post(f"{address}/v1/ages", files=files, timeout=60)
            )
        )
        post.start()
        while "wrinkle_pictures_waiting 0.0" in requests.get(f"{address}/metrics", timeout=9).text:
            time.sleep(0.005)
        assert service.end(ending) == ""
        post.join()
    assert service.process.returncode == 0
    (answer,) = answers
    assert answer.status_code == 200
    assert all(len(each["faces"]) == 1 for each in answer.json()["pictures"])
    assert json.loads(service.log[-1])["pictures"] == 24
    assert "secret" not in "".join(service.log)


@pytest.mark.slow
def test_limits_and_keys_are_set_on_the_command_line(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRINKLE_API_KEYS", "secret")
    limits = ("--max-megapixels", 1, "--max-queue", 1, "--max-faces", 1, "--max-megabytes", 1)
    with served("--model", small_model, *limits) as service:

        def post(*contents: bytes, key: str = "secret") -> int:
            files = [("pictures", content) for content in contents]
            header = {"Authorization": f"Bearer {key}"}
            url = f"{service.address}/v1/ages"
            return requests.post(url, files=files, headers=header, timeout=60).status_code

        content = PORTRAIT.read_bytes()
        assert post(content) == 200
        assert post(content, key="other") == 401
        assert post(content, content) == 413
        assert post(content + bytes(1 << 20)) == 413


def test_a_port_in_use_is_one_line(wrinkle: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = wrinkle("serve", "--port", port)
    assert done.code == 2
    (line,) = done.err
    assert f"port {port} of 127.0.0.1 is in use" in line
    assert "--port" in line


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--port", 70_000), "--port"),
        (("--host", "192.0.2.1"), "192.0.2.1"),
        (("--port", 0, "--model", "none.safetensors"), "none.safetensors"),
        (("--max-faces", 0), "--max-faces"),
    ],
)
def test_bad_arguments_are_one_line(
    wrinkle: Command, arguments: tuple[object, ...], word: str
) -> None:
    done = wrinkle("serve", *arguments)
    assert done.code == 2
    assert len(done.err) == 1
    assert word in done.err[0]


def test_a_variable_without_a_key_does_not_open_the_service(
    wrinkle: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRINKLE_API_KEYS", "")
    done = wrinkle("serve", "--port", 0)
    assert done.code == 2
    assert "WRINKLE_API_KEYS" in done.err[0]


def test_without_its_extra_it_names_it(wrinkle: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "extras", lambda: {"serve": ["no-such-package"]})
    done = wrinkle("serve")
    assert done.code == 2
    (line,) = done.err
    assert "[serve]" in line


def test_the_page_is_in_the_package() -> None:
    from wrinkle.serving.http.app import PAGE

    names = {"index.html", "style.css", "main.js", "service.js", "picture.js", "curve.js"}
    assert names <= set(os.listdir(PAGE))
