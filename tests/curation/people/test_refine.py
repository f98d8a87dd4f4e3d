import base64
import os
import re
import signal
import statistics
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from benchmarks.local_web import JPEG
from benchmarks.real_label_studio import BINARY, Account, real_server, result

from tests.curation.people.fake_label_studio import LEGACY, PERSONAL, FakeLabelStudio, fill
from wrinkle.curation.config import Refine
from wrinkle.curation.people import refine
from wrinkle.curation.people.label_studio import KEY, LabelStudio
from wrinkle.curation.people.refine import pull, push, remove, summary
from wrinkle.curation.people.tasks import new_task
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

SPREADS: dict[str, float | None] = {"low": 0.5, "none": None, "high": 7.0, "mid": 3.0}
TABLES = ("votes", "people", "refine")


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLabelStudio]:
    monkeypatch.setenv(KEY, LEGACY)
    with FakeLabelStudio().running() as studio:
        yield studio


def sent(studio: FakeLabelStudio) -> list[tuple[str, int]]:
    return [(task["data"]["face"], task["data"]["round"]) for task in studio.stored.values()]


def rows(workspace: Workspace, stage: str, key: str = "face") -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in workspace.table(stage).to_pylist()}


def dropped(workspace: Workspace) -> dict[str, str | None]:
    return {face: row["dropped"] for face, row in rows(workspace, "refine").items()}


def tables(workspace: Workspace) -> list[pa.Table]:
    return [workspace.table(stage) for stage in TABLES]


def test_the_most_uncertain_faces_are_sent_first_and_once(
    studio: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refine, "AT_ONCE", 3)
    monkeypatch.setattr(refine, "READ", 2)
    workspace, settings = fill(tmp_path, SPREADS), Refine(url=studio.url, people=4)
    assert push(workspace, settings) == 4
    assert sent(studio) == [("none", 1), ("high", 1), ("mid", 1), ("low", 1)]
    task = next(iter(studio.stored.values()))
    picture = task["data"]["image"].removeprefix("data:image/jpeg;base64,")
    assert base64.b64decode(picture) == JPEG
    assert task["meta"] == {"face": "none", "round": 1}
    assert task["predictions"] == [{"model_version": "coarse", "result": result(30)}]
    (project,) = studio.projects
    assert (project["title"], project["maximum_annotations"]) == ("wrinkle faces", 4)
    assert project["sampling"] == "Sequential sampling"
    studio.asked.clear()
    assert push(workspace, settings) == 0
    assert {method for method, _ in studio.asked} == {"GET"}
    fill(tmp_path, {**SPREADS, "new": 9.0})
    assert push(workspace, settings) == 1
    assert sent(studio)[4:] == [("new", 1)]


def test_a_face_without_a_coarse_age_has_no_prediction() -> None:
    assert new_task("f", 1, None, JPEG)["predictions"] == []


def push_and_die(root: Path, url: str) -> None:
    refine.AT_ONCE = 1
    push(Workspace(root), Refine(url=url))


@pytest.mark.kills
def test_a_push_killed_at_any_step_sends_each_face_once(
    studio: FakeLabelStudio, tmp_path: Path
) -> None:
    workspace, settings = fill(tmp_path, SPREADS), Refine(url=studio.url)
    context = get_context("spawn")
    for deadly in ("/api/projects/", "/api/projects/1/import"):
        child = context.Process(target=push_and_die, args=(tmp_path, studio.url))

        def kill(method: str, path: str, deadly: str = deadly, child: Any = child) -> None:
            if (method, path) == ("POST", deadly):  # done, but the client gets no answer
                os.kill(child.pid, signal.SIGKILL)

        studio.after = kill
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    assert len(studio.projects) == len(studio.stored) == 1
    studio.after = lambda method, path: None
    assert push(workspace, settings) == 3
    assert sent(studio) == [("none", 1), ("high", 1), ("mid", 1), ("low", 1)]


def pull_and_die(root: Path, url: str) -> None:
    workspace = Workspace(root)
    replace = workspace.replace

    def once(stage: str, frame: Any) -> None:
        replace(stage, frame)
        os.kill(os.getpid(), signal.SIGKILL)

    workspace.replace = once  # type: ignore[method-assign]
    pull(workspace, Refine(url=url))


@pytest.mark.kills
def test_a_killed_pull_produces_the_same_tables(studio: FakeLabelStudio, tmp_path: Path) -> None:
    workspace, settings = fill(tmp_path, SPREADS), Refine(url=studio.url)
    push(workspace, settings)
    studio.say("high", 1, 30)
    pull(workspace, settings)
    studio.say("high", 2, 32)
    child = get_context("spawn").Process(target=pull_and_die, args=(tmp_path, studio.url))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert workspace.table("votes").num_rows == 2
    assert workspace.table("people").num_rows == 1
    pull(workspace, settings)
    assert workspace.table("people").num_rows == 2
    assert rows(workspace, "refine")["high"]["age"] == 31


def test_duplicate_tasks_are_deleted(studio: FakeLabelStudio, tmp_path: Path) -> None:
    workspace, settings = fill(tmp_path, SPREADS), Refine(url=studio.url)
    push(workspace, settings)
    client = LabelStudio(studio.url, LEGACY)
    again = [dict(task) for task in studio.stored.values()]
    client.add(1, again[:2])
    studio.say("high", 1, 30)  # the later one of two
    assert push(workspace, settings) == 0
    assert sorted(sent(studio)) == [(face, 1) for face in sorted(SPREADS)]
    pull(workspace, settings)
    assert rows(workspace, "votes")["high"]["age"] == 30


def test_answers_become_ages(studio: FakeLabelStudio, tmp_path: Path) -> None:
    names = ("agreed", "apart", "bad", "empty", "half", "one", "zero")
    workspace, settings = fill(tmp_path, dict.fromkeys(names, 1.0)), Refine(url=studio.url)
    push(workspace, settings)
    for person, age in ((1, 30), (2, 31), (3, 35.5), (4, 60)):
        studio.say("agreed", person, age)
    studio.say("apart", 1, 20)
    studio.say("apart", 2, 40)
    studio.say("bad", 1)
    studio.say("bad", 2)
    studio.say("bad", 3, 44)
    studio.say("half", 1)
    studio.say("half", 2, 50)
    studio.say("one", 1, 50)
    studio.say("one", 2, 50, was_cancelled=True)
    studio.say("one", 3, 50, completed_by=None)
    studio.say("one", 4, 500)
    studio.say("one", 5, result=[])
    pull(workspace, settings)
    refined = rows(workspace, "refine")
    assert dropped(workspace) == {
        "agreed": None,
        "apart": "asked again",
        "bad": "unusable",
        "empty": "unanswered",
        "half": "unusable",
        "one": "asked again",
        "zero": "unanswered",
    }
    agreed = refined["agreed"]
    assert agreed["age"] == pytest.approx((30 + 31 + 35.5) / 3)
    assert agreed["deviation"] == pytest.approx(statistics.stdev([30, 31, 35.5]))
    assert (agreed["votes"], agreed["detail"]) == (3, "1 set aside")
    assert refined["apart"]["detail"] == "deviation 14.1 years, 2 of 2 answers count after round 1"
    assert refined["bad"]["detail"] == "say 2 of 3 people"
    votes = workspace.table("votes").to_pylist()
    assert len(votes) == 4 + 2 + 3 + 2 + 3
    assert votes[0]["face"] == "agreed"
    assert (votes[0]["person"], votes[0]["age"], votes[0]["unusable"]) == ("1", 30.0, False)
    assert (votes[0]["round"], votes[0]["seconds"]) == (1, 2.5)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", votes[0]["at"])
    assert [v["age"] for v in votes if v["face"] == "one"] == [50.0, None, None]
    # People are numbers here, without a mail address.
    assert rows(workspace, "people", "person").keys() == {"1", "2", "3", "4", "5"}
    assert not any("@" in str(table.to_pylist()) for table in tables(workspace))
    before = tables(workspace)
    pull(workspace, settings)
    assert all(new.equals(old) for new, old in zip(tables(workspace), before, strict=True))


def test_tables_change_only_when_answers_do(studio: FakeLabelStudio, tmp_path: Path) -> None:
    workspace, settings = fill(tmp_path, SPREADS), Refine(url=studio.url)
    push(workspace, settings)
    studio.say("high", 1, 30)
    tables = ("votes", "people", "refine")
    versions = []
    for age in (None, None, 31):
        if age is not None:
            studio.say("high", 2, age)
        pull(workspace, settings)
        versions.append([workspace.version(table) for table in tables])
    assert versions[0] == versions[1]
    assert versions[1][0] != versions[2][0]


def test_a_persons_latest_answer_counts(studio: FakeLabelStudio, tmp_path: Path) -> None:
    workspace, settings = fill(tmp_path, {"face": 1.0}), Refine(url=studio.url)
    push(workspace, settings)
    studio.say("face", 1, 20, at=100.0)
    studio.say("face", 1, 30, at=200.5)  # the latest, though the next has the greater number
    studio.say("face", 1, 40, at=200.0)
    studio.say("face", 2, 31, at=50.0)
    pull(workspace, settings)
    assert rows(workspace, "refine")["face"]["age"] == 30.5


def test_faces_with_disagreement_are_sent_again_up_to_the_limit(
    studio: FakeLabelStudio, tmp_path: Path
) -> None:
    workspace = fill(tmp_path, {"apart": 1.0, "fine": 2.0, "few": 3.0, "bad": 4.0})
    settings = Refine(url=studio.url, people=2)
    push(workspace, settings)
    studio.say("apart", 1, 20)
    assert push(workspace, settings) == 0  # one person's answer is still to come
    for face, ages in {"apart": (20, 40), "fine": (30, 31), "few": (30,), "bad": ()}.items():
        for person in (1, 2):
            studio.say(face, person, ages[person - 1] if person <= len(ages) else None)
    for task in studio.stored.values():  # an empty answer of one, not: unusable
        if task["data"]["face"] == "few":
            task["annotations"][1]["result"] = []
    pull(workspace, settings)
    assert dropped(workspace) == {
        "apart": "asked again",
        "fine": None,
        "few": "asked again",
        "bad": "unusable",
    }
    assert push(workspace, settings) == 2
    assert sent(studio)[4:] == [("few", 2), ("apart", 2)]
    assert push(workspace, settings) == 0
    studio.say("apart", 1, 20)
    studio.say("few", 3, 32)
    pull(workspace, settings)
    assert dropped(workspace)["apart"] == "asked again"
    assert dropped(workspace)["few"] is None
    assert rows(workspace, "refine")["few"]["age"] == 31
    studio.say("apart", 2, 45)
    pull(workspace, settings)
    assert dropped(workspace)["apart"] == "disagreement"
    assert {v["round"] for v in workspace.table("votes").to_pylist() if v["face"] == "apart"} == {2}
    assert push(workspace, settings) == 0
    assert push(workspace, Refine(url=studio.url, people=2, rounds=3)) == 1
    assert summary(workspace).endswith("disagreements: 1, and 0 to be asked about again")


def test_careless_answers_do_not_count(studio: FakeLabelStudio, tmp_path: Path) -> None:
    faces = [f"f{number:02}" for number in range(12)]
    workspace, settings = fill(tmp_path, dict.fromkeys(faces, 1.0)), Refine(url=studio.url)
    push(workspace, settings)
    for number, face in enumerate(faces):
        studio.say(face, 1, 20 + number)
        studio.say(face, 2, 22 + number)
        studio.say(face, 3, 7 * (number * 5 % 12))
    pull(workspace, settings)
    persons = rows(workspace, "people", "person")
    assert persons["1"]["careless"] is persons["2"]["careless"] is None
    assert "differs by" in persons["3"]["careless"]
    # Neither does the careless one spoil the others' figures.
    assert (persons["1"]["bias"], persons["2"]["bias"]) == (-2, 2)
    for number, face in enumerate(faces):
        assert rows(workspace, "refine")[face]["age"] == 21 + number
    text = summary(workspace)
    assert "answers: 36 of 3 people to 12 faces" in text
    assert "person 2: 12 answers, bias +2.0, spread 0.0" in text
    assert re.search(r"person 3: 12 answers, bias .*, does not count: differs", text)
    # Variances: 2 in each face, (143 / 12 + 1) · 24 / 23 over all.
    assert f"Krippendorff's alpha {1 - 2 / ((143 / 12 + 1) * 24 / 23):.3f}\n" in text


def test_a_face_can_be_removed(studio: FakeLabelStudio, tmp_path: Path) -> None:
    workspace, settings = fill(tmp_path, {"a": 1.0, "b": 2.0, "c": 3.0}), Refine(url=studio.url)
    assert remove(workspace, settings, ["a"]) == 0  # there is no project yet
    push(workspace, settings)
    for face in "abc":
        studio.say(face, 1, 30)
    pull(workspace, settings)
    assert remove(workspace, settings, {"a", "c", "elsewhere"}) == 2
    assert sent(studio) == [("b", 1)]
    assert rows(workspace, "votes").keys() == rows(workspace, "refine").keys() == {"b"}
    assert remove(workspace, settings, {"a", "b"}) == 1
    assert workspace.table("votes").num_rows == 0
    assert summary(workspace) == "no answers"


def test_other_tasks_are_ignored(studio: FakeLabelStudio, tmp_path: Path) -> None:
    workspace, settings = fill(tmp_path, {"a": 1.0}), Refine(url=studio.url)
    push(workspace, settings)
    client = LabelStudio(studio.url, LEGACY)
    data = {"data": {"image": "…", "face": "a"}}
    client.add(1, [dict(data), {**data, "meta": {"face": "a"}}, {**data, "meta": {}}])
    push(workspace, settings)
    remove(workspace, settings, ["a"])
    assert len(studio.stored) == 3


def test_server_errors_are_one_line(
    studio: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, settings = fill(tmp_path / "ws", {"a": 1.0}), Refine(url=studio.url)
    for verb in (push, pull):
        with pytest.raises(WrinkleError, match="no faces to ask about: run coarse labelling"):
            verb(Workspace(tmp_path / "empty"), settings)
    assert summary(Workspace(tmp_path / "empty")) == "no answers"
    with pytest.raises(WrinkleError, match=r"no project 'wrinkle faces'.*push"):
        pull(workspace, settings)
    push(workspace, settings)
    wrongs = (
        ("updated_at", "yesterday"),
        ("result", {}),
        ("completed_by", "me"),
        ("was_cancelled", 1),
    )
    for name, wrong in wrongs:
        studio.stored[1]["annotations"] = []
        studio.say("a", 1, 30, **{name: wrong})
        with pytest.raises(WrinkleError, match=r"unknown form .*1\.23"):
            pull(workspace, settings)
    studio.stored[1]["annotations"] = []
    lonely = fill(tmp_path / "lonely", {"b": 1.0}, ())
    for part in lonely.parts("faces"):
        part.rename(tmp_path / "away")
    with pytest.raises(WrinkleError, match="face b has no picture: find the faces again"):
        push(lonely, settings)
    monkeypatch.delenv(KEY)
    for verb in (push, pull):
        with pytest.raises(WrinkleError, match=f"{KEY} is not set"):
            verb(workspace, settings)


def test_the_key_is_in_no_table_and_no_message(
    studio: FakeLabelStudio,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(KEY, f"{PERSONAL}\n")
    workspace, settings = fill(tmp_path, {"a": 1.0}), Refine(url=studio.url)
    push(workspace, settings)
    studio.say("a", 1, 30)
    pull(workspace, settings)
    print(summary(workspace), settings)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert PERSONAL.encode() not in written
    assert PERSONAL not in "".join(capfd.readouterr())


# The real server: people's answers for twelve faces, by name. None: unusable.
FACES = [f"f{number:02}" for number in range(12)]
TRUTH = {face: 10.0 + 6 * number for number, face in enumerate(FACES)}
SAID: dict[str, dict[str, float | None]] = {
    "ada": {face: age + 2 for face, age in TRUTH.items()},
    "ben": {face: age - 1 for face, age in TRUTH.items()},
    "cyd": {face: age + number % 3 for number, (face, age) in enumerate(TRUTH.items())},
    "dan": {face: float(number * 37 % 91) for number, face in enumerate(FACES)},  # at random
}
SAID["ada"] |= {"f03": 12.0, "f05": 60.0, "f08": None}
SAID["ben"] |= {"f03": 45.0, "f05": 25.0, "f08": None}
AGAIN: dict[str, dict[str, float | None]] = {
    "ada": {"f03": 27.0, "f05": 62.0},
    "ben": {"f03": 29.0, "f05": 25.0},
    "cyd": {"f03": 28.0, "f05": 42.0},
    "dan": {"f03": 80.0, "f05": 3.0},
}


def by_hand(said: dict[str, dict[str, float | None]], careful: list[str]) -> dict[str, Any]:
    """Ages, deviations and biases once more, without a line of what is tested."""
    ages, biases = {}, {}
    for face in FACES:
        given = [a for a in (said[name][face] for name in careful) if a is not None]
        middle = statistics.median(given) if given else 0
        mad = statistics.median([abs(a - middle) for a in given]) if given else 0
        kept = [a for a in given if abs(a - middle) <= max(5, 3 * 1.4826 * mad)]
        if kept:
            deviation = statistics.stdev(kept) if len(kept) > 1 else None
            ages[face] = (statistics.mean(kept), deviation, len(kept))
    for name in said:
        gaps = []
        for face in FACES:
            others = [said[o][face] for o in careful if o != name]
            others = [a for a in others if a is not None]
            if others and said[name][face] is not None:
                gaps.append(said[name][face] - statistics.mean(others))
        biases[name] = (statistics.mean(gaps), statistics.stdev(gaps))
    return {"ages": ages, "people": biases}


def check(workspace: Workspace, accounts: dict[str, Account], expected: dict[str, Any]) -> None:
    refined = rows(workspace, "refine")
    for face, (age, deviation, votes) in expected["ages"].items():
        assert refined[face]["age"] == pytest.approx(age)
        assert refined[face]["deviation"] == pytest.approx(deviation)
        assert refined[face]["votes"] == votes
    persons = rows(workspace, "people", "person")
    assert persons.keys() == {account.number for account in accounts.values()}
    for name, (bias, spread) in expected["people"].items():
        row = persons[accounts[name].number]
        assert (row["bias"], row["spread"]) == (pytest.approx(bias), pytest.approx(spread))
        assert (row["careless"] is not None) == (name == "dan")


@pytest.mark.slow
@pytest.mark.skipif(not BINARY, reason="needs label-studio on PATH or in LABEL_STUDIO_BIN")
def test_people_answer_on_the_real_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tmp_path / "server"
    server.mkdir()
    workspace = fill(tmp_path / "ws", {face: float(n) for n, face in enumerate(FACES)})
    with real_server(server) as (url, stop):
        settings = Refine(url=url, people=4)
        accounts = {name: Account(url, name) for name in (*SAID, "eve")}
        monkeypatch.setenv(KEY, accounts["ada"].legacy[::-1])
        with pytest.raises(WrinkleError, match="rejects the key in LABEL_STUDIO_API_KEY"):
            push(workspace, settings)
        monkeypatch.setenv(KEY, accounts["ada"].personal)
        assert push(workspace, settings) == 12
        monkeypatch.setenv(KEY, accounts["eve"].legacy)
        assert push(workspace, settings) == 0
        project = LabelStudio(url, accounts["ada"].legacy).find(settings.project)
        assert project is not None
        eve = accounts.pop("eve")
        for name, account in accounts.items():
            faces = account.label(project["id"], lambda face, name=name: SAID[name][face])
            assert sorted(faces) == FACES
            if name == "ada":  # the first to answer sees our order
                assert faces == FACES[::-1]
        assert eve.label(project["id"], lambda face: 30.0) == []  # four people are enough
        pull(workspace, settings)
        careful = ["ada", "ben", "cyd"]
        check(workspace, accounts, by_hand(SAID, careful))
        expected = dict.fromkeys(FACES) | {"f03": "asked again", "f05": "asked again"}
        assert dropped(workspace) == expected | {"f08": "unusable"}
        votes = workspace.table("votes").to_pylist()
        assert len(votes) == 48
        assert {vote["seconds"] for vote in votes} == {4.5}

        assert push(workspace, settings) == 2
        assert push(workspace, settings) == 0
        for name, account in accounts.items():
            faces = account.label(project["id"], lambda face, name=name: AGAIN[name][face])
            assert sorted(faces) == ["f03", "f05"]
        pull(workspace, settings)
        check(workspace, accounts, by_hand({n: SAID[n] | AGAIN[n] for n in SAID}, careful))
        assert dropped(workspace) == expected | {
            "f03": None,
            "f05": "disagreement",
            "f08": "unusable",
        }
        assert push(workspace, settings) == 0
        users = LabelStudio(url, eve.personal).users()
        assert users[int(eve.number)] == "eve@example.org"

        assert remove(workspace, settings, ["f03", "f11"]) == 3
        pull(workspace, settings)
        assert dropped(workspace)["f03"] == dropped(workspace)["f11"] == "unanswered"
        stop()
        for verb in (push, pull):
            with pytest.raises(WrinkleError, match=r"cannot be reached: start it, or") as error:
                verb(workspace, settings)
            assert "\n" not in str(error.value)
