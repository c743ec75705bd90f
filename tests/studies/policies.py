"""Policies that misbehave in a study, in a module that worker processes can import."""

from __future__ import annotations

import os
import time
from typing import Any

from optmodels.policy import Observation, Policy


class AtOnce(Policy):
    """Runs at full rate until the work is done, and takes its time to decide."""

    name = "at-once"

    def __init__(self, pause_s: float = 0.0) -> None:
        self.pause_s = pause_s

    def reset(self, header: Any) -> None:
        """Take the pause."""
        time.sleep(self.pause_s)

    def decide(self, observation: Observation) -> float:
        """Full rate."""
        return 1.0


class Failing(AtOnce):
    """Has a bug."""

    name = "failing"

    def decide(self, observation: Observation) -> float:
        """Raise what no policy should."""
        raise ZeroDivisionError("a bug in a policy")


class Deadly(AtOnce):
    """Kills its process, as a solver that runs out of memory does."""

    name = "deadly"

    def decide(self, observation: Observation) -> float:
        """End the process at once."""
        os._exit(9)
