"""One run under a policy: out-of-range answers, the last slot, and what a policy can reach."""

from __future__ import annotations

import dataclasses
import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.forecast import FixedForecast
from optmodels.policy import Policy, replay
from optmodels.scaling.job.audit import audit
from optmodels.scaling.job.replay import SERIES, JobEnvironment, decisions, header_of
from tests.scaling.job.instances import CONCAVE, MEASURED, job, random_job


class Fixed(Policy):
    """Answers from a list, in order, then the cap."""

    name = "fixed"

    def __init__(self, answers):
        self.answers = list(answers)
        self.seen = []

    def reset(self, header):
        """Remember the header."""
        self.header = header

    def decide(self, observation):
        """Next answer of the list."""
        self.seen.append(observation)
        return self.answers.pop(0) if self.answers else self.header.cap


@pytest.mark.parametrize(
    "answer",
    [-1e-6, 3.001, np.nan, np.inf, -np.inf, "1", None, [1.0], np.array([1.0]), 1j, 1e300],
)
def test_answers_out_of_range_are_refused(answer):
    """Nothing is carried out, and the run goes on with a right answer."""
    env = JobEnvironment(job([10, 20, 30], profile=CONCAVE, rate_cap=3.0, work=4))
    env.observe()
    with pytest.raises(UsageError, match="slot 0"):
        env.act(answer)
    assert not env.shares.any()
    env.act(3.0)
    assert env.observe().slot == 1


def test_rounding_at_the_ends_of_the_range_is_no_offence():
    """A billionth of the cap is rounding; it is clipped, not carried out."""
    inst = job([10, 20, 30], profile=CONCAVE, rate_cap=2.5, work=4)
    env = JobEnvironment(inst)
    env.act(2.5 * (1 + 5e-10))
    env.act(-5e-10)
    assert (env.shares @ inst.profile.servers).tolist() == [2.5, 0, 0]


def test_a_rate_between_two_levels_is_a_mix_in_time():
    """1.5 servers: half the slot on one, half on two; servers, work and power follow."""
    inst = job([10, 20, 30], profile=CONCAVE, work=4)
    env = JobEnvironment(inst)
    env.act(1.5)
    assert env.shares[0].tolist() == [0, 0.5, 0.5, 0, 0]
    assert env.observe().state.work_done == pytest.approx(1.45, rel=1e-15)
    assert env.observe().state.servers == 1.5


def test_nothing_can_be_done_after_the_end():
    """Neither after the last unit of work nor after the deadline."""
    env = JobEnvironment(job([10, 20], work=0.5))
    env.act(1.0)
    assert env.observe() is None
    with pytest.raises(UsageError, match="after the end"):
        env.act(1.0)
    late = JobEnvironment(job([10, 20], work=2))
    late.act(0.0)
    late.act(1.0)
    assert late.observe() is None
    with pytest.raises(UsageError, match="after the end"):
        late.act(0.0)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([None, CONCAVE, MEASURED]))
def test_the_last_slot_is_cut_off_exactly(seed, profile):
    """Whatever the answers, the work adds up to W to 1e-12, and the audit is clean."""
    rng = np.random.default_rng(seed)
    inst = random_job(rng, profile=profile)
    env = JobEnvironment(inst)
    # Enough in the later slots to be done in time.
    answers = np.where(np.arange(inst.slots) < 0.3 * inst.slots, rng.uniform(0, 1, inst.slots), 1)
    replay(env, Fixed(inst.cap * answers))
    tables = decisions(env)
    work = tables["schedule"]["work"].sum()
    assert work == pytest.approx(inst.parameters.work, rel=1e-12)
    assert audit(inst, tables).ok
    assert env.observe() is None


def test_what_an_observation_holds():
    """Slot, time, the past up to now, progress, the forecast from now on."""
    inst = job([10, 20, 30, 40], history=[7, 8], work=3)
    policy = Fixed([0.5, 1, 1, 1])
    env = JobEnvironment(inst, forecast=FixedForecast([1, 2, 3, 4]))
    replay(env, policy)
    third = policy.seen[2]
    assert third.slot == 2
    assert third.time == inst.times[2]
    assert third.past[SERIES].tolist() == [10, 20, 30]
    assert (third.state.work_done, third.state.servers) == (1.5, 1.0)
    assert third.forecast.tolist() == [30, 4]
    assert policy.header.history.tolist() == [7, 8]


SECRET = 123.456789


def reachable(root):
    """Every array and number that can be reached from an object through its attributes."""
    found, queue, known = [], [root], set()
    while queue:
        item = queue.pop()
        if id(item) in known or isinstance(item, type):
            continue
        known.add(id(item))
        if isinstance(item, np.ndarray):
            found += item.ravel().tolist()
            queue.append(item.base)
        elif isinstance(item, bytes) and len(item) % 8 == 0:
            found += np.frombuffer(item).tolist()
        elif isinstance(item, float):
            found.append(item)
        elif isinstance(item, dict | list | tuple) or dataclasses.is_dataclass(item):
            queue += gc.get_referents(item)
    return found


def test_the_future_cannot_be_reached_from_an_observation():
    """Following every attribute, view and base finds the past and nothing of the future."""
    inst = job([10, 20, SECRET, SECRET], history=[7, 8], work=3, work_min=1, work_max=5)
    policy = Fixed([0.1, 0.1, 0.1, 0.1])
    replay(JobEnvironment(inst), policy)
    for slot, observation in enumerate(policy.seen[:2]):
        env = JobEnvironment(inst)
        for _ in range(slot):
            env.act(0.1)
        found = reachable((env.header, env.observe()))
        assert 10.0 in found
        assert 8.0 in found
        assert SECRET not in found
        assert observation.slot == slot
    third = JobEnvironment(inst)
    third.act(0.1)
    third.act(0.1)
    assert SECRET in reachable(third.observe())


def test_the_header_and_the_past_cannot_be_changed():
    """Neither fields nor arrays, not even by setting their flags."""
    env = JobEnvironment(job([10, 20, 30], history=[7], profile=CONCAVE, work=4))
    header = env.header
    with pytest.raises(dataclasses.FrozenInstanceError):
        header.work = 1.0
    profile = header.profile
    for array in (header.history, profile.servers, profile.throughput, profile.power_kw):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    past = env.observe().past[SERIES]
    with pytest.raises(ValueError, match="read-only"):
        past[0] = 1


def test_a_policy_that_tampers_with_its_past_fools_only_itself():
    """Forcing the buffer open changes neither what is revealed later nor the audit."""
    inst = job([10, 20, 30], work=2)
    env = JobEnvironment(inst)
    view = env.observe().past[SERIES]
    view.base.flags.writeable = True
    view.base[:] = -1
    env.act(1.0)
    assert env.observe().past[SERIES][-1] == 20
    env.act(1.0)
    assert audit(inst, decisions(env)).cost["execution_g"] == 30


def test_a_hidden_length_is_hidden_unless_granted():
    """The header has bounds and prediction only; with the grant, the length and nothing else."""
    inst = job([10] * 8, work=SECRET / 100, work_min=1, work_max=5, work_predicted=2)
    hidden = header_of(inst, reveal_length=False)
    assert hidden.work is None
    assert (hidden.work_min, hidden.work_max, hidden.work_predicted) == (1, 5, 2)
    assert SECRET / 100 not in reachable(hidden)
    granted = JobEnvironment(inst, frozenset({"length"})).header
    assert {granted.work, granted.work_min, granted.work_max, granted.work_predicted} == {
        SECRET / 100
    }
    unpredicted = header_of(inst.replace(work_predicted=None), reveal_length=False)
    assert unpredicted.work_predicted == 5
    assert header_of(job([10], work=0.5), reveal_length=False).work == 0.5


def test_a_hidden_length_shows_only_by_its_end():
    """The same observations, whatever the true length, until the job is over."""
    runs = []
    for work in (2.0, 4.0):
        inst = job([10, 20, 30, 40, 50], work=work, work_min=1, work_max=5)
        policy = Fixed([0.5] * 5)
        replay(JobEnvironment(inst), policy)
        runs.append([(o.slot, o.state, o.past[SERIES].tolist()) for o in policy.seen])
    assert runs[0] == runs[1][: len(runs[0])]
