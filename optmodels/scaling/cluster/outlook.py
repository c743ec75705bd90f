"""Carbon intensity beyond the forecast: the usual day, approached from the last one known.

A forecast reaches a day ahead. Jobs may wait for two. What comes after the forecast is expected to
be the usual day of the last weeks (the mean of each time of day), plus what is left of the
deviation of the last known day from it: `persistence` of it after one day, its square after two.
"""

from __future__ import annotations

import numpy as np

from optmodels.policy import FloatArray, Observation
from optmodels.scaling.cluster.replay import SERIES, ClusterHeader


class Outlook:
    """Expected carbon intensity of the slots ahead.

    Parameters
    ----------
    header
        Length of a day, and the past; its last slot is taken to be just before the first slot, or
        whole days earlier.
    horizon
        H: slots to look ahead, the present one included.
    persistence
        Share of the deviation from the usual day that is left a day later.
    memory_days
        Days whose mean, with that of the day ahead, is the usual day.
    """

    def __init__(
        self, header: ClusterHeader, horizon: int, persistence: float, memory_days: int
    ) -> None:
        self._day = header.slots_per_day
        self._horizon = horizon
        self._memory = memory_days * self._day
        days = -(-horizon // self._day)
        self._weight = persistence ** np.arange(days)[:, None]
        past = np.empty(0) if header.past is None else header.past.carbon
        self._past = past[max(0, len(past) - self._memory) :]

    def carbon(self, observation: Observation, forecast: FloatArray) -> FloatArray:
        """Carbon intensity of the present slot and the next ones [g/kWh], shape (H,).

        Parameters
        ----------
        observation
            What has been revealed.
        forecast
            Values from the present slot on; a day of them is used.
        """
        day, ahead = self._day, forecast[: self._day]
        seen = observation.past[SERIES][:-1][-self._memory :]
        known = np.concatenate([self._past, seen])[-self._memory :]
        # The present slot comes next, so whole days back from the end are days like the one ahead.
        days = np.concatenate([known[len(known) % day :], ahead]).reshape(-1, day)
        usual = days.mean(axis=0)
        outlook: FloatArray = (usual + self._weight * (ahead - usual)).reshape(-1)
        return outlook[: self._horizon]
