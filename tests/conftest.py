"""Shared by all tests: where the research datasets lie, which are never part of the repository."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that holds fgnet/ and utkface/; tests that ask for it are skipped without it."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    root = Path(os.environ.get("WRINKLE_DATA", default))
    if not (root / "fgnet").is_dir() or not (root / "utkface").is_dir():
        pytest.skip(f"no FG-NET and UTKFace in {root}: set WRINKLE_DATA to the folder of both")
    return root
