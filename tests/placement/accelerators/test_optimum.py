"""The oracle: equal to brute force, to itself in another formulation, never below greedy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from optmodels import comparison
from optmodels.errors import UsageError
from optmodels.placement.accelerators import POLICIES
from optmodels.placement.accelerators.audit import read_placement
from optmodels.placement.accelerators.columns import columns_of
from optmodels.placement.accelerators.fitting import fits
from optmodels.placement.accelerators.model import (
    column_data,
    column_formulation,
    concrete_model,
    row_data,
    row_formulation,
)
from optmodels.placement.accelerators.optimum import solve
from optmodels.placement.accelerators.synthetic import generate
from optmodels.solver import compile_model, solve_model
from tests.placement.accelerators.instances import brute_force, drawn, instance

MIXED = ("gpu", "tpu")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "forms",
    [{}, {"second_moment": "collapsed", "sharing": "additive"}, {"concurrency_guard": 0.4}],
)
def test_columns_equal_brute_force(seed: int, forms: dict[str, object]) -> None:
    """With switches: the loss of the oracle is the least of all assignments."""
    inst = drawn(seed, **forms)
    plan = solve(inst, mip_gap=1e-9)
    assert plan.status == "optimal"
    assert plan.objective == pytest.approx(brute_force(inst), abs=1e-6)
    assert plan.bound == pytest.approx(plan.objective, abs=1e-5)
    assert plan.cost["spoilt"] == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("nodes", [("gpu", "gpu"), ("tpu", "tpu"), MIXED])
def test_rows_equal_brute_force_and_columns(seed: int, nodes: Sequence[str]) -> None:
    """Without switches: rows, columns and all assignments agree; the rows are exact."""
    inst = drawn(seed + 100, nodes=nodes, switch=False)
    rows, columns = (solve(inst, method=m, mip_gap=1e-9) for m in ("rows", "columns"))
    least = brute_force(inst)
    assert rows.objective == pytest.approx(least, abs=1e-6)
    assert columns.objective == pytest.approx(least, abs=1e-6)
    assert rows.cost["spoilt"] == columns.cost["spoilt"] == 0


def test_toy_by_hand() -> None:
    """A queue that holds two of three: the slow one makes the fast ones wait too long.

    Two of 10 ms at 10 per s and an SLO of 15 ms, one of 100 ms at 2 per s: its part of the wait
    alone is 20 / 1.6 ms.
    """
    inst = instance(
        [("fast", 10.0, 15.0), ("slow", 2.0, 300.0), ("fast", 10.0, 15.0)],
        [("fast", "tpu", 10.0), ("slow", "tpu", 100.0)],
        ["tpu"],
    )
    for method in ("rows", "columns"):
        plan = solve(inst, method=method)
        assert plan.objective == plan.bound == 1
        assert plan.tables["placement"]["app"].tolist() == ["a0", "a2"]


@pytest.mark.parametrize("seed", range(3))
def test_no_policy_is_better(seed: int) -> None:
    """Every policy loses at least as much; the model-driven ones spoil nothing."""
    inst = generate(seed, apps=14, gpus=1, tpus=1)
    found = comparison.compare(inst)
    assert set(found.plans) == set(POLICIES)
    assert (found.frame["ratio"] >= 1).all()
    careless = {"memory-first", "memory-best", "memory-worst", "grouping", "knapsack"}
    for name, plan in found.plans.items():
        if name in careless:
            continue
        assert plan.cost["spoilt"] == 0, name
        placement, _ = read_placement(inst, plan.tables)
        assert all(fits(inst.hardware, n, hosted) for n, hosted in enumerate(placement)), name


@pytest.mark.parametrize("seed", range(3))
def test_hosting_is_monotone(seed: int) -> None:
    """One more node, longer SLOs, a higher limit on the load: never more is lost."""
    inst = drawn(seed, nodes=("tpu",), apps=8)
    lost = solve(inst, mip_gap=1e-9).objective
    more = drawn(seed, nodes=("tpu", "tpu"), apps=8)
    apps = inst.tables["apps"]
    longer = inst.replace(apps=apps.assign(slo_ms=apps["slo_ms"] * 1.5))
    for easier in (more, longer, inst.replace(load_max=0.95)):
        assert solve(easier, mip_gap=1e-9).objective <= lost + 1e-6


def test_rows_bound_what_they_leave_out() -> None:
    """Rows without the time to load models lose at most what the exact columns lose."""
    for seed in range(4):
        inst = drawn(seed, nodes=("tpu", "tpu"))
        rows = row_data(inst.hardware, inst.applications)
        assert rows is not None and not rows.exact
        relaxed = solve_model(row_formulation(), data=rows.data).require()
        assert relaxed.objective <= solve(inst).objective + 1e-6


def test_a_cut_list_keeps_its_promises() -> None:
    """Few sets listed: the plan is audited, its bound holds, and the status claims no more."""
    inst = drawn(5, apps=10, nodes=("tpu", "tpu"), whole_values=True)
    exact = solve(inst, mip_gap=1e-9)
    cut = solve(inst, most_columns=20)
    assert cut.objective >= exact.objective
    assert cut.bound <= exact.objective
    assert cut.status == ("optimal" if cut.bound == cut.objective else "feasible")
    # Where rows say everything they step in, and nothing is lost.
    plain = drawn(5, apps=10, nodes=("tpu", "tpu"), switch=False, whole_values=True)
    assert solve(plain, most_columns=20).objective == solve(plain).objective


def test_a_time_limit_is_for_both_searches_of_a_cut_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows get half of it and the sets what is left, not the whole of it each."""
    limits: list[float] = []

    def watched(*words: object, **more: object) -> object:
        limits.append(float(str(more["time_limit_s"])))
        return solve_model(*words, **more)  # type: ignore[arg-type]

    inst = drawn(5, apps=10, nodes=("tpu", "tpu"), whole_values=True)
    monkeypatch.setattr("optmodels.solver.solve_model", watched)
    solve(inst, most_columns=20, time_limit_s=1000.0)
    assert len(limits) == 2
    assert 450 < limits[0] <= 500 < limits[1] <= 1000


def test_forms_of_ibis_are_not_pruned_like_ours() -> None:
    """Under these two forms a wait may fall when somebody joins: all three, and both, are hosted.

    Additive: 33 ms alone, 21 ms beside many small requests, of 25 promised. Collapsed: the tight
    one waits .137 and .127 ms beside either of two of one model, .110 ms beside both, of .120.
    """
    inst = instance(
        [("large", 20.0, 25.0), ("tiny", 200.0, 25.0)],
        [("large", "gpu", 20.0), ("tiny", "gpu", 0.1)],
        ["gpu"],
        sharing="additive",
    )
    assert solve(inst).objective == 0
    inst = instance(
        [("b", 10.0, 0.22), ("a", 10.0, 99.0), ("a", 20.0, 99.0)],
        [("a", "tpu", 0.1, 10.0), ("b", "tpu", 0.1)],
        ["tpu"],
        second_moment="collapsed",
    )
    assert solve(inst).objective == 0


def test_who_keeps_a_promise_by_being_there_is_there_once() -> None:
    """Only the busy one makes switches rare enough for its twins, and it is on one node.

    Were anybody free to leave any set, the oracle would host it on both nodes and claim all five.
    """
    inst = instance(
        [("o1", 20.0, 99.0), ("o2", 20.0, 99.0), *[("m", 1.0, 10.0)] * 2, ("m", 60.0, 10.0)],
        [("o1", "tpu", 1.0, 0, 400.0), ("o2", "tpu", 1.0, 0, 400.0), ("m", "tpu", 1.0, 10.0, 50.0)],
        ["tpu", "tpu"],
        frontend_mb=100.0,
    )
    assert solve(inst).objective == brute_force(inst) == 1


def test_methods_that_do_not_apply_are_refused() -> None:
    """Rows know neither switches nor additive sharing."""
    with pytest.raises(UsageError, match="columns"):
        solve(drawn(0), method="rows")
    with pytest.raises(UsageError, match="columns"):
        solve(drawn(0, nodes=("gpu",), sharing="additive"), method="rows")


def test_nobody_can_be_hosted() -> None:
    """Everything is lost, and that is proven."""
    inst = instance([("m", 10.0, 5.0)], [("m", "tpu", 10.0)], ["tpu"])
    plan = solve(inst)
    assert (plan.objective, plan.bound, plan.status) == (1.0, 1.0, "optimal")
    assert plan.tables["placement"].empty
    with pytest.raises(UsageError):
        concrete_model(inst)


def test_both_ways_to_the_solver_agree() -> None:
    """The compiled formulations and ordinary Pyomo models have one optimum, and no fallback."""
    for inst in (drawn(1), drawn(1, switch=False)):
        model = solve_model(concrete_model(inst), mip_gap=1e-9).require()
        assert model.objective == pytest.approx(solve(inst, mip_gap=1e-9).objective, abs=1e-6)
    inst = drawn(2, switch=False)
    rows = row_data(inst.hardware, inst.applications)
    assert rows is not None
    columns = column_data(columns_of(inst.hardware, inst.applications), inst.total_value)
    for formulation, data in ((row_formulation(), rows.data), (column_formulation(), columns)):
        arrays, objects = (
            compile_model(m, d)
            for m, d in ((formulation, data), (concrete_of(formulation, data), None))
        )
        assert (arrays.rows, arrays.columns) == (objects.rows, objects.columns)


def concrete_of(formulation, data):  # type: ignore[no-untyped-def]
    """A formulation with data as an ordinary Pyomo model."""
    from optmodels.solver.template import instance_of

    return instance_of(formulation, data)


def test_rows_of_many_applications_are_few() -> None:
    """200 applications on 20 nodes: rows of two or three coefficients but for the sums."""
    inst = generate(1, apps=200, gpus=20, tpus=0)
    rows = row_data(inst.hardware, inst.applications)
    assert rows is not None and rows.exact
    model = compile_model(row_formulation(), rows.data)
    pairs = len(rows.data["pairs"][0])
    assert model.rows <= 2 * pairs + 300
    assert np.isfinite(rows.data["part"]).all()
