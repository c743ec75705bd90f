"""Moving applications when what is measured is not what was promised.

Rates change after an application was placed. A monitor compares the mean response that it measures
of every application with its SLO; whoever is late is taken off its node and placed again, as if it
arrived now with the rate that is measured: one application per cycle, so that each move shows its
effect before the next (Ibis, arXiv:2201.07312).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from optmodels.errors import UsageError
from optmodels.placement.accelerators.audit import Placement
from optmodels.placement.accelerators.fitting import feasible_nodes
from optmodels.placement.accelerators.hardware import Application, Hardware
from optmodels.placement.accelerators.policies import PlacementPolicy
from optmodels.placement.accelerators.replay import AcceleratorsHeader, moved


@dataclass(frozen=True)
class Move:
    """One application that changes its node.

    Attributes
    ----------
    app
        Its name.
    source, target
        Numbers of the nodes.
    """

    app: str
    source: int
    target: int


def with_measured_rates(placement: Placement, rates_per_s: Mapping[str, float]) -> Placement:
    """The placement with the rates that are measured; who is not named keeps its rate.

    Parameters
    ----------
    placement
        Applications by node.
    rates_per_s
        Measured requests per second by application [1/s].

    Returns
    -------
    Placement
        The same applications at the same nodes, with these rates.

    Raises
    ------
    UsageError
        A name is not hosted, or a rate is not positive.
    """
    hosted = {application.name for node in placement for application in node}
    for name, rate in rates_per_s.items():
        if name not in hosted:
            raise UsageError.unknown("hosted application", name, hosted)
        if not (np.isfinite(rate) and rate > 0):
            raise UsageError(f"The measured rate of {name} is {rate}; allowed: above 0.")

    def measured(application: Application) -> Application:
        rate = rates_per_s.get(application.name)
        return application if rate is None else replace(application, rate_per_ms=rate / 1000)

    return tuple(tuple(measured(a) for a in node) for node in placement)


def next_move(
    hardware: Hardware,
    placement: Placement,
    responses_ms: Mapping[str, float],
    policy: PlacementPolicy,
    *,
    idle_only: bool = False,
) -> Move | None:
    """The one move of a cycle: who exceeds its SLO most, relative to it, goes first.

    Whoever fits nowhere else stays, and the next late one is tried.

    Parameters
    ----------
    hardware
        The nodes.
    placement
        Applications of each node, at the rates that are measured.
    responses_ms
        Measured mean responses of hosted applications [ms].
    policy
        Chooses among the nodes that keep all promises; placed as if the application arrived.
    idle_only
        Whether only nodes that host nobody are targets, as in the published code of Ibis.

    Returns
    -------
    Move or None
        None where nobody is late, or nobody late fits elsewhere.

    Raises
    ------
    UsageError
        A response is of an application that is not hosted.
    """
    hosted = {a.name: (node, a) for node, group in enumerate(placement) for a in group}
    for name in responses_ms:
        if name not in hosted:
            raise UsageError.unknown("hosted application", name, hosted)
    excess = {name: ms / hosted[name][1].slo_ms for name, ms in responses_ms.items()}
    policy.reset(AcceleratorsHeader(hardware, None))
    for name in sorted((n for n in excess if excess[n] > 1), key=lambda n: (-excess[n], n)):
        source, application = hosted[name]
        rest = tuple(tuple(a for a in group if a is not application) for group in placement)
        targets = [
            node
            for node in feasible_nodes(hardware, rest, application)
            if node != source and not (idle_only and rest[node])
        ]
        if targets:
            return Move(name, source, policy.choose(targets, application, rest))
    return None


def after(placement: Placement, move: Move) -> Placement:
    """The placement after a move.

    Parameters
    ----------
    placement
        Applications by node.
    move
        Who goes where.

    Returns
    -------
    Placement
        Applications by node after the move.
    """
    return tuple(moved(placement, move.app, move.target))
