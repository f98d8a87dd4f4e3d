import threading

from tests.curation.fetching import Clock
from wrinkle.curation.web import rate_limit as module
from wrinkle.curation.web.rate_limit import RateLimit


def test_requests_to_one_host_are_spaced_and_to_others_are_not():
    clock = Clock()
    rate_limit = RateLimit(clock.now, clock.sleep)
    for host in ("a", "b", "c"):
        rate_limit.wait(host, 2.0)
    assert clock.slept == []
    assert rate_limit.due("a") == clock.now() + 2
    rate_limit.wait("a", 5.0)
    assert clock.slept == [2.0]
    rate_limit.wait("a", 2.0)
    assert clock.slept == [2.0, 5.0]


def test_a_pause_lengthens_a_wait_and_never_shortens_it():
    clock = Clock()
    rate_limit = RateLimit(clock.now, clock.sleep)
    rate_limit.pause("a", 30)
    rate_limit.pause("a", 10)
    rate_limit.wait("a", 1)
    assert clock.slept == [30]


def test_threads_get_different_times():
    times = []
    rate_limit = RateLimit(lambda: 0.0, times.append)
    threads = [threading.Thread(target=rate_limit.wait, args=("a", 1.0)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(times) == [float(i) for i in range(1, 20)]


def test_hosts_without_a_wait_are_forgotten(monkeypatch):
    monkeypatch.setattr(module, "MAX_HOSTS", 100)
    clock = Clock()
    rate_limit = RateLimit(clock.now, clock.sleep)
    rate_limit.pause("slow", 1e6)
    for i in range(1000):
        rate_limit.wait(f"h{i}", 1.0)
        clock.time += 2
    assert len(rate_limit._due) <= 102
    assert rate_limit.due("slow") > clock.now()
