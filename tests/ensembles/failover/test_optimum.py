"""The oracle: everything tried on tiny questions, bounds below all rules, wrong answers refused."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optmodels as om
from optmodels.comparison import run
from optmodels.ensembles.failover import POLICIES, optimum, policies, synthetic
from optmodels.ensembles.failover.actions import NONE, Recovery, Warm
from optmodels.ensembles.failover.audit import outcome, recovery_violations, warm_violations
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.model import size_of
from optmodels.ensembles.failover.relaxation import lower_bound
from optmodels.ensembles.failover.replay import room_of
from optmodels.ensembles.failover.weighted import weighted
from optmodels.errors import NoSolutionError, SolverError, UsageError
from tests.ensembles.failover.instances import build
from tests.ensembles.failover.test_warm_backups import small_instances


@st.composite
def tiny_instances(draw: st.DrawFn) -> FailoverInstance:
    """Two or three servers, up to three applications of one or two variants."""
    servers = draw(st.integers(2, 3))
    applications = {}
    for name in "ABC"[: draw(st.integers(1, 3))]:
        big = draw(st.integers(3, 8))
        pairs = [(10.0 * big, 0.9)]
        if draw(st.booleans()):
            pairs.append((10.0 * draw(st.integers(1, big - 1)), 0.6))
        applications[name] = (draw(st.integers(0, servers - 1)), pairs)
    return build(
        applications,
        {k: float(draw(st.integers(0, 12)) * 10) for k in range(servers)},
        critical="ABC",
        sites={k: f"site{draw(st.integers(0, 1))}" for k in range(servers)},
        weights={name: float(draw(st.sampled_from([1, 2]))) for name in applications},
        site_rule=draw(st.booleans()),
        scope=draw(st.sampled_from(["servers", "sites"])),
        loading=draw(st.sampled_from(["serial", "parallel"])),
        # Loading 300 ms + MB: in a short time two stages and small variants are worth something.
        load=draw(st.sampled_from([(300.0, 1.0), (10.0, 20.0)])),
        horizon_s=draw(st.sampled_from([2.0, 60.0])),
    )


def best_by_trying(instance: FailoverInstance) -> float:
    """Least lost service over all warm backups, choices, stages and orders of loading [s]."""
    options = instance.candidates
    applications = range(len(instance.applications))
    ways = [
        [(NONE, NONE)]
        + [(c, k) for c in options.of(a) for k in np.flatnonzero(instance.may_stand[c]).tolist()]
        for a in applications
    ]
    best = np.inf
    for way in product(*ways):
        warm = Warm(np.array([c for c, _ in way]), np.array([k for _, k in way]))
        if not warm_violations(instance, warm):
            total = sum(least_lost(instance, warm, failure) for failure in instance.failures)
            best = min(best, total)
    return float(best)


def least_lost(instance: FailoverInstance, warm: Warm, failure: Any) -> float:
    """Least service that one failure loses [s]."""
    options = instance.candidates
    waiting = room_of(instance, warm, failure).waiting.tolist()
    choices = [
        [None]
        + [
            (a, k, s, t)
            for t in options.of(a)
            for s in range(int(options.start[a]), t + 1)
            for k in np.flatnonzero(~failure.down).tolist()
        ]
        for a in waiting
    ]
    from itertools import permutations

    best = np.inf
    for choice in product(*choices):
        taken = [one for one in choice if one is not None]
        loads = [(i, 0) for i in range(len(taken))]
        loads += [(i, 1) for i, one in enumerate(taken) if one[2] != one[3]]
        for order in permutations(range(len(loads))):
            place = {loads[n]: turn + 1 for turn, n in enumerate(order)}
            turn = [place[i, 0] for i in range(len(taken))]
            later = [place.get((i, 1), 0) for i in range(len(taken))]
            if any(0 < u < t for t, u in zip(turn, later, strict=True)):
                continue
            columns = np.array(taken, dtype=np.int64).reshape(-1, 4).T
            recovery = Recovery(*columns, np.array(turn, int), np.array(later, int))
            if recovery_violations(instance, warm, failure, recovery):
                continue
            found = outcome(instance, warm, failure, recovery)
            weight = failure.probability * instance.weight[failure.failed]
            best = min(best, float(weight @ (found.down_ms + found.degraded_ms)) / 1000)
            if instance.parameters.loading == "parallel":
                break
    return best


@settings(deadline=None, derandomize=True, max_examples=14)
@given(instance=tiny_instances())
def test_oracle_against_trying_everything(instance: FailoverInstance) -> None:
    """The bound is never above the best of all plans, and the plan never below it.

    Catches a formulation that forbids something (a bound too high), such as warm backups of
    applications that are not critical, or two stages that would fit.
    """
    plan = om.solve(instance, method="milp", mip_gap=0.0)
    best = best_by_trying(instance)
    assert plan.bound is not None
    assert plan.bound <= best + 1e-7
    assert lower_bound(instance) <= best + 1e-7
    assert plan.objective >= best - 1e-9
    if plan.status == "optimal":
        assert plan.objective == pytest.approx(best, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_exact_where_servers_load_in_parallel_at_one_stage(seed: int) -> None:
    """Parallel loading, in times that do not depend on size: plan, bound and truth agree."""
    rng = np.random.default_rng(seed)
    applications = {
        name: (int(rng.integers(3)), [(10.0 * int(rng.integers(3, 8)), 0.9), (20.0, 0.6)])
        for name in "ABC"
    }
    instance = build(
        applications,
        {k: float(rng.integers(2, 10) * 10) for k in range(3)},
        site_rule=False,
        loading="parallel",
        load=(300.0, 0.0),
    )
    plan = om.solve(instance, method="milp", mip_gap=0.0)
    assert plan.status == "optimal"
    assert plan.objective == pytest.approx(best_by_trying(instance), abs=1e-9)


@settings(deadline=None, derandomize=True, max_examples=6)
@given(instance=small_instances())
def test_no_rule_is_below_the_bounds(instance: FailoverInstance) -> None:
    """Both bounds hold for every policy; multiplexed compute, sites and headrooms included."""
    plan = om.solve(instance, method="milp", time_limit_s=3)
    relaxed = om.solve(instance, method="rules")
    assert relaxed.bound is not None
    assert plan.bound is not None
    assert relaxed.bound <= plan.bound + 1e-7
    for kind in POLICIES.values():
        made = run(instance, kind())
        assert made.objective >= plan.bound - 1e-7
        assert made.objective >= plan.objective - 1e-7 or plan.status != "optimal"
        assert made.objective >= relaxed.objective - 1e-7 or made.maker in ("faillite-tuned",)


def test_compiled_and_pyomo_models_agree() -> None:
    """`inst.model()` is the formulation: Pyomo's own model has the same optimum."""
    instance = synthetic.generate(1, servers=3, sites=3, applications=5)
    found = om.solve_model(instance.model(), mip_gap=0.0)
    plan = om.solve(instance, method="milp", mip_gap=0.0)
    assert plan.bound == pytest.approx(found.objective, rel=1e-6)
    assert size_of(instance) >= len(found.values["warm"]) + len(found.values["cold"])


def test_wrong_answers_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optimum that a rule beats is refused, and so is a bound above a plan."""
    instance = synthetic.generate(1, servers=4, sites=4, applications=8)
    good = optimum.model_data

    def spoiled(told: FailoverInstance, **given: float) -> dict[str, Any]:
        data = good(told, **given)
        return {**data, "cold_gain": 0.5 * data["cold_gain"], "warm_gain": 0.5 * data["warm_gain"]}

    monkeypatch.setattr(optimum, "model_data", spoiled)
    with pytest.raises(SolverError, match="wrong"):
        om.solve(instance, method="milp")
    monkeypatch.setattr(optimum, "model_data", good)
    monkeypatch.setattr(optimum, "lower_bound", lambda *_, **__: 1e6)
    with pytest.raises(SolverError, match="above a plan"):
        om.solve(instance, method="rules")


def test_methods_and_options() -> None:
    """Unknown methods and options without a solver are refused; large questions take the rules."""
    instance = synthetic.generate(1, servers=4, sites=4, applications=8)
    with pytest.raises(UsageError):
        om.solve(instance, method="best")
    with pytest.raises(UsageError):
        om.solve(instance, method="rules", options={"presolve": "off"})
    found = om.solve(instance, method="milp", options={"presolve": "off"})
    assert found.provenance.options["presolve"] == "off"


def test_memory_has_a_price() -> None:
    """The dearer warm memory is, the less of it stands; the weighted sums are bounded."""
    instance = synthetic.generate(1, servers=4, sites=4, applications=6, free_share=0.6)
    memory = []
    for weight in (0.0, 1e-4, 1e-2):
        found = weighted(instance, {"lost_s": 2.0, "warm_mb": weight})
        assert found.bound <= found.value + 1e-9
        assert found.value == pytest.approx(
            2 * found.plan.cost.total + weight * found.plan.cost["warm_mb"]
        )
        memory.append(found.plan.cost["warm_mb"])
    assert memory[-1] == 0 < memory[0]
    assert memory == sorted(memory, reverse=True)
    free = weighted(instance, {"warm_mb": 1.0})
    assert (free.value, free.bound) == (0.0, 0.0)


def test_decisions_are_kept_apart_from_their_price() -> None:
    """The price of memory is no lost service."""
    instance = synthetic.generate(1, servers=4, sites=4, applications=8)
    best = optimum.best_rule(instance)
    dear = replace(best, lost_s=1.0).priced(instance, 2.0)
    placed = best.warm.candidate[best.warm.placed]
    assert dear == pytest.approx(1.0 + 2.0 * instance.candidates.memory_mb[placed].sum())


def test_a_time_limit_is_for_all_rules_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules with a solver come last, get shares of what is left, and are left out at the end.

    Four rules solve a programme each; with a limit of their own each, ten seconds were a minute.
    """
    limits: list[float | None] = []

    def place(instance: FailoverInstance, **words: Any) -> Any:
        limits.append(words["time_limit_s"])
        raise NoSolutionError("Nothing was found in time.")

    monkeypatch.setattr(policies, "place_backups", place)
    instance = synthetic.generate(1, servers=4, sites=4, applications=8)
    end = time.perf_counter() + 1e3
    best = optimum.best_rule(instance, end=end)
    assert best.lost_s <= optimum.best_rule(instance, end=time.perf_counter()).lost_s
    # The second time all was over before it began: one rule is enough then.
    assert len(limits) == 4
    assert [round(1e3 / (limit or 1)) for limit in limits] == [5, 4, 3, 2]
    with pytest.raises(NoSolutionError):
        optimum.best_rule(instance)
