"""The audit: hand-computed costs, and a violation for every planted fault."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.scaling.job.audit import TOLERANCE, audit, schedule_of, tables_of
from tests.scaling.job.instances import CONCAVE, MEASURED, START, job

PROFILE = [(1, 1.0, 0.5), (2, 1.5, 1.5)]


def question(**changes):
    """Three slots at 10, 100, 20 g/kWh, two levels, 5 g per switched server, work 1.5."""
    words = {"profile": PROFILE, "work": 1.5, "switching_g": 5.0, "rate_cap": 1.5} | changes
    return job([10, 100, 20], **words)


def shares(rows):
    """Table of (slot, servers, share)."""
    frame = pd.DataFrame(rows, columns=["time", "servers", "share"])
    frame["time"] = START + pd.to_timedelta(frame["time"], unit="h")
    return frame.astype({"servers": float, "share": float})


RIGHT = [(0, 1, 1.0), (2, 1, 0.5)]


def plan(rows=RIGHT, inst=None):
    """Tables of a plan whose books are right for its shares."""
    inst = inst or question()
    table = shares(rows)
    matrix = np.zeros((3, 2))
    for slot, servers, share in rows:
        matrix[slot, servers - 1] += share
    return {"shares": table, "schedule": schedule_of(inst, matrix)}


def test_costs_by_hand():
    """C = (10, 100, 20), β = 5, x = (1, 0, ½) on the level of ½ kW.

    execution 10 · ½ + 20 · ½ · ½ = 10; switching 5 · (1 + 1 + ½ + ½) = 15. An audit that
    forgets the last ramp down says 12.5, one that forgets the first 10.
    """
    found = audit(question(), plan())
    assert found.ok
    assert dict(found.cost.parts) == {"execution_g": 10.0, "switching_g": 15.0}
    assert dict(found.cost.quantities) == {"energy_kwh": 0.75, "server_hours": 1.5}
    assert found.cost.total == 25.0
    books = plan()["schedule"]
    assert books["switching_g"].tolist() == [5, 5, 5]
    assert books["execution_g"].tolist() == [5, 0, 5]
    assert books["work"].tolist() == [1, 0, 0.5]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [((1, 1, 0), 120), ((1, 0, 1), 50), ((0, 0, 1), 30), ((1, 1, 1), 140), ((0.5, 0, 0.5), 25)],
)
def test_costs_of_the_unit_job_by_hand(rate, expected):
    """1 kW, 1 h: Σ c x + 5 · |changes|, both end ramps included."""
    inst = job([10, 100, 20], work=sum(rate), switching_g=5)
    found = audit(inst, tables_of(inst, np.array(rate, dtype=float)[:, None]))
    assert found.ok
    assert found.cost.total == expected


def test_a_single_slot_pays_both_ramps():
    """T = 1: up and down, 10 · 0.8 + 2 · 5 · 0.8."""
    inst = job([10], work=0.8, switching_g=5)
    found = audit(inst, tables_of(inst, np.array([[0.8]])))
    assert found.cost.total == pytest.approx(16.0, rel=1e-15)


def test_slots_of_half_an_hour_and_mixed_levels():
    """Half the time on each level: 1.5 servers, 1.25 work, 1 kW, in ½ h: 5 g and 0.5 kWh."""
    inst = job([10], profile=PROFILE, work=1.25, switching_g=4, minutes=30)
    found = audit(inst, tables_of(inst, np.array([[0.5, 0.5]])))
    assert found.ok
    assert found.cost.columns == {
        "total": 17.0,
        "execution_g": 5.0,
        "switching_g": 12.0,
        "energy_kwh": 0.5,
        "server_hours": 0.75,
    }


def at(column, row, value):
    """One cell of the schedule is wrong."""

    def change(tables):
        frame = tables["schedule"].copy()
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return {"schedule": frame}

    return change


def rows_of(rows):
    """A plan whose books are right but whose decisions are not allowed."""
    return lambda tables: plan(rows)


def only(change):
    """Change of the shares alone."""
    return lambda tables: {"shares": change(tables["shares"].copy())}


def cell(column, row, value):
    """One cell of the shares is wrong."""

    def change(frame):
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return only(change)


HOUR = pd.Timedelta(hours=1)
PLANTED = {
    "work missing": (rows_of([(0, 1, 1.0), (2, 1, 0.4)]), "work done"),
    "work missing by a millionth": (rows_of([(0, 1, 1.0), (2, 1, 0.5 - 1.5e-6)]), "work done"),
    "too much work": (rows_of([(0, 1, 1.0), (2, 1, 0.6)]), "work done"),
    "no decisions": (lambda tables: {"shares": tables["shares"].iloc[:0]}, "work done"),
    "rate cap exceeded": (rows_of([(0, 2, 1.0)]), "rate cap"),
    "slot over-full": (rows_of([(0, 1, 1.5)]), "time in a slot"),
    "slot over-full by two levels": (rows_of([(0, 1, 0.9), (0, 2, 0.4)]), "time in a slot"),
    "negative share": (rows_of([(0, 1, 1.0), (1, 1, -0.5), (2, 1, 1.0)]), "share of a slot"),
    "unknown servers": (cell("servers", 0, 1.5), "servers in the profile"),
    "negative servers": (cell("servers", 0, -1.0), "servers in the profile"),
    "NaN servers": (cell("servers", 0, np.nan), "servers in the profile"),
    "infinite servers": (cell("servers", 0, np.inf), "servers in the profile"),
    "time before the horizon": (cell("time", 0, START - HOUR), "time within"),
    "time after the horizon": (cell("time", 1, START + 3 * HOUR), "time within"),
    "time within a slot": (cell("time", 0, START + HOUR / 2), "time within"),
    "naive time": (cell("time", 0, START.tz_localize(None)), "time within"),
    "no time": (cell("time", 0, None), "time within"),
    "time as a number": (cell("time", 0, 1654041600), "time within"),
    "time in year 9999": (cell("time", 0, "9999-01-01T00:00:00Z"), "time within"),
    "duplicate row": (only(lambda f: pd.concat([f, f.iloc[:1]])), "one row per"),
    "duplicate row that adds up": (
        rows_of([(0, 1, 0.5), (0, 1, 0.5), (2, 1, 0.5)]),
        "one row per",
    ),
    "NaN share": (cell("share", 0, np.nan), "share of a slot"),
    "infinite share": (cell("share", 0, np.inf), "share of a slot"),
    "share as text": (cell("share", 0, "1.0"), "share of a slot"),
    "share true": (cell("share", 0, True), "share of a slot"),
    "column lacking": (only(lambda f: f.drop(columns="share")), "column 'share'"),
    "column twice": (only(lambda f: f[["time", "servers", "share", "share"]]), "column 'share'"),
    "table lacking": (lambda tables: {"shares": None}, "column 'time'"),
    "carbon misstated": (at("carbon_g_per_kwh", 1, 10.0), "'carbon_g_per_kwh'"),
    "servers misstated": (at("servers", 1, 1.0), "'servers'"),
    "work misstated": (at("work", 0, 1.01), "'work'"),
    "energy misstated": (at("energy_kwh", 0, 0.4), "'energy_kwh'"),
    "execution misstated": (at("execution_g", 2, 4.99999), "'execution_g'"),
    "switching misstated": (at("switching_g", 2, 2.5), "'switching_g'"),
    "NaN in the books": (at("execution_g", 2, np.nan), "'execution_g'"),
    "text in the books": (at("execution_g", 2, "5"), "'execution_g'"),
    "time of the books": (at("time", 1, START + 2 * HOUR), "'time'"),
    "books in another order": (
        lambda tables: {"schedule": tables["schedule"].iloc[::-1]},
        "'time'",
    ),
    "books cut off": (lambda tables: {"schedule": tables["schedule"].iloc[:2]}, "rows of table"),
    "books without a column": (
        lambda tables: {"schedule": tables["schedule"].drop(columns="work")},
        "column 'work'",
    ),
    "slots swapped": (
        lambda tables: {"shares": plan([(1, 1, 1.0), (2, 1, 0.5)])["shares"]},
        "'servers' of table 'schedule'",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_fault_is_caught(name):
    """Decisions or books that are wrong in one place break the limit that is named here."""
    change, limit = PLANTED[name]
    inst = question()
    good = plan()
    tables = good | change(good)
    found = audit(inst, {k: v for k, v in tables.items() if v is not None})
    assert any(limit in violation.limit for violation in found.violations), found.violations
    assert len(str(found.frame)) > 0
    assert np.isfinite(found.cost.total)


def test_a_fault_accuses_nobody_else():
    """Rows that mean nothing are no repetition of the first slot, nor of each other."""
    rows = [(0, 1, 1.0), (0, 1, 1.0), (0, 1, 1.0), (2, 1, 0.5)]
    table = shares(rows)
    table["time"] = table["time"].astype(object)
    table.loc[[0, 1], "time"] = ["never", "never again"]
    found = audit(question(), {"shares": table})
    assert [(v.limit, v.where) for v in found.violations] == [
        ("time within the horizon", "row 1"),
        ("time within the horizon", "row 2"),
    ]
    assert found.violations[0].allowed == (
        f"{START.isoformat()} to {(START + 2 * HOUR).isoformat()}, slot by slot"
    )
    assert found.cost.total == 25.0
    # The same beside the larger level.
    rows = [(0, 2, 0.5), (1, 2, 0.5)]
    table = shares([(0, 2, 0.5), *rows])
    table["time"] = table["time"].astype(object)
    table.loc[0, "time"] = "never"
    found = audit(question(), {"shares": table})
    assert [v.where for v in found.violations] == ["row 1"]
    assert found.cost == audit(question(), plan(rows)).cost


@pytest.mark.parametrize(("share", "ok"), [(-0.5, True), (0.5, True), (-2.0, False), (2.0, False)])
def test_numbers_of_servers_are_kept_to_the_tolerance(share, ok):
    """Half of the tolerance off 50 servers is rounding, twice of it is no level of the profile.

    Above and below, and whether or not larger levels follow.
    """
    for larger in ([], [(60, 44.0, 65.0)]):
        profile = [(1, 1.0, 1.0), (50, 40.0, 50.0), *larger]
        inst = job([10, 20], profile=profile, work=40.0, rate_cap=50.0)
        table = shares([(0, 50 * (1 + share * TOLERANCE), 1.0)])
        found = audit(inst, {"shares": table})
        assert found.ok == ok
        if ok:
            assert found.cost["energy_kwh"] == 50.0


def test_a_right_plan_is_clean_in_any_layout():
    """Rows in any order, of nothing, more columns, times in another zone, whole numbers."""
    inst = question()
    table = plan([*RIGHT, (1, 2, 0.0)])["shares"].iloc[::-1].assign(note="x")
    table["time"] = table["time"].dt.tz_convert("Asia/Tokyo")
    table["servers"] = table["servers"].astype(int)
    assert audit(inst, {"shares": table}).ok
    assert audit(inst, plan()).ok


def test_small_work_is_not_forgiven():
    """The tolerance is relative: no work at all is a fault however little was asked."""
    inst = job([10, 100, 20], work=1e-8)
    found = audit(inst, tables_of(inst, np.zeros((3, 1))))
    assert [v.limit for v in found.violations] == ["work done by the deadline"]


def straightforward(inst, matrix):
    """Cost in grams from shares, by loops over slots and levels, without the project's code."""
    total, before = 0.0, 0.0
    carbon = inst.tables["carbon"]["carbon_g_per_kwh"].tolist()
    levels = inst.tables["profile"][["servers", "power_kw"]].to_numpy().tolist()
    hours = inst.parameters.slot_minutes / 60
    for t, row in enumerate(matrix.tolist()):
        servers = sum(share * n for share, (n, _) in zip(row, levels, strict=True))
        power = sum(share * p for share, (_, p) in zip(row, levels, strict=True))
        total += carbon[t] * power * hours + inst.parameters.switching_g * abs(servers - before)
        before = servers
    return total + inst.parameters.switching_g * before


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.sampled_from([CONCAVE, MEASURED, PROFILE]),
    st.sampled_from([5.0, 30.0, 60.0, 90.0]),
)
def test_random_plans_equal_a_straightforward_recomputation(seed, slots, profile, minutes):
    """Random shares over all measured levels, also those off the hull, in random order."""
    rng = np.random.default_rng(seed)
    carbon = rng.uniform(0, 500, slots)
    matrix = rng.dirichlet(np.ones(len(profile) + 1), slots)[:, 1:]
    matrix[rng.random(slots) < 0.3] = 0
    work = float((matrix @ [row[1] for row in profile]).sum())
    if work == 0:
        return
    beta = float(rng.choice([0, 3.3, 50]))
    inst = job(carbon, profile=profile, work=work, switching_g=beta, minutes=minutes)
    if (matrix @ [row[0] for row in profile]).max() > inst.cap:
        return
    slot, level = np.nonzero(matrix)
    order = rng.permutation(slot.size)
    table = pd.DataFrame(
        {
            "time": inst.times[slot[order]],
            "servers": inst.measured[0][level[order]],
            "share": matrix[slot[order], level[order]],
        }
    )
    found = audit(inst, {"shares": table, "schedule": schedule_of(inst, matrix)})
    assert found.ok, found.violations
    assert found.cost.total == pytest.approx(straightforward(inst, matrix), rel=1e-12)
