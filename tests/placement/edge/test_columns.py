"""The relaxation by columns: bounds in every round, incomplete lists, dives, restarts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optmodels as om
from optmodels.errors import InfeasibleError, UsageError
from optmodels.placement.edge import closing, diving, prices
from optmodels.placement.edge import columns as search
from optmodels.placement.edge import fillings as rooms
from optmodels.placement.edge.columns import Columns, small_programme
from optmodels.placement.edge.diving import SHARES, dive
from optmodels.placement.edge.fillings import Servers, fillings_of
from optmodels.placement.edge.packing import pack
from optmodels.solver import Session
from tests.placement.edge.instances import changed, with_parameters


def question(seed=0, **sizes):
    """A question of some hundred arcs."""
    return om.generate("placement.edge", seed=seed, sites=6, applications=40, zones=3, **sizes)


@pytest.fixture
def poor_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One arc of each class and few fillings at the start: all others have to join by price."""
    monkeypatch.setattr(search, "FIRST_ARCS", 1)
    monkeypatch.setattr(search, "FEW_FILLINGS", 1)


def whole_relaxation(inst, servers, one):
    """Value of the relaxation with all columns at once."""
    everything = np.ones(len(inst.arcs[0]), dtype=np.bool_)
    left = None if one.left is not None else 1e4
    small = small_programme(inst, one, everything, servers.listed, left)
    return Session(small.model).solve().objective


@pytest.mark.usefixtures("poor_start")
@pytest.mark.parametrize("name", ["carbon", "energy", "latency", "intensity"])
@pytest.mark.parametrize("seed", [0, 1])
def test_columns_reach_the_whole_relaxation(seed: int, name: str) -> None:
    """Started with few columns, the search ends at the value of all of them, and says so.

    A dual read with the wrong sign, or a column that never joins, ends above it; a bound that
    counts a class twice ends below.
    """
    inst = question(seed)
    servers, one = Servers(inst), getattr(prices, name)(inst)
    whole = whole_relaxation(inst, servers, one)
    found = Columns(inst, servers, one).solve(1e-7)
    assert found.value == pytest.approx(whole, rel=1e-6)
    assert found.bound == pytest.approx(whole, rel=1e-6)


@pytest.mark.usefixtures("poor_start")
@pytest.mark.parametrize("gap", [0.5, 0.05, 0.005])
def test_a_bound_of_any_round_holds(gap: float) -> None:
    """However early the search stops, its bound is below the whole relaxation."""
    inst = question(2)
    servers, one = Servers(inst), prices.carbon(inst)
    found = Columns(inst, servers, one).solve(gap)
    assert found.bound <= whole_relaxation(inst, servers, one) * (1 + 1e-9)


def test_dives_end_in_plans_that_fit() -> None:
    """Each dive gives whole applications and fillings that the packing hands out."""
    inst = question(3)
    servers, one = Servers(inst), prices.carbon(inst)
    columns = Columns(inst, servers, one)
    found = columns.solve(1e-4)
    for share in SHARES:
        made = dive(columns, found, share)
        assert made is not None
        placement = pack(inst, servers, *made)
        assert np.array_equal(placement.square(inst)[inst.arcs], made[0])
        assert prices.total(inst, one, made[0], placement.on) >= found.bound


def test_dives_start_from_the_basis_of_the_relaxation(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few arcs a dive keeps, no shelf loses its row: it starts at the optimum."""
    monkeypatch.setattr(diving, "DEAR", 1e-6)
    monkeypatch.setattr(diving, "MORE_FILLINGS", 0)
    inst = question(3)
    one = prices.carbon(inst)
    columns = Columns(inst, Servers(inst), one)
    found = columns.solve(1e-9)
    small = diving.core(columns, found, None)
    d, g = (member[found.arcs] for member in inst.arcs)
    assert small.model.columns < int(found.arcs.sum()) + sum(len(f) for f in found.fillings)
    assert len(small.shelves) == len(set(zip(inst.kind[d].tolist(), g.tolist(), strict=True)))
    session = columns.session(small)
    assert session.solve().objective == pytest.approx(found.value, rel=1e-6)
    # One iteration may undo what the simplex method perturbs.
    assert session.highs.getInfo().simplex_iteration_count <= 1


def test_many_columns_are_closed_over_their_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit of columns a plan becomes better, and its bound stays the relaxation's.

    A core that proved something would raise the bound, which is wrong: it lacks columns.
    """
    inst = question(0)
    rough = om.solve(inst, method="columns", mip_gap=1e-4)
    monkeypatch.setattr(closing, "COLUMNS", 400)
    plan = om.solve(inst, mip_gap=1e-4)
    assert "closed" in plan.provenance.method
    assert plan.objective < rough.objective
    assert plan.bound == pytest.approx(rough.bound, rel=1e-12)
    assert plan.audit.ok
    monkeypatch.setattr(closing, "COLUMNS", 0)
    none = om.solve(inst, mip_gap=1e-4)
    assert none.objective == rough.objective
    assert "closed" not in none.provenance.method


@settings(deadline=None, derandomize=True, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_fillings_are_all_maximal_ones(seed: int) -> None:
    """Listed by enumeration, each fits, none can be added to, and every packing is below one."""
    rng = np.random.default_rng(seed)
    kinds = int(rng.integers(1, 4))
    take = np.round(rng.uniform(0.4, 2.5, (kinds, 4)), 1)
    free = np.round(rng.uniform(1.0, 5.0, 4), 1)
    wanted = rng.integers(0, 4, kinds)
    found = fillings_of(take, free, wanted)
    assert found.complete
    grids = np.meshgrid(*[np.arange(n + 1) for n in wanted], indexing="ij")
    every = np.stack([grid.ravel() for grid in grids], axis=1)
    fits = every[(every @ take <= free + 1e-9).all(axis=1)]
    above = (found.counts[None, :, :] >= fits[:, None, :]).all(axis=2)
    assert above.any(axis=1).all()
    for one in found.counts:
        assert (fits == one).all(axis=1).any()
        larger = (fits >= one).all(axis=1) & (fits > one).any(axis=1)
        assert not larger.any()


def test_servers_with_too_many_fillings_still_get_a_proven_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fillings that are not listed: the bound stays below the optimum, the plan stays sound."""
    inst = question(1)
    exact = om.solve(inst, mip_gap=1e-3)
    monkeypatch.setattr(rooms, "MOST", 3)
    assert not Servers(inst).complete
    rough = om.solve(inst)
    assert rough.bound <= exact.objective * (1 + 1e-9)
    assert rough.objective >= exact.bound * (1 - 1e-9)
    assert rough.status == "feasible" or rough.gap < 1e-4


def test_what_cannot_be_placed_is_explained() -> None:
    """Too far, no device, too large, too many: each reason in its words, none where all fit."""
    inst = question(4)
    assert om.explain(inst) == []
    for other, word in (
        (changed(inst, "applications", rtt_limit_ms=1.0), "latency"),
        (changed(inst, "servers", memory_gb=0.1), "room"),
        (changed(inst, "applications", count=40), "room"),
    ):
        with pytest.raises(InfeasibleError) as caught:
            om.solve(other)
        assert word in str(caught.value)
    many = with_parameters(changed(inst, "applications", count=40), unplaced_g=100.0)
    plan = om.solve(many, mip_gap=0.02)
    assert plan.cost["unplaced"] > 0
    with pytest.raises(UsageError, match="left out"):
        om.frontier(many)


def test_frontier_between_energy_and_carbon() -> None:
    """Along the front carbon falls where energy rises; its ends are the two optima."""
    inst = om.generate("placement.edge", seed=7, sites=4, applications=16, zones=3)
    front = om.frontier(inst, ("energy_kwh", "carbon_g"), points=5).frame
    assert front["energy_kwh"].is_monotonic_increasing
    assert front["carbon_g"].is_monotonic_decreasing
    assert front["carbon_g"].min() == pytest.approx(om.solve(inst).cost["carbon_g"], rel=1e-4)
