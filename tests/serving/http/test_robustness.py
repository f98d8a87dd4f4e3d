"""Whatever is sent: no 500, no traceback, no growing memory."""

import http.client
import io
import json
import random
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.cli.test_serve import served

pytestmark = pytest.mark.slow
MALFORMED = 10_000
EXPECTED = {200, 408, 413, 415, 422, 429, 503}


@pytest.fixture(scope="module")
def address(small_model: Path) -> Iterator[str]:
    """A service in a process of its own; at the end its log is read."""
    with served("--model", small_model, "--max-megabytes", 1) as service:
        yield service.address
        assert service.end() == ""
    assert service.process.returncode == 0
    assert [line for line in service.log if "Traceback" in line or '"error"' in line] == []


def test_the_schema_is_true(address: str) -> None:
    """schemathesis sends what the schema allows and what it forbids, and checks every answer."""
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("schemathesis is not installed")
    options = ["--max-examples", "200", "--seed", "1", "--no-color"]
    # A schema cannot say whether a file is a picture: valid requests may be refused.
    options += ["--exclude-checks", "positive_data_acceptance"]
    done = subprocess.run(
        [program, "run", f"{address}/openapi.json", *options], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "3 selected / 3 total" in done.stdout


def small_jpeg() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((40, 30), 60).save(file, "JPEG")
    return file.getvalue()


def malformed(number: int) -> tuple[dict[str, str], bytes]:
    """A request that was valid before something happened to it."""
    chance = random.Random(number)
    picture = small_jpeg()
    if chance.random() < 0.5:
        kind = "multipart/form-data; boundary=frontier"
        head = 'Content-Disposition: form-data; name="pictures"; filename="a.jpg"'
        body = f"--frontier\r\n{head}\r\n\r\n".encode() + picture + b"\r\n--frontier--\r\n"
    else:
        kind = "application/json"
        body = json.dumps({"pictures": [{"content": picture.hex(), "name": "a"}]}).encode()
    data = bytearray(body)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(max(len(data), 1))
        what = chance.randrange(6)
        if what == 0:
            del data[at:]
        elif what == 1:
            del data[at : at + chance.randrange(200)]
        elif what == 2:
            data[at:at] = chance.randbytes(chance.randrange(200))
        elif what == 3 and data:
            data[at] = chance.randrange(256)
        elif what == 4:
            data[at:at] = data[: chance.randrange(300)]
        elif chance.random() < 0.2:
            kind = chance.choice(["", "text/plain", "multipart/form-data", kind.upper(), kind[:-3]])
    return {"Content-Type": kind}, bytes(data)


def resident(address: str) -> float:
    """Memory of the service in MB."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    (line,) = (each for each in lines if each.startswith("process_resident_memory_bytes"))
    return float(line.split()[1]) / 1e6


def test_malformed_bodies(address: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    statuses = Counter[int]()
    before = 0.0
    for number in range(MALFORMED):
        headers, body = malformed(number)
        connection.request("POST", "/v1/ages", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        statuses[answer.status] += 1
        assert answer.status in EXPECTED, text
        if answer.status != 200:
            assert json.loads(text)["detail"]
        if number == MALFORMED // 5:
            before = resident(address)
    assert len(statuses) >= 3
    assert resident(address) < before + 20


def test_cut_and_slow_clients(address: str) -> None:
    place = urlsplit(address)
    before = resident(address)
    for number in range(300):
        headers, body = malformed(number)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST /v1/ages HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 900000\r\n\r\n"
        sent = request.encode() + body
        with socket.create_connection((place.hostname, place.port)) as client:
            client.sendall(sent[: random.Random(number).randrange(len(sent))])
    slow = [socket.create_connection((place.hostname, place.port)) for _ in range(100)]
    for client in slow:
        client.sendall(b"POST /v1/ages HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
    connection = http.client.HTTPConnection(place.netloc, timeout=20)
    connection.request("GET", "/health")  # answered beside them
    assert connection.getresponse().status == 200
    for client in slow:
        client.close()
    time.sleep(0.5)
    assert resident(address) < before + 20


def test_garbage_in_place_of_http(address: str) -> None:
    place = urlsplit(address)
    for number in range(200):
        with socket.create_connection((place.hostname, place.port), timeout=20) as client:
            client.sendall(random.Random(number).randbytes(300) + b"\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 400")
