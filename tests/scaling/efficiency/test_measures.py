"""Work per kWh, work per gram, and what one costs in the other."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.scaling.efficiency import Contest, Operation


def test_definitions():
    """Ten units of work for 2 kWh and 500 g: 5 per kWh, 0.02 per gram."""
    operation = Operation(energy_kwh=2, carbon_g=500, work=10)
    assert operation.energy_efficiency == 5
    assert operation.carbon_efficiency == 0.02
    assert Operation(1, 0).carbon_efficiency == math.inf


def test_winners_break_ties_by_the_other_measure():
    """Of equally little energy the cleaner one wins; else the gain would be counted too high."""
    choices = pd.DataFrame({"energy_kwh": [2, 1, 1], "carbon_g": [10, 50, 40]})
    contest = Contest.of(choices)
    assert contest.energy_optimal == Operation(1, 40)
    assert contest.energy_penalty == 1
    assert contest.carbon_gain == 0.75
    assert contest.trade_off == pytest.approx(4 / 3)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 10**6), st.booleans())
def test_penalty_and_gain_are_never_negative(seed, constant):
    """π_E, π_C ≥ 0 for any choices; with constant intensity both are 0 and one choice wins both."""
    rng = np.random.default_rng(seed)
    energy = rng.uniform(1, 9, 6)
    carbon = 300 * energy if constant else rng.uniform(0, 9, 6)
    contest = Contest.of(pd.DataFrame({"energy_kwh": energy, "carbon_g": carbon}))
    assert contest.energy_penalty >= 0
    assert contest.carbon_gain >= 0
    if constant:
        assert contest.energy_optimal == contest.carbon_optimal
        assert contest.carbon_gain == 0
        assert math.isnan(contest.trade_off)
        best = contest.carbon_optimal
        efficiencies = [Operation(e, c) for e, c in zip(energy, carbon, strict=True)]
        assert best.energy_efficiency == max(o.energy_efficiency for o in efficiencies)
        assert best.carbon_efficiency == max(o.carbon_efficiency for o in efficiencies)
