"""Computers beyond this one: the executor of a dask scheduler.

A ``dask.distributed`` client is an executor like any other. Its workers need the same optmodels,
and nothing else: instances travel with the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from optmodels.errors import MissingExtraError, UsageError

_PATIENCE_S = 10.0


@contextmanager
def scheduler_executor(address: str) -> Iterator[Executor]:
    """Executor of the dask scheduler at an address such as ``tcp://127.0.0.1:8786``.

    Raises
    ------
    MissingExtraError
        ``distributed`` is not installed.
    UsageError
        Nobody answers at the address, or the scheduler has no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtraError("distributed", "distributed", "work on a dask scheduler") from None
    try:
        client = Client(address, timeout=_PATIENCE_S, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"No dask scheduler answers at {address!a} ({reason}). Fix: start one with "
            "'dask scheduler', workers with 'dask worker ADDRESS', and give the address that the "
            "scheduler prints."
        ) from None
    try:
        if not client.ncores():
            raise UsageError(
                f"The dask scheduler at {address!a} has no workers. Fix: start some with "
                "'dask worker ADDRESS'."
            )
        # Cells are told apart by their keys; equal arguments are not the same work to dask.
        yield client.get_executor(pure=False)
    finally:
        client.close()
