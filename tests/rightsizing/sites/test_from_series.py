"""Instances from series: values where they belong, the past cut off, real files, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.rightsizing.sites.from_series import from_series
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.traces import Cleaning, aligned_power, read_wind


def wind(slots: int = 6) -> pd.DataFrame:
    """Two sites in half hours."""
    index = pd.date_range("2022-03-27", periods=slots, freq="30min", tz="UTC", name="time")
    return pd.DataFrame({"b": np.arange(slots) * 10.0, "a": np.arange(slots) + 0.5}, index=index)


def test_values_are_where_they_belong() -> None:
    """Sites are ordered by name in an instance: power, nameplates and round trips move along."""
    made = from_series(
        wind(), nameplate_kw={"a": 6.0, "b": 60.0}, rtt_ms={"b": 3.0, "a": 80.0}, demand_gpus=7.0
    )
    assert isinstance(made, SitesInstance)
    place = [made.sites.index(name) for name in ("b", "a")]
    assert (made.power_kw[:, place] == wind().to_numpy()).all()
    assert made.nameplate_kw[place].tolist() == [60, 6]
    assert made.eligible[place].tolist() == [True, False]
    assert made.slot_hours == 0.5
    assert made.demand.tolist() == [7] * 6


def test_local_times_are_the_same_instants() -> None:
    """A frame in local time over a clock change makes the same instance."""
    plain = from_series(wind(), nameplate_kw=60, rtt_ms=1, demand_gpus=7.0)
    local = from_series(
        wind().tz_convert("Europe/Berlin"), nameplate_kw=60, rtt_ms=1, demand_gpus=7.0
    )
    assert plain.fingerprint == local.fingerprint


def test_the_past_is_what_comes_before() -> None:
    """Rules are told the slots before the first that counts, and none from it on."""
    demand = pd.Series(np.arange(6.0) + 1, index=wind().index)
    carbon = pd.Series(np.arange(6.0) * 100, index=wind().index)
    made = from_series(
        wind(),
        nameplate_kw=60,
        rtt_ms=1,
        demand_gpus=demand,
        carbon_g_per_kwh=carbon,
        judged_from="2022-03-27 01:30",
        name="halves",
        command="make it",
    )
    assert made.past_kw is not None
    b = made.sites.index("b")
    assert made.past_kw[:, b].tolist() == [0, 10, 20]
    assert made.power_kw[:, b].tolist() == [30, 40, 50]
    assert made.demand.tolist() == [4, 5, 6]
    assert made.carbon.tolist() == [300, 400, 500]
    assert made.name == "halves"


def test_what_is_refused() -> None:
    """Missing sites and demands, times without a zone, gaps, more power than the nameplate."""
    with pytest.raises(UsageError, match="no number for a"):
        from_series(wind(), nameplate_kw={"b": 60}, rtt_ms=1, demand_gpus=1)
    with pytest.raises(UsageError, match="say demand_gpus="):
        from_series(wind(), nameplate_kw=60, rtt_ms=1)
    for moment in ("2022-03-27", "2023-01-01"):
        with pytest.raises(UsageError, match="judged_from"):
            from_series(wind(), nameplate_kw=60, rtt_ms=1, demand_gpus=1, judged_from=moment)
    with pytest.raises(InputError, match="tz-aware"):
        from_series(wind().tz_localize(None), nameplate_kw=60, rtt_ms=1, demand_gpus=1)
    with pytest.raises(InputError, match="two times"):
        from_series(wind(1), nameplate_kw=60, rtt_ms=1, demand_gpus=1)
    with pytest.raises(InputError, match="rise"):
        from_series(wind()[::-1], nameplate_kw=60, rtt_ms=1, demand_gpus=1)
    with pytest.raises(InputError):
        from_series(wind().drop(index=wind().index[2]), nameplate_kw=60, rtt_ms=1, demand_gpus=1)
    with pytest.raises(InputError, match="nameplate"):
        from_series(wind(), nameplate_kw=5, rtt_ms=1, demand_gpus=1)
    with pytest.raises(InputError, match="gpu_watts"):
        from_series(wind(), nameplate_kw=60, rtt_ms=1, demand_gpus=1, gpu_watts=700)


def test_real_sources(shared_data: Path) -> None:
    """Dispa-SET, RTS-GMLC and a US area become instances; a day of each, unit by unit."""
    folder = shared_data / "wind"
    shares = read_wind(folder / "dispaset_af" / "1h_2016" / "DE.csv.gz", "dispaset").frame
    made = from_series(
        aligned_power({"DE": shares["onshore_share"] * 1e6}).iloc[:24],
        nameplate_kw=1e6,
        rtt_ms=5,
        demand_gpus=1000,
    )
    assert made.power_kw[0, 0] == pytest.approx(94_241)
    farms = read_wind(
        folder / "rts_gmlc" / "DAY_AHEAD_wind.csv.gz", "rts-gmlc-day-ahead", tz="Etc/GMT+7"
    ).frame
    made = from_series(
        farms.iloc[:24] * 1000, nameplate_kw=9e5, rtt_ms=5, demand_gpus=1000, source="RTS-GMLC"
    )
    assert made.power_kw[0].tolist() == pytest.approx([713_200, 480_800, 142_800, 795_100])
    area = read_wind(
        shared_data / "carbon" / "sustaindc_us2022" / "PJM_NG_&_avgCI.csv.gz",
        "sustaindc",
        cleaning=Cleaning(gaps="interpolate", max_gap_slots=24),
    ).frame.iloc[:24]
    made = from_series(
        area[["wind_mw"]] * 1000,
        nameplate_kw=float(area["wind_mw"].max()) * 1000,
        rtt_ms=5,
        demand_gpus=1000,
        carbon_g_per_kwh=area["carbon_g_per_kwh"],
    )
    assert made.carbon.tolist() == area["carbon_g_per_kwh"].tolist()
