"""Environments for learners: their rewards are the audit's, and nobody peeks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import optmodels as om
from optmodels.errors import MissingExtraError, UsageError
from optmodels.interop import environment, learnt
from optmodels.interop.agents import LARGEST
from optmodels.scaling.job.job_policy import JobPolicy

gymnasium = pytest.importorskip("gymnasium", reason="the extra 'learning' is not installed")
from gymnasium.utils.env_checker import check_env  # noqa: E402

BUNDLED = Path(__file__).resolve().parents[2] / "instances" / "scaling"
NAMES = (
    "job/caiso-48h",
    "job/elastic-profile-72h",
    "job/unknown-length-96h",
    "job/worst-for-roro",
    "cluster/two-days-12-servers",
)


def load(name: str):
    """A bundled instance."""
    return om.load(BUNDLED / name)


def crowded():
    """A cluster in which jobs come late, and starting servers costs energy."""
    made = om.generate("scaling.cluster", seed=3, hours=30, capacity=8, past_hours=0)
    queues = made.tables["queues"].assign(delay_slots=1)
    return made.replace(queues=queues, capacity=4, start_kwh=0.02, name="crowded")


def episode(env, actions, *, seed=0):
    """Observations, rewards and the last info of an episode."""
    seen, _ = env.reset(seed=seed)
    views, rewards, ended, info = [seen], [], False, {}
    while not ended:
        seen, reward, ended, cut, info = env.step(actions(seen, len(rewards)))
        assert not cut
        views.append(seen)
        rewards.append(reward)
    return np.array(views), np.array(rewards), info


def drawn(env, seed):
    """Actions from a seed."""
    env.action_space.seed(seed)
    return lambda seen, slot: env.action_space.sample()


@pytest.mark.parametrize("name", NAMES)
def test_gymnasium_accepts_it(name: str) -> None:
    """The checker of Gymnasium finds nothing, not even something to warn of."""
    check_env(environment(load(name)), skip_render_check=True)


@pytest.mark.parametrize("make", [*(lambda name=name: load(name) for name in NAMES), crowded])
def test_rewards_are_the_audited_cost(make) -> None:
    """The rewards of an episode sum to minus the audited total, whatever is done in it.

    Forgetting the ramp after the last slot, the servers that start, or the lateness of a job that
    waits would show here; all of these cost something in the instances.
    """
    instance = make()
    env = environment(instance)
    for seed in range(3):
        _, rewards, info = episode(env, drawn(env, seed))
        plan = info["plan"]
        assert -rewards.sum() == pytest.approx(plan.objective, rel=1e-12)
        # The plan is a real one: audited for this instance, and no better than the optimum.
        assert plan.fingerprint == instance.fingerprint
    if make is crowded:
        assert plan.cost["late_g"] > 0
        assert plan.cost["starting_g"] > 0


def test_each_reward_is_the_cost_of_its_slot() -> None:
    """The reward of a slot is its carbon and its ramp, as the audited schedule books them."""
    env = environment(load("job/elastic-profile-72h"))
    _, rewards, info = episode(env, drawn(env, 5))
    booked = (
        info["plan"]
        .tables["schedule"][["execution_g", "switching_g"]]
        .sum(axis=1)
        .to_numpy(copy=True)
    )
    used = len(rewards)
    # The ramp after the last slot is booked with the end of the horizon, and rewarded at the end
    # of the job.
    booked[used - 1] += booked[used:].sum()
    np.testing.assert_allclose(-rewards, booked[:used], rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("name", ["job/elastic-profile-72h", "cluster/two-days-12-servers"])
def test_nobody_peeks(name: str) -> None:
    """A changed future changes nothing that was seen or rewarded before it.

    The forecast is that of the day before: it is made of the past alone.
    """
    instance = load(name)
    carbon = instance.tables["carbon"]
    half = len(carbon) // 2
    changed = carbon.assign(
        carbon_g_per_kwh=np.where(
            np.arange(len(carbon)) > half, 900 - carbon["carbon_g_per_kwh"] / 2, carbon.iloc[:, 1]
        )
    )
    worlds = (instance, instance.replace(carbon=changed))
    runs = []
    for world in worlds:
        env = environment(world, forecast="day-before")
        runs.append(episode(env, ramp(env)))
    (views, rewards, _), (others, their_rewards, _) = runs
    np.testing.assert_array_equal(views[: half + 1], others[: half + 1])
    np.testing.assert_array_equal(rewards[: half - 1], their_rewards[: half - 1])
    assert not np.array_equal(views, others)


def ramp(env):
    """More servers from slot to slot."""
    return lambda seen, slot: [0.1 + 0.01 * slot, 0.5][: len(env.controls)]


def test_what_is_seen() -> None:
    """Time and work left, and carbon over the upper end of its window, past and ahead."""
    instance = load("job/elastic-profile-72h")
    env = environment(instance, forecast="perfect", past_slots=2, ahead_slots=3)
    assert env.features == (
        *("time_left", "work_left", "least_rate", "servers"),
        *("carbon_2_before", "carbon_1_before", "carbon_now"),
        *("carbon_1_ahead", "carbon_2_ahead", "carbon_3_ahead"),
    )
    views, _, _ = episode(env, lambda seen, slot: [0.0])
    upper = instance.window[1]
    known = np.concatenate([instance.history[-2:], instance.carbon])
    np.testing.assert_allclose(views[0][4:], known[:6] / upper, rtol=1e-6)
    np.testing.assert_allclose(views[7][4:], known[7:13] / upper, rtol=1e-6)
    assert views[0][:2].tolist() == [1, 1]
    # Beyond the deadline there is nothing to wait for: it looks as dear as can be.
    last = episode(env, lambda seen, slot: [0.0])[0][-1]
    assert last[-3:].tolist() == [LARGEST] * 3


def test_whatever_is_answered_the_job_is_done() -> None:
    """Who never runs meets the deadline all the same: duties are not the learner's to break."""
    env = environment(load("job/caiso-48h"), ahead_slots=0)
    _, rewards, info = episode(env, lambda seen, slot: [0.0])
    assert len(rewards) == 48
    assert info["plan"].tables["schedule"]["work"].sum() == pytest.approx(12)


def test_seeds() -> None:
    """One seed, one episode: the instance that is drawn and the noise of the forecast."""
    made = [om.generate("scaling.job", seed=seed) for seed in range(4)]
    env = environment(made, forecast="noise:0.3")
    starts = [env.reset(seed=7), env.reset(seed=7), env.reset()]
    assert starts[0][1] == starts[1][1]
    np.testing.assert_array_equal(starts[0][0], starts[1][0])
    assert not np.array_equal(starts[0][0], starts[2][0])
    names = {env.reset()[1]["instance"] for _ in range(40)}
    assert names == {instance.name for instance in made}
    assert env.reset(options={"instance": 2})[1]["instance"] == made[2].name


@pytest.mark.parametrize("name", ["job/elastic-profile-72h", "cluster/two-days-12-servers"])
def test_what_was_trained_is_what_is_judged(name: str) -> None:
    """As a policy a rule makes the plan that it makes in the environment, to the last digit."""
    instance = load(name)
    env = environment(instance, forecast="day-before")
    now = env.features.index("carbon_now")

    def rule(seen):
        return [float(seen[now] < 0.6), 0.3][: len(env.controls)]

    _, rewards, info = episode(env, lambda seen, slot: rule(seen))
    comp = om.compare(instance, [learnt(rule, env, name="below")], forecast="day-before")
    plan = comp.plans["below"]
    assert plan.objective == info["plan"].objective
    assert comp.frame.set_index("policy")["granted"]["below"] == "forecast day-before"
    assert -rewards.sum() == pytest.approx(plan.objective, rel=1e-12)


def test_a_learner_learns() -> None:
    """Cross-entropy search over linear rules, on synthetic jobs, then judged on others.

    The example of docs/interoperation.md. It has to end ahead of running at once on jobs that it
    has never seen; a reward with a wrong sign would end behind.
    """
    jobs = [om.generate("scaling.job", seed=seed) for seed in range(6)]
    env = environment(jobs, forecast="perfect", past_slots=0)
    rng = np.random.default_rng(0)

    def rule(weights):
        return lambda seen: 1 / (1 + np.exp(-np.clip(weights[1:] @ seen + weights[0], -30, 30)))

    def worth(weights, job):
        seen, _ = env.reset(options={"instance": job})
        total, ended, act = 0.0, False, rule(weights)
        while not ended:
            seen, reward, ended, _, _ = env.step([act(seen)])
            total += reward
        return total

    usual = [worth(np.eye(1, len(env.features) + 1)[0] * 9, job) for job in range(3)]
    mean = np.zeros(len(env.features) + 1)
    spread = np.full(len(mean), 2.0)
    for _ in range(6):
        tried = mean + spread * rng.standard_normal((24, len(mean)))
        gains = [np.mean([worth(w, job) / -usual[job] for job in range(3)]) for w in tried]
        best = tried[np.argsort(gains)[-6:]]
        mean, spread = best.mean(axis=0), best.std(axis=0) + 0.1
    found = om.study(
        [om.generate("scaling.job", seed=seed) for seed in range(10, 13)],
        [learnt(rule(mean), env), "run-now"],
        forecasts=["perfect"],
    ).frame
    total = found.groupby("policy")["total"].sum()
    assert total["learnt"] < 0.95 * total["run-now"]


def test_refusals() -> None:
    """What cannot be an environment, an action or an option is refused in words."""
    job, cluster = load("job/caiso-48h"), load("cluster/two-days-12-servers")
    with pytest.raises(UsageError, match=r"of one problem; given: scaling\.cluster, scaling\.job"):
        environment([job, cluster])
    with pytest.raises(UsageError, match="no instance"):
        environment([])
    sites = om.generate("rightsizing.sites", seed=0, hours=24)
    with pytest.raises(UsageError, match=r"Unknown problem with an environment.*Known: scaling"):
        environment(sites)
    with pytest.raises(UsageError, match="past_slots is -1"):
        environment(job, past_slots=-1)
    env = environment(job)
    with pytest.raises(UsageError, match=r"call reset\(\) first"):
        env.step([0.5])
    env.reset(seed=0)
    for wrong in ([np.nan], [0.1, 0.2], "run", None):
        with pytest.raises(UsageError, match="1 numbers from 0 to 1"):
            env.step(wrong)
    with pytest.raises(UsageError, match="Unknown option of reset"):
        env.reset(options={"slots": 3})
    with pytest.raises(UsageError, match="a number from 0 to 0"):
        env.reset(options={"instance": 1})
    with pytest.raises(UsageError, match="no environment of optmodels"):
        learnt(lambda seen: [0.5], gymnasium.Env())
    assert not isinstance(learnt(lambda seen: [0.5], env), type)
    assert isinstance(learnt(lambda seen: [0.5], env), JobPolicy)


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Gymnasium the error names the extra."""
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "optmodels.interop.episodes", raising=False)
    with pytest.raises(MissingExtraError, match=r'pip install "optmodels\[learning\]"'):
        environment(load("job/caiso-48h"))
