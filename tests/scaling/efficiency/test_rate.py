"""Clock frequencies: the rule f ∝ CI^(-1/2), its exact multiplier, the oracle on fine levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import optmodels as om
from optmodels.errors import InfeasibleError, InputError
from optmodels.scaling.efficiency import ClockFrequency, Contest

CLOCK = ClockFrequency(static_kw=0.054, cubic_kw=0.001, highest=10)


def test_most_efficient_frequency():
    """f_E = (P_s / 2κ)^{1/3} = 3 minimises P(f)/f; it is the highest where that is less."""
    assert CLOCK.most_efficient == pytest.approx(3)
    found = minimize_scalar(
        lambda f: float(CLOCK.power_kw(f)) / f, bounds=(1, 10), method="bounded"
    )
    assert CLOCK.most_efficient == pytest.approx(found.x, rel=1e-4)
    assert ClockFrequency(0.054, 0.001, 2.5).most_efficient == 2.5


def test_two_levels():
    """At 400 and 100 g/kWh: frequencies 1 : 2, dynamic energy per work 1 : 4, equal at the margin.

    The numbers are chosen so that 12 units of work run at 4 and 8.
    """
    plan = CLOCK.least_carbon([400, 100], 12)
    assert plan.frequency == pytest.approx([4, 8])
    assert plan.share == pytest.approx([1, 1])
    per_work = CLOCK.cubic_kw * plan.frequency**2
    assert per_work[1] / per_work[0] == pytest.approx(4)
    assert np.array([400, 100]) * 3 * per_work == pytest.approx(plan.price)
    assert plan.energy_kwh == pytest.approx(0.684)
    assert plan.carbon_g == pytest.approx(103.8)
    contest = CLOCK.contest([400, 100], 12)
    assert contest.energy_optimal.energy_kwh == pytest.approx(0.54)
    assert contest.energy_optimal.carbon_g == pytest.approx(135)
    assert contest.energy_penalty == pytest.approx(0.144 / 0.54)
    assert contest.carbon_gain == pytest.approx(31.2 / 135)


def test_sleep_and_caps():
    """Little work sleeps through the dirty slot; much work reaches the highest frequency."""
    little = CLOCK.least_carbon([400, 100], 5)
    assert little.frequency == pytest.approx([0, 5])
    # The dirty slot wakes up at f_E, when the clean one runs at 2 f_E = 6; it runs for a part.
    waking = CLOCK.least_carbon([400, 100], 7.5)
    assert waking.frequency == pytest.approx([3, 6])
    assert waking.share == pytest.approx([0.5, 1])
    much = CLOCK.least_carbon([400, 100], 17)
    assert much.frequency == pytest.approx([7, 10])
    idle = CLOCK.least_carbon([400, 100], 0)
    assert (idle.work, idle.carbon_g) == (0, 0)
    assert CLOCK.least_carbon([400, 100], 20).frequency == pytest.approx([10, 10])


@settings(deadline=None, derandomize=True, max_examples=80)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.02, 0.2, 5.0]),
    st.just(0.0) | st.floats(1e-9, 1.0),
    st.sampled_from([0.25, 1.0]),
)
def test_optimality_conditions(seed, static, load, hours):
    """All work is done; slots that run share one marginal carbon, others would be dearer.

    These conditions are sufficient: carbon is convex in the work of each slot.
    """
    rng = np.random.default_rng(seed)
    slots = int(rng.integers(1, 12))
    carbon = (
        rng.choice([50.0, 120.0, 300.0, 500.0], slots) if seed % 2 else rng.uniform(50, 500, slots)
    )
    clock = ClockFrequency(static, 0.003, float(rng.uniform(1, 8)))
    work = load * slots * hours * clock.highest
    plan = clock.least_carbon(carbon, work, slot_hours=hours)
    assert plan.work == pytest.approx(work, rel=1e-12, abs=1e-12)
    on = plan.share > 0
    f = plan.frequency[on]
    assert (f >= clock.most_efficient * (1 - 1e-12)).all()
    assert (f <= clock.highest * (1 + 1e-12)).all()
    marginal = carbon[on] * 3 * clock.cubic_kw * f**2
    inside = (f > clock.most_efficient * (1 + 1e-9)) & (f < clock.highest * (1 - 1e-9))
    assert marginal[inside] == pytest.approx(plan.price, rel=1e-9)
    capped = f >= clock.highest * (1 - 1e-9)
    if clock.most_efficient < clock.highest:
        assert (marginal[capped] <= plan.price * (1 + 1e-9)).all()
    wake = carbon * clock.power_kw(clock.most_efficient) / max(clock.most_efficient, 1e-300)
    if clock.most_efficient > 0:
        assert (wake[~on] >= plan.price * (1 - 1e-9)).all()
        assert (wake[on] <= plan.price * (1 + 1e-9)).all()
        partial = on & (plan.share < 1)
        assert wake[partial] == pytest.approx(plan.price, rel=1e-12)
    least = clock.least_energy(carbon, work, slot_hours=hours)
    assert least.work == pytest.approx(work, rel=1e-12, abs=1e-12)
    assert least.energy_kwh <= plan.energy_kwh * (1 + 1e-12)
    assert plan.carbon_g <= least.carbon_g * (1 + 1e-12)


@pytest.mark.parametrize("work", [20.0, 60.0, 110.0])
def test_oracle_on_fine_levels(work):
    """The optimum over levels is above the exact one; halving the step quarters the difference."""
    carbon = 300 + 200 * np.sin(2 * np.pi * np.arange(24) / 24)
    exact = CLOCK.least_carbon(carbon, work).carbon_g
    above = [
        om.solve(CLOCK.job(carbon, work, levels=levels)).objective / exact - 1
        for levels in (5, 9, 17, 33)
    ]
    assert (np.array(above) > -1e-12).all()
    assert above[-1] < 5e-4
    assert above[-1] < above[0] / 30


def test_front_of_levels_meets_both_exact_ends():
    """The ends of the front on levels 0.25 apart are those of the formulas.

    The work needs the frequency 4.25 throughout, which is a level, so the end of least energy is
    met exactly; the other end is as near as the levels are.
    """
    carbon = 300 + 200 * np.sin(2 * np.pi * np.arange(24) / 24)
    exact = CLOCK.contest(carbon, 102)
    found = Contest.of(om.frontier(CLOCK.job(carbon, 102, levels=29), points=6).frame, 102)
    least = exact.energy_optimal
    assert found.energy_optimal.energy_kwh == pytest.approx(least.energy_kwh, rel=1e-9)
    assert found.energy_optimal.carbon_g == pytest.approx(least.carbon_g, rel=1e-9)
    greenest = exact.carbon_optimal
    assert found.carbon_optimal.carbon_g == pytest.approx(greenest.carbon_g, rel=1e-3)
    assert found.carbon_optimal.energy_kwh == pytest.approx(greenest.energy_kwh, rel=1e-2)
    assert found.energy_penalty == pytest.approx(exact.energy_penalty, abs=0.01)
    assert found.carbon_gain == pytest.approx(exact.carbon_gain, abs=1e-3)


@pytest.mark.parametrize("work", [10.0, 40.0])
def test_constant_intensity_leaves_nothing_to_gain(work):
    """With one intensity least carbon is least energy: π_C = π_E = 0."""
    contest = CLOCK.contest([300.0] * 8, work)
    assert contest.carbon_gain == pytest.approx(0, abs=1e-12)
    assert contest.energy_penalty == pytest.approx(0, abs=1e-12)


def test_refusals():
    """Bad numbers are told all at once; work that does not fit has no plan."""
    with pytest.raises(InputError, match="2 problems"):
        ClockFrequency(-1, 0, 3)
    with pytest.raises(InputError, match="2 problems"):
        CLOCK.least_carbon([0, 100], -1)
    with pytest.raises(InfeasibleError, match="does not fit"):
        CLOCK.least_carbon([400, 100], 20.1)
