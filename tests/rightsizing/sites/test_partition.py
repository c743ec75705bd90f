"""The joint linear programme by a partition of the slots: the same optimum, proven, and quickly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optmodels as om
from optmodels.errors import InfeasibleError, SolverError, UsageError
from optmodels.rightsizing.sites import partition
from optmodels.rightsizing.sites.audit import Fleet, cost_of
from optmodels.rightsizing.sites.dispatch import dispatch
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.layers import layers_of
from optmodels.rightsizing.sites.limits import explain
from optmodels.rightsizing.sites.optimum import solve
from optmodels.rightsizing.sites.partition import partitioned_sizes
from optmodels.solver import Status
from optmodels.solver.outcome import Outcome
from tests.rightsizing.sites.instances import fleet, small

STEADY = settings(deadline=None, derandomize=True, max_examples=60)
PRICES = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0])


@st.composite
def questions(draw: st.DrawFn) -> SitesInstance:
    """Small instances with every order of the prices, firm or not, with connections or without."""
    slots, sites = draw(st.sampled_from([1, 2, 7, 48])), draw(st.integers(1, 5))
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    level = draw(st.sampled_from([1.0, 60.0, 250.0, 2000.0]))
    demand: Any = level
    if draw(st.booleans()):
        demand = np.round(level * rng.uniform(0, 1.5, slots), 2) * (rng.random(slots) < 0.8)
        demand[0] = level
    more: dict[str, Any] = {
        "wind_usd_per_kwh": draw(PRICES),
        "gpu_capex_usd": draw(st.sampled_from([0.0, 4000.0, 8760.0, 20_000.0])),
        "backup_kw": draw(st.sampled_from([0.0, 0.0, 10.0, 80.0])),
        "backup_usd_per_kwh": draw(PRICES),
        "rtt_ms": np.where(rng.random(sites) < 0.2, 99.0, 1.0),
    }
    inst = small(seed, slots=slots, sites=sites, demand=demand, **more)
    # From what no fleet can do, and what only the largest can, to what is hardly a limit.
    room = draw(st.sampled_from([None, -0.1, 0.0, 0.02, 0.2, 0.5, 0.8]))
    if room is None:
        return inst
    can = np.minimum(inst.power_kw + inst.backup_kw, inst.most_gpus * inst.gpu_kw).sum(axis=1)
    served = float(np.minimum(inst.demand, can / inst.gpu_kw).sum() / inst.demand.sum())
    return inst.replace(unmet_share_max=min(max(1 - served + room * served, 0.0), 1.0))


@STEADY
@given(questions())
def test_it_is_the_linear_programme(inst: SitesInstance) -> None:
    """The objective of the whole programme, a bound that is no higher, and a plan that is sound.

    It would not be with the groups added up wrongly, a limit left out, prices beyond the ceiling,
    or sizes that are not made firm.
    """
    if explain(inst):
        with pytest.raises(InfeasibleError, match="no plan"):
            partitioned_sizes(inst)
        return
    whole = solve(inst, method="lp")
    plan = solve(inst, method="partition")
    sized = partitioned_sizes(inst)
    scale = max(abs(whole.objective), 1e-3)
    assert plan.status == "optimal"
    assert plan.audit.ok
    assert abs(plan.objective - whole.objective) <= 1e-8 * scale
    assert abs(sized.cost - plan.objective) <= 1e-9 * scale
    assert plan.bound is not None
    assert sized.bound <= sized.cost
    assert plan.objective - 2e-9 * scale <= plan.bound <= plan.objective
    # What is proven here is no more than the duals of the whole programme allow.
    assert sized.bound <= whole.objective + 1e-8 * scale


@pytest.mark.parametrize(
    ("wind", "backup"), [(1.0, 2.0), (2.0, 1.0), (1.0, 6.0), (6.0, 1.0), (5.0, 6.0), (6.0, 5.0)]
)
def test_every_order_of_the_prices(wind: float, backup: float) -> None:
    """Grid dearer than both sources, between them and cheaper, each way round, to a firm fleet."""
    for seed, share in ((0, None), (1, 0.75), (2, 0.6), (3, 0.5)):
        inst = small(
            seed,
            slots=40,
            demand=400.0,
            backup_kw=60.0,
            wind_usd_per_kwh=wind,
            backup_usd_per_kwh=backup,
            unmet_share_max=share,
        )
        whole = solve(inst, method="lp").objective
        sized = partitioned_sizes(inst)
        assert sized.optimal
        assert sized.cost == pytest.approx(whole, rel=1e-9)
        assert sized.bound == pytest.approx(whole, rel=2e-9)


@STEADY
@given(questions(), st.integers(0, 10**6))
def test_layers_cost_what_the_dispatch_costs(inst: SitesInstance, seed: int) -> None:
    """The cost as a function of sizes alone is that of the audited least-cost dispatch."""
    if explain(inst):
        return
    layers = layers_of(inst)
    if not len(layers.cap):
        return
    draw = np.random.default_rng(seed).uniform(0, 1, len(layers.most)) * layers.most
    own = layers.made_firm(draw, layers.missing(draw))
    gpus = np.zeros(len(inst.sites))
    gpus[layers.sites] = own
    made = Fleet(gpus, np.zeros_like(gpus))
    total = cost_of(inst, made, dispatch(inst, made)).total
    assert layers.cost(own, layers.missing(own)) == pytest.approx(total, rel=1e-9, abs=1e-9)


@STEADY
@given(questions(), st.integers(0, 10**6))
def test_any_prices_prove_a_bound(inst: SitesInstance, seed: int) -> None:
    """Whatever the duals are, true or not, what they prove is below the optimum."""
    if explain(inst):
        return
    layers = layers_of(inst)
    if not layers.demand.any():
        return
    search = partition._Search(layers)
    rng = np.random.default_rng(seed)
    rows = search.size[1] + len(search._capped)
    duals = rng.uniform(-3, 3, rows) * len(layers.demand) * rng.choice([0.1, 1.0, 10.0])
    search._price(search._prices_in(duals))
    best = solve(inst, method="lp").objective
    assert search.bound <= best + 1e-7 * max(abs(best), 1e-3)


@STEADY
@given(questions(), st.floats(0, 0.95))
def test_made_firm_goes_no_further_than_needed(inst: SitesInstance, share: float) -> None:
    """Sizes are drawn just to the limit: a little nearer to where they came from breaks it."""
    if explain(inst):
        return
    layers = layers_of(inst)
    start = share * layers.most
    firm = layers.made_firm(start, layers.missing(start))
    hard = np.isinf(layers.beyond_usd)
    total = float(layers.demand.sum())
    left = layers.left(layers.missing(firm))[hard]
    assert (left <= layers.cap[hard] + 1e-11 * total).all()
    if (firm != start).any():
        nearer = firm + 1e-6 * (start - firm)
        assert (layers.left(layers.missing(nearer))[hard] > layers.cap[hard]).any()


def test_by_hand() -> None:
    """The worked number of the page: 3 and 1 GPUs, 41 USD, which no site by itself would choose."""
    inst = fleet([[4.0, 0.0], [3.0, 1.0], [3.0, 2.0], [1.0, 6.0]], demand=4.0)
    sized = partitioned_sizes(inst)
    assert sized.gpus == pytest.approx([3, 1])
    assert sized.cost == pytest.approx(41, rel=1e-12)
    assert sized.bound == pytest.approx(41, rel=1e-12)
    assert sized.optimal


@pytest.mark.parametrize(
    ("inst", "gpus", "cost"),
    [
        # One slot: 3 GPUs at 1 + 1, the fourth on the grid at 4.
        (fleet([[3.0]], demand=4.0), [3.0], 10.0),
        # No wind anywhere.
        (fleet([[0.0, 0.0]] * 2, demand=4.0), [0.0, 0.0], 32.0),
        # Wind as dear as a GPU-hour on the grid, and dearer.
        (fleet([[4.0]] * 2, demand=4.0, wind_usd_per_kwh=4.0), [0.0], 32.0),
        (fleet([[4.0]] * 2, demand=4.0, wind_usd_per_kwh=9.0), [0.0], 32.0),
        # Dearer, but a quarter at most may be left: 3 GPUs cost 6, their wind 54, the grid 8.
        (fleet([[4.0]] * 2, demand=4.0, wind_usd_per_kwh=9.0, unmet_share_max=0.25), [3.0], 68.0),
        # Free wind.
        (fleet([[4.0]] * 2, demand=4.0, wind_usd_per_kwh=0.0), [4.0], 8.0),
        # Free wind and free GPUs cost nothing.
        (fleet([[4.0]] * 2, demand=3.0, wind_usd_per_kwh=0.0, gpu_capex_usd=0.0), None, 0.0),
        # Nobody asks in the second slot.
        (fleet([[4.0], [4.0]], demand=[4.0, 0.0]), [4.0], 12.0),
        # The one good site is too far away.
        (fleet([[4.0, 4.0]], demand=4.0, rtt_ms=[99.0, 1.0]), [0.0, 4.0], 8.0),
    ],
)
def test_edges_by_hand(inst: SitesInstance, gpus: list[float] | None, cost: float) -> None:
    """What is at the edge of the method is right to the last digit."""
    plan = solve(inst, method="partition")
    assert plan.status == "optimal"
    assert plan.objective == pytest.approx(cost, rel=1e-12, abs=1e-12)
    assert plan.bound == pytest.approx(cost, rel=1e-12, abs=1e-12)
    if gpus is not None:
        assert partitioned_sizes(inst).gpus == pytest.approx(gpus, abs=1e-9)


@pytest.mark.parametrize(("power", "usd"), [(1e-4, 1.0), (1e5, 1e-6), (1e-2, 1e5)])
def test_units_do_not_matter(power: float, usd: float) -> None:
    """Smaller or larger powers and prices scale the cost, and the proof is as good."""
    rng = np.random.default_rng(4)
    wind = np.round(rng.uniform(0, 50, (60, 3)), 2)
    prices = {"gpu_capex_usd": 8760.0, "wind_usd_per_kwh": 1.0, "grid_usd_per_kwh": 3.0}
    base = partitioned_sizes(fleet(wind, demand=60.0, unmet_share_max=0.4, **prices))
    dearer = {name: usd * price for name, price in prices.items()}
    inst = fleet(
        power * wind,
        demand=60.0 * power,
        unmet_share_max=0.4,
        nameplate_kw=power * wind.max(axis=0),
        **dearer,
    )
    scaled = partitioned_sizes(inst)
    assert scaled.optimal
    assert scaled.cost == pytest.approx(base.cost * power * usd, rel=1e-8)


@pytest.mark.parametrize("sizes", [{"hours": 5376}, {"hours": 168, "sites": 96}])
def test_programmes_stay_small(sizes: dict[str, Any]) -> None:
    """Neither rounds nor groups grow with slots and sites, or nothing would be won.

    With 5376 slots the whole programme has as many rows of demand, the small ones some ten.
    """
    asked = 250.0 * sizes.get("sites", 4)
    inst = om.generate("rightsizing.sites", seed=2, demand_gpus=asked, **sizes)
    sized = partitioned_sizes(inst)
    assert sized.optimal
    assert sized.rounds <= 25
    assert sized.groups <= 60


def test_too_little_time_gives_a_feasible_plan() -> None:
    """Without time for one round there are sizes and a bound, and nobody calls them optimal."""
    inst = small(1, demand=300.0, unmet_share_max=0.7)
    plan = solve(inst, method="partition", time_limit_s=1e-9)
    best = solve(inst, method="lp").objective
    assert plan.status == "feasible"
    assert plan.audit.ok
    assert plan.bound is not None
    assert plan.bound < best < plan.objective


def answers(monkeypatch: pytest.MonkeyPatch, change: Any) -> list[Outcome]:
    """Change what the solver answers; the list of what it said."""
    said: list[Outcome] = []
    solver = partition._Solver.solve

    def changed(self: Any, model: Any, seconds: float) -> Outcome:
        said.append(solver(self, model, seconds))
        return change(said[-1])

    monkeypatch.setattr(partition._Solver, "solve", changed)
    return said


def test_an_interruption_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C within the solver no other round begins; the plan says that it is not proven."""
    inst = small(1, demand=300.0)
    said = answers(monkeypatch, lambda found: replace(found, interrupted=True))
    plan = solve(inst, method="partition")
    assert len(said) == 1
    assert plan.status == "feasible"
    monkeypatch.undo()
    assert plan.bound is not None
    assert plan.bound <= solve(inst, method="lp").objective * (1 + 1e-9)


def test_wrong_duals_never_prove_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver whose duals are wrong makes the bound worse, never wrong."""
    inst = small(3, demand=300.0, unmet_share_max=0.6, backup_kw=20.0)
    best = solve(inst, method="lp").objective
    answers(
        monkeypatch,
        lambda found: replace(found, row_dual=1.3 * found.row_dual + 0.1),  # type: ignore[operator]
    )
    sized = partitioned_sizes(inst)
    assert sized.bound <= best * (1 + 1e-9)
    assert sized.cost >= best * (1 - 1e-9)


def test_a_failing_solver_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small programme always has an optimum: who says otherwise is wrong."""
    from optmodels.solver import Session

    monkeypatch.setattr(Session, "solve", lambda self: Outcome(Status.INFEASIBLE))
    with pytest.raises(SolverError, match="groups of slots"):
        partitioned_sizes(small(1, demand=300.0))


@pytest.mark.parametrize(
    ("inst", "options", "words"),
    [
        (small(1, battery_kwh=1.0), {}, "batteries"),
        (small(1, module_gpus=4), {}, "neither modules"),
        (small(1, opening=10.0), {}, "opening costs"),
        (small(1), {"no_such": 1}, "no_such"),
    ],
)
def test_what_does_not_fit_is_refused(
    inst: SitesInstance, options: dict[str, object], words: str
) -> None:
    """Batteries, modules, openings and unknown options are no business of this method."""
    with pytest.raises(UsageError, match=words):
        solve(inst, method="partition", options=options)


def test_auto_parts_the_slots() -> None:
    """Where sites hang together, without integers and batteries, it is what "auto" does."""
    assert "partition" in solve(small(1, demand=200.0)).provenance.method
    assert "partition" not in solve(small(1, demand=200.0, battery_kwh=5.0)).provenance.method
    assert "partition" not in solve(small(1, demand=200.0, module_gpus=8)).provenance.method
