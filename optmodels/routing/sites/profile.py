"""The profile table: what one instance of the model does, at every setting that was measured.

A *row* is a setting of one instance that serves one class of requests: the number of GPUs that it
is spread over (its tensor-parallel degree `tp`), their clock as a share of the fastest, and the
number of requests in its batch. For each the table says how many requests a second it serves, what
power it draws, and how long a request takes: to the first token (TTFT), between tokens (TBT), and
from end to end (E2E).

Rows differ in kind. Degree and class tie down hardware: a change of degree means loading the
weights anew. Clock and batch are turned at will. One model serves all classes, so an instance of a
degree may change its class at once: our reading, the paper's public abstract does not say.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optmodels.policy import FloatArray, frozen

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

#: A latency may exceed its limit by rounding only.
_ROUNDING = 1e-9


def integers(values: Any) -> IntArray:
    """Read-only copy as 64-bit integers."""
    array = np.array(values, dtype=np.int64)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Profile:
    """Rows of a profile as read-only arrays, all of shape (R,) but for the limits (C,).

    Attributes
    ----------
    row
        Number of each row in the instance.
    row_class
        Code of the class that it serves.
    tp
        GPUs of one instance.
    rate
        Requests that one instance serves [1/s].
    kw
        Power of one running instance [kW].
    ttft, tbt, e2e
        Time to the first token, between tokens, and from end to end, without the network [s].
    frequency
        Clock as a share of the fastest.
    batch
        Requests that are served together.
    ttft_limit, tbt_limit, e2e_limit
        What each class allows, network included [s].
    """

    row: IntArray
    row_class: IntArray
    tp: IntArray
    rate: FloatArray
    kw: FloatArray
    ttft: FloatArray
    tbt: FloatArray
    e2e: FloatArray
    frequency: FloatArray
    batch: FloatArray
    ttft_limit: FloatArray
    tbt_limit: FloatArray
    e2e_limit: FloatArray

    @property
    def count(self) -> int:
        """R: number of rows."""
        return len(self.row)

    @property
    def classes(self) -> int:
        """C: number of classes."""
        return len(self.ttft_limit)

    @cached_property
    def degrees(self) -> IntArray:
        """Numbers of GPUs that instances come in, ascending, shape (G,)."""
        return integers(np.unique(self.tp))

    @cached_property
    def degree_of(self) -> IntArray:
        """Place of each row's `tp` among `degrees`, shape (R,)."""
        return integers(np.searchsorted(self.degrees, self.tp))

    def ok(self, rtt_s: FloatArray) -> BoolArray:
        """Whether a request of an origin keeps its limits when a site serves it by a row.

        Parameters
        ----------
        rtt_s
            Round trips between origins and sites [s], shape (O, S).

        Returns
        -------
        BoolArray
            Shape (O, S, R), read-only. Time to the first token and time from end to end include
            the round trip, the time between tokens does not.
        """
        trip = np.asarray(rtt_s, dtype=np.float64)[:, :, None]
        limit = [
            values[self.row_class] * (1 + _ROUNDING)
            for values in (self.ttft_limit, self.tbt_limit, self.e2e_limit)
        ]
        kept: BoolArray = (
            (self.ttft + trip <= limit[0]) & (self.tbt <= limit[1]) & (self.e2e + trip <= limit[2])
        )
        kept.flags.writeable = False
        return kept

    def take(self, rows: IntArray) -> Profile:
        """Profile of some rows, in this order; `degrees` are those that they still have."""
        chosen: dict[str, Any] = {}
        for field in fields(self):
            values = getattr(self, field.name)
            if field.name.endswith("_limit"):
                chosen[field.name] = values
            elif values.dtype.kind == "i":
                chosen[field.name] = integers(values[rows])
            else:
                chosen[field.name] = frozen(values[rows])
        return Profile(**chosen)


def pruned(profile: Profile, idle_kw: float = 0.0, arcs: BoolArray | None = None) -> IntArray:
    """Rows that a fractional plan needs; the others are never better.

    A row is left out if another of the same class and degree serves a request with no more GPUs
    (g/λ), no more power ((W - g w_idle)/λ: an instance that does not run saves all but its idle
    power), no more time, and within the limits wherever it does. Whatever flow goes by the row can
    then go by the other on fewer instances, so the optimum of the linear programme is the same. An
    optimum in whole instances may need the row all the same: a smaller instance can fill a gap.

    Parameters
    ----------
    profile
        All rows.
    idle_kw
        Power of a configured GPU that does not run [kW]; 0 where it is switched off.
    arcs
        Which rows keep the limits, by origin and site (O, S, R), as `Profile.ok` has it; rows that
        keep them nowhere are then left out. By default the limits are kept wherever the times are
        no longer.

    Returns
    -------
    IntArray
        Places of the rows that remain, ascending.
    """
    kept = np.ones(profile.count, dtype=bool)
    if arcs is None:
        tbt_late = profile.tbt > profile.tbt_limit[profile.row_class] * (1 + _ROUNDING)
        burdens = np.column_stack([profile.ttft, tbt_late.astype(np.float64)])
    else:
        lost = ~arcs.reshape(-1, profile.count).T
        kept &= ~lost.all(axis=1)
        # Arcs that all rows have or lack together decide nothing.
        patterns = np.unique(lost, axis=1)
        burdens = patterns.astype(np.float64)
    measures = np.column_stack(
        [
            profile.tp / profile.rate,
            (profile.kw - profile.tp * idle_kw) / profile.rate,
            profile.e2e,
            burdens,
        ]
    )
    for of_class in range(profile.classes):
        for degree in range(len(profile.degrees)):
            same = (profile.row_class == of_class) & (profile.degree_of == degree) & kept
            group = np.flatnonzero(same)
            kept[group] = _undominated(measures[group])
    return integers(np.flatnonzero(kept))


def _undominated(measures: FloatArray) -> BoolArray:
    """Whether each row of measures is beaten by no other; of equal rows the first stays."""
    count = len(measures)
    no_worse = np.ones((count, count), dtype=bool)
    for values in measures.T:
        no_worse &= values[:, None] <= values[None, :]
    equal = no_worse & no_worse.T
    first = np.arange(count)[:, None] < np.arange(count)[None, :]
    beaten = (no_worse & (~equal | first) & ~np.eye(count, dtype=bool)).any(axis=0)
    return np.asarray(~beaten)
