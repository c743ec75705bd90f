"""Fixtures shared by the whole suite."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

# A shell that starts the suite in the background lets it ignore Ctrl-C, and so would every process
# that the suite starts: the tests of interruption need processes that do not.
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real public traces, which stays outside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the public traces are not beside the project")
    return SHARED_DATA
