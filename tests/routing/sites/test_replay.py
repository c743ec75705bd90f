"""The environment: what policies see, what they may answer, and that nothing of later leaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optmodels.errors import UsageError
from optmodels.forecast import make_forecast
from optmodels.policy import Observation, replay
from optmodels.routing.sites.audit import audit
from optmodels.routing.sites.dispatch import Dispatch
from optmodels.routing.sites.replay import (
    RoutingEnvironment,
    decisions,
    joined_series,
    split_series,
)
from tests.routing.sites.instances import small, toy_h1
from tests.routing.sites.simple import Greedy, Nothing, nothing, run


class Watcher(Greedy):
    """Keeps what it was shown."""

    def reset(self, header: Any) -> None:
        """Forget."""
        super().reset(header)
        self.seen: list[Observation] = []

    def decide(self, observation: Observation) -> Dispatch:
        """Keep and decide."""
        self.seen.append(observation)
        return super().decide(observation)


def test_what_is_seen() -> None:
    """The present is metered; what is configured and the slot are told; the future is nowhere."""
    inst = small(1, periods=7, backup_kw=1.0, carbon=200.0)
    policy = Watcher()
    environment = run(inst, policy)
    assert len(policy.seen) == 7
    for t, observation in enumerate(policy.seen):
        assert observation.slot == t
        assert observation.time == inst.times[t]
        assert (observation.past["power_kw"] == inst.power_kw[: t + 1]).all()
        assert (observation.past["demand"] == inst.demand[: t + 1]).all()
        assert (observation.past["carbon_g_per_kwh"] == 200.0).all()
        assert observation.state.period == t
        assert observation.state.slot == t // 3
        assert observation.state.slot_starts == (t % 3 == 0)
        before = environment.decisions.configured[t - 1] if t else 0
        assert (observation.state.configured == before).all()
        assert observation.forecast is None
    # The buffers behind the views hold nothing of later periods, even at the end of the run.
    first = Watcher()
    half = RoutingEnvironment(inst)
    first.reset(half.header)
    seen = half.observe()
    assert seen is not None
    behind = seen.past["power_kw"].base
    assert behind is not None
    assert np.isnan(behind[1:]).all()
    with pytest.raises(ValueError, match="read-only"):
        seen.past["demand"][0] = 0.0


def test_forecasts_have_a_row_per_period_and_a_column_per_series() -> None:
    """Power first, then demand by origin and class; the first row is metered, not forecast."""
    inst = small(2, periods=6)
    truth = joined_series(inst)
    made = make_forecast("perfect", truth, slots_per_day=288, rng=np.random.default_rng(0))
    policy = Watcher()
    run(inst, policy, made)
    for t, observation in enumerate(policy.seen):
        assert observation.forecast is not None
        power, demand = split_series(policy.header, observation.forecast)
        assert (power == inst.power_kw[t:]).all()
        assert (demand == inst.demand[t:]).all()


def test_the_environment_and_the_audit_agree() -> None:
    """What the environment lets pass is clean, with loading, idle power and import."""
    for seed in range(4):
        inst = small(
            seed, keep_warm=True, gpu_idle_kw=0.02, reload_seconds=450.0, backup_kw=2.0, carbon=1.0
        )
        for degree in range(3):
            policy = Greedy()
            policy.degree = degree
            environment = run(inst, policy)
            found = audit(inst, decisions(environment))
            assert found.ok, found.frame
            idle = audit(inst, decisions(run(inst, Nothing())))
            assert found.cost.total < idle.cost.total


def broken(**change: Any) -> Dispatch:
    """The toy with A1 at site 1, one array replaced."""
    arrays = {
        "configured": np.array([[1, 0], [0, 0]]),
        "running": np.array([[1, 0, 0, 0], [0, 0, 0, 0]]),
        "flow": np.zeros((1, 2, 4)),
    }
    return Dispatch(**{**arrays, **change})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "allowed: a Dispatch"),
        (broken(configured=[[1, 0]]), "wrong 'configured'"),
        (broken(configured=np.array([[1.5, 0], [0, 0]])), "whole numbers from 0"),
        (broken(configured=np.array([[-1, 0], [0, 0]])), "wrong 'configured'"),
        (broken(running="many"), "wrong 'running'"),
        (broken(running=np.full((2, 4), np.inf)), "wrong 'running'"),
        (broken(flow=np.full((1, 2, 4), np.nan)), "numbers from 0 in the shape"),
        (broken(flow=np.full((1, 2, 4), -1.0)), "wrong 'flow'"),
        (broken(configured=np.array([[5, 0], [0, 0]])), "GPUs of a site"),
        (broken(running=np.array([[2, 0, 0, 0], [0, 0, 0, 0]])), "running of configured"),
        (
            broken(
                configured=np.array([[4, 0], [0, 0]]),
                running=np.array([[3, 0, 1, 0], [0, 0, 0, 0]]),
            ),
            "power",
        ),
        (broken(flow=np.array([[[4.1, 0, 0, 0], [0, 0, 0, 0]]])), "throughput of a row"),
    ],
)
def test_wrong_answers_are_refused_on_the_spot(answer: object, message: str) -> None:
    """What is no dispatch, or breaks a limit, is named with its period."""
    environment = RoutingEnvironment(toy_h1())
    with pytest.raises(UsageError, match=message) as caught:
        environment.act(answer)
    assert "period 0" in str(caught.value)


def test_nothing_after_the_end() -> None:
    """After the last period there is nothing to see and nothing to do."""
    inst = toy_h1()
    environment = RoutingEnvironment(inst)
    policy = Nothing()
    replay(environment, policy)
    assert environment.observe() is None
    with pytest.raises(UsageError, match="after the last period"):
        environment.act(nothing(environment.header))
    assert audit(inst, decisions(environment)).cost.total == pytest.approx(15 * 300)


def test_a_policy_cannot_change_what_it_has_answered() -> None:
    """Arrays are copied when they are answered: writing to them later changes nothing."""
    inst = small(1, periods=2)
    environment = RoutingEnvironment(inst)
    answer = nothing(environment.header)
    environment.act(answer)
    answer.configured[:] = 10**6
    environment.act(nothing(environment.header))
    assert not environment.decisions.configured.any()
