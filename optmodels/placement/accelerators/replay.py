"""Applications come one by one, and stay.

A policy is told the nodes (`AcceleratorsHeader`), and then each application when it arrives, with
what is hosted where. It answers with a `Placing`: the node, or None to reject it, and first, if it
wants, moves of applications that are hosted already. A policy that asks for all applications in
advance is granted them, and every comparison says so.

The one thing refused is what cannot be done: a model on a node that does not run it, or more than
its memory. A policy may break promises; its plan pays for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optmodels.errors import UsageError, shorten
from optmodels.forecast import Forecast
from optmodels.placement.accelerators.audit import Placement, tables_of
from optmodels.placement.accelerators.hardware import Application, Hardware
from optmodels.placement.accelerators.instance import AcceleratorsInstance
from optmodels.policy import Observation

#: What a policy needs to be told all applications before the first one arrives.
ALL_APPLICATIONS = "all applications"
# Arrivals have an order, but no clock.
_TIME = pd.Timestamp(0, tz="UTC")


@dataclass(frozen=True)
class AcceleratorsHeader:
    """What a policy is told before the first application.

    Attributes
    ----------
    hardware
        Nodes, devices, profiles and the rules of promises.
    applications
        All applications in the order of their arrival; None unless granted.
    """

    hardware: Hardware
    applications: tuple[Application, ...] | None


@dataclass(frozen=True)
class Arrival:
    """What a policy sees when an application arrives.

    Attributes
    ----------
    application
        Who arrives.
    placement
        Applications of each node so far.
    """

    application: Application
    placement: Placement


@dataclass(frozen=True)
class Placing:
    """What a policy answers.

    Attributes
    ----------
    node
        Number of the node that hosts the application; None to reject it.
    moves
        Names of hosted applications and numbers of the nodes to which they move first.
    """

    node: int | None
    moves: tuple[tuple[str, int], ...] = ()


class AcceleratorsEnvironment:
    """One replay: a decision per application.

    Parameters
    ----------
    instance
        The question.
    granted
        What the policy is granted.
    forecast
        Not used: nobody forecasts applications.
    """

    def __init__(
        self,
        instance: AcceleratorsInstance,
        granted: frozenset[str] = frozenset(),
        forecast: Forecast | None = None,
    ) -> None:
        self.instance = instance
        told = instance.applications if ALL_APPLICATIONS in granted else None
        self.header = AcceleratorsHeader(instance.hardware, told)
        self._nodes: list[tuple[Application, ...]] = [() for _ in instance.hardware.nodes]
        self._next = 0

    @property
    def placement(self) -> Placement:
        """Applications of each node so far."""
        return tuple(self._nodes)

    def observe(self) -> Observation | None:
        """The application that arrives; None after the last."""
        if self._next == len(self.instance.applications):
            return None
        state = Arrival(self.instance.applications[self._next], self.placement)
        return Observation(slot=self._next, time=_TIME, past={}, state=state, forecast=None)

    def act(self, action: object) -> None:
        """Carry out the moves, then host or reject the application.

        Raises
        ------
        UsageError
            The answer is no `Placing`, moves what is not hosted, names no node, or asks for what
            a node cannot hold; nothing is carried out then.
        """
        if not isinstance(action, Placing):
            raise UsageError(f"A policy answered {shorten(action)}; allowed: a Placing.")
        if self._next == len(self.instance.applications):
            raise UsageError("A policy went on after the last application.")
        nodes = list(self._nodes)
        for name, target in action.moves:
            nodes = moved(nodes, name, self._node(target))
        if action.node is not None:
            node = self._node(action.node)
            nodes[node] = (*nodes[node], self.instance.applications[self._next])
        hardware = self.instance.hardware
        for node, hosted in enumerate(nodes):
            if hosted != self._nodes[node] and not hardware.has_room(node, hosted):
                names = ", ".join(application.name for application in hosted)
                raise UsageError(
                    f"A policy put {names} on {hardware.nodes[node]}, which does not run all "
                    "their models or has too little memory."
                )
        self._nodes = nodes
        self._next += 1

    def _node(self, number: object) -> int:
        count = len(self._nodes)
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not whole or not 0 <= int(number) < count:  # type: ignore[call-overload]
            raise UsageError(
                f"A policy answered with the node {shorten(number)}; allowed: 0 to {count - 1}, or "
                "None."
            )
        return int(number)  # type: ignore[call-overload, no-any-return]


def moved(
    nodes: Sequence[tuple[Application, ...]], name: str, target: int
) -> list[tuple[Application, ...]]:
    """Applications of each node after one has moved.

    Raises
    ------
    UsageError
        No application of this name is hosted.
    """
    found = [(n, a) for n, hosted in enumerate(nodes) for a in hosted if a.name == name]
    if not found:
        raise UsageError(f"A policy moves {shorten(name)}, which is not hosted anywhere.")
    node, application = found[0]
    after = list(nodes)
    after[node] = tuple(a for a in after[node] if a.name != name)
    after[target] = (*after[target], application)
    return after


def decisions(environment: AcceleratorsEnvironment) -> dict[str, pd.DataFrame]:
    """Tables of the plan that a replay has made."""
    return tables_of(environment.instance, environment.placement)
