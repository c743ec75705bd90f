"""Rules: their one decision, what they are told, and their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import UsageError
from optmodels.policy import replay
from optmodels.rightsizing.sites import POLICIES
from optmodels.rightsizing.sites.audit import Fleet
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.policies import Percentile
from optmodels.rightsizing.sites.replay import SitesEnvironment, decisions, header_of
from tests.rightsizing.sites.instances import START, fleet, small


def decided(name: str, inst: SitesInstance) -> np.ndarray:
    """GPUs that a rule installs."""
    environment = SitesEnvironment(inst)
    replay(environment, POLICIES[name]())
    assert environment.fleet is not None
    return environment.fleet.gpus


def test_rules_by_hand() -> None:
    """Power 1 to 4 and the threshold 1/3: the rules on one site, with demand to spare.

    20 % of four slots is less than one: the percentile is the lowest power. Prob(X > n) falls to
    1/3 at 3. U(n) = 10 / 4 n = 1/3 at 7.5, more than the nameplate of 6 feeds.
    """
    inst = fleet([[1.0], [2.0], [3.0], [4.0]], nameplate_kw=[6.0])
    found = {name: decided(name, inst)[0] for name in POLICIES}
    assert found["grid-only"] == 0
    assert found["largest"] == found["break-even"] == 6
    assert found["percentile"] == 1
    assert found["newsvendor"] == found["nameplate-share"] == pytest.approx(3)
    assert found["joint-lp"] == pytest.approx(3)


def test_nameplate_share_by_hand() -> None:
    """All power together is 5, 5, 7, 7: its quantile is 7, divided as 10 to 4."""
    power = [[5.0, 0.0], [3.0, 2.0], [5.0, 2.0], [7.0, 0.0]]
    inst = fleet(power, nameplate_kw=[10.0, 4.0])
    assert decided("nameplate-share", inst) == pytest.approx([5.0, 2.0])


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("seed", range(3))
def test_limits_of_every_rule(name: str, seed: int) -> None:
    """Whole modules, no far site, no more than peak demand, and firm where that is asked for."""
    inst = small(
        seed,
        demand=np.linspace(100, 200, 72),
        rtt_ms=[10.0, 60.0, 10.0],
        module_gpus=8,
        unmet_share_max=0.7,
        opening=10.0,
    )
    gpus = decided(name, inst)
    assert gpus[1] == 0
    assert (gpus <= inst.most_gpus).all()
    assert gpus == pytest.approx(np.round(gpus / 8) * 8)
    if name != "joint-lp":
        # A rule that must be firm may go beyond the demand by what firmness takes.
        free = decided(name, inst.replace(unmet_share_max=None))
        assert free.sum() <= 200


@pytest.mark.parametrize("name", POLICIES)
def test_out_of_sample_nobody_peeks(name: str) -> None:
    """With an earlier series, the one that counts leaves every decision as it is."""
    past = small(8).power_kw
    sites = {"nameplate_kw": np.full(3, 400.0), "demand": 300.0, "past_kw": past}
    one = fleet(small(1).power_kw, **sites)
    other = fleet(small(2).power_kw, carbon=np.arange(72.0), **sites)
    assert decided(name, one).tolist() == decided(name, other).tolist()
    told = header_of(one)
    assert told.out_of_sample
    assert (told.told.power_kw == past).all()
    # Decided on the past as if it were the question itself.
    asked = fleet(past, nameplate_kw=np.full(3, 400.0), demand=300.0)
    assert decided(name, one).tolist() == decided(name, asked).tolist()


def test_demand_is_laid_over_the_past() -> None:
    """A demand by slot is known in advance: the told question has it at the earlier times."""
    demand = np.arange(1.0, 25.0)
    inst = small(1, slots=24, demand=demand, past_kw=small(2, slots=24).power_kw * 0.2)
    told = header_of(inst).told
    assert told.demand.tolist() == demand.tolist()
    assert told.times[-1] < START


def test_percentiles_out_of_range() -> None:
    """A share is between 0 and 1."""
    with pytest.raises(UsageError, match="allowed: 0 to 1"):
        Percentile(20)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (3.0, "allowed: a Fleet"),
        (Fleet(np.ones(2), np.zeros(3)), "for each of 3 sites"),
        (Fleet(np.array([np.nan, 0, 0]), np.zeros(3)), "for each of 3 sites"),
        (Fleet(np.full(3, 1e6), np.zeros(3)), "GPUs at s1; allowed: 0 to 294"),
        (Fleet(np.array([0, -1.0, 0]), np.zeros(3)), "-1 GPUs at s1"),
        (Fleet(np.zeros(3), np.ones(3)), "kWh of battery"),
    ],
)
def test_answers_that_are_refused(answer: Any, words: str) -> None:
    """What the sites cannot hold is refused in words."""
    environment = SitesEnvironment(small(1))
    with pytest.raises(UsageError, match=words):
        environment.act(answer)


def test_one_decision_only() -> None:
    """There is nothing to see or do after the fleet stands, and nothing to report before."""
    environment = SitesEnvironment(small(1))
    with pytest.raises(UsageError, match="No fleet"):
        decisions(environment)
    nothing = Fleet(np.zeros(3), np.zeros(3))
    environment.act(nothing)
    assert environment.observe() is None
    with pytest.raises(UsageError, match="went on"):
        environment.act(nothing)
    tables = decisions(environment)
    assert list(tables) == ["sizes", "dispatch"]
    assert isinstance(tables["dispatch"], pd.DataFrame)


def test_a_fleet_that_is_not_firm_is_refused() -> None:
    """The environment installs no fleet that breaks the promise."""
    inst = small(1, demand=100.0, unmet_share_max=0.5)
    with pytest.raises(UsageError, match="leaves 1 of the demand"):
        SitesEnvironment(inst).act(Fleet(np.zeros(3), np.zeros(3)))
