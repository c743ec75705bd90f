"""Running the cells of a study on any executor, so that nothing is lost and nobody waits.

Any `concurrent.futures.Executor` will do: processes on this machine, or the executor of a
``dask.distributed`` client for many. Cells go out in chunks of one instance that take a fraction of
a second, so that sending costs little and a kill loses little; the policies of an instance go out
once its optimum is known. Records are handed on as they come back, whatever the order.

When a worker dies, no executor says which cell killed it. Those that were out are then tried again
one at a time in processes of our own, and the one that kills its worker again is recorded as
failed. An executor that the user brought is not ours to mend: the study stops, with what it has.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    ProcessPoolExecutor,
)
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from typing import Any

from optmodels.errors import OptmodelsError
from optmodels.studies.cell import Cell, Grid
from optmodels.studies.work import (
    DONE,
    FAILED,
    Chunk,
    Job,
    Known,
    Record,
    is_oracle,
    perform,
    performed,
)

#: Wall time that a chunk should take [s], and the most cells that it holds.
CHUNK_SECONDS = 0.25
MOST_CELLS = 256
#: Chunks that are out at once, per worker: one that runs and one that waits.
_PER_WORKER = 2
_UNKNOWN_WORKERS = 8

Keep = Callable[[Sequence[tuple[Cell, Record]]], None]


class EngineError(OptmodelsError):
    """The executor of a study broke down; what was done until then is kept."""


def run_cells(
    grid: Grid,
    records: Mapping[str, Record],
    keep: Keep,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
) -> None:
    """Compute all cells that have no record yet.

    Parameters
    ----------
    grid
        The cells.
    records
        What is there already, by key; `keep` is expected to add to it.
    keep
        Called with new records, in whatever order they come.
    executor
        Where to compute; None for this process, one cell after the other.
    workers
        Without an executor: processes of our own.

    Raises
    ------
    EngineError
        The executor broke.
    """
    plan = _Plan(grid, records, keep)
    if executor is not None:
        _run_on(executor, plan, None)
    elif workers is not None and workers > 1:
        _run_in_processes(plan, workers)
    else:
        while (item := plan.next(1)) is not None:
            cells, chunk = item
            for cell, record in zip(cells, performed(chunk), strict=True):
                plan.done([(cell, record)])


class _Plan:
    """Cells that are to be done: which are ready, and how many go together."""

    def __init__(self, grid: Grid, records: Mapping[str, Record], keep: Keep) -> None:
        self._grid, self._records, self._keep = grid, records, keep
        self._ready: deque[list[Cell]] = deque()
        self._waiting: dict[str, list[Cell]] = {}
        self._oracle: dict[str, Cell] = {}
        self._seconds: dict[str, float] = {}
        for cell in grid.cells:
            if is_oracle(cell.policy):
                self._oracle[cell.fingerprint] = cell
                if cell.key not in records:
                    self._ready.append([cell])
            elif cell.key not in records:
                self._waiting.setdefault(cell.fingerprint, []).append(cell)
        for fingerprint in list(self._waiting):
            if self._oracle[fingerprint].key in records:
                self._release(fingerprint)

    def next(self, most: int = MOST_CELLS) -> tuple[list[Cell], Chunk] | None:
        """Cells that may be done now; None where there are none, for now or for good."""
        if not self._ready:
            return None
        cells = self._ready.popleft()
        expected = self._seconds.get(cells[0].problem)
        fit = 1 if expected is None else max(1, int(CHUNK_SECONDS / max(expected, 1e-9)))
        count = min(fit, most, MOST_CELLS)
        if len(cells) > count:
            # The rest of an instance comes next, while a worker may still know it.
            self._ready.appendleft(cells[count:])
            cells = cells[:count]
        return cells, self.chunk(cells)

    def chunk(self, cells: Sequence[Cell]) -> Chunk:
        """What a worker needs for cells of one instance."""
        first = cells[0]
        known = None if is_oracle(first.policy) else self._known(first.fingerprint)
        jobs = tuple(self._job(cell) for cell in cells)
        return Chunk(self._grid.instances[first.fingerprint], known, jobs)

    def done(self, found: Sequence[tuple[Cell, Record]]) -> None:
        """Take records in."""
        self._keep(found)
        for cell, record in found:
            if is_oracle(cell.policy):
                self._release(cell.fingerprint)
            else:
                before = self._seconds.get(cell.problem, record.seconds)
                # A slow cell counts at once, quick ones only little by little.
                mean = 0.9 * before + 0.1 * record.seconds
                self._seconds[cell.problem] = max(record.seconds, mean) if before else mean

    def not_done(self, cells: list[Cell], error: Exception) -> None:
        """Take back cells that could not be sent, or not be received: at the end one by one."""
        if len(cells) > 1:
            self._ready.extend([cell] for cell in cells)
        else:
            text = f"{type(error).__name__}: {error}"
            self.done([(cell, Record(cell.key, FAILED, 0.0, error=text)) for cell in cells])

    def _release(self, fingerprint: str) -> None:
        """Let the policies of an instance run, or fail them where its optimum is not known."""
        cells = self._waiting.pop(fingerprint, [])
        if not cells:
            return
        oracle = self._records[self._oracle[fingerprint].key]
        if oracle.status == DONE:
            self._ready.append(cells)
        else:
            error = f"there is no optimum to compare with ({oracle.error})"
            self._keep([(cell, Record(cell.key, FAILED, 0.0, error=error)) for cell in cells])

    def _known(self, fingerprint: str) -> Known:
        record = self._records[self._oracle[fingerprint].key]
        assert record.total is not None  # it is done, or its policies would not be out
        return Known(record.total, record.bound, record.gap)

    def _job(self, cell: Cell) -> Job:
        grid = self._grid
        policy = None if is_oracle(cell.policy) else grid.policies[cell.problem, cell.policy]
        told: Any = grid.forecasts[cell.forecast]
        return Job(cell.key, policy, told, cell.drawn_seed, cell.chosen)


def _run_on(executor: Executor, plan: _Plan, workers: int | None) -> None:
    """Keep an executor busy until everything is done."""
    known = workers or getattr(executor, "_max_workers", None) or _UNKNOWN_WORKERS
    most = max(2, _PER_WORKER * int(known))
    out: dict[Any, list[Cell]] = {}
    try:
        while True:
            while len(out) < most and (item := plan.next()) is not None:
                cells, chunk = item
                out[executor.submit(perform, chunk)] = cells
            if not out:
                return
            finished, _ = wait_for(out, return_when=FIRST_COMPLETED)
            for future in finished:
                try:
                    records = future.result()
                except (BrokenExecutor, CancelledError):
                    raise
                except Exception as error:
                    plan.not_done(out.pop(future), error)
                    continue
                plan.done(list(zip(out.pop(future), records, strict=True)))
    except (BrokenExecutor, CancelledError) as error:
        raise _BrokenError(out.values()) from error
    finally:
        for future in out:
            future.cancel()


class _BrokenError(EngineError):
    """The executor broke while these cells were out."""

    def __init__(self, cells: Iterable[list[Cell]]) -> None:
        super().__init__(
            "The executor of the study broke: a worker died. What was done until then is kept. "
            "Fix: look for a cell that needs too much memory, or give a number of workers instead "
            "of an executor, which finds the cell and goes on."
        )
        self.cells = list(cells)


def _run_in_processes(plan: _Plan, workers: int) -> None:
    while True:
        try:
            with _processes(workers) as pool:
                _run_on(pool, plan, workers)
            return
        except _BrokenError as broken:
            for cells in broken.cells:
                _one_by_one(plan, cells)


def _one_by_one(plan: _Plan, cells: Sequence[Cell]) -> None:
    """Try cells each in a process of its own; those that kill it have failed."""
    for cell in cells:
        with _processes(1) as pool:
            try:
                [record] = pool.submit(perform, plan.chunk([cell])).result()
            except BrokenExecutor:
                record = Record(cell.key, FAILED, 0.0, error="the worker process died")
        plan.done([(cell, record)])


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that are not left behind, however the study ends."""
    # Fresh interpreters: a forked one may inherit locks that nobody will ever open.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_stay_with_parent)
    try:
        yield pool
    except BaseException:
        # Whoever interrupts a study does not wait for a solver in a worker.
        running = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.terminate()
        raise
    else:
        pool.shutdown(wait=True)


def _stay_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it does: a killed one cannot tell its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
