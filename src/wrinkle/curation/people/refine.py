"""People's ages for faces: tasks go to a Label Studio server, answers come back as tables.

Only the server stores what was asked, so that nothing here can differ from it after a kill.
"""

import os
from collections.abc import Collection, Iterator
from typing import Any

import daft
import pyarrow as pa
import pyarrow.compute as pc
from daft import col

from wrinkle.console import count, progress
from wrinkle.curation.config import Refine
from wrinkle.curation.people.label_studio import KEY, LabelStudio, field
from wrinkle.curation.people.tasks import LABEL_CONFIG, Tasks, new_task
from wrinkle.curation.people.votes import agreement, people, tally
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

STAGE = "refine"
AT_ONCE = 100
"""Tasks in an import."""
READ = 5000
"""Pictures in memory."""
REFINED = pa.schema(
    [
        ("face", pa.string()),
        ("age", pa.float64()),  # years
        ("deviation", pa.float64()),  # years
        ("votes", pa.int64()),  # answers that count, see `votes.tally`
        ("dropped", pa.string()),
        ("detail", pa.string()),
    ]
)
"""People's ages; answers of careless people do not count.

dropped is null, or "unanswered", "unusable" (half of the face's people say so), "too few answers",
"asked again" (people disagree, and this is not the last round), or "disagreement".
"""


def push(workspace: Workspace, settings: Refine) -> int:
    """Ask about the faces that coarse labelling kept; returns how many tasks were sent.

    The most uncertain faces come first: those without a spread, then by spread. A face is asked
    about again, up to `rounds` times, if all `people` have answered and disagree or too few answers
    count. A task that the server has is not sent again.

    Raises:
        WrinkleError: the server fails (see `LabelStudio`), or there are no faces to ask about.
    """
    ages = _coarse(workspace)
    server = _connect(settings)
    fields = {
        "label_config": LABEL_CONFIG,
        "maximum_annotations": settings.people,
        "sampling": "Sequential sampling",
        "show_skip_button": False,
        "enable_empty_annotation": False,
    }
    project = server.set_up(settings.project, fields)
    asked = Tasks(server.tasks(project))
    for task in asked.duplicates():
        server.delete(task)
    refined = {row["face"]: row for row in _refined(ages, asked, settings)}
    todo = [(asked.round(face) + 1, face) for face in ages if _due(refined[face], asked, settings)]
    todo.sort(key=lambda job: job[0])  # stable: the most uncertain first
    pictures = _pictures(workspace, [face for _, face in todo])
    with progress(what="push", unit="face", total=len(todo)) as bar:
        for start in range(0, len(todo), AT_ONCE):
            some = todo[start : start + AT_ONCE]
            server.add(project, [new_task(f, r, ages[f], next(pictures)) for r, f in some])
            bar.update(len(some))
    return len(todo)


def pull(workspace: Workspace, settings: Refine) -> None:
    """Get all answers and write three tables.

    votes: see `tasks.VOTES`. people: see `votes.people`. refine: a row for each face that coarse
    labelling kept, see `REFINED`.

    Raises:
        WrinkleError: the server fails (see `LabelStudio`), or nothing was pushed to it.
    """
    ages = _coarse(workspace)
    server = _connect(settings)
    project = server.find(settings.project)
    if project is None:
        raise WrinkleError(f"{settings.url} has no project {settings.project!r}: push faces first")
    asked = Tasks(server.tasks(field(project, "id", int)))
    votes = asked.votes()
    refined = pa.Table.from_pylist(_refined(ages, asked, settings), REFINED)
    for stage, table in (("votes", votes), ("people", people(votes)), (STAGE, refined)):
        # Without new answers, the stages made from these tables need not be made again.
        known = bool(workspace.parts(stage)) and workspace.table(stage).to_pylist()
        if known != table.to_pylist():
            workspace.replace(stage, daft.from_arrow(table))


def remove(workspace: Workspace, settings: Refine, faces: Collection[str]) -> int:
    """Delete tasks and answers for these faces, on the server and in the tables votes and refine.

    The next push asks again about a face that is still among the coarse labels.

    Returns:
        How many tasks were deleted.

    Raises:
        WrinkleError: the server fails, see `LabelStudio`; run again to delete the rest.
    """
    server = _connect(settings)
    project = server.find(settings.project)
    tasks = Tasks(server.tasks(field(project, "id", int))).tasks if project else []
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
    """The result of the last pull, a few lines of text."""
    votes = workspace.table("votes", "face", "person", "age", "unusable")
    if not votes.num_rows:
        return "no answers"
    persons = workspace.table("people").sort_by("person").to_pylist()
    careless = pa.array([p["person"] for p in persons if p["careless"]], pa.string())
    careful = votes.filter(pc.invert(pc.is_in(votes["person"], careless)))
    alpha = agreement(careful)
    faces = pc.count_distinct(votes["face"]).as_py()
    lines = [
        f"answers: {votes.num_rows} of {count(len(persons), 'person', 'people')}"
        f" to {count(faces, 'face')}",
        "agreement: " + ("undefined" if alpha is None else f"Krippendorff's alpha {alpha:.3f}"),
    ]
    for p in persons:
        figures = [("bias", p["bias"], "+.1f"), ("spread", p["spread"], ".1f")]
        texts = [f"{name} {value:{form}}" for name, value, form in figures if value is not None]
        texts += [f"does not count: {p['careless']}"] if p["careless"] else []
        lines.append(", ".join([f"person {p['person']}: {count(p['answers'], 'answer')}", *texts]))
    dropped = workspace.table(STAGE, "dropped")["dropped"].to_pylist()
    again, apart = dropped.count("asked again"), dropped.count("disagreement")
    return "\n".join([*lines, f"disagreements: {apart}, and {again} to be asked about again"])


def _refined(ages: dict[str, float | None], asked: Tasks, settings: Refine) -> list[dict[str, Any]]:
    """The rows of stage refine, sorted by face."""
    votes = asked.votes()
    careless = [p["person"] for p in people(votes).to_pylist() if p["careless"]]
    counts = {row["face"]: row for row in tally(votes, careless).to_pylist()}
    rows = []
    for face in sorted(ages):
        row = counts.get(face, {"face": face, "votes": 0})
        rows.append({**row, **_verdict(row, asked, settings)})
    return rows


def _verdict(row: dict[str, Any], asked: Tasks, settings: Refine) -> dict[str, str | None]:
    """Whether and why a face is dropped, from its row of a tally."""
    face = row["face"]
    last = asked.round(face)
    if "people" not in row:
        return {"dropped": "unanswered", "detail": "asked" if last else "not asked yet"}
    answers = f"{row['votes']} of {row['people']} answers count after round {last}"
    if row["people"] and 2 * row["unusable"] >= row["people"]:
        return {"dropped": "unusable", "detail": f"say {row['unusable']} of {row['people']} people"}
    done = asked.finished(face)
    final = done and last >= settings.rounds
    if row["votes"] < settings.least:
        waiting = "asked again" if done else "unanswered"
        return {"dropped": "too few answers" if final else waiting, "detail": answers}
    if (row["deviation"] or 0.0) > settings.disagreement:
        reason = "disagreement" if final else "asked again"
        return {"dropped": reason, "detail": f"deviation {row['deviation']:.1f} years, {answers}"}
    return {"dropped": None, "detail": f"{row['aside']} set aside" if row["aside"] else None}


def _due(row: dict[str, Any], asked: Tasks, settings: Refine) -> bool:
    """Whether to ask about a face now, by its row of stage refine."""
    last = asked.round(row["face"])
    if not last:
        return True
    again = row["dropped"] == "asked again"
    return again and asked.finished(row["face"]) and last < settings.rounds


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


def _connect(settings: Refine) -> LabelStudio:
    return LabelStudio(settings.url, os.environ.get(KEY, "").strip())
