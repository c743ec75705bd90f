"""The audit: costs by hand, every kind of broken limit, and the physics of loading."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.routing.sites.audit import audit, facts_of
from optmodels.routing.sites.dispatch import (
    Decisions,
    Dispatch,
    Loading,
    read_decisions,
    tables_of,
)
from optmodels.routing.sites.instance import RoutingInstance
from tests.routing.sites.instances import routing, small, toy_h1
from tests.routing.sites.simple import Greedy, run

# Rows of the toy: A1 (2 GPUs, 4/s, 1.0 kW, 2 s), A2 (4, 7, 1.8, 1.2), B1 (2, 1.5, 1.1, 6), B2.
A1, A2, B1, B2 = range(4)


def toy_plan(site_1: dict[int, int], site_2: dict[int, int]) -> Dispatch:
    """Instances by row at the two sites; every row serves all that it can, up to the demand."""
    rate, degree = np.array([4.0, 7.0, 1.5, 3.2]), (0, 1, 0, 1)
    left = {0: 12.0, 1: 3.0}
    plan = Dispatch(
        np.zeros((2, 2), dtype=np.int64), np.zeros((2, 4), dtype=np.int64), np.zeros((1, 2, 4))
    )
    for s, rows in enumerate((site_1, site_2)):
        for row, count in rows.items():
            plan.running[s, row] = count
            plan.configured[s, degree[row]] += count
            served = min(left[row // 2], rate[row] * count)
            plan.flow[0, s, row] = served
            left[row // 2] -= served
    return plan


def audited(inst: RoutingInstance, *plans: Dispatch) -> Any:
    """Audit of dispatches, through their tables."""
    return audit(inst, tables_of(inst, Decisions.of(plans)))


def test_the_toy_by_hand_power_optimum() -> None:
    """Site 1 runs A1 and two B1, site 2 two A1: nothing lost, 5.2 kW, 0.433 kWh in five minutes.

    Time from end to end: 12 requests of 2 s and 3 of 6 s, (24 + 18) / 15 = 2.8 s.
    """
    inst = toy_h1(wind_g_per_kwh=12.0, wind_usd_per_kwh=0.03)
    found = audited(inst, toy_plan({A1: 1, B1: 2}, {A1: 2}))
    assert found.ok
    cost = found.cost
    assert cost.total == 0
    assert cost["energy_kwh"] == pytest.approx(5.2 / 12, rel=1e-12)
    assert cost["spilled_kwh"] == pytest.approx(0.8 / 12, rel=1e-12)
    assert cost["carbon_g"] == pytest.approx(5.2, rel=1e-12)
    assert cost["usd"] == pytest.approx(0.013, rel=1e-12)
    assert cost["mean_e2e_s"] == pytest.approx(2.8, rel=1e-12)
    assert cost["imported_kwh"] == 0


def test_the_toy_by_hand_latency_optimum() -> None:
    """A2 at both sites and two B1: 5.8 kW; 12 requests take 1.2 s, 3 take 6 s: 2.16 s."""
    found = audited(toy_h1(), toy_plan({A2: 1, B1: 2}, {A2: 1}))
    assert found.ok
    assert found.cost.total == 0
    assert found.cost["energy_kwh"] == pytest.approx(5.8 / 12, rel=1e-12)
    assert found.cost["mean_e2e_s"] == pytest.approx((12 * 1.2 + 3 * 6) / 15, rel=1e-12)


def test_the_toy_with_a_dark_site() -> None:
    """With 4 kW at site 1 alone at least 2.5 requests/s are lost: 750 in five minutes.

    A2 and two B1 lose 5 A; A1 with A2 and one B1 lose 1 A and 1.5 B (3.9 kW, all 8 GPUs).
    """
    inst = toy_h1((4.0, 0.0))
    found = audited(inst, toy_plan({A1: 1, A2: 1, B1: 1}, {}))
    assert found.ok
    assert found.cost.total == pytest.approx(2.5 * 300, rel=1e-12)
    assert audited(inst, toy_plan({A2: 1, B1: 2}, {})).cost.total == pytest.approx(5 * 300)


def test_late_requests_are_lost() -> None:
    """A row that takes 2 s where 1.5 s are allowed serves, but its requests count as lost."""
    rows = [(0, 1, 2.0, 1.0, 2.0), (0, 1, 1.0, 1.0, 1.0)]
    inst = routing([[9.0]], [[[4.0]]], rows, gpus=4, limits=(9, 9, 1.5), weight=2.0, rtt_ms=100.0)
    plan = Dispatch(np.array([[2]]), np.array([[1, 1]]), np.array([[[2.0, 1.0]]]))
    found = audited(inst, plan)
    assert found.ok
    assert found.cost.total == pytest.approx(2.0 * 3.0 * 300)
    assert found.cost["late_requests"] == pytest.approx(2.0 * 2.0 * 300)
    assert found.cost["mean_e2e_s"] == pytest.approx((2 * 2.1 + 1 * 1.1) / 3)
    facts = facts_of(inst, Decisions.of([plan]))
    assert facts["goodput_per_s"] == pytest.approx(2.0)
    assert facts["attainment"] == pytest.approx(0.25)


def test_the_time_of_few_requests() -> None:
    """Half a request per second takes 2 s: a mean is one however few it is over."""
    inst = routing([[9.0]], [[[0.5]]], [(0, 1, 2.0, 1.0, 2.0)], gpus=4)
    plan = Dispatch(np.array([[1]]), np.array([[1]]), np.array([[[0.5]]]))
    assert audited(inst, plan).cost["mean_e2e_s"] == pytest.approx(2.0)


def test_nothing_asked_and_nothing_blowing() -> None:
    """Without arrivals nobody is served late, without wind none is spilled: 0 of 0 is defined."""
    rows = [(0, 1, 1.0, 1.0, 1.0)]
    idle = Dispatch(np.array([[0]]), np.array([[0]]), np.array([[[0.0]]]))
    calm = routing([[0.0]], [[[0.0]]], rows, gpus=4)
    cost = audited(calm, idle).cost
    names = ("total", "mean_e2e_s", "energy_kwh", "spilled_kwh", "late_requests")
    assert [cost.columns[name] for name in names] == [0] * 5
    facts = facts_of(calm, Decisions.of([idle]))
    assert (facts["attainment"], facts["spilled_share"], facts["goodput_per_s"]) == (1, 0, 0)
    # A light wind is wind too: three quarters of half a kW are spilled.
    light = routing([[0.5]], [[[0.5]]], [(0, 1, 1.0, 0.125, 1.0)], gpus=4)
    one = Dispatch(np.array([[1]]), np.array([[1]]), np.array([[[0.25]]]))
    facts = facts_of(light, Decisions.of([one]))
    assert facts["spilled_share"] == pytest.approx(0.75)
    assert facts["attainment"] == pytest.approx(0.5)


def test_reloads_are_new_instances() -> None:
    """1, 3, 2, 4 instances: two are loaded, then none, then two; the first ones were there."""
    inst = routing([[9.0]] * 4, [[[0.0]]] * 4, [(0, 1, 1.0, 1.0, 1.0)], gpus=4)
    plans = [Dispatch(np.array([[n]]), np.array([[0]]), np.array([[[0.0]]])) for n in (1, 3, 2, 4)]
    assert facts_of(inst, Decisions.of(plans))["reloads"] == 4


def test_import_fills_what_the_wind_lacks() -> None:
    """3 kW on 1 kW of wind: 2 kW are imported, at the grid's carbon and price."""
    inst = routing(
        [[1.0], [9.0]],
        [[[3.0]], [[3.0]]],
        [(0, 1, 1.0, 1.0, 1.0)],
        gpus=4,
        backup_kw=2.0,
        carbon=[[400.0], [999.0]],
        usd=0.25,
        wind_g_per_kwh=10.0,
        wind_usd_per_kwh=0.01,
    )
    plan = Dispatch(np.array([[3]]), np.array([[3]]), np.array([[[3.0]]]))
    cost = audited(inst, plan, plan).cost
    assert cost["imported_kwh"] == pytest.approx(2 / 12)
    assert cost["carbon_g"] == pytest.approx((2 * 400 + 4 * 10) / 12)
    assert cost["usd"] == pytest.approx((2 * 0.25 + 4 * 0.01) / 12)
    assert cost["spilled_kwh"] == pytest.approx(6 / 12)
    assert cost["energy_kwh"] == pytest.approx(6 / 12)
    less = inst.replace(sites=inst.tables["sites"].assign(backup_kw=1.99))
    short = audited(less, plan, plan)
    # What is drawn without being there is a violation, and no wind that others spill less.
    assert short.cost["spilled_kwh"] == pytest.approx(6 / 12)
    (violation,) = short.violations
    assert (violation.limit, violation.value) == ("power", 3.0)
    assert violation.allowed == "at most 2.99 kW"


def test_warm_gpus_draw_idle_power() -> None:
    """Two of three instances of two GPUs idle at 0.1 kW each GPU: 0.4 kW beside the 1 kW."""
    rows = [(0, 2, 1.0, 1.0, 1.0)]
    plan = Dispatch(np.array([[3]]), np.array([[1]]), np.array([[[1.0]]]))
    for warm, draw in ((True, 1.4), (False, 1.0)):
        inst = routing([[1.4]], [[[1.0]]], rows, gpus=6, keep_warm=warm, gpu_idle_kw=0.1)
        found = audited(inst, plan)
        assert found.ok
        assert found.cost["energy_kwh"] == pytest.approx(draw / 12)
    tight = inst.replace(keep_warm=True, power=inst.tables["power"].assign(power_kw=1.39))
    assert not audited(tight, plan).ok


def sound() -> tuple[RoutingInstance, dict[str, pd.DataFrame]]:
    """The toy, and tables of a plan that keeps every limit with no room to spare."""
    inst = toy_h1((3.2, 2.0))
    return inst, tables_of(inst, Decisions.of([toy_plan({A1: 1, B1: 2}, {A1: 2})]))


def edit(table: str, row: int, column: str, value: Any) -> Any:
    """A change of one cell."""

    def change(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        frame = tables[table].copy()
        if not isinstance(value, int):
            frame[column] = frame[column].astype(object)
        frame.loc[frame.index[row], column] = value
        return {**tables, table: frame}

    return change


def again(table: str) -> Any:
    """The first row of a table twice."""
    return lambda tables: {**tables, table: pd.concat([tables[table], tables[table].iloc[:1]])}


# Rows of `running`: site 1 has A1 and B1, site 2 A1. All GPUs and all power are in use.
@pytest.mark.parametrize(
    ("change", "limit"),
    [
        (lambda tables: {}, "column 'time' of table 'configuration'"),
        (lambda tables: {**tables, "flows": tables["flows"].drop(columns="row")}, "column 'row'"),
        (edit("running", 0, "time", pd.Timestamp("2001-01-01T00:00Z")), "time of table 'running'"),
        (edit("running", 0, "time", "yesterday"), "time of table 'running'"),
        (edit("flows", 0, "origin", "mars"), "origin of table 'flows'"),
        (edit("flows", 0, "site", 7.5), "site of table 'flows'"),
        (edit("flows", 0, "row", 99), "row of table 'flows'"),
        (edit("configuration", 0, "tp", 3), "tp of table 'configuration'"),
        (edit("configuration", 0, "instances", 2.5), "instances"),
        (edit("running", 0, "instances", -1), "instances"),
        (edit("flows", 0, "requests_per_s", float("nan")), "requests_per_s"),
        (edit("flows", 0, "requests_per_s", -0.5), "requests_per_s"),
        (again("configuration"), "one row per time, site, tp"),
        (again("running"), "one row per time, site, row"),
        (again("flows"), "one row per time, origin, site, row"),
        (edit("configuration", 0, "instances", 5), "GPUs of a site"),
        (edit("configuration", 0, "instances", 2), "running of configured"),
        (edit("running", 0, "instances", 2), "power"),
        (edit("flows", 0, "requests_per_s", 4.001), "throughput of a row"),
        (edit("flows", 2, "requests_per_s", 8.001), "demand"),
    ],
)
def test_every_broken_limit_is_found(change: Any, limit: str) -> None:
    """A plan that just fits is clean; one change, and its limit is named."""
    inst, tables = sound()
    assert audit(inst, tables).ok
    found = audit(inst, change(tables))
    assert any(limit in violation.limit for violation in found.violations), found.frame


def test_loading_instances_serve_nothing() -> None:
    """A degree changes in the second of three periods of 300 s and loads for 60 s: 80 % serve."""
    rows = [(0, 1, 1.0, 1.0, 1.0), (0, 2, 2.0, 1.0, 1.0)]
    inst = routing([[9.0]] * 3, [[[2.0]]] * 3, rows, gpus=2, reload_seconds=60.0)

    def plan(pairs: int, flow: float) -> Dispatch:
        if pairs:
            return Dispatch(np.array([[0, 1]]), np.array([[0, 1]]), np.array([[[0.0, flow]]]))
        return Dispatch(np.array([[2, 0]]), np.array([[2, 0]]), np.array([[[flow, 0.0]]]))

    found = audited(inst, plan(0, 2.0), plan(1, 1.6), plan(1, 2.0))
    assert found.ok
    assert found.cost.total == pytest.approx(0.4 * 300)
    early = audited(inst, plan(0, 2.0), plan(1, 1.601), plan(1, 2.0))
    assert [violation.limit for violation in early.violations] == ["instances that have loaded"]


def test_whole_periods_of_loading_and_who_goes_first() -> None:
    """Loading for 2.5 periods; of three instances the youngest are taken away first.

    One old and two new: 1 serves, then 1, then 1 + 2 · 0.5, then 3. Taking one away while they
    load leaves one old and one new. A model that takes the oldest first would serve less.
    """
    loading = Loading(2.5)
    effective = []
    for count in (1, 3, 3, 3, 3):
        served, loading = loading.after(np.array([[count]]))
        effective.append(served.item())
    assert effective == [1.0, 1.0, 1.0, 2.0, 3.0]
    loading = Loading(2.5)
    effective = []
    for count in (1, 3, 2, 2, 2, 4, 1, 1):
        served, loading = loading.after(np.array([[count]]))
        effective.append(served.item())
    assert effective == [1.0, 1.0, 1.0, 1.5, 2.0, 2.0, 1.0, 1.0]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    reload=st.floats(0, 4, allow_nan=False),
)
def test_loading_against_a_list_of_instances(counts: list[int], reload: float) -> None:
    """The same as following every instance by its age, one by one."""
    loading, ages = Loading(reload), []
    for t, count in enumerate(counts):
        ages = sorted((age + 1 for age in ages), reverse=True)[:count]
        new = float("inf") if t == 0 else 0.0
        ages += [new] * (count - len(ages))
        expected = sum(1 - min(max(reload - age, 0.0), 1.0) for age in ages)
        served, loading = loading.after(np.array([[count]]))
        assert served.item() == pytest.approx(expected, abs=1e-12)


def test_tables_and_decisions_are_two_forms_of_one_thing() -> None:
    """To tables and back nothing changes, in any order of the rows; zeros are left out."""
    inst = small(4, periods=8)
    decided = run(inst, Greedy()).decisions
    tables = tables_of(inst, decided)
    mixed = {name: frame.sample(frac=1.0, random_state=1) for name, frame in tables.items()}
    read, wrong = read_decisions(inst, mixed)
    assert not wrong
    assert all((tables[name].iloc[:, -1] > 0).all() for name in tables)
    for t in range(inst.periods):
        one, two = decided.at(t, inst.arcs.shape), read.at(t, inst.arcs.shape)
        assert (one.configured == two.configured).all()
        assert (one.running == two.running).all()
        assert (one.flow == two.flow).all()
    assert audit(inst, mixed).cost == audit(inst, tables).cost


@settings(deadline=None, derandomize=True, max_examples=15)
@given(seed=st.integers(0, 10**6), warm=st.booleans())
def test_costs_of_dense_arrays(seed: int, warm: bool) -> None:
    """The sparse audit agrees with sums over the whole arrays, written down as the formulas are."""
    inst = small(
        seed, periods=6, keep_warm=warm, gpu_idle_kw=0.05, backup_kw=3.0, carbon=100.0, usd=0.1
    )
    environment = run(inst, Greedy())
    found = audit(inst, tables_of(inst, environment.decisions))
    assert found.ok
    p, lost, import_kwh, energy = inst.profile, 0.0, 0.0, 0.0
    for t in range(inst.periods):
        plan = environment.decisions.at(t, inst.arcs.shape)
        kept = np.where(inst.arcs, plan.flow, 0.0)
        for c in range(p.classes):
            served = kept[:, :, p.row_class == c].sum(axis=(1, 2))
            lost += 300 * float((inst.demand[t, :, c] - served).sum()) * inst.weight[c]
        idle = plan.configured @ p.degrees - plan.running @ p.tp
        draw = plan.running @ p.kw + (0.05 * idle if warm else 0.0)
        energy += float(draw.sum()) / 12
        import_kwh += float(np.maximum(draw - inst.power_kw[t], 0).sum()) / 12
    assert found.cost.total == pytest.approx(lost, rel=1e-9)
    assert found.cost["energy_kwh"] == pytest.approx(energy, rel=1e-9)
    assert found.cost["imported_kwh"] == pytest.approx(import_kwh, rel=1e-9, abs=1e-12)
    assert found.cost["usd"] == pytest.approx(import_kwh * 0.1, rel=1e-9, abs=1e-12)
    facts = facts_of(inst, environment.decisions)
    arrivals = float(inst.demand.sum()) * 300
    assert facts["attainment"] == pytest.approx(1 - found.cost.total / arrivals, rel=1e-9)
    assert facts["goodput_per_s"] <= inst.demand.sum() / inst.periods + 1e-9
