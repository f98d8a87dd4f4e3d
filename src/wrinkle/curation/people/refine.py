"""People's ages for faces: tasks go to a Label Studio server, answers come back as tables.

The server is the only one to know what was asked: nothing is noted here, so that nothing can
differ from it after a kill. A task's meta hold its face and its round.
"""

import base64
import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import daft
import pyarrow as pa
import pyarrow.compute as pc
from daft import col
from tqdm import tqdm

from wrinkle.curation.people.label_studio import KEY, LabelStudio, field, strange
from wrinkle.curation.people.votes import agreement, people, tally
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

STAGE = "refine"
AT_ONCE = 100
"""Tasks of an import."""
READ = 5000
"""Pictures in memory."""
OLDEST = 120
UNUSABLE = ("no face", "several people", "not a photograph")
PAGE = f"""<View>
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
        ("person", pa.string()),
        ("age", pa.float64()),
        ("unusable", pa.bool_()),
        ("round", pa.int64()),
        ("at", pa.string()),
        ("seconds", pa.float64()),
    ]
)
REFINED = pa.schema(
    [
        ("face", pa.string()),
        ("age", pa.float64()),
        ("deviation", pa.float64()),
        ("votes", pa.int64()),
        ("dropped", pa.string()),
        ("detail", pa.string()),
    ]
)


@dataclass(frozen=True)
class Settings:
    """Where people are asked, and until when.

    url: the server's. project: its title, 3 to 50 characters. people: who are asked about a face in
    each round. least: answers that must count. disagreement: years of label deviation above which
    people disagree. rounds: how often a face is asked about at most.
    """

    url: str = "http://localhost:8080"
    project: str = "wrinkle faces"
    people: int = 3
    least: int = 2
    disagreement: float = 8.0
    rounds: int = 2


def push(workspace: Workspace, settings: Settings) -> int:
    """Ask about the faces that coarse labelling kept; returns how many tasks were sent.

    A face is asked about once, the most uncertain first (the greatest spread, and before all those
    without one), and once more, up to `rounds`, when `people` have answered and disagree or too few
    answers count. What the server has is never sent again.

    Raises:
        WrinkleError: the server fails (see `LabelStudio`), or there are no faces to ask about.
    """
    ages = _coarse(workspace)
    server = _connect(settings)
    fields = {
        "label_config": PAGE,
        "maximum_annotations": settings.people,
        "sampling": "Sequential sampling",
        "show_skip_button": False,
        "enable_empty_annotation": False,
    }
    project = server.set_up(settings.project, fields)
    asked = _Asked(server.tasks(project))
    for task in asked.twins():
        server.delete(task)
    refined = {row["face"]: row for row in _refined(ages, asked, settings)}
    todo = [(asked.round(face) + 1, face) for face in ages if _due(refined[face], asked, settings)]
    todo.sort(key=lambda job: job[0])  # stable: the most uncertain stay first
    pictures = _pictures(workspace, [face for _, face in todo])
    with tqdm(total=len(todo), desc="push", disable=None) as bar:
        for start in range(0, len(todo), AT_ONCE):
            some = todo[start : start + AT_ONCE]
            server.add(project, [_task(f, r, ages[f], next(pictures)) for r, f in some])
            bar.update(len(some))
    return len(todo)


def pull(workspace: Workspace, settings: Settings) -> None:
    """Bring back all answers and write what they come to, three stages.

    votes: the latest answer of each person to each face: face, person (the server's number for an
    account, nothing else of it), age (years, null where there is none), unusable, round, at (ISO
    8601), seconds (that the answer took). people: see `votes.people`. refine: a row for each face
    that coarse labelling kept: face, age, deviation, votes (answers that count, see `votes.tally`;
    careless people's do not), dropped, detail. Dropped is null, or "unanswered", "unusable" (so say
    half of its people), "too few answers", "asked again" (they disagree, and it is not the end of
    the last round), or "disagreement".

    Raises:
        WrinkleError: the server fails (see `LabelStudio`), or nothing was pushed to it.
    """
    ages = _coarse(workspace)
    server = _connect(settings)
    project = server.find(settings.project)
    if project is None:
        raise WrinkleError(f"{settings.url} has no project {settings.project!r}: push faces first")
    asked = _Asked(server.tasks(field(project, "id", int)))
    votes = asked.votes()
    refined = pa.Table.from_pylist(_refined(ages, asked, settings), REFINED)
    for stage, table in (("votes", votes), ("people", people(votes)), (STAGE, refined)):
        # Where nothing is new, the stages made from these tables need not be made again.
        known = bool(workspace.parts(stage)) and workspace.table(stage).to_pylist()
        if known != table.to_pylist():
            workspace.replace(stage, daft.from_arrow(table))


def remove(workspace: Workspace, settings: Settings, faces: Collection[str]) -> int:
    """Delete what was asked about these faces, on the server and in the tables votes and refine.

    Returns how many tasks were deleted. The faces' other tables are their stages' to clean: a push
    asks again about a face that is still among the coarse labels.

    Raises:
        WrinkleError: the server fails, see `LabelStudio`; what is deleted stays so: run again.
    """
    server = _connect(settings)
    project = server.find(settings.project)
    tasks = _Asked(server.tasks(field(project, "id", int))).tasks if project else []
    deleted = [task.number for task in tasks if task.face in faces]
    for number in deleted:
        server.delete(number)
    for stage in ("votes", STAGE):
        table = workspace.table(stage)
        if table.num_rows:
            gone = pc.is_in(table["face"], pa.array(list(faces), pa.string()))
            workspace.replace(stage, daft.from_arrow(table.filter(pc.invert(gone))))
    return len(deleted)


def summary(workspace: Workspace) -> str:
    """What the last pull came to, a few lines for people."""
    votes = workspace.table("votes", "face", "person", "age", "unusable")
    if not votes.num_rows:
        return "no answers"
    persons = workspace.table("people").sort_by("person").to_pylist()
    careless = pa.array([p["person"] for p in persons if p["careless"]], pa.string())
    careful = votes.filter(pc.invert(pc.is_in(votes["person"], careless)))
    alpha = agreement(careful)
    faces = pc.count_distinct(votes["face"]).as_py()
    lines = [
        f"answers: {votes.num_rows} of {len(persons)} people to {faces} faces",
        "agreement: " + ("undefined" if alpha is None else f"Krippendorff's alpha {alpha:.3f}"),
    ]
    for p in persons:
        figures = [("bias", p["bias"], "+.1f"), ("spread", p["spread"], ".1f")]
        said = [f"{name} {value:{form}}" for name, value, form in figures if value is not None]
        said += [f"does not count: {p['careless']}"] if p["careless"] else []
        lines.append(", ".join([f"person {p['person']}: {p['answers']} answers", *said]))
    dropped = workspace.table(STAGE, "dropped")["dropped"].to_pylist()
    again, apart = dropped.count("asked again"), dropped.count("disagreement")
    return "\n".join([*lines, f"disagreements: {apart}, and {again} to be asked about again"])


class _Task(NamedTuple):
    """A task on the server; done: so many have answered as it was for."""

    number: int
    face: str
    round: int
    done: bool
    answers: list[dict[str, Any]]


class _Asked:
    """What was asked, from a server's tasks; those that we did not send are left out."""

    def __init__(self, tasks: Iterator[dict[str, Any]]) -> None:
        self.tasks: list[_Task] = []
        self._by_face: defaultdict[str, list[_Task]] = defaultdict(list)
        for task in tasks:
            meta = task.get("meta") or {}
            face, number = meta.get("face"), meta.get("round")
            if isinstance(face, str) and isinstance(number, int):
                answers = list(_answers(face, number, field(task, "annotations", list)))
                done = field(task, "is_labeled", bool)
                self.tasks.append(_Task(field(task, "id", int), face, number, done, answers))
                self._by_face[face].append(self.tasks[-1])

    def round(self, face: str) -> int:
        """The latest in which it was asked about; 0: never."""
        return max((task.round for task in self._by_face.get(face, ())), default=0)

    def finished(self, face: str) -> bool:
        """Whether all have answered whom it was for in its latest round."""
        last = self.round(face)
        return all(task.done for task in self._by_face.get(face, ()) if task.round == last)

    def twins(self) -> Iterator[int]:
        """Tasks that nobody has answered, beside others of the same face and round.

        A server may end an import after the program that sent it was killed and has looked again.
        """
        seen = set()
        for task in sorted(self.tasks, key=lambda task: (not task.answers, task.number)):
            if (task.face, task.round) in seen and not task.answers:
                yield task.number
            seen.add((task.face, task.round))

    def votes(self) -> pa.Table:
        """The latest answer of each person to each face, see `pull`."""
        answers = [answer for task in self.tasks for answer in task.answers]
        answers.sort(key=lambda answer: answer["order"])
        latest = {(answer["face"], answer["person"]): answer for answer in answers}
        return pa.Table.from_pylist([latest[key] for key in sorted(latest)], VOTES)


def _answers(face: str, number: int, answers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A task's answers: rows of `VOTES`, and `order`, by which one comes after another."""
    for answer in answers:
        cancelled = field(answer, "was_cancelled", bool)
        if cancelled or answer.get("completed_by", "") is None:  # of an account that was deleted
            continue
        at = field(answer, "updated_at", str)
        try:
            moment = datetime.fromisoformat(at).timestamp()
        except ValueError:
            raise strange(f"a time {at!r}") from None
        result = field(answer, "result", list)
        said = {field(r, "from_name", str): field(r, "value", dict) for r in result}
        unusable = bool(said.get("unusable", {}).get("choices"))
        age = said.get("age", {}).get("number")
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


def _refined(
    ages: dict[str, float | None], asked: _Asked, settings: Settings
) -> list[dict[str, Any]]:
    """The rows of stage refine, sorted by face."""
    votes = asked.votes()
    careless = [p["person"] for p in people(votes).to_pylist() if p["careless"]]
    counts = {row["face"]: row for row in tally(votes, careless).to_pylist()}
    rows = []
    for face in sorted(ages):
        row = counts.get(face, {"face": face, "votes": 0})
        rows.append({**row, **_verdict(row, asked, settings)})
    return rows


def _verdict(row: dict[str, Any], asked: _Asked, settings: Settings) -> dict[str, str | None]:
    """Why a face is dropped, from its row of a tally."""
    face = row["face"]
    last = asked.round(face)
    if "people" not in row:
        return {"dropped": "unanswered", "detail": "asked" if last else "not asked yet"}
    answers = f"{row['votes']} of {row['people']} answers count after round {last}"
    if row["people"] and 2 * row["unusable"] >= row["people"]:
        return {"dropped": "unusable", "detail": f"say {row['unusable']} of {row['people']} people"}
    done = asked.finished(face)
    last_word = done and last >= settings.rounds
    if row["votes"] < settings.least:
        waiting = "asked again" if done else "unanswered"
        return {"dropped": "too few answers" if last_word else waiting, "detail": answers}
    if (row["deviation"] or 0.0) > settings.disagreement:
        reason = "disagreement" if last_word else "asked again"
        return {"dropped": reason, "detail": f"deviation {row['deviation']:.1f} years, {answers}"}
    return {"dropped": None, "detail": f"{row['aside']} set aside" if row["aside"] else None}


def _due(row: dict[str, Any], asked: _Asked, settings: Settings) -> bool:
    """Whether a face, a row of stage refine, is to be asked about now."""
    last = asked.round(row["face"])
    if not last:
        return True
    open_question = row["dropped"] == "asked again"
    finished = asked.finished(row["face"])
    return open_question and finished and last < settings.rounds


def _coarse(workspace: Workspace) -> dict[str, float | None]:
    """The faces to ask about, face → coarse age, the most uncertain first."""
    table = workspace.table("coarse_label", "face", "age", "spread", "dropped")
    rows = table.filter(pc.is_null(table["dropped"])).to_pylist()
    if not rows:
        raise WrinkleError(
            f"{workspace.root} has no faces to ask about: run coarse labelling first"
        )
    rows.sort(key=lambda row: (row["spread"] is not None, -(row["spread"] or 0.0), row["face"]))
    return {row["face"]: row["age"] for row in rows}


def _pictures(workspace: Workspace, faces: list[str]) -> Iterator[bytes]:
    """The JPEG of each face, in this order."""
    for start in range(0, len(faces), READ):
        some = faces[start : start + READ]
        frame = workspace.frame("faces")
        found: dict[str, bytes] = {}
        if frame is not None:
            rows = frame.where(col("face").is_in(some)).select("face", "image").to_pydict()
            found = dict(zip(rows["face"], rows["image"], strict=True))
        for face in some:
            if not found.get(face):
                raise WrinkleError(f"face {face} has no picture: find the faces again")
            yield found[face]


def _task(face: str, number: int, age: float | None, picture: bytes) -> dict[str, Any]:
    """A face as a task; its coarse age is what people find filled in."""
    about = {"face": face, "round": number}
    value = {"number": min(max(round(age), 0), OLDEST)} if age is not None else None
    result = {"from_name": "age", "to_name": "image", "type": "number", "value": value}
    uri = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    return {
        "data": {"image": uri, **about},  # for people, who see data
        "meta": about,  # for us, who list meta without the pictures
        "predictions": [{"model_version": "coarse", "result": [result]}] if value else [],
    }


def _connect(settings: Settings) -> LabelStudio:
    return LabelStudio(settings.url, os.environ.get(KEY, "").strip())
