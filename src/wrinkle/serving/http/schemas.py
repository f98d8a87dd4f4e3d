"""The JSON of requests and responses, for checking requests and for the OpenAPI schema."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from wrinkle.serving.http.problems import MEDIA_TYPE

Number = float | None
"""None for a number that is not finite."""
Threshold = Annotated[float, Field(ge=0, le=150, allow_inf_nan=False)]


class File(BaseModel):
    """A picture in a JSON request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    content: str = Field(description="the picture's file in base64")
    name: str | None = Field(default=None, max_length=1000, description="returned as `path`")


class Pictures(BaseModel):
    """The body of a JSON request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pictures: list[File] = Field(min_length=1)


class Face(BaseModel):
    """A face, as `wrinkle predict --json` prints it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "patternProperties": {"^at_least_[0-9.]+$": {"type": ["number", "null"]}},
        },
    )

    age: Number = Field(description="years")
    low: Number = Field(description="years, of the 90 % interval")
    high: Number = Field(description="years, of the 90 % interval")
    score: Number = Field(description="the detector's confidence, 0 to 1")
    box: list[Number] = Field(
        min_length=4, max_length=4, description="left, top, right, bottom in pixels"
    )
    key_points: list[list[Number]] = Field(
        description="x and y of eyes, nose tip and mouth corners in pixels"
    )
    low_resolution: bool = Field(description="whether the age is a rough guess: few pixels")
    ages: list[float] = Field(default=[], description="years; with distribution=true")
    distribution: list[Number] = Field(
        default=[], description="probability of each of `ages`; with distribution=true"
    )


class Picture(BaseModel):
    """A picture, as `wrinkle predict --json` prints it, and how many faces were left out."""

    path: str | None = Field(description="its name as given")
    width: int | None = Field(description="of the upright picture, in pixels")
    height: int | None = Field(description="of the upright picture, in pixels")
    rotation: int = Field(description="degrees clockwise by which it was turned to be upright")
    faces: list[Face] = Field(description="most prominent first")
    error: str | None = Field(description="why it cannot be used")
    left_out: int = Field(description="further faces, beyond the limit, without an age")


class Ages(BaseModel):
    """The answer, in the order of the request."""

    pictures: list[Picture]


class ProblemDetails(BaseModel):
    """Every error (RFC 9457)."""

    title: str
    status: int
    detail: str = Field(description="one sentence")
    pictures: list[Picture] = Field(
        default=[], description="with 413, 415 or 422: what is wrong with each picture"
    )


class Health(BaseModel):
    """Whether the service answers requests."""

    status: str
    version: str


def definitions() -> dict[str, Any]:
    """Schemas of what FastAPI does not see: JSON requests and errors."""
    found: dict[str, Any] = models_json_schema(
        [(Pictures, "validation"), (ProblemDetails, "serialization")],
        ref_template="#/components/schemas/{model}",
    )[1]["$defs"]
    return found


def request_body() -> dict[str, Any]:
    """The OpenAPI description of the two forms of a request."""
    file = {"type": "string", "format": "binary"}
    multipart = {
        "type": "object",
        "properties": {"pictures": {"type": "array", "items": file, "minItems": 1}},
        "required": ["pictures"],
        "additionalProperties": False,
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": multipart},
            "application/json": {"schema": {"$ref": "#/components/schemas/Pictures"}},
        },
    }


def problem(description: str) -> dict[str, Any]:
    """The OpenAPI description of an error."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}
