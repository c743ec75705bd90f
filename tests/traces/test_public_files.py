"""The real public files, each through its reader: facts about them that were checked by hand."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.traces import Cleaning, read_carbon, read_profile, read_vintages

PORTAL = {
    "US-CAL-CISO_2021_hourly": ("US-CAL-CISO", 5),
    "US-CAL-CISO_2022_hourly": ("US-CAL-CISO", 8),
    "ES_2022_hourly": ("ES", 124),
    "sustaincluster/DE-LU_2022_hourly": ("DE", 0),
    "sustaincluster/US-TEX-ERCO_2022_hourly": ("US-TEX-ERCO", 0),
    "sustaincluster/US-MIDA-PJM_2022_hourly": ("US-MIDA-PJM", 0),
}
FACTORS = {
    "wind_mw": 11,
    "solar_mw": 41,
    "hydro_mw": 24,
    "oil_mw": 650,
    "gas_mw": 490,
    "coal_mw": 820,
    "nuclear_mw": 12,
    "other_mw": 230,
}
"""Life-cycle factors [g/kWh] behind the averages of SustainDC, found by least squares."""


@pytest.mark.parametrize("name", PORTAL)
@pytest.mark.parametrize("quantity", ["direct", "lifecycle"])
def test_portal_exports(shared_data: Path, name: str, quantity: str) -> None:
    """A full year without gaps, the zone as written in the file, the estimates counted."""
    zone, estimated = PORTAL[name]
    path = shared_data / "carbon" / "electricitymaps_portal" / f"{name}.csv.gz"
    trace = read_carbon(path, "electricity-maps", quantity=quantity)  # type: ignore[arg-type]
    assert (trace.zone, len(trace)) == (zone, 8760)
    word = "LCA" if quantity == "lifecycle" else "direct"
    raw = pd.read_csv(path)
    assert trace.to_series().tolist() == raw[f"Carbon Intensity gCO₂eq/kWh ({word})"].tolist()
    assert bool(trace.report) == bool(estimated)
    if estimated:
        assert trace.report[0].startswith(f"{estimated} of 8760 values")
    if zone == "DE":
        with pytest.raises(UsageError, match="'DE'"):
            read_carbon(path, "electricity-maps", zone="DE-LU")


def test_the_wide_table_of_zones(shared_data: Path) -> None:
    """Constant and flat zones are told; the values are those of the column; a year in 0.3 s."""
    folder = shared_data / "carbon" / "electricitymaps_2022_123zones"
    path = folder / "combined_carbon_2022.csv.gz"
    begin = time.process_time()
    trace = read_carbon(path, "zone-table", zone="LU")
    assert time.process_time() - begin < 1.0  # 0.2 s; room for slow machines
    assert "the longest lasts 80 steps of 1 h" in trace.report[0]
    assert "constant" in read_carbon(path, "zone-table", zone="HK").report[0]
    assert read_carbon(path, "zone-table", zone="US-CAL-CISO").report == ()
    means = pd.read_csv(folder / "mean_and_cv_2022.csv")
    assert np.isclose(means.select_dtypes("number"), trace.to_series().mean(), atol=0.01).any()


def test_the_wide_table_agrees_with_the_portal(shared_data: Path) -> None:
    """Both come from one source: if an hour were shifted, the correlation would drop."""
    carbon = shared_data / "carbon"
    table = carbon / "electricitymaps_2022_123zones" / "combined_carbon_2022.csv.gz"
    export = carbon / "electricitymaps_portal" / "ES_2022_hourly.csv.gz"
    wide = read_carbon(table, "zone-table", zone="ES").to_series()
    portal = read_carbon(export, "electricity-maps", quantity="lifecycle").to_series()
    shifts = {shift: wide.corr(portal.shift(shift)) for shift in (-1, 0, 1)}
    assert max(shifts, key=lambda shift: shifts[shift]) == 0


@pytest.mark.parametrize("region", ["CISO", "DE", "PJM", "SE"])
def test_carboncast_and_its_doubled_day(shared_data: Path, region: str) -> None:
    """The second 2021-12-04 is refused, and proven to be 12-05 by the neighbours' actual values."""
    path = (
        shared_data
        / "carbon/carboncast"
        / region
        / f"{region}_carbon_from_src_forecasts_lifecycle_Jul_Dec_2021.csv.gz"
    )
    with pytest.raises(InputError, match=r"rows 15074 to 15169.*2021-12-05"):
        read_vintages(path)
    vintages = read_vintages(path, cleaning=Cleaning(doubled_day="repair"))
    issued = vintages.issue_times
    assert len(issued) == 181
    assert (np.diff(issued) == np.timedelta64(1, "D")).all()
    # The proof, from the raw text: 72 hours in common with the block before and the one after.
    raw = pd.read_csv(path)["actual_carbon_intensity_lifecycle"].to_numpy().reshape(181, 96)
    doubled = (15074 - 2) // 96
    assert (raw[doubled, :72] == raw[doubled - 1, 24:]).all()
    assert (raw[doubled, 24:] == raw[doubled + 1, :72]).all()
    # Under its own label it would contradict the block before in most hours.
    assert (raw[doubled] != raw[doubled - 1]).mean() > 0.8
    actual = vintages.actual()
    assert len(actual) == 184 * 24
    assert actual.zone == region
    day = vintages.at("2021-12-05 06:00+00:00")
    assert day.index[0] == pd.Timestamp("2021-12-05", tz="UTC")


def test_watttime_example(shared_data: Path) -> None:
    """31 days of 5 minutes; renewables are marginal in the Californian daytime, so it is UTC."""
    path = shared_data / "carbon" / "watttime" / "watttime_example.csv.gz"
    trace = read_carbon(path, "watttime", unit="g/kWh")
    assert (len(trace), trace.zone, trace.quantity) == (31 * 288, "Caiso_North", "marginal")
    hourly = trace.resample("1h")
    assert len(hourly) == 31 * 24
    assert np.isclose(hourly.to_series().mean(), trace.to_series().mean(), rtol=1e-12)
    local = hourly.to_series().tz_convert("America/Los_Angeles")
    by_hour = local.groupby(pd.DatetimeIndex(local.index).hour).mean()
    assert 9 <= by_hour.idxmin() <= 15
    pounds = read_carbon(path, "watttime", unit="lb/MWh")
    assert np.allclose(pounds.to_series(), trace.to_series() * 0.45359237, rtol=1e-12)


@pytest.mark.parametrize(
    ("region", "slots"), [("BPAT", 0), ("CISO", 1), ("ERCO", 0), ("MISO", 2), ("PJM", 22)]
)
def test_sustaindc_years(shared_data: Path, region: str, slots: int) -> None:
    """Gaps need a policy of their length; the average is the mix times life-cycle factors."""
    path = shared_data / "carbon" / "sustaindc_us2022" / f"{region}_NG_&_avgCI.csv.gz"
    if slots:
        with pytest.raises(InputError, match="is missing"):
            read_carbon(path, "sustaindc")
        with pytest.raises(InputError, match=f"at most {slots - 1} slots"):
            read_carbon(
                path, "sustaindc", cleaning=Cleaning(gaps="interpolate", max_gap_slots=slots - 1)
            )
    trace = read_carbon(
        path, "sustaindc", cleaning=Cleaning(gaps="interpolate", max_gap_slots=slots)
    )
    assert (trace.zone, len(trace)) == (region, 8760)
    mix = trace.frame[list(FACTORS)]
    average = mix.to_numpy() @ np.array(list(FACTORS.values())) / mix.sum(axis=1)
    off = (average / trace.to_series() - 1).abs() > 1e-6
    assert off.sum() <= 25  # only within interpolated gaps
    collapse = [sentence for sentence in trace.report if "collapses" in sentence]
    assert len(collapse) == (region == "PJM")
    if collapse:
        assert "in 5 steps between 2022-10-01 05:00 and 2022-10-02 04:00 UTC" in collapse[0]


@pytest.mark.parametrize("name", ["nbody10k", "nbody100k"])
def test_scaling_profiles(shared_data: Path, name: str) -> None:
    """Eight levels; throughput and power rise; about 50 W per server."""
    frame = read_profile(shared_data / "scaling" / "carbonscaler" / f"{name}.csv")
    assert frame["servers"].tolist() == list(range(8))
    assert (frame["throughput"].diff().dropna() > 0).all()
    assert ((frame["power_kw"] / frame["servers"]).dropna().between(0.045, 0.06)).all()
