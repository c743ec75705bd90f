"""Round trips by distance and by measurement: geometry by hand, fits reproduced from the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.traces import read_latency, read_places
from optmodels.traces.distance import (
    EARTH_RADIUS_KM,
    FITS,
    GCP_REGIONS,
    DistanceFit,
    fit_rtt,
    great_circle_km,
    nearest_by_distance,
    nearest_by_measurement,
)


def places(**coordinates: tuple[float, float]) -> pd.DataFrame:
    """Places by name."""
    return pd.DataFrame(coordinates, index=["latitude", "longitude"]).T


def test_distances_by_hand() -> None:
    """A quarter of the Earth, half of it, over the date line; latitude is not longitude."""
    spots = places(equator=(0, 0), pole=(90, 50), far=(0, 180), west=(0, -179), high=(60, 0))
    km = great_circle_km(spots, spots)
    quarter = EARTH_RADIUS_KM * np.pi / 2
    assert km.loc["equator", "pole"] == pytest.approx(quarter)
    assert km.loc["equator", "far"] == pytest.approx(2 * quarter)
    assert km.loc["far", "west"] == pytest.approx(quarter / 90)
    assert km.loc["equator", "high"] == pytest.approx(quarter * 2 / 3)
    assert km.to_numpy() == pytest.approx(km.to_numpy().T)
    assert np.diag(km).tolist() == [0] * 5


def test_fit_by_hand() -> None:
    """Three points on a line, one pair without a measurement."""
    fit = fit_rtt([3.0, 5.0, np.nan, 7.0], [100.0, 200.0, 250.0, 300.0])
    assert (fit.base_ms, fit.ms_per_km) == pytest.approx((1, 0.02))
    assert fit.r_squared == pytest.approx(1)
    assert fit.pairs == 3
    assert fit.rtt_ms([0, 50]).tolist() == pytest.approx([1, 2])
    assert fit.reach_km(5) == pytest.approx(200)
    assert fit.reach_km(0.5) == 0
    for times, km in (([1.0, 2.0], [1.0, 2.0]), ([1.0] * 3, [5.0] * 3), ([1.0], [1.0, 2.0])):
        with pytest.raises(InputError):
            fit_rtt(times, km)


def test_nearest_region_by_distance() -> None:
    """Each site gets the nearest region, not the first; impossible coordinates are refused."""
    regions = places(south=(0, 0), north=(60, 0))
    found = nearest_by_distance(places(a=(50, 0), b=(10, 0)), regions, DistanceFit(1, 0.01, 1, 3))
    assert found["region"].tolist() == ["north", "south"]
    assert found["rtt_ms"].tolist() == pytest.approx([1 + EARTH_RADIUS_KM * np.pi / 1800] * 2)
    with pytest.raises(InputError) as caught:
        nearest_by_distance(places(a=(95, 0), b=(0, 200)), regions, FITS["europe"])
    assert len(caught.value.flaws) == 2
    with pytest.raises(InputError, match="at least one region"):
        nearest_by_distance(places(a=(0, 0)), regions.iloc[:0], FITS["europe"])
    with pytest.raises(InputError, match="longitude"):
        great_circle_km(regions[["latitude"]], regions)


def test_nearest_region_by_measurement() -> None:
    """The mean of both directions counts, or the one that was measured; none at all is refused."""
    names = ["site", "r1", "r2", "lone"]
    matrix = pd.DataFrame(np.nan, index=names, columns=names)
    matrix.loc["site", "r1"], matrix.loc["r1", "site"] = 10.0, 20.0
    matrix.loc["r2", "site"] = 14.0
    found = nearest_by_measurement(matrix, {"farm": "site", "yard": "r1"}, ["r1", "r2"])
    assert list(found.loc["farm"]) == ["r2", 14]
    assert list(found.loc["yard"]) == ["r1", 0]
    with pytest.raises(InputError, match="no measured round trip"):
        nearest_by_measurement(matrix, {"farm": "lone"}, ["r1"])
    with pytest.raises(UsageError, match="Unknown node"):
        nearest_by_measurement(matrix, {"farm": "nowhere"}, ["r1"])
    with pytest.raises(UsageError, match="at least one"):
        nearest_by_measurement(matrix, {"farm": "site"}, [])


@pytest.mark.parametrize(
    ("name", "starts"), [("europe", ("europe-",)), ("north-america", ("us-", "northamerica-"))]
)
def test_fits_are_those_of_the_data(shared_data: Path, name: str, starts: tuple[str, ...]) -> None:
    """Least squares over the public pairs give the documented numbers to their last digit.

    A radius in miles, or latitude taken for longitude, would change the slope by half.
    """
    square = read_latency(shared_data / "latency" / "gcp" / "raw_gcp_latency.csv", "pairs")
    regions = [region for region in square.index if str(region).startswith(starts)]
    km = great_circle_km(GCP_REGIONS.loc[regions], GCP_REGIONS.loc[regions])
    fit = fit_rtt(square.loc[regions, regions], km)
    known = FITS[name]
    assert fit.base_ms == pytest.approx(known.base_ms, abs=0.06)
    assert fit.ms_per_km == pytest.approx(known.ms_per_km, abs=6e-5)
    assert fit.r_squared == pytest.approx(known.r_squared, abs=0.006)
    assert fit.pairs == known.pairs
    assert 2600 < fit.reach_km(50) < 3000


def test_every_place_on_earth_has_its_region(shared_data: Path) -> None:
    """Cities of WonderNetwork near Azure regions: all of central Europe is within 50 ms."""
    folder = shared_data / "latency"
    cities = read_places(folder / "wondernetwork_2018" / "cities.csv", "cities")
    azure = read_places(folder / "sites" / "azure-regions.json", "azure-regions")
    found = nearest_by_distance(cities, azure, FITS["europe"])
    assert found.loc["Frankfurt", "region"] == "germanywestcentral"
    assert found.loc[["Vienna", "Prague", "Zurich", "Oslo"], "rtt_ms"].max() < 20
    assert (found["km"] < 0.5 * np.pi * EARTH_RADIUS_KM).all()
