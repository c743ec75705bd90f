"""The audit: its numbers by hand and by plain loops, and every fault that a plan can have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.plan import Audit
from optmodels.scaling.cluster.audit import audit, outcome, read_schedule, schedule_table
from optmodels.scaling.cluster.instance import ClusterInstance
from tests.scaling.cluster.instances import cluster, small

PROFILES = (
    *(("flex", 1, 1.0, 0.0), ("flex", 2, 1.5, 10.0), ("flex", 3, 1.75, 20.0)),
    *(("wide", 2, 1.0, 5.0), ("wide", 3, 1.25, 8.0)),
)


def two_jobs(**parameters: Any) -> ClusterInstance:
    """A flexible job of 3.5 from slot 0 on, a wide one of 2 from slot 1 on; four servers."""
    return cluster(
        [100.0, 200.0, 300.0, 50.0, 10.0, 10.0],
        [(0, 3.5, "q", "flex"), (1, 2.0, "now", "wide")],
        queues=[("q", 1, 3.0), ("now", 0, 2.0)],
        profiles=PROFILES,
        **{"server_kw": 0.5, "network_w_per_gbps": 100.0, "minutes": 30.0, **parameters},
    )


def plan(*rows: tuple[object, ...]) -> dict[str, pd.DataFrame]:
    """Tables of a plan from rows of job, slot, servers, share."""
    return {"schedule": pd.DataFrame(list(rows), columns=["job", "slot", "servers", "share"])}


#: Job 0: 1.75 in slot 0, then 1 in slot 2, then half a slot on two servers. Job 1: slots 1 and 2.
GOOD = ((0, 0, 3, 1.0), (0, 2, 1, 1.0), (0, 3, 2, 0.5), (1, 1, 2, 1.0), (1, 2, 2, 1.0))


def limits(found: Audit) -> set[str]:
    """The limits that are broken."""
    return {violation.limit for violation in found.violations}


def test_cost_by_hand() -> None:
    """Grams of servers, network and starts, energy and server-hours of a small plan.

    Half-hour slots. Servers: 3·0.5·0.5 kWh at 100, then 0.25 kWh at 300, half of 0.5 kWh at 50; the
    wide job 0.5 kWh at 200 and at 300. A server that is held for half of a slot draws power for
    half of it, but is held, and counts as a server-hour, for the whole. Starts: 3 in slot 0, 1 in
    slot 2 (it paused, so nothing is kept), 1 more in slot 3; the wide job 2 in slot 1.
    """
    found = audit(two_jobs(start_kwh=0.02), plan(*GOOD))
    assert found.ok, found
    servers = 0.75 * 100 + 0.25 * 300 + 0.25 * 50 + 0.5 * 200 + 0.5 * 300
    network = (1.0 * 100 + 0.25 * 50 + 0.25 * 200 + 0.25 * 300) + (0.5 * 0 + 0.0)
    # 20 Gbps is 2 kW: 1 kWh in slot 0; 10 Gbps for half a slot 0.25 kWh; 5 Gbps 0.25 kWh a slot.
    starts = 0.02 * (3 * 100 + 1 * 300 + 1 * 50 + 2 * 200)
    cost = found.cost
    assert cost["execution_g"] == pytest.approx(servers, rel=1e-14)
    assert cost["network_g"] == pytest.approx(network, rel=1e-14)
    assert cost["starting_g"] == pytest.approx(starts, rel=1e-14)
    assert cost["late_g"] == 0
    assert cost.total == pytest.approx(servers + network + starts, rel=1e-14)
    assert cost["carbon_g"] == pytest.approx(cost.total, rel=1e-14)
    energy = (0.75 + 0.25 + 0.25 + 1.0) + (1.0 + 0.25 + 0.5) + 0.02 * 7
    assert cost["energy_kwh"] == pytest.approx(energy, rel=1e-14)
    assert cost["server_hours"] == pytest.approx((3 + 1 + 2 + 2 + 2) / 2, rel=1e-14)


def test_lateness_by_hand() -> None:
    """A job that ends within a slot is late by the part of it; a job that is in time pays nothing.

    Job 1 is due by slot 3. Ending at 4.5 it is one and a half slots late, and each costs what its
    three servers emit in half an hour at 300 g/kWh, times the factor.
    """
    late = ((0, 0, 3, 1.0), (0, 2, 1, 1.0), (0, 3, 2, 0.5), (1, 1, 2, 1.0), (1, 3, 2, 0.5))
    late = (*late, (1, 4, 2, 0.5))
    for factor in (0.0, 1.0, 2.5):
        found = audit(two_jobs(late_factor=factor), plan(*late))
        assert found.ok, found
        assert found.cost["late_g"] == pytest.approx(factor * 1.5 * 3 * 0.5 * 0.5 * 300, rel=1e-12)
        on_carbon = found.cost["execution_g"] + found.cost["network_g"]
        assert found.cost["carbon_g"] == pytest.approx(on_carbon, rel=1e-12)


def test_ends_at_the_due_slot_are_not_late() -> None:
    """Rounding at the end of a slot must not cost anything: shares may add up to a hair over 1."""
    made = cluster([9.0, 9.0, 9.0], [(0, 2, "q", "flex")], queues=[("q", 0, 1)], profiles=PROFILES)
    rows = ((0, 0, 2, 0.5), (0, 1, 1, 0.5), (0, 1, 2, 0.5 + 1e-8))
    found = audit(made, plan(*rows))
    assert found.ok, found
    assert found.cost["late_g"] == 0


def test_levels_within_a_slot() -> None:
    """Two levels in one slot: held are the servers of the larger, power follows the shares."""
    made = two_jobs(start_kwh=0.1)
    mixed = ((0, 0, 3, 0.6), (0, 0, 1, 0.4), (0, 1, 2, 1.0), (0, 2, 1, 0.55), *GOOD[3:])
    found = audit(made, plan(*mixed))
    assert found.ok, found
    result = outcome(made, read_schedule(made, plan(*mixed))[0])
    assert result.work == pytest.approx([0.6 * 1.75 + 0.4 + 1.5 + 0.55, 2.0])
    assert result.finish == pytest.approx([2.55, 3.0])
    assert result.delay == pytest.approx([2.55 - 3.5, 0.0])
    # Three are started, of which one is given back; the wide job starts two.
    assert found.cost["starting_g"] == pytest.approx(0.1 * (3 * 100 + 2 * 200))
    assert found.cost["server_hours"] == pytest.approx((3 + 2 + 2 + 1 + 2) / 2)
    power = 0.25 * ((3 * 0.6 + 0.4) * 100 + 2 * 200 + 0.55 * 300) + 0.5 * (200 + 300)
    assert found.cost["execution_g"] == pytest.approx(power)


def test_what_became_of_jobs_at_the_edges() -> None:
    """A job that ends in the first slot ends there; one that never ran has no start and no end.

    Shares of 0 are no running: the job holds the servers, but neither starts nor ends there.
    """
    made = two_jobs()
    rows = ((0, 0, 3, 0.5), (0, 2, 1, 0.0), (1, 3, 2, 0.0))
    result = outcome(made, read_schedule(made, plan(*rows))[0])
    assert result.work.tolist() == [0.875, 0.0]
    assert result.start.tolist() == [0, -1]
    assert result.finish.tolist() == [0.5, 0.0]
    assert result.delay.tolist() == [0.5 - 3.5, -1.0 - 2.0]
    assert result.late.tolist() == [0.0, 0.0]
    found = audit(made, plan(*rows))
    assert found.cost["late_g"] == 0
    assert found.cost["server_hours"] == (3 + 1 + 2) / 2
    assert [(v.limit, v.where, v.value, v.allowed) for v in found.violations] == [
        ("work of a job", "job 0", 0.875, "3.5"),
        ("work of a job", "job 1", 0.0, "2"),
    ]


def test_violations_say_where_and_how_much() -> None:
    """Jobs, slots and rows by their own numbers, what the plan does, and what is allowed."""
    rows = (*GOOD[:3], (1, 0, 2, 1.0), (1, 2, 2, 0.6), (1, 2, 3, 0.5), (1, 7, 1, 1.0))
    found = audit(two_jobs(capacity=4), plan(*rows))
    told = {v.limit: (v.where, v.value, v.allowed) for v in found.violations}
    assert told["arrival"] == ("job 1", 0, "slots from 1")
    assert told["time in a slot"] == ("job 1, slot 2", pytest.approx(1.1), "at most 1")
    assert told["servers of a job"] == ("row 7 (job 1)", 1, "a level of its profile")
    assert told["capacity"] == ("slot 0", 5, "at most 4 servers")


FAULTS: dict[str, tuple[tuple[tuple[object, ...], ...], str]] = {
    "work not done": (GOOD[1:], "work of a job"),
    "too much work": ((*GOOD, (0, 4, 1, 1.0)), "work of a job"),
    "a little work missing": ((*GOOD[:2], (0, 3, 2, 0.4999), *GOOD[3:]), "work of a job"),
    "never run": (GOOD[3:], "work of a job"),
    "before its arrival": ((*GOOD[:3], (1, 0, 2, 1.0), (1, 2, 2, 1.0)), "arrival"),
    "over the capacity": ((*GOOD[:3], (0, 1, 3, 1e-9), *GOOD[3:]), "capacity"),
    "more than a slot": ((*GOOD[:4], (1, 2, 2, 0.6), (1, 2, 3, 0.5)), "time in a slot"),
    "a level below the fewest": ((*GOOD[:3], (1, 1, 1, 1.0), (1, 2, 2, 1.0)), "servers of a job"),
    "a level above the most": (((0, 0, 4, 1.0), *GOOD[1:]), "servers of a job"),
    "half a server": (((0, 0, 2.5, 1.0), *GOOD[1:]), "servers of a job"),
    "no servers": ((*GOOD, (0, 4, 0, 1.0)), "servers of a job"),
    "a share above 1": (((0, 0, 3, 1.1), *GOOD[1:]), "share of a slot"),
    "a negative share": ((*GOOD, (0, 4, 1, -0.1)), "share of a slot"),
    "a share that is no number": ((*GOOD, (0, 4, 1, np.nan)), "share of a slot"),
    "a text": (((0, 0, 3, "1"), *GOOD[1:]), "share of a slot"),
    "half a slot": ((*GOOD, (0, 4.5, 1, 0.1)), "slot"),
    "a slot before the first": ((*GOOD, (0, -1, 1, 0.1)), "slot"),
    "an unknown job": ((*GOOD, (7, 4, 1, 0.1)), "job of the cluster"),
    "half a job": ((*GOOD, (0.5, 4, 1, 0.1)), "job of the cluster"),
    "a row twice": ((*GOOD[:3], (0, 3, 2, 0.0), *GOOD[3:]), "one row per job, slot and servers"),
}


@pytest.mark.parametrize(("missing", "ok"), [(2e-7, True), (6e-7, False)])
def test_work_is_kept_to_the_tolerance(missing: float, ok: bool) -> None:
    """The tolerance is relative to 3.5 units of work: 2e-7 are rounding, 6e-7 are not done."""
    rows = (*GOOD[:2], (0, 3, 2, GOOD[2][3] - missing / 1.5), *GOOD[3:])
    assert audit(two_jobs(), plan(*rows)).ok == ok


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_found(name: str) -> None:
    """A sound plan with one fault planted is not sound, and the limit it breaks is named."""
    assert audit(two_jobs(), plan(*GOOD)).ok
    rows, limit = FAULTS[name]
    found = audit(two_jobs(), plan(*rows))
    assert limit in limits(found), found


@pytest.mark.parametrize("column", ["job", "slot", "servers", "share"])
def test_tables_of_another_form(column: str) -> None:
    """A missing or doubled column and a missing table break limits; they do not crash."""
    table = plan(*GOOD)["schedule"]
    for tables in (
        {},
        {"schedule": table.drop(columns=column)},
        {"schedule": pd.concat([table, table[[column]]], axis=1)},
    ):
        found = audit(two_jobs(), tables)
        assert any(column in limit for limit in limits(found)) or not tables
        assert not found.ok


def test_rows_of_any_order_and_type() -> None:
    """Order of rows, index and integer types do not matter; nothing is changed."""
    table = plan(*GOOD)["schedule"]
    shuffled = table.sample(frac=1, random_state=1).astype({"slot": "int8", "servers": float})
    before = shuffled.copy()
    first, second = (audit(two_jobs(), {"schedule": t}) for t in (table, shuffled))
    assert dict(first.cost) == pytest.approx(dict(second.cost), rel=1e-14)
    pd.testing.assert_frame_equal(shuffled, before)
    rows, _ = read_schedule(two_jobs(), {"schedule": shuffled})
    again = schedule_table(two_jobs(), rows)
    pd.testing.assert_frame_equal(again, table, check_dtype=False)


def by_loops(made: ClusterInstance, rows: list[tuple[int, int, int, float]]) -> dict[str, Any]:
    """The same costs and limits, stated again as plain loops over the raw tables."""
    p = made.parameters
    hours = p.slot_minutes / 60
    tables = made.tables
    carbon = list(tables["carbon"]["carbon_g_per_kwh"])
    day = max(1, round(24 / hours))

    def grams(slot: int) -> float:
        last = carbon[-day:]
        return carbon[slot] if slot < len(carbon) else last[(slot - len(carbon)) % len(last)]

    throughput, network, most = {}, {}, {}
    for row in tables["profiles"].itertuples():
        throughput[row.profile, row.servers] = row.throughput
        network[row.profile, row.servers] = row.network_gbps
        most[row.profile] = max(most.get(row.profile, 0), row.servers)
    delay = dict(zip(tables["queues"]["queue"], tables["queues"]["delay_slots"], strict=True))
    sums = dict.fromkeys(("execution_g", "network_g", "starting_g", "late_g", "server_hours"), 0.0)
    used: dict[int, int] = {}
    broken = set()
    for job in tables["jobs"].itertuples():
        mine = [row for row in rows if row[0] == job.job]
        held: dict[int, int] = {}
        share: dict[int, float] = {}
        work = 0.0
        for _, slot, servers, part in mine:
            held[slot] = max(held.get(slot, 0), servers)
            share[slot] = share.get(slot, 0.0) + part
            work += throughput[job.profile, servers] * part
            kwh = servers * part * p.server_kw * hours
            sums["execution_g"] += kwh * grams(slot)
            kwh = network[job.profile, servers] * part * p.network_w_per_gbps / 1000 * hours
            sums["network_g"] += kwh * grams(slot)
            if slot < job.arrival_slot:
                broken.add("arrival")
        for slot, servers in held.items():
            used[slot] = used.get(slot, 0) + servers
            started = max(0, servers - held.get(slot - 1, 0))
            sums["starting_g"] += started * p.start_kwh * grams(slot)
            sums["server_hours"] += servers * hours
            if share[slot] > 1 + 1e-7:
                broken.add("time in a slot")
        if abs(work - job.length_slots) > 1e-7 * job.length_slots:
            broken.add("work of a job")
        running = [slot for slot in share if share[slot] > 0]
        if running:
            due = job.arrival_slot + int(np.ceil(job.length_slots)) + delay[job.queue]
            late = max(running) + share[max(running)] - due
            price = p.late_factor * most[job.profile] * p.server_kw * hours * max(carbon)
            sums["late_g"] += price * late if late > 1e-7 else 0.0
    if any(servers > made.capacity for servers in used.values()):
        broken.add("capacity")
    return {**sums, "broken": broken}


@given(seed=st.integers(0, 10**6), count=st.integers(1, 60), whole=st.booleans())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_audit_against_plain_loops(seed: int, count: int, whole: bool) -> None:
    """Random schedules, sound or not, cost the same by arrays and by loops, and break the same."""
    made = small(seed, jobs=6, slots=24, whole=whole, start_kwh=0.03, late_factor=1.5)
    rng = np.random.default_rng(seed)
    rows: dict[tuple[int, int, int], float] = {}
    while len(rows) < count:
        position = int(rng.integers(made.jobs.count))
        profile = made.profiles[made.jobs.profile[position]]
        # Clusters of slots, so that jobs often go on from one slot to the next; some after the end.
        slot = int(min(rng.integers(0, 40), made.jobs.arrival[position] + rng.integers(0, 9)))
        servers = int(rng.choice(profile.servers))
        share = float(rng.choice([0.0, 0.25, 0.5, 1.0]))
        rows[int(made.jobs.number[position]), slot, servers] = share
    listed = sorted((*key, share) for key, share in rows.items())
    expected = by_loops(made, listed)
    found = audit(made, plan(*listed))
    for name in ("execution_g", "network_g", "starting_g", "late_g", "server_hours"):
        assert found.cost[name] == pytest.approx(expected[name], rel=1e-12, abs=1e-9), name
    assert limits(found) == expected["broken"]
    parts = ("execution_g", "network_g", "starting_g")
    assert found.cost["carbon_g"] == pytest.approx(sum(expected[name] for name in parts))
    assert found.cost.total == pytest.approx(found.cost["carbon_g"] + expected["late_g"])
    read, none = read_schedule(made, plan(*listed))
    assert none == []
    assert list(schedule_table(made, read).itertuples(index=False, name=None)) == listed
