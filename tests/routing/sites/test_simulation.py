"""Single requests: exact times, queues as theory has them, nothing lost from sight, power kept."""

from __future__ import annotations

from math import exp, lgamma, log
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError, UsageError
from optmodels.policy import frozen, replay
from optmodels.routing.sites.dispatch import Decisions, Dispatch
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.outcomes import DROPPED, LATE, LOST, OK, OUTCOMES, Simulated
from optmodels.routing.sites.policies import POLICIES
from optmodels.routing.sites.policies.heron import Heron
from optmodels.routing.sites.profile import integers
from optmodels.routing.sites.replay import RoutingEnvironment
from optmodels.routing.sites.requests import Requests, poisson_requests, requests_from
from optmodels.routing.sites.simulation import simulate
from tests.routing.sites.clocked import clocked
from tests.routing.sites.instances import routing


def requests(arrival: Any, *, output: Any = 101.0, origin: Any = 0, code: Any = 0) -> Requests:
    """Requests with prompts of 500 tokens."""
    times = np.asarray(arrival, dtype=float)
    n = len(times)
    return Requests(
        frozen(times),
        integers(np.broadcast_to(origin, n)),
        integers(np.broadcast_to(code, n)),
        frozen(np.full(n, 500.0)),
        frozen(np.broadcast_to(np.asarray(output, dtype=float), n)),
    )


def one_pool(servers: int, places: int, *, e2e: float = 10.0, seconds: float = 300.0, **more: Any):
    """One site, one row: servers of so many places, which hold a request for `e2e`."""
    rate = places / e2e
    instance = routing(
        [[100.0]] * int(np.ceil(seconds / 300)),
        [[[1.0]]] * int(np.ceil(seconds / 300)),
        [(0, 1, rate, 1.0, e2e, 0.5, (e2e - 0.5) / 99)],
        gpus=servers,
        **{"limits": (1e6, 1e6, 1e6), **more},
    )
    return instance, steady(instance, [[servers]])


def steady(instance: RoutingInstance, running: Any) -> Decisions:
    """The same in all periods: these servers run, and requests flow to all of them."""
    profile = instance.profile
    count = np.asarray(running, dtype=np.int64)
    of_degree = profile.degree_of[:, None] == np.arange(len(profile.degrees))
    flow = np.broadcast_to(count * profile.rate, instance.arcs.shape) / len(instance.origins)
    same = Dispatch(count @ of_degree.astype(np.int64), count, flow)
    return Decisions.of([same] * instance.periods)


# ------------------------------------------------------------------------------------ exact times
def test_without_queues_times_are_the_rows() -> None:
    """Requests of mean length that do not wait take the row's times, the round trip once.

    Counting the round trip twice in e2e, or the first token among those after it, shows at once.
    """
    instance = clocked(0, periods=1, power_kw=1e3)
    policy = POLICIES["weighted-round-robin"]()
    environment = RoutingEnvironment(instance)
    replay(environment, policy)
    rng = np.random.default_rng(0)
    sparse = poisson_requests(instance, rng)
    keep = np.arange(0, len(sparse), 40)
    few = Requests(*(getattr(sparse, name)[keep] for name in Requests.__dataclass_fields__))
    found = simulate(instance, environment.decisions, few)
    assert found.counts["ok"] == len(few) > 100
    assert found.wait_s.max() == 0
    profile = instance.profile
    table = {
        (
            int(c),
            int(o),
            round(float(profile.ttft[r] + trip), 9),
            round(float(profile.tbt[r]), 9),
        ): (float(profile.e2e[r] + trip))
        for r, c in enumerate(profile.row_class)
        for o in range(2)
        for trip in instance.rtt_s[o]
    }
    for i in range(len(few)):
        code, origin = int(few.request_class[i]), int(few.origin[i])
        times = round(float(found.ttft_s[i]), 9), round(float(found.tbt_s[i]), 9)
        assert found.e2e_s[i] == pytest.approx(table[code, origin, *times], rel=1e-9)


def test_longer_requests_take_longer() -> None:
    """Reading goes with the prompt, writing with the tokens after the first; one token is read."""
    instance, decisions = one_pool(1, 8, rtt_ms=40.0)
    found = simulate(instance, decisions, requests([0.0, 1.0, 2.0], output=[100.0, 199.0, 1.0]))
    np.testing.assert_allclose(found.ttft_s, 0.54)
    np.testing.assert_allclose(found.e2e_s, [10.04, 19.54, 0.54])
    np.testing.assert_allclose(found.tbt_s, [9.5 / 99, 9.5 / 99, 0.0])
    assert found.goodput_per_s == pytest.approx(3 / 300)
    assert found.token_goodput_per_s == pytest.approx(300 / 300)


@pytest.mark.parametrize(
    ("limits", "ok"),
    [
        ((0.54, 9.5 / 99, 10.04), True),
        ((0.53, 1e3, 1e3), False),
        ((1e3, 0.0959, 1e3), False),
        ((1e3, 1e3, 10.03), False),
    ],
)
def test_each_limit_counts(limits: tuple[float, ...], ok: bool) -> None:
    """A request on its limits is ok; beyond any one of the three it is late."""
    instance, decisions = one_pool(1, 8, rtt_ms=40.0, limits=limits)
    found = simulate(instance, decisions, requests([0.0], output=100.0))
    assert found.outcome.tolist() == [OK if ok else LATE]


# ----------------------------------------------------------------------------------------- queues
def md1_wait(load: float, service: float) -> float:
    """Mean wait of M/D/1."""
    return load * service / (2 * (1 - load))


def mdc_no_wait(servers: int, load: float) -> float:
    """Share that does not wait in M/D/c, from the state after each service time (Crommelin)."""
    mean = servers * load
    size = 400
    arrivals = np.array([exp(-mean + k * log(mean) - lgamma(k + 1)) for k in range(size)])
    state = np.zeros(size)
    state[0] = 1.0
    for _ in range(4000):
        # After one service time all who were in service are gone, and new ones have come.
        left = np.zeros(size)
        left[0] = state[: servers + 1].sum()
        left[1 : size - servers] = state[servers + 1 :]
        following = np.convolve(left, arrivals)[:size]
        if np.abs(following - state).max() < 1e-13:
            break
        state = following / following.sum()
    return float(state[:servers].sum())


@pytest.mark.parametrize(("servers", "places", "load"), [(1, 1, 0.6), (2, 2, 0.8), (3, 1, 0.7)])
def test_queues_are_those_of_theory(servers: int, places: int, load: float) -> None:
    """Poisson arrivals and equal services: M/D/c's share that waits, and M/D/1's mean wait.

    A queue that is served in batches, or places that open late, misses both.
    """
    service, seconds = 0.5, 24000.0
    instance, decisions = one_pool(servers, places, e2e=service, seconds=seconds)
    channels = servers * places
    rng = np.random.default_rng(7)
    arrival = np.cumsum(rng.exponential(service / (channels * load), size=60_000))
    arrival = arrival[arrival < seconds]
    found = simulate(instance, decisions, requests(arrival, output=100.0))
    wait = found.wait_s[2000:]
    assert not np.isnan(wait).any()
    assert (wait < 1e-9).mean() == pytest.approx(mdc_no_wait(channels, load), abs=0.02)
    if channels == 1:
        assert wait.mean() == pytest.approx(md1_wait(load, service), rel=0.06)
    order = np.argsort(found.wait_s + arrival, kind="stable")
    np.testing.assert_array_equal(order, np.arange(len(arrival)))


def test_a_queue_takes_no_more_than_can_be_in_time() -> None:
    """With two places for 1 s each and 1.2 s of slack two may wait; the others are dropped."""
    instance, decisions = one_pool(2, 1, e2e=1.0, limits=(1.7, 1e3, 1e3))
    found = simulate(instance, decisions, requests([0.5] * 10, output=100.0))
    assert found.counts == {"ok": 4, "late": 0, "dropped": 6, "lost": 0}
    assert found.percentile_s("wait_s", 100) == pytest.approx(1.0)


# ---------------------------------------------------------------------------- nothing out of sight
@settings(deadline=None, derandomize=True, max_examples=12)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(sorted(POLICIES)), load=st.floats(0.3, 4))
def test_every_request_has_one_outcome(seed: int, name: str, load: float) -> None:
    """Gusts by the second, reloads, any policy: all requests are accounted for, power is kept.

    Times are in order, and what was served has all of them.
    """
    instance = clocked(seed, periods=3, gpus=24, load=load, period_seconds=60.0, slot_minutes=1.0)
    found = _gusty(instance, name, seed)
    assert sum(found.counts.values()) == len(found.requests)
    assert found.seconds_over_power == 0
    served = np.isin(found.outcome, (OK, LATE))
    for values in (found.ttft_s, found.tbt_s, found.e2e_s, found.wait_s):
        np.testing.assert_array_equal(np.isnan(values), ~served)
    assert (found.wait_s[served] >= 0).all()
    assert (found.e2e_s[served] >= found.ttft_s[served]).all()
    ok = instance.profile
    code = found.requests.request_class
    kept = (
        (found.ttft_s <= ok.ttft_limit[code] * (1 + 1e-9))
        & (found.tbt_s <= ok.tbt_limit[code] * (1 + 1e-9))
        & (found.e2e_s <= ok.e2e_limit[code] * (1 + 1e-9))
    )
    np.testing.assert_array_equal(kept, found.outcome == OK)
    assert 0 <= found.attainment <= 1
    assert found.goodput_per_s * found.seconds == pytest.approx(found.counts["ok"])


def _decided(instance: RoutingInstance, name: str) -> Decisions:
    environment = RoutingEnvironment(instance)
    replay(environment, POLICIES[name]())
    return environment.decisions


def _gusty(instance: RoutingInstance, name: str, gusts: int, **more: Any) -> Simulated:
    rng = np.random.default_rng(gusts)
    arriving = poisson_requests(instance, rng)
    by_second = np.repeat(instance.power_kw, int(instance.period_seconds), axis=0)
    by_second = by_second * rng.choice([0.0, 0.3, 0.9, 1.0, 1.2], by_second.shape)
    return simulate(instance, _decided(instance, name), arriving, power_kw=by_second, **more)


@pytest.mark.parametrize("name", ["heron", "gpu-idling"])
def test_warm_gpus_count_and_are_given_up_without_power(name: str) -> None:
    """Idle GPUs draw power, too: what is drawn stays within it, down to nothing in the dark."""
    instance = clocked(
        4,
        periods=3,
        gpus=24,
        period_seconds=60.0,
        slot_minutes=1.0,
        gpu_idle_kw=0.1,
        keep_warm=True,
    )
    found = _gusty(instance, name, 1)
    assert found.seconds_over_power == 0
    assert (found.draw_kw[found.limit_kw == 0] == 0).all()
    assert found.counts["ok"] > 0
    calm = simulate(
        instance, _decided(instance, name), poisson_requests(instance, np.random.default_rng(0))
    )
    first = calm.draw_kw[0]
    made = _decided(instance, name).at(0, instance.arcs.shape)
    profile = instance.profile
    off = made.configured @ profile.degrees - made.running @ profile.tp
    np.testing.assert_allclose(first, made.running @ profile.kw + 0.1 * off)


def test_more_places_and_looser_limits_never_hurt() -> None:
    """One pool, the same requests: goodput rises with servers, and with the limits."""
    arrival = np.cumsum(np.random.default_rng(3).exponential(0.1, 2500))
    goodput = []
    for servers in (1, 2, 4, 8):
        instance, decisions = one_pool(servers, 4, e2e=2.0, limits=(1.0, 1e3, 1e3))
        goodput.append(simulate(instance, decisions, requests(arrival)).goodput_per_s)
    assert goodput == sorted(goodput)
    assert goodput[0] < goodput[-1]
    looser = []
    for limit in (0.4, 0.6, 1.0, 3.0):
        instance, decisions = one_pool(2, 4, e2e=2.0, limits=(limit, 1e3, 1e3))
        looser.append(simulate(instance, decisions, requests(arrival)).goodput_per_s)
    assert looser == sorted(looser)
    assert looser[0] == 0 < looser[-1]


# ------------------------------------------------------------------------------------------ power
def test_a_site_that_loses_its_power_goes_dark_within_the_second() -> None:
    """The power ends at second 100 and is back at 150, both within a period.

    What is in service is lost, what comes meanwhile is dropped, and nothing is drawn; when the
    power is back, requests are served again.
    """
    instance, decisions = one_pool(4, 2, e2e=10.0)
    power = np.full((300, 1), 100.0)
    power[100:150] = 0.0
    arrival = np.arange(0.5, 290.0, 2.0)
    found = simulate(instance, decisions, requests(arrival, output=100.0), power_kw=power)
    assert (found.draw_kw[:100, 0] == 4).all()
    assert (found.draw_kw[100:150, 0] == 0).all()
    assert (found.draw_kw[150:300, 0] == 4).all()
    assert found.seconds_over_power == 0
    expected = np.where(
        (arrival < 100) & (arrival + 10 > 100),
        LOST,
        np.where((arrival >= 100) & (arrival < 150), DROPPED, OK),
    )
    np.testing.assert_array_equal(found.outcome, expected)


def test_others_take_over_what_waits_at_a_dark_site() -> None:
    """Two sites: when one goes dark, its queue moves, and new requests go to the other."""
    instance = routing([[10.0, 10.0]], [[[1.0]]], [(0, 1, 0.5, 1.0, 2.0, 0.5, 1.5 / 99)], gpus=2)
    decisions = steady(instance, [[2], [2]])
    power = np.full((300, 2), 10.0)
    power[10:, 0] = 0.0
    arrival = np.concatenate([np.full(12, 9.5), np.arange(20, 60, 2.0)])
    found = simulate(instance, decisions, requests(arrival, output=100.0), power_kw=power)
    assert found.counts == {"ok": 30, "late": 0, "dropped": 0, "lost": 2}
    assert (found.draw_kw[10:300] == [0, 2]).all()


def test_relief_slows_servers_down_instead_of_losing_them() -> None:
    """With half the power Heron's steps keep requests that switching off in proportion loses."""
    instance = clocked(2, periods=2, gpus=64, power_kw=40.0, load=2)
    environment = RoutingEnvironment(instance)
    replay(environment, POLICIES["power-capping"]())
    heron = Heron()
    replay(RoutingEnvironment(instance), heron)
    arriving = poisson_requests(instance, np.random.default_rng(0))
    power = np.full((600, 3), 40.0)
    drawn = environment.decisions.at(0, instance.arcs.shape).running @ instance.profile.kw
    power[150:] = 0.6 * drawn
    off = simulate(instance, environment.decisions, arriving, power_kw=power)
    slow = simulate(instance, environment.decisions, arriving, power_kw=power, relief=heron.relief)
    assert off.seconds_over_power == slow.seconds_over_power == 0
    assert slow.counts["lost"] < 0.7 * off.counts["lost"]
    assert slow.goodput_per_s > off.goodput_per_s


def test_requests_in_service_go_on_at_the_new_speed() -> None:
    """Half-way through, the clock is halved: the second half takes twice as long."""
    profile = [(0, 1, 1.0, 1.0, 10.0, 1.0, 0.1), (0, 1, 0.5, 0.5, 20.0, 2.0, 0.2)]
    instance = routing(
        [[10.0]] * 2, [[[1.0]]] * 2, profile, gpus=1, period_seconds=5.0, slot_minutes=1 / 6
    )
    fast, slow = (steady(instance, [count]).at(0, (1, 1, 2)) for count in ([1, 0], [0, 1]))
    found = simulate(instance, Decisions.of([fast, slow]), requests([0.0, 4.5], output=100.0))
    np.testing.assert_allclose(found.e2e_s, [5.0 + 10.0, 0.5 + 19.0])
    np.testing.assert_allclose(found.ttft_s, [1.0, 0.5 + 1.0])


def test_servers_that_leave_finish_first_and_new_ones_load() -> None:
    """A planned change of the degree loses nothing, never needs more GPUs or power than there are.

    The old server goes on to the end of its request; only then the new one has GPUs to load on.
    """
    profile = [(0, 2, 1.0, 1.0, 10.0, 1.0, 0.1), (0, 4, 1.0, 1.5, 10.0, 1.0, 0.1)]
    instance = routing(
        [[1.6]] * 2,
        [[[1.0]]] * 2,
        profile,
        gpus=4,
        period_seconds=60.0,
        slot_minutes=1.0,
        reload_seconds=20.0,
        limits=(60.0, 1e3, 1e3),
    )
    before, after = (steady(instance, [count]).at(0, (1, 1, 2)) for count in ([1, 0], [0, 1]))
    decisions = Decisions.of([before, after])
    found = simulate(instance, decisions, requests([55.5, 61.0, 70.0], output=100.0))
    # Nobody is there who could take a request between the two.
    assert found.outcome.tolist() == [OK, DROPPED, OK]
    assert found.e2e_s[0] == pytest.approx(10.0)
    assert found.wait_s[2] == pytest.approx(66.0 + 20.0 - 70.0)
    assert found.seconds_over_power == 0
    assert found.reloads == 1


# ---------------------------------------------------------------------------------------- the rest
def test_the_same_seed_gives_the_same_run() -> None:
    """Also where the scheduler draws."""
    instance = clocked(1, periods=2, period_seconds=60.0, slot_minutes=1.0)
    runs = [_gusty(instance, "heron", 5, scheduler="two-choices", seed=3) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].outcome, runs[1].outcome)
    np.testing.assert_array_equal(runs[0].e2e_s, runs[1].e2e_s)


def test_requests_come_from_a_table() -> None:
    """Rows in any order; unknown names and bad numbers are told together."""
    instance = clocked(periods=1)
    frame = pd.DataFrame(
        {
            "arrival_s": [2.0, 1.0],
            "origin": ["west", "east"],
            "class": ["SS", "LS"],
            "input_tokens": [10, 20],
            "output_tokens": [1, 2],
        }
    )
    made = requests_from(instance, frame)
    assert made.arrival_s.tolist() == [1.0, 2.0]
    assert made.origin.tolist() == [0, 1]
    assert made.request_class.tolist() == [0, 2]
    bad = frame.assign(origin="north", output_tokens=[0, 1])
    with pytest.raises(InputError) as caught:
        requests_from(instance, bad)
    assert [flaw.field for flaw in caught.value.flaws] == ["output_tokens", "origin"]
    with pytest.raises(InputError, match="is missing"):
        requests_from(instance, frame.drop(columns="class"))


def test_poisson_requests_have_the_rates_of_the_demand() -> None:
    """Counts by class are those of the demand, up to chance."""
    instance = clocked(periods=12, load=3)
    made = poisson_requests(instance, np.random.default_rng(0))
    expected = instance.demand.sum(axis=(0, 1)) * 300
    found = np.bincount(made.request_class, minlength=3)
    np.testing.assert_allclose(found, expected, atol=5 * np.sqrt(expected.max()))
    assert (np.diff(made.arrival_s) >= 0).all()


def test_bad_arguments_are_refused() -> None:
    """Unknown schedulers and times, power in the wrong shape."""
    instance, decisions = one_pool(1, 1)
    with pytest.raises(UsageError, match="round-robin"):
        simulate(instance, decisions, requests([0.0]), scheduler="random")
    for power in (np.ones(300), np.ones((300, 2)), -np.ones((300, 1)), np.ones((0, 1))):
        with pytest.raises(UsageError, match="a row per second"):
            simulate(instance, decisions, requests([0.0]), power_kw=power)
    with pytest.raises(UsageError, match="wait_s"):
        simulate(instance, decisions, requests([0.0])).percentile_s("wait", 50)
    assert OUTCOMES[OK] == "ok"


def test_no_requests_are_no_trouble() -> None:
    """An empty hour has a full attainment and no percentile."""
    instance, decisions = one_pool(1, 1)
    found = simulate(instance, decisions, requests([]))
    assert found.attainment == 1
    assert found.goodput_per_s == 0
    assert np.isnan(found.percentile_s("e2e_s", 99))
