"""The oracle over levels of a measured profile, against the linear program over shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InfeasibleError, InputError
from optmodels.scaling.job.exact import (
    JobLengthCurve,
    level_oracle,
    secant_oracle,
    shares_cost,
)
from optmodels.scaling.job.profile import concave_hull
from tests.scaling.job import cases
from tests.scaling.job.mixing_lp import ON_OFF, mixing_lp
from tests.scaling.job.profiles import NBODY_100K, VGG16, from_marginals, random_profile

property_test = settings(deadline=None, derandomize=True, max_examples=80)


def capacity(profile, slots, cap=None):
    """Most work in all slots: the best level, or mixture of two levels, under the cap."""
    servers, throughput, _ = profile
    limit = servers.max() if cap is None else cap
    within = servers <= limit
    best = throughput[within].max()
    for low in np.flatnonzero(within):
        for high in np.flatnonzero(~within):
            part = (limit - servers[low]) / (servers[high] - servers[low])
            best = max(best, (1 - part) * throughput[low] + part * throughput[high])
    return slots * best


def check(costs, profile, answer, work, switching, cap=None):
    """The answer is a plan: shares of time, exactly the work, within the cap, at its cost."""
    shares, cost, bound, _ = answer
    servers, throughput, power = profile
    assert shares.min() >= -1e-12
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(costs)), rel=1e-12)
    assert (shares @ throughput).sum() == pytest.approx(work, rel=1e-11, abs=1e-11)
    assert cap is None or (shares @ servers).max() <= cap * (1 + 1e-12)
    recomputed = shares_cost(costs, shares, servers, power, switching)
    assert cost == pytest.approx(recomputed, rel=1e-14, abs=1e-14)
    assert bound == pytest.approx(cost, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", ["concave", "measured", "clocks"])
def test_equals_the_linear_program(kind):
    """Cost and bound equal the mixing program: any profile, any spacing, caps between levels.

    A dynamic programme over pure levels fails on the measured profiles (it cannot stand on the
    envelope), one that drops levels off the hull fails on the clocks, and one that takes the cap
    for a level of its own fails between levels.
    """
    seed = {"concave": 11, "measured": 12, "clocks": 13}[kind]
    for costs, switching, rng in cases.random_cases(seed, 110, longest=12):
        profile = random_profile(rng, int(rng.integers(1, 6)), kind)
        cap = float(rng.uniform(0.2, 1.1) * profile[0].max()) if rng.random() < 0.5 else None
        work = rng.random() * capacity(profile, len(costs), cap)
        best = mixing_lp(costs, *profile, switching=switching, work=work, cap=cap)
        answer = level_oracle(costs, *profile, switching=switching, work=work, cap=cap)
        assert answer.cost == pytest.approx(best, rel=1e-9, abs=1e-9)
        check(costs, profile, answer, work, switching, cap)


def test_negative_costs_equal_the_linear_program():
    """With negative carbon the worst modes can be the best: none may be dropped beforehand."""
    for costs, switching, rng in cases.random_cases(14, 60, longest=8):
        profile = random_profile(rng, 3, "measured")
        signed = costs - rng.uniform(0.0, 1.5) * costs.mean()
        work = rng.random() * capacity(profile, len(costs))
        best = mixing_lp(signed, *profile, switching=switching, work=work)
        answer = level_oracle(signed, *profile, switching=switching, work=work)
        assert answer.cost == pytest.approx(best, rel=1e-9, abs=1e-6)
        assert answer.bound == pytest.approx(answer.cost, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("profile", [NBODY_100K, VGG16], ids=["nbody", "vgg16"])
@pytest.mark.parametrize("switching", [0.0, 300.0, 5000.0])
def test_known_profiles_over_two_days(profile, switching):
    """Real profiles, smooth carbon, with and without the levels that the hull leaves out."""
    costs = cases.random_costs(np.random.default_rng(15), "sinusoid", 48)
    for levels in (profile, tuple(a[concave_hull(*profile)] for a in profile)):
        work = 24.0
        best = mixing_lp(costs, *levels, switching=switching, work=work)
        answer = level_oracle(costs, *levels, switching=switching, work=work)
        assert answer.cost == pytest.approx(best, rel=1e-9)
        check(costs, levels, answer, work, switching)


@property_test
@given(cases.costs, cases.switchings, cases.shares)
def test_one_level_is_the_job_with_one_rate(costs, switching, share):
    """On and off only: the same optimum as secant search and taut string."""
    work = share * len(costs)
    answer = level_oracle(costs, *ON_OFF, switching=switching, work=work)
    curve = JobLengthCurve.from_costs(costs, switching)
    assert answer.cost == pytest.approx(curve.cost(work), rel=1e-10, abs=1e-9)
    assert answer.cost == pytest.approx(secant_oracle(costs, switching, work).cost, abs=1e-9)


@property_test
@given(cases.costs, cases.switchings, cases.shares, st.integers(1, 6))
def test_linear_scaling_is_a_rate_cap(costs, switching, share, servers):
    """M servers of equal worth are one rate with cap M, ties among levels and all."""
    profile = from_marginals(np.ones(servers))
    work = share * servers * len(costs)
    answer = level_oracle(costs, *profile, switching=switching, work=work)
    curve = JobLengthCurve.from_costs(costs, switching, cap=servers)
    assert answer.cost == pytest.approx(curve.cost(work), rel=1e-10, abs=1e-9)


def test_hull_is_lossless_for_power_proportional_to_servers():
    """Levels off the hull do not help there, whatever switching costs."""
    rng = np.random.default_rng(16)
    profile = from_marginals([1.0, 0.2, 0.3, 0.3, 0.6])
    hull = tuple(a[concave_hull(*profile)] for a in profile)
    assert len(hull[0]) < len(profile[0])
    for switching in (0.0, 10.0, 200.0):
        costs = cases.random_costs(rng, "uniform", 20)
        full, cut = (
            level_oracle(costs, *levels, switching=switching, work=20.0).cost
            for levels in (profile, hull)
        )
        assert full == pytest.approx(cut, rel=1e-10)


def test_level_off_the_hull_can_save_ramps():
    """One fast server beats two slow ones of less power once ramps are dear: 101 + 2β < 100 + 4β.

    Cutting the profile to its hull first would answer 300.
    """
    profile = [0.0, 2.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.01]
    assert concave_hull(*profile).tolist() == [0, 1]
    answer = level_oracle([100.0], *profile, switching=50.0, work=1.0)
    assert answer.cost == pytest.approx(201.0, rel=1e-12)
    assert answer.schedule.tolist() == [[0.0, 0.0, 1.0]]


def test_cap_between_levels_mixes_them():
    """At most 1.5 servers: half the slot on one, half on two."""
    profile = from_marginals([1.0, 0.5])
    answer = level_oracle([10.0], *profile, switching=3.0, work=1.25, cap=1.5)
    assert answer.schedule.tolist() == [[0.0, 0.5, 0.5]]
    assert answer.cost == pytest.approx(15.0 + 2 * 3.0 * 1.5, rel=1e-14)
    with pytest.raises(InfeasibleError, match=r"1 slots on at most 1\.5 servers hold 1\.25"):
        level_oracle([10.0], *profile, switching=3.0, work=1.26, cap=1.5)


def test_extremes_of_work():
    """No work costs nothing; all the work there is runs every slot on the best level."""
    costs = [5.0, 1.0, 9.0]
    nothing = level_oracle(costs, *VGG16, switching=2.0, work=0.0)
    assert (nothing.cost, nothing.schedule[:, 0].tolist()) == (0.0, [1.0] * 3)
    work = 3 * VGG16[1][8]
    everything = level_oracle(costs, *VGG16, switching=2.0, work=work)
    assert everything.cost == pytest.approx(15.0 * 960 + 2 * 2 * 8, rel=1e-14)
    assert everything.bound == pytest.approx(everything.cost, rel=1e-12)
    idle = level_oracle(costs, [0.0, 1.0], [0.0, 0.0], [0.0, 1.0], switching=2.0, work=0.0)
    assert idle.cost == 0.0


@pytest.mark.parametrize("kind", ["concave", "measured", "clocks"])
def test_job_under_way_equals_the_linear_program(kind):
    """From any number of running servers: those that run on pay no ramp up, the others one down."""
    seed = {"concave": 17, "measured": 18, "clocks": 19}[kind]
    for costs, switching, rng in cases.random_cases(seed, 60, longest=8):
        profile = random_profile(rng, int(rng.integers(1, 5)), kind)
        most = float(profile[0].max())
        running = float(rng.choice([rng.random() * most, rng.choice(profile[0])]))
        cap = float(rng.uniform(running, most)) if rng.random() < 0.3 and running > 0 else None
        work = float(rng.choice([0.0, rng.random(), 1.0])) * capacity(profile, len(costs), cap)
        question = {"switching": switching, "work": work, "cap": cap, "running": running}
        best = mixing_lp(costs, *profile, **question)
        answer = level_oracle(costs, *profile, **question)
        assert answer.cost == pytest.approx(best, rel=1e-9, abs=1e-8)
        assert answer.bound == pytest.approx(best, rel=1e-9, abs=1e-8)


@property_test
@given(cases.costs, cases.switchings, cases.shares, st.randoms(use_true_random=False))
def test_bound_holds_for_any_shares(costs, switching, share, random):
    """No shares of time that do the same work are cheaper than the bound."""
    rng = np.random.default_rng(random.randrange(2**32))
    profile = random_profile(rng, 3, "measured")
    shares = rng.dirichlet(np.full(4, 0.3 + share), len(costs))
    work = float((shares @ profile[1]).sum())
    answer = level_oracle(costs, *profile, switching=switching, work=work)
    cost = shares_cost(costs, shares, profile[0], profile[2], switching)
    assert answer.bound <= cost * (1 + 1e-11)
    assert answer.cost <= cost * (1 + 1e-9)


def test_leaves_the_arrays_alone():
    """Inputs come back unchanged."""
    arrays = [np.array([3.0, 1.0, 2.0]), *(np.array(a) for a in VGG16)]
    before = [a.copy() for a in arrays]
    level_oracle(*arrays, switching=1.0, work=2.0)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


def test_all_flaws_at_once():
    """Every bad argument is in one report."""
    with pytest.raises(InputError) as caught:
        level_oracle([np.nan], [1, 2], [1, 2], [1, 2], switching=-1, work="9", cap=0)
    places = [flaw.field for flaw in caught.value.flaws]
    assert places == ["costs[0]", "servers", "switching", "work", "cap"]


def test_shares_cost_refuses_the_wrong_shape():
    """Shares must be slots × levels."""
    with pytest.raises(InputError, match="shares"):
        shares_cost([1.0, 2.0], np.ones((2, 3)), [0, 1], [0, 1], 1.0)
