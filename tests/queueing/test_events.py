"""Event simulation: exact on hand-made requests, and the formulas within a few percent of it."""

from __future__ import annotations

import numpy as np
import pytest

from optmodels.errors import UsageError
from optmodels.queueing.batching import (
    BatchService,
    full_batch_response,
    greedy_batch,
    greedy_batch_response,
    smallest_batch,
)
from optmodels.queueing.cores import cores_response
from optmodels.queueing.events import (
    fcfs_departures,
    lru_switched,
    poisson_arrivals,
    sharing_departures,
    switched,
)
from optmodels.queueing.percentiles import wait_percentile
from optmodels.queueing.residency import lru_miss, swapped
from optmodels.queueing.stations import (
    fcfs_response,
    fcfs_wait,
    limited_ps_response,
    ps_response,
)

PERCENT_OF_FORMULA = 0.06


def tenant_means(times, arrivals, tenants, count):
    """Mean response by tenant, without the first tenth of the requests."""
    cut = len(times) // 10
    response, tenant = (times - arrivals)[cut:], tenants[cut:]
    return np.bincount(tenant, response, count) / np.bincount(tenant, minlength=count)


def test_first_come_first_served_by_hand():
    """Four requests: one waits, one finds the station idle."""
    arrivals = np.array([0.0, 1.0, 5.0, 5.5])
    services = np.array([2.0, 1.0, 1.0, 0.5])
    assert fcfs_departures(arrivals, services) == pytest.approx([2, 3, 6, 6.5])


def test_sharing_by_hand():
    """Three at one moment: the shortest is done first, each at a third, a half, the whole."""
    arrivals, services = np.zeros(3), np.array([1.0, 2.0, 4.0])
    assert sharing_departures(arrivals, services) == pytest.approx([3, 5, 7])
    assert sharing_departures(arrivals, services, cores=2) == pytest.approx([1.5, 2.5, 4.5])
    assert sharing_departures(arrivals, services, cores=3) == pytest.approx([1, 2, 4])
    assert sharing_departures(arrivals, services, streams=1) == pytest.approx([1, 3, 7])
    assert sharing_departures(arrivals, services, streams=2) == pytest.approx([2, 4, 7])
    late = sharing_departures(np.array([0.0, 1.0, 10.0]), np.array([2.0, 2.0, 1.0]))
    assert late == pytest.approx([3, 4, 11])
    with pytest.raises(UsageError):
        sharing_departures(arrivals, services, streams=0)


def test_one_stream_is_first_come_first_served():
    """Two simulators of one discipline agree on every request."""
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(1.0, 3000))
    services = rng.exponential(0.8, 3000)
    queued = sharing_departures(arrivals, services, streams=1)
    assert queued == pytest.approx(fcfs_departures(arrivals, services))


def test_switches_by_hand():
    """One resident model, two resident ones, and one that never fits."""
    models = np.array([0, 0, 1, 0, 2, 0, 1])
    assert switched(models).tolist() == [True, False, True, True, True, True, True]
    two = lru_switched(models, [1.0, 1.0, 1.0], 2.0)
    assert two.tolist() == [True, False, True, False, True, False, True]
    large = lru_switched(models, [1.0, 3.0, 1.0], 2.0)
    assert large.tolist() == [True, False, True, False, True, False, True]


def test_arrivals_need_rates_that_make_sense():
    """A rate below zero is refused even where the sum is above it; so is nobody who sends."""
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="rates are out of range"):
        poisson_arrivals([2.0, -0.5], 10, rng)
    with pytest.raises(UsageError, match="No tenant sends"):
        poisson_arrivals([0.0, 0.0], 10, rng)


def test_arrivals_are_poisson_at_their_rates():
    """Counts, gaps and shares of the tenants are those asked for; nobody else sends."""
    times, tenants = poisson_arrivals([1.0, 0.0, 3.0], 200_000, np.random.default_rng(2))
    assert times[-1] == pytest.approx(50_000, rel=0.01)
    assert np.diff(times).std() == pytest.approx(0.25, rel=0.02)
    assert np.bincount(tenants).tolist()[1] == 0
    assert (tenants == 2).mean() == pytest.approx(0.75, abs=0.005)
    with pytest.raises(UsageError):
        poisson_arrivals([0.0], 10, np.random.default_rng(2))


@pytest.mark.parametrize(
    ("means", "switches", "shares", "load"),
    [
        ([5.0, 5.0], [20.0, 20.0], [0.5, 0.5], 0.60),
        ([5.0, 20.0, 60.0], [20.0, 10.0, 15.0], [0.4, 0.4, 0.2], 0.65),
        ([125.0, 4.9], [19.4, 10.4], [0.11, 0.89], 0.40),
        ([20.0, 30.0], [15.0, 12.0], [16 / 19, 3 / 19], 0.70),
    ],
)
def test_swaps_against_two_million_requests(means, switches, shares, load):
    """Waits with the mixture are within 6 % of the simulation; the collapsed form need not be.

    The first case is the one in which the collapsed second moment promises a wait 31 % too short.
    """
    rates = np.array(shares)
    rates = rates * load / swapped(rates, means, switches).load
    made = swapped(rates, means, switches)
    times, tenants = poisson_arrivals(rates, 2_000_000, np.random.default_rng(3))
    services = np.array(means)[tenants] + np.array(switches)[tenants] * switched(tenants)
    found = tenant_means(fcfs_departures(times, services), times, tenants, len(means))
    wait = (fcfs_departures(times, services) - times - services)[200_000:].mean()
    assert fcfs_wait(made.rates, made.means, made.seconds) == pytest.approx(
        wait, rel=PERCENT_OF_FORMULA
    )
    response = fcfs_response(made.rates, made.means, made.seconds)
    assert response == pytest.approx(found, rel=PERCENT_OF_FORMULA)
    if load == 0.60:
        low = swapped(rates, means, switches, form="collapsed")
        assert fcfs_wait(low.rates, low.means, low.seconds) == pytest.approx(0.69 * wait, rel=0.02)


@pytest.mark.parametrize("streams", [None, 1, 2, 4])
def test_sharing_against_events(streams):
    """Sharing, unlimited and limited, within 6 % of the simulation for every tenant."""
    means = np.array([0.15, 0.5, 1.2])
    rates = np.full(3, 0.7 / means.sum())
    times, tenants = poisson_arrivals(rates, 300_000, np.random.default_rng(4))
    found = tenant_means(
        sharing_departures(times, means[tenants], streams=streams), times, tenants, 3
    )
    if streams is None:
        formula = ps_response(rates, means)
    else:
        formula = limited_ps_response(rates, means, streams)
    assert formula == pytest.approx(found, rel=PERCENT_OF_FORMULA)


def test_cores_against_events():
    """Four cores with constant services: the formula for exponential ones holds all the same."""
    times, _ = poisson_arrivals([2.8], 200_000, np.random.default_rng(5))
    left = sharing_departures(times, np.ones(len(times)), cores=4)
    assert cores_response(2.8, 1.0, 4) == pytest.approx((left - times).mean(), rel=0.03)
    # What leaves is Poisson again: gaps vary as much as they are long.
    gaps = np.diff(np.sort(left))
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)


def test_lru_against_events():
    """Che's misses within 6 % of a simulated memory, for models of several sizes."""
    rates, sizes = 1 / np.arange(1.0, 21.0), [2.0, 1.0] * 10
    _, models = poisson_arrivals(rates, 200_000, np.random.default_rng(6))
    missed = lru_switched(models, sizes, 15.0)
    share = np.bincount(models, missed) / np.bincount(models)
    assert rates @ lru_miss(rates, sizes, 15.0) == pytest.approx(rates @ share, rel=0.06)


def test_percentiles_against_events():
    """The 95th percentile of the wait within 6 % of the simulation; below the load it is 0."""
    times, _ = poisson_arrivals([0.7], 400_000, np.random.default_rng(7))
    services = np.random.default_rng(8).exponential(1.0, len(times))
    waits = fcfs_departures(times, services) - times - services
    mean = float(fcfs_wait([0.7], [1.0], [2.0])[()])
    assert wait_percentile(mean, 0.7, 0.95) == pytest.approx(np.quantile(waits, 0.95), rel=0.06)
    assert wait_percentile(mean, 0.7, 0.2) == 0.0
    # The tail has the mean that it is made of.
    shares = (np.arange(20_000) + 0.5) / 20_000
    assert np.mean([wait_percentile(mean, 0.7, p) for p in shares]) == pytest.approx(mean, rel=1e-3)


def batches_full(times, batch, service):
    """Departures of full batches, the incomplete one at the end left out."""
    ready = times[batch - 1 :: batch]
    left = fcfs_departures(ready, np.full(len(ready), service.seconds(batch)))
    return left.repeat(batch)


def batches_greedy(times, service):
    """Departures where a free station takes all that waits."""
    left = np.empty(len(times))
    now, first = 0.0, 0
    while first < len(times):
        start = max(now, times[first])
        last = int(np.searchsorted(times, start, side="right"))
        now = start + service.seconds(last - first)
        left[first:last] = now
        first = last
    return left


def test_batches_against_events():
    """Full and greedy batches near the simulation; the smallest batch is just large enough."""
    service = BatchService(10.0, 1.0)
    times, _ = poisson_arrivals([0.3], 60_000, np.random.default_rng(9))
    for batch in (8, 16):
        left = batches_full(times, batch, service)
        mean = (left - times[: len(left)]).mean()
        assert full_batch_response(0.3, batch, service) == pytest.approx(mean, rel=0.06)
    mean = (batches_greedy(times, service) - times).mean()
    assert greedy_batch_response(0.3, service) == pytest.approx(mean, rel=0.1)
    assert greedy_batch(0.3, service) == pytest.approx(3 / 0.7)
    assert smallest_batch(0.3, service, 0.7) == 8
    assert smallest_batch(0.3, service, 0.3) is None
    # One at a time is M/D/1, and greedy batches of few requests are hardly longer than one.
    assert full_batch_response(0.01, 1, service) == pytest.approx(
        11 + float(fcfs_wait([0.01], [11.0])[()])
    )
    assert greedy_batch_response(1e-6, service) == pytest.approx(11, rel=1e-4)
    assert full_batch_response(2.0, 4, service) == float("inf")
    assert greedy_batch_response(2.0, service) == float("inf")
    with pytest.raises(UsageError):
        full_batch_response(0.3, 0, service)
    with pytest.raises(UsageError):
        BatchService(-1.0, 1.0)
