"""Policies whose solver takes the whole process with it, for worker processes to import."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from optmodels.policy import Observation, Policy
from optmodels.solver import solve_model
from tests.solver.models import market_split

#: Time after which a solver is in the middle of its search [s].
_IN_THE_MIDDLE = 0.2
_LONG_ENOUGH = 60.0


class Dying(Policy):
    """Dies while HiGHS searches: aborted, as by a failed assertion of a library, or killed.

    Parameters
    ----------
    way
        "abort" or "kill".
    """

    name = "dying"

    def __init__(self, way: str) -> None:
        self.way = way

    def reset(self, header: Any) -> None:
        """Nothing to prepare."""

    def decide(self, observation: Observation) -> float:
        """Search for something that takes forever."""
        end = os.abort if self.way == "abort" else lambda: os.kill(os.getpid(), signal.SIGKILL)
        threading.Timer(_IN_THE_MIDDLE, end).start()
        solve_model(market_split(7), time_limit_s=_LONG_ENOUGH)
        return 1.0
