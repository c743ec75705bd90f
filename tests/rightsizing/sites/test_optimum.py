"""The oracle: by hand, against brute force and theory, and one method against another."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InfeasibleError, SolverError, UsageError
from optmodels.rightsizing.sites import optimum
from optmodels.rightsizing.sites.audit import Fleet, cost_of, read_sizes
from optmodels.rightsizing.sites.dispatch import dispatch
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.limits import explain
from optmodels.rightsizing.sites.model import formulation, model_data
from optmodels.rightsizing.sites.optimum import separate_optimum, solve
from optmodels.rightsizing.sites.sizing import newsvendor_size
from optmodels.solver import solve_model
from tests.rightsizing.sites.instances import fleet, small

STEADY = settings(deadline=None, derandomize=True, max_examples=25)


def sizes(inst: SitesInstance, plan: Any) -> list[float]:
    """GPUs of each site of a plan."""
    return read_sizes(inst, plan.tables)[0].gpus.tolist()


def cost(inst: SitesInstance, gpus: Any) -> float:
    """Total cost of sizes without batteries."""
    made = Fleet(np.asarray(gpus, dtype=float), np.zeros(len(inst.sites)))
    return cost_of(inst, made, dispatch(inst, made)).total


def test_one_site_by_hand() -> None:
    """K = 1, c_g = 4, wind 1: v = 3. Power 0, 2, 4 at a demand of 4.

    Each of the first two GPUs costs 3 and is useful in two hours: gains 3. The third is useful in
    one hour: 3 - 3 = 0. So the least cost is that of 2 GPUs: 12 hours on the grid cost 48, less
    4 useful hours at 3, plus 6 installed: 42.
    """
    inst = fleet([[0.0], [2.0], [4.0]], demand=4.0)
    plan = solve(inst)
    assert plan.objective == pytest.approx(42)
    assert plan.bound == pytest.approx(42)
    assert sizes(inst, plan) == [2]


def test_demand_couples_sites_by_hand() -> None:
    """Two sites whose wind takes turns, beside two that share one demand.

    Power (4, 0) and (0, 4), demand 4: each site is useful in one of two hours: gain 3 - 2 per GPU;
    4 GPUs at each cost 16 and 8 of energy, against 32 on the grid. Power (4, 4) twice: only one
    fleet of 4 has a demand to serve: 8 + 8 again, but a second one would serve nobody.
    """
    turns = fleet([[4.0, 0.0], [0.0, 4.0]], demand=4.0)
    plan = solve(turns)
    assert plan.objective == pytest.approx(24)
    assert sizes(turns, plan) == pytest.approx([4, 4])
    rivals = fleet([[4.0, 4.0], [4.0, 4.0]], demand=4.0)
    plan = solve(rivals)
    assert plan.objective == pytest.approx(16)
    assert sum(sizes(rivals, plan)) == pytest.approx(4)
    assert separate_optimum(rivals) is None


def test_battery_by_hand() -> None:
    """Wind 4, 0 at a demand of 2; a lossless battery of 2 kWh costs 1 USD for two hours.

    Two GPUs run on wind in hour 0, and on 2 kWh stored then in hour 1: installed 4, battery 1,
    energy 4: 9 USD, against 4 + 2 + 8 = 14 without, and 16 on the grid.
    """
    inst = fleet(
        [[4.0], [0.0]],
        demand=2.0,
        battery_kwh=2.0,
        battery_hours=1.0,
        battery_efficiency=1.0,
        battery_usd_per_kwh_year=8760 / 4,
    )
    plan = solve(inst)
    assert plan.objective == pytest.approx(9)
    assert plan.cost["battery_kwh"] == pytest.approx(2)
    # At half the power it gives one GPU-hour: 4 + 1 + 3 and one on the grid.
    assert solve(inst.replace(battery_hours=2.0)).objective == pytest.approx(12)
    assert solve(inst.replace(battery_efficiency=0.5)).objective > 9


def test_backup_by_hand() -> None:
    """A grid connection of 1 kW at 2 USD: GPUs that stand are useful in calm hours, too.

    Wind 2, 0 at a demand of 2. Two GPUs (4 USD) serve 2 on wind and 1 on the connection: 4 + 2 + 2,
    and one GPU-hour is left to the grid: 12 in all. One GPU would cost 2 + 1 + 2 and leave 2: 13.
    """
    inst = fleet([[2.0], [0.0]], demand=2.0, backup_kw=1.0, backup_usd_per_kwh=2.0)
    assert solve(inst).objective == pytest.approx(12)
    assert cost(inst, [1.0]) == pytest.approx(13)


def test_opening_and_modules_by_hand() -> None:
    """A site opens when its gain pays for it; modules are rounded to the better neighbour.

    Power 5 in both hours at v = 3, K = 1: each GPU gains 2 an hour. Modules of 2: four of five.
    An opening of 16 USD eats the gain of 4 GPUs over two hours; 15 leaves 1.
    """
    inst = fleet([[5.0], [5.0]], demand=100.0, module_gpus=2, nameplate_kw=[6.0])
    # Six GPUs: 12 installed, 10 useful: the gain is 30 - 12 = 18, more than 24 - 8 = 16 of four.
    assert sizes(inst, solve(inst)) == [6]
    for opening, opened in ((17.9, True), (18.1, False)):
        yearly = opening * 8760 / 2
        tables = inst.tables["sites"].assign(opening_usd_per_year=yearly)
        for method in ("segments", "milp"):
            dear = inst.replace(sites=tables)
            assert (sum(sizes(dear, solve(dear, method=method))) > 0) is opened


@pytest.mark.parametrize("seed", range(6))
def test_lp_sizes_are_quantiles_without_coupling(seed: int) -> None:
    """With demand to spare each site of the joint LP is its newsvendor, up to one sample."""
    inst = small(seed, slots=48)
    plan = solve(inst, method="lp")
    for s, size in enumerate(sizes(inst, plan)):
        fed = np.sort(inst.power_kw[:, s] / inst.gpu_kw)
        best = newsvendor_size(fed, inst.break_even)
        rank = int(np.searchsorted(fed, best))
        low, high = fed[max(rank - 1, 0)], fed[min(rank + 1, fed.size - 1)]
        assert low - 1e-6 <= size <= high + 1e-6
    one_by_one = solve(inst, method="segments")
    assert plan.objective == pytest.approx(one_by_one.objective, rel=1e-9)


@pytest.mark.parametrize("demand", [3.0, 7.0, 100.0])
@pytest.mark.parametrize("seed", range(4))
def test_brute_force(seed: int, demand: float) -> None:
    """Whole GPUs at two or three sites, with openings: no choice is cheaper than the MILP's."""
    rng = np.random.default_rng(seed)
    count = 2 + seed % 2
    inst = fleet(
        rng.integers(0, 6, size=(5, count)).astype(float),
        demand=demand,
        nameplate_kw=np.full(count, 5.0),
        opening=rng.uniform(0, 8, count) * 8760 / 5,
        backup_kw=float(seed == 3),
        module_gpus=1,
    )
    best = min(cost(inst, choice) for choice in itertools.product(range(6), repeat=count))
    plan = solve(inst, method="milp", mip_gap=0.0)
    assert plan.objective == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_relaxation_and_rules_are_on_their_sides(seed: int) -> None:
    """LP bound <= MILP <= any simple size, with openings, modules, firmness and demand."""
    inst = small(
        seed, demand=300.0, module_gpus=16, opening=3e4, unmet_share_max=0.75, backup_kw=10.0
    )
    relaxed: Any = solve_model(formulation(), data=model_data(inst, integer=False)).require()
    plan = solve(inst, mip_gap=0.0)
    assert relaxed.objective <= plan.objective * (1 + 1e-9)
    assert plan.bound is not None
    assert plan.bound >= relaxed.objective * (1 - 1e-9)
    quantiles = inst.whole_modules(np.quantile(inst.power_kw, 0.6, axis=0))
    assert plan.objective <= cost(inst, quantiles) * (1 + 1e-9)


@STEADY
@given(st.integers(0, 10**6), st.floats(20, 900))
def test_joint_is_never_worse_than_site_by_site(seed: int, demand: float) -> None:
    """The joint optimum costs no more than each site's own best size, whatever the demand."""
    inst = small(seed, slots=24, demand=demand)
    own = [newsvendor_size(inst.power_kw[:, s], inst.break_even) for s in range(3)]
    assert solve(inst, method="lp").objective <= cost(inst, own) * (1 + 1e-9)


@STEADY
@given(st.integers(0, 10**6), st.floats(0.3, 0.95), st.booleans())
def test_firm_fleets_are_firm(seed: int, share: float, backup: bool) -> None:
    """The fleet keeps its promise, and a stronger promise costs no less."""
    inst = small(seed, slots=24, demand=250.0, unmet_share_max=share, backup_kw=40.0 * backup)
    if explain(inst):
        with pytest.raises(InfeasibleError, match="firmness"):
            solve(inst)
        return
    plan = solve(inst)
    assert plan.cost["unmet_gpu_hours"] <= share * 250 * 24 * (1 + 1e-6)
    free = solve(inst.replace(unmet_share_max=None))
    assert plan.objective >= free.objective * (1 - 1e-7)


@pytest.mark.parametrize("backup", [0.0, 30.0])
def test_closed_form_dispatch_is_the_linear_programme(backup: float) -> None:
    """Merit order and LP cost the same for any sizes, firm or not, whichever source is cheaper."""
    for seed, prices in enumerate(
        (
            {},
            {"backup_usd_per_kwh": 0.5},
            {"backup_usd_per_kwh": 9.0, "unmet_share_max": 0.5},
            {"wind_usd_per_kwh": 5.0, "backup_usd_per_kwh": 6.0, "unmet_share_max": 0.6},
            {"wind_usd_per_kwh": 5.0, "backup_usd_per_kwh": 4.5, "unmet_share_max": 0.6},
        )
    ):
        inst = small(seed, slots=30, demand=150.0, backup_kw=backup, **prices)
        gpus = 0.8 * inst.most_gpus
        data = model_data(inst, fixed=(gpus, np.zeros(3)))
        direct: Any = solve_model(formulation(), data=data).require()
        assert cost(inst, gpus) == pytest.approx(direct.objective, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_reduced_proves_a_bound(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Means of groups of slots: the bound is below the optimum, the plan above; more is nearer."""
    inst = small(
        seed, slots=200, demand=300.0, unmet_share_max=0.8, module_gpus=8, backup_kw=5.0 * seed
    )
    exact = solve(inst, mip_gap=1e-6)
    gaps = []
    for groups in (5, 200):
        monkeypatch.setattr(optimum, "GROUPS", groups)
        plan = solve(inst, method="reduced", mip_gap=1e-6)
        assert plan.bound is not None
        assert plan.bound <= exact.objective * (1 + 1e-6)
        assert plan.objective >= exact.objective * (1 - 1e-6)
        gaps.append(plan.gap)
    assert gaps[1] == pytest.approx(0, abs=1e-5)
    assert gaps[0] > gaps[1]


def test_large_instances_are_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a limit on, "auto" reduces where there are integers and no battery."""
    monkeypatch.setattr(optimum, "LARGE", 100)
    inst = small(1, demand=200.0, module_gpus=8)
    assert "means of" in solve(inst).provenance.method
    assert "means of" not in solve(small(1, demand=200.0)).provenance.method
    assert "one by one" in solve(small(1)).provenance.method
    battery = small(1, slots=20, demand=200.0, battery_kwh=10.0)
    assert "linear" in solve(battery).provenance.method


@pytest.mark.parametrize(
    ("inst", "method", "options", "words"),
    [
        (small(1, demand=50.0), "segments", {}, "hang together"),
        (small(1, module_gpus=4), "lp", {}, "neither modules"),
        (small(1), "segments", {"presolve": "off"}, "no solver options"),
        (small(1, battery_kwh=1.0), "reduced", {}, "batteries"),
    ],
)
def test_methods_that_do_not_fit(
    inst: SitesInstance, method: str, options: dict[str, object], words: str
) -> None:
    """A method that is not made for an instance says so."""
    with pytest.raises(UsageError, match=words):
        solve(inst, method=method, options=options)


def test_a_wrong_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An "optimum" that simple sizes undercut is a mistake of the method, and never returned."""
    inst = small(2, demand=400.0)
    bad = Fleet(inst.most_gpus, np.zeros(3))
    total = cost_of(inst, bad, dispatch(inst, bad)).total
    monkeypatch.setattr(optimum, "separate_optimum", lambda _: (bad, total))
    with pytest.raises(SolverError, match="simple sizes"):
        solve(inst)


def test_explain_names_what_conflicts() -> None:
    """Firmness, what the largest fleet leaves, batteries, far sites and calm are all said."""
    inst = fleet(
        [[4.0, 4.0], [0.0, 0.0]],
        demand=4.0,
        rtt_ms=[1.0, 99.0],
        battery_kwh=1.0,
        unmet_share_max=0.1,
    )
    text = " ".join(explain(inst))
    for word in ("0.1", "leaves 0.5", "batteries", "s1", "1 of 2 slots"):
        assert word in text
    # The battery alone can make the difference.
    enough = fleet(
        [[8.0], [0.0]],
        demand=4.0,
        battery_kwh=4.0,
        battery_efficiency=1.0,
        battery_hours=1.0,
        unmet_share_max=0.1,
    )
    assert explain(enough) == []
    assert solve(enough).cost["unmet_gpu_hours"] <= 0.8 + 1e-6


def test_pyomo_model_is_the_same() -> None:
    """An ordinary Pyomo model of the instance has the same optimum."""
    inst = small(
        3,
        slots=12,
        demand=200.0,
        battery_kwh=20.0,
        backup_kw=5.0,
        module_gpus=8,
        opening=100.0,
        unmet_share_max=0.9,
    )
    found: Any = solve_model(inst.model(), mip_gap=0.0)
    assert found.objective == pytest.approx(solve(inst, mip_gap=0.0).objective, rel=1e-7)
