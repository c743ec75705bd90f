"""Nobody peeks: change what a policy cannot know yet, and it must decide as before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optmodels.forecast import FixedForecast
from optmodels.policy import FloatArray
from optmodels.scaling.cluster.cluster_policy import ClusterPolicy
from optmodels.scaling.cluster.instance import ClusterInstance, IntArray
from optmodels.scaling.cluster.replay import ClusterEnvironment

Environment = Callable[..., ClusterEnvironment]


@dataclass(frozen=True)
class Steps:
    """What happened in the first slots of a run."""

    answers: list[IntArray]
    system: list[IntArray]
    done: list[FloatArray]


def assert_no_peeking(
    factory: Callable[[], ClusterPolicy],
    instance: ClusterInstance,
    *,
    slots: Sequence[int] | None = None,
    seed: int = 0,
    environment: Environment = ClusterEnvironment,
) -> None:
    """Assert that a policy decides up to a slot by what is known in that slot.

    For each slot the truth behind it is changed in three ways: the carbon after it; the lengths of
    the jobs that are not done yet (longer than what is done of them, in the same queue); and the
    jobs that arrive later. Forecasts are an object of their own and stay as they are, so that a
    policy with a forecast may use what it is told, but not what becomes true.

    Parameters
    ----------
    factory
        Makes the policy afresh for each run.
    instance
        The question; it is copied with changes.
    slots
        Slots behind which the truth is changed; by default a few, spread over the run.
    seed
        Seed of the changes.
    environment
        Makes the environment of a run.
    """
    rng = np.random.default_rng(seed)
    told = FixedForecast(instance.carbon)
    whole = _run(factory(), instance, told, environment, None)
    if slots is None:
        slots = sorted({int(s) for s in np.linspace(0, len(whole.answers) - 1, 5)[:4]})
    for slot in slots:
        for change in (_other_carbon, _other_lengths, _other_arrivals):
            other = change(instance, slot, whole, rng)
            seen = _run(factory(), other, told, environment, slot)
            what = f"{factory().name}: {change.__name__[1:]} after slot {slot}"
            for t in range(slot + 1):
                assert np.array_equal(seen.system[t], whole.system[t]), f"{what}: jobs of slot {t}"
                assert np.array_equal(seen.answers[t], whole.answers[t]), f"{what}, seen in {t}"


def _run(
    policy: ClusterPolicy,
    instance: ClusterInstance,
    told: FixedForecast,
    environment: Environment,
    last: int | None,
) -> Steps:
    """Replay up to and including a slot, or to the end."""
    run = environment(
        instance, granted=policy.needs, forecast=told if "forecast" in policy.needs else None
    )
    policy.reset(run.header)
    steps = Steps([], [], [])
    while (observation := run.observe()) is not None:
        answer = policy.decide(observation)
        steps.answers.append(np.array(answer))
        steps.system.append(np.array(observation.state.job))
        steps.done.append(np.array(observation.state.work_done))
        if observation.slot == last:
            break
        run.act(answer)
    return steps


def _changed(instance: ClusterInstance, name: str, frame: pd.DataFrame) -> ClusterInstance:
    return ClusterInstance(instance.parameters.model_dump(), {**dict(instance.tables), name: frame})


def _other_carbon(
    instance: ClusterInstance, slot: int, whole: Steps, rng: np.random.Generator
) -> ClusterInstance:
    """Another carbon intensity in all slots after this one."""
    del whole
    frame = instance.tables["carbon"].copy()
    later = np.arange(len(frame)) > slot
    frame.loc[later, "carbon_g_per_kwh"] = rng.uniform(1.0, 2000.0, int(later.sum()))
    return _changed(instance, "carbon", frame)


def _other_lengths(
    instance: ClusterInstance, slot: int, whole: Steps, rng: np.random.Generator
) -> ClusterInstance:
    """Other lengths of the jobs in the system: more than what is done of them."""
    lengths = instance.jobs.length.copy()
    job, done = whole.system[slot], whole.done[slot]
    longest = _longest(instance)[job]
    lengths[job] = np.maximum(done + rng.uniform(1e-3, 1.0, len(job)) * (longest - done), 1e-3)
    return _changed(instance, "jobs", _jobs(instance, lengths=lengths))


def _other_arrivals(
    instance: ClusterInstance, slot: int, whole: Steps, rng: np.random.Generator
) -> ClusterInstance:
    """Other arrivals, lengths, queues and profiles of the jobs after this slot, and fewer jobs."""
    del whole
    jobs = instance.jobs
    later = jobs.arrival > slot
    count = int(later.sum())
    queue = np.where(later, rng.permutation(jobs.queue), jobs.queue)
    profile = np.where(later, rng.permutation(jobs.profile), jobs.profile)
    delay = instance.queues.delay[queue]
    last = np.maximum(instance.slots - 1 - delay, slot + 1)
    arrival = jobs.arrival.copy()
    arrival[later] = rng.integers(slot + 1, last[later] + 1) if count else arrival[later]
    room = instance.slots - arrival - delay
    lengths = np.where(later, rng.uniform(0.01, 1.0, jobs.count) * np.maximum(room, 1), jobs.length)
    frame = _jobs(instance, arrival=arrival, lengths=lengths, queue=queue, profile=profile)
    kept = ~later | ((rng.random(jobs.count) < 0.7) & (room >= 1))
    # An instance needs a job.
    kept[0] |= not kept.any()
    return _changed(instance, "jobs", frame[kept])


def _longest(instance: ClusterInstance) -> FloatArray:
    """Length that each job may have at most to be done before the end of the series."""
    jobs = instance.jobs
    room: FloatArray = (instance.slots - jobs.arrival - instance.queues.delay[jobs.queue]) * 1.0
    return room


def _jobs(instance: ClusterInstance, **columns: Any) -> pd.DataFrame:
    """Table of the jobs, in the order of their arrival, with some columns changed."""
    jobs = instance.jobs
    queue, profile = columns.get("queue", jobs.queue), columns.get("profile", jobs.profile)
    return pd.DataFrame(
        {
            "job": jobs.number,
            "arrival_slot": columns.get("arrival", jobs.arrival),
            "length_slots": columns.get("lengths", jobs.length),
            "queue": [instance.queues.names[code] for code in queue],
            "profile": [instance.profiles[code].name for code in profile],
        }
    )
