"""Amazon Rekognition's DetectFaces; needs the extra `rekognition`.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_DetectFaces.html
"""

import io
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
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
from wrinkle.errors import ImageError, WrinkleError, require
from wrinkle.faces.decode import picture_size

KEY, SECRET, TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
REGION = "AWS_REGION"
TRIES = 4
BAD_PICTURE = (
    "ImageTooLargeException",
    "InvalidImageFormatException",
    "InvalidParameterException",  # for a picture of less than 80 pixels
    "ValidationException",
)
UNKNOWN_FORM = (
    "rekognition answers in a form that is not understood: see whether a newer wrinkle reads it"
)
THROTTLED = ("ThrottlingException", "ProvisionedThroughputExceededException")


@ANNOTATORS.named("rekognition")
class Rekognition:
    """Asks Amazon Rekognition; the age is the middle of its range.

    Keys are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if needed, AWS_SESSION_TOKEN from the
    environment; the files in ~/.aws and a machine's own role are not used.

    Args:
        region: such as eu-west-1; None: AWS_REGION from the environment.
        base: replaces the region's own https://HOST.

    Raises:
        WrinkleError: the extra, a key or the region is missing.
    """

    local = False

    def __init__(self, region: str | None = None, base: str | None = None) -> None:
        self._keys = Keys("rekognition", (KEY, SECRET), (TOKEN,))
        region = region or os.environ.get(REGION)
        if not region:
            raise WrinkleError(f"annotator rekognition: give its region, or set {REGION}")
        url = None if base is None else checked_base("rekognition", base)
        self._client, self._errors = _connect(self._keys, region, url)

    def annotate(self, crops: Sequence[Crop]) -> list[Label]:
        """See `Annotator`. AnnotatorError after four failed tries."""
        return [self._annotate(crop) for crop in crops]

    def _annotate(self, crop: Crop) -> Label:
        try:
            size = picture_size(io.BytesIO(crop.image))
        except ImageError as error:
            return Label(None, f"not a picture: {error}")
        answer = self._ask(crop.image)
        if isinstance(answer, Label):
            return answer
        try:
            faces = _Answer.model_validate(answer).FaceDetails
        except ValidationError:
            raise AnnotatorError(UNKNOWN_FORM, fatal=True) from None
        raw = _Answer(FaceDetails=faces).model_dump_json()  # numbers only
        boxes = np.array([face.BoundingBox.corners for face in faces]).reshape(-1, 4)
        own = own_face(boxes * (*size, *size), crop.key_points)
        if own is None:
            return Label(None, ANOTHER_FACE if faces else NO_FACE, raw)
        years = faces[own].AgeRange
        if years is None:
            return Label(None, NO_AGE, raw)
        return Label((years.Low + years.High) / 2, "", raw, (years.Low, years.High))

    def _ask(self, image: bytes) -> dict[str, Any] | Label:
        """The answer, or the label of a picture that is refused; AnnotatorError otherwise."""
        try:
            answer = self._client.detect_faces(Image={"Bytes": image}, Attributes=["AGE_RANGE"])
        except self._errors.ClientError as error:
            response = error.response
        except self._errors.BotoCoreError as error:
            problem = type(error).__name__
            raise AnnotatorError(
                f"rekognition gives no answer ({problem}): run again later"
            ) from None
        except Exception:  # botocore assumes that the answer has the documented form
            raise AnnotatorError(UNKNOWN_FORM, fatal=True) from None
        else:
            return dict(answer)
        return self._refusal(response)  # outside `except`: the error may contain the token

    def _refusal(self, response: dict[str, Any]) -> Label:
        error = response.get("Error", {})
        code = self._keys.line(str(error.get("Code", "")))
        line = self._keys.line(f"{code}: {error.get('Message', '')}")
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in BAD_PICTURE:
            raw = json.dumps({"Code": code, "Message": self._keys.line(str(error.get("Message")))})
            return Label(None, f"the picture is refused: {line}", raw)
        if code in THROTTLED or status >= 500 or status == 429:
            raise AnnotatorError(f"rekognition gives no answer ({line}): run again later")
        raise AnnotatorError(
            f"rekognition refuses ({line}): see {KEY}, {SECRET}, what they permit, and the region",
            fatal=True,
        )


class _AgeRange(BaseModel):
    Low: int = Field(ge=0, le=150)
    High: int = Field(ge=0, le=150)


class _Box(BaseModel):
    """As fractions of the picture's width and height."""

    Left: float
    Top: float
    Width: float
    Height: float

    @property
    def corners(self) -> tuple[float, float, float, float]:
        return self.Left, self.Top, self.Left + self.Width, self.Top + self.Height


class _Face(BaseModel):
    AgeRange: _AgeRange | None = None
    BoundingBox: _Box
    Confidence: float


class _Answer(BaseModel):
    FaceDetails: list[_Face]


def _connect(keys: Keys, region: str, base: str | None) -> tuple[Any, Any]:
    """A client, and botocore's module of exceptions."""
    require("rekognition")
    import boto3
    import botocore.config
    import botocore.exceptions
    import botocore.session

    # Name → (in a file, in the environment, default, conversion): no profile, and empty files.
    nowhere = (None, None, os.devnull, None)
    core = botocore.session.Session(
        {
            "profile": (None, None, None, None),
            "config_file": nowhere,
            "credentials_file": nowhere,
        }
    )
    config = botocore.config.Config(
        connect_timeout=SECONDS[0],
        read_timeout=SECONDS[1],
        retries={"mode": "standard", "total_max_attempts": TRIES},
        ignore_configured_endpoint_urls=True,
    )
    try:
        session = boto3.Session(keys[KEY], keys[SECRET], keys[TOKEN] or None, region, core)
        client = session.client("rekognition", endpoint_url=base, config=config)
    except botocore.exceptions.BotoCoreError as error:
        raise WrinkleError(f"annotator rekognition: {keys.line(str(error))}") from None
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("boto3", "botocore"):
            logging.getLogger(name).addFilter(_no_details)
    return client, botocore.exceptions


def _no_details(record: logging.LogRecord) -> bool:
    """Drops botocore's DEBUG messages: they have every request's headers with the token."""
    return record.levelno > logging.DEBUG
