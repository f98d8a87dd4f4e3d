"""Faces → coarse ages: every annotator is asked once for each face, their mean is the coarse age.

Answers are kept by the digest of the crop, in a table for each annotator that no other stage
deletes, so that no answer is paid for twice.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import daft
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from daft import DataType, Expression, col, lit
from daft.functions import to_struct, when

from wrinkle.curation.annotators import ANNOTATORS, Annotator, AnnotatorError, Crop
from wrinkle.curation.config import annotator_title
from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.workspace import Workspace
from wrinkle.registry import load_plugins
from wrinkle.settings import NamedPart

STAGE = "coarse_label"
YEARS = ("age", "age_low", "age_high")
AT_ONCE = 1024
"""Faces of a part: a killed run loses so many of a model's answers, none of a service's."""
MAX_PROBLEMS = 5
"""Faces without an answer after which a service is not asked again in the same run."""
SCHEMA = pa.schema(
    [
        ("digest", pa.string()),  # of the face's crop
        ("age", pa.float64()),  # years; null: the annotator sees none
        ("detail", pa.string()),
        ("raw", pa.string()),  # a service's own answer
        ("asked_at", pa.string()),  # UTC
        ("age_low", pa.float64()),  # first and last year of a range; null: a single age
        ("age_high", pa.float64()),
    ]
)
"""An annotator's table of answers."""
ANSWER = DataType.struct({f.name: DataType.from_arrow_type(f.type) for f in list(SCHEMA)[1:]})


def run(context: StageContext) -> bool:
    """Ask for missing answers, and make the table again if anything has changed."""
    context.require_table("deduplicate")
    workspace, settings = context.workspace, context.config.coarse_label
    annotators, least = settings.annotators, settings.least
    problems = ask_all(workspace, annotators, context.config.plugins)
    context.problems.extend(problems)
    context.remake(
        STAGE,
        ["faces", "deduplicate", *map(answers_stage, annotators)],
        [[[each.name, each.fields] for each in annotators], least],
        lambda: coarse_label(workspace, annotators, least),
    )
    return not problems


def answers_stage(annotator: NamedPart) -> str:
    """The stage that has an annotator's answers."""
    title = annotator_title(annotator)
    short = hashlib.sha256(title.encode()).hexdigest()[:6]
    return f"answers-{re.sub('[^A-Za-z0-9]+', '-', title)[-40:]}-{short}"


def ask_all(
    workspace: Workspace, annotators: Sequence[NamedPart], plugins: Sequence[str] = ()
) -> list[str]:
    """Ask every annotator for the faces it has no answer to; returns problems, a line each.

    The next run asks a service again for the faces to which it has no answer now.

    Args:
        plugins: files that register some of the annotators; worker processes load them too.
    """
    problems: list[str] = []
    for settings in annotators:
        todo = _missing(workspace, settings)
        if len(todo):
            annotator = ANNOTATORS.create(settings.name, settings.fields)
            if annotator.local:
                _ask_model(workspace, settings, todo, plugins)
            else:
                problems += _ask_service(workspace, settings, todo, annotator)
    return problems


def coarse_label(workspace: Workspace, annotators: Sequence[NamedPart], least: int) -> None:
    """Write the table: face, age, age_low, age_high, spread, answers, dropped, by.

    age: the mean over the annotators that see one, in years. age_low, age_high: the means of the
    ranges' ends, rounded, if every one of these annotators gives a range; null otherwise. spread:
    the root mean square of the answers' deviations from the age, in years; null of one answer.
    answers: how many there are; faces with fewer than `least` are dropped. by: each annotator's
    age.
    """
    frame = kept_faces(workspace)
    if frame is None:
        return
    frame = frame.select("face", "digest")
    ages, lows, highs = ([col(f"{n}{k}") for k in range(len(annotators))] for n in YEARS)
    for number, annotator in enumerate(annotators):
        answers = _answered(workspace, answers_stage(annotator))
        own = [col(name).alias(f"{name}{number}") for name in YEARS]
        if answers is None:
            nothing = {f"{name}{number}": lit(None).cast(DataType.float64()) for name in YEARS}
            frame = frame.with_columns(nothing)
        else:
            frame = frame.join(answers.select("digest", *own), on="digest", how="left")
    count = _sum([age.not_null().cast(DataType.int64()) for age in ages])
    mean = _sum([age.fill_null(0.0) for age in ages]) / count
    deviations = [age - mean for age in ages]
    square = _sum([(each * each).fill_null(0.0) for each in deviations]) / count
    frame = frame.with_columns(
        {
            "answers": count,
            "age": when(count >= lit(1), mean).otherwise(None),
            "spread": when(count >= lit(2), square.sqrt()).otherwise(None),
            "age_low": _mean_of_all(lows, count).floor(),
            "age_high": _mean_of_all(highs, count).ceil(),
        }
    )
    few = "no age seen" if least == 1 else f"fewer than {least} answers"
    dropped = when(col("answers") < lit(least), few).otherwise(None)
    titles = map(annotator_title, annotators)
    by = to_struct(**dict(zip(titles, ages, strict=True)))
    table = frame.select(
        *("face", "age", "age_low", "age_high", "spread", "answers"),
        dropped.alias("dropped"),
        by.alias("by"),
    )
    workspace.replace(STAGE, table.sort("face"))


def kept_faces(workspace: Workspace) -> daft.DataFrame | None:
    """The rows of `faces` that deduplication keeps."""
    faces, deduplicated = workspace.frame("faces"), workspace.frame("deduplicate")
    if faces is None or deduplicated is None:
        return None
    kept = deduplicated.where(col("dropped").is_null()).select("face")
    return faces.join(kept, on="face", how="semi")


def _answered(workspace: Workspace, stage: str) -> daft.DataFrame | None:
    """Digest, age, age_low and age_high of an annotator's answers, also of earlier versions, which
    kept no ranges."""
    tables: dict[bool, list[str]] = {}
    for part in workspace.parts(stage):
        for file in part.glob("*.parquet"):
            has_ranges = "age_low" in pq.read_schema(file).names
            tables.setdefault(has_ranges, []).append(str(file))
    frames = []
    for has_ranges, files in tables.items():
        frame = daft.read_parquet(files)
        if not has_ranges:
            nothing = lit(None).cast(DataType.float64())
            frame = frame.with_columns({"age_low": nothing, "age_high": nothing})
        frames.append(frame.select("digest", *YEARS))
    return frames[0].concat(frames[1]) if len(frames) > 1 else frames[0] if frames else None


def _mean_of_all(ends: Sequence[Expression], count: Expression) -> Expression:
    """Mean of the ends of ranges of all `count` annotators that see an age; null if one of them
    gives none."""
    given = _sum([end.not_null().cast(DataType.int64()) for end in ends])
    mean = _sum([end.fill_null(0.0) for end in ends]) / count
    return when((given == count) & (count >= lit(1)), mean).otherwise(None)


def _missing(workspace: Workspace, annotator: NamedPart) -> pa.Table:
    """Digest, image and key points of the faces that an annotator was not asked for."""
    frame, stage = kept_faces(workspace), answers_stage(annotator)
    if frame is None:
        return pa.table({"digest": []})
    frame = frame.select("digest", "image", "key_points")
    answers = workspace.frame(stage)
    if answers is not None:
        frame = frame.join(answers.select("digest"), on="digest", how="anti")
    return frame.distinct("digest").sort("digest").to_arrow()


def _ask_model(
    workspace: Workspace, settings: NamedPart, todo: pa.Table, plugins: Sequence[str]
) -> None:
    model = Model(settings.name, settings.fields, list(plugins))

    def work(faces: daft.DataFrame) -> daft.DataFrame:
        answer = model.annotate(col("image"), col("key_points"))  # type: ignore[arg-type]
        answered = faces.with_column("answer", answer)  # type: ignore[arg-type]
        columns = [col("answer").get(name).alias(name) for name in ANSWER.fields]
        return answered.select("digest", *columns)

    workspace.extend(answers_stage(settings), todo, "digest", work, AT_ONCE)


@daft.cls
class Model:
    """A local annotator, created once in each working process."""

    def __init__(self, name: str, fields: dict[str, Any], plugins: list[str]) -> None:
        load_plugins(plugins)
        self.annotator = ANNOTATORS.create(name, fields)

    @daft.method.batch(return_dtype=ANSWER)
    def annotate(self, images: daft.Series, points: daft.Series) -> list[dict[str, Any]]:
        crops = list(map(_crop, images.to_pylist(), points.to_pylist()))
        return _answers(self.annotator, crops)


def _ask_service(
    workspace: Workspace, settings: NamedPart, todo: pa.Table, annotator: Annotator
) -> list[str]:
    problems: list[str] = []

    def work(faces: pa.Table) -> Iterator[dict[str, Any]]:
        for face in faces.to_pylist():
            try:
                (answer,) = _answers(annotator, [_crop(face["image"], face["key_points"])])
            except AnnotatorError as error:
                problems.append(str(error))
                if error.fatal or len(problems) == MAX_PROBLEMS:
                    return
                continue
            yield {"digest": face["digest"], **answer}

    workspace.stream(answers_stage(settings), todo, SCHEMA, work, AT_ONCE)
    return problems[-1:]


def _answers(annotator: Annotator, crops: Sequence[Crop]) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        {
            **{"age": label.age, "detail": label.detail, "raw": label.raw, "asked_at": now},
            **dict(zip(YEARS[1:], label.age_range or (None, None), strict=True)),
        }
        for label in annotator.annotate(crops)
    ]


def _crop(image: bytes, points: Sequence[float]) -> Crop:
    return Crop(image, np.array(points, np.float32).reshape(5, 2))


def _sum(terms: Sequence[Expression]) -> Expression:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
