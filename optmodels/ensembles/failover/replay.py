"""A run of failover: first the warm backups, then one failure after another.

The first decision is which backups stand warm; a policy answers with a `Warm`. Then each failure
comes by itself, out of the state before any failure: the policy sees which servers are down, what
room is left on the others and who is waiting, and answers with a `Recovery`. Applications whose
warm backups survive switch by themselves. Which failures may come is known in advance, to
everybody; which one it is shows when it comes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from optmodels.ensembles.failover.actions import NONE, Recovery, Warm
from optmodels.ensembles.failover.audit import (
    audit,
    recovery_violations,
    room_left,
    survives,
    warm_violations,
)
from optmodels.ensembles.failover.instance import FailoverInstance, Failure
from optmodels.ensembles.failover.plan_tables import tables_of
from optmodels.ensembles.failover.recovering import Room
from optmodels.errors import UsageError, shorten
from optmodels.forecast import Forecast
from optmodels.plan import Plan, Provenance, Violation
from optmodels.policy import Observation

_TIME = pd.Timestamp(0, tz="UTC")


@dataclass(frozen=True)
class FailoverHeader:
    """What a policy is told before anything fails: the whole question."""

    told: FailoverInstance


@dataclass(frozen=True)
class FailoverState:
    """What a policy sees in a failure.

    Attributes
    ----------
    room
        Servers that are down, room on the others, applications that are waiting.
    warm
        Its warm backups.
    """

    room: Room
    warm: Warm


def room_of(instance: FailoverInstance, warm: Warm, failure: Failure) -> Room:
    """What a failure leaves, beside warm backups."""
    memory, gflops = room_left(instance, warm, failure)
    waiting = failure.failed[~survives(warm, failure)[failure.failed]]
    return Room(failure.down.copy(), np.maximum(memory, 0.0), np.maximum(gflops, 0.0), waiting)


class FailoverEnvironment:
    """One run under a policy.

    Parameters
    ----------
    instance
        The question.
    granted
        What the policy is granted; nothing is hidden here but which failure comes.
    forecast
        Not used.
    """

    def __init__(
        self,
        instance: FailoverInstance,
        granted: frozenset[str] = frozenset(),
        forecast: Forecast | None = None,
    ) -> None:
        del granted, forecast
        self.instance = instance
        self.header = FailoverHeader(instance)
        self.warm: Warm | None = None
        self.recoveries: list[Recovery] = []

    def observe(self) -> Observation | None:
        """Nothing before the warm backups are chosen, then each failure; None after the last."""
        done = len(self.recoveries)
        if self.warm is None:
            return Observation(slot=0, time=_TIME, past={}, state=None, forecast=None)
        if done == len(self.instance.failures):
            return None
        room = room_of(self.instance, self.warm, self.instance.failures[done])
        state = FailoverState(room, self.warm)
        return Observation(slot=done + 1, time=_TIME, past={}, state=state, forecast=None)

    def act(self, action: object) -> None:
        """Install warm backups, or load what a failure needs.

        Raises
        ------
        UsageError
            The answer is of the wrong kind or breaks a limit, or there is nothing left to decide.
        """
        if self.warm is None:
            self.warm = self._sound_warm(action)
            return
        done = len(self.recoveries)
        if done == len(self.instance.failures):
            raise UsageError("A policy went on after the last failure.")
        failure = self.instance.failures[done]
        self.recoveries.append(self._sound_recovery(action, self.warm, failure))

    def _sound_warm(self, action: object) -> Warm:
        if not isinstance(action, Warm):
            raise UsageError(f"A policy answered {shorten(action)}; allowed: Warm backups.")
        inst = self.instance
        candidate, server = np.asarray(action.candidate), np.asarray(action.server)
        shape = (len(inst.applications),)
        if candidate.shape != shape or server.shape != shape:
            raise UsageError(f"A policy did not answer for each of {shape[0]} applications.")
        placed = np.flatnonzero(candidate != NONE)
        inside = (candidate[placed] >= inst.candidates.start[placed]) & (
            candidate[placed] < inst.candidates.start[placed + 1]
        )
        there = (server[placed] >= 0) & (server[placed] < len(inst.servers))
        if not (inside & there).all():
            who = inst.applications[int(placed[~(inside & there)][0])]
            raise UsageError(f"A policy gave {who} a warm backup that is none of its candidates.")
        warm = Warm(candidate.astype(np.int64), server.astype(np.int64))
        _require(warm_violations(inst, warm))
        return warm

    def _sound_recovery(self, action: object, warm: Warm, failure: Failure) -> Recovery:
        if not isinstance(action, Recovery):
            raise UsageError(f"A policy answered {shorten(action)}; allowed: a Recovery.")
        inst = self.instance
        columns = (
            *(action.application, action.server, action.first),
            *(action.target, action.turn, action.upgrade_turn),
        )
        arrays = [np.asarray(column).astype(np.int64) for column in columns]
        if len({column.shape for column in arrays}) != 1 or arrays[0].ndim != 1:
            raise UsageError("A policy answered with columns of different lengths.")
        for column, most in zip(
            arrays,
            (len(inst.applications), len(inst.servers), *(inst.candidates.count,) * 2),
            strict=False,
        ):
            if ((column < 0) | (column >= most)).any():
                raise UsageError("A policy named an application, server or candidate that is none.")
        owner = inst.candidates.application
        if ((owner[arrays[2]] != arrays[0]) | (owner[arrays[3]] != arrays[0])).any():
            raise UsageError("A policy loads a candidate of another application.")
        if len(np.unique(arrays[0])) != len(arrays[0]):
            raise UsageError("A policy recovers an application twice.")
        recovery = Recovery(*arrays)
        _require(recovery_violations(inst, warm, failure, recovery))
        return recovery


def _require(violations: list[Violation]) -> None:
    if violations:
        raise UsageError(f"A policy breaks a limit: {violations[0]}.")


def decisions(environment: FailoverEnvironment) -> dict[str, pd.DataFrame]:
    """Tables of the plan that a run has made.

    Raises
    ------
    UsageError
        Not everything has been decided yet.
    """
    if environment.warm is None or environment.observe() is not None:
        raise UsageError("Not every failure has been decided yet.")
    return tables_of(environment.instance, environment.warm, environment.recoveries)


def plan_of(
    instance: FailoverInstance,
    warm: Warm,
    recoveries: list[Recovery],
    *,
    maker: str,
    provenance: Provenance,
    status: str = "feasible",
    bound: float | None = None,
) -> Plan:
    """Audited plan of warm backups and recoveries."""
    tables = tables_of(instance, warm, recoveries)
    return Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker=maker,
        status=status,
        bound=bound,
        tables=tables,
        audit=audit(instance, tables),
        provenance=provenance,
    )
