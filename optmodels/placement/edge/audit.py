"""The audit of applications at edge sites: the only place where their grams and kWh are computed.

A plan has two tables. ``placements`` (name, group, server, count) says how many applications of a
row run on which server of a group, servers counted from 1; what is not named is not placed.
``power`` (group, servers) says how many servers of each group are on: the first ones; a group that
is not named has none. Everything else is recomputed here from the raw instance.

Emissions are counted in full: the energy of the applications and the base energy of every server
that is on, those that ran before included. ``incremental_g`` leaves the latter out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optmodels.placement.edge.instance import RESOURCES, EdgeInstance, IntArray
from optmodels.plan import Audit, Cost, Violation
from optmodels.violations import audited, lacking, listed, numbers, positions, row_violations

#: Largest tolerated excess over a resource, relative to the free resources of a server.
TOLERANCE = 1e-6
PLACEMENT_COLUMNS = ("name", "group", "server", "count")
POWER_COLUMNS = ("group", "servers")
#: Numbers of servers and applications beyond which nobody counts.
_LARGEST = 1e12


@dataclass(frozen=True)
class Placement:
    """Who runs where.

    Attributes
    ----------
    rows
        Class, group, server (from 0) and count, shape (N, 4).
    on
        Servers that are on, by group, shape (G,).
    """

    rows: IntArray
    on: IntArray

    def square(self, instance: EdgeInstance) -> IntArray:
        """Applications of each class at each group, shape (D, G)."""
        table = np.zeros((len(instance.classes), len(instance.groups)), dtype=np.int64)
        np.add.at(table, (self.rows[:, 0], self.rows[:, 1]), self.rows[:, 3])
        return table


def audit(instance: EdgeInstance, tables: Mapping[str, pd.DataFrame]) -> Audit:
    """Recompute what a plan costs and which limits it breaks.

    Parameters
    ----------
    instance
        The question.
    tables
        ``placements`` (name, group, server, count) and ``power`` (group, servers).

    Returns
    -------
    Audit
        Cost in g (applications, base power, moves, applications left out), with carbon, energy,
        round trips, servers on and applications left out; and the violations.
    """
    placement, violations = read_placement(instance, tables)
    violations += _violations(instance, placement)
    return audited(cost_of(instance, placement), violations)


def cost_of(instance: EdgeInstance, placement: Placement) -> Cost:
    """What a placement costs, sound or not."""
    d, g, _, count = placement.rows.T
    energy = instance.requests[d] * instance.request_kwh[instance.kind[d], instance.device[g]]
    # An arc that does not exist has no energy: the violation says so.
    work_kwh = np.nan_to_num(count * energy, nan=0.0)
    base_kwh = placement.on * instance.base_kwh
    square = placement.square(instance)
    left = np.maximum(instance.count - square.sum(axis=1), 0)
    who, where, before = instance.placed.T
    moved = np.bincount(
        who, weights=np.maximum(before - square[who, where], 0), minlength=len(instance.classes)
    )
    price = instance.parameters.unplaced_g
    work_g = float(work_kwh @ instance.intensity[g])
    base_g = float(base_kwh @ instance.intensity)
    move_kwh = float(moved @ instance.move_kwh)
    move_g = move_kwh * instance.mean_intensity
    trips = np.nan_to_num(count * instance.rtt_ms[d, g], nan=0.0)
    carbon = work_g + base_g + move_g
    ran_g = float((instance.running * instance.base_kwh) @ instance.intensity)
    return Cost(
        parts={
            "applications_g": work_g,
            "base_g": base_g,
            "moves_g": move_g,
            "unplaced_g": 0.0 if price is None else float(price) * float(left.sum()),
        },
        quantities={
            "carbon_g": carbon,
            "incremental_g": carbon - ran_g,
            "energy_kwh": float(work_kwh.sum() + base_kwh.sum()) + move_kwh,
            "rtt_ms": float(trips.sum()),
            "servers_on": float(placement.on.sum()),
            "unplaced": float(left.sum()),
            "moved_gb": float(moved @ instance.state_gb),
        },
        unit="g",
    )


def tables_of(instance: EdgeInstance, placement: Placement) -> dict[str, pd.DataFrame]:
    """Tables of a plan."""
    rows = placement.rows[np.lexsort(placement.rows[:, [0, 2, 1]].T)]
    names = np.array(instance.classes, dtype=object)
    groups = np.array(instance.groups, dtype=object)
    used = np.flatnonzero(placement.on)
    return {
        "placements": pd.DataFrame(
            {
                "name": names[rows[:, 0]],
                "group": groups[rows[:, 1]],
                "server": rows[:, 2] + 1,
                "count": rows[:, 3],
            }
        ),
        "power": pd.DataFrame({"group": groups[used], "servers": placement.on[used]}),
    }


def read_placement(
    instance: EdgeInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[Placement, list[Violation]]:
    """The sound rows of a plan, and what is wrong with the others."""
    on = np.zeros(len(instance.groups), dtype=np.int64)
    rows = np.zeros((0, 4), dtype=np.int64)
    table, violations = _table(tables, "placements", PLACEMENT_COLUMNS)
    if table is not None:
        name, wrong = _labels(table["name"], instance.classes, "name of table 'placements'")
        group, other = _labels(table["group"], instance.groups, "group of table 'placements'")
        server, third = _wholes(table["server"], "column 'server' of table 'placements'")
        count, fourth = _wholes(table["count"], "column 'count' of table 'placements'")
        violations += [*wrong, *other, *third, *fourth]
        sound = (name >= 0) & (group >= 0) & (server >= 1) & (count >= 1)
        rows = np.stack([name, group, server - 1, count], axis=1)[sound]
        again = pd.DataFrame(rows[:, :3]).duplicated().to_numpy()
        violations += row_violations("one row per name and server", again, again, "once")
    table, missing = _table(tables, "power", POWER_COLUMNS)
    violations += missing
    if table is not None:
        group, wrong = _labels(table["group"], instance.groups, "group of table 'power'")
        number, other = _wholes(table["servers"], "column 'servers' of table 'power'")
        violations += [*wrong, *other]
        sound = (group >= 0) & (number >= 1)
        again = pd.Series(group[sound]).duplicated().to_numpy()
        violations += row_violations("one row per group", again, again, "once")
        np.add.at(on, group[sound], number[sound])
    return Placement(rows, on), violations


def _violations(instance: EdgeInstance, placement: Placement) -> list[Violation]:
    """Every broken limit of a placement."""
    found: list[Violation] = []
    d, g, server, _ = placement.rows.T
    allowed = np.zeros((len(instance.classes), len(instance.groups)), dtype=np.bool_)
    allowed[instance.arcs] = True
    for i in listed(~allowed[d, g]):
        words = f"a server that can run it within {instance.limit_ms[d[i]]:g} ms"
        trip = float(instance.rtt_ms[d[i], g[i]])
        found.append(Violation("round trip and fit", _place(instance, d[i], g[i]), trip, words))
    on, most, running = placement.on, instance.servers, instance.running
    least = np.zeros_like(running) if instance.parameters.switch_off else running
    for i in listed((on > most) | (on < least)):
        words = f"{least[i]} to {most[i]}"
        found.append(Violation("servers on", instance.groups[i], float(on[i]), words))
    for i in listed(server >= on[g]):
        words = f"at most {on[g[i]]}, the servers that are on"
        place = _place(instance, d[i], g[i])
        found.append(Violation("number of the server", place, float(server[i] + 1), words))
    found += _overfull(instance, placement)
    total = placement.square(instance).sum(axis=1)
    must = instance.parameters.unplaced_g is None
    wrong = (total > instance.count) | (must & (total < instance.count))
    for i in listed(wrong):
        words = f"{'' if must else 'at most '}{instance.count[i]}"
        found.append(Violation("applications placed", instance.classes[i], float(total[i]), words))
    budget = instance.parameters.moves_max_gb
    moved = cost_of(instance, placement)["moved_gb"]
    if budget is not None and moved > budget * (1 + TOLERANCE) + TOLERANCE:
        found.append(Violation("state moved [GB]", "", moved, f"at most {budget:g}"))
    return found


def _overfull(instance: EdgeInstance, placement: Placement) -> list[Violation]:
    """Servers that hold more than they have room for."""
    d, g, server, count = placement.rows.T
    width = int(server.max(initial=0)) + 1
    code, which = np.unique(g * width + server, return_inverse=True)
    take = np.nan_to_num(instance.demand[instance.kind[d], instance.device[g]], nan=0.0)
    used = np.zeros((len(code), len(RESOURCES)))
    np.add.at(used, which.ravel(), take * count[:, None])
    free = instance.free[code // width]
    broken = used > free * (1 + TOLERANCE) + TOLERANCE * (free == 0)
    return [
        Violation(
            f"{RESOURCES[k]} of a server",
            f"{instance.groups[code[i] // width]}, server {code[i] % width + 1}",
            float(used[i, k]),
            f"at most {free[i, k]:.9g}",
        )
        for i, k in listed(broken)
    ]


def _place(instance: EdgeInstance, d: int, g: int) -> str:
    return f"{instance.classes[d]} at {instance.groups[g]}"


def _table(
    tables: Mapping[str, pd.DataFrame], label: str, names: tuple[str, ...]
) -> tuple[pd.DataFrame | None, list[Violation]]:
    """A table of a plan; None, with violations, where columns lack or stand more than once."""
    table = tables.get(label)
    wrong = lacking(names, table, label)
    return (None if wrong else table), wrong


def _labels(
    column: pd.Series[Any], names: tuple[str, ...], limit: str
) -> tuple[IntArray, list[Violation]]:
    """Number of each label, -1 where it is none."""
    found = positions(names, column)
    where = np.arange(1.0, len(found) + 1)
    return found, row_violations(limit, found < 0, where, "a name of the instance")


def _wholes(column: pd.Series[Any], limit: str) -> tuple[IntArray, list[Violation]]:
    """Whole numbers from 1; 0 where a cell is none."""
    values = numbers(column)
    sound = (values == np.round(values)) & (values >= 1) & (values < _LARGEST)
    whole = np.where(sound, values, 0).astype(np.int64)
    return whole, row_violations(limit, ~sound, values, "a whole number from 1")
