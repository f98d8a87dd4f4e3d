"""A fake Label Studio that answers in the documented form."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import daft
import pyarrow as pa
from benchmarks.local_web import JPEG
from benchmarks.real_label_studio import result

from wrinkle.curation.workspace import Workspace

LEGACY, PERSONAL = "legacy-key-0123456789", "eyJrZXk.cGVyc29uYWw.c2VjcmV0"

Reply = tuple[int, Any]


class FakeLabelStudio:
    """A server that knows what the client may ask, and one account.

    `asked` are requests as (method, path), `heard` their keys. `fault` may answer in its place,
    `after` sees every request that was done before it is answered.
    """

    def __init__(self, page: int = 1000) -> None:
        self.projects: list[dict[str, Any]] = []
        self.stored: dict[int, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.heard: list[str] = []
        self.access = 0
        self.page = page
        self.fault: Callable[[str, str], Reply | None] = lambda method, path: None
        self.after: Callable[[str, str], None] = lambda method, path: None
        self._ids = iter(range(1, 10**6))
        studio = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or "null")
                url = urlsplit(self.path)
                key = self.headers.get("Authorization", "")
                studio.asked.append((self.command, url.path))
                studio.heard.append(key)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                reply = studio.fault(self.command, url.path)
                status, answer = reply or studio.reply(self.command, url.path, query, body, key)
                studio.after(self.command, url.path)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                with suppress(OSError):  # the client may have been killed
                    self.send_response(status)
                    if 300 <= status < 400:
                        self.send_header("Location", answer)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    @contextmanager
    def running(self) -> Iterator["FakeLabelStudio"]:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def reply(self, method: str, path: str, query: dict[str, str], body: Any, key: str) -> Reply:
        if path == "/api/token/refresh/":
            if body != {"refresh": PERSONAL}:
                return 401, {"detail": "Token is invalid", "status_code": 401}
            self.access += 1
            return 200, {"access": f"access-{self.access}"}
        if key not in (f"Token {LEGACY}", f"Bearer access-{self.access}"):
            return 401, {"detail": f"Invalid token {key}.", "status_code": 401}
        if path == "/api/projects/":
            return self.project_list(method, query, body)
        if match := re.fullmatch(r"/api/projects/(\d+)/", path):
            (project,) = (p for p in self.projects if p["id"] == int(match[1]))
            project.update(body)
            return 200, project
        if match := re.fullmatch(r"/api/projects/(\d+)/import", path):
            for task in body:
                task |= {"id": next(self._ids), "project": int(match[1]), "annotations": []}
                self.stored[task["id"]] = task
            return 201, {"task_count": len(body)}
        if path == "/api/tasks/":
            return self.task_list(query)
        if match := re.fullmatch(r"/api/tasks/(\d+)/", path):
            gone = self.stored.pop(int(match[1]), None)
            return (204, b"") if gone else (404, {"detail": "Not found."})
        if path == "/api/users/":
            return 200, [{"id": 1, "email": "one@example.org"}]
        return 404, {"detail": "Not found."}

    def project_list(self, method: str, query: dict[str, str], body: Any) -> Reply:
        if method == "POST":
            self.projects.append({"id": len(self.projects) + 1, "color": "#FFFFFF", **body})
            return 201, self.projects[-1]
        found = [p for p in self.projects if query["title"].lower() in p["title"].lower()]
        start = (int(query["page"]) - 1) * self.page
        more = f"{self.url}/elsewhere" if start + self.page < len(found) else None
        return 200, {"results": found[start : start + self.page], "next": more}

    def task_list(self, query: dict[str, str]) -> Reply:
        mine = [t for t in self.stored.values() if t["project"] == int(query["project"])]
        start = (int(query["page"]) - 1) * int(query["page_size"])
        if start and start >= len(mine):
            return 404, {"detail": "Invalid page."}
        names = query["include"].split(",")
        (enough,) = (p for p in self.projects if p["id"] == int(query["project"]))
        for task in mine:
            said = [answer for answer in task["annotations"] if not answer["was_cancelled"]]
            task["is_labeled"] = len(said) >= enough.get("maximum_annotations", 1)
        tasks = [{name: task.get(name) for name in names if name in task} for task in mine]
        for task in tasks:  # fields are left out by name on both levels
            task["annotations"] = [
                {name: value for name, value in answer.items() if name in names}
                for answer in task["annotations"]
            ]
        return 200, {"tasks": tasks[start : start + int(query["page_size"])], "total": len(mine)}

    def say(
        self, face: str, person: int, age: float | None = None, at: float | None = None, **more: Any
    ) -> None:
        """Answer the latest task of a face as this person; without an age: unusable."""
        task = [t for t in self.stored.values() if t["data"]["face"] == face][-1]
        number = next(self._ids)
        seconds = number if at is None else at
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        task["annotations"].append(
            {
                "id": number,
                "completed_by": person,
                "result": result(age),
                "was_cancelled": False,
                "updated_at": f"{stamp}Z" if seconds % 1 == 0 else f"{stamp}.500000Z",
                "lead_time": 2.5,
                "created_username": "one@example.org, 1",
                **more,
            }
        )


def fill(
    root: Path, faces: dict[str, float | None], dropped: tuple[str, ...] = ("gone",)
) -> Workspace:
    """A workspace with these faces, face → coarse spread, and some that are dropped."""
    workspace = Workspace(root)
    names = [*faces, *dropped]
    count = len(names)
    coarse = {
        "face": names,
        "age": pa.array([30.4] * count, pa.float64()),
        "spread": pa.array([*faces.values(), *[1.0] * len(dropped)], pa.float64()),
        "answers": [3] * count,
        "dropped": pa.array([None] * len(faces) + ["disagreement"] * len(dropped), pa.string()),
    }
    workspace.replace("coarse_label", daft.from_arrow(pa.table(coarse)))
    images = pa.array([JPEG] * count, pa.binary())
    workspace.replace("faces", daft.from_arrow(pa.table({"face": names, "image": images})))
    return workspace
