"""Frames for an analyst, against numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from optmodels.errors import UsageError
from optmodels.rightsizing.sites import facts, series
from optmodels.rightsizing.sites.figures import (
    fleet_figures,
    site_figures,
    threshold_sensitivity,
    utilisation_curves,
)
from optmodels.rightsizing.sites.optimum import solve
from tests.rightsizing.sites.instances import fleet, small

# Sites by themselves: three GPUs at the first, none at the second (its wind is too rare).
INST = fleet(
    [[1.0, 0.0], [3.0, 0.0], [3.0, 0.0], [4.0, 8.0]], demand=100.0, nameplate_kw=[6.0, 8.0]
)


def test_site_figures_by_hand() -> None:
    """Three GPUs run 1 + 3 + 3 + 3 of 12 hours: 12 USD installed and 10 of energy for 10 hours."""
    frame = site_figures(INST, solve(INST)).set_index("site")
    first = frame.loc["s0"]
    assert first["gpus"] == 3
    assert first["nameplate_share"] == pytest.approx(0.5)
    assert first["utilisation"] == first["powered_share"] == pytest.approx(10 / 12)
    assert first["usd_per_gpu_hour"] == pytest.approx(2.2)
    assert first["saving_usd"] == pytest.approx(10 * 4 - 22)
    assert np.isnan(frame.loc["s1", "usd_per_gpu_hour"])
    assert frame["saving_usd"].sum() == pytest.approx(400 * 4 - solve(INST).objective)


def test_fleet_figures_by_hand() -> None:
    """Shares 1/3, 1, 1, 1 of the fleet are powered; all sites are full in three of four slots."""
    values = fleet_figures(INST, solve(INST)).set_index("quantity")["value"]
    assert values["mean powered share"] == pytest.approx(10 / 12)
    assert values["P5 powered share"] == pytest.approx(1 / 3 + 0.15 * 2 / 3)
    assert values["P1 powered share"] == pytest.approx(1 / 3 + 0.03 * 2 / 3)
    assert values["slots with all sites full"] == pytest.approx(0.75)
    assert values["demand served"] == pytest.approx(10 / 400)


def test_utilisation_curves() -> None:
    """The curve falls, costs rise, and the grid is dearer up to the break-even size."""
    frame = utilisation_curves(INST, points=6)
    first = frame[frame["site"] == "s0"]
    assert first["gpus"].tolist() == [1, 2, 3, 4, 5, 6]
    assert first["utilisation"].tolist() == pytest.approx(
        [1, 7 / 8, 10 / 12, 11 / 16, 0.55, 11 / 24]
    )
    assert first["usd_per_gpu_hour"].tolist()[0] == pytest.approx(2)
    second = frame[frame["site"] == "s1"]
    assert not second["cheaper_than_grid"].any()
    with pytest.raises(UsageError, match="2 or more"):
        utilisation_curves(INST, points=1)


def test_threshold_sensitivity_is_monotone() -> None:
    """The less utilisation is asked for, the larger the fleet; the newsvendor's never larger."""
    frame = threshold_sensitivity(small(3), (0.9, 0.7, 0.5, 0.3))
    for name in ("break_even_gpus", "newsvendor_gpus"):
        assert (np.diff(frame[name]) >= 0).all()
    assert (frame["newsvendor_gpus"] <= frame["break_even_gpus"] * (1 + 1e-9)).all()
    with pytest.raises(UsageError, match="above 0"):
        threshold_sensitivity(INST, [0.0])


def test_facts_and_series() -> None:
    """What a comparison shows, and what forecasts would speak of."""
    found = facts(INST, solve(INST))
    assert found["sites"] == 1
    assert found["utilisation"] == pytest.approx(10 / 12)
    assert found["unmet_share"] == pytest.approx(390 / 400)
    assert found["out_of_sample"] == 0
    assert series(INST).truth.tolist() == [1, 3, 3, 12]
    assert series(INST).slots_per_day == 24


def test_empty_fleets_have_no_utilisation() -> None:
    """Where nothing is installed nothing is divided by nothing."""
    calm = fleet([[0.0], [0.0]], demand=5.0)
    plan = solve(calm)
    assert np.isnan(facts(calm, plan)["utilisation"])
    assert fleet_figures(calm, plan)["value"].isna().sum() == 4


def test_plans_of_other_instances_are_refused() -> None:
    """A plan is only read beside its own instance."""
    with pytest.raises(UsageError, match="belongs to"):
        site_figures(small(1), solve(INST))
