"""What CarbonFlex sees, remembers and concludes: features, cases, provisioning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.forecast import FixedForecast
from optmodels.policy import replay
from optmodels.scaling.cluster.audit import Schedule
from optmodels.scaling.cluster.learning.carbonflex import CarbonFlex, Violations
from optmodels.scaling.cluster.learning.cases import CaseBase, Cases, together
from optmodels.scaling.cluster.learning.features import elasticity_of, feature_names, features
from optmodels.scaling.cluster.learning.history import History, windows_of
from optmodels.scaling.cluster.learning.lessons import lessons, walk
from optmodels.scaling.cluster.learning.provisioning import provision
from optmodels.scaling.cluster.replay import ClusterEnvironment, Finished, Past, header_of
from tests.scaling.cluster.instances import cluster, small

TWO = (("rigid", 1, 1.0, 0.0), ("good", 1, 1.0, 0.0), ("good", 2, 1.5, 0.0))
QUEUES = (("short", 2, 1.0), ("long", 4, 2.0))


def cases(states, servers, threshold=None, slot=None):
    """Cases from plain lists; states may have a single feature."""
    array = np.array(states, dtype=float).reshape(len(servers), -1)
    rho = np.full(len(servers), 0.5) if threshold is None else np.array(threshold, dtype=float)
    when = np.zeros(len(servers), dtype=np.int64) if slot is None else np.array(slot)
    return Cases(array, np.array(servers, dtype=float), rho, when)


def decide(base, state, violation=0.0, needed=0, capacity=100):
    """Servers and threshold at a tolerance of 5 %."""
    found = provision(
        base,
        np.atleast_1d(np.array(state, dtype=float)),
        violation=violation,
        tolerance=0.05,
        needed=needed,
        capacity=capacity,
    )
    return found.servers, found.threshold


class Watched(CarbonFlex):
    """CarbonFlex that keeps the features it saw."""

    def start(self):
        """Nothing seen yet."""
        super().start()
        self.saw = []

    def decide(self, observation):
        """Decide as ever."""
        self.saw.append(self.features(observation))
        return super().decide(observation)


def run(instance, policy):
    """Environment after a replay with a perfect forecast."""
    environment = ClusterEnvironment(instance, forecast=FixedForecast(instance.carbon))
    replay(environment, policy)
    return environment


def test_features_of_a_slot_by_hand():
    """CI 200 after 150; one of three later slots is cleaner; 1 and 2 jobs; elasticities 1, .75."""
    [found] = features(
        np.array([200.0]),
        np.array([150.0]),
        np.array([[300.0, 200.0, 100.0]]),
        np.array([[1, 2]]),
        np.array([[2, 1]]),
        np.array([1.0, 0.75]),
    )
    assert found == pytest.approx([200, 50, 1 / 3, 1, 2, (1 + 1 + 0.75) / 3])
    assert len(found) == len(feature_names(("a", "b")))


def test_features_of_an_empty_system():
    """Nobody there: elasticity 1, and no division by zero; without slots ahead the rank is 0."""
    [found] = features(
        np.array([5.0]),
        np.array([5.0]),
        np.empty((1, 0)),
        np.zeros((1, 1), dtype=int),
        np.zeros((1, 2), dtype=int),
        np.array([0.3, 0.4]),
    )
    assert found.tolist() == [5, 0, 0, 0, 1]


def test_elasticity_is_the_mean_work_of_the_levels():
    """1 and (1 + .5) / 2; a single level is 1, as a job that scales linearly is."""
    instance = cluster([100.0] * 4, [(0, 1.0)], profiles=TWO)
    assert elasticity_of(instance.profiles) == pytest.approx([0.75, 1.0])


def test_walk_by_hand():
    """Two jobs, six slots of six hours: who is there when, and what the carbon is like."""
    instance = cluster(
        [100.0, 50.0, 80.0, 60.0, 70.0, 90.0],
        [(0, 1.5, "short", "good"), (1, 1.0, "long", "rigid")],
        queues=QUEUES,
        profiles=TWO,
        minutes=360.0,
    )
    # Job 0 on two servers in slot 1 (1.5 of work), job 1 in slot 3.
    plan = Schedule(np.array([0, 1]), np.array([1, 3]), np.array([2, 1]), np.array([1.0, 1.0]))
    states = walk(header_of(instance), instance.jobs, plan, instance.carbon, 110.0)
    assert states[:, 0].tolist() == [100, 50, 80, 60, 70, 90]
    assert states[:, 1].tolist() == [-10, -50, 30, -20, 10, 20]
    # A day has four slots, so three lie ahead; after the series its last day repeats.
    assert states[:, 2] == pytest.approx([1, 0, 2 / 3, 0, 1 / 3, 1])
    assert instance.queues.names == ("long", "short")
    assert states[:, 3].tolist() == [0, 1, 1, 1, 0, 0]
    assert states[:, 4].tolist() == [1, 1, 0, 0, 0, 0]
    assert states[:, 5] == pytest.approx([0.75, 0.875, 1, 1, 1, 1])


@given(st.integers(0, 10**6))
@settings(deadline=None, derandomize=True, max_examples=15)
def test_walk_sees_what_the_policy_sees(seed):
    """States that are put together afterwards equal those that the policy saw online.

    A job counted a slot too long, or another day ahead, would make every learned case a lie.
    """
    instance = small(seed, jobs=14, slots=60)
    policy = Watched()
    environment = run(instance, policy)
    plan, first = environment.schedule, float(instance.carbon[0])
    states = walk(environment.header, instance.jobs, plan, instance.carbon, first)
    seen = np.array(policy.saw)[: instance.slots]
    assert states[: len(seen)] == pytest.approx(seen, rel=1e-12)


def test_nearest_cases_are_found_in_scaled_features():
    """Raw, the carbon of the second case would be nearer; in standard deviations the jobs count."""
    base = CaseBase(cases([[100, 0], [400, 1], [700, 10], [1000, 11]], [1, 2, 3, 4]), 1, 95.0)
    assert base.nearest(np.array([520.0, 9.0])).servers.tolist() == [3]


def test_feature_that_never_changes_keeps_its_unit():
    """A constant feature has no spread to divide by; the distance to it is finite."""
    base = CaseBase(cases([[1, 7], [3, 7]], [1, 2]), 2, 95.0)
    assert base.nearest(np.array([1.0, 9.0])).distance.tolist() == pytest.approx([2, 8**0.5])


def test_base_with_fewer_cases_than_neighbours_uses_all():
    """Two cases and k = 5: the mean of two, not of phantoms at infinite distance."""
    assert decide(CaseBase(cases([1, 2], [4, 8]), 5, 95.0), 1) == (6, 0.5)


def test_far_is_the_percentile_of_the_distances_to_others():
    """Cases at 0, 1, 3 (spread 1.247): distances to the nearest other 1, 1, 2."""
    base = CaseBase(cases([0, 1, 3], [1, 1, 1]), 1, 50.0)
    spread = np.std([0, 1, 3])
    assert base.far == pytest.approx(1 / spread)
    assert CaseBase(base.cases, 1, 100.0).far == pytest.approx(2 / spread)
    assert CaseBase(base.cases, 2, 100.0).far == pytest.approx(2.5 / spread)
    assert CaseBase(cases([0], [1]), 5, 95.0).far == np.inf


def test_old_cases_are_forgotten():
    """A case of the slot itself stays, one from before goes."""
    both = together([cases([1], [4], slot=[-3]), cases([2], [8], slot=[5])])
    assert both.since(-3).count == 2
    assert both.since(-2).servers.tolist() == [8]


#: Cases at 0, 1, ..., 9 whose servers are far from a line.
LINE = CaseBase(
    cases(range(10), [10, 20, 10, 50, 11, 20, 30, 40, 50, 60], np.arange(10) / 10), 3, 95.0
)


def test_in_time_the_mean_of_the_neighbours():
    """Neighbours 1, 2, 3 of state 2: 20, 10, 50 give 26.67, rounded up; thresholds .1, .2, .3."""
    assert decide(LINE, 2) == (27, pytest.approx(0.2))
    assert decide(LINE, 2, violation=0.05) == (27, pytest.approx(0.2))


def test_in_trouble_the_most_of_the_neighbours():
    """Beyond the tolerance the neighbours' largest number and least threshold."""
    assert decide(LINE, 2, violation=0.0501) == (50, pytest.approx(0.1))


def test_in_trouble_and_unfamiliar_all_servers():
    """Far from everything and late: all servers. Far from everything and in time: the mean."""
    assert decide(LINE, 30, violation=0.06) == (100, pytest.approx(0.7))
    assert decide(LINE, 30) == (50, pytest.approx(0.8))


def test_known_state_gives_what_the_oracle_did():
    """With the exact state in the base and k = 1 the answer is the oracle's, whatever else."""
    base = CaseBase(LINE.cases, 1, 95.0)
    for place in range(10):
        expected = (LINE.cases.servers[place], LINE.cases.threshold[place])
        assert decide(base, place) == expected
        assert decide(base, place, violation=1.0) == expected


def test_provision_keeps_between_need_and_capacity():
    """Overdue jobs raise it, the capacity ends it."""
    assert decide(LINE, 2, needed=40)[0] == 40
    assert decide(LINE, 2, capacity=15)[0] == 15
    assert decide(LINE, 2, needed=40, capacity=15)[0] == 15


def test_mean_that_is_whole_but_for_rounding_is_not_rounded_up():
    """(.1 + .2) style sums must not cost a server."""
    base = CaseBase(cases(range(3), [2 + 1e-12, 2, 2]), 3, 95.0)
    assert decide(base, 1)[0] == 2


def finished(*rows):
    """Jobs that ended: (queue, delay)."""
    queue = np.array([row[0] for row in rows], dtype=np.int64)
    delay = np.array([row[1] for row in rows], dtype=float)
    return Finished(np.arange(len(rows)), queue, np.ones(len(rows)), delay)


def test_violations_by_hand():
    """Delays of 6 and 24: 9 is half too late, 20 and -3 are in time; nobody ended: value stays."""
    seen = Violations(np.array([6, 24]), 1)
    assert seen.recent == 0
    seen.note(1, finished((0, 9.0), (1, 20.0), (0, -3.0)))
    assert seen.recent == pytest.approx(0.5 / 3)
    seen.note(2, finished())
    assert seen.recent == pytest.approx(0.5 / 3)
    seen.note(3, finished((1, 30.0)))
    assert seen.recent == pytest.approx(0.25)
    seen.note(4, finished((1, 24.0 + 1e-12)))
    assert seen.recent == 0


def test_violations_of_the_last_hour():
    """With slots of 20 minutes the jobs of three slots count; delay 0 is judged as 1."""
    seen = Violations(np.array([0, 2]), 3)
    seen.note(1, finished((0, 2.0)))
    seen.note(2, finished((1, 2.0), (1, 3.0)))
    assert seen.recent == pytest.approx((2 + 0 + 0.5) / 3)
    seen.note(3, finished())
    assert seen.recent == pytest.approx((2 + 0 + 0.5) / 3)
    seen.note(4, finished())
    assert seen.recent == pytest.approx(0.25)


def test_windows_cover_the_past_once_with_margins():
    """Every slot is learned from once; margins end where the past does; arrivals count anew."""
    past_jobs = [(slot, 1.0) for slot in range(0, 50, 5)]
    instance = cluster([100.0] * 3, [(0, 1.0)], past_carbon=np.arange(50.0), past_jobs=past_jobs)
    past = Past(instance.past_carbon, instance.past_jobs)
    windows = windows_of(past, 20, 6)
    assert [(w.start, w.keep, len(w.carbon)) for w in windows] == [
        (-50, (0, 10), 16),
        (-46, (6, 26), 32),
        (-26, (6, 26), 26),
    ]
    assert windows[1].carbon[0] == 4
    assert windows[1].jobs.arrival.tolist() == [1, 6, 11, 16, 21, 26, 31]
    kept = [s for w in windows for s in range(w.start + w.keep[0], w.start + w.keep[1])]
    assert kept == list(range(-50, 0))


def test_history_knows_lengths_of_ended_jobs_and_work_of_others():
    """Ended: the length. Running: the work done. Not started: left out."""
    instance = cluster(
        [100.0] * 12,
        [(0, 1.0), (0, 6.0), (1, 2.0), (2, 3.0)],
        capacity=2,
        queues=(("only", 3, 1.0),),
    )
    history = History()
    environment = ClusterEnvironment(instance)
    answers = [[1, 1], [1, 1], [1, 0, 0]]
    for answer in answers:
        state = environment.observe().state
        history.note(state)
        environment.act(np.resize(answer, len(state.job)) if len(state.job) else np.empty(0))
    observation = environment.observe()
    history.note(observation.state)
    carbon = observation.past["carbon_g_per_kwh"][:3]
    window = history.window(observation.state, carbon, 0, (0, 2))
    assert window.jobs.length.tolist() == [1.0, 3.0, 1.0]
    assert window.jobs.arrival.tolist() == [0, 0, 1]
    later = history.window(observation.state, carbon, 1, (1, 2))
    assert later.jobs.arrival.tolist() == [0]
    assert later.keep == (0, 1)


def test_lessons_of_shifted_carbon_start():
    """Half a window later: the same jobs under the other half of the carbon, and as many cases."""
    carbon = np.arange(100.0, 124.0)
    instance = cluster([1.0] * 9, [(0, 1.0)], past_carbon=carbon, past_jobs=[(2, 2.0), (9, 1.0)])
    header = header_of(instance)
    [window] = windows_of(header.past, 24, 5)
    true, shifted = lessons(header, window, 2)
    assert true.features[:, 0].tolist() == carbon.tolist()
    assert shifted.features[:, 0].tolist() == np.roll(carbon, -12).tolist()
    assert shifted.features[0, 1] == 1
    assert true.features[0, 1] == 0
    assert true.servers.sum() == shifted.servers.sum() == 3
    assert true.slot.tolist() == list(range(-24, 0))


def test_window_without_jobs_teaches_nothing():
    """An empty cluster is no case worth keeping."""
    instance = cluster([1.0] * 9, [(0, 1.0)], past_carbon=[1.0] * 30, past_jobs=[(20, 1.0)])
    header = header_of(instance)
    assert lessons(header, windows_of(header.past, 5, 1)[0], 1) == []


def test_endless_jobs_and_delays_cost_no_memory():
    """A job of a million slots with a delay of a billion: the window stays what is learned from."""
    instance = cluster(
        [100.0] * 10,
        [(0, 1.0, "soon")],
        queues=(("ever", 10**9, 1.0), ("soon", 0, 1.0)),
        past_carbon=[100.0, 50.0] * 15,
        past_jobs=[(3, 1e6, "ever"), (5, 2.0, "soon")],
    )
    header = header_of(instance)
    found = lessons(header, windows_of(header.past, 30, 4)[0], 1)
    assert found[0].count == 30
    # The endless job runs wherever it is clean; the other when it came.
    assert found[0].servers[5:7].tolist() == [2, 1]
