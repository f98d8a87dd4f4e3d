import threading

from tests.curation.fetching import Clock
from wrinkle.curation import turns as module
from wrinkle.curation.web.rate_limit import Turns


def test_turns_of_one_host_are_apart_and_of_others_are_not():
    clock = Clock()
    turns = Turns(clock.now, clock.sleep)
    for host in ("a", "b", "c"):
        turns.take(host, 2.0)
    assert clock.slept == []
    assert turns.due("a") == clock.now() + 2
    turns.take("a", 5.0)
    assert clock.slept == [2.0]
    turns.take("a", 2.0)
    assert clock.slept == [2.0, 5.0]


def test_hold_lengthens_a_wait_and_never_shortens_it():
    clock = Clock()
    turns = Turns(clock.now, clock.sleep)
    turns.hold("a", 30)
    turns.hold("a", 10)
    turns.take("a", 1)
    assert clock.slept == [30]


def test_threads_do_not_get_the_same_turn():
    times = []
    turns = Turns(lambda: 0.0, times.append)
    threads = [threading.Thread(target=turns.take, args=("a", 1.0)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(times) == [float(i) for i in range(1, 20)]


def test_hosts_are_forgotten_when_their_time_is_over(monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 100)
    clock = Clock()
    turns = Turns(clock.now, clock.sleep)
    turns.hold("slow", 1e6)
    for i in range(1000):
        turns.take(f"h{i}", 1.0)
        clock.time += 2
    assert len(turns._due) <= 102
    assert turns.due("slow") > clock.now()
