"""Applications come one after the other, and get their members.

A policy is told the servers and the rules, and then each application when it comes, in the order of
their names, with what is free. It answers with a `Selection`: members and their servers. A policy
that asks for all applications in advance is granted them, and every comparison says so. Nobody is
shown a hold-out sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optmodels.ensembles.selection.audit import tables_of
from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.ensembles.selection.tasks import (
    Placement,
    Rules,
    Servers,
    Task,
    faults,
    has_room,
)
from optmodels.errors import UsageError, shorten
from optmodels.forecast import Forecast
from optmodels.policy import FloatArray, Observation, frozen

#: What a policy needs to be told all applications before the first one comes.
ALL_APPLICATIONS = "all applications"
# Applications have an order, but no clock.
_TIME = pd.Timestamp(0, tz="UTC")


@dataclass(frozen=True)
class SelectionHeader:
    """What a policy is told before the first application.

    Attributes
    ----------
    servers
        The servers and their failures.
    rules
        What holds for all applications.
    tasks
        All applications in their order; None unless granted.
    """

    servers: Servers
    rules: Rules
    tasks: tuple[Task, ...] | None


@dataclass(frozen=True)
class Turn:
    """What a policy sees when it is an application's turn.

    Attributes
    ----------
    task
        The application, its candidates, and how accurate they are on validation samples.
    free_mb
        Free memory of each server [MB].
    """

    task: Task
    free_mb: FloatArray


@dataclass(frozen=True)
class Selection:
    """What a policy answers.

    Attributes
    ----------
    members
        Pairs of a candidate and its server, by their numbers; none to leave the application out.
    """

    members: Placement


class SelectionEnvironment:
    """One replay: a decision per application.

    Parameters
    ----------
    instance
        The question.
    granted
        What the policy is granted.
    forecast
        Not used: there is nothing to forecast.
    """

    def __init__(
        self,
        instance: SelectionInstance,
        granted: frozenset[str] = frozenset(),
        forecast: Forecast | None = None,
    ) -> None:
        del forecast
        self.instance = instance
        told = instance.tasks if ALL_APPLICATIONS in granted else None
        self.header = SelectionHeader(instance.servers, instance.rules, told)
        self.placements: list[Placement] = []
        self._free = np.array(instance.servers.capacity_mb)

    def observe(self) -> Observation | None:
        """The next application; None after the last."""
        slot = len(self.placements)
        if slot == len(self.instance.tasks):
            return None
        state = Turn(self.instance.tasks[slot], frozen(self._free))
        return Observation(slot=slot, time=_TIME, past={}, state=state, forecast=None)

    def act(self, action: object) -> None:
        """Deploy the members.

        Raises
        ------
        UsageError
            The answer is no `Selection` or breaks a limit, or there is nothing left to decide.
        """
        slot = len(self.placements)
        if slot == len(self.instance.tasks):
            raise UsageError("A policy went on after the last application.")
        if not isinstance(action, Selection):
            raise UsageError(f"A policy answered {shorten(action)}; allowed: a Selection.")
        task, servers = self.instance.tasks[slot], self.instance.servers
        members = tuple(sorted(self._pair(pair, task) for pair in action.members))
        wrong = faults(task, servers, self.instance.rules, members)
        if not has_room(task, members, self._free):
            wrong.append("more memory than is free")
        if wrong:
            raise UsageError(f"A policy breaks limits of {task.name}: {'; '.join(wrong)}.")
        self.placements.append(members)
        self._free = np.maximum(self._free - task.memory(members, len(servers)), 0.0)

    def _pair(self, pair: Any, task: Task) -> tuple[int, int]:
        counts = (len(task.candidates), len(self.instance.servers))
        sound = isinstance(pair, tuple) and len(pair) == len(counts)
        if not sound or not all(map(_is_number, pair, counts)):
            raise UsageError(
                f"A policy answered with the member {shorten(pair)}; allowed: numbers of a "
                f"candidate, 0 to {counts[0] - 1}, and of a server, 0 to {counts[1] - 1}."
            )
        return int(pair[0]), int(pair[1])


def _is_number(number: object, count: int) -> bool:
    """Whether this is one of the first `count` numbers from 0."""
    whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    return whole and 0 <= int(number) < count  # type: ignore[call-overload]


def decisions(environment: SelectionEnvironment) -> dict[str, pd.DataFrame]:
    """Tables of the plan that a replay has made."""
    return tables_of(environment.instance, environment.placements)
