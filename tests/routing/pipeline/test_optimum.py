"""The oracle against all routes tried one by one, and what must hold of any optimum."""

from __future__ import annotations

from functools import cache

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InfeasibleError, UsageError
from optmodels.plan import Plan
from optmodels.routing.pipeline import synthetic
from optmodels.routing.pipeline.instance import PipelineInstance
from optmodels.routing.pipeline.labels import Terms, cheapest_route
from optmodels.routing.pipeline.layers import layers_of, whole_layers
from optmodels.routing.pipeline.limits import explain
from optmodels.routing.pipeline.optimum import graphs_of, greedy_start, solve, worth
from optmodels.routing.pipeline.steps import Steps
from tests.routing.pipeline.instances import TRANSPORTS, Judge, chain, pipelines, small


def attempt(inst: PipelineInstance, method: str) -> Plan | None:
    """The plan of a method, None where there is none."""
    try:
        return solve(inst, method=method, mip_gap=1e-9)
    except InfeasibleError as error:
        assert error.reasons
        return None


@pytest.mark.parametrize("seed", range(36))
def test_labels_and_programme_are_brute_force_for_one_service(seed: int) -> None:
    """Label setting, the programme and all routes agree, also on whether there is any.

    Dominance that forgets cards, scarce resources or hosts to match fails on some of these.
    """
    inst = small(seed, tight=True)
    best = Judge(inst).best()
    for method in ("labels", "milp"):
        plan = attempt(inst, method)
        assert (plan is None) == (best is None)
        if plan is not None:
            assert plan.objective == pytest.approx(best, rel=1e-8)
            assert plan.status == "optimal"
    assert bool(explain(inst)) == (best is None)


@pytest.mark.parametrize("seed", range(24))
def test_programme_is_brute_force_for_two_services(seed: int) -> None:
    """Shared cards and capacities: the programme and all pairs of routes agree."""
    inst = small(seed, 2, tight=True)
    best = Judge(inst).best()
    plan = attempt(inst, "milp")
    assert (plan is None) == (best is None)
    if plan is not None:
        assert plan.objective == pytest.approx(best, rel=1e-8)
        assert plan.bound is not None and plan.bound <= plan.objective * (1 + 1e-12)
    assert bool(explain(inst)) == (best is None)


@pytest.mark.parametrize("seed", range(6))
def test_cards_and_capacities_matter_in_what_is_tried(seed: int) -> None:
    """The greedy start is a plan, and never better than the optimum."""
    inst = synthetic.generate(seed, services=4, gpu_hosts=2, cpu_hosts=1)
    steps, layers = graphs_of(inst)
    start = greedy_start(steps, layers)
    assert start is not None
    best = solve(inst, mip_gap=1e-6).objective
    assert worth(steps, layers, start) >= best * (1 - 1e-9)


@cache
def frontier_of_limits() -> tuple[PipelineInstance, np.ndarray]:
    """A service with several routes, and latency limits from impossible to slack."""
    inst = synthetic.generate(2, services=1, gpu_hosts=3)
    fastest = layers_of(Steps(inst), inst.services[0]).least_delay_ms
    return inst, fastest * np.array([0.9, 0.999, 1.0, 1.02, 1.05, 1.1, 1.3, 2.0])


def test_tighter_limits_never_cost_less_and_fail_below_the_fastest_route() -> None:
    """The cost falls with the limit; there is a plan iff the fastest route is within it."""
    inst, limits = frontier_of_limits()
    costs = []
    for limit in limits:
        services = inst.tables["services"].assign(limit_ms=limit)
        try:
            costs.append(solve(inst.replace(services=services)).objective)
        except InfeasibleError as error:
            costs.append(np.inf)
            assert "its fastest route takes" in error.reasons[0]
    assert np.isinf(costs[:2]).all()
    assert np.isfinite(costs[2:]).all()
    assert (np.diff(costs[2:]) <= 1e-12).all()
    assert costs[2] > costs[-1]


@pytest.mark.parametrize("seed", range(8))
def test_fastest_route_is_networkx_shortest_path(seed: int) -> None:
    """Without ties, the least latency is a shortest path in the graph for networkx."""
    inst = small(seed).replace(ties=None)
    whole = whole_layers(inst)[0]
    found = cheapest_route(whole, Terms({}, weights=whole.delays_ms, limit_ms=np.inf))
    graph = whole.graph()
    if found is None:
        assert not nx.has_path(graph, "source", "sink")
        return
    length = nx.shortest_path_length(graph, "source", "sink", weight="delay")
    assert found.delay_ms == pytest.approx(length, rel=1e-12)
    assert whole.least_delay_ms == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_without_cards_the_plan_is_that_of_tcp(seed: int) -> None:
    """No RDMA anywhere, and no RDMA among the transports: the same plans."""
    inst = synthetic.generate(seed, services=3, gpu_hosts=2, cards="none")
    offered = synthetic.generate(seed, services=3, gpu_hosts=2)
    table = offered.tables["transports"]
    only = offered.replace(transports=table[table["transport"].isin(["tcp", "local"])])
    none, without = solve(inst, mip_gap=1e-7), solve(only, mip_gap=1e-7)
    assert none.objective == pytest.approx(without.objective, rel=1e-6)
    assert none.cost["cards"] == without.cost["cards"] == 0
    assert solve(offered, mip_gap=1e-7).objective <= none.objective * (1 + 1e-6)


@pytest.mark.parametrize(
    ("states", "gpudirect", "latency", "kinds"),
    [
        (("none", "none", "none"), "none", 3.769600, ("tcp", "tcp")),
        (("none", "installed", "installed"), "none", 3.373119, ("tcp", "rdma")),
        (("none", "installed", "installed"), "installed", 3.309482, ("tcp", "gpudirect")),
        (("installed",) * 3, "none", 2.825109, ("rdma", "rdma")),
        (("installed",) * 3, "installed", 2.761473, ("rdma", "gpudirect")),
    ],
)
def test_toy_with_one_proxy_as_an_instance(
    states: tuple[str, ...], gpudirect: str, latency: float, kinds: tuple[str, ...]
) -> None:
    """The toy by the oracle: the route that the cards allow, there and back, and its latency."""
    plan = solve(chain(states, gpudirect=gpudirect))
    assert plan.cost["latency_ms"] == pytest.approx(latency, abs=5e-7)
    assert tuple(plan.tables["routes"]["transport"][1:]) == (*kinds, *kinds[::-1])


def test_a_card_of_the_gateway_is_paid_once() -> None:
    """Request and reply use the gateway's card: two cards, not four.

    One request in flight costs 1 USD/h; at 1000/s RDMA saves 0.397 of them. With cards of 0.19 two
    pay (0.38), four would not.
    """
    inst = chain(("none", "offered", "offered"), rate=1000.0)
    hosts = inst.tables["hosts"].assign(gpus=10)
    cheap = solve(inst.replace(hosts=hosts.assign(rdma_usd_per_hour=0.19)))
    assert cheap.cost["cards"] == 2
    assert cheap.objective == pytest.approx(3.373119 + 0.38, abs=1e-6)
    dear = solve(inst.replace(hosts=hosts.assign(rdma_usd_per_hour=0.21)))
    assert dear.cost["cards"] == 0


def test_shared_cards_pay_together_where_none_pays_alone() -> None:
    """Two services share the cards of a gateway and a server; either alone would not buy them."""
    inst = chain(("none", "offered", "offered"), rate=1000.0)
    t = inst.tables
    twice = {
        name: pd.concat([t[name], t[name].assign(service="other")])
        for name in ("services", "stages", "candidates")
    }
    hosts = t["hosts"].assign(rdma_usd_per_hour=0.3, gpus=10)
    both = solve(inst.replace(hosts=hosts, **twice), mip_gap=1e-9)
    assert both.cost["cards"] == 2
    assert solve(inst.replace(hosts=hosts)).cost["cards"] == 0


def test_gpudirect_routes_have_no_copies() -> None:
    """Where every hop to and from a GPU is GPUDirect, no arc has a copy."""
    for seed in range(5):
        for one in whole_layers(small(seed)):
            for arc in one.arcs:
                if arc.kind == "gpudirect":
                    assert arc.step.parts_ms[1] == arc.step.parts_ms[3] == 0


def test_gpudirect_never_ends_where_there_is_no_gpu() -> None:
    """Its arcs start or end at a GPU; between proxies there are none."""
    kinds = set()
    for one in whole_layers(chain(("installed",) * 4, gpudirect="installed")):
        for arc in one.arcs:
            if arc.kind == "gpudirect":
                ends = [one.nodes[n].place.device for n in (arc.tail, arc.head)]
                assert "gpu" in ends
            kinds.add(arc.kind)
    assert "gpudirect" in kinds


def test_capacity_that_only_two_services_exceed_is_named() -> None:
    """Each service fits by itself, both do not: exit with the resource in words."""
    stages = [
        ("send", "compute", 1e6, [("c", "cpu", 0.0)]),
        ("infer", "compute", 1e3, [("g", "gpu", 10.0)]),
        ("get", "compute", 0, [("c", "cpu", 0.0)]),
    ]
    services = {name: {"stages": stages, "rate": 50.0} for name in ("a", "b")}
    inst = pipelines({"c": {}, "g": {"gpus": 1}}, [("c", "g")], services, TRANSPORTS)
    with pytest.raises(InfeasibleError) as caught:
        solve(inst)
    assert any("GPUs of g" in reason for reason in caught.value.reasons)
    alone = pipelines({"c": {}, "g": {"gpus": 1}}, [("c", "g")], {"a": services["a"]})
    assert solve(alone).status == "optimal"


@pytest.mark.parametrize(
    ("links", "limit", "words"),
    [([], 1e6, "lead from no first stage"), ([("c", "g")], 1.0, "its fastest route takes 12.")],
)
def test_services_without_a_route_say_why(links: list[tuple[str, str]], limit: float, words: str):
    """No link, or too slow: the reason names the service."""
    stages = [
        ("send", "compute", 1e6, [("c", "cpu", 0.0)]),
        ("infer", "compute", 1e3, [("g", "gpu", 10.0)]),
        ("get", "compute", 0, [("c", "cpu", 0.0)]),
    ]
    service = {"stages": stages, "rate": 1.0, "limit": limit}
    transports = {**TRANSPORTS, "tcp": (500.0, 1.0, 0.0)}
    inst = pipelines({"c": {}, "g": {"gpus": 1}}, links, {"a": service}, transports)
    with pytest.raises(InfeasibleError) as caught:
        solve(inst)
    assert caught.value.reasons[0].startswith("a: ")
    assert words in caught.value.reasons[0]


def test_methods_that_do_not_apply_are_refused() -> None:
    """Label setting is for one service and has no solver options."""
    with pytest.raises(UsageError, match="one service"):
        solve(small(0, 2), method="labels")
    with pytest.raises(UsageError, match="solver options"):
        solve(small(0), method="labels", options={"presolve": "off"})


def test_a_service_leaves_room_for_its_own_later_stages() -> None:
    """Both GPU stages fit at the cheap host by themselves, not together: the first goes elsewhere.

    Labels that forget what they took keep only the cheap one at the stage between, and end there.
    """
    stages = [
        ("send", "compute", 1e5, [("c", "cpu", 0.0)]),
        ("first", "compute", 1e5, [("g", "gpu", 10.0), ("h", "gpu", 10.0)]),
        ("between", "compute", 1e5, [("c", "cpu", 0.1)]),
        ("last", "compute", 1e3, [("g", "gpu", 10.0)]),
        ("get", "compute", 0, [("c", "cpu", 0.0)]),
    ]
    hosts = {
        "c": {},
        "g": {"gpus": 1, "gpu_usd_per_hour": 0.1},
        "h": {"gpus": 1, "gpu_usd_per_hour": 1.0},
    }
    service = {"stages": stages, "rate": 50.0}
    inst = pipelines(hosts, [("c", "g"), ("c", "h")], {"a": service}, copy_interference=0.0)
    for method in ("labels", "milp"):
        plan = solve(inst, method=method)
        assert plan.tables["routes"]["host"].tolist() == ["c", "h", "c", "g", "c"]
        assert plan.objective == pytest.approx(0.5 * 1.0 + 0.5 * 0.1)


def test_a_dearer_label_stays_if_it_is_faster() -> None:
    """Only one of two stages may be slow, and being slow at the later one saves more.

    Labels that forget how late they are keep only the cheap and slow one at the stage between, and
    end with 5.5 instead of 5 USD/h.
    """
    stages = [
        ("send", "compute", 0, [("x", "cpu", 0.0)]),
        ("first", "compute", 0, [("fast-1", "cpu", 1.0), ("slow-1", "cpu", 3.0)]),
        ("between", "compute", 0, [("x", "cpu", 0.0)]),
        ("second", "compute", 0, [("fast-2", "cpu", 1.0), ("slow-2", "cpu", 3.0)]),
        ("get", "compute", 0, [("x", "cpu", 0.0)]),
    ]
    prices = {"x": 0.0, "fast-1": 2.0, "slow-1": 0.5, "fast-2": 4.0, "slow-2": 1.0}
    hosts = {name: {"core_usd_per_hour": usd} for name, usd in prices.items()}
    links = [("x", name) for name in hosts if name != "x"]
    service = {"stages": stages, "rate": 1000.0, "limit": 5.0}
    inst = pipelines(hosts, links, {"a": service}, {"tcp": (0.0, 1.0, 0.0)})
    for method in ("labels", "milp"):
        plan = solve(inst, method=method)
        assert plan.objective == pytest.approx(5.0)
        assert plan.tables["routes"]["host"].tolist() == ["x", "fast-1", "x", "slow-2", "x"]
