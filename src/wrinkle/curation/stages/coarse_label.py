"""Faces → coarse ages: every annotator is asked once for each face, their mean is the coarse age.

Answers are kept by the digest of the picture that was shown, in a table of their own for each
annotator, which no other stage throws away: what was bought is not bought again.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import daft
import numpy as np
import pyarrow as pa
from daft import DataType, Expression, col, lit
from daft.functions import to_struct, when

from wrinkle.curation.annotators import Annotator, AnnotatorError, Crop, create_annotator
from wrinkle.curation.workspace import Workspace

STAGE = "coarse_label"
AT_ONCE = 1024
"""Faces of a part: what a kill costs at most of a model's answers; of a service's it costs none."""
SCHEMA = pa.schema(
    [
        ("digest", pa.string()),  # of the face's picture
        ("age", pa.float64()),  # years; null: none was seen
        ("detail", pa.string()),
        ("raw", pa.string()),  # a service's own answer
        ("asked_at", pa.string()),  # UTC
    ]
)
"""Of an annotator's answers."""
ANSWER = DataType.struct({f.name: DataType.from_arrow_type(f.type) for f in list(SCHEMA)[1:]})
Choice = tuple[str, dict[str, Any]]
"""An annotator's name, and its fields."""


def title(choice: Choice) -> str:
    """What an annotator is called in tables: its name, and the model where it has one."""
    name, fields = choice
    return f"{name}:{fields['model']}" if "model" in fields else name


def answers_stage(choice: Choice) -> str:
    """Where an annotator's answers are kept."""
    called = title(choice)
    short = hashlib.sha256(called.encode()).hexdigest()[:6]
    return f"answers-{re.sub('[^A-Za-z0-9]+', '-', called)[-40:]}-{short}"


def ask_all(workspace: Workspace, choices: Sequence[Choice]) -> list[str]:
    """Ask every annotator for the faces it has no answer to; returns troubles, a line each.

    A face to which a service has no answer now is asked for again by the next run.
    """
    troubles: list[str] = []
    for choice in choices:
        todo = _missing(workspace, choice)
        if len(todo):
            annotator = create_annotator(choice[0], **choice[1])
            if annotator.local:
                _ask_model(workspace, choice, todo)
            else:
                troubles += _ask_service(workspace, choice, todo, annotator)
    return troubles


def coarse_label(workspace: Workspace, choices: Sequence[Choice], least: int = 1) -> None:
    """Mean over the annotators that saw an age; columns face, age, spread, answers, dropped.

    spread: the answers' deviation from their mean (root mean square), in years; null of one alone.
    by: each annotator's age. least: faces with fewer answers are dropped.
    """
    frame = kept_faces(workspace)
    if frame is None:
        return
    frame = frame.select("face", "digest")
    ages = []
    for number, choice in enumerate(choices):
        answers = workspace.frame(answers_stage(choice))
        ages.append(col(f"age{number}"))
        if answers is None:
            frame = frame.with_column(f"age{number}", lit(None).cast(DataType.float64()))
        else:
            answers = answers.select("digest", col("age").alias(f"age{number}"))
            frame = frame.join(answers, on="digest", how="left")
    count = _sum([age.not_null().cast(DataType.int64()) for age in ages])
    mean = _sum([age.fill_null(0.0) for age in ages]) / count
    off = [age - mean for age in ages]
    square = _sum([(each * each).fill_null(0.0) for each in off]) / count
    frame = frame.with_columns(
        {
            "answers": count,
            "age": when(count >= lit(1), mean).otherwise(None),
            "spread": when(count >= lit(2), square.sqrt()).otherwise(None),
        }
    )
    few = "no age seen" if least == 1 else f"fewer than {least} answers"
    dropped = when(col("answers") < lit(least), few).otherwise(None)
    by = to_struct(**{title(c): a for c, a in zip(choices, ages, strict=True)})
    table = frame.select(
        "face", "age", "spread", "answers", dropped.alias("dropped"), by.alias("by")
    )
    workspace.replace(STAGE, table.sort("face"))


def kept_faces(workspace: Workspace) -> daft.DataFrame | None:
    """The faces that are left once near-identical ones are gone, with all that `faces` knows."""
    faces, deduplicated = workspace.frame("faces"), workspace.frame("deduplicate")
    if faces is None or deduplicated is None:
        return None
    kept = deduplicated.where(col("dropped").is_null()).select("face")
    return faces.join(kept, on="face", how="semi")


def _missing(workspace: Workspace, choice: Choice) -> pa.Table:
    """Digest, image and key points of the faces that an annotator was not asked for."""
    frame, stage = kept_faces(workspace), answers_stage(choice)
    if frame is None:
        return pa.table({"digest": []})
    frame = frame.select("digest", "image", "key_points")
    answers = workspace.frame(stage)
    if answers is not None:
        frame = frame.join(answers.select("digest"), on="digest", how="anti")
    return frame.distinct("digest").sort("digest").to_arrow()


def _ask_model(workspace: Workspace, choice: Choice, todo: pa.Table) -> None:
    model = Model(*choice)

    def work(faces: daft.DataFrame) -> daft.DataFrame:
        answer = model.annotate(col("image"), col("key_points"))  # type: ignore[arg-type]
        answered = faces.with_column("answer", answer)  # type: ignore[arg-type]
        columns = [col("answer").get(name).alias(name) for name in ANSWER.fields]
        return answered.select("digest", *columns)

    workspace.extend(answers_stage(choice), todo, "digest", work, AT_ONCE)


@daft.cls
class Model:
    """An annotator of this machine, made once in each process that works."""

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self.annotator = create_annotator(name, **fields)

    @daft.method.batch(return_dtype=ANSWER)
    def annotate(self, images: daft.Series, points: daft.Series) -> list[dict[str, Any]]:
        crops = list(map(_crop, images.to_pylist(), points.to_pylist()))
        return _answers(self.annotator, crops)


def _ask_service(
    workspace: Workspace, choice: Choice, todo: pa.Table, annotator: Annotator
) -> list[str]:
    troubles: list[str] = []

    def work(faces: pa.Table) -> Iterator[dict[str, Any]]:
        for face in faces.to_pylist():
            try:
                (answer,) = _answers(annotator, [_crop(face["image"], face["key_points"])])
            except AnnotatorError as error:
                troubles.append(str(error))
                if error.fatal or len(troubles) == MOST_TROUBLES:
                    return
                continue
            yield {"digest": face["digest"], **answer}

    workspace.stream(answers_stage(choice), todo, SCHEMA, work, AT_ONCE)
    return troubles[-1:]


MOST_TROUBLES = 5
"""Faces to which a service has no answer, after which it is left alone until the next run."""


def _answers(annotator: Annotator, crops: Sequence[Crop]) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        {"age": label.age, "detail": label.detail, "raw": label.raw, "asked_at": now}
        for label in annotator.annotate(crops)
    ]


def _crop(image: bytes, points: Sequence[float]) -> Crop:
    return Crop(image, np.array(points, np.float32).reshape(5, 2))


def _sum(terms: Sequence[Expression]) -> Expression:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
