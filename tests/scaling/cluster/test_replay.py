"""The loop of a cluster: what a policy is told, what it may answer, and what becomes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.forecast import DayBeforeForecast, FixedForecast
from optmodels.policy import Observation, replay
from optmodels.scaling.cluster.audit import audit, outcome
from optmodels.scaling.cluster.cluster_policy import ClusterPolicy, grant, intensity
from optmodels.scaling.cluster.instance import ClusterInstance, IntArray
from optmodels.scaling.cluster.replay import (
    SERIES,
    ClusterEnvironment,
    decisions,
    header_of,
    tables_of,
)
from tests.scaling.cluster.instances import START, cluster, small
from tests.scaling.cluster.peeking import assert_no_peeking

PROFILES = (("flex", 1, 1.0, 0.0), ("flex", 2, 1.5, 0.0), ("rigid", 1, 1.0, 0.0))


class Agnostic(ClusterPolicy):
    """Fewest servers as long as there are any."""

    name = "agnostic"

    def decide(self, observation: Observation) -> IntArray:
        """Oldest first."""
        state = observation.state
        order = np.arange(len(state.job))
        return grant(order, self.fewest(state), self.header.capacity)


class Erratic(ClusterPolicy):
    """Random levels for random jobs, and often nothing."""

    name = "erratic"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def start(self) -> None:
        """Draw anew."""
        self.rng = np.random.default_rng(self.seed)

    def decide(self, observation: Observation) -> IntArray:
        """Whatever fits of a random wish."""
        state = observation.state
        fewest, most = self.fewest(state), self.header.most[state.profile]
        wish = self.rng.integers(fewest, most + 1)
        wish[self.rng.random(len(wish)) < 0.4] = 0
        wish = np.minimum(wish, np.where(fewest > self.header.capacity, 0, wish))
        return grant(self.rng.permutation(len(wish)), wish, self.header.capacity)


class Scripted(ClusterPolicy):
    """The answers of a list, and the observations that they answered."""

    name = "scripted"

    def __init__(self, *answers: Any) -> None:
        self.answers = answers

    def start(self) -> None:
        """Nothing seen yet."""
        self.seen: list[Observation] = []

    def decide(self, observation: Observation) -> Any:
        """The next one."""
        self.seen.append(observation)
        return self.answers[observation.slot]


def two_jobs(**parameters: Any) -> ClusterInstance:
    """Job 1 of 2.25 slots from slot 0, job 0 of 1 slot from slot 1; two servers."""
    return cluster(
        [100.0, 200.0, 300.0, 400.0, 500.0, 600.0],
        [(1, 1.0, "calm", "rigid"), (0, 2.25, "calm", "flex")],
        queues=[("calm", 3, 2.0)],
        profiles=PROFILES,
        capacity=2,
        **parameters,
    )


def test_what_a_policy_is_told() -> None:
    """The state of every slot of a run of two jobs, by hand."""
    policy = Scripted([1], [0, 1], [2])
    environment = ClusterEnvironment(two_jobs())
    replay(environment, policy)
    first, second, third = (observation.state for observation in policy.seen)
    assert [o.slot for o in policy.seen] == [0, 1, 2]
    assert [o.time.hour for o in policy.seen] == [0, 1, 2]
    assert [o.past[SERIES].tolist() for o in policy.seen] == [[100], [100, 200], [100, 200, 300]]
    assert intensity(policy.seen[2]) == 300
    assert all(o.forecast is None for o in policy.seen)
    assert first.job.tolist() == [0]
    # Jobs are numbered in the order of their arrival, whatever their own numbers are.
    assert second.job.tolist() == [0, 1]
    assert second.arrival.tolist() == [0, 1]
    assert second.work_done.tolist() == [1, 0]
    assert second.servers.tolist() == [1, 0]
    assert second.waited.tolist() == [0, 0]
    assert third.job.tolist() == [0]
    assert third.waited.tolist() == [1]
    assert third.servers.tolist() == [0]
    assert third.work_done.tolist() == [1]
    done = third.finished
    assert (done.job.tolist(), done.length.tolist(), done.delay.tolist()) == ([1], [1], [0])
    assert second.finished.job.tolist() == []
    # 1.25 are left, which two servers do in five sixths of a slot.
    tables = decisions(environment)
    assert tables["schedule"].to_numpy().tolist() == [
        [0, 1, 1, 1],
        [1, 0, 1, 1],
        [1, 2, 2, pytest.approx(1.25 / 1.5)],
    ]
    ends = tables["jobs"].set_index("job")
    assert ends["finish_slot"].tolist() == [pytest.approx(2 + 1.25 / 1.5), 2]
    assert ends["delay_slots"].tolist() == [pytest.approx(2 + 1.25 / 1.5 - 2.25), 0]
    assert audit(two_jobs(), tables).ok


def test_header_holds_no_future() -> None:
    """The header has no lengths and no carbon but those of the past."""
    made = small(1, past=True)
    header = header_of(made)
    assert header.past is not None
    assert header.past.carbon.tolist() == made.past_carbon.tolist()
    assert header.past.jobs.count == made.past_jobs.count  # type: ignore[union-attr]
    assert header_of(small(1)).past is None
    fields = set(vars(header))
    assert fields == {
        *("slots", "slot_hours", "start", "slots_per_day", "capacity", "server_kw"),
        *("network_w_per_gbps", "start_kwh", "queues", "profiles", "past"),
    }
    assert header.throughput.tolist() == [
        [
            dict(zip(p.servers.tolist(), p.throughput.tolist(), strict=True)).get(k, 0.0)
            for k in range(max(q.most for q in made.profiles) + 1)
        ]
        for p in made.profiles
    ]
    assert header.marginal.cumsum(axis=1)[:, -1] == pytest.approx(
        [p.throughput[-1] for p in made.profiles]
    )


@given(seed=st.integers(0, 10**6), past=st.booleans(), whole=st.booleans())
@settings(deadline=None, derandomize=True, max_examples=40)
def test_every_run_is_sound(seed: int, past: bool, whole: bool) -> None:
    """Whatever a policy answers, its plan keeps all limits, and all jobs are done."""
    made = small(seed, jobs=15, slots=30, past=past, whole=whole, start_kwh=0.01)
    policy = Erratic(seed)
    environment = ClusterEnvironment(made)
    replay(environment, policy)
    schedule = environment.schedule
    assert audit(made, decisions(environment)).ok
    used = np.bincount(schedule.slot, weights=schedule.servers)
    assert used.max() <= made.capacity
    assert (schedule.slot >= made.jobs.arrival[schedule.job]).all()
    result = outcome(made, schedule)
    # Nothing runs after the end, and only the slot of the end is used in part.
    assert (schedule.slot < result.finish[schedule.job]).all()
    partial = schedule.share < 1
    assert (schedule.slot[partial] + 1 > result.finish[schedule.job[partial]]).all()
    assert result.work == pytest.approx(made.jobs.length, rel=1e-9)
    again = ClusterEnvironment(made)
    replay(again, Erratic(seed))
    assert np.array_equal(again.schedule.servers, schedule.servers)


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, derandomize=True, max_examples=20)
def test_state_against_plain_loops(seed: int) -> None:
    """Work, waiting and ends that a policy is told are what its answers make, job by job."""
    made = small(seed, jobs=8, slots=24)
    policy, environment = Erratic(seed), ClusterEnvironment(made)
    policy.reset(environment.header)
    done, waited, alive = {}, {}, {}
    ended: list[int] = []
    told: dict[int, tuple[float, float, int]] = {}
    while (observation := environment.observe()) is not None:
        state, slot = observation.state, observation.slot
        for job in range(made.jobs.count):
            if made.jobs.arrival[job] == slot:
                done[job], waited[job], alive[job] = 0.0, 0, True
        assert state.job.tolist() == [job for job in sorted(alive) if alive[job]]
        assert state.work_done.tolist() == pytest.approx([done[j] for j in state.job.tolist()])
        assert state.waited.tolist() == [waited[j] for j in state.job.tolist()]
        gone = state.finished
        assert sorted(gone.job.tolist()) == sorted(ended)
        of_each = zip(gone.length.tolist(), gone.delay.tolist(), gone.queue.tolist(), strict=True)
        told |= dict(zip(gone.job.tolist(), of_each, strict=True))
        ended = []
        answer = policy.decide(observation)
        for job, servers in zip(state.job.tolist(), answer.tolist(), strict=True):
            profile = made.profiles[made.jobs.profile[job]]
            if not servers:
                waited[job] += 1
                continue
            done[job] += profile.throughput[profile.servers.tolist().index(servers)]
            if done[job] >= made.jobs.length[job] * (1 - 1e-12):
                alive[job] = False
                ended.append(job)
        environment.act(answer)
    # What is told of jobs that have ended is what the accounts say of them.
    delay = outcome(made, environment.schedule).delay
    assert len(told) == made.jobs.count - len(ended)
    for job, (length, late, queue) in told.items():
        assert length == made.jobs.length[job]
        assert queue == made.jobs.queue[job]
        assert late == pytest.approx(delay[job], abs=1e-9)


class Late(Agnostic):
    """Sleeps through the whole series."""

    name = "late"

    def decide(self, observation: Observation) -> IntArray:
        """Nothing until the series is over."""
        answer = super().decide(observation)
        return answer if observation.slot >= self.header.slots else 0 * answer


def test_a_run_goes_on_until_all_is_done() -> None:
    """After the series the last day repeats, in what is seen, in forecasts and in the accounts."""
    made = cluster(np.arange(1.0, 31.0), [(0, 2), (3, 1)], capacity=1, late_factor=0.0)
    seen: list[Observation] = []

    class Watching(Late):
        needs = frozenset({"forecast"})

        def decide(self, observation: Observation) -> IntArray:
            seen.append(observation)
            return super().decide(observation)

    environment = ClusterEnvironment(made, forecast=FixedForecast(made.carbon))
    replay(environment, Watching())
    assert len(seen) == 33
    assert seen[-1].past[SERIES].tolist() == [*range(1, 31), 7, 8, 9]
    found = audit(made, decisions(environment))
    assert found.ok
    assert found.cost["carbon_g"] == 7 + 8 + 9
    for observation in seen:
        slot, forecast = observation.slot, observation.forecast
        assert forecast is not None
        assert len(forecast) >= 24
        assert forecast[:24].tolist() == made.carbon_until(slot + 24)[slot:].tolist()


def test_a_forecast_is_only_what_is_forecast() -> None:
    """A forecast that knows the past only is shown as it is, and goes on a day like its last."""
    made = cluster([*range(1, 25), *range(101, 111)], [(0, 30)], capacity=1)
    policy = Scripted(*[[1]] * 30)
    environment = ClusterEnvironment(made, forecast=DayBeforeForecast(34, 24))
    replay(environment, policy)
    forecast = policy.seen[25].forecast
    assert forecast is not None
    assert forecast[:9].tolist() == [102, *range(3, 11)]
    assert len(forecast) == 34 - 25 + 24


def test_a_policy_that_never_ends_is_refused() -> None:
    """It is told how long it took and how many jobs are left."""

    class Never(Agnostic):
        def decide(self, observation: Observation) -> IntArray:
            return 0 * super().decide(observation)

    with pytest.raises(UsageError, match="not finished 2 jobs"):
        replay(ClusterEnvironment(two_jobs()), Never())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([1, 1], "each of the 1 jobs"),
        ([], "each of the 1 jobs"),
        (1, "each of the 1 jobs"),
        ([[1]], "each of the 1 jobs"),
        ([0.5], "whole number"),
        ([np.nan], "whole number"),
        ([np.inf], "whole number"),
        ([-1], "0, or 1 to 2"),
        ([3], "0, or 1 to 2"),
        (None, "whole number"),
        (["many"], "whole numbers"),
        ({"job": 1}, "whole numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_wrong_answers_are_refused(answer: Any, words: str) -> None:
    """An answer of another form or level never becomes a plan, and says which slot it was."""
    with pytest.raises(UsageError, match=words) as caught:
        replay(ClusterEnvironment(two_jobs()), Scripted(answer))
    assert "slot 0" in str(caught.value)


def test_more_than_the_capacity_is_refused() -> None:
    """Each job alone would fit."""
    with pytest.raises(UsageError, match="asked for 3 servers; the cluster has 2"):
        replay(ClusterEnvironment(two_jobs()), Scripted([1], [2, 1]))


def test_a_job_below_its_fewest_servers_is_refused() -> None:
    """The job is named by its own number."""
    made = cluster([1.0] * 4, [(2, 1), (0, 1, "only", "wide")], profiles=(*WIDE,))
    with pytest.raises(UsageError, match=r"gave job 1 1 servers; allowed: 0, or 2 to 3"):
        replay(ClusterEnvironment(made), Scripted([1]))


WIDE = (("rigid", 1, 1.0, 0.0), ("wide", 2, 1.0, 0.0), ("wide", 3, 1.1, 0.0))


def test_nothing_is_left_to_do() -> None:
    """After the last job there is no observation, and an answer is refused."""
    environment = ClusterEnvironment(cluster([1.0, 1.0], [(0, 1)]))
    replay(environment, Agnostic())
    assert environment.observe() is None
    with pytest.raises(UsageError, match="nothing is left to do"):
        environment.act([])


def test_slots_without_jobs() -> None:
    """Before the first arrival and between jobs the system is empty, and so is the answer."""
    made = cluster([1.0] * 6, [(1, 1), (4, 2)])
    policy = Scripted([], [1], [], [], [1], [1])
    replay(ClusterEnvironment(made), policy)
    assert [len(o.state.job) for o in policy.seen] == [0, 1, 0, 0, 1, 1]


def test_rounding_at_the_end() -> None:
    """Three slots do a job of three slots and a last digit: no sliver is left for a fourth."""
    made = cluster([1.0] * 8, [(0, float(np.nextafter(3, 4)))])
    assert made.jobs.length[0] > 3
    environment = ClusterEnvironment(made)
    replay(environment, Agnostic())
    assert environment.schedule.slot.tolist() == [0, 1, 2]
    assert audit(made, decisions(environment)).cost["late_g"] == 0


def test_what_is_told_cannot_be_changed() -> None:
    """A policy that writes into its observation changes nothing."""

    class Writing(Agnostic):
        def decide(self, observation: Observation) -> IntArray:
            state = observation.state
            for array in (state.work_done, state.waited, state.job, observation.past[SERIES]):
                with pytest.raises(ValueError, match="read-only"):
                    array[0] = 9
            return super().decide(observation)

    replay(ClusterEnvironment(small(2, jobs=2)), Writing())


def test_tables_of_an_unfinished_schedule() -> None:
    """Jobs that never ran have no start; the tables can be made at any time."""
    environment = ClusterEnvironment(two_jobs())
    tables = tables_of(environment.instance, environment.schedule)
    assert tables["schedule"].empty
    assert tables["jobs"]["start_slot"].tolist() == [-1, -1]


class Leaky(ClusterEnvironment):
    """An environment whose header brings the whole instance along."""

    def __init__(self, instance: ClusterInstance, **options: Any) -> None:
        super().__init__(instance, **options)
        object.__setattr__(self.header, "secret", instance)


class Peeking(Agnostic):
    """Runs a job only if a secret is even; `what` says which."""

    name = "peeking"

    def __init__(self, what: str) -> None:
        self.what = what

    def decide(self, observation: Observation) -> IntArray:
        """Read what is not there to be read."""
        made, slot = self.header.secret, observation.slot  # type: ignore[attr-defined]
        jobs, state = made.jobs, observation.state
        secret = {
            "carbon": made.carbon_until(slot + 2)[slot + 1] * 10,
            "length": jobs.length[state.job] * 1000,
            "arrivals": (jobs.arrival == slot + 1).sum(),
            "lengths to come": jobs.length[jobs.arrival > slot].sum() * 1000,
        }[self.what]
        odd = np.floor(secret) % 2 == 1
        overdue = self.overdue(state)
        return np.where(odd & ~overdue, 0, super().decide(observation))


@pytest.mark.parametrize("what", ["carbon", "length", "arrivals", "lengths to come"])
def test_the_harness_sees_who_peeks(what: str) -> None:
    """A policy that reads the next carbon, a length or a later job is caught; others are not."""
    made = small(4, jobs=20, slots=40, utilisation=0.3)
    with pytest.raises(AssertionError, match="after slot"):
        for seed in range(4):
            assert_no_peeking(
                lambda: Peeking(what),
                made,
                environment=Leaky,
                slots=range(0, 30, 3),
                seed=seed,
            )


@pytest.mark.parametrize("seed", range(4))
def test_the_harness_lets_others_pass(seed: int) -> None:
    """Policies that decide by what they are told pass, in the leaky environment as well."""
    made = small(seed, jobs=20, slots=40, past=True)
    assert_no_peeking(Agnostic, made, seed=seed)
    assert_no_peeking(lambda: Erratic(seed), made, seed=seed, environment=Leaky)


def test_first_slot_of_a_start_within_a_day() -> None:
    """Times count from the start of the instance."""
    policy = Scripted(*[[1]] * 2)
    made = cluster([1.0] * 4, [(0, 2)], minutes=15.0, start=START + np.timedelta64(45, "m"))
    replay(ClusterEnvironment(made), policy)
    assert [str(o.time)[11:16] for o in policy.seen] == ["00:45", "01:00"]


@pytest.mark.parametrize("seed", range(3))
def test_latest_is_what_ran_in_the_slot_before(seed: int) -> None:
    """Slot by slot the latest rows make up the whole schedule; an idle slot has none.

    Rows of an earlier slot that were told once more after an idle one would be counted twice.
    """
    environment = ClusterEnvironment(small(seed))
    policy = Erratic(seed)
    policy.reset(environment.header)
    told: list[tuple[int, int, int, float]] = []
    while (seen := environment.observe()) is not None:
        environment.act(policy.decide(seen))
        rows = environment.latest
        assert (rows.slot == seen.slot).all()
        told += zip(
            *(x.tolist() for x in (rows.job, rows.slot, rows.servers, rows.share)), strict=True
        )
    whole = environment.schedule
    assert told == list(
        zip(*(x.tolist() for x in (whole.job, whole.slot, whole.servers, whole.share)), strict=True)
    )
