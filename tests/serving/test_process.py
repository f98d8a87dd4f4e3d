"""Whatever torch's settings and the process's history are: the same age, or one line."""

import os
import platform
import signal
import subprocess
import sys

import pytest

from tests.conftest import EXAMPLES
from wrinkle.cores import WAITING

PORTRAIT = EXAMPLES / "joe_biden_2010.jpg"
USES = """
import sys, os, torch, multiprocessing
from wrinkle import AgeEstimator, WrinkleError
picture = sys.argv[1]

def use(path):
    return round(estimator.predict(path)[0][0].age, 2)

def load_and_use(path):
    return round(AgeEstimator.load().predict(path)[0][0].age, 2)
"""


def output(code: str) -> list[str]:
    """Lines that a program prints; it is stopped, children included, if it hangs."""
    chosen = ("OMP_NUM_THREADS", *WAITING)  # which commands run in this process may have set
    environment = {k: v for k, v in os.environ.items() if k not in chosen}
    process = subprocess.Popen(
        [sys.executable, "-c", USES + code, PORTRAIT],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        lines = process.communicate(timeout=180)[0].splitlines()
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        pytest.fail("it hangs")
    return lines


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("when", ["loaded", "used", "midstream", "threads", "never"])
def test_after_a_fork(when: str) -> None:
    code = f"""
when = {when!r}
if when != "never":
    estimator = AgeEstimator.load()
if when == "used":
    use(picture)
if when == "threads":
    torch.set_num_threads(2)
if when in ("midstream", "threads"):
    stream = estimator.stream([picture] * 40, 2 if when == "midstream" else 32)
    next(stream)
work = load_and_use if when == "never" else use
with multiprocessing.get_context("fork").Pool(2) as pool:
    ages = pool.map(work, [picture] * 4)
if when in ("midstream", "threads"):
    assert len(list(stream)) == 39
print(set(ages) == {{work(picture)}})
"""
    assert output(code)[-1:] == ["True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("batch", [2, 32])
def test_a_stream_begun_before_a_fork_is_one_line(batch: int) -> None:
    code = f"""
torch.set_num_threads(2)
estimator = AgeEstimator.load()
stream = estimator.stream([picture] * 100, {batch})
next(stream), next(stream)
if os.fork() == 0:
    try:
        list(stream)
    except WrinkleError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""
    (line,) = output(code)
    assert "stream" in line
    assert "forked" in line


def test_torch_settings_do_not_change_ages() -> None:
    code = """
estimator = AgeEstimator.load()
age = use(picture)
for dtype in (torch.float64, torch.float16, torch.bfloat16):
    torch.set_default_dtype(dtype)
    for name in ("default", "dhaa", "adpf"):
        AgeEstimator.load(name).predict(picture)
    assert use(picture) == load_and_use(picture) == age, dtype
    assert torch.get_default_dtype() == dtype
torch.set_default_dtype(torch.float32)
torch.set_default_device("meta")
assert use(picture) == load_and_use(picture) == age
torch.set_default_device("cpu")
with torch.autocast("cpu", torch.bfloat16):
    assert use(picture) == load_and_use(picture) == age
print("done")
"""
    assert output(code)[-1:] == ["done"]


def test_threads_sleep_unless_the_user_chose() -> None:
    code = """
import threading
estimator = AgeEstimator.load()
names = [t.name for t in threading.enumerate()]
print(torch.get_num_threads() == 1 or "wrinkle-openmp" in names)
"""
    assert output(code)[-1:] == ["True"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize("chosen", [False, True])
def test_memory_is_kept_unless_the_user_chose(chosen: bool) -> None:
    """A tensor that is freed and made again needs no new pages."""
    code = f"""
import resource
if {chosen}:
    os.environ["MALLOC_TRIM_THRESHOLD_"] = "131072"
    import ctypes
    ctypes.CDLL(None).mallopt(-1, 131072)
estimator = AgeEstimator.load()
for _ in range(3):
    torch.zeros(1 << 22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.zeros(1 << 22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before > 10_000)
"""
    assert output(code)[-1:] == [str(chosen)]
