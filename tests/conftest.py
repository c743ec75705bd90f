"""Fixtures shared by the whole suite."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real public traces, which stays outside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the public traces are not beside the project")
    return SHARED_DATA
