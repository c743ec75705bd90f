"""The generator of synthetic clusters: reproducible, plausible, refusing what it cannot make."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError, UsageError
from optmodels.scaling.cluster.load import DELAY_H, LONGEST_H, QUEUES
from optmodels.scaling.cluster.profile_facts import (
    ELASTICITIES,
    LINK_GBPS,
    WORKLOADS,
    profile_table,
    workloads_of,
)
from optmodels.scaling.cluster.synthetic import SIZES, generate


def test_fingerprint_is_pinned() -> None:
    """A seed means the same instance on every platform and in every later release."""
    assert generate(7, hours=48, capacity=20).fingerprint.startswith("6352c1c7f8df38bb")
    rich = generate(7, hours=24, jobs=30, past_hours=0, slot_minutes=30, elasticity="low")
    assert rich.fingerprint.startswith("859a4cff4faefc6e")


def test_sizes_are_the_defaults_of_the_generator() -> None:
    """The published defaults make the same instance as no sizes at all."""
    assert generate(4, **SIZES) == generate(4)  # type: ignore[arg-type]


@given(
    seed=st.integers(0, 2**40),
    hours=st.integers(1, 72),
    minutes=st.sampled_from([15, 20, 60, 120]),
    past=st.integers(0, 3),
    capacity=st.integers(1, 40),
    longest=st.sampled_from([1.5, 2, 8, 12, 48, 100]),
    elasticity=st.sampled_from(ELASTICITIES),
)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_every_size_makes_a_valid_instance(
    seed: int,
    hours: int,
    minutes: int,
    past: int,
    capacity: int,
    longest: float,
    elasticity: str,
) -> None:
    """Arrivals in their hours, lengths in their range, queues by length, kinds of the class."""
    step = minutes / 60
    hours = 2 * hours
    made = generate(
        seed,
        hours=hours,
        past_hours=24 * past,
        slot_minutes=minutes,
        capacity=capacity,
        longest_hours=longest,
        elasticity=elasticity,
        most_servers=6,
    )
    jobs = made.jobs
    assert jobs.arrival.max() < hours / step
    assert made.slots >= max(hours / step, made.due.max())
    lengths = jobs.length * step
    assert lengths.min() >= 1 - 1e-6
    assert lengths.max() <= longest + 1e-6
    longest_of = dict(zip(QUEUES, LONGEST_H, strict=True))
    for length, queue in zip(lengths, jobs.queue, strict=True):
        name = made.queues.names[queue]
        lower = [high for high in LONGEST_H if high < longest_of[name]]
        assert (max(lower) if lower else 0) < length + 1e-6
        assert length <= longest_of[name] + 1e-6
    delay = dict(zip(made.queues.names, made.queues.delay, strict=True))
    assert delay == {
        name: int(hours_ // step) for name, hours_ in zip(QUEUES, DELAY_H, strict=True)
    }
    assert {p.name for p in made.profiles} == set(workloads_of(elasticity))
    assert max(p.most for p in made.profiles) == (1 if elasticity == "none" else 6)
    # The load comes as near to the target as one job can.
    busy = lengths.sum()
    assert abs(busy - 0.5 * capacity * hours) <= lengths.max() + 1e-6
    if past:
        earlier = made.past_jobs
        assert earlier is not None
        assert made.past_carbon.size == 24 * past / step
        assert (earlier.arrival + earlier.length <= made.past_carbon.size + 1e-6).all()
    else:
        assert made.past_jobs is None


def test_jobs_do_not_depend_on_the_past() -> None:
    """A longer past gives policies more to learn from, but asks the same question."""
    short, long = (generate(3, hours=24, capacity=9, past_hours=past) for past in (0, 48))
    assert np.array_equal(short.jobs.length, long.jobs.length)
    assert np.array_equal(short.jobs.arrival, long.jobs.arrival)
    assert np.array_equal(short.jobs.profile, long.jobs.profile)


def test_a_past_too_short_for_any_job() -> None:
    """The carbon of the past hour is there, but no job can have ended in it."""
    made = generate(3, hours=24, capacity=4, past_hours=1)
    assert made.past_jobs is None
    assert made.past_carbon.size == 1


def test_number_of_jobs() -> None:
    """A number of jobs sets the capacity; with a capacity beside it both are kept."""
    made = generate(3, hours=48, jobs=50, utilisation=0.25, past_hours=0)
    assert made.jobs.count == 50
    assert made.capacity == int(np.ceil(made.jobs.length.sum() / (0.25 * 48)))
    both = generate(3, hours=48, jobs=50, capacity=4, past_hours=0)
    assert (both.jobs.count, both.capacity) == (50, 4)


def test_arrivals_swing_by_day() -> None:
    """More jobs arrive in the hours around the early afternoon (local time) than at night."""
    made = generate(1, hours=24 * 14, capacity=100, past_hours=0)
    local = (made.jobs.arrival - 8) % 24
    by_day, by_night = ((local >= 10) & (local < 18)).sum(), ((local >= 22) | (local < 6)).sum()
    assert by_day > 1.5 * by_night
    flat = generate(1, hours=24 * 14, capacity=100, past_hours=0, daily_swing=0)
    local = (flat.jobs.arrival - 8) % 24
    by_day, by_night = ((local >= 10) & (local < 18)).sum(), ((local >= 22) | (local < 6)).sum()
    assert 0.9 < by_day / by_night < 1.1


def test_classes_of_scalability() -> None:
    """Every workload scales as its class says, whatever moves over the network."""
    for name, kind in WORKLOADS.items():
        table = profile_table((name,), 16)
        marginal = np.diff(table["throughput"], prepend=0.0)
        assert marginal[0] == 1
        assert (np.diff(marginal) < 0).all()
        assert (marginal > 0).all()
        assert (marginal[7] >= 0.5) == (kind.scalability == "high"), name
        assert (marginal[3] < 0.5) == (kind.scalability == "low"), name
        # All links together carry what a ring all-reduce moves in a second.
        steps_per_s = table["throughput"] / kind.step_s
        moved = 2 * (table["servers"] - 1) * kind.exchanged_mb * 8 / 1000 * steps_per_s
        assert table["network_gbps"].to_numpy() == pytest.approx(moved.to_numpy(), rel=1e-5)
        assert (table["network_gbps"] <= table["servers"] * LINK_GBPS).all()
    assert workloads_of("mix") == tuple(WORKLOADS)


@pytest.mark.parametrize(
    ("sizes", "field"),
    [
        ({"hours": 0}, "hours"),
        ({"hours": 2.5}, "hours"),
        ({"hours": float("nan")}, "hours"),
        ({"hours": 1e9}, "hours"),
        ({"hours": "many"}, "hours"),
        ({"past_hours": -1}, "past_hours"),
        ({"past_hours": 1.5}, "past_hours"),
        ({"past_hours": 90_000, "hours": 1}, "jobs"),
        ({"slot_minutes": 0}, "slot_minutes"),
        ({"jobs": 0}, "jobs"),
        ({"jobs": 2.5}, "jobs"),
        ({"jobs": True}, "jobs"),
        ({"capacity": 0}, "capacity"),
        ({"capacity": 10**6}, "jobs"),
        ({"utilisation": 0}, "utilisation"),
        ({"elasticity": "hihg"}, "elasticity"),
        ({"most_servers": 0}, "most_servers"),
        ({"longest_hours": 1}, "longest_hours"),
        ({"daily_swing": 1.5}, "daily_swing"),
        ({"server_kw": 0}, "server_kw"),
        ({"network_w_per_gbps": -1}, "network_w_per_gbps"),
        ({"start_kwh": float("inf")}, "start_kwh"),
        ({"late_factor": -1}, "late_factor"),
        ({"mean_g_per_kwh": 0}, "mean_g_per_kwh"),
        ({"solar": 1.5}, "solar"),
        ({"noise": float("inf")}, "noise"),
        ({"start": 2023}, "start"),
        ({"seed": -1}, "seed"),
    ],
)
def test_refuses_sizes_out_of_range(sizes: dict[str, object], field: str) -> None:
    """Each wrong size is named."""
    with pytest.raises(InputError, match=f"'{field}'"):
        generate(**{"seed": 1, **sizes})  # type: ignore[arg-type]


def test_all_wrong_sizes_are_told_at_once() -> None:
    """One message for all."""
    with pytest.raises(InputError) as caught:
        generate(-1, hours=0, solar=2, elasticity="some", jobs=0)
    assert len(caught.value.flaws) == 5


@pytest.mark.parametrize("start", ["2023-06-01", "soon", "9999-01-01T00:00Z"])
def test_refuses_starts_without_zone(start: str) -> None:
    """A naive start is ambiguous; a word is no time."""
    with pytest.raises((UsageError, InputError)):
        generate(1, start=start)
