"""The optimum is the optimum: by hand, by trying everything, by three methods, by two models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optmodels as om
from optmodels.placement.edge import prices
from optmodels.placement.edge.audit import read_placement
from optmodels.placement.edge.instance import EdgeInstance
from optmodels.placement.edge.model import concrete_model, formulation, model_data
from optmodels.placement.edge.optimum import Limits, search
from optmodels.solver import compile_model, solve_model
from tests.placement.edge.instances import assignments, brute_force, changed, random_case, toy
from tests.solver.comparing import assert_same

SEEDS = st.integers(0, 10**6)


def test_toy_by_hand() -> None:
    """All figures of the worked example: 16 assignments, optimum, both baselines, the saving.

    An optimum that charges the server that runs already would find 137.9 g for another reason; one
    that forgets base power would place the second application elsewhere.
    """
    inst = toy()
    every = assignments(inst)
    assert len(every) == 16
    plan = om.solve(inst, mip_gap=0)
    assert plan.cost["incremental_g"] == pytest.approx(125.9, abs=1e-9)
    assert plan.objective == pytest.approx(137.9, abs=1e-9)
    assert plan.bound == pytest.approx(137.9, rel=1e-6)
    assert plan.status == "optimal"
    where = plan.tables["placements"].set_index("name")["group"].to_dict()
    assert where == {"a1": "s3", "a2": "s2", "a3": "s2"}
    assert min(grams for _, grams, _ in every) == pytest.approx(125.9)
    assert min(kwh for _, _, kwh in every) == pytest.approx(0.35)
    assert plan.cost["rtt_ms"] == pytest.approx(19)
    found = om.compare(inst)
    incremental = {name: p.cost["incremental_g"] for name, p in found.plans.items()}
    assert incremental["latency-aware"] == pytest.approx(183.0)
    assert found.plans["latency-aware"].cost["rtt_ms"] == pytest.approx(11)
    assert incremental["intensity-aware"] == pytest.approx(141.4)
    assert incremental["energy-aware"] in (pytest.approx(147.5), pytest.approx(150.0))
    assert incremental["carbon-edge"] == pytest.approx(125.9)
    ran = 12.0
    assert found.plans["energy-aware"].cost["energy_kwh"] == pytest.approx(0.35 + 0.02)
    totals = found.frame.set_index("policy")["saving"]
    assert totals["optimum"] == pytest.approx(1 - (125.9 + ran) / (183.0 + ran), abs=1e-6)


@settings(deadline=None, derandomize=True, max_examples=35)
@given(seed=SEEDS)
def test_aggregated_optimum_is_that_of_single_servers(seed: int) -> None:
    """Every method equals the best of all assignments of single applications to single servers.

    Catches sums of resources that no packing reaches, applications that are counted twice, servers
    that are paid for though they ran, and bounds above the truth.
    """
    inst = random_case(seed)
    truth = brute_force(inst)
    for method in ("milp", "auto"):
        plan = om.solve(inst, method=method, mip_gap=0)
        assert plan.objective == pytest.approx(truth, rel=1e-6, abs=1e-6), method
        assert plan.bound <= truth * (1 + 1e-9) + 1e-9
    rough = om.solve(inst, method="columns", mip_gap=0)
    assert rough.bound - 1e-6 <= truth <= rough.objective + 1e-6


def test_sums_of_resources_would_lie() -> None:
    """Eight applications of 1.5 cores need four servers of 4, though their sum is 12.

    A formulation that sums resources up would switch on three servers, and no packing exists.
    """
    inst = om.generate("placement.edge", seed=0, sites=1, zones=1, applications=8)
    tables = inst.tables
    one = tables["servers"].iloc[:1].assign(servers=5, cpu_cores=4.0, base_kw=0.1)
    tables["servers"] = one
    profile = tables["profiles"]
    tables["profiles"] = profile.assign(
        cpu_cores=1.5, memory_gb=0.0, gpu_memory_gb=0.0, gpu_share=0.0
    )
    made = type(inst)(inst.parameters.model_dump(), tables)
    plan = om.solve(made, mip_gap=0)
    assert plan.cost["servers_on"] == 4
    assert plan.tables["placements"].groupby("server")["count"].sum().max() == 2


@pytest.mark.parametrize("seed", range(12))
def test_compiled_template_is_the_concrete_model(seed: int) -> None:
    """The matrix from named arrays equals Pyomo's own of the same question, entry by entry."""
    inst = random_case(seed, moves_max_gb=1.0 if seed % 3 == 0 else None)
    counted = inst.parameters.moves_max_gb is not None
    fast = compile_model(formulation(counted), model_data(inst))
    assert_same(fast, compile_model(concrete_model(inst)))
    assert solve_model(inst.model()).objective == pytest.approx(
        solve_model(formulation(counted), data=model_data(inst)).objective, rel=1e-6
    )


@settings(deadline=None, derandomize=True, max_examples=12)
@given(seed=SEEDS, name=st.sampled_from(["carbon", "energy", "latency", "intensity"]))
def test_all_prices_agree_with_the_formulation(seed: int, name: str) -> None:
    """Search by columns and the whole formulation find one value, for every objective."""
    inst = random_case(seed)
    one = getattr(prices, name)(inst)
    whole = search(inst, one, Limits("milp", mip_gap=0))
    found = search(inst, one, Limits("auto", mip_gap=0))
    assert found.value == pytest.approx(whole.value, rel=1e-6, abs=1e-6)
    assert found.bound <= whole.value + 1e-6 * (1 + abs(whole.value))


def test_generated_question_has_one_optimum_by_both_methods() -> None:
    """A question that needs columns, dives and all three closing programmes: one optimum."""
    inst = om.generate("placement.edge", seed=3, sites=6, applications=30, zones=3)
    exact = om.solve(inst, method="milp")
    found = om.solve(inst)
    assert found.objective <= exact.objective * (1 + 3e-4)
    assert max(found.bound, exact.bound) <= min(found.objective, exact.objective) * (1 + 1e-9)
    placement, wrong = read_placement(inst, found.tables)
    assert not wrong
    assert np.array_equal(placement.square(inst).sum(axis=1), inst.count)


@pytest.mark.parametrize("method", ["milp", "columns", "auto"])
def test_moves_without_choice_are_paid_once(method: str) -> None:
    """An application that may not stay where it runs: its move is a constant, counted once.

    The value of a search counted it twice, and the search refused its own plan.
    """
    inst = changed(toy(unplaced_g=1000.0, move_kwh_per_gb=0.01), "applications", rtt_limit_ms=5.0)
    inst = changed(inst, "servers", running=1)
    tables = inst.tables
    # Six milliseconds away, where five are allowed.
    tables["placed"] = pd.DataFrame({"name": ["a1"], "group": ["s2"], "count": [1]})
    moved = EdgeInstance(inst.parameters.model_dump(), tables)
    before, after = (om.solve(one, method=method, mip_gap=0.0) for one in (inst, moved))
    assert after.cost["moves_g"] == pytest.approx(0.01 * (600 + 350 + 80) / 3)
    assert after.objective == pytest.approx(before.objective + after.cost["moves_g"])
    assert after.bound <= after.objective
