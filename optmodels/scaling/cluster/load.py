"""The load of a cluster: which jobs arrive when, how long they run, and which queue they take.

The queues are those of CarbonFlex (Hanafy et al., arXiv:2505.18357): the longer a job, the longer
it may wait or pause.

========  ==============  ===========
queue     length          delay
========  ==============  ===========
short     up to 2 h       6 h
medium    up to 12 h      24 h
long      longer          48 h
========  ==============  ===========
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.instance import IntArray

QUEUES = ("short", "medium", "long")
#: Longest job of each queue, and what its jobs may wait or pause [h].
LONGEST_H = (2.0, 12.0, np.inf)
DELAY_H = (6.0, 24.0, 48.0)
#: Length that stands for a queue of which no job is known; ours [h].
TYPICAL_H = (1.5, 6.0, 24.0)

#: Power of a server, as CarbonScaler measured it for its CPU servers [kW].
SERVER_KW = 0.06
#: Power of moving data, as CarbonFlex assumes it [W/Gbps].
NETWORK_W_PER_GBPS = 0.1

_LENGTH_DECIMALS = 6
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Load:
    """Jobs in the order of their arrival.

    Attributes
    ----------
    arrival
        First slot in which each may run.
    length_h
        Run time on the fewest servers [h].
    profile
        Name of its profile.
    """

    arrival: IntArray
    length_h: FloatArray
    profile: NDArray[np.object_]

    @property
    def queue(self) -> IntArray:
        """Code of the queue of each job, by its length."""
        codes: IntArray = np.searchsorted(LONGEST_H, self.length_h * (1 - _ROUNDING)).astype(
            np.int64
        )
        return codes

    def ended_by(self, slots: int, step_hours: float) -> Load:
        """The jobs that have ended by a slot if they ran at once."""
        kept = self.arrival + self.length_h / step_hours <= slots * (1 + _ROUNDING)
        return Load(self.arrival[kept], self.length_h[kept], self.profile[kept])

    def last_due(self, step_hours: float) -> int:
        """Slots after which every job must be done; 0 without jobs."""
        table = self.table(step_hours)
        length = np.ceil(table["length_slots"].to_numpy() * (1 - _ROUNDING)).astype(np.int64)
        due = self.arrival + length + np.array(delays(step_hours))[self.queue]
        return int(due.max(initial=0))

    def table(self, step_hours: float) -> pd.DataFrame:
        """Table ``jobs`` of a cluster."""
        smallest = 10.0**-_LENGTH_DECIMALS
        slots = np.maximum((self.length_h / step_hours).round(_LENGTH_DECIMALS), smallest)
        return pd.DataFrame(
            {
                "job": np.arange(len(self.arrival)),
                "arrival_slot": self.arrival,
                "length_slots": slots,
                "queue": np.array(QUEUES, dtype=object)[self.queue],
                "profile": self.profile,
            }
        )


def delays(step_hours: float) -> list[int]:
    """Delay of each queue in whole slots; a delay never becomes longer."""
    return [int(np.floor(delay / step_hours + _ROUNDING)) for delay in DELAY_H]


def queue_table(known: Load, step_hours: float) -> pd.DataFrame:
    """Table ``queues`` of a cluster, with the mean lengths of the jobs that are known.

    Parameters
    ----------
    known
        Jobs from which the mean lengths are taken: those of an earlier time.
    step_hours
        Length of a slot [h].
    """
    means = [
        float(known.length_h[known.queue == code].mean())
        if (known.queue == code).any()
        else typical
        for code, typical in enumerate(TYPICAL_H)
    ]
    return pd.DataFrame(
        {
            "queue": list(QUEUES),
            "delay_slots": delays(step_hours),
            "mean_length_slots": np.round(np.array(means) / step_hours, _LENGTH_DECIMALS),
        }
    )


def nearest_count(length_h: FloatArray, target_h: float) -> int:
    """How many of these jobs, from the first on and at least one, come nearest to a sum [h]."""
    return int(np.argmin(np.abs(np.cumsum(length_h) - target_h))) + 1
