"""Tasks of a Label Studio project: a face for each, and people's answers to it.

A task's meta have its face and its round.
"""

import base64
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from wrinkle.curation.people.label_studio import field, unknown_form

OLDEST = 120
UNUSABLE = ("no face", "several people", "not a photograph")
LABEL_CONFIG = f"""<View>
  <Image name="image" value="$image" maxWidth="480px" zoomControl="false"/>
  <Header value="How old is this person, in years?"/>
  <Number name="age" toName="image" min="0" max="{OLDEST}" step="1"/>
  <Header value="Or why can nobody say?"/>
  <Choices name="unusable" toName="image" choice="single" showInline="true">
    {"".join(f'<Choice value="{why}"/>' for why in UNUSABLE)}
  </Choices>
</View>"""
VOTES = pa.schema(
    [
        ("face", pa.string()),
        ("person", pa.string()),  # the server's number of the account, nothing else about it
        ("age", pa.float64()),  # years; null if none was given
        ("unusable", pa.bool_()),  # the person says that this is not one person's face
        ("round", pa.int64()),
        ("at", pa.string()),  # ISO 8601
        ("seconds", pa.float64()),  # that the answer took
    ]
)
"""People's answers: the latest one of each person to each face."""


class Task(NamedTuple):
    """A task on the server.

    Attributes:
        round: counts how often its face was asked about, from 1.
        done: whether all people have answered whom it was for.
        answers: see `_answers`.
    """

    number: int
    face: str
    round: int
    done: bool
    answers: list[dict[str, Any]]


class Tasks:
    """The tasks of a project; those that were not sent by `refine.push` are ignored.

    Args:
        tasks: as the server lists them.
    """

    def __init__(self, tasks: Iterator[dict[str, Any]]) -> None:
        self.tasks: list[Task] = []
        self._by_face: defaultdict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            meta = task.get("meta") or {}
            face, number = meta.get("face"), meta.get("round")
            if isinstance(face, str) and isinstance(number, int):
                answers = list(_answers(face, number, field(task, "annotations", list)))
                done = field(task, "is_labeled", bool)
                self.tasks.append(Task(field(task, "id", int), face, number, done, answers))
                self._by_face[face].append(self.tasks[-1])

    def round(self, face: str) -> int:
        """The latest round in which the face was asked about; 0: never."""
        return max((task.round for task in self._by_face.get(face, ())), default=0)

    def finished(self, face: str) -> bool:
        """Whether the tasks of the face's latest round are done."""
        last = self.round(face)
        return all(task.done for task in self._by_face.get(face, ()) if task.round == last)

    def duplicates(self) -> Iterator[int]:
        """Unanswered tasks of a face and round that has another task.

        A server may finish an import after the sending process was killed and another one has
        listed the tasks.
        """
        seen = set()
        for task in sorted(self.tasks, key=lambda task: (not task.answers, task.number)):
            if (task.face, task.round) in seen and not task.answers:
                yield task.number
            seen.add((task.face, task.round))

    def votes(self) -> pa.Table:
        """The latest answer of each person to each face, see `VOTES`."""
        answers = [answer for task in self.tasks for answer in task.answers]
        answers.sort(key=lambda answer: answer["order"])
        latest = {(answer["face"], answer["person"]): answer for answer in answers}
        return pa.Table.from_pylist([latest[key] for key in sorted(latest)], VOTES)


def _answers(face: str, number: int, answers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A task's answers: rows of `VOTES`, and `order`, their sort key in time."""
    for answer in answers:
        cancelled = field(answer, "was_cancelled", bool)
        if cancelled or answer.get("completed_by", "") is None:  # of an account that was deleted
            continue
        at = field(answer, "updated_at", str)
        try:
            moment = datetime.fromisoformat(at).timestamp()
        except ValueError:
            raise unknown_form(f"a time {at!r}") from None
        result = field(answer, "result", list)
        values = {field(r, "from_name", str): field(r, "value", dict) for r in result}
        unusable = bool(values.get("unusable", {}).get("choices"))
        age = values.get("age", {}).get("number")
        seconds = answer.get("lead_time")
        valid = isinstance(age, int | float) and 0 <= age <= OLDEST and not unusable
        yield {
            "face": face,
            "person": str(field(answer, "completed_by", int)),
            "age": float(age) if valid else None,
            "unusable": unusable,
            "round": number,
            "at": at,
            "seconds": float(seconds) if isinstance(seconds, int | float) else None,
            "order": (moment, field(answer, "id", int)),
        }


def new_task(face: str, number: int, age: float | None, picture: bytes) -> dict[str, Any]:
    """A face as a task for the server; its coarse age is filled in."""
    about = {"face": face, "round": number}
    value = {"number": min(max(round(age), 0), OLDEST)} if age is not None else None
    result = {"from_name": "age", "to_name": "image", "type": "number", "value": value}
    uri = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    return {
        "data": {"image": uri, **about},  # people see this
        "meta": about,  # listed without the pictures
        "predictions": [{"model_version": "coarse", "result": [result]}] if value else [],
    }
