"""The service from outside: what is sent, and what it answers."""

import base64
import io
import json
import logging
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.conftest import EXAMPLES
from tests.serving.http.live import live
from wrinkle import AgeEstimator, WrinkleError
from wrinkle.serving.http.keys import VARIABLE, Keys
from wrinkle.serving.http.limits import Limits
from wrinkle.serving.http.logs import JsonLines
from wrinkle.serving.prediction import Prediction

PORTRAIT = EXAMPLES / "grace_hopper_1984.jpg"
OTHER = EXAMPLES / "joe_biden_2010.jpg"
TEXT = EXAMPLES / "README.md"
SMALL = Limits(bytes=200_000, pixels=400_000, faces=2, requests=2, queue=3, seconds=1.0)


def post(address: str, *pictures: Path | bytes, **more: Any) -> requests.Response:
    """Send files as a browser does."""
    parts = []
    for number, each in enumerate(pictures):
        name, content = (
            (each.name, each.read_bytes()) if isinstance(each, Path) else (f"{number}.jpg", each)
        )
        parts.append(("pictures", (name, content)))
    return requests.post(f"{address}/v1/ages", files=parts, timeout=60, **more)


def send_json(address: str, body: Any, **more: Any) -> requests.Response:
    return requests.post(f"{address}/v1/ages", json=body, timeout=60, **more)


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


def check_problem(answer: requests.Response, status: int, *words: str) -> dict[str, Any]:
    """The one form of all errors, with one sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"]
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert "\n" not in problem["detail"]
    assert "Traceback" not in answer.text
    for word in words:
        assert word in problem["detail"]
    return problem


# Answers


def test_answers_have_the_form_of_predict(service: str, estimator: AgeEstimator) -> None:
    answer = post(service, PORTRAIT, OTHER)
    assert answer.status_code == 200
    expected = [p.to_dict() for p in estimator.stream([PORTRAIT, OTHER])]
    for found, own in zip(answer.json()["pictures"], expected, strict=True):
        assert found.pop("left_out") == 0
        assert list(found) == list(own)
        assert found == own | {"path": Path(own["path"]).name, "faces": found["faces"]}
        for face, own_face in zip(found["faces"], own["faces"], strict=True):
            assert list(face) == list(own_face)
            assert face["age"] == pytest.approx(own_face["age"], abs=0.02)
            assert face["box"] == pytest.approx(own_face["box"], abs=0.2)


def test_json_gives_the_same_as_an_upload(service: str) -> None:
    uploaded = post(service, PORTRAIT).json()["pictures"]
    named = {"name": PORTRAIT.name, "content": encoded(PORTRAIT)}
    assert send_json(service, {"pictures": [named]}).json()["pictures"] == uploaded
    body = {"pictures": [{"content": encoded(PORTRAIT)}]}
    (nameless,) = send_json(service, body).json()["pictures"]
    assert nameless == uploaded[0] | {"path": None}


def test_thresholds_and_distribution_on_request(service: str, estimator: AgeEstimator) -> None:
    query = {"at_least": ["18", "21.5"], "distribution": "true"}
    ((face,),) = (p["faces"] for p in post(service, PORTRAIT, params=query).json()["pictures"])
    own = estimator.predict(PORTRAIT)[0][0]
    assert face["at_least_18"] == pytest.approx(own.at_least(18), abs=1e-3)
    assert face["at_least_21.5"] == pytest.approx(own.at_least(21.5), abs=1e-3)
    assert face["ages"] == list(range(101))
    assert sum(face["distribution"]) == pytest.approx(1, abs=1e-3)


def test_a_bad_picture_does_not_cost_the_others(service: str) -> None:
    cut = PORTRAIT.read_bytes()[:20_000]
    answer = post(service, cut, PORTRAIT, TEXT, b"")
    assert answer.status_code == 200
    first, good, text, empty = answer.json()["pictures"]
    assert good["error"] is None
    assert len(good["faces"]) == 1
    assert "0.jpg: is cut short" in first["error"]
    assert "README.md: is not a picture" in text["error"]
    assert "3.jpg: is empty" in empty["error"]


def test_more_faces_than_the_limit_are_counted(small_model: Path, tmp_path: Path) -> None:
    both = Image.new("RGB", (900, 800))
    both.paste(Image.open(PORTRAIT), (0, 0))
    both.paste(Image.open(OTHER), (540, 0))
    both.save(tmp_path / "both.png")
    with live(AgeEstimator.load(small_model, device="cpu", max_faces=1)) as address:
        (picture,) = post(address, tmp_path / "both.png").json()["pictures"]
    assert len(picture["faces"]) == 1
    assert picture["left_out"] >= 1


# Errors


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (TEXT.read_bytes(), 415, "is not a picture"),
        (b"\0\0\0\x18ftypmp42" + bytes(50), 415, "is not a picture"),
        (b"", 422, "is empty"),
        (PORTRAIT.read_bytes()[:20_000], 422, "is cut short"),
        (PORTRAIT.read_bytes()[:40], 422, "is damaged"),
        (png(60_000, 1_000), 413, "60000×1000 pixels: send at most 50 megapixels"),
    ],
)
def test_a_picture_that_cannot_be_used(
    service: str, content: bytes, status: int, word: str
) -> None:
    problem = check_problem(post(service, content), status, "0.jpg", word)
    assert problem["pictures"][0]["error"] == problem["detail"]
    several = check_problem(post(service, content, b""), status, "none of the 2 pictures", word)
    assert len(several["pictures"]) == 2


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"pictures": [{"content": "no base64!"}]}, "picture 1: is not base64"),
        ({"pictures": [{"content": "https://example.org/a.jpg"}]}, "is not base64"),
        ({"pictures": [{"content": "data:image/png;base64,eA=="}]}, "without a `data:` prefix"),
        ({"pictures": [{"content": "eHh4\neA==\n"}]}, "line breaks"),
        ({"pictures": []}, "pictures: list should have at least 1 item"),
        ({"pictures": [7]}, "pictures.0"),
        ({"pictures": [{"content": "", "colour": 1}]}, "colour"),
        ({"picture": "eA=="}, "pictures: field required"),
        ([1], "the body"),
    ],
)
def test_invalid_json(service: str, body: Any, word: str) -> None:
    check_problem(send_json(service, body), 422, word)


def test_invalid_bodies_and_queries(service: str) -> None:
    url = f"{service}/v1/ages"
    kind = {"Content-Type": "application/json"}
    check_problem(requests.post(url, b"{", headers=kind, timeout=9), 422, "JSON")
    check_problem(requests.post(url, b'["\xff"]', headers=kind, timeout=9), 422)
    nested = b"[" * 100_000
    check_problem(requests.post(url, nested, headers=kind, timeout=9), 422)
    check_problem(requests.post(url, b"x", timeout=9), 415, "multipart/form-data")
    kind = {"Content-Type": "image/jpeg"}
    check_problem(requests.post(url, b"x", headers=kind, timeout=9), 415, "not image/jpeg")
    for boundary in ("", "; boundary=x"):
        kind = {"Content-Type": f"multipart/form-data{boundary}"}
        check_problem(requests.post(url, b"--y", headers=kind, timeout=9), 422, "multipart")
    check_problem(requests.post(url, files={"face": b"x"}, timeout=9), 422, "`pictures`")
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    check_problem(requests.post(url, b"--x--\r\n", headers=kind, timeout=9), 422, "no picture")
    part = b'--x\r\nContent-Disposition: form-data; name="pictures"; filename="a"\r\n\r\n'
    cut = requests.post(url, part + PORTRAIT.read_bytes(), headers=kind, timeout=9)
    check_problem(cut, 422, "cut short")
    check_problem(post(service, PORTRAIT, params={"at_least": "old"}), 422, "at_least")
    check_problem(post(service, PORTRAIT, params={"at_least": "nan"}), 422, "at_least")
    check_problem(requests.get(f"{service}/nothing", timeout=9), 404, "openapi.json")
    wrong = requests.get(url, timeout=9)
    check_problem(wrong, 405, "method")
    assert wrong.headers["Allow"] == "POST"


@pytest.fixture(scope="module")
def strict(estimator: AgeEstimator) -> Iterator[str]:
    with live(estimator, SMALL) as address:
        yield address


@pytest.mark.parametrize("size", [250_000, 350_000, 900_000])
def test_too_large_a_request(strict: str, size: int) -> None:
    check_problem(post(strict, bytes(size)), 413, "too large")

    def chunks() -> Iterator[bytes]:  # without a length
        yield from (bytes(10_000) for _ in range(size // 10_000))

    head = {"Content-Type": "application/json"}
    try:
        answer = requests.post(f"{strict}/v1/ages", data=chunks(), headers=head, timeout=9)
    except requests.ConnectionError:
        assert size > 2 * SMALL.bytes  # closed while the client was still sending
    else:
        check_problem(answer, 413, "too large")
    assert post(strict, OTHER).status_code == 200


def test_too_many_pictures(strict: str) -> None:
    check_problem(post(strict, *[png(9, 9)] * 4), 413, "too many pictures: send at most 3")
    body = {"pictures": [{"content": ""}] * 4}
    check_problem(send_json(strict, body), 413, "too many pictures: send at most 3")


def test_too_slow_an_upload(strict: str) -> None:
    host, port = strict.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(
            b"POST /v1/ages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"within 1 seconds" in answer


def test_headers_that_do_not_arrive(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wrinkle.serving.http.server.HEADER_SECONDS", 0.3)
    host, port = service.removeprefix("http://").split(":")
    for start in (b"", b"POST /v1/a"):
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(start)
            assert client.recv(100) == b""


# What is kept to itself


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What the service writes in its log."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("wrinkle.serve")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)


def test_a_log_line_per_request_without_names(service: str, logged: io.StringIO) -> None:
    answer = post(service, PORTRAIT, TEXT, headers={"X-Request-ID": "mine-1"})
    assert answer.headers["X-Request-ID"] == "mine-1"
    wait_for(lambda: "\n" in logged.getvalue())  # a line is written after its answer
    (line,) = map(json.loads, logged.getvalue().splitlines())
    facts = {"request_id": "mine-1", "method": "POST", "path": "/v1/ages", "status": 200}
    assert line.items() >= (facts | {"pictures": 2, "faces": 1, "bad": 1}).items()
    requests.get(f"{service}/secret-name?who=secret-name", timeout=9)
    check_problem(post(service, TEXT), 415)
    wait_for(lambda: logged.getvalue().count("\n") == 3)
    for secret in ("hopper", "README", "secret", "not a picture"):
        assert secret not in logged.getvalue()


def test_an_odd_request_id_is_replaced(service: str) -> None:
    for odd in ("a b", "x" * 65, '"'):
        answer = requests.get(f"{service}/health", headers={"X-Request-ID": odd}, timeout=9)
        assert answer.headers["X-Request-ID"] != odd


def test_nothing_is_written_to_a_disk(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a temporary file")

    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)
    large = PORTRAIT.read_bytes() + bytes(3 << 20)
    assert post(service, large).status_code == 200


def test_every_answer_forbids_other_addresses(service: str) -> None:
    for path in ("/", "/page/main.js", "/health", "/nothing"):
        policy = requests.get(service + path, timeout=9).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "http" not in policy


def test_a_key_is_needed_where_there_are_keys(estimator: AgeEstimator) -> None:
    keys = Keys.from_environment({VARIABLE: "first, second"})
    with live(estimator, keys=keys) as address:
        for header in ({}, {"Authorization": "Bearer third"}, {"Authorization": "Basic first"}):
            answer = post(address, OTHER, headers=header)
            check_problem(answer, 401, "API key")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        for key in ("first", "second"):
            header = {"Authorization": f"Bearer {key}"}
            assert post(address, OTHER, headers=header).status_code == 200
        assert requests.get(f"{address}/health", timeout=9).status_code == 200
        check_problem(requests.get(f"{address}/metrics", timeout=9), 401)
    assert not Keys.from_environment({})
    with pytest.raises(WrinkleError, match="holds no key"):
        Keys.from_environment({VARIABLE: " , "})


# Beyond the limits, and failures


class Stub:
    """An estimator that computes when it may, and counts its streams."""

    def __init__(self, estimator: AgeEstimator) -> None:
        self.estimator, self.streams = estimator, 0
        self.go = threading.Event()

    def stream(self, pictures: Any, batch: int) -> Any:
        self.streams += 1
        for picture in pictures:
            self.go.wait()
            if picture.name == "bad.jpg":
                raise ValueError("of bad.jpg")
            yield from self.estimator.stream([picture], 1)


def wait_for(true: Callable[[], object]) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it does not happen")


def metric(address: str, name: str) -> float:
    lines = requests.get(f"{address}/metrics", timeout=9).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_requests_share_a_stream_and_more_are_refused(estimator: AgeEstimator) -> None:
    stub = Stub(estimator)
    limits = replace(SMALL, requests=3, queue=2, seconds=60)
    with live(stub, limits) as address, ThreadPoolExecutor() as pool:
        begun = []
        for waiting in (0, 1):  # the first one is being computed
            begun.append(pool.submit(post, address, OTHER))
            wait_for(lambda: stub.streams)
            wait_for(lambda n=waiting: metric(address, "wrinkle_pictures_waiting") == n)  # type: ignore[misc]
        answer = post(address, OTHER, OTHER)
        check_problem(answer, 429, "pictures wait")
        assert int(answer.headers["Retry-After"]) > 0
        begun.append(pool.submit(post, address, OTHER))
        wait_for(lambda: metric(address, "wrinkle_pictures_waiting") == 2)
        check_problem(post(address, OTHER), 429, "requests")
        stub.go.set()
        assert [each.result().status_code for each in begun] == [200, 200, 200]
        assert stub.streams == 1
        assert metric(address, 'wrinkle_pictures_total{result="ok"}') == 3
        assert metric(address, "wrinkle_faces_total") == 3


class Steady:
    """An estimator that takes a known time for each picture."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def stream(self, pictures: Any, batch: int) -> Any:
        for picture in pictures:
            time.sleep(self.seconds)
            yield Prediction(picture, [], width=9, height=9)


def test_what_would_come_too_late_is_refused_at_once() -> None:
    limits = Limits(seconds=2.0)
    with live(Steady(0.1), limits) as address, ThreadPoolExecutor(60) as pool:
        assert post(address, OTHER).status_code == 200  # its time is measured
        answers = list(pool.map(lambda _: post(address, OTHER), range(60)))
        served = [each for each in answers if each.status_code == 200]
        refused = [each for each in answers if each.status_code != 200]
        assert 8 <= len(served) <= 25  # 15 at a time, and those that join meanwhile
        assert max(each.elapsed.total_seconds() for each in served) < limits.seconds
        for each in refused:
            check_problem(each, 429, "within 2 seconds")
            assert 1 <= int(each.headers["Retry-After"]) <= 5
        # With nothing before it, even a request that will be late is computed.
        assert post(address, *[OTHER] * 16).status_code == 200


def test_what_takes_too_long_is_given_up(estimator: AgeEstimator) -> None:
    stub = Stub(estimator)
    with live(stub, SMALL) as address:
        check_problem(post(address, OTHER, OTHER), 503, "within 1 seconds")
        assert metric(address, "wrinkle_pictures_waiting") == 1
        stub.go.set()
        wait_for(lambda: not metric(address, "wrinkle_pictures_waiting"))
        assert post(address, OTHER).status_code == 200


def test_a_client_that_goes_away_is_not_waited_for(
    estimator: AgeEstimator, logged: io.StringIO
) -> None:
    stub = Stub(estimator)
    with live(stub, replace(SMALL, seconds=60)) as address:
        host, port = address.removeprefix("http://").split(":")
        body = json.dumps({"pictures": [{"content": encoded(OTHER)}]}).encode()
        head = b"POST /v1/ages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        for sent in (body, body[:1000]):  # after the upload, and in its midst
            with socket.create_connection((host, int(port))) as client:
                client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + sent)
                time.sleep(0.2)
        wait_for(lambda: logged.getvalue().count('"status": 499') == 2)
        stub.go.set()
        assert post(address, OTHER).status_code == 200
    assert "Traceback" not in logged.getvalue()


def test_a_failure_costs_its_own_picture_only(
    estimator: AgeEstimator, logged: io.StringIO, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(OTHER.read_bytes())
    stub = Stub(estimator)
    stub.go.set()
    with live(stub) as address:
        good, failed, other = post(address, OTHER, bad, OTHER).json()["pictures"]
        assert good["error"] is other["error"] is None
        assert "service failed" in failed["error"]
        check_problem(post(address, bad), 500, "failed")
        assert post(address, OTHER).status_code == 200
    assert '"error": "ValueError", "at": "test_app.py:' in logged.getvalue()
    assert "bad.jpg" not in logged.getvalue()


def test_openapi_names_every_status(service: str) -> None:
    schema = requests.get(f"{service}/openapi.json", timeout=9).json()
    statuses = set(schema["paths"]["/v1/ages"]["post"]["responses"])
    assert statuses >= {"200", "408", "413", "415", "422", "429", "500", "503"}
    forms = set(schema["paths"]["/v1/ages"]["post"]["requestBody"]["content"])
    assert forms == {"multipart/form-data", "application/json"}
