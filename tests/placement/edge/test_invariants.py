"""What must hold between questions that are related, and between policies and the optimum."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optmodels as om
from optmodels.placement.edge.audit import read_placement
from optmodels.placement.edge.instance import EdgeInstance
from tests.placement.edge.instances import changed, random_case, toy, with_parameters

SEEDS = st.integers(0, 10**6)
CAREFUL = settings(deadline=None, derandomize=True, max_examples=7)
SLACK = 1e-6


def least(inst, **kwargs):
    """Optimal plan."""
    return om.solve(inst, mip_gap=0, **kwargs)


def one_batch(seed, **parameters):
    """A random case whose applications come together."""
    return changed(random_case(seed, **parameters), "applications", batch=1)


@CAREFUL
@given(seed=SEEDS)
def test_carbon_optimum_beats_every_policy(seed: int) -> None:
    """No policy emits less than the optimum, and CarbonEdge with one batch equals it."""
    inst = one_batch(seed)
    found = om.compare(inst, optimum=least(inst))
    assert (found.frame["ratio"] >= 1 - 1e-9).all()
    edge = found.frame.set_index("policy").loc["carbon-edge", "total"]
    assert edge == pytest.approx(found.optimum.objective, rel=2e-4, abs=SLACK)


@CAREFUL
@given(seed=SEEDS)
def test_placed_applications_keep_every_limit(seed: int) -> None:
    """Round trip, room on each single server, and that a server with work is on."""
    inst = random_case(seed)
    for plan in (least(inst), *om.compare(inst).plans.values()):
        placement, wrong = read_placement(inst, plan.tables)
        assert not wrong
        d, g, server, count = placement.rows.T
        assert (inst.rtt_ms[d, g] <= inst.limit_ms[d]).all()
        assert (server < placement.on[g]).all()
        for group, s in set(zip(g.tolist(), server.tolist(), strict=True)):
            mine = (g == group) & (server == s)
            used = (inst.demand[inst.kind[d[mine]], inst.device[group]].T * count[mine]).sum(axis=1)
            assert (used <= inst.free[group] + 1e-9).all()


@CAREFUL
@given(seed=SEEDS)
def test_equal_intensity_makes_carbon_and_energy_one(seed: int) -> None:
    """Where the grid is the same everywhere, least carbon is least energy."""
    inst = changed(one_batch(seed), "carbon", carbon_g_per_kwh=300.0)
    # Both must place as many as possible: a high price of leaving out.
    inst = with_parameters(inst, unplaced_g=1e6)
    plan = least(inst)
    energy = om.compare(inst, ["energy-aware"], optimum=plan).plans["energy-aware"]
    assert energy.cost["unplaced"] == plan.cost["unplaced"]
    assert energy.cost["energy_kwh"] == pytest.approx(plan.cost["energy_kwh"], rel=2e-4, abs=1e-9)


@CAREFUL
@given(seed=SEEDS)
def test_with_equal_energy_and_room_everybody_goes_to_the_cleanest(seed: int) -> None:
    """Without base power and with room for all, each application takes the cleanest in reach."""
    inst = one_batch(seed, unplaced_g=1e6)
    inst = changed(inst, "servers", base_kw=0.0, servers=8, running=0)
    inst = changed(inst, "profiles", joule_per_request=20.0)
    plan = least(inst)
    d, g = inst.arcs
    expected = 0.0
    for c in range(len(inst.classes)):
        mine = d == c
        if mine.any():
            best = float((inst.arc_kwh[mine] * inst.intensity[g[mine]]).min())
            expected += int(inst.count[c]) * best
    assert plan.cost["carbon_g"] == pytest.approx(expected, rel=1e-6, abs=SLACK)
    other = om.compare(inst, ["intensity-aware"], optimum=plan).plans["intensity-aware"]
    assert other.cost["carbon_g"] == pytest.approx(expected, rel=1e-6, abs=SLACK)


@CAREFUL
@given(seed=SEEDS)
def test_more_freedom_never_costs(seed: int) -> None:
    """Longer limits, more servers, larger servers, switching off: the optimum never rises."""
    inst = random_case(seed)
    base = least(inst).objective
    applications, servers = inst.tables["applications"], inst.tables["servers"]
    freer = (
        changed(inst, "applications", rtt_limit_ms=applications["rtt_limit_ms"] + 4),
        changed(inst, "servers", servers=servers["servers"] + 1),
        changed(inst, "servers", cpu_cores=servers["cpu_cores"] + 1.5),
        with_parameters(inst, switch_off=True),
    )
    for other in freer:
        assert least(other).objective <= base * (1 + 1e-7) + SLACK


@CAREFUL
@given(seed=SEEDS, factor=st.sampled_from([0.25, 3.0]))
def test_carbon_scales_with_intensity(seed: int, factor: float) -> None:
    """All intensities and the price of leaving out times a factor: so is the optimum."""
    inst = random_case(seed)
    carbon = inst.tables["carbon"]["carbon_g_per_kwh"]
    other = changed(inst, "carbon", carbon_g_per_kwh=carbon * factor)
    other = with_parameters(other, unplaced_g=40.0 * factor)
    expected = least(inst).objective * factor
    assert least(other).objective == pytest.approx(expected, rel=1e-6, abs=SLACK)


@CAREFUL
@given(seed=SEEDS)
def test_batches_one_by_one_never_beat_all_at_once(seed: int) -> None:
    """CarbonEdge batch by batch costs no less than the joint optimum, at equal knowledge."""
    inst = random_case(seed)
    plan = least(inst)
    found = om.compare(inst, ["carbon-edge"], optimum=plan)
    assert found.plans["carbon-edge"].objective >= plan.objective * (1 - 1e-7) - SLACK


@CAREFUL
@given(seed=SEEDS)
def test_relaxation_is_below(seed: int) -> None:
    """The bound of the relaxation by columns is no more than the whole optimum."""
    inst = random_case(seed)
    rough = om.solve(inst, method="columns", mip_gap=0.5)
    assert rough.bound <= least(inst).objective + SLACK


def test_later_batches_are_unknown_when_earlier_ones_are_placed() -> None:
    """Another second batch leaves every decision about the first one as it was."""
    inst = om.generate("placement.edge", seed=5, sites=5, applications=40, zones=3, batches=2)
    table = inst.tables["applications"]
    late = table["batch"] == 2
    other = changed(inst, "applications", count=np.where(late, 1, table["count"]))
    first = set(table.loc[~late, "name"])
    for name in ("carbon-edge", "latency-aware", "one-by-one"):
        tables = [
            om.compare(one, [name], optimum=None).plans[name].tables["placements"]
            for one in (inst, other)
        ]
        kept = [
            frame[frame["name"].isin(first)].groupby(["name", "group"])["count"].sum()
            for frame in tables
        ]
        assert kept[0].equals(kept[1]), name


def test_a_forecast_is_all_that_policies_are_told() -> None:
    """Policies decide by the forecast: with another truth they place alike and emit differently."""
    inst = om.generate(
        "placement.edge", seed=6, sites=5, applications=40, zones=3, forecast_error=0.9
    )
    truth = inst.tables["carbon"]["carbon_g_per_kwh"]
    other = changed(inst, "carbon", carbon_g_per_kwh=truth.to_numpy()[::-1].copy())
    plans = [om.compare(one, ["one-by-one"]).plans["one-by-one"] for one in (inst, other)]
    assert plans[0].tables["placements"].equals(plans[1].tables["placements"])
    assert plans[0].objective != plans[1].objective


def test_moves_are_paid_and_limited() -> None:
    """What runs already is moved where that saves more than it costs, as far as the budget goes.

    In the toy the first application runs at the first server. Elsewhere it costs 24 g less.
    """
    inst = toy()
    tables = inst.tables
    tables["placed"] = pd.DataFrame({"name": ["a1"], "group": ["s1"], "count": [1]})

    def plan(**parameters):
        return least(EdgeInstance({**inst.parameters.model_dump(), **parameters}, tables))

    free = plan()
    assert (free.objective, free.cost["moved_gb"]) == (pytest.approx(137.9), 1.0)
    mean = (600 + 350 + 80) / 3
    paid = plan(move_kwh_per_gb=0.01)
    assert paid.cost["moves_g"] == pytest.approx(0.01 * mean)
    assert paid.objective == pytest.approx(137.9 + 0.01 * mean)
    stay = plan(moves_max_gb=0.0)
    assert stay.cost["moved_gb"] == 0
    assert stay.objective > free.objective
    assert plan(move_kwh_per_gb=1.0).objective == pytest.approx(stay.objective)
    assert plan(moves_max_gb=1.0).objective == pytest.approx(free.objective)
