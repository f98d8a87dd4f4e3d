import threading
from collections.abc import Iterator

import pytest
import torch

from wrinkle.faces.detectors.threads import Threads


@pytest.fixture(params=[1, 2, 3])
def cores(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_results_are_in_order_and_the_setting_is_restored(cores: int, count: int) -> None:
    seen: list[tuple[int, int]] = []

    def double(items: list[int]) -> list[int]:
        seen.append((threading.get_ident(), torch.get_num_threads()))
        return [2 * item for item in items]

    assert Threads().map(double, list(range(count))) == [2 * item for item in range(count)]
    assert torch.get_num_threads() == cores
    assert {threads for _, threads in seen} == {1}
    assert len(seen) == max(min(cores, count), 1)


def test_the_setting_is_restored_after_an_error() -> None:
    def fail(items: list[int]) -> list[int]:
        raise ValueError("no")

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="no"):
            Threads().map(fail, [1, 2, 3])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_two_users_at_a_time() -> None:
    """Each has its threads, and each thread has the setting of before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    inside, leave = threading.Event(), threading.Event()

    def wait(items: list[int]) -> list[int]:
        inside.set()
        leave.wait(10)
        return items

    try:
        other = threading.Thread(target=lambda: Threads().map(wait, [1, 2]))
        other.start()
        inside.wait(10)
        used: list[int] = []

        def note(items: list[int]) -> list[int]:
            used.append(torch.get_num_threads())
            return items

        assert Threads().map(note, [1, 2, 3]) == [1, 2, 3]
        assert used == [1, 1]
        assert torch.get_num_threads() == 2
        leave.set()
        other.join()
        assert torch.get_num_threads() == 2
    finally:
        leave.set()
        torch.set_num_threads(before)


def test_threads_keep_to_one_core_while_others_use_more(cores: int) -> None:
    threads = Threads()
    found = [threads.submit(torch.get_num_threads) for _ in range(4)]
    assert {each.result() for each in found} == {1}
    others: list[int] = []
    other = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert others == [cores]


def test_a_map_in_a_thread_is_not_divided_again() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen: list[int] = []

    def note(items: list[int]) -> list[int]:
        seen.append(len(items))
        return items

    try:
        assert Threads().submit(Threads().map, note, [1, 2, 3]).result() == [1, 2, 3]
        assert seen == [3]
    finally:
        torch.set_num_threads(before)
