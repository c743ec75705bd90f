"""Formulas of one station: textbook cases, invariants, hand-made numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.queueing.batching import (
    BatchService,
    full_batch_response,
    greedy_batch,
    greedy_batch_response,
    smallest_batch,
)
from optmodels.queueing.cores import cores_response, erlang_c
from optmodels.queueing.percentiles import wait_percentile
from optmodels.queueing.residency import lru_miss, merged_rates, swapped, switch_probability
from optmodels.queueing.stations import (
    fcfs_response,
    fcfs_wait,
    limited_ps_response,
    load,
    ps_response,
    time_sliced,
)

TENANTS = st.lists(
    st.tuples(st.floats(0.01, 1.0), st.floats(0.1, 10.0), st.floats(1.0, 4.0)),
    min_size=1,
    max_size=5,
)


def drawn(tenants, busy):
    """Rates for a load of `busy`, means and second moments of drawn tenants."""
    rates, means, spread = (np.array(column) for column in zip(*tenants, strict=True))
    return rates * busy / (rates @ means), means, spread * means**2


def test_worked_case_without_swap():
    """Two tenants by hand: W = 20 ms, and the three disciplines' responses."""
    rates, means = np.array([2.0, 10.0]) / 1000, [100.0, 20.0]
    assert load(rates, means) == pytest.approx(0.4)
    assert fcfs_wait(rates, means) == pytest.approx(20)
    assert fcfs_response(rates, means) == pytest.approx([120, 40])
    assert ps_response(rates, means) == pytest.approx([500 / 3, 100 / 3])
    assert ps_response(rates, means, "additive") == pytest.approx([100 + 200 / 9, 20 + 200 / 9])
    share = rates / rates.sum()
    assert share @ fcfs_response(rates, means) == pytest.approx(160 / 3)
    for form in ("exact", "additive"):
        assert share @ ps_response(rates, means, form) == pytest.approx(500 / 9)


def test_worked_case_with_swap():
    """InceptionV4 beside MobileNetV2 on an Edge TPU: both forms of the second moment."""
    rates = np.array([2.073, 16.62]) / 1000
    means, switches = [125.13, 4.91], [19.43, 10.43]
    for form, expected in (("collapsed", [177.714, 41.375]), ("mixture", [177.926, 41.587])):
        tenants = swapped(rates, means, switches, form=form)
        assert tenants.load == pytest.approx(0.39603, abs=5e-6)
        found = fcfs_response(tenants.rates, tenants.means, tenants.seconds)
        # Given to 3 digits, of rates given to 4.
        assert found == pytest.approx(expected, abs=2e-3)


def test_sharing_beside_simulated_numbers():
    """Three tenants at a load of .715: exact and additive, to the digits of a worked case."""
    means = np.array([0.15, 0.5, 1.2])
    rates = np.full(3, 0.715 / means.sum())
    assert ps_response(rates, means) == pytest.approx([0.526, 1.754, 4.21], abs=5e-3)
    found = ps_response(rates, means, "additive")
    assert found - means == pytest.approx([found[0] - means[0]] * 3)


@given(st.floats(0.01, 0.97), st.floats(0.1, 10))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_textbook_stations(busy, mean):
    """M/M/1 gives 1/(mu - lambda) under both disciplines; M/D/1 half the wait of M/M/1."""
    rate = busy / mean
    exponential = 2 * mean**2
    textbook = pytest.approx([1 / (1 / mean - rate)])
    assert fcfs_response(rate, mean, exponential) == textbook
    assert ps_response(rate, mean) == textbook
    assert limited_ps_response(rate, mean, 3, exponential) == textbook
    assert [cores_response(rate, mean)] == textbook
    assert fcfs_wait(rate, mean) == pytest.approx(busy * mean / (2 * (1 - busy)))


@given(TENANTS, st.floats(0.02, 0.95), st.floats(1.001, 1.05), st.integers(0, 4))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_invariants_of_waits(tenants, busy, more, which):
    """Waits grow with every rate, obey conservation and Little's law, and vanish with the load."""
    rates, means, seconds = drawn(tenants, busy)
    wait = fcfs_wait(rates, means, seconds)
    # Work conservation: the mean work found is rho W plus what is left of the request in service.
    residual = rates @ seconds / 2
    assert wait == pytest.approx(busy * wait + residual)
    raised = rates.copy()
    raised[which % len(rates)] *= more
    assert fcfs_wait(raised, means, seconds) > wait
    assert fcfs_wait(rates * 1e-9, means, seconds) < 1e-7 * means.max() * 4
    # Little: mean number in a shared station is rho / (1 - rho), whichever form.
    for form in ("exact", "additive"):
        inside = rates @ ps_response(rates, means, form)
        assert inside == pytest.approx(busy / (1 - busy))
    order = np.argsort(means)
    assert fcfs_wait(rates[order], means[order], seconds[order]) == pytest.approx(wait)


@given(TENANTS, st.floats(0.02, 0.9), st.floats(0, 20))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_invariants_of_swaps(tenants, busy, switch):
    """The mixture is never below the collapsed form; one model alone never switches."""
    rates, means, seconds = drawn(tenants, busy)
    waits = {}
    for form in ("mixture", "collapsed"):
        made = swapped(rates, means, switch, seconds=seconds, form=form)
        if (made.load >= 1).any():
            return
        waits[form] = fcfs_wait(made.rates, made.means, made.seconds)
    assert waits["mixture"] >= waits["collapsed"] * (1 - 1e-12)
    alone = swapped(rates[:1], means[:1], switch, seconds=seconds[:1])
    assert alone.means == pytest.approx(means[:1], rel=1e-12)
    # Splitting a tenant in two of the same model changes nothing once they are merged.
    models = np.arange(len(rates))
    split = merged_rates([rates[0] / 3, *rates[1:], rates[0] * 2 / 3], [*models, 0], len(rates))
    assert split == pytest.approx(rates)


@given(TENANTS, st.floats(0.1, 0.7), st.floats(0, 20), st.integers(0, 4))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_what_grows_with_any_rate(tenants, busy, switch, which):
    """Load and wait with swaps (mixture) grow with each rate: what pruning relies on."""
    rates, means, seconds = drawn(tenants, busy)
    raised = rates.copy()
    raised[which % len(rates)] *= 1.1
    before, after = (swapped(r, means, switch, seconds=seconds) for r in (rates, raised))
    assert after.load >= before.load
    if after.load < 1:
        wait = [fcfs_wait(t.rates, t.means, t.seconds) for t in (before, after)]
        assert wait[1] >= wait[0]


def test_response_falls_with_more_load_of_the_same_model():
    """More requests of its own model make a switch rarer: the response is not monotone."""
    few, many = (swapped([0.001, rate], [1.0, 1.0], [0.0, 50.0]) for rate in (1e-4, 2e-3))
    assert many.means[1] < few.means[1] - 20
    found = [fcfs_response(t.rates, t.means, t.seconds)[1] for t in (few, many)]
    assert found[1] < found[0]


def test_limited_sharing_lies_between():
    """One stream is first come, first served; many are sharing; the ends are exact."""
    rates, means, seconds = [0.2, 0.3], [1.0, 1.2], [3.0, 1.44]
    one = limited_ps_response(rates, means, 1, seconds)
    assert one == pytest.approx(fcfs_response(rates, means, seconds))
    assert limited_ps_response(rates, means, 500, seconds) == pytest.approx(
        ps_response(rates, means)
    )
    mixed = limited_ps_response(rates, means, 3, seconds)
    mean, second = (np.array(rates) @ np.array(v) / 0.5 for v in (means, seconds))
    busy, spread = 0.56, second / mean**2 - 1
    expected = mean / (1 - busy) * (1 + busy**3 * (spread - 1) / 2) * 0.5
    # The same mean as the published shape of the interpolation, at streams - 1 = 2 powers of rho.
    weights = np.array(rates)
    whole = busy**2 * (weights @ one) + (1 - busy**2) * (weights @ ps_response(rates, means))
    assert weights @ mixed == pytest.approx(whole)
    assert weights @ mixed == pytest.approx(expected)


def test_full_stations_are_never_done():
    """From a load of 1 on responses are infinite, and never negative or NaN."""
    for rates in ([1.0, 0.5], [2.0, 1.0]):
        assert np.isinf(fcfs_wait(rates, [0.5, 1.0]))
        assert np.isinf(ps_response(rates, [0.5, 1.0])).all()
        assert np.isinf(ps_response(rates, [0.5, 1.0], "additive")).all()
        assert np.isinf(limited_ps_response(rates, [0.5, 1.0], 2)).all()
    assert math.isinf(cores_response(4.0, 1.0, 4))
    assert math.isinf(wait_percentile(math.inf, 1.0, 0.9))


def test_idle_stations_delay_nobody():
    """Without requests a response is the service, under every discipline."""
    for form in ("exact", "additive"):
        assert ps_response([0.0, 0.0], [1.0, 2.0], form) == pytest.approx([1, 2])
    assert fcfs_response([0.0, 0.0], [1.0, 2.0]) == pytest.approx([1, 2])
    assert switch_probability([0.0, 0.0]) == pytest.approx([0, 0])


def test_many_stations_at_once():
    """Further axes are further stations."""
    rates = np.array([[0.1, 0.2], [0.3, 0.0]])
    found = fcfs_response(rates, [1.0, 2.0])
    for station in range(2):
        assert found[station] == pytest.approx(fcfs_response(rates[station], [1.0, 2.0]))


def test_simultaneous_starts_measured_by_the_authors():
    """Requests at one moment: cumulative sums in order, stretched pieces under sharing.

    Measured by the authors of Ibis; a formula that gave everybody the same share would miss by
    far more than the few percent here.
    """
    alone = np.array([26.8, 32.6, 50.8, 113.0, 33.4])
    shared = np.array([27.1, 59.1, 108.7, 220.5, 253.2])
    assert np.cumsum(alone) == pytest.approx(shared, rel=0.015)
    alone, shared = np.array([26.1, 30.1, 82.9]), np.array([77.1, 84.7, 136.9])
    left = np.array([3, 2, 1])
    assert np.cumsum(left * np.diff(alone, prepend=0)) == pytest.approx(shared, rel=0.02)


def test_erlang():
    """Known values of Erlang's formula; one core is 1/(mu - lambda); few requests do not wait."""
    assert erlang_c(1, 0.3) == pytest.approx(0.3)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(5, 4.0) == pytest.approx(0.5541, abs=1e-4)
    assert erlang_c(3, 3.0) == 1.0
    assert cores_response(1e-9, 7.0, 4) == pytest.approx(7)
    assert cores_response(0.5, 1.0, 2) == pytest.approx(1 / (1 - 0.25**2))


def test_lru_misses():
    """All fit: nobody misses. One of like models: 1 - p. Too large: always."""
    assert lru_miss([1.0, 2.0], [4.0, 3.0], 8.0) == pytest.approx([0, 0])
    assert lru_miss([1.0, 2.0], [9.0, 3.0], 8.0) == pytest.approx([1, 0])
    four = lru_miss([1.0] * 4, [1.0] * 4, 1.0)
    # Che's for one slot of n equal models is 1 - 1/n, the true 1 - p.
    assert four == pytest.approx([0.75] * 4)
    more = lru_miss([1.0] * 4, [1.0] * 4, 3.0)
    assert more == pytest.approx([0.25] * 4)
    assert (lru_miss([3.0, 1.0, 1.0], [1.0] * 3, 2.0)[1:] > 0.4).all()


@pytest.mark.parametrize("size", [1e-3, 0.1, 1e3])
@pytest.mark.parametrize("rate", [1e-3, 1e3])
def test_lru_misses_know_no_units(size, rate):
    """Megabytes or gigabytes, seconds or days: memory below 1 is no memory of 1, and so on."""
    rates, sizes = np.array([3.0, 1.0, 1.0, 0.0]), np.array([1.0, 2.0, 1.5, 1.0])
    expected = lru_miss(rates, sizes, 2.5)
    assert ((expected > 0) & (expected < 1))[:3].all()
    found = lru_miss(rates * rate, sizes * size, 2.5 * size)
    assert found == pytest.approx(expected, rel=1e-9)
    # The capacity is full on average of what was asked for within the time that is remembered.
    busy = rates > 0
    span = -np.log(expected[busy]) / rates[busy]
    assert span == pytest.approx([span[0]] * 3)
    assert sizes @ (1 - expected) == pytest.approx(2.5)


def test_batches_by_hand():
    """s(b) = 10 + b: batches of 4 at a rate of .2 last 14 and are busy 70 % of the time.

    A request waits 1.5 / .2 = 7.5 for the others, then .7 · 14 / .6 / 4 = 49/12 for the batch
    before; a load of exactly 1 is never done.
    """
    service = BatchService(10.0, 1.0)
    assert full_batch_response(0.2, 4, service) == pytest.approx(7.5 + 49 / 12 + 14)
    assert full_batch_response(4 / 14, 4, service) == math.inf
    assert greedy_batch(1.0, service) == math.inf
    # .2 · (10 / b + 1) <= .71 from b = 4 on, <= .45 from b = 8 on; a batch has at least one.
    assert [smallest_batch(0.2, service, most) for most in (0.71, 0.45)] == [4, 8]
    assert smallest_batch(0.2, service, 0.2) is None
    assert smallest_batch(1e-3, service, 1.0) == 1
    # Never idle: 2 of 10 arrive in a service of 12, so one waits 1.5 of it.
    assert greedy_batch(0.2, service) == pytest.approx(2 / 0.8)
    assert greedy_batch_response(0.2, service) == pytest.approx(12.5 * 1.5)
    # Hardly anybody: a service of one, and half of it for the share of the time that it runs.
    assert greedy_batch_response(0.01, service) == pytest.approx(11 * (1 + 0.11 / 2))
    for wrong in (lambda: BatchService(-1.0, 1.0), lambda: BatchService(1.0, 0.0)):
        with pytest.raises(UsageError):
            wrong()


def test_percentiles_by_hand():
    """W = 2 at a load of .8: the median waits 2.5 ln 1.6; who finds it idle waits nothing."""
    assert wait_percentile(2.0, 0.8, 0.5) == pytest.approx(2.5 * math.log(1.6))
    assert wait_percentile(2.0, 0.8, 0.1) == 0
    assert wait_percentile(0.0, 0.0, 0.99) == 0
    # Exponential services: the tail is exact, and its mean is W.
    shares = (np.arange(200_000) + 0.5) / 200_000
    assert np.mean([wait_percentile(2.0, 0.8, p) for p in shares[::20]]) == pytest.approx(
        2, rel=1e-3
    )


def test_time_slices_cost_their_switch():
    """A tenth of a quantum for each turn makes services a tenth longer."""
    assert time_sliced([10.0, 20.0], 2.0, 0.2) == pytest.approx([11, 22])


@pytest.mark.parametrize(
    "call",
    [
        lambda: fcfs_wait([-1.0], [1.0]),
        lambda: fcfs_wait([1.0], [0.0]),
        lambda: fcfs_wait([1.0, 2.0], [1.0, 1.0, 1.0]),
        lambda: fcfs_wait([0.1], [1.0], [0.5]),
        lambda: fcfs_wait(["x"], [1.0]),
        lambda: ps_response([0.1], [np.nan]),
        lambda: ps_response([0.1], [1.0], "other"),
        lambda: limited_ps_response([0.1], [1.0], 0),
        lambda: swapped([0.1], [1.0], [-1.0]),
        lambda: time_sliced([1.0], 1.0, -0.5),
        lambda: time_sliced([1.0], 0.0, 0.5),
        lambda: swapped([0.1], [1.0], [1.0], form="other"),
        lambda: swapped([0.1], [1.0], [1.0], misses=[1.5]),
        lambda: merged_rates([1.0], [2], 2),
        lambda: erlang_c(0, 1.0),
        lambda: cores_response(-1.0, 1.0),
        lambda: wait_percentile(1.0, 0.5, 1.0),
        lambda: lru_miss([1.0], [1.0, 2.0], 3.0),
    ],
)
def test_inputs_out_of_range_are_refused(call):
    """No number comes out of a rate, time or share that cannot be."""
    with pytest.raises(UsageError):
        call()
