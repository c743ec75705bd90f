"""Policies on hand-made nodes: which node each of them takes, what is refused, who sees what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import UsageError
from optmodels.placement.accelerators import POLICIES
from optmodels.placement.accelerators.fitting import feasible_nodes, fits, repair
from optmodels.placement.accelerators.migration import after, next_move, with_measured_rates
from optmodels.placement.accelerators.policies import Breadth, PlacementPolicy
from optmodels.placement.accelerators.replay import (
    ALL_APPLICATIONS,
    AcceleratorsEnvironment,
    Placing,
    decisions,
    moved,
)
from optmodels.placement.accelerators.synthetic import generate
from optmodels.policy import replay
from tests.placement.accelerators.instances import instance

PROFILES = [("a", "tpu", 10.0, 0.0, 100.0), ("b", "tpu", 20.0, 0.0, 100.0)]


def nodes_of(policy: str, inst: Any) -> list[str]:
    """Node of each application in the order of arrival, '' for the rejected ones."""
    kind: Any = POLICIES[policy]
    made = kind(seed=0) if kind.randomised else kind()
    environment = AcceleratorsEnvironment(inst, granted=made.needs)
    replay(environment, made)
    placed = decisions(environment)["placement"].set_index("app")["node"]
    return [str(placed.get(a.name, "")) for a in inst.applications]


def answers_of(policy: str, inst: Any) -> list[Placing]:
    """What a policy answers, application by application."""
    kind: Any = POLICIES[policy]
    made = kind(seed=0) if kind.randomised else kind()
    environment = AcceleratorsEnvironment(inst, granted=made.needs)
    made.reset(environment.header)
    answers = []
    while (observation := environment.observe()) is not None:
        answers.append(made.decide(observation))
        environment.act(answers[-1])
    return answers


def three_nodes(apps: list[tuple[str, float, float]]) -> Any:
    """Three queues without switches."""
    return instance(apps, PROFILES, ["tpu"] * 3, memory_mb=500.0, frontend_mb=50.0)


def test_each_policy_takes_its_node() -> None:
    """Loose promises: the choice alone tells the policies apart."""
    apps = [("a", 10.0, 900.0), ("b", 20.0, 900.0), ("a", 10.0, 900.0), ("b", 1.0, 900.0)]
    inst = three_nodes(apps)
    assert nodes_of("first-fit", inst) == ["n0"] * 4
    assert nodes_of("best-fit", inst) == ["n0"] * 4
    assert nodes_of("worst-fit", inst) == ["n0", "n1", "n2", "n0"]
    assert nodes_of("breadth", inst) == ["n0", "n1", "n0", "n1"]
    assert nodes_of("heterogeneous", inst) == ["n0", "n1", "n0", "n1"]
    assert nodes_of("grouping", inst) == ["n0", "n1", "n0", "n1"]
    assert nodes_of("memory-worst", inst) == ["n0", "n1", "n2", "n1"]
    # 400 MB hold both models and four front ends.
    assert nodes_of("memory-first", inst) == ["n0"] * 4
    assert nodes_of("memory-best", inst) == ["n0"] * 4


def test_busy_and_idle_nodes() -> None:
    """Where the first node is full, best fit takes the busier of the rest and worst the idler."""
    apps = [("a", 70.0, 900.0), ("a", 20.0, 900.0), ("a", 9.0, 900.0), ("a", 60.0, 900.0)]
    inst = three_nodes(apps)
    assert nodes_of("best-fit", inst) == ["n0", "n1", "n0", "n1"]
    assert nodes_of("first-fit", inst) == ["n0", "n1", "n0", "n1"]
    assert nodes_of("worst-fit", inst) == ["n0", "n1", "n2", "n2"]
    assert nodes_of("depth", inst) == ["n0", "n1", "n0", "n1"]


def test_kinds_of_nodes() -> None:
    """The smaller increase of load decides between kinds; a shared accelerator wins a tie."""
    profiles = [("x", "gpu", 10.0), ("x", "tpu", 20.0), ("y", "gpu", 30.0), ("y", "tpu", 5.0)]
    profiles += [("z", "gpu", 8.0), ("z", "tpu", 8.0)]
    apps = [(model, 5.0, 900.0) for model in "xyz"]
    inst = instance(apps, profiles, ["tpu", "gpu"])
    assert nodes_of("heterogeneous", inst) == ["n1", "n0", "n1"]
    assert set(nodes_of("random-device", inst)) <= {"n0", "n1"}


def test_depth_looks_for_the_same_model_on_shared_accelerators_only() -> None:
    """On a GPU beside the same model; on an Edge TPU just the first."""
    for device, expected in (("gpu", "n1"), ("tpu", "n0")):
        profiles = [("a", device, 10.0), ("b", device, 10.0)]
        # The second cannot join the first, so both nodes are in use when the third comes.
        apps = [("a", 50.0, 900.0), ("b", 40.0, 900.0), ("b", 5.0, 900.0)]
        inst = instance(apps, profiles, [device] * 2)
        assert nodes_of("depth", inst) == ["n0", "n1", expected]


def test_one_move_makes_room() -> None:
    """The third fits on no node, until the second has moved beside the first."""
    profiles = [("a", "tpu", 10.0, 0.0, 100.0), ("b", "gpu", 10.0), ("a", "gpu", 10.0)]
    apps = [("b", 30.0, 900.0), ("a", 30.0, 900.0), ("a", 60.0, 900.0)]
    inst = instance(apps, [*profiles, ("b", "tpu", 10.0)], ["gpu", "tpu"])
    assert nodes_of("heterogeneous", inst) == ["n0", "n0", "n1"]
    apps = [("a", 30.0, 900.0), ("b", 30.0, 900.0), ("a", 60.0, 900.0)]
    inst = instance(apps, [("a", "tpu", 10.0), ("b", "tpu", 10.0)], ["tpu"] * 2)
    assert nodes_of("heterogeneous", inst) == ["n0", "n1", ""]
    assert nodes_of("one-move", inst) == ["n1", "n1", "n0"]


def test_a_move_keeps_the_promises_where_it_goes() -> None:
    """Of two nodes with memory only the second can take who leaves: the first has a tight one."""
    apps = [("a", 30.0, 900.0), ("a", 10.0, 11.0), ("b", 20.0, 900.0), ("a", 60.0, 900.0)]
    inst = three_nodes(apps)
    loose, tight, other, new = inst.applications
    placement = ((loose,), (tight,), (other,))
    assert not list(feasible_nodes(inst.hardware, placement, new))
    found = repair(inst.hardware, placement, new)
    assert found is not None
    node, (name, target) = found
    nodes = moved(placement, name, target)
    nodes[node] = (*nodes[node], new)
    assert all(fits(inst.hardware, n, hosted) for n, hosted in enumerate(nodes))
    assert repair(inst.hardware, ((loose,), (tight,), (new,)), new) is None


def test_orders() -> None:
    """Loads of .4, .3 and .5 on one node: the order decides which of the large ones is hosted."""
    apps = [("b", 20.0, 290.0), ("a", 30.0, 900.0), ("b", 25.0, 300.0)]
    first, last = ["n0", "n0", ""], ["", "n0", "n0"]
    for values, small in (([1, 1, 1], first), ([1, 1, 2], last)):
        inst = instance(apps, PROFILES, ["tpu"], values=values)
        assert nodes_of("small-first", inst) == small
        assert nodes_of("large-first", inst) == last
        assert nodes_of("tight-first", inst) == first


def test_the_knapsack_holds_most_by_memory() -> None:
    """Shared models make room: three of one model rather than one of the other."""
    profiles = [("large", "tpu", 1.0, 0.0, 500.0), ("small", "tpu", 1.0, 0.0, 400.0)]
    apps = [("large", 1.0, 99.0), *[("small", 1.0, 99.0)] * 3]
    inst = instance(apps, profiles, ["tpu"], frontend_mb=100.0)
    assert nodes_of("memory-first", inst) == ["n0", "", "", ""]
    assert nodes_of("knapsack", inst) == ["", "n0", "n0", "n0"]


def test_nobody_sees_who_comes_later() -> None:
    """Changing the applications of the future changes no decision of the past."""
    inst = generate(3, apps=12)
    rows = inst.tables["apps"]
    changed = rows.copy()
    changed.loc[8:, ["model", "rate_per_s", "slo_ms"]] = ["MobileNetV2", 1.0, 5000.0]
    other = inst.replace(apps=changed)
    for name, kind in POLICIES.items():
        if ALL_APPLICATIONS not in kind.needs:
            assert answers_of(name, inst)[:8] == answers_of(name, other)[:8], name
    told = AcceleratorsEnvironment(inst)
    assert told.header.applications is None


class _Stubborn(PlacementPolicy):
    """Answers what it is told to."""

    name = "stubborn"

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def decide(self, observation: Any) -> Any:
        return self._answers.pop(0)

    def candidates(self, application: Any, placement: Any) -> list[int]:
        return []

    def choose(self, nodes: Any, application: Any, placement: Any) -> int:
        return 0


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((3,), "allowed: a Placing"),
        ((Placing(7),), "the node 7"),
        ((Placing(-1),), "the node -1"),
        ((Placing(None, (("a9", 0),)),), "not hosted anywhere"),
        ((Placing(0), Placing(0), Placing(0)), "too little memory"),
        ((Placing(0), Placing(0, (("a0", 5),))), "the node 5"),
    ],
)
def test_answers_that_cannot_be_carried_out_are_refused(answers: Any, words: str) -> None:
    """A wrong answer is told in words, and nothing of it is carried out."""
    profiles = [("a", "tpu", 10.0, 0.0, 200.0)]
    inst = instance([("a", 1.0, 99.0)] * 3, profiles, ["tpu"], frontend_mb=250.0)
    environment = AcceleratorsEnvironment(inst)
    with pytest.raises(UsageError, match=words):
        replay(environment, _Stubborn(*answers))
    assert sum(map(len, environment.placement)) == len(answers) - 1


def test_a_move_and_a_placing_at_once() -> None:
    """Moves come first; the room they leave can be taken at once."""
    inst = three_nodes([("a", 1.0, 99.0)] * 3)
    environment = AcceleratorsEnvironment(inst)
    replay(environment, _Stubborn(Placing(0), Placing(1), Placing(0, (("a0", 2), ("a1", 2)))))
    frame = decisions(environment)["placement"]
    expected = pd.DataFrame({"app": ["a0", "a1", "a2"], "node": ["n2", "n2", "n0"]})
    assert frame.to_dict("list") == expected.to_dict("list")
    with pytest.raises(UsageError, match="after the last"):
        environment.act(Placing(None))


def test_migration_moves_the_latest_first_and_one_at_a_time() -> None:
    """Measured rates make two late: the worse one moves, to a node that takes it."""
    inst = three_nodes([("a", 10.0, 15.0), ("b", 5.0, 40.0), ("a", 10.0, 15.0)])
    one, two, three = inst.applications
    before = ((one, two), (three,), ())
    placement = with_measured_rates(before, {"a1": 30.0})
    assert before[0][1].rate_per_ms == 0.005
    late = {"a0": 35.0, "a1": 41.0, "a2": 11.0}
    move = next_move(inst.hardware, placement, late, Breadth())
    assert move is not None and (move.app, move.source, move.target) == ("a0", 0, 1)
    idle = next_move(inst.hardware, placement, late, Breadth(), idle_only=True)
    assert idle is not None and idle.target == 2
    moved = after(placement, move)
    assert [len(node) for node in moved] == [1, 2, 0]
    assert next_move(inst.hardware, placement, {"a0": 14.0}, Breadth()) is None
    # Nowhere keeps the promise of who got this busy: the next late one is tried, or nobody.
    busy = with_measured_rates(before, {"a0": 79.0})
    assert next_move(inst.hardware, busy, {"a0": 99.0}, Breadth()) is None
    for wrong in ({"a9": 1.0}, {"a0": 0.0}, {"a0": np.nan}):
        with pytest.raises(UsageError):
            with_measured_rates(before, wrong)
    with pytest.raises(UsageError):
        next_move(inst.hardware, before, {"a9": 1.0}, Breadth())
