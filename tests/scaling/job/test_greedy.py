"""CarbonScaler's greedy with a fractional last increment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InfeasibleError, InputError
from optmodels.scaling.job.exact import JobLengthCurve, level_oracle, shares_cost
from optmodels.scaling.job.greedy import greedy_increments
from tests.scaling.job import cases
from tests.scaling.job.mixing_lp import mixing_lp
from tests.scaling.job.profiles import NBODY_100K, VGG16, from_marginals, random_profile

property_test = settings(deadline=None, derandomize=True, max_examples=100)


def carbon_of(carbon, shares, profile):
    """Carbon of the shares; switching is free."""
    return shares_cost(carbon, shares, profile[0], profile[2], 0.0)


class TestPaperExample:
    """The paper's example: two slots of work, three slots of carbon (10, 100, 20)."""

    CARBON = (10.0, 100.0, 20.0)

    def test_perfect_scaling(self):
        """MC = (1, 1): both servers in the first slot, 20 g."""
        profile = from_marginals([1.0, 1.0])
        shares = greedy_increments(self.CARBON, *profile, 2.0)
        assert (shares @ profile[0]).tolist() == [2.0, 0.0, 0.0]
        assert carbon_of(self.CARBON, shares, profile) == 20.0

    def test_diminishing_scaling(self):
        """MC = (1, .7): a third slot for 0.3 of its time, 26 g; charging it whole gives 40 g."""
        profile = from_marginals([1.0, 0.7])
        shares = greedy_increments(self.CARBON, *profile, 2.0)
        assert shares @ profile[0] == pytest.approx([2.0, 0.0, 0.3], rel=1e-12)
        assert carbon_of(self.CARBON, shares, profile) == pytest.approx(26.0, rel=1e-12)


@pytest.mark.parametrize("kind", ["concave", "measured", "clocks"])
def test_equals_linear_program_and_level_oracle(kind):
    """Without switching cost the greedy is optimal for every profile, thanks to the hull."""
    seed = {"concave": 21, "measured": 22, "clocks": 23}[kind]
    for carbon, _, rng in cases.random_cases(seed, 100, longest=14):
        profile = random_profile(rng, int(rng.integers(1, 7)), kind)
        work = rng.random() * len(carbon) * profile[1].max()
        shares = greedy_increments(carbon, *profile, work)
        cost = carbon_of(carbon, shares, profile)
        assert shares.min() >= 0.0
        assert shares.sum(axis=1) == pytest.approx(np.ones(len(carbon)), rel=1e-14)
        assert (shares @ profile[1]).sum() == pytest.approx(work, rel=1e-12)
        best = level_oracle(carbon, *profile, switching=0.0, work=work)
        assert cost == pytest.approx(best.cost, rel=1e-9, abs=1e-12)
        assert best.bound <= cost * (1 + 1e-12) + 1e-12
        program = mixing_lp(carbon, *profile, switching=0.0, work=work)
        assert cost == pytest.approx(program, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("profile", [NBODY_100K, VGG16], ids=["nbody", "vgg16"])
def test_known_profiles(profile):
    """Measured profiles over four days."""
    carbon = cases.random_costs(np.random.default_rng(24), "sinusoid", 96)
    shares = greedy_increments(carbon, *profile, 48.0)
    best = level_oracle(carbon, *profile, switching=0.0, work=48.0)
    assert carbon_of(carbon, shares, profile) == pytest.approx(best.cost, rel=1e-9)


@property_test
@given(cases.costs, cases.shares, st.integers(1, 4), st.integers(0, 3))
def test_plan_keeps_the_rules(carbon, share, fewest, extra):
    """All work, no level between off and the minimum, and at most one slot split between two."""
    profile = from_marginals(0.9 ** np.arange(fewest + extra))
    work = share * len(carbon) * profile[1].max()
    shares = greedy_increments(carbon, *profile, work, minimum_servers=fewest)
    assert (shares @ profile[1]).sum() == pytest.approx(work, rel=1e-12, abs=1e-12)
    assert not shares[:, 1:fewest].any()
    split = np.count_nonzero((shares > 1e-9) & (shares < 1 - 1e-9), axis=1)
    assert np.count_nonzero(split) <= 1


def test_base_block_is_bought_whole():
    """Three servers at once, ranked by their own work per power: 1.5 for 3, not the third's .1.

    Ranking the block by the marginal throughput of its last server would scale slot 0 up first.
    """
    profile = from_marginals([0.9, 0.5, 0.1, 0.4])
    shares = greedy_increments([10.0, 11.0], *profile, 3.0, minimum_servers=3)
    assert (shares @ profile[0]).tolist() == [3.0, 3.0]


@property_test
@given(cases.costs, cases.shares)
def test_only_the_base_block_is_suspend_and_resume(carbon, share):
    """M = m: the cheapest slots on m servers, the dearest of them in part."""
    work = share * len(carbon)
    profile = ([0.0, 3.0], [0.0, 1.0], [0.0, 1.0])
    shares = greedy_increments(carbon, *profile, work, minimum_servers=3)
    cheapest = JobLengthCurve.from_costs(carbon, 0.0).cost(work)
    assert carbon_of(carbon, shares, profile) == pytest.approx(cheapest, rel=1e-12)


def test_constant_carbon_scales_only_when_forced():
    """Constant carbon: the base level in the earliest slots; beyond it only at a tight deadline."""
    profile = from_marginals([1.0, 0.7, 0.5])
    relaxed = greedy_increments(np.full(6, 30.0), *profile, 4.5)
    assert (relaxed @ profile[0]).tolist() == [1.0, 1.0, 1.0, 1.0, 0.5, 0.0]
    tight = greedy_increments(np.full(6, 30.0), *profile, 7.4)
    assert tight @ profile[0] == pytest.approx([2.0, 2.0, 1.0, 1.0, 1.0, 1.0])


def test_ties_go_to_the_earlier_slot_then_the_smaller_level():
    """Equal carbon: the first of the cheap slots is filled; in free slots, from below."""
    profile = from_marginals([1.0, 1.0])
    assert (greedy_increments([5.0, 5.0, 9.0], *profile, 3.0) @ profile[0]).tolist() == [2, 1, 0]
    assert (greedy_increments([0.0, 0.0], *profile, 1.5) @ profile[0]).tolist() == [1.5, 0]


def test_thirds_are_taken_from_below():
    """Marginals equal but for the last digit must not buy the second server before the first."""
    profile = np.arange(7.0), np.cumsum([0.0] + [1 / 3] * 6), np.cumsum([0.0] + [0.1] * 6)
    for work in np.linspace(0.1, 3.9, 20):
        shares = greedy_increments([7.0, 7.0], *profile, work)
        assert shares.min() >= 0.0
        assert (shares @ profile[1]).sum() == pytest.approx(work, rel=1e-12)


def test_enough_servers_put_the_job_into_the_cheapest_slot():
    """Linear scaling and M ≥ work."""
    profile = from_marginals(np.ones(4))
    shares = greedy_increments([30.0, 20.0, 10.0, 40.0], *profile, 4.0)
    assert (shares @ profile[0]).tolist() == [0.0, 0.0, 4.0, 0.0]


@property_test
@given(cases.costs, cases.shares, st.floats(1.0, 400.0))
def test_more_room_never_costs_carbon(carbon, share, later):
    """Another slot, or another server, never makes the plan dearer; scaling carbon keeps it."""
    profile = from_marginals([1.0, 0.8, 0.6, 0.5])
    smaller = tuple(a[:4] for a in profile)
    work = share * len(carbon) * smaller[1].max()
    base = greedy_increments(carbon, *smaller, work)
    cost = carbon_of(carbon, base, smaller)
    longer = greedy_increments([*carbon, later], *smaller, work)
    wider = greedy_increments(carbon, *profile, work)
    assert carbon_of([*carbon, later], longer, smaller) <= cost * (1 + 1e-12)
    assert carbon_of(carbon, wider, profile) <= cost * (1 + 1e-12)
    assert np.array_equal(greedy_increments(4.0 * np.array(carbon), *smaller, work), base)


@property_test
@given(cases.costs, cases.shares, cases.shares)
def test_planning_again_without_news_changes_nothing(carbon, share, when):
    """Run the plan to some slot, plan the rest again on the same carbon: the same plan."""
    profile = from_marginals([1.0, 0.8, 0.6])
    plan = greedy_increments(carbon, *profile, share * len(carbon) * profile[1].max())
    now = min(int(when * len(carbon)), len(carbon) - 1)
    left = float((plan[now:] @ profile[1]).sum())
    again = greedy_increments(carbon, *profile, left, first_slot=now)
    assert again[now:] == pytest.approx(plan[now:], abs=1e-9)
    assert not again[:now, 1:].any()


def test_too_tight_a_deadline():
    """The message names what the slots that are left can hold."""
    with pytest.raises(InfeasibleError, match=r"2 slots at 2 servers hold 3\.4"):
        greedy_increments([1.0, 1.0, 1.0], *from_marginals([1.0, 0.7]), work=3.5, first_slot=1)


def test_profile_without_work():
    """A profile that does nothing can do no work, and does it."""
    idle = ([0.0, 1.0], [0.0, 0.0], [0.0, 1.0])
    assert greedy_increments([1.0, 2.0], *idle, work=0.0).tolist() == [[1, 0], [1, 0]]
    with pytest.raises(InfeasibleError):
        greedy_increments([1.0, 2.0], *idle, work=0.1)


def test_all_flaws_at_once():
    """Negative carbon has no greedy; every fault is reported together."""
    with pytest.raises(InputError) as caught:
        greedy_increments(
            [1.0, -1.0], [0, 1], [0, 1], [0, 1], np.inf, minimum_servers=2, first_slot=1.5
        )
    places = [flaw.field for flaw in caught.value.flaws]
    assert places == ["carbon[1]", "work", "first_slot", "minimum_servers"]


@pytest.mark.parametrize("slot", [-1, 2, np.inf, np.nan, None])
def test_first_slot_must_be_one(slot):
    """A slot that the horizon does not have is bad input, also when it is no number at all."""
    with pytest.raises(InputError, match="first_slot"):
        greedy_increments([1.0, 2.0], [0, 1], [0, 1], [0, 1], 1.0, first_slot=slot)
