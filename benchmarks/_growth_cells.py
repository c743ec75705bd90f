"""Measure one subject at one size, in a process that does nothing else: time and peak memory.

Everything is done once at a smaller size first, so that imports, traces of formulations and caches
are paid before. What is quick is repeated; the memory is the peak of the first time beyond what the
process held before.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import statistics
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _compiler_paths import _RESET, _STATUS, _high_water
from _growth_subjects import FIRST, Action, scratch, subject_of

from optmodels.errors import InfeasibleError, UsageError
from optmodels.plan import Plan

QUICK_S, SLOW_S = 0.2, 3.0
"""What takes longer than the first is measured twice at most, than the second once."""
MOST_REPEATS = 5
SPENT_S = 0.15
"""Time that repeats may take together."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A subject at a size; `warm` is the size at which everything is done before.

    ``limit_s`` is the limit on the solver where the subject is a hard programme [s].
    """

    subject: str
    size: int
    warm: int
    seed: int
    limit_s: float


def perform(cell: Cell) -> list[Row]:
    """Rows of a cell, one per action."""
    subject = subject_of(cell.subject)
    with warnings.catch_warnings(), scratch() as folder:
        warnings.simplefilter("ignore")
        usable = []
        for name, action in subject.actions(
            cell.warm, Path(folder), cell.seed, cell.limit_s
        ).items():
            # A policy may not apply to these instances, or have no plan for one; it says so.
            with contextlib.suppress(UsageError, InfeasibleError):
                action()
                usable.append(name)
        # What the libraries hold need not be looked through before every measurement.
        gc.collect()
        gc.freeze()
        amount = subject.amount(cell.size, cell.seed)
        actions = subject.actions(cell.size, Path(folder), cell.seed, cell.limit_s)
        rows = []
        for name in usable:
            with contextlib.suppress(UsageError, InfeasibleError):
                rows.append(
                    {
                        "subject": subject.name,
                        "problem": subject.problem,
                        "axis": subject.axis,
                        "size": cell.size,
                        "n": amount,
                        "action": name,
                        "kind": subject.kind_of(name),
                        **measured(actions[name], repeat=not subject.hard and name != FIRST),
                    }
                )
        return rows


def measured(action: Action, *, repeat: bool = True) -> Row:
    """Processor time of an action [s], median of several where it is quick, and its peak [MB].

    Of two times the smaller counts: in the first one the system may have to find the memory, which
    says more about the machine than about the work.
    """
    _give_back()
    if _RESET.exists():
        _RESET.write_text("5")
    before = _high_water()
    first, found = _timed(action)
    taken = [first]
    peak = _high_water() - before
    while repeat and len(taken) < MOST_REPEATS and taken[0] < QUICK_S and sum(taken) < SPENT_S:
        taken.append(_timed(action)[0])
    if repeat and len(taken) == 1 and first < SLOW_S:
        taken.append(_timed(action)[0])
    return {
        "seconds": statistics.median(taken) if len(taken) > 2 else min(taken),
        "megabytes": peak / 1e6 if _STATUS.exists() else float("nan"),
        "repeats": len(taken),
        "gap": found.gap if isinstance(found, Plan) and found.gap is not None else float("nan"),
    }


def _give_back() -> None:
    """Return what is free to the system, or the next to ask for it would seem to need none."""
    gc.collect()
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _timed(action: Action) -> tuple[float, Any]:
    gc.collect()
    gc.disable()
    try:
        started = time.process_time()
        found = action()
        return time.process_time() - started, found
    finally:
        gc.enable()
