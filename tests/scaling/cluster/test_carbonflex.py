"""CarbonFlex as a policy: sound, causal, and near the oracle that it learns from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.forecast import FixedForecast
from optmodels.policy import replay
from optmodels.scaling.cluster.audit import audit
from optmodels.scaling.cluster.greedy import greedy_schedule
from optmodels.scaling.cluster.instance import ClusterInstance
from optmodels.scaling.cluster.learning.carbonflex import CarbonFlex
from optmodels.scaling.cluster.replay import (
    ClusterEnvironment,
    decisions,
    header_of,
    tables_of,
)
from tests.scaling.cluster.instances import cluster, small
from tests.scaling.cluster.peeking import assert_no_peeking

SMALL_WINDOWS = {"window_days": 1.0, "learn_every_days": 0.25, "starts": 2, "run_starts": 2}


class Logged(CarbonFlex):
    """CarbonFlex that keeps its answers."""

    def start(self):
        """Nothing answered yet."""
        super().start()
        self.answers = []

    def decide(self, observation):
        """Decide as ever."""
        answer = super().decide(observation)
        self.answers.append(dict(zip(observation.state.job.tolist(), answer.tolist(), strict=True)))
        return answer


def run(instance, policy, truth=None):
    """Environment after a replay with a perfect forecast."""
    environment = ClusterEnvironment(instance, forecast=FixedForecast(instance.carbon))
    replay(environment, policy)
    return environment


def carbon_of(instance, tables):
    """Carbon of a plan whose audit is clean [g]."""
    found = audit(instance, tables)
    assert not found.violations
    return found.cost.quantities["carbon_g"]


@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([0.2, 0.5, 0.9]))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_every_run_is_sound(seed, past, utilisation):
    """Whatever it has learned: all work is done, within capacity and profiles, after arrival."""
    instance = small(seed, jobs=15, slots=60, past=past, utilisation=utilisation)
    environment = run(instance, CarbonFlex(**SMALL_WINDOWS))
    assert not audit(instance, decisions(environment)).violations


def changed(instance, carbon=None, jobs=None):
    """The instance with other values in some slots or jobs."""
    tables = dict(instance.tables)
    if carbon is not None:
        tables["carbon"] = tables["carbon"].assign(carbon_g_per_kwh=carbon)
    if jobs is not None:
        tables["jobs"] = jobs
    return ClusterInstance(instance.parameters.model_dump(), tables)


@given(st.integers(0, 10**6), st.integers(10, 60), st.booleans())
@settings(deadline=None, derandomize=True, max_examples=20)
def test_does_not_peek(seed, slot, past):
    """Other lengths of jobs that are not done, other jobs and other carbon to come: same answers.

    Before `slot` the policy may know jobs that have ended and carbon up to a day ahead. It learns
    several times before, so a lesson that knew more would show.
    """
    instance = small(seed, jobs=16, slots=72, past=past)
    instance = _longer(instance, instance.carbon, instance.tables["jobs"], 90)
    rng = np.random.default_rng(seed)
    first = Logged(**SMALL_WINDOWS)
    environment = run(instance, first)
    rows = environment.schedule
    ended = np.zeros(instance.jobs.count)
    np.maximum.at(ended, rows.job, rows.slot)
    open_ = instance.jobs.number[ended >= slot]
    arrived = instance.jobs.number[instance.jobs.arrival < slot]
    jobs = instance.tables["jobs"].copy()
    longer = jobs["job"].isin(open_)
    jobs.loc[longer, "length_slots"] += np.round(rng.uniform(0.5, 9, int(longer.sum())), 2)
    jobs = jobs[jobs["job"].isin(arrived) | (rng.uniform(size=len(jobs)) < 0.5)]
    carbon = instance.carbon.copy()
    later = np.arange(instance.slots) >= slot - 1 + instance.slots_per_day
    carbon[later] = np.round(rng.uniform(10, 600, int(later.sum())), 1)
    other = _longer(instance, carbon, jobs, 90)
    second = Logged(**SMALL_WINDOWS)
    run(other, second)
    count = min(slot, len(first.answers))
    # Jobs keep their order of arrival, so those that had arrived keep their places in it.
    assert second.answers[:count] == first.answers[:count]


@pytest.mark.parametrize("past", [False, True])
def test_learns_only_from_what_is_over(past):
    """With a lesson every six slots, truths to come change nothing before they come."""
    instance = small(11, jobs=30, slots=120, past=past)
    assert_no_peeking(lambda: CarbonFlex(**SMALL_WINDOWS), instance)


def _longer(instance, carbon, jobs, slots):
    """The instance with these jobs, and a carbon series that is as long as they may need."""
    step = pd.Timedelta(hours=instance.slot_hours)
    series = np.append(carbon, np.full(slots - len(carbon), 77.0))
    tables = dict(instance.tables)
    tables["jobs"] = jobs.reset_index(drop=True)
    tables["carbon"] = pd.DataFrame(
        {"time": instance.times[0] + step * np.arange(slots), "carbon_g_per_kwh": series}
    )
    return ClusterInstance(instance.parameters.model_dump(), tables)


def same_week_again(seed, jobs=60, slots=168):
    """An instance whose past is its own week."""
    instance = small(seed, jobs=jobs, slots=slots, utilisation=0.4)
    tables = dict(instance.tables)
    before = tables["carbon"].assign(
        time=tables["carbon"]["time"] - pd.Timedelta(hours=instance.slot_hours) * slots
    )
    tables["past_carbon"], tables["past_jobs"] = before, tables["jobs"]
    return ClusterInstance(instance.parameters.model_dump(), tables)


def test_repeats_the_oracle_when_the_week_repeats():
    """Having seen the very week, it comes within a few per cent of the oracle's carbon.

    It cannot repeat it exactly: the oracle's threshold says how far jobs are scaled, not which job
    runs. Without past the same week costs far more.
    """
    gaps, lost = [], []
    for seed in range(3):
        instance = same_week_again(seed)
        learned = carbon_of(instance, decisions(run(instance, CarbonFlex(neighbours=1, starts=1))))
        plan = greedy_schedule(
            instance.jobs,
            instance.due,
            instance.carbon,
            instance.profiles,
            instance.capacity,
        ).schedule
        oracle = carbon_of(instance, tables_of(instance, plan))
        blind = changed(instance)
        agnostic = Agnostic()
        unlearned = carbon_of(blind, decisions(run(blind, agnostic)))
        gaps.append(learned / oracle - 1)
        lost.append(unlearned / oracle - 1)
    assert np.mean(gaps) < 0.1
    assert np.mean(lost) > 3 * np.mean(gaps)


class Agnostic(CarbonFlex):
    """CarbonFlex that never learns."""

    def start(self):
        """Forget what there is to learn from."""
        super().start()
        self.base = None

    def _learn(self, observation):
        return


def test_without_cases_all_servers_work():
    """No past, nothing over yet: every job scales as far as the capacity goes, at any carbon."""
    instance = cluster(
        [900.0, 100.0, 100.0, 100.0, 100.0, 100.0],
        [(0, 2.0), (0, 2.0)],
        queues=(("only", 3, 2.0),),
        profiles=(("p", 1, 1.0, 0.0), ("p", 2, 1.6, 0.0), ("p", 3, 1.8, 0.0)),
        capacity=5,
    )
    policy = Logged()
    run(instance, policy)
    assert policy.answers[0] == {0: 3, 1: 2}


def test_learns_from_the_run_what_it_had_no_past_for():
    """After some days without any past the carbon comes close to that with one."""
    instance = small(5, jobs=150, slots=480, utilisation=0.4)
    learned = carbon_of(instance, decisions(run(instance, CarbonFlex(starts=1))))
    never = carbon_of(instance, decisions(run(instance, Agnostic())))
    assert learned < 0.95 * never


def test_learns_from_every_slot_of_the_run_once():
    """Lessons overlap so that the oracle has context, but no slot is learned from twice."""
    instance = small(8, jobs=40, slots=200)
    policy = CarbonFlex(**SMALL_WINDOWS)
    run(instance, policy)
    slots, times = np.unique(policy.base.cases.slot, return_counts=True)
    assert slots.tolist() == list(range(len(slots)))
    assert len(slots) > 100
    assert set(times.tolist()) == {SMALL_WINDOWS["run_starts"]}


def test_forgets_what_is_older_than_its_memory():
    """Once the run itself teaches, every day, no case is older than the memory of four days."""
    instance = small(6, jobs=60, slots=240, past=True)
    policy = CarbonFlex(memory_days=4.0, starts=1)
    environment = ClusterEnvironment(instance, forecast=FixedForecast(instance.carbon))
    policy.reset(environment.header)
    slot = 0
    while (observation := environment.observe()) is not None:
        environment.act(policy.decide(observation))
        slot = observation.slot
        if slot >= 144:
            assert policy.base.cases.slot.min() >= slot - 96 - 24
    assert slot > 200


def test_remembers_its_newest_cases_however_short_the_memory():
    """A memory of an hour must not leave the policy with nothing."""
    instance = small(6, jobs=30, slots=120, past=True)
    policy = CarbonFlex(memory_days=1 / 24, starts=1)
    policy.reset(header_of(instance))
    assert policy.base.cases.count == 120


def test_a_second_run_starts_from_scratch():
    """A policy object replayed twice gives the same plan twice: `reset` leaves nothing behind."""
    instance = small(7, jobs=20, slots=100, past=True)
    policy = Logged(**SMALL_WINDOWS)
    run(instance, policy)
    first = policy.answers
    run(instance, policy)
    assert policy.answers == first


@pytest.mark.parametrize(
    "parameter",
    [
        {"neighbours": 0},
        {"tolerance": -0.1},
        {"far_percentile": 101},
        {"window_days": 0},
        {"starts": 0},
        {"neighbours": 2.5},
        {"window_days": float("inf")},
        {"run_starts": 0},
        {"memory_days": 0},
        {"learn_every_days": float("nan")},
    ],
)
def test_refuses_parameters_out_of_range(parameter):
    """The message names the parameter and what is allowed."""
    with pytest.raises(UsageError, match=f"{next(iter(parameter))} is .*allowed"):
        CarbonFlex(**parameter)
