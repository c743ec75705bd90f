"""The formulation: three forms of one model, and the optimum of brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy.optimize import linprog

import optmodels as om
from optmodels.scaling.cluster.audit import audit
from optmodels.scaling.cluster.bound import Relaxation
from optmodels.scaling.cluster.horizon import finished_greedy, horizon
from optmodels.scaling.cluster.model import (
    concrete_model,
    formulation,
    model_data,
    relaxation,
    relaxation_data,
)
from optmodels.scaling.cluster.optimum import solve
from optmodels.scaling.cluster.replay import tables_of
from optmodels.solver import compile_model, solve_model
from optmodels.solver.pyomo_standard import compile_pyomo
from optmodels.solver.template import instance_of
from tests.scaling.cluster.instances import cluster, small
from tests.solver.comparing import assert_same, read_back

TWO = [("two", 1, 1.0, 0.5), ("two", 2, 1.6, 0.8)]
WIDE = [("wide", 2, 1.0, 0.0), ("wide", 3, 1.3, 3.0)]


def some_clusters():
    """With and without starts, lateness that must be, first blocks of two servers."""
    yield small(0, jobs=4, slots=12, utilisation=0.8)
    yield small(1, jobs=4, slots=12, utilisation=0.8, start_kwh=0.05)
    yield cluster([3, 2, 1], [(0, 1.0)] * 3, capacity=1)
    yield cluster([3, 2, 1], [(0, 1.0)], start_kwh=1.0)
    yield small(9, jobs=3, slots=10, utilisation=0.5, late_factor=0.0)


@pytest.mark.parametrize("place", range(5))
def test_three_forms_are_one_model(tmp_path, place):
    """Compiled from traces, through Pyomo's objects and read back from files: one matrix."""
    instance = list(some_clusters())[place]
    for form, data in ((formulation(), model_data), (relaxation(), relaxation_data)):
        compiled = compile_model(form, data(instance))
        ordinary = instance_of(form, data(instance))
        assert_same(compiled, compile_pyomo(ordinary))
        for suffix in (".mps", ".lp"):
            assert_same(compiled, read_back(compiled, tmp_path, suffix))
            assert_same(compiled, read_back(compile_pyomo(ordinary), tmp_path, suffix))


def test_no_pyomo_model_is_made(monkeypatch):
    """The oracle compiles the traced formulation; it needs no Pyomo instance."""

    def refuse(*_, **__):
        raise AssertionError("an instance was made")

    instance = small(1)
    expected = solve(instance, method="milp").objective
    monkeypatch.setattr(pyo.AbstractModel, "create_instance", refuse)
    assert solve(instance, method="milp").objective == pytest.approx(expected, rel=1e-6)
    assert solve_model(relaxation(), data=relaxation_data(instance)).objective > 0


def test_the_model_says_what_it_is():
    """Every constraint is named and described; the formulation holds no data."""
    for form in (formulation(), relaxation()):
        assert not form.is_constructed()
        assert all(c.doc for c in form.component_objects(pyo.Constraint))
    model = concrete_model(small(0, jobs=3, slots=12))
    assert "scaling.cluster" in model.name
    assert {c.name for c in model.component_objects(pyo.Constraint)} >= {"work", "lateness", "use"}


# -- brute force ---------------------------------------------------------------------------------


def ways(instance, job, slots):
    """Every way of taking levels in the slots: (servers of each slot, least cost).

    For what is taken the least cost is a little linear programme over the shares of levels.
    """
    p, jobs = instance.parameters, instance.jobs
    profile = instance.profiles[jobs.profile[job]]
    power = instance.level_power_kw[jobs.profile[job]]
    carbon, hours = instance.carbon_until(slots), instance.slot_hours
    first, due = int(jobs.arrival[job]), int(instance.due[job])
    late_g, levels = float(instance.late_g_per_slot[job]), len(profile.servers)
    found = []
    for taken in product(range(levels + 1), repeat=slots - first):
        if not any(taken):
            continue
        columns = [(first + i, k) for i, n in enumerate(taken) for k in range(n)]
        last = max(t for t, _ in columns)
        late = last >= due
        # Share of time at each level of each slot; a slot has one unit of time.
        cost = [
            carbon[t] * power[k] * hours + (late_g if late and t == last else 0.0)
            for t, k in columns
        ]
        time = [
            [1.0 if t == s else 0.0 for t, _ in columns] for s in sorted({c[0] for c in columns})
        ]
        answer = linprog(
            cost,
            A_ub=time,
            b_ub=np.ones(len(time)),
            A_eq=[[profile.throughput[k] for _, k in columns]],
            b_eq=[jobs.length[job]],
        )
        if answer.status != 0:
            continue
        held = np.zeros(slots)
        held[first:] = [profile.servers[n - 1] if n else 0 for n in taken]
        started = np.maximum(np.diff(held, prepend=0.0), 0) @ carbon * float(p.start_kwh)
        found.append((held, answer.fun + started + (late_g * (last - due) if late else 0.0)))
    return found


def brute_force(instance, slots):
    """Least cost over all combinations of ways that fit into the capacity."""
    partial = [(np.zeros(slots), 0.0)]
    for job in range(instance.jobs.count):
        options = ways(instance, job, slots)
        partial = [
            (held + other, cost + more)
            for held, cost in partial
            for other, more in options
            if (held + other).max() <= instance.capacity
        ]
    return min(cost for _, cost in partial)


def tiny(seed):
    """Two jobs, five slots, up to two levels; tight."""
    rng = np.random.default_rng(seed)
    profiles = [*TWO, *WIDE, ("rigid", 1, 1.0, 0.0)]
    jobs = [
        (int(rng.integers(0, 2)), round(float(rng.uniform(0.4, 2.0)), 2), f"q{rng.integers(2)}", p)
        for p in rng.choice(["two", "two", "wide", "rigid"], 2)
    ]
    return cluster(
        np.round(rng.uniform(5, 100, 5), 1),
        jobs,
        queues=[("q0", 0, 1.0), ("q1", 1, 1.0)],
        profiles=profiles,
        capacity=int(rng.integers(2, 4)) if "wide" not in {j[3] for j in jobs} else 3,
        start_kwh=float(rng.choice([0.0, 0.3])),
        network_w_per_gbps=20.0,
        late_factor=float(rng.choice([1.0, 0.1])),
    )


@pytest.mark.parametrize("seed", range(10))
def test_the_formulation_is_brute_force(seed):
    """All ways of taking levels in all slots, all combinations: the optimum, late or not.

    Catches lateness that is counted from the wrong slot, starts of servers that went on, network
    power of the wrong level, and a capacity that counts shares for servers.
    """
    instance = tiny(seed)
    plan = solve(instance, method="milp", mip_gap=0.0)
    last = int(plan.tables["schedule"]["slot"].max())
    best = brute_force(instance, max(5, last + 1))
    assert plan.objective == pytest.approx(best, rel=1e-6)
    assert plan.bound == pytest.approx(best, rel=1e-6)
    assert plan.status == "optimal"


def test_some_of_the_tiny_clusters_are_late_and_some_start():
    """The comparison with brute force is about something."""
    plans = [solve(tiny(seed), method="milp") for seed in range(10)]
    assert sum(plan.cost["late_g"] > 0 for plan in plans) >= 2
    assert sum(plan.cost["starting_g"] > 0 for plan in plans) >= 2


# -- the horizon ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_slots_after_the_horizon_do_not_help(seed):
    """Twelve slots more for every job: the same optimum."""
    instance = small(seed, jobs=5, slots=14, utilisation=1.2, late_factor=0.3)
    greedy = finished_greedy(instance)
    cost = audit(instance, tables_of(instance, greedy.schedule)).cost.total
    rough = Relaxation(instance)
    until = np.maximum(horizon(instance, rough, rough.best(cost).prices, cost), greedy.due)
    values = [
        solve_model(formulation(), data=model_data(instance, u), mip_gap=1e-6).objective
        for u in (until, until + 12)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_free_lateness_has_no_horizon():
    """Nothing says when a job that may be late for nothing must be done."""
    instance = small(2, late_factor=0.0)
    rough = Relaxation(instance)
    assert horizon(instance, rough, np.zeros(instance.slots), 1e6) is None


def test_lateness_that_costs_next_to_nothing_has_none_either():
    """A horizon of a billion slots is none: it used to ask for 18 GB, or to overflow."""
    instance = small(3).replace(late_factor=1e-300)
    greedy = finished_greedy(instance)
    cost = audit(instance, tables_of(instance, greedy.schedule)).cost.total
    rough = Relaxation(instance)
    assert horizon(instance, rough, rough.best(cost).prices, cost) is None
    assert om.solve(instance).bound <= cost
