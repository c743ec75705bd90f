"""Prices: what a placement is charged for, by arc, server, move and application left out.

Every objective of the problem, and every baseline, is the same placement under other prices:

===============  ==============================  =======================  ======================
prices           an application on a server      a server that is on      a move
===============  ==============================  =======================  ======================
``carbon``       energy × intensity              base energy × intensity  energy × mean intensity
``energy``       energy                          base energy              energy
``latency``      round trip                      (ties)                   (ties)
``intensity``    intensity                       (ties)                   (ties)
``mixed``        weighted sum of carbon, energy and round trips
===============  ==============================  =======================  ======================

Latency and intensity alone leave open which device runs the work and which servers are on. Ties
are broken by energy, at so small a price that all energy of an application counts as a thousandth
of the largest round trip, or intensity. A baseline that broke them badly would make every saving
against it look larger than it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from optmodels.placement.edge.instance import EdgeInstance
from optmodels.policy import FloatArray

#: Share of the largest price for which the energy of one application counts in a tie.
TIE = 1e-3
#: Price of leaving an application out where as many as possible are to be placed, as a multiple of
#: the dearest way of placing one.
OUT = 10.0


@dataclass(frozen=True)
class Prices:
    """Prices of a placement.

    Attributes
    ----------
    arc
        Of one application, by arc of the instance.
    base
        Of a server that is on, by group, shape (G,).
    move
        Of moving one application, by class, shape (D,).
    left
        Of leaving one application out; None where all must be placed.
    """

    arc: FloatArray
    base: FloatArray
    move: FloatArray
    left: float | None


def carbon(instance: EdgeInstance) -> Prices:
    """Grams: what the audit counts."""
    return mixed(instance, {"carbon_g": 1.0})


def energy(instance: EdgeInstance) -> Prices:
    """Kilowatt-hours; as many applications as possible are placed."""
    return _placing_most(instance, mixed(instance, {"energy_kwh": 1.0}))


def latency(instance: EdgeInstance) -> Prices:
    """Round trips; as many applications as possible are placed."""
    d, g = instance.arcs
    return _placing_most(instance, _with_ties(instance, instance.rtt_ms[d, g]))


def intensity(instance: EdgeInstance) -> Prices:
    """Carbon intensity of the place, whatever the energy; as many as possible are placed."""
    return _placing_most(instance, _with_ties(instance, instance.intensity[instance.arcs[1]]))


def mixed(instance: EdgeInstance, weights: Mapping[str, float]) -> Prices:
    """Weighted sum of ``carbon_g``, ``energy_kwh`` and ``rtt_ms`` (the sum of all round trips)."""
    d, g = instance.arcs
    gram, kwh = weights.get("carbon_g", 0.0), weights.get("energy_kwh", 0.0)
    per_kwh = gram * instance.intensity + kwh
    arc = instance.arc_kwh * per_kwh[g] + weights.get("rtt_ms", 0.0) * instance.rtt_ms[d, g]
    price = instance.parameters.unplaced_g
    return Prices(
        arc=arc,
        base=instance.base_kwh * per_kwh,
        move=instance.move_kwh * (gram * instance.mean_intensity + kwh),
        left=None if price is None else gram * float(price),
    )


def _with_ties(instance: EdgeInstance, arc: FloatArray) -> Prices:
    """Prices of arcs, ties broken by energy."""
    largest = max(
        float(instance.arc_kwh.max(initial=0.0)), float(instance.base_kwh.max(initial=0.0))
    )
    price = TIE * float(arc.max(initial=0.0)) / largest if largest > 0 else 0.0
    return Prices(
        arc=arc + price * instance.arc_kwh,
        base=price * instance.base_kwh,
        move=price * instance.move_kwh,
        left=None,
    )


def dearest(prices: Prices) -> float:
    """The most that placing one application can cost by itself."""
    parts = (prices.arc, prices.base, prices.move)
    most = sum(float(part.max(initial=0.0)) for part in parts)
    return most if most > 0 else 1.0


def _placing_most(instance: EdgeInstance, prices: Prices) -> Prices:
    """The same, leaving out only what cannot be placed."""
    if instance.parameters.unplaced_g is None:
        return prices
    return Prices(prices.arc, prices.base, prices.move, OUT * dearest(prices))


def total(
    instance: EdgeInstance,
    prices: Prices,
    placed: np.ndarray,
    servers: np.ndarray,
) -> float:
    """What a placement costs at these prices; infinite where it leaves out what must be placed.

    Moves from where an application may not stay are no decision, and not counted: see
    `optmodels.placement.edge.model.forced_moves`.

    Parameters
    ----------
    instance
        The question.
    prices
        Prices.
    placed
        Applications by arc.
    servers
        Servers that are on, by group.
    """
    d, g = instance.arcs
    left = instance.count - np.bincount(d, weights=placed, minlength=len(instance.count))
    if prices.left is None and left.any():
        return float("inf")
    square = np.zeros((len(instance.count), len(instance.servers)))
    square[d, g] = placed
    may_stay = np.zeros(square.shape, dtype=np.bool_)
    may_stay[d, g] = True
    moves = sum(
        float(prices.move[c]) * max(n - float(square[c, s]), 0.0)
        for c, s, n in instance.placed.tolist()
        if may_stay[c, s]
    )
    price = 0.0 if prices.left is None else prices.left
    value = float(prices.arc @ placed) + float(prices.base @ servers) + price * float(left.sum())
    return value + float(moves)
