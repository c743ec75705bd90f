"""Plans made cheaper: never dearer, always sound, nothing left that one more move would gain."""

from __future__ import annotations

from functools import cache

import pytest

from optmodels.routing.pipeline import synthetic
from optmodels.routing.pipeline.assigning import assigned
from optmodels.routing.pipeline.audit import audit, tables_of
from optmodels.routing.pipeline.improving import bought_in_bundles, improved
from optmodels.routing.pipeline.optimum import graphs_of, solve, worth


@cache
def made(seed: int):
    """An instance with its steps, graphs and a random sound plan with all cards."""
    inst = synthetic.generate(seed, services=5, gpu_hosts=3, cpu_hosts=1, load_gpus=1.2)
    steps, layers = graphs_of(inst)
    free = dict.fromkeys(steps.offered, 0.0)
    start = assigned(steps, layers, prices=free, weights=lambda one: one.delays_ms)
    assert start is not None
    return inst, steps, layers, start


@pytest.mark.parametrize("seed", range(4))
def test_improved_plans_are_sound_and_cheaper_and_stay_so(seed: int) -> None:
    """What comes out keeps all limits, costs less, and is not improved a second time."""
    inst, steps, layers, start = made(seed)
    better = improved(steps, layers, start)
    first, second = (worth(steps, layers, plan) for plan in (start, better))
    assert second < first
    found = audit(inst, tables_of(inst, better))
    assert found.ok
    assert found.cost.total == pytest.approx(second, rel=1e-12)
    again = improved(steps, layers, better)
    assert worth(steps, layers, again) <= second * (1 + 1e-12)
    assert second >= solve(inst, mip_gap=1e-3).bound * (1 - 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_giving_cards_back_never_costs(seed: int) -> None:
    """From plans that are good already, no move is taken that loses."""
    inst, steps, layers, _ = made(seed)
    cheap = assigned(steps, layers, prices=steps.offered)
    assert cheap is not None
    before = worth(steps, layers, cheap)
    assert worth(steps, layers, improved(steps, layers, cheap)) <= before * (1 + 1e-12)
    assert audit(inst, tables_of(inst, improved(steps, layers, cheap))).ok


@pytest.mark.parametrize("seed", range(4))
def test_bundles_are_bought_only_if_they_pay(seed: int) -> None:
    """Starting from TCP alone the whole only gets cheaper; dear cards are not bought."""
    inst, steps, layers, _ = made(seed)
    tcp = assigned(steps, layers, prices={})
    assert tcp is not None and not tcp.cards
    bundles = [frozenset(steps.offered)]
    plan = bought_in_bundles(steps, layers, tcp, bundles)
    assert worth(steps, layers, plan) <= worth(steps, layers, tcp)
    assert audit(inst, tables_of(inst, plan)).ok
    hosts = inst.tables["hosts"].assign(rdma_usd_per_hour=1e3)
    dear_steps, dear_layers = graphs_of(inst.replace(hosts=hosts))
    dear = bought_in_bundles(dear_steps, dear_layers, tcp, bundles)
    assert not dear.cards
