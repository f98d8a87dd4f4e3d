"""Face++ Detect API 3.0 (https://console.faceplusplus.com/documents/5679127)."""

import base64
import json
import random
import time
from collections.abc import Callable, Sequence

import numpy as np
import requests
from pydantic import BaseModel, Field, ValidationError

from wrinkle.curation.annotators import ANNOTATORS
from wrinkle.curation.annotators.label import (
    ANOTHER_FACE,
    NO_AGE,
    NO_FACE,
    AnnotatorError,
    Crop,
    Label,
    own_face,
)
from wrinkle.curation.annotators.service_keys import SECONDS, Keys, checked_base
from wrinkle.curation.web.rate_limit import RateLimit
from wrinkle.settings import NotNegative

KEY, SECRET = "FACEPP_API_KEY", "FACEPP_API_SECRET"
BACK_OFF = (1.0, 4.0, 12.0)
"""Seconds before the second and later tries, times a random factor of 0.5 to 1.5."""
BAD_PICTURE = ("IMAGE_ERROR_UNSUPPORTED_FORMAT", "INVALID_IMAGE_SIZE", "IMAGE_FILE_TOO_LARGE")


@ANNOTATORS.named("facepp")
class FacePP:
    """Asks Face++, with the keys FACEPP_API_KEY and FACEPP_API_SECRET from the environment.

    Args:
        base: another endpoint, such as https://api-cn.faceplusplus.com; a key is for one of them.
        interval: seconds from one request to the next; a key allows so many per second.

    Raises:
        WrinkleError: a key is missing, or the base is not https.
    """

    local = False

    def __init__(
        self,
        base: str = "https://api-us.faceplusplus.com",
        interval: NotNegative = 1.0,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._keys = Keys("facepp", (KEY, SECRET))
        self._base = checked_base("facepp", base)
        self._interval = interval
        self._rate_limit = RateLimit(now, sleep)
        self._session = requests.Session()

    def annotate(self, crops: Sequence[Crop]) -> list[Label]:
        """See `Annotator`. AnnotatorError after four failed tries."""
        return [self._annotate(crop) for crop in crops]

    def _annotate(self, crop: Crop) -> Label:
        problem = ""
        for pause in (*BACK_OFF, None):
            self._rate_limit.wait(self._base, self._interval)
            status, text = self._post(crop.image)
            message = _message(text)
            if status == 200 and not message:
                return self._label(text, crop.key_points)
            problem = self._keys.line(f"HTTP {status}: {message or text}" if status else text)
            if not _is_temporary(status, message):
                return self._refusal(status, message, problem, text)
            if pause is not None:
                self._rate_limit.pause(self._base, pause * random.uniform(0.5, 1.5))
        raise AnnotatorError(
            f"facepp gives no answer ({problem}): run again later, or with a longer interval"
        )

    def _post(self, image: bytes) -> tuple[int, str]:
        """Status and text of the answer; 0 and the kind of error if there is none."""
        form = {
            "api_key": self._keys[KEY],  # in the body, since addresses are logged
            "api_secret": self._keys[SECRET],
            "image_base64": base64.b64encode(image).decode(),
            "return_attributes": "age",
        }
        try:
            url = f"{self._base}/facepp/v3/detect"
            answer = self._session.post(url, form, timeout=SECONDS, allow_redirects=False)
            return answer.status_code, answer.content.decode("utf-8", "replace")
        except requests.RequestException as error:
            return 0, type(error).__name__

    def _refusal(self, status: int, message: str, problem: str, text: str) -> Label:
        """The label of a picture that is refused; AnnotatorError if every picture would be."""
        if message.startswith(BAD_PICTURE) or status == 413:
            return Label(None, f"the picture is refused: {problem}", message and self._raw(text))
        if status == 401:
            what = f"{KEY} and {SECRET} do not fit each other, or are not for {self._base}"
        elif message.startswith("AUTHORIZATION_ERROR"):
            what = f"the key may not be used ({problem}): see your account"
        elif 300 <= status < 400:
            what = f"{self._base} redirects to another server, which must not get the keys:"
            what += " give the right base"
        else:
            what = f"a refusal that is not about the picture ({problem}): see {self._base}"
        raise AnnotatorError(f"facepp: {what}", fatal=True)

    def _label(self, text: str, key_points: np.ndarray) -> Label:
        try:
            faces = _Answer.model_validate_json(text).faces
        except ValidationError:
            raise AnnotatorError(
                f"facepp answers in a form that is not understood ({self._keys.line(text)[:60]!r}):"
                " see whether a newer wrinkle reads it",
                fatal=True,
            ) from None
        raw = self._raw(text)
        own = own_face(np.array([face.face_rectangle.corners for face in faces]), key_points)
        if own is None:
            return Label(None, ANOTHER_FACE if faces else NO_FACE, raw)
        attributes = faces[own].attributes
        if attributes is None or attributes.age is None:
            return Label(None, NO_AGE, raw)
        return Label(attributes.age.value, raw=raw)

    def _raw(self, text: str) -> str:
        return self._keys.hide(json.dumps(json.loads(text), ensure_ascii=False))


class _Age(BaseModel):
    value: float = Field(ge=0, le=150)


class _Attributes(BaseModel):
    age: _Age | None = None


class _Rectangle(BaseModel):
    left: float
    top: float
    width: float
    height: float

    @property
    def corners(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.left + self.width, self.top + self.height


class _Face(BaseModel):
    face_rectangle: _Rectangle
    attributes: _Attributes | None = None  # only the five largest faces have some


class _Answer(BaseModel):
    faces: list[_Face]


def _message(text: str) -> str:
    """The error_message of an answer; empty if it has none."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):  # some errors come as plain text
        return ""
    return str(answer.get("error_message", "")) if isinstance(answer, dict) else ""


def _is_temporary(status: int, message: str) -> bool:
    too_many = status == 429 or message.startswith("CONCURRENCY_LIMIT_EXCEEDED")
    return status == 0 or status >= 500 or too_many
