import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.curation.people.fake_label_studio import LEGACY, PERSONAL, FakeLabelStudio, Reply
from wrinkle.curation.people import label_studio
from wrinkle.curation.people.label_studio import LabelStudio
from wrinkle.errors import WrinkleError

KEYS = pytest.mark.parametrize("key", [LEGACY, PERSONAL])


@pytest.fixture
def studio() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio().running() as studio:
        yield studio


def fails(client: LabelStudio, match: str) -> None:
    with pytest.raises(WrinkleError, match=match) as error:
        client.users()
    assert_secret(str(error.value))
    assert "\n" not in str(error.value)
    # What `raise … from` keeps is printed with a traceback.
    assert error.value.__cause__ is None


def assert_secret(text: str) -> None:
    assert LEGACY not in text
    assert PERSONAL not in text
    assert "access-" not in text


@KEYS
def test_a_project_is_created_once_and_updated(studio: FakeLabelStudio, key: str) -> None:
    client = LabelStudio(studio.url + "/", key)
    assert client.find("faces") is None
    number = client.set_up("faces", {"maximum_annotations": 3})
    assert client.set_up("faces", {"maximum_annotations": 3}) == number
    assert [method for method, _ in studio.asked if method != "GET"].count("PATCH") == 0
    assert client.set_up("faces", {"maximum_annotations": 5}) == number
    assert studio.projects == [
        {"id": number, "title": "faces", "color": "#FFFFFF", "maximum_annotations": 5}
    ]
    assert client.users() == {1: "one@example.org"}


def test_the_exact_title_is_searched_on_every_page(
    studio: FakeLabelStudio,
) -> None:
    studio.page = 2
    client = LabelStudio(studio.url, LEGACY)
    for title in ("faces 1", "faces 2", "Faces", "my faces", "faces"):
        client.set_up(title, {})
    found = client.find("faces")
    assert found is not None
    assert found["id"] == 5
    studio.projects.append({"id": 9, "title": "faces"})
    with pytest.raises(WrinkleError, match="has 2 projects 'faces': rename the others"):
        client.find("faces")


def test_tasks_are_listed_in_pages_without_pictures(
    studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_studio, "PAGE", 3)
    client = LabelStudio(studio.url, LEGACY)
    project = client.set_up("faces", {})
    assert list(client.tasks(project)) == []
    for count in (3, 1, 2):
        client.add(project, [{"data": {"image": "…"}, "meta": {"face": "f"}}] * count)
        studio.asked.clear()
        tasks = list(client.tasks(project))
        assert len(studio.asked) == -(-len(tasks) // 3)
        assert tasks == [
            {"id": number, "meta": {"face": "f"}, "is_labeled": False, "annotations": []}
            for number in studio.stored
        ]
    assert len(studio.stored) == 6
    first = min(studio.stored)
    client.delete(first)
    client.delete(first)
    assert first not in studio.stored


def test_an_expired_token_is_renewed(studio: FakeLabelStudio) -> None:
    client = LabelStudio(studio.url, PERSONAL)
    client.users()
    client.users()
    assert studio.access == 1
    studio.access = 7  # the short-lived token has expired
    assert client.users()
    assert studio.access == 8
    assert studio.heard[-1] == "Bearer access-8"


def test_a_wrong_key_is_one_line_that_does_not_show_it(
    studio: FakeLabelStudio, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = (LEGACY[::-1], PERSONAL[::-1])
    for key in wrong:
        client = LabelStudio(studio.url, key)
        with pytest.raises(WrinkleError, match="rejects the key in LABEL_STUDIO_API_KEY") as e:
            client.users()
        seen = [str(e.value), repr(client), str(client), caplog.text, *capfd.readouterr()]
        assert not any(key in text for text in seen)
    for key in ("", "two words", "naïve", "line\nbreak"):
        with pytest.raises(WrinkleError, match="is not set, or no token: copy one") as e:
            LabelStudio(studio.url, key)
        assert not key or key not in str(e.value)


def test_the_key_appears_nowhere(
    studio: FakeLabelStudio, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for key in (LEGACY, PERSONAL):
        client = LabelStudio(studio.url, key)
        client.set_up("faces", {})
        studio.fault = lambda method, path: (500, {"detail": f"no {LEGACY} {PERSONAL} access-1"})
        with pytest.raises(WrinkleError, match="refuses /api/users/: HTTP 500") as error:
            client.users()
        assert key not in str(error.value)
        assert key not in repr(client) + caplog.text + "".join(capfd.readouterr())
        studio.fault = lambda method, path: None


def answered(status: int, answer: object) -> Callable[[str, str], Reply | None]:
    return lambda method, path: (status, answer)


def test_another_server_is_one_line(studio: FakeLabelStudio) -> None:
    client = LabelStudio(studio.url, LEGACY)
    studio.fault = answered(200, b"<html>hello</html>")
    fails(client, "does not answer like Label Studio: correct the URL")
    studio.fault = answered(404, b"<html>nothing here</html>")
    fails(client, r"refuses /api/users/: HTTP 404$")
    studio.fault = answered(400, {"detail": "x" * 10_000 + "\n"})
    fails(client, rf"HTTP 400 \({'x' * 200}\)$")
    for answer in ({}, [{}], [{"id": "one", "email": ""}]):
        studio.fault = answered(200, answer)
        fails(client, r"unknown form .*1\.23")
    for answer in ([], {"tasks": []}, {"tasks": {}, "total": 1}):
        studio.fault = answered(200, answer)
        with pytest.raises(WrinkleError, match="unknown form"):
            list(client.tasks(1))
    studio.fault = answered(201, {"task_count": 1})
    with pytest.raises(WrinkleError, match="took 1 of 2 tasks: run again"):
        client.add(1, [{}, {}])


@KEYS
def test_the_key_is_not_sent_after_a_redirect(studio: FakeLabelStudio, key: str) -> None:
    with FakeLabelStudio().running() as other:
        client = LabelStudio(studio.url, key)
        studio.fault = lambda method, path: (302, f"{other.url}{path}?key")
        fails(client, rf"redirects to {other.url}: ")
        assert other.asked == []


def test_a_netrc_does_not_replace_the_key(
    studio: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for key in (LEGACY, PERSONAL):
        assert LabelStudio(studio.url, key).users()
    assert not any(header.startswith("Basic") for header in studio.heard)


def test_an_unreachable_server_is_one_line(
    studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in (LEGACY, PERSONAL):
        monkeypatch.setattr(label_studio, "SECONDS", (5.0, 0.2))
        client = LabelStudio(studio.url, key)
        studio.after = lambda method, path: time.sleep(0.5)
        fails(client, "does not answer in time: run again")
        studio.after = lambda method, path: None
    studio.stop()
    for key in (LEGACY, PERSONAL):
        fails(LabelStudio(studio.url, key), "cannot be reached: start it, or correct the URL")
    for url in ("localhost:8080", "ftp://localhost", "http://", "http://me:secret@localhost"):
        with pytest.raises(WrinkleError, match=r"must be like http://localhost:8080") as error:
            LabelStudio(url, LEGACY)
        assert "secret" not in str(error.value)
