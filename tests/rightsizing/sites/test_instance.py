"""The instance: arrays, derived costs, round trips, and everything that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.synthetic import generate
from tests.rightsizing.sites.instances import START, fleet, small

POWER = [[4.0, 1.0], [2.0, 3.0], [0.0, 5.0]]


def test_arrays_by_slot_and_site() -> None:
    """Rows in any order give the same arrays, in the order of time and of the sites' names."""
    inst = fleet(POWER)
    tables = inst.tables
    shuffled = {
        "sites": tables["sites"].iloc[::-1],
        "power": tables["power"].sample(frac=1.0, random_state=3),
    }
    again = inst.replace(**shuffled)
    assert again == inst
    assert again.power_kw.tolist() == POWER
    assert again.sites == ("s0", "s1")
    assert again.times[0] == START
    assert str(again.times.tz) == "UTC"
    with pytest.raises(ValueError, match="read-only"):
        again.power_kw[0, 0] = 1.0


def test_derived_costs_by_hand() -> None:
    """K, c_g, energy per GPU-hour, and the shares of yearly costs in three hours."""
    inst = fleet(
        POWER,
        gpu_kw=2.0,
        opening=[8760.0, 0.0],
        grid_utilisation=0.5,
        battery_usd_per_kwh_year=4380.0,
    )
    assert inst.installed_usd == pytest.approx(1.0)
    assert inst.grid_usd == pytest.approx(1 / 0.5 + 2 * 3)
    assert inst.wind_usd == pytest.approx(2.0)
    assert inst.backup_usd == pytest.approx(6.0)
    assert inst.break_even == pytest.approx(1 / 6)
    assert inst.opening_usd.tolist() == pytest.approx([3.0, 0.0])
    assert inst.battery_usd == pytest.approx(1.5)
    assert inst.most_gpus.tolist() == [2.0, 2.5]
    assert fleet(POWER, wind_usd_per_kwh=9.0).break_even == np.inf


def test_far_sites_and_modules() -> None:
    """A far site holds nothing; sizes are rounded down to modules, unless off by a last digit."""
    inst = fleet(POWER, rtt_ms=[10.0, 50.1], module_gpus=3)
    assert inst.eligible.tolist() == [True, False]
    assert inst.most_gpus.tolist() == [3.0, 0.0]
    assert inst.whole_modules(np.array([2.9, 3.0 - 4e-16, 6.1])).tolist() == [0.0, 3.0, 6.0]


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
def test_round_trip(tmp_path: Path, table_format: str) -> None:
    """Saved and loaded it is the same, in both formats."""
    inst = small(4, demand=np.arange(1.0, 73.0), carbon=np.arange(72.0), past_kw=np.ones((72, 3)))
    inst.save(tmp_path / "x", table_format=table_format)
    assert SitesInstance.load(tmp_path / "x") == inst


def test_generator_is_seeded() -> None:
    """The same seed gives the same instance, another one another; its origin names the sizes."""
    sizes: dict[str, Any] = {"hours": 48, "sites": 3, "past_hours": 24, "module_gpus": 8}
    one = generate(7, **sizes)
    assert one == generate(7, **sizes)
    assert one != generate(8, **sizes)
    assert one.origin is not None
    assert "--seed 7" in one.origin
    assert "module_gpus=8" in one.origin
    assert one.past_kw is not None
    assert one.past_kw.shape == (24, 3)
    assert (one.power_kw <= one.nameplate_kw).all()


def test_generator_correlates() -> None:
    """A shared part of the wind shows in the power; without one there is next to none."""
    shared, alone = (
        np.corrcoef(generate(1, hours=4000, sites=2, correlation=c).power_kw.T)[0, 1]
        for c in (0.9, 0.0)
    )
    assert shared > 0.7
    assert abs(alone) < 0.3


def test_generator_refuses_at_once() -> None:
    """Every size out of range is listed."""
    with pytest.raises(InputError) as caught:
        generate(-1, hours=1.5, sites=0, correlation=2.0, module_gpus=-1)
    text = str(caught.value)
    for name in ("seed", "hours", "sites", "correlation", "module_gpus"):
        assert f"'{name}'" in text


def changed(**changes: Any) -> None:
    """Make a changed copy."""
    fleet(POWER).replace(**changes)


def power(**columns: Any) -> pd.DataFrame:
    """The power of two sites with changed columns."""
    return fleet(POWER).tables["power"].assign(**columns)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"demand_gpus": None}, "give it, or a table 'demand'"),
        ({"demand_gpus": 0.0}, "zero throughout"),
        ({"carbon_g_per_kwh": None}, "give it, or a table 'grid'"),
        ({"gpu_kw": 0.0}, "gpu_kw"),
        ({"unmet_share_max": 1.5}, "unmet_share_max"),
        ({"module_gpus": 0}, "module_gpus"),
        ({"power": power(site=["s0", "sX"] * 3)}, "is not a site"),
        ({"power": power().iloc[:-1]}, "has only 2 of 3 slots"),
        ({"power": power(power_kw=9.0)}, "above the nameplate"),
        ({"power": power(power_kw=[-1.0, *[1.0] * 5])}, "too small"),
        ({"power": power().drop([2, 3])}, "follows a gap"),
        (
            {"demand": pd.DataFrame({"time": fleet(POWER).times, "gpus": 1.0})},
            "is given twice",
        ),
        (
            {
                "demand_gpus": None,
                "demand": pd.DataFrame({"time": fleet(POWER).times[:2], "gpus": 1.0}),
            },
            "the slots of 'power'",
        ),
        ({"past": power()}, "is not before the first slot"),
        (
            {
                "past": power(time=power()["time"] - pd.Timedelta(days=9)),
                "unmet_share_max": 0.5,
            },
            "cannot be asked for beside",
        ),
        (
            {
                "past": power(time=power()["time"] - pd.Timedelta(days=9)).iloc[:4],
                "demand": pd.DataFrame({"time": fleet(POWER).times, "gpus": 1.0}),
                "demand_gpus": None,
            },
            "as many",
        ),
    ],
)
def test_refused(changes: dict[str, Any], words: str) -> None:
    """Each flaw is said in the words of the problem."""
    with pytest.raises(InputError, match=words):
        changed(**changes)
