"""The audit of one elastic job: the only place where its grams and kWh are computed.

Everything is recomputed from the raw tables of the instance and the shares of time that the plan
gives to each number of servers; nothing is taken over from solver rows or from a policy's own
books. A column ``schedule`` that disagrees with the recomputed figures is a violation like any
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.cells import column_cells, read_numbers, read_times
from optmodels.plan import Audit, Cost, Violation
from optmodels.policy import FloatArray
from optmodels.scaling.job.instance import JobInstance
from optmodels.scaling.job.profile import ScalingProfile

#: Largest tolerated error, relative to the scale of each limit: the feasibility tolerance of the
#: LP solver. The combinatorial methods stay far below it.
TOLERANCE = 1e-7

SHARE_COLUMNS = ("time", "servers", "share")


def audit(instance: JobInstance, tables: Mapping[str, pd.DataFrame]) -> Audit:
    """Recompute what a plan costs and which limits it breaks.

    Parameters
    ----------
    instance
        The question.
    tables
        ``shares`` with one row per slot and number of servers in use (time, servers, share of
        the slot), and optionally ``schedule``, whose figures are checked against the shares.

    Returns
    -------
    Audit
        Cost in g (execution, switching) with energy and server-hours, and the violations.
    """
    shares, violations = _share_matrix(instance, tables)
    work = float(instance.parameters.work)
    books = _books(instance, shares)
    running = books["servers"]
    done = float(books["work"].sum())
    violations += _slot_violations(instance, shares, running)
    if not abs(done - work) <= TOLERANCE * work:
        violations.append(Violation("work done by the deadline", "", done, f"{work:.12g}"))
    if "schedule" in tables:
        violations += _book_violations(instance, books, tables["schedule"])
    cost = Cost(
        parts={
            "execution_g": float(books["execution_g"].sum()),
            "switching_g": switching_cost(instance, running),
        },
        quantities={
            "energy_kwh": float(books["energy_kwh"].sum()),
            "server_hours": float(running.sum() * instance.slot_hours),
        },
        unit="g",
    )
    return Audit(cost, tuple(violations))


def switching_cost(instance: JobInstance, running: FloatArray) -> float:
    """Carbon of all changes of the number of servers, both end ramps included [g]."""
    changes = np.abs(np.diff(running, prepend=0.0, append=0.0))
    return float(instance.parameters.switching_g * changes.sum())


def tables_of(
    instance: JobInstance, shares: FloatArray, profile: ScalingProfile | None = None
) -> dict[str, pd.DataFrame]:
    """Tables of a plan from shares over levels.

    Parameters
    ----------
    instance
        The question.
    shares
        Shape (T, K): share of slot t at level k, off included or not.
    profile
        The levels, all of them measured ones; by default ``instance.profile``.
    """
    servers = (profile or instance.profile).servers[-shares.shape[1] :]
    measured = instance.measured[0]
    slot, level = np.nonzero(shares * (servers > 0))
    long = pd.DataFrame(
        {"time": instance.times[slot], "servers": servers[level], "share": shares[slot, level]}
    )
    matrix = np.zeros((instance.slots, measured.size))
    matrix[slot, np.searchsorted(measured, servers[level])] = shares[slot, level]
    return {"schedule": schedule_of(instance, matrix), "shares": long}


def schedule_of(instance: JobInstance, shares: FloatArray) -> pd.DataFrame:
    """What happens in each slot: average servers, work, energy and carbon.

    Parameters
    ----------
    instance
        The question.
    shares
        Shape (T, K): share of slot t at measured level k.
    """
    return pd.DataFrame({"time": instance.times, **_books(instance, shares)})


def _books(instance: JobInstance, shares: FloatArray) -> dict[str, FloatArray]:
    """Columns of the schedule, one value per slot."""
    servers, throughput, power_kw = instance.measured
    energy = shares @ power_kw * instance.slot_hours
    running = shares @ servers
    changes = np.abs(np.diff(running, prepend=0.0))
    # The last ramp down belongs to no slot; it is booked with the last slot.
    changes[-1] += abs(running[-1])
    return {
        "carbon_g_per_kwh": instance.carbon,
        "servers": running,
        "work": shares @ throughput,
        "energy_kwh": energy,
        "execution_g": energy * instance.carbon,
        "switching_g": changes * float(instance.parameters.switching_g),
    }


def _share_matrix(
    instance: JobInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[FloatArray, list[Violation]]:
    """Shares as a (T, K) matrix over the measured levels, and what was wrong with the table."""
    levels = instance.measured[0]
    matrix = np.zeros((instance.slots, levels.size))
    table = tables.get("shares")
    lacking = _lacking(SHARE_COLUMNS, table, "shares")
    if table is None or lacking:
        return matrix, lacking
    slot, places = _slots(instance, table["time"])
    servers, share = _numbers(table["servers"]), _numbers(table["share"])
    above = np.minimum(np.searchsorted(levels, servers), levels.size - 1)
    below = np.maximum(above - 1, 0)
    nearer = np.abs(levels[below] - servers) < np.abs(levels[above] - servers)
    level = np.where(nearer, below, above)
    known = np.abs(levels[level] - servers) <= TOLERANCE * levels[level]
    span = f"{instance.times[0].isoformat()} to {instance.times[-1].isoformat()}, slot by slot"
    listed = ", ".join(f"{n:g}" for n in levels)
    wrong_share = ~(share >= -TOLERANCE)
    code = np.where((slot >= 0) & known, slot * levels.size + level, -1 - np.arange(slot.size))
    repeated = np.ones(slot.size, dtype=bool)
    repeated[np.unique(code, return_index=True)[1]] = False
    violations = [
        Violation(limit, places(i), values[i], allowed)
        for limit, broken, values, allowed in (
            ("time within the horizon", slot < 0, share, span),
            ("servers in the profile", ~known, servers, listed),
            ("share of a slot", wrong_share, share, "0 to 1"),
            ("one row per slot and level", repeated, servers, "once"),
        )
        for i in np.flatnonzero(broken).tolist()
    ]
    use = (slot >= 0) & known & np.isfinite(share)
    np.add.at(matrix, (slot[use], level[use]), share[use])
    return matrix, violations


def _lacking(names: Iterable[str], table: pd.DataFrame | None, label: str) -> list[Violation]:
    """Columns that a table lacks, or has more than once."""
    given = [] if table is None else list(table.columns)
    return [
        Violation(f"column '{name}' of table '{label}'", "", given.count(name), "there, once")
        for name in names
        if given.count(name) != 1
    ]


def _slots(
    instance: JobInstance, column: pd.Series[Any]
) -> tuple[NDArray[np.int64], Callable[[int], str]]:
    """Slot of each time, -1 where it is none, and the words for the place of a row."""
    stamps, faults = read_times(column_cells(column), typed=True)
    starts, given = instance.times.asi8, stamps.asi8
    slot = np.minimum(np.searchsorted(starts, given), starts.size - 1)
    slot[starts[slot] != given] = -1
    slot[list(faults)] = -1
    return slot, lambda i: f"row {i + 1}" if i in faults else stamps[i].isoformat()


def _numbers(column: pd.Series[Any]) -> FloatArray:
    """Values of a column; NaN where a cell is no finite number."""
    values, faults = read_numbers(column_cells(column), typed=True)
    values[list(faults)] = np.nan
    return values


def _slot_violations(
    instance: JobInstance, shares: FloatArray, running: FloatArray
) -> list[Violation]:
    times = instance.times
    total = shares.sum(axis=1)
    cap = instance.cap
    violations = [
        Violation("time in a slot", times[t].isoformat(), float(total[t]), "at most 1")
        for t in np.flatnonzero(total > 1 + TOLERANCE).tolist()
    ]
    violations += [
        Violation("rate cap", times[t].isoformat(), float(running[t]), f"at most {cap:g} servers")
        for t in np.flatnonzero(running > cap * (1 + TOLERANCE)).tolist()
    ]
    return violations


def _book_violations(
    instance: JobInstance, books: Mapping[str, FloatArray], given: pd.DataFrame
) -> list[Violation]:
    """Where the schedule of a plan says something else than its shares."""
    violations = _lacking(["time", *books], given, "schedule")
    if violations:
        return violations
    if len(given) != instance.slots:
        limit = "rows of table 'schedule'"
        return [Violation(limit, "", len(given), f"{instance.slots} slots")]
    times = instance.times
    slot, place = _slots(instance, given["time"])
    violations = [
        Violation("column 'time' of table 'schedule'", place(t), t, times[t].isoformat())
        for t in np.flatnonzero(slot != np.arange(slot.size)).tolist()
    ]
    for name, true in books.items():
        said = _numbers(given[name])
        scale = float(np.abs(true).max())
        violations += [
            Violation(
                f"column '{name}' of table 'schedule'",
                times[t].isoformat(),
                float(said[t]),
                f"{true[t]:.12g}",
            )
            for t in np.flatnonzero(~(np.abs(said - true) <= TOLERANCE * scale)).tolist()
        ]
    return violations
