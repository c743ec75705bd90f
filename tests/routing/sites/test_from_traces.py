"""Instances from public files, and the facts about real wind that planners have to live with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError
from optmodels.routing.sites.from_traces import (
    AREA_PLACES,
    RTS_PLACES,
    balancing_areas,
    rts_gmlc,
)
from optmodels.traces import read_request_rates, read_wind
from optmodels.traces.wind import RTS_NAMEPLATE_MW

FIXED = "Etc/GMT+7"


@pytest.fixture(scope="module")
def shares(shared_data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Actual and day-ahead wind of RTS-GMLC as shares of the nameplate."""
    folder = shared_data / "wind" / "rts_gmlc"
    nameplate = pd.Series(dict(RTS_NAMEPLATE_MW))
    return (
        read_wind(folder / "REAL_TIME_wind.csv.gz", "rts-gmlc-real-time", tz=FIXED).frame
        / nameplate,
        read_wind(folder / "DAY_AHEAD_wind.csv.gz", "rts-gmlc-day-ahead", tz=FIXED).frame
        / nameplate,
    )


def test_persistence_of_real_wind(shares: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Mean errors of persistence, and the drop that one in 100 exceeds, of 15-minute means.

    Values every 15 minutes differ more than their means do: up to 0.026, and drops up to 0.15.
    """
    actual, _ = shares
    quarter, short = actual.resample("15min").mean().diff(), actual.diff()
    assert quarter.abs().mean().round(3).between(0.017, 0.022).all()
    assert short.abs().mean().round(3).between(0.008, 0.012).all()
    drops = (-quarter).quantile(0.99)
    assert drops.round(2).between(0.10, 0.14).all()


def test_errors_of_the_day_ahead_forecast(shares: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Mean errors and correlations by farm; a forecast shifted by an hour would correlate less."""
    actual, told = shares
    hourly = actual.resample("1h").mean()
    assert hourly.index.equals(told.index)
    errors = (told - hourly).abs().mean()
    assert errors.round(3).between(0.133, 0.159).all()
    right = hourly.corrwith(told)
    assert right.round(2).between(0.75, 0.77).all()


def test_a_week_of_rts(shared_data: Path) -> None:
    """2016 periods of the actual wind, hourly forecasts, a fleet of 4,000 GPUs over four farms."""
    rates = read_request_rates(
        shared_data / "llm_traces" / "servegen" / "servegen_total_rate_10min.csv.gz"
    )["language_m-large"]
    folder = shared_data / "wind" / "rts_gmlc"
    instance = rts_gmlc(
        folder, gpus=4000, wind_ratio=0.8, load=0.6, rates=rates, second_objective="power"
    )
    assert (instance.periods, instance.periods_per_slot) == (2016, 3)
    assert instance.sites == tuple(sorted(RTS_PLACES.index))
    assert instance.gpus.sum() == 4000
    assert (instance.gpus % 8 == 0).all()
    assert instance.profile.count == 1296
    assert instance.power_kw.sum(axis=1).mean() == pytest.approx(0.8 * 4000 * 1.3, rel=1e-9)
    assert instance.published_kw is not None
    hours = instance.published_kw.reshape(168, 12, 4)
    assert np.ptp(hours, axis=1).max() == 0
    error = np.abs(instance.published_kw - instance.power_kw).mean(axis=0)
    assert (error < 0.3 * instance.nameplate_kw).all()
    # The same numbers as in the file, in its order and on its clock.
    raw = pd.read_csv(folder / "REAL_TIME_wind.csv.gz")
    row = raw[(raw.Month == 4) & (raw.Day == 5) & (raw.Period == 17 * 12 + 1)].index[0]
    column = instance.sites.index("303_WIND_1")
    scale = instance.nameplate_kw[column] / 847.0
    theirs = raw["303_WIND_1"].to_numpy()[row : row + 2016] * scale
    assert instance.power_kw[:, column] == pytest.approx(theirs)
    assert instance.past_kw is not None
    earlier = raw["303_WIND_1"].to_numpy()[row - 288 : row] * scale
    assert instance.past_kw[:, column] == pytest.approx(earlier)
    total = instance.demand.sum(axis=(1, 2))
    assert total.max() / total.mean() > 1.2
    assert instance.arcs.any(axis=(0, 1)).mean() > 0.7
    assert instance.parameters.second_objective == "power"


def test_a_week_of_balancing_areas(shared_data: Path) -> None:
    """Hourly wind of five areas as steps; the nameplate is what no hour of the year exceeds."""
    folder = shared_data / "carbon" / "sustaindc_us2022"
    instance = balancing_areas(folder, gpus=40_000)
    assert instance.sites == tuple(AREA_PLACES.index)
    assert instance.periods == 2016
    assert np.ptp(instance.power_kw.reshape(168, 12, 5), axis=1).max() == 0
    assert instance.published_kw is None
    assert instance.gpus.sum() == 40_000
    ercot = read_wind(folder / "ERCO_NG_&_avgCI.csv.gz", "sustaindc").frame["wind_mw"]
    column = instance.sites.index("ERCO")
    week = ercot[instance.times[0] : instance.times[-1]].to_numpy()
    ours = instance.power_kw[::12, column]
    assert ours / ours.mean() == pytest.approx(week / week.mean())
    assert instance.power_kw.max(axis=0) == pytest.approx(
        np.minimum(instance.power_kw.max(axis=0), instance.nameplate_kw)
    )
    assert instance.rtt_s.max() < 0.1


def test_missing_files_are_named(tmp_path: Path) -> None:
    """A folder without the files, and one with a farm too few."""
    with pytest.raises(InputError, match=r"REAL_TIME_wind\.csv: was not found"):
        rts_gmlc(tmp_path)
    with pytest.raises(InputError, match="BPAT_NG"):
        balancing_areas(tmp_path)
    rows = "\n".join(f"2020,1,1,{p},1" for p in range(1, 25))
    for word in ("REAL_TIME", "DAY_AHEAD"):
        (tmp_path / f"{word}_wind.csv").write_text(f"Year,Month,Day,Period,309_WIND_1\n{rows}\n")
    with pytest.raises(InputError) as caught:
        rts_gmlc(tmp_path)
    assert len(caught.value.flaws) == 3
