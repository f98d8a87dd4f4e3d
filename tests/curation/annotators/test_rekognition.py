import base64
import json
import logging
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from benchmarks.local_web import Route, answer

from tests.curation.annotators.local_service import CROP, Service, hang_up, reply
from wrinkle.curation.annotators import ANNOTATORS, AnnotatorError, Crop, rekognition
from wrinkle.curation.annotators.rekognition import Rekognition
from wrinkle.errors import WrinkleError

pytest.importorskip("boto3", reason="needs the extra rekognition")

KEY, SECRET, TOKEN = (
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/EXAMPLEKEY",
    "IQoJb3JpZ2/tOkEn==",
)


def face(
    low: int = 20, high: int = 29, left: float = 0.2, top: float = 0.2, side: float = 0.6
) -> dict:
    """As documented, with the attributes that are always there."""
    return {
        "AgeRange": {"Low": low, "High": high},
        "BoundingBox": {"Width": side, "Height": side, "Left": left, "Top": top},
        "Confidence": 99.98,
        "Landmarks": [{"Type": "eyeLeft", "X": 0.35, "Y": 0.35}],
        "Pose": {"Pitch": -3.2, "Roll": 0.4, "Yaw": 8.1},
        "Quality": {"Brightness": 73.0, "Sharpness": 92.2},
    }


def found(*faces: dict) -> Route:
    return reply({"FaceDetails": list(faces)}, content_type="application/x-amz-json-1.1")


def refused(code: str, message: str, status: int = 400) -> Route:
    body = {"__type": code, "Code": code, "Logref": "5022229e-7e48-11e9", "Message": message}
    return reply(body, status, content_type="application/x-amz-json-1.1")


THROTTLED = refused("ProvisionedThroughputExceededException", "Provisioned rate exceeded")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """botocore's pauses, which take no time."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def asks(service: Service, slept: list[float]) -> Rekognition:
    return Rekognition(base=service.url)


def test_requests_are_as_documented(service: Service, asks: Rekognition) -> None:
    service.replies = [found(face(20, 29))]
    (label,) = asks.annotate([CROP])
    assert (label.age, label.age_range, label.detail) == (24.5, (20, 29), "")
    (heard,) = service.heard
    assert heard.headers["x-amz-target"] == "RekognitionService.DetectFaces"
    assert heard.headers["content-type"] == "application/x-amz-json-1.1"
    assert f"Credential={KEY}/" in heard.headers["authorization"]
    assert "/eu-west-1/rekognition/aws4_request" in heard.headers["authorization"]
    assert heard.headers["x-amz-security-token"] == TOKEN
    body = json.loads(heard.body)
    assert base64.b64decode(body.pop("Image")["Bytes"]) == CROP.image
    assert body == {"Attributes": ["AGE_RANGE"]}


def test_the_raw_answer_is_kept(service: Service, asks: Rekognition) -> None:
    service.replies = [found(face(20, 29))]
    (kept,) = json.loads(asks.annotate([CROP])[0].raw)["FaceDetails"]
    assert kept == {k: face()[k] for k in ("AgeRange", "BoundingBox", "Confidence")}


def test_without_a_session(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    service.replies = [found(face())]
    assert Rekognition("us-east-2", service.url).annotate([CROP])[0].age == 24.5
    assert "x-amz-security-token" not in service.heard[0].headers
    assert "/us-east-2/rekognition/" in service.heard[0].headers["authorization"]


@pytest.mark.parametrize("turned", [False, True])
def test_the_crops_own_face_of_several_is_used(
    service: Service, asks: Rekognition, turned: bool
) -> None:
    faces = [face(2, 8, left=0.7, top=0.0, side=0.9), face(), face(60, 66, 0.45, 0.45, 0.1)]
    service.replies = [found(*faces[:: -1 if turned else 1])]
    assert asks.annotate([CROP])[0].age == 24.5


def test_answers_without_an_age_have_a_reason(service: Service, asks: Rekognition) -> None:
    nobody_else, ageless = face(left=0.8, top=-0.1), face()
    del ageless["AgeRange"]
    for faces, detail in (
        ([], "no face"),
        ([nobody_else], "no face where the key points are"),
        ([nobody_else, ageless], "a face, but no age"),
    ):
        service.replies = [found(*faces)]
        (label,) = asks.annotate([CROP])
        assert (label.age, label.detail) == (None, detail)
        assert len(json.loads(label.raw)["FaceDetails"]) == len(faces)


@pytest.mark.parametrize(
    "trouble",
    [
        THROTTLED,
        refused("ThrottlingException", "Rate exceeded"),
        refused("InternalServerError", "Amazon Rekognition experienced a service issue", 500),
        answer(b"<html>Unavailable</html>", 503),
        hang_up,
    ],
)
def test_temporary_errors_are_tried_again(
    service: Service, asks: Rekognition, slept: list[float], trouble: Route
) -> None:
    service.replies = [trouble, trouble, trouble, found(face())]
    assert asks.annotate([CROP])[0].age == 24.5
    assert len(slept) == 3
    service.replies = [trouble]
    with pytest.raises(AnnotatorError, match=r"^rekognition gives no answer \(.*\): .*$") as caught:
        asks.annotate([CROP])
    assert not caught.value.fatal
    assert len(service.heard) == 8


@pytest.mark.usefixtures("slept")
def test_an_unreachable_service_is_reported() -> None:
    with pytest.raises(AnnotatorError, match=r"\(EndpointConnectionError\)") as caught:
        Rekognition(base="http://127.0.0.1:1").annotate([CROP])
    assert not caught.value.fatal


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        (
            refused("UnrecognizedClientException", "The security token included is invalid."),
            "UnrecognizedClientException: The security token included is invalid",
        ),
        (refused("InvalidSignatureException", "It does\nnot match"), "It does not match"),
        (refused("ExpiredTokenException", "The token is expired"), "ExpiredTokenException"),
        (refused("AccessDeniedException", "User is not authorized"), "not authorized"),
        (refused("OptInRequired", "Subscribe first", 403), "Subscribe first"),
        (refused("InvalidS3ObjectException", "No such object"), "InvalidS3ObjectException"),
        (answer(b"<html>Forbidden</html>", 403), "403"),
        (answer(status=307, location="http://127.0.0.1:1/"), "307"),
        (answer(b"<html>Log in here</html>"), "form that is not understood"),
        (reply([]), "form that is not understood"),
        (reply({"FaceDetails": [3]}), "form that is not understood"),
        (found(face("young")), "form that is not understood"),  # type: ignore[arg-type]
        (found(face(-1)), "form that is not understood"),
        (found({"AgeRange": {"Low": 3, "High": 4}}), "form that is not understood"),
    ],
)
def test_fatal_errors_stop_the_stage(
    service: Service, asks: Rekognition, refusal: Route, why: str
) -> None:
    service.replies = [refusal]
    with pytest.raises(AnnotatorError) as caught:
        asks.annotate([CROP])
    assert caught.value.fatal
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(service.heard) == 1


@pytest.mark.parametrize(
    "code", ["InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException"]
)
def test_a_bad_picture_gets_a_label_without_an_age(
    service: Service, asks: Rekognition, code: str
) -> None:
    service.replies = [refused(code, "Request has invalid image format"), found(face())]
    text, bad, good = asks.annotate([Crop(b"<html>", CROP.key_points), CROP, CROP])
    assert (text.age, bad.age, good.age) == (None, None, 24.5)
    assert text.detail.startswith("not a picture")
    assert bad.detail == f"the picture is refused: {code}: Request has invalid image format"
    assert json.loads(bad.raw)["Code"] == code


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("AWS_ACCESS_KEY_ID", "set AWS_ACCESS_KEY_ID$"),
        ("AWS_SECRET_ACCESS_KEY", "set AWS_SECRET_ACCESS_KEY$"),
        ("AWS_REGION", "give its region, or set AWS_REGION$"),
    ],
)
def test_keys_come_from_the_environment_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, why: str
) -> None:
    profile = f"aws_access_key_id={KEY}\naws_secret_access_key={SECRET}\nregion=us-west-2\n"
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(f"[default]\n{profile}")
    (tmp_path / ".aws" / "config").write_text(f"[default]\n{profile}")
    monkeypatch.delenv(missing)
    with pytest.raises(WrinkleError, match=why):
        ANNOTATORS.create("rekognition")


def test_profiles_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service, elsewhere: Service
) -> None:
    (tmp_path / ".aws").mkdir()
    text = f"region=us-west-2\nendpoint_url={elsewhere.url}\nuse_fips_endpoint=true\n"
    (tmp_path / ".aws" / "config").write_text(f"[default]\n{text}[profile other]\n{text}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", elsewhere.url)
    for profile in (None, "other", "that_is_not_there"):
        if profile:
            monkeypatch.setenv("AWS_PROFILE", profile)
        made = Rekognition()
        assert made._client.meta.endpoint_url == "https://rekognition.eu-west-1.amazonaws.com"
        service.replies = [found(face())]
        assert Rekognition(base=service.url).annotate([CROP])[0].age == 24.5


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"base": "http://rekognition.eu-west-1.amazonaws.com"}, "give https://HOST"),
        ({"region": "no region/"}, "'no region/'"),
    ],
)
def test_wrong_fields_are_one_line(fields: dict, why: str) -> None:
    with pytest.raises(WrinkleError, match=rf"^annotator rekognition: .*{why}.*$"):
        ANNOTATORS.create("rekognition", fields)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wrinkle.errors._installed", lambda package: package != "boto3")
    with pytest.raises(WrinkleError, match=r"boto3 is missing: .*\[rekognition\]"):
        ANNOTATORS.create("rekognition")


def echo(handler: BaseHTTPRequestHandler) -> None:
    """Repeats the signed text, as the real service does if the signature is wrong."""
    headers = handler.headers
    signed = f"x-amz-security-token:{headers['x-amz-security-token']}\n{headers['authorization']}"
    refused("InvalidSignatureException", f"'POST\n/\n\n{signed} {SECRET}'")(handler)


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("guarded", [True, False])
def test_keys_appear_nowhere(
    service: Service,
    slept: list[float],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    guarded: bool,
) -> None:
    if not guarded:
        monkeypatch.setattr(rekognition, "_no_details", lambda record: True)
    caplog.set_level(logging.DEBUG)
    asks = Rekognition(base=service.url)
    said = [repr(asks)]
    bad = refused("InvalidImageFormatException", f"{KEY} {SECRET} {TOKEN}")
    for one in (found(face()), bad):
        service.replies = [one]
        said += map(repr, asks.annotate([CROP]))
    unknown = answer(f"<p>{KEY}:{SECRET}:{TOKEN}".encode())
    for one in (echo, THROTTLED, hang_up, unknown, answer(status=307, location=f"/{TOKEN}")):
        service.replies = [one]
        with pytest.raises(AnnotatorError) as caught:
            asks.annotate([CROP])
        said += [str(caught.value), repr(caught.value), str(caught.getrepr(style="native"))]
    assert sum("[key]" in text for text in said) >= 4  # keys were hidden
    assert any(record.name.startswith("urllib3") for record in caplog.records)
    out, err = capfd.readouterr()
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    for key in (KEY, SECRET, TOKEN):
        for text in (*said, out, err, *files):
            assert key not in text
        assert guarded == (key not in caplog.text)  # botocore's log would have all three
