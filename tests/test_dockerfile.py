"""The steps of the Dockerfile, in a bare virtual environment, because few machines have Docker."""

import json
import os
import re
import shutil
import subprocess
import time
import venv
from pathlib import Path
from urllib.request import urlopen

import pytest
import requests

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def run(command: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    if "No matching distribution" in done.stderr or "ConnectionError" in done.stderr:
        pytest.skip("the packages cannot be downloaded here")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_its_steps_give_a_service(tmp_path: Path) -> None:
    python = tmp_path / "venv"
    venv.create(python, with_pip=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    environment["PATH"] = f"{python / 'bin'}:{environment['PATH']}"
    (comment,) = re.findall(r"^#   (pip wheel .+)$", DOCKERFILE, re.MULTILINE)
    run(comment.replace("dist", str(tmp_path / "dist")), ROOT, environment)
    (copied,) = instructions("COPY")
    assert copied == "dist/wrinkle-*.whl /tmp/"
    for step in instructions("RUN"):
        # pip's own index: the machine may reach another one, or a folder of wheels.
        step = re.sub(r" --index-url \S+", "", step).replace("/tmp/", f"{tmp_path / 'dist'}/")
        run(step, tmp_path, environment)

    (entry,) = instructions("ENTRYPOINT")
    program, *arguments = json.loads(entry)
    installed = shutil.which(program, path=environment["PATH"])
    assert installed == str(python / "bin" / "wrinkle")
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [installed, *arguments, "--port", "0"], cwd=tmp_path, env=environment, stderr=file
        )
    try:
        address = None
        for _ in range(600):
            address = re.search(r"http://0\.0\.0\.0:(\d+)", log.read_text())
            if address or process.poll() is not None:
                break
            time.sleep(0.2)
        assert address, log.read_text()
        base = f"http://127.0.0.1:{address[1]}"
        with urlopen(f"{base}/health", timeout=60) as answer:
            assert json.load(answer)["status"] == "ok"
        with urlopen(base, timeout=60) as answer:
            assert b"main.js" in answer.read()
        picture = (ROOT / "examples" / "grace_hopper_1984.jpg").read_bytes()
        found = requests.post(f"{base}/v1/ages", files={"pictures": picture}, timeout=60)
        assert 70 < found.json()["pictures"][0]["faces"][0]["age"] < 90
    finally:
        process.terminate()
        assert process.wait(60) == 0
