"""A client of Label Studio's documented API (https://api.labelstud.io, 1.23)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from wrinkle.errors import WrinkleError

KEY = "LABEL_STUDIO_API_KEY"
"""The environment variable with the key, which belongs in no file and no command."""
SECONDS = (10.0, 120.0)
"""To connect, and to wait for the next bytes of an answer."""
PAGE = 500
"""Tasks on a page."""
FIELDS = "id,meta,is_labeled,annotations,result,completed_by,was_cancelled,updated_at,lead_time"
"""Fields to list of a task and, by the same names, of its annotations; not the task's data, which
contain its picture."""
SHOWN = 200
"""Characters of a server's message that go into ours."""


def check_url(url: str) -> str:
    """Returns the URL of a server.

    Raises:
        WrinkleError: it has more than scheme, host, port and path.
    """
    if not re.fullmatch(r"https?://[^\s@?#]+", url):  # with @ it may contain a password
        raise WrinkleError("Label Studio's URL must be like http://localhost:8080, and no more")
    return url


class LabelStudio:
    """A server and an account on it.

    Args:
        url: where the server is, such as http://localhost:8080.
        key: the account's access token, a personal one or a legacy one.

    Raises:
        WrinkleError: here and from every method, in one line that never contains the key: the
            server cannot be reached, rejects the key, refuses, or answers in another form.
    """

    def __init__(self, url: str, key: str) -> None:
        check_url(url)
        if not re.fullmatch(r"[!-~]+", key):
            raise WrinkleError(
                f"{KEY} is not set, or no token: copy one from Account & Settings of {url}"
            )
        self.url, self._key = url.rstrip("/"), key
        # A personal token is a JWT that is exchanged for a short-lived one, a legacy one is not.
        self._personal = key.count(".") == 2
        self._header = "" if self._personal else f"Token {key}"
        self._session = requests.Session()
        # As `auth`, because a .netrc would replace a plain header.
        self._session.auth = self._sign

    def find(self, title: str) -> dict[str, Any] | None:
        """The project with this title; None if there is none."""
        found, page, more = [], 0, True
        while more:
            page += 1
            query = {"title": title, "page": page, "page_size": 100}
            answer = self._ask("GET", "/api/projects/", params=query)
            found += [p for p in field(answer, "results", list) if field(p, "title", str) == title]
            more = bool(answer.get("next"))
        if len(found) > 1:
            raise WrinkleError(f"{self.url} has {len(found)} projects {title!r}: rename the others")
        return found[0] if found else None

    def set_up(self, title: str, fields: Mapping[str, Any]) -> int:
        """The id of the project with this title, created if needed, with these fields."""
        project = self.find(title)
        if project is None:
            project = self._ask("POST", "/api/projects/", json={"title": title, **fields})
        number: int = field(project, "id", int)
        changed = {name: value for name, value in fields.items() if project.get(name) != value}
        if changed:
            self._ask("PATCH", f"/api/projects/{number}/", json=changed)
        return number

    def add(self, project: int, tasks: list[dict[str, Any]]) -> None:
        """Import tasks, with predictions; all of them or, if it fails, none."""
        answer = self._ask("POST", f"/api/projects/{project}/import", json=tasks)
        if (count := field(answer, "task_count", int)) != len(tasks):
            raise WrinkleError(f"Label Studio took {count} of {len(tasks)} tasks: run again")

    def tasks(self, project: int) -> Iterator[dict[str, Any]]:
        """A project's tasks in the order of their import, with `FIELDS`."""
        page, total = 0, 1
        query = {"project": project, "page_size": PAGE, "fields": "all", "include": FIELDS}
        while page * PAGE < total:
            page += 1
            answer = self._ask("GET", "/api/tasks/", params={**query, "page": page})
            total = field(answer, "total", int)
            yield from field(answer, "tasks", list)

    def users(self) -> dict[int, str]:
        """Accounts: id → mail address."""
        answer = self._ask("GET", "/api/users/")
        if not isinstance(answer, list):
            raise unknown_form("a list of users")
        return {field(user, "id", int): field(user, "email", str) for user in answer}

    def delete(self, task: int) -> None:
        """Delete a task and its answers, if it exists."""
        self._ask("DELETE", f"/api/tasks/{task}/", may_be_missing=True)

    def _ask(self, method: str, path: str, may_be_missing: bool = False, **options: Any) -> Any:
        """The JSON of an answer."""
        if self._personal and not self._header:
            self._refresh()
        response = self._send(method, path, **options)
        if response.status_code == 401 and self._personal:  # the short-lived token has expired
            self._refresh()
            response = self._send(method, path, **options)
        return self._read(response, may_be_missing)

    def _refresh(self) -> None:
        body, plain = {"refresh": self._key}, lambda request: request
        answer = self._read(self._send("POST", "/api/token/refresh/", json=body, auth=plain))
        self._header = f"Bearer {field(answer, 'access', str)}"

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            # Redirects are not followed: the key is for this server only.
            return self._session.request(
                method, self.url + path, timeout=SECONDS, allow_redirects=False, **options
            )
        except requests.Timeout:
            raise WrinkleError(
                f"Label Studio at {self.url} does not answer in time: run again"
            ) from None
        except (requests.RequestException, UnicodeError):
            raise WrinkleError(
                f"Label Studio at {self.url} cannot be reached: start it, or correct the URL"
            ) from None

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request

    def _read(self, response: requests.Response, may_be_missing: bool = False) -> Any:
        status = response.status_code
        if may_be_missing and status in (204, 404):
            return None
        if status == 401:
            raise WrinkleError(
                f"Label Studio at {self.url} rejects the key in {KEY}{self._message(response)}:"
                " copy a token from Account & Settings"
            )
        if response.is_redirect:
            target = urlsplit(response.headers["location"])
            raise WrinkleError(
                f"{self.url} redirects to {target.scheme}://{target.netloc}: if that is your Label"
                " Studio, give its URL"
            )
        if status >= 400:
            path = urlsplit(response.url).path
            raise WrinkleError(
                f"Label Studio at {self.url} refuses {path}: HTTP {status}{self._message(response)}"
            )
        try:
            return response.json()
        except requests.JSONDecodeError:
            raise WrinkleError(
                f"{self.url} does not answer like Label Studio: correct the URL"
            ) from None

    def _message(self, response: requests.Response) -> str:
        """The server's error message in brackets, shortened since it may quote tasks."""
        try:
            answer = response.json()
            words = str(answer.get("validation_errors") or answer.get("detail") or "")
        except (requests.JSONDecodeError, AttributeError):
            return ""
        for secret in (self._key, self._header.rpartition(" ")[2]):
            words = words.replace(secret, "…") if secret else words
        words = " ".join(words.split())
        return f" ({words[:SHOWN]})" if words else ""


def field(answer: Any, name: str, kind: type) -> Any:
    """A field of an answer.

    Raises:
        WrinkleError: it is missing or not of this kind.
    """
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise unknown_form(f"no {name}")
    return value


def unknown_form(what: str) -> WrinkleError:
    """The error for an answer that is not as documented."""
    return WrinkleError(
        f"Label Studio answers in an unknown form ({what}): version 1.23 is supported"
    )
