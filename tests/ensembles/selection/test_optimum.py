"""The oracle: equal to brute force, to itself in other forms, never below a heuristic."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels import comparison
from optmodels.ensembles.selection import PROBLEM, optimum
from optmodels.ensembles.selection.accuracies import Predicted, mask_of
from optmodels.ensembles.selection.configurations import Columns, Configurations, Prices
from optmodels.ensembles.selection.greedy import matroids
from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.ensembles.selection.model import (
    column_data,
    column_formulation,
    concrete_model,
    vote_formulation,
)
from optmodels.ensembles.selection.optimum import search, solve
from optmodels.ensembles.selection.pool import Fleet, Pool, from_predictions, from_subsets
from optmodels.ensembles.selection.pricing import Limits, choose
from optmodels.ensembles.selection.synthetic import generate
from optmodels.ensembles.selection.votes import vote_data
from optmodels.ensembles.selection.weighted import weighted
from optmodels.errors import SolverError, UsageError
from optmodels.registry import Problem
from optmodels.solver import compile_model, solve_model
from optmodels.solver.template import instance_of
from tests.ensembles.selection.cases import brute_force, drawn, error, placements
from tests.solver.comparing import assert_same

EXACT = Limits(mip_gap=0.0)


def several(seed: int, room: float, **more: Any) -> SelectionInstance:
    """Three small applications that compete for memory."""
    sizes = {"apps": 3, "candidates": 3, "servers": 2, "samples": 20, "holdout": 5, **more}
    return generate(seed, room=room, **sizes)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", ["best", "cover", "majority", "plurality"])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_three_ways_to_one_optimum(seed: int, rule: str, share: float) -> None:
    """Arrays, configurations and the programme by groups of samples agree to 1e-9."""
    inst = drawn(seed, rule, samples=10, expected_share=share)
    plans = [solve(inst, method=m, mip_gap=0.0) for m in ("table", "configurations", "votes")]
    for plan in plans:
        assert plan.status == "optimal"
        assert plan.objective == pytest.approx(plans[0].objective, abs=1e-9)
        assert plan.bound == pytest.approx(plans[0].objective, abs=1e-6)


@pytest.mark.parametrize("rule", ["soft", "weighted"])
@pytest.mark.parametrize("more", [{}, {"one_per_site": True}, {"members_per_server": 2}])
def test_votes_of_scores(rule: str, more: dict[str, Any]) -> None:
    """Integer scores keep the programme exact; sites and several members per server, too."""
    inst = drawn(1, rule, models=4, samples=10, **more)
    plans = [solve(inst, method=m, mip_gap=0.0) for m in ("table", "votes")]
    assert plans[1].objective == pytest.approx(plans[0].objective, abs=1e-9)
    assert plans[0].objective == pytest.approx(brute_force(inst), abs=1e-12)


@pytest.mark.parametrize("worst", [1, 3])
def test_votes_with_a_worst_case(worst: int) -> None:
    """Also where the worst case is that nobody is left."""
    inst = drawn(2, "cover", expected_share=0.3, worst_failures=worst)
    plan = solve(inst, method="votes", mip_gap=0.0)
    assert plan.objective == pytest.approx(brute_force(inst), abs=1e-9)


def test_unlikely_patterns_are_counted_in_the_bound() -> None:
    """Patterns that are left out raise the bound by their probability, not the claim."""
    inst = drawn(3, "cover")
    servers = inst.tables["servers"].assign(failure_probability=[0.0009, 0.0008, 0.3])
    inst = inst.replace(servers=servers)
    task = inst.tasks[0]
    assert isinstance(task.accuracies, Predicted)
    _, left_out = vote_data(task, task.accuracies, inst.servers, inst.rules, "cover")
    assert left_out == pytest.approx(0.0009 * 0.0008 * 0.7)
    plan = solve(inst, method="votes", mip_gap=0.0)
    exact = solve(inst)
    assert plan.objective == pytest.approx(exact.objective, abs=1e-9)
    assert exact.objective - 2 * left_out <= plan.bound <= exact.objective + 1e-9


@pytest.mark.parametrize("rule", ["best", "cover", "votes"])
def test_programmes_compile_as_pyomo_would(rule: str) -> None:
    """The template compiler and Pyomo itself make the same matrix of every programme."""
    inst = drawn(1, "soft" if rule == "votes" else rule, samples=8, one_per_site=True)
    task = inst.tasks[0]
    assert isinstance(task.accuracies, Predicted)
    data, _ = vote_data(task, task.accuracies, inst.servers, inst.rules, rule)
    fast = compile_model(vote_formulation(rule), data)
    assert_same(fast, compile_model(instance_of(vote_formulation(rule), data)))


def test_choice_compiles_as_pyomo_would() -> None:
    """The same of the choice among configurations."""
    inst = several(1, 0.3)
    prices = Prices(1.0, 0.0)
    columns = [Configurations(t, inst.servers, inst.rules, prices).columns() for t in inst.tasks]
    every = [np.arange(len(c.gains)) for c in columns]
    data = column_data(columns, every, inst.servers.capacity_mb)
    fast = compile_model(column_formulation(), data)
    assert_same(fast, compile_model(instance_of(column_formulation(), data)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("room", [0.15, 0.3])
def test_several_applications_equal_brute_force(seed: int, room: float) -> None:
    """Shared memory: the choice among configurations is the least of all combinations."""
    inst = several(seed, room)
    plan = solve(inst, mip_gap=0.0)
    assert plan.status == "optimal"
    assert plan.objective == pytest.approx(brute_force(inst), abs=1e-9)


@pytest.mark.parametrize("entering", [1, 100])
def test_pricing_keeps_the_optimum_of_the_whole_list(
    entering: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that reduced costs rule out are in no better choice; their bound holds.

    Also where few columns enter the relaxation, so that the last programme has to find the others.
    """
    monkeypatch.setattr("optmodels.ensembles.selection.pricing._ENTERING", entering)
    for seed in range(2):
        inst = generate(seed, apps=4, candidates=4, servers=3, samples=30, holdout=0, room=0.25)
        columns = [
            Configurations(t, inst.servers, inst.rules, Prices(1.0, 0.0)).columns()
            for t in inst.tasks
        ]
        every = [np.arange(len(c.gains)) for c in columns]
        data = column_data(columns, every, inst.servers.capacity_mb)
        whole = solve_model(column_formulation(), data=data, mip_gap=0.0).require()
        found = choose(columns, inst.servers.capacity_mb, 0.0, EXACT)
        assert found.gain == pytest.approx(-whole.objective, abs=1e-9)
        assert found.bound == pytest.approx(found.gain, abs=1e-7)
        relaxed = solve_model(column_formulation(relaxed=True), data=data).require()
        assert found.bound <= -relaxed.objective + 1e-7


@pytest.mark.parametrize("seed", range(8))
def test_only_what_is_surely_useless_is_ruled_out(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that are hard to combine: the optimum is found although few enter the relaxation.

    Keeping only columns of the largest reduced gain would lose it for most of these seeds.
    """
    monkeypatch.setattr("optmodels.ensembles.selection.pricing._ENTERING", 1)
    rng = np.random.default_rng(seed)
    columns = []
    for _ in range(5):
        memory = rng.integers(10, 60, (15, 2)).astype(float)
        gains = np.round(memory.sum(axis=1) / 200 + rng.uniform(0, 0.1, 15), 3)
        columns.append(Columns(gains, memory, np.zeros((15, 2), dtype=np.int64)))
    free = np.array([100.0, 110.0])
    data = column_data(columns, [np.arange(15)] * 5, free)
    whole = solve_model(column_formulation(), data=data, mip_gap=0.0).require()
    found = choose(columns, free, 0.0, EXACT)
    assert found.gain == pytest.approx(-whole.objective, abs=1e-9)
    assert found.bound == pytest.approx(found.gain, abs=1e-7)
    used = sum(
        own.memory_mb[n] for own, n in zip(columns, found.numbers or (), strict=True) if n >= 0
    )
    assert np.all(used <= free + 1e-4)


def test_model_to_edit() -> None:
    """``instance.model()`` is an ordinary Pyomo model with the optimum of the oracle."""
    inst = several(1, 0.3)
    solved = solve_model(concrete_model(inst), mip_gap=0.0).require()
    assert 1 + solved.objective == pytest.approx(solve(inst, mip_gap=0.0).objective, abs=1e-9)
    nothing = inst.replace(applications=inst.tables["applications"].assign(latency_max_ms=0.0))
    with pytest.raises(UsageError, match="there is no model"):
        nothing.model()
    plan = solve(nothing)
    assert plan.objective == pytest.approx(1.0) == plan.bound
    assert plan.cost["unserved"] == 3


# ----------------------------------------------------------------------------- what is not believed
def test_a_wrong_claim_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that claims more than its members are worth, or less than greedy, is refused.

    HiGHS has reported wrong optima of such programmes.
    """
    inst = drawn(0, "majority")
    real = optimum.solve_votes

    def boasting(*given: Any) -> Any:
        return replace(real(*given), claimed=0.999)

    def lazy(*given: Any) -> Any:
        found = real(*given)
        return replace(found, placement=(), claimed=0.0, bound=0.0)

    for wrong in (boasting, lazy):
        monkeypatch.setattr(optimum, "solve_votes", wrong)
        with pytest.raises(SolverError):
            solve(inst, method="votes")


def test_a_wrong_table_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays that gain less than greedy selection, or claim what they have not, are refused."""
    inst = drawn(1, "soft")
    monkeypatch.setattr(Configurations, "best", lambda self: (0.01, ()))
    with pytest.raises(SolverError, match="scored again"):
        solve(inst)
    monkeypatch.setattr(Configurations, "best", lambda self: (0.0, ()))
    with pytest.raises(SolverError, match="is wrong"):
        solve(inst)


# ------------------------------------------------------------------------------------ order, bounds
@given(seed=st.integers(0, 10**6), rule=st.sampled_from(["best", "cover", "majority", "soft"]))
@settings(deadline=None, derandomize=True, max_examples=8)
def test_no_policy_is_better(seed: int, rule: str) -> None:
    """Exact is at least greedy, which is at least the best single member; nobody is better."""
    found = comparison.compare(generate(seed, apps=1, candidates=5, samples=25, rule=rule))
    total = found.frame.set_index("policy")["total"]
    assert (found.frame["ratio"] >= 1).all()
    assert total["optimum"] <= total["greedy"] + 1e-12 <= total["best-single"] + 2e-12
    assert total["look-ahead"] <= total["greedy"] + 1e-12
    assert total["expected-in-turn"] == pytest.approx(total["optimum"], abs=1e-12)


@given(seed=st.integers(0, 10**6), rule=st.sampled_from(["best", "cover"]), sites=st.booleans())
@settings(deadline=None, derandomize=True, max_examples=20)
def test_greedy_keeps_its_guarantee(seed: int, rule: str, sites: bool) -> None:
    """Best and cover: at least 1 / (p + 1) of the optimum's gain, shown as certified ratio."""
    inst = drawn(seed, rule, one_per_site=sites)
    found = comparison.compare(inst, ["greedy", "best-single"])
    row = found.frame.set_index("policy").loc["greedy"]
    count = matroids(inst.tasks[0], inst.servers, inst.rules)
    assert count == 2
    assert 1 - row["total"] >= (1 - found.optimum.objective) / 3 - 1e-9
    assert row["ratio"] <= row["certified_ratio"]
    assert np.isnan(found.frame.set_index("policy").loc["best-single", "certified_ratio"])


def test_nothing_is_certified_for_votes() -> None:
    """A majority is not submodular, and knapsacks are no matroids."""
    plans = (drawn(0, "majority"), drawn(0, "cover", members_per_server=2), several(0, 0.3))
    for inst in plans:
        frame = comparison.compare(inst, ["greedy"]).frame.set_index("policy")
        assert np.isnan(frame.loc["greedy", "certified_ratio"])


def test_a_cut_list_keeps_its_promises() -> None:
    """Too many configurations: those of fewer members, a bound that holds, and no claim of more."""
    for inst in (drawn(5, "soft"), several(2, 0.4)):
        exact = solve(inst, mip_gap=0.0)
        cut = solve(inst, most_cells=len(inst.tasks[0].pairs) + 2)
        assert cut.objective >= exact.objective - 1e-12
        assert cut.bound <= exact.objective + 1e-9
        assert cut.status == "feasible"


def test_price_of_robustness() -> None:
    """A worst-case optimum gives up expectation, and the other way round; mixtures lie between."""
    inst = drawn(7, "majority", models=6)
    plans = [solve(inst.replace(expected_share=s), mip_gap=0.0) for s in (1.0, 0.5, 0.0)]
    expected = [plan.cost["expected_error"] for plan in plans]
    worst = [plan.cost["worst_error"] for plan in plans]
    assert expected[0] <= expected[1] <= expected[2] + 1e-12
    assert worst[0] >= worst[1] >= worst[2] - 1e-12


# ----------------------------------------------------------------------------------- learned tables
def measured(count: int, seed: int) -> dict[frozenset[int], float]:
    """A made-up accuracy of every set."""
    rng = np.random.default_rng(seed)
    sets = [frozenset(c) for k in range(1, count + 1) for c in combinations(range(count), k)]
    return {members: round(float(rng.uniform(0.3, 1)), 3) for members in sets}


@pytest.mark.parametrize("seed", range(4))
def test_learned_tables_enter_as_they_are(seed: int) -> None:
    """Measured accuracies of all 2^M - 1 sets, such as of multi-level ensembles, are optimised."""
    values, held = measured(4, seed), measured(4, seed + 100)
    pool = Pool([f"m{m}" for m in range(4)], [40.0, 50.0, 60.0, 70.0], [1.0] * 4)
    inst = from_subsets(pool, Fleet((60.0, 70.0, 50.0), (0.1, 0.2, 0.3)), values, held)
    assert len(inst.tables["subsets"]) == 2**4 - 1
    plan = solve(inst)
    assert plan.objective == pytest.approx(brute_force(inst), abs=1e-12)
    assert inst.tasks[0].accuracies.of((0, 2)) == values[frozenset({0, 2})]
    assert mask_of((0, 2)) == 5
    assert "holdout_expected_error" in plan.cost
    found = comparison.compare(inst, optimum=plan)
    assert set(found.skipped) == {"caruana", "caruana-bagged", "stacked"}
    with pytest.raises(UsageError, match="learned rule"):
        solve(inst, method="votes")


# ---------------------------------------------------------------------------------- trade-offs, use
@pytest.mark.parametrize(
    "weights",
    [
        {"expected_error": 1.0},
        {"expected_error": 0.3, "worst_error": 0.7},
        {"expected_error": 2.0, "memory_mb": 0.001},
        {"worst_error": 1.0, "energy_j": 0.01},
        {"energy_j": 1.0},
    ],
)
def test_weighted_sums_equal_brute_force(weights: dict[str, float]) -> None:
    """Any weighted sum of errors, energy and memory is minimised, with its bound."""
    problem: Problem = PROBLEM
    for inst in (drawn(0, "soft"), drawn(1, "majority")):
        found = problem.weigh(inst, weights, mip_gap=0.0)
        least = np.inf
        for members in placements(inst):
            cost = optimum.audit(inst, optimum.tables_of(inst, (members,))).cost
            least = min(least, sum(w * cost[name] for name, w in weights.items()))
        assert found.value == pytest.approx(least, abs=1e-9)
        assert found.bound == pytest.approx(least, abs=1e-9)
    many = several(0, 0.3)
    two = weighted(many, {"expected_error": 1.0, "worst_error": 0.5}, mip_gap=0.0)
    assert two.bound <= two.value + 1e-12


def test_usage() -> None:
    """Methods that do not apply say so."""
    with pytest.raises(UsageError, match="for one application"):
        solve(several(0, 0.3), method="table")
    with pytest.raises(UsageError, match="Did you mean 'table'"):
        solve(drawn(0), method="tabel")
    with pytest.raises(UsageError, match="copies"):
        solve(drawn(0, copies_max=2), method="votes")


def test_explanations() -> None:
    """Applications that nobody can serve are named with what keeps them off."""
    inst = drawn(0)
    assert PROBLEM.explain(inst) == []
    slow = inst.replace(applications=inst.tables["applications"].assign(latency_max_ms=0.5))
    [text] = PROBLEM.explain(slow)
    assert "15 of 15 profiles are slower than 0.5 ms" in text
    servers = inst.tables["servers"].assign(capacity_mb=1.0)
    [text] = PROBLEM.explain(inst.replace(servers=servers))
    assert "need more memory than their server has" in text
    costly = inst.replace(applications=inst.tables["applications"].assign(energy_max_j=0.1))
    [text] = PROBLEM.explain(costly)
    assert "need more than 0.1 J" in text
    few: pd.DataFrame = inst.tables["applications"]
    assert solve(inst.replace(applications=few.assign(members_max=1))).cost["members"] == 1


def test_search_takes_prices() -> None:
    """With energy far too dear nobody is deployed, and the bound says so."""
    inst = drawn(0)
    found = search(inst, Prices(1.0, 0.0, energy=10.0), EXACT)
    assert found.placements == ((),)
    assert found.bound == 0
    assert error(inst, found.placements) == 1


@pytest.mark.parametrize("rule", ["cover", "majority", "plurality", "soft", "weighted"])
def test_votes_where_nobody_is_ever_right(rule: str) -> None:
    """Samples that no set can get right: the programme of the votes has no rows."""
    pool = Pool(["a", "b"], [30.0, 50.0], [1.0, 1.0])
    scores = np.array([[[0.3, 0.5, 0.5]], [[0.5, 0.5, 0.8]]])
    weight = [0.5, 1.0] if rule == "weighted" else None
    inst = from_predictions(
        pool, Fleet([60.0], [0.1]), (scores, np.zeros(1, dtype=int)), rule=rule, vote_weight=weight
    )
    assert [solve(inst, method=method).objective for method in ("votes", "table")] == [1.0, 1.0]
