"""The ranks: importing what starts MPI, ending all ranks, and keeping what the library prints."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from typing import Any

from optmodels.errors import MissingExtraError

_LOG = logging.getLogger(__name__)


def import_wheel() -> Any:
    """Import the room that needs MPI."""
    try:
        import mpi4py  # noqa: F401
        import mpisppy.log
    except ImportError as error:
        missing = error.name or "mpi-sppy"
        raise MissingExtraError(missing, "stochastic", "Progressive hedging") from None
    # While it is imported the library would open log files in the working directory.
    opening = mpisppy.log.setup_logger
    mpisppy.log.setup_logger = lambda *args, **kwargs: None
    try:
        from optmodels.rightsizing.sites import wheel
    finally:
        mpisppy.log.setup_logger = opening
    return wheel


class _Lines(io.TextIOBase):
    """A stream whose lines go to the log."""

    def write(self, text: str) -> int:
        """Log what is written, line by line."""
        for line in text.splitlines():
            if line.strip():
                _LOG.info(line.rstrip())
        return len(text)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what the library prints to the log of this module."""
    with contextlib.redirect_stdout(_Lines()):
        yield


def own_rank() -> int:
    """Number of this rank."""
    from mpi4py import MPI

    return int(MPI.COMM_WORLD.Get_rank())


def end_others(code: int) -> None:
    """Ranks that wait for this one would wait for ever."""
    if "mpi4py.MPI" not in sys.modules:
        return
    from mpi4py import MPI

    if MPI.COMM_WORLD.Get_size() > 1:
        MPI.COMM_WORLD.Abort(code)
