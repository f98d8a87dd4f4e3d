import base64
import json
import logging
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from benchmarks.local_web import Route, answer, redirect

from tests.curation.annotators.local_service import CROP, Service, hang_up, reply
from tests.curation.fetching import Clock
from wrinkle.curation.annotators import ANNOTATORS, AnnotatorError, Crop, facepp
from wrinkle.curation.annotators.facepp import FacePP
from wrinkle.errors import WrinkleError

KEY, SECRET = "kEy-0123456789abcdef", "sEcReT/+fedcba9876543210"


def face(age: object = 21, left: int = 60, top: int = 50, side: int = 140) -> dict:
    """As documented; `age` None: beyond the five largest."""
    found = {
        "face_rectangle": {"width": side, "top": top, "left": left, "height": side + 1},
        "face_token": "ed319e807e039ae669a4d1af0922a0c8",
    }
    return found if age is None else {"attributes": {"age": {"value": age}}} | found


def found(*faces: dict) -> dict:
    return {
        "image_id": "Dd2xUw9S/7yjr0oDHHSL/Q==",
        "request_id": "1470472868,dacf2ff1-ea45-4842-9c07-6e8418cea78b",
        "time_used": 752,
        "faces": list(faces),
        "face_num": len(faces),
    }


def refused(status: int, message: str) -> Route:
    number = "1470378968,c6f50ec6-49bd-4838-9923-11db04c40f8d"
    return reply({"time_used": 3, "error_message": message, "request_id": number}, status)


BUSY = refused(403, "CONCURRENCY_LIMIT_EXCEEDED")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPP_API_KEY", f"{KEY}\n")  # as it comes out of a file
    monkeypatch.setenv("FACEPP_API_SECRET", SECRET)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def asks(service: Service, clock: Clock) -> FacePP:
    return FacePP(service.url, 0.0, now=clock.now, sleep=clock.sleep)


def test_requests_are_as_documented(service: Service, asks: FacePP) -> None:
    service.replies = [reply(found(face(21)))]
    (label,) = asks.annotate([CROP])
    assert (label.age, label.detail) == (21.0, "")
    assert json.loads(label.raw) == found(face(21))
    (heard,) = service.heard
    assert heard.path == "/facepp/v3/detect"
    form = {name: value for name, (value,) in parse_qs(heard.body.decode()).items()}
    assert base64.b64decode(form.pop("image_base64")) == CROP.image
    assert form == {"api_key": KEY, "api_secret": SECRET, "return_attributes": "age"}


@pytest.mark.parametrize("turned", [False, True])
def test_the_crops_own_face_of_several_is_used(
    service: Service, asks: FacePP, turned: bool
) -> None:
    faces = [face(7, left=180, top=0, side=200), face(30), face(60, left=110, top=110, side=40)]
    service.replies = [reply(found(*faces[:: -1 if turned else 1]))]
    assert asks.annotate([CROP])[0].age == 30


@pytest.mark.parametrize(
    ("faces", "detail"),
    [
        ([], "no face"),
        ([face(7, left=200, top=0)], "no face where the key points are"),
        ([face(None), face(7, left=200, top=0)], "a face, but no age"),
    ],
)
def test_answers_without_an_age_have_a_reason(
    service: Service, asks: FacePP, faces: list[dict], detail: str
) -> None:
    service.replies = [reply(found(*faces))]
    (label,) = asks.annotate([CROP])
    assert (label.age, label.detail) == (None, detail)
    assert json.loads(label.raw) == found(*faces)


@pytest.mark.parametrize(
    "trouble",
    [
        BUSY,
        refused(500, "INTERNAL_ERROR"),
        answer(b"<html>Bad Gateway</html>", 502),
        answer(b"slow down", 429),
        hang_up,
    ],
)
def test_temporary_errors_are_tried_again(
    service: Service, asks: FacePP, clock: Clock, trouble: Route
) -> None:
    service.replies = [trouble, trouble, trouble, reply(found(face(21)))]
    assert asks.annotate([CROP])[0].age == 21
    ranges = zip(clock.slept, facepp.BACK_OFF, strict=True)
    assert all(0.5 * usual <= slept <= 1.5 * usual for slept, usual in ranges)


@pytest.mark.parametrize("trouble", [BUSY, refused(500, "INTERNAL_ERROR"), hang_up])
def test_persistent_errors_are_reported(service: Service, asks: FacePP, trouble: Route) -> None:
    service.replies = [trouble]
    with pytest.raises(AnnotatorError, match=r"^facepp gives no answer \(.*\): .*$") as caught:
        asks.annotate([CROP])
    assert not caught.value.fatal
    assert len(service.heard) == 4


def test_an_unreachable_service_is_reported(service: Service, asks: FacePP) -> None:
    asks._base = "http://127.0.0.1:1"
    with pytest.raises(AnnotatorError, match=r"\(ConnectionError\)") as caught:
        asks.annotate([CROP])
    assert not caught.value.fatal


def test_a_slow_answer_times_out(
    service: Service, asks: FacePP, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.5)
        reply(found(face(99)))(handler)

    monkeypatch.setattr(facepp, "SECONDS", (0.2, 0.2))
    service.replies = [slow, reply(found(face(21)))]
    assert asks.annotate([CROP])[0].age == 21


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        (refused(401, "AUTHENTICATION_ERROR"), "FACEPP_API_KEY and FACEPP_API_SECRET do not fit"),
        (
            refused(403, "AUTHORIZATION_ERROR: Insufficient Account Balance"),
            "Insufficient Account Balance",
        ),
        (refused(403, "INSUFFICIENT_PERMISSION: return_attributes"), "INSUFFICIENT_PERMISSION"),
        (refused(400, "BAD_ARGUMENTS: return_attributes"), "BAD_ARGUMENTS: return_attributes"),
        (refused(404, "API_NOT_FOUND"), "HTTP 404: API_NOT_FOUND"),
        (refused(200, "SOMETHING_NEW"), "SOMETHING_NEW"),
        (answer(b"<html>\nForbidden\n</html>", 403), "HTTP 403: <html> Forbidden </html>"),
        (answer(b"<html>\nLog in here\n</html>"), "form that is not understood"),
        (reply([]), "form that is not understood"),
        (reply({"face": []}), "form that is not understood"),
        (reply(found(face("young"))), "form that is not understood"),
        (reply(found(face(-3))), "form that is not understood"),
        (reply(found({"attributes": {"age": {"value": 3}}})), "form that is not understood"),
        (answer(b"[" * 100_000), "form that is not understood"),
    ],
)
def test_fatal_errors_stop_the_stage(
    service: Service, asks: FacePP, refusal: Route, why: str
) -> None:
    service.replies = [refusal]
    with pytest.raises(AnnotatorError) as caught:
        asks.annotate([CROP])
    assert caught.value.fatal
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert len(service.heard) == 1


def test_keys_are_not_sent_after_a_redirect(
    service: Service, elsewhere: Service, asks: FacePP
) -> None:
    for status in (302, 307):
        there = f"{elsewhere.url}/facepp/v3/detect"
        service.replies = [answer(status=status, location=there)]
        with pytest.raises(AnnotatorError, match="redirects") as caught:
            asks.annotate([CROP])
        assert caught.value.fatal
    assert not elsewhere.heard


@pytest.mark.parametrize(
    ("refusal", "raw"),
    [
        (refused(400, "IMAGE_ERROR_UNSUPPORTED_FORMAT: image_base64"), True),
        (refused(400, "INVALID_IMAGE_SIZE: image_base64"), True),
        (refused(400, "IMAGE_FILE_TOO_LARGE: image_base64"), True),
        (answer(b"Request Entity Too Large", 413), False),
    ],
)
def test_a_bad_picture_gets_a_label_without_an_age(
    service: Service, asks: FacePP, refusal: Route, raw: bool
) -> None:
    service.replies = [refusal, reply(found(face(21)))]
    bad, good = asks.annotate([Crop(b"\xff\xd8", CROP.key_points), CROP])
    assert bad.age is None
    assert bad.detail.startswith("the picture is refused: HTTP 4")
    assert bool(bad.raw) == raw
    assert not raw or json.loads(bad.raw)["error_message"] in bad.detail
    assert good.age == 21


def test_requests_are_spaced(service: Service, clock: Clock) -> None:
    asks = FacePP(service.url, 2.0, now=clock.now, sleep=clock.sleep)
    service.replies = [reply(found(face(21)))]
    asks.annotate([CROP, CROP, CROP])
    assert clock.slept == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize("missing", ["FACEPP_API_KEY", "FACEPP_API_SECRET"])
def test_a_missing_key_is_one_line(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setenv(missing, " ")
    with pytest.raises(WrinkleError, match=f"set {missing}$"):
        ANNOTATORS.create("facepp")


@pytest.mark.parametrize(
    "base", ["http://api-us.faceplusplus.com", "api-us.faceplusplus.com", "https://a/b?c", ""]
)
def test_keys_are_sent_to_https_only(base: str) -> None:
    with pytest.raises(WrinkleError, match="give https://HOST"):
        ANNOTATORS.create("facepp", {"base": base})


def echo(status: int) -> Route:
    """An answer that repeats the complete request, as a service should not."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        form = parse_qs(handler.body.decode())  # type: ignore[attr-defined]
        said = f"AUTHORIZATION_ERROR: {form['api_key']}\n{form['api_secret']}"
        reply({"error_message": said, **form} if status != 200 else found() | form, status)(handler)

    return route


@pytest.mark.usefixtures("loud")
def test_keys_appear_nowhere(
    service: Service,
    asks: FacePP,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [repr(asks)]
    bad = refused(400, f"INVALID_IMAGE_SIZE: {KEY} {SECRET}")
    for one in (echo(200), bad):
        service.replies = [one]
        said += map(repr, asks.annotate([CROP]))
    plain = answer(f"<p>{KEY}:{SECRET}".encode())
    for one in (echo(401), echo(403), echo(500), BUSY, hang_up, plain, redirect(f"/{KEY}")):
        service.replies = [one]
        with pytest.raises(AnnotatorError) as caught:
            asks.annotate([CROP])
        said += [str(caught.value), repr(caught.value), str(caught.getrepr(style="native"))]
    assert sum("[key]" in text for text in said) >= 6  # keys were hidden
    assert any(record.name.startswith("urllib3") for record in caplog.records)
    out, err = capfd.readouterr()
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    for text in (*said, caplog.text, out, err, *files):
        assert KEY not in text
        assert SECRET not in text
