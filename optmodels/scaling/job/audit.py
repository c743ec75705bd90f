"""The audit of one elastic job: the only place where its grams and kWh are computed.

Everything is recomputed from the raw tables of the instance and the shares of time that the plan
gives to each number of servers; nothing is taken over from solver rows or from a policy's own
books. A column ``schedule`` that disagrees with the recomputed figures is a violation like any
other.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from optmodels.plan import Audit, Cost, Violation
from optmodels.policy import FloatArray
from optmodels.scaling.job.instance import JobInstance
from optmodels.scaling.job.profile import ScalingProfile
from optmodels.violations import audited, lacking, listed, numbers, row_violations, slots

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
    return audited(cost, violations)


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
    missing = lacking(SHARE_COLUMNS, table, "shares")
    if table is None or missing:
        return matrix, missing
    slot, place = slots(instance.times, table["time"])
    servers, share = numbers(table["servers"]), numbers(table["share"])
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
        violation
        for limit, broken, values, allowed in (
            ("time within the horizon", slot < 0, share, span),
            ("servers in the profile", ~known, servers, listed),
            ("share of a slot", wrong_share, share, "0 to 1"),
            ("one row per slot and level", repeated, servers, "once"),
        )
        for violation in row_violations(limit, broken, values, allowed, place)
    ]
    use = (slot >= 0) & known & np.isfinite(share)
    np.add.at(matrix, (slot[use], level[use]), share[use])
    return matrix, violations


def _slot_violations(
    instance: JobInstance, shares: FloatArray, running: FloatArray
) -> list[Violation]:
    times = instance.times
    total = shares.sum(axis=1)
    cap = instance.cap
    violations = [
        Violation("time in a slot", times[t].isoformat(), float(total[t]), "at most 1")
        for t in listed(total > 1 + TOLERANCE)
    ]
    violations += [
        Violation("rate cap", times[t].isoformat(), float(running[t]), f"at most {cap:g} servers")
        for t in listed(running > cap * (1 + TOLERANCE))
    ]
    return violations


def _book_violations(
    instance: JobInstance, books: Mapping[str, FloatArray], given: pd.DataFrame
) -> list[Violation]:
    """Where the schedule of a plan says something else than its shares."""
    violations = lacking(["time", *books], given, "schedule")
    if violations:
        return violations
    if len(given) != instance.slots:
        limit = "rows of table 'schedule'"
        return [Violation(limit, "", len(given), f"{instance.slots} slots")]
    times = instance.times
    slot, place = slots(instance.times, given["time"])
    violations = [
        Violation("column 'time' of table 'schedule'", place(t), t, times[t].isoformat())
        for t in listed(slot != np.arange(slot.size))
    ]
    for name, true in books.items():
        said = numbers(given[name])
        scale = float(np.abs(true).max())
        violations += [
            Violation(
                f"column '{name}' of table 'schedule'",
                times[t].isoformat(),
                float(said[t]),
                f"{true[t]:.12g}",
            )
            for t in listed(~(np.abs(said - true) <= TOLERANCE * scale))
        ]
    return violations
