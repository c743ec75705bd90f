"""Moving work: the printed examples, the break-even, and the front of two options."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError
from optmodels.scaling.efficiency import Migration

EXAMPLE = {
    "energy_kwh": 10,
    "here_g_per_kwh": 400,
    "there_g_per_kwh": 30,
    "energy_multiplier": 1.3,
    "network_kwh_per_gb": 0.03,
    "network_g_per_kwh": 200,
}


@pytest.mark.parametrize(
    ("data_gb", "carbon_g", "energy_kwh", "penalty", "gain"),
    [(500, 3390, 28, 1.8, 0.1525), (50, 690, 14.5, 0.45, 0.8275)],
)
def test_worked_examples(data_gb, carbon_g, energy_kwh, penalty, gain):
    """10 kWh at 400 g/kWh against 13 at 30 and the network: worse in energy, better in carbon."""
    migration = Migration(**EXAMPLE, data_gb=data_gb)
    stay, move = migration.options().to_dict("records")
    assert (stay["energy_kwh"], stay["carbon_g"]) == (10, 4000)
    assert (move["energy_kwh"], move["carbon_g"]) == pytest.approx((energy_kwh, carbon_g))
    assert migration.pays
    assert migration.front()["option"].to_list() == ["stay", "move"]
    contest = migration.contest()
    assert contest.energy_penalty == pytest.approx(penalty)
    assert contest.carbon_gain == pytest.approx(gain)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(*[st.integers(1, 50)] * 4)
def test_the_rule_flips_at_equality(energy, there, multiplier, data):
    """At equality work stays, a hair above it moves. Whole numbers make equality exact."""
    values = {
        "energy_kwh": energy,
        "there_g_per_kwh": there,
        "energy_multiplier": multiplier,
        "data_gb": data * energy,
        "network_kwh_per_gb": 2,
        "network_g_per_kwh": 3,
    }
    even = there * multiplier + 6 * data
    at = Migration(here_g_per_kwh=even, **values)
    assert not at.pays
    assert at.break_even_multiplier == pytest.approx(multiplier, rel=1e-12)
    assert Migration(here_g_per_kwh=even + 1e-9, **values).pays
    assert not Migration(here_g_per_kwh=even - 1e-9, **values).pays


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 500), st.integers(0, 500))
def test_equal_hardware_without_data_goes_where_it_is_cleaner(here, there):
    """With e = 1 and nothing to move, the rule is the lower intensity, and energy plays no part."""
    migration = Migration(10, here, there)
    assert migration.pays == (there < here)
    assert len(migration.front()) == 1
    contest = migration.contest()
    assert contest.energy_penalty == 0
    assert contest.carbon_gain == 0


def test_latency_forbids():
    """A place beyond the latency limit is no option, however clean."""
    near = Migration(**EXAMPLE, latency_ms=40, latency_limit_ms=40)
    far = Migration(**EXAMPLE, latency_ms=41, latency_limit_ms=40)
    assert near.pays
    assert not far.pays
    assert far.options()["option"].to_list() == ["stay"]


def test_carbon_free_place():
    """Where there is no carbon, any multiplier pays, unless the network alone emits more."""
    assert Migration(10, 400, 0).break_even_multiplier == math.inf
    assert Migration(10, 400, 0, 1, 1000, 0.06, 400).break_even_multiplier == -math.inf


def test_refusals():
    """Bad numbers are told all at once."""
    with pytest.raises(InputError, match="3 problems"):
        Migration(0, 400, -1, energy_multiplier=0)
