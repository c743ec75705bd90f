"""The rules: all keep the limits, none beats the optimum, each does what it says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import optmodels as om
from optmodels import registry
from optmodels.errors import UsageError
from optmodels.routing.pipeline import POLICIES, synthetic
from optmodels.routing.pipeline.replay import PipelineEnvironment, decisions
from tests.routing.pipeline.instances import chain


@cache
def compared(seed: int):
    """Every rule beside the optimum."""
    return om.compare(synthetic.generate(seed, services=4, gpu_hosts=3, cpu_hosts=1))


@pytest.mark.parametrize("seed", range(3))
def test_every_rule_makes_a_sound_plan_that_the_optimum_does_not_lose_to(seed: int) -> None:
    """Audited by `compare`, which also refuses a ratio below one."""
    frame = compared(seed).frame
    assert set(frame["policy"]) == {"optimum", *POLICIES}
    assert (frame["ratio"] >= 1).all()
    assert frame["slowest"].max() <= 1 + 1e-9
    assert frame["fullest"].max() <= 1 + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_rules_do_what_they_say(seed: int) -> None:
    """No cards with TCP alone; least latency by the fastest; GPUDirect before RDMA before TCP."""
    found = compared(seed)
    frame = found.frame.set_index("policy")
    assert frame.loc["all-tcp", ["cards_usd", "rdma_share"]].tolist() == [0, 0]
    assert frame.loc["min-latency", "latency_ms"] == frame["latency_ms"].min()
    kinds = {name: set(plan.tables["routes"]["transport"]) for name, plan in found.plans.items()}
    assert "gpudirect" not in kinds["all-rdma"]
    assert "rdma" in kinds["all-rdma"]
    assert "gpudirect" in kinds["gpudirect-first"]
    hops = {n: (p.tables["routes"]["transport"] == "local").sum() for n, p in found.plans.items()}
    assert hops["colocated"] == max(hops.values())
    assert frame.loc["greedy-cards", "total"] <= frame.loc["all-tcp", "total"] + 1e-12


def test_random_routes_depend_on_their_seed() -> None:
    """The same seed gives the same routes."""
    inst = synthetic.generate(1, services=4)

    def routes(seed: int):
        return om.compare(inst, ["random"], seed=seed, optimum=optimum).plans["random"].objective

    optimum = om.solve(inst, mip_gap=0.05)
    assert routes(0) == routes(0)
    assert len({routes(seed) for seed in range(4)}) > 1


def test_a_rule_without_a_way_is_skipped_with_its_reason() -> None:
    """A limit that TCP cannot keep: the rule says so, the others go on."""
    inst = chain(("installed",) * 3, gpudirect="installed", limit=3.0)
    found = om.compare(inst)
    assert "finds no routes" in found.skipped["all-tcp"]
    assert "gpudirect-first" in found.plans
    with pytest.raises(UsageError, match="finds no routes"):
        om.compare(inst, ["all-tcp"])


def test_environment_asks_once_and_takes_decisions_only() -> None:
    """Anything but a decision is refused, and so is a second one."""
    inst = chain(("none", "none", "none"))
    environment = PipelineEnvironment(inst)
    with pytest.raises(UsageError, match="No routes"):
        decisions(environment)
    with pytest.raises(UsageError, match="allowed: a Decision"):
        environment.act("tcp")
    policy = POLICIES["all-tcp"]()
    policy.reset(environment.header)
    observation = environment.observe()
    assert observation is not None
    decision = policy.decide(observation)
    environment.act(decision)
    assert environment.observe() is None
    with pytest.raises(UsageError, match="went on"):
        environment.act(decision)


def test_frontier_trades_cost_for_latency() -> None:
    """Along the front cost rises as latency falls; its ends are the two optima."""
    inst = synthetic.generate(1, services=2, gpu_hosts=2, cpu_hosts=1)
    front = om.frontier(inst, ("cost_usd", "latency_ms"), points=5).frame
    cost, latency = front["cost_usd"].to_numpy(), front["latency_ms"].to_numpy()
    order = np.argsort(cost)
    assert (np.diff(latency[order]) < 0).all()
    assert cost.min() == pytest.approx(om.solve(inst, mip_gap=1e-7).objective, rel=1e-5)
    # One service at a time there is nothing to share but time: the fastest routes fit together.
    fastest = om.compare(inst, ["min-latency"]).plans["min-latency"].cost["latency_ms"]
    assert latency.min() == pytest.approx(fastest, rel=1e-5)


def test_frontier_of_one_service_by_labels() -> None:
    """With one service the weighted optimum is exact: bound and value agree."""
    inst = synthetic.generate(2, services=1, gpu_hosts=3)
    problem = registry.problem("routing.pipeline")
    for weights in ({"cost_usd": 1.0}, {"latency_ms": 2.0}, {"cost_usd": 1.0, "latency_ms": 0.1}):
        found = problem.weigh(inst, weights)
        assert found.bound == pytest.approx(found.value, rel=1e-9)
