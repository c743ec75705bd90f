"""A rolling horizon for the elastic job, by the general driver.

`RecedingHorizon` plans up to the deadline by a combinatorial method of this problem. `RollingJob`
plans a window only, by `optmodels.rolling` and the linear programme of
`optmodels.scaling.job.window`, which also says what work is worth that is left for later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import Observation
from optmodels.scaling.job.job_policy import JobPolicy

if TYPE_CHECKING:
    from optmodels.rolling import RollingHorizon

#: Equal parts into which the slots after a window are cut.
PARTS = 8


class RollingJob(JobPolicy):
    """The best plan for a window of the newest forecast; only its first slots are run.

    Parameters
    ----------
    window_hours
        Length of the window; rounded up to whole slots.
    commit_slots
        Slots that are run before a new window is planned.
    parts
        Equal parts into which the slots after the window are cut, by expected carbon.

    Attributes
    ----------
    driver
        The driver of the last run, with its windows; None before the first.

    Notes
    -----
    - Assumptions: a forecast.
    - Proven ratio: none.
    - Complexity: one linear programme of a window of levels and slots per commitment.
    - Reference: ours.
    """

    name = "rolling-horizon"
    summary = "optimum of a 24 h window, the rest valued by how clean it is expected to be"
    needs = frozenset({"forecast"})

    def __init__(
        self, window_hours: float = 24.0, commit_slots: int = 1, parts: int = PARTS
    ) -> None:
        if not 0 < window_hours < np.inf:
            raise UsageError(f"The window is {window_hours:g} h long; allowed: more than 0.")
        if commit_slots < 1 or parts < 1:
            raise UsageError(
                f"A rolling horizon got {commit_slots} slots to commit and {parts} parts; "
                "allowed: at least 1 of each."
            )
        self.window_hours, self.commit_slots, self.parts = window_hours, commit_slots, parts
        self.driver: RollingHorizon | None = None

    def start(self) -> None:
        """Begin with the first window."""
        # Not at import: the driver brings Pyomo and the solver with it.
        from optmodels.rolling import RollingHorizon
        from optmodels.scaling.job.window import JobWindow

        slots = int(np.ceil(self.window_hours / self.header.slot_hours - 1e-9))
        commit = self.commit_slots
        self.driver = RollingHorizon(
            JobWindow(self.parts), window=max(slots, commit), commit=commit
        )
        self.driver.reset(self.header)

    def wish(self, observation: Observation) -> float:
        """Servers that the plan of the window has for this slot."""
        assert self.driver is not None
        return float(self.driver.decide(observation))
