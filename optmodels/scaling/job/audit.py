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
    servers, throughput, _ = instance.measured
    work = float(instance.parameters.work)
    running = shares @ servers
    done = shares @ throughput
    violations += _slot_violations(instance, shares, running)
    if abs(done.sum() - work) > TOLERANCE * max(1.0, work):
        violations.append(Violation("work done by the deadline", "", done.sum(), f"{work:g}"))
    schedule = schedule_of(instance, shares)
    if "schedule" in tables:
        violations += _book_violations(schedule, tables["schedule"])
    cost = Cost(
        parts={
            "execution_g": float(schedule["execution_g"].sum()),
            "switching_g": switching_cost(instance, running),
        },
        quantities={
            "energy_kwh": float(schedule["energy_kwh"].sum()),
            "server_hours": float(running.sum() * instance.slot_hours),
        },
        unit="g",
    )
    return Audit(cost, tuple(violations))


def switching_cost(instance: JobInstance, running: FloatArray) -> float:
    """Carbon of all changes of the number of servers, both end ramps included [g]."""
    changes = np.abs(np.diff(running, prepend=0.0, append=0.0))
    return float(instance.parameters.switching_g * changes.sum())


def tables_of(instance: JobInstance, shares: FloatArray) -> dict[str, pd.DataFrame]:
    """Tables of a plan from shares over the levels of the hull.

    Parameters
    ----------
    instance
        The question.
    shares
        Shape (T, K): share of slot t at level k of ``instance.profile``, off included or not.
    """
    profile = instance.profile
    servers = profile.servers[-shares.shape[1] :]
    slot, level = np.nonzero(shares * (servers > 0))
    long = pd.DataFrame(
        {
            "time": instance.times[slot],
            "servers": servers[level],
            "share": shares[slot, level],
        }
    )
    matrix, _ = _share_matrix(instance, {"shares": long})
    return {"schedule": schedule_of(instance, matrix), "shares": long}


def schedule_of(instance: JobInstance, shares: FloatArray) -> pd.DataFrame:
    """What happens in each slot: average servers, work, energy and carbon."""
    servers, throughput, power_kw = instance.measured
    energy = shares @ power_kw * instance.slot_hours
    running = shares @ servers
    changes = np.abs(np.diff(running, prepend=0.0))
    # The last ramp down belongs to no slot; it is booked with the last slot.
    changes[-1] += abs(running[-1])
    return pd.DataFrame(
        {
            "time": instance.times,
            "carbon_g_per_kwh": instance.carbon,
            "servers": running,
            "work": shares @ throughput,
            "energy_kwh": energy,
            "execution_g": energy * instance.carbon,
            "switching_g": changes * float(instance.parameters.switching_g),
        }
    )


def _share_matrix(
    instance: JobInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[FloatArray, list[Violation]]:
    """Shares as a (T, K) matrix over the measured levels, and what was wrong with the table."""
    levels = instance.measured[0]
    matrix = np.zeros((instance.slots, levels.size))
    table = tables.get("shares")
    lacking = [n for n in SHARE_COLUMNS if table is None or n not in table.columns]
    if table is None or lacking:
        return matrix, [
            Violation(f"column '{n}' of table 'shares'", "", 0, "there") for n in lacking
        ]
    violations: list[Violation] = []
    stamps = pd.DatetimeIndex(pd.to_datetime(table["time"], utc=True)).as_unit("ns")
    slot = instance.times.get_indexer(stamps)
    servers = table["servers"].to_numpy(dtype=np.float64)
    share = table["share"].to_numpy(dtype=np.float64)
    nearest = np.abs(servers[:, None] - levels[None, :]) if servers.size else np.empty((0, 1))
    level = nearest.argmin(axis=1)
    known = nearest[np.arange(servers.size), level] <= TOLERANCE
    for i in range(servers.size):
        place = stamps[i].isoformat()
        if slot[i] < 0:
            span = f"{instance.times[0].isoformat()} to {instance.times[-1].isoformat()}"
            violations.append(Violation("time within the horizon", place, share[i], span))
        if not known[i]:
            allowed = ", ".join(f"{n:g}" for n in levels)
            violations.append(Violation("servers in the profile", place, servers[i], allowed))
        if not np.isfinite(share[i]) or share[i] < -TOLERANCE:
            violations.append(Violation("share of a slot", place, share[i], "0 to 1"))
    repeated = np.flatnonzero(pd.DataFrame({"slot": slot, "level": level}).duplicated())
    violations += [
        Violation("one row per slot and level", stamps[i].isoformat(), servers[i], "once")
        for i in repeated
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
        Violation("time in a slot", times[t].isoformat(), total[t], "at most 1")
        for t in np.flatnonzero(total > 1 + TOLERANCE)
    ]
    violations += [
        Violation("rate cap", times[t].isoformat(), running[t], f"at most {cap:g} servers")
        for t in np.flatnonzero(running > cap + TOLERANCE * max(1.0, cap))
    ]
    return violations


def _book_violations(true: pd.DataFrame, given: pd.DataFrame) -> list[Violation]:
    """Where the schedule of a plan says something else than its shares."""
    violations: list[Violation] = []
    for name in true.columns:
        if name not in given.columns:
            violations.append(Violation(f"column '{name}' of table 'schedule'", "", 0, "there"))
            continue
        if len(given) != len(true):
            violations.append(
                Violation("rows of table 'schedule'", "", len(given), f"{len(true)} slots")
            )
            break
        if name == "time":
            stamps = pd.DatetimeIndex(pd.to_datetime(given["time"], utc=True)).as_unit("ns")
            wrong = np.asarray(stamps != pd.DatetimeIndex(true["time"]))
            said = np.arange(len(true), dtype=np.float64)
        else:
            said = given[name].to_numpy(dtype=np.float64)
            scale = max(1.0, float(np.abs(true[name]).max()))
            wrong = ~(np.abs(said - true[name].to_numpy()) <= TOLERANCE * scale)
        violations += [
            Violation(
                f"column '{name}' of table 'schedule'",
                true["time"].iloc[t].isoformat(),
                said[t],
                str(true[name].iloc[t]),
            )
            for t in np.flatnonzero(wrong)
        ]
    return violations
