import itertools
import subprocess
import sys
import threading
import time
from collections import Counter
from ipaddress import ip_network

import pytest
from benchmarks.local_web import CONTACT, JPEG, answer, redirect, resolve_to_loopback

from tests.curation.fetching import Clock, make_fetcher
from wrinkle.curation.web import fetch_many as module
from wrinkle.curation.web.fetch_many import fetch_many
from wrinkle.curation.web.fetch_result import FetchResult, Status
from wrinkle.curation.web.fetcher import Fetcher, Limits


def test_every_url_has_one_result(server):
    server.routes |= {
        "/html.jpg": answer(b"<html>"),
        "/in": redirect("http://10.0.0.1/a.jpg"),
        "/cut.jpg": answer(JPEG, content_length="99999", connection="close"),
        "/gzip.jpg": answer(JPEG, content_encoding="gzip"),
        "/secret/a.jpg": answer(JPEG),
        "/robots.txt": answer(b"User-agent: *\nDisallow: /secret"),
        **{f"/{i}.jpg": answer(JPEG) for i in range(30)},
    }
    hosts = [f"h{i}.example" for i in range(7)]
    names = [f"{i}.jpg" for i in range(30)]
    bad = ["html.jpg", "in", "cut.jpg", "gzip.jpg", "secret/a.jpg", "none.jpg"]
    urls = [server.at(host, f"/{name}") for host in hosts for name in names + bad]
    urls += ["", "ftp://h/a.jpg", "http://127.0.0.2/", "nonsense"]

    def resolver(host: str, port: int) -> list[str]:
        return [host] if host[0].isdigit() or host.startswith("10.") else ["127.0.0.1"]

    done = list(fetch_many(make_fetcher(resolver=resolver), urls))
    assert Counter(fetched.url for fetched in done) == Counter(urls)
    assert Counter(str(fetched.status) for fetched in done) == {
        "kept": 210,
        "not a picture": 7,
        "address not public": 7 + 1,
        "cut short": 7,
        "compressed answer": 7,
        "against robots.txt": 7,
        "HTTP error": 7,
        "bad URL": 3,
    }
    assert all((f.status == Status.KEPT) == (f.data is not None) for f in done)


def test_no_urls_give_no_results():
    assert list(fetch_many(make_fetcher(), [])) == []


class Watch:
    """Replaces `Fetcher.fetch`: records when each host was asked, and how many at a time."""

    def __init__(self, fetcher: Fetcher, interval: float) -> None:
        self.fetcher, self.interval = fetcher, interval
        self.lock = threading.Lock()
        self.times: dict[str, list[float]] = {}
        self.busy: Counter[str] = Counter()
        self.most = Counter[str]()

    def __call__(self, url: str) -> FetchResult:
        host = url.split("/")[2]
        with self.lock:
            self.busy[host] += 1
            self.most[host] = max(self.most[host], self.busy[host])
            self.most["all"] = max(self.most["all"], sum(self.busy.values()))
        self.fetcher.rate_limit.wait(host, self.interval)
        with self.lock:
            self.times.setdefault(host, []).append(self.fetcher.rate_limit.now())
        time.sleep(0.001)
        with self.lock:
            self.busy[host] -= 1
        return FetchResult(url, url, Status.NO_HOST, None)


def test_each_host_has_its_own_rate(monkeypatch):
    clock = Clock()
    fetcher = make_fetcher(clock, limits={"threads": 4})
    watch = Watch(fetcher, interval=2.0)
    monkeypatch.setattr(fetcher, "fetch", watch)
    urls = [f"http://h{i % 20}/{i}" for i in range(200)]
    assert len(list(fetch_many(fetcher, urls))) == 200
    for host, times in watch.times.items():
        gaps = [b - a for a, b in itertools.pairwise(times)]
        assert len(times) == 10, host
        assert min(gaps) >= 2.0, host
    assert watch.most.pop("all") <= 4
    assert set(watch.most.values()) == {1}, "a host is asked by one thread at a time"
    assert clock.time - 1000 < 10 * 2.0 + 1, "hosts wait side by side, not one after another"


def test_many_urls_of_one_host_do_not_delay_the_others(monkeypatch):
    clock = Clock()
    fetcher = make_fetcher(clock, limits={"threads": 4})
    watch = Watch(fetcher, interval=10.0)
    monkeypatch.setattr(fetcher, "fetch", watch)
    urls = [f"http://big/{i}" for i in range(50)] + [f"http://h{i}/" for i in range(50)]
    first = [fetched.url for fetched in itertools.islice(fetch_many(fetcher, urls), 51)]
    assert sum("big" in url for url in first) < 10


def test_the_rate_limit_of_a_real_fetcher(server):
    server.routes["/a.jpg"] = answer(JPEG)
    clock = Clock()
    fetcher = make_fetcher(clock, resolver=resolve_to_loopback, limits={"interval": 3.0})
    urls = [server.at("h.example", f"/a.jpg?{i}") for i in range(5)]
    assert all(fetched.status == Status.KEPT for fetched in fetch_many(fetcher, urls))
    assert clock.time - 1000 == pytest.approx(5 * 3.0)


def test_urls_are_read_when_needed(monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 50)
    fetcher = make_fetcher(limits={"threads": 2})
    monkeypatch.setattr(fetcher, "fetch", Watch(fetcher, 1.0))
    read = itertools.count()
    last = [0]

    def endless():
        for last[0] in read:
            yield f"http://h{last[0] % 3}/{last[0]}"

    records = fetch_many(fetcher, endless())
    assert len(list(itertools.islice(records, 20))) == 20
    assert last[0] < 20 + 50 + 2
    records.close()


def test_results_before_a_stop_are_kept(server):
    server.routes |= {f"/{i}.jpg": answer(JPEG) for i in range(9)}

    def urls():
        for i in range(9):
            if i == 5:
                raise KeyboardInterrupt
            yield server.at(f"h{i}.example", f"/{i}.jpg")

    kept: list[FetchResult] = []
    fetcher = make_fetcher(resolver=resolve_to_loopback, limits={"threads": 1})
    with pytest.raises(KeyboardInterrupt):
        kept.extend(fetch_many(fetcher, urls()))
    assert len(kept) >= 4
    assert all(fetched.data == JPEG for fetched in kept)


def test_closing_ends_the_threads(server):
    server.routes["/a.jpg"] = answer(JPEG)
    before = threading.active_count()
    fetcher = make_fetcher(resolver=resolve_to_loopback, limits={"threads": 5})
    records = fetch_many(fetcher, (server.at(f"h{i}", "/a.jpg") for i in itertools.count()))
    assert next(records).status == Status.KEPT
    records.close()
    for _ in range(100):
        if not [t for t in threading.enumerate() if "_work" in t.name]:
            break
        time.sleep(0.01)
    assert not [t for t in threading.enumerate() if "_work" in t.name], before
    asked = len(server.asked)
    time.sleep(0.05)
    assert len(server.asked) == asked


@pytest.mark.kills
def test_a_stopped_program_does_not_wait_for_servers(server):
    """Ctrl-C while a server does not answer for a long time."""
    stop = threading.Event()
    server.routes["/silent.jpg"] = lambda handler: stop.wait(20)
    program = f"""
import os, signal, threading
from ipaddress import ip_network
from wrinkle.curation.web.fetch_many import fetch_many
from wrinkle.curation.web.fetcher import Fetcher, Limits
fetcher = Fetcher({CONTACT!r}, Limits(seconds=60, interval=0), allow=[ip_network("127.0.0.1")])
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    list(fetch_many(fetcher, ["", "{server.url}/silent.jpg"]))
except KeyboardInterrupt:
    print("stopped")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=False
    )
    stop.set()
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


def test_default_limits_and_contact():
    fetcher = Fetcher(CONTACT, Limits(interval=0), allow=[ip_network("10.0.0.0/8")])
    (done,) = fetch_many(fetcher, ["http://127.0.0.1/"])
    assert done.status == Status.NOT_PUBLIC
