import math
import os
from pathlib import Path

import pytest

from wrinkle import cores
from wrinkle.cores import configure_openmp, cpu_quota, usable_cores


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def test_the_smallest_quota_of_the_groups_above_counts(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    group(tmp_path / "cgroup", cpu__max="400000 100000")
    group(tmp_path / "cgroup/a", cpu__max="150000 100000")
    group(tmp_path / "cgroup/a/b", cpu__max="max 100000")
    assert cpu_quota(tmp_path / "cgroup", own) == 1.5


def test_version_1(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("5:memory:/x\n4:cpu,cpuacct:/x\n")
    group(tmp_path / "cgroup/cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert cpu_quota(tmp_path / "cgroup", own) == math.inf
    group(tmp_path / "cgroup/cpu/x", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    assert cpu_quota(tmp_path / "cgroup", own) == 0.5


def test_no_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "none") == math.inf


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity here")
@pytest.mark.parametrize(
    ("affinity", "quota", "expected"),
    [(8, math.inf, 8), (8, 1.5, 2), (8, 0.1, 1), (1, 4.0, 1)],
)
def test_usable_cores(
    affinity: int, quota: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)))
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    assert usable_cores() == expected


def test_what_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "cpu_quota", lambda: 1.0)
    chosen: dict[str, str] = {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "7"}
    configure_openmp(chosen)
    assert chosen == {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "7"}
    chosen = {"GOMP_SPINCOUNT": "5"}
    configure_openmp(chosen)
    assert chosen == {"GOMP_SPINCOUNT": "5", "OMP_NUM_THREADS": "1"}
    monkeypatch.setattr(cores, "cpu_quota", lambda: math.inf)
    empty: dict[str, str] = {}
    configure_openmp(empty)
    assert empty == {"OMP_WAIT_POLICY": "PASSIVE"}
