"""What may be decided: which backups stand warm, and what a failure makes servers load.

Both are arrays by application, with `NONE` where there is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

#: No candidate, no server.
NONE = -1


@dataclass(frozen=True)
class Warm:
    """Warm backups, at most one of each application.

    Attributes
    ----------
    candidate
        Candidate that stands ready, or `NONE`, shape (N,).
    server
        Where it stands, or `NONE`, shape (N,).
    """

    candidate: IntArray
    server: IntArray

    @property
    def placed(self) -> IntArray:
        """Applications that have one."""
        found: IntArray = np.flatnonzero(self.candidate != NONE)
        return found


@dataclass(frozen=True)
class Recovery:
    """What is loaded in one failure; applications that switch to a warm backup are not named.

    Attributes
    ----------
    application
        Applications to be loaded, shape (L,).
    server
        Where each is loaded.
    first
        Candidate that is loaded first and serves first.
    target
        Candidate that serves in the end; where it is another one, it is loaded later, while the
        first one serves, which is unloaded then.
    turn
        Place of the first loading in the queue of its server, from 1.
    upgrade_turn
        Place of the loading of the target in that queue, after `turn`; 0 where the first one is
        the target.
    """

    application: IntArray
    server: IntArray
    first: IntArray
    target: IntArray
    turn: IntArray
    upgrade_turn: IntArray

    @property
    def count(self) -> int:
        """L: number of applications that are loaded."""
        return len(self.application)


def no_warm(applications: int) -> Warm:
    """Nothing stands ready."""
    nothing = np.full(applications, NONE, dtype=np.int64)
    return Warm(nothing, nothing.copy())


def no_recovery() -> Recovery:
    """Nothing is loaded."""
    return Recovery(*(np.zeros(0, dtype=np.int64) for _ in range(6)))
