"""Instances from public files: a week of real wind, requests as on Azure, a measured profile.

`rts_gmlc` and `balancing_areas` read wind as it was published and make an instance of it by
`optmodels.routing.sites.from_wind`, which tells how fleet, wind and demand are scaled. The course
of the demand is any column that `optmodels.traces.read_request_rates` reads, such as ServeGen's
``language_m-large``: ``rts_gmlc(folder, rates=rates["language_m-large"])``.

Where requests come from is not in any of these files; regions of a cloud stand for it.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pandas as pd

from optmodels.errors import Flaw, InputError
from optmodels.routing.sites.from_wind import from_wind
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.network import distance_links
from optmodels.traces import Cleaning, aligned_power, read_wind
from optmodels.traces.distance import FITS, GCP_REGIONS
from optmodels.traces.wind import RTS_NAMEPLATE_MW

RTS_PLACES = pd.DataFrame(
    {
        "309_WIND_1": (34.736, -118.127),
        "317_WIND_1": (35.378, -117.056),
        "303_WIND_1": (35.218, -118.044),
        "122_WIND_1": (32.819, -116.324),
    },
    index=["latitude", "longitude"],
).T.rename_axis("site")
"""Where the wind farms of RTS-GMLC are: the places of their buses [degrees]."""

AREA_PLACES = pd.DataFrame(
    {
        "BPAT": (46.3, -119.9),
        "CISO": (37.0, -120.3),
        "ERCO": (30.5, -98.8),
        "MISO": (40.2, -90.4),
        "PJM": (39.1, -81.9),
    },
    index=["latitude", "longitude"],
).T.rename_axis("site")
"""Centroids of five balancing areas of the United States [degrees], which stand for their wind."""

RTS_ORIGINS = ("us-west1", "us-west2", "us-west4")
"""Cloud regions from which requests come to the farms of RTS-GMLC; our choice."""

AREA_ORIGINS = ("us-central1", "us-east4", "us-south1", "us-west1")
"""Cloud regions from which requests come to the balancing areas; our choice."""

#: Longest run of hours without data that is filled in the files of balancing areas.
_LONGEST_GAP = 24


def rts_gmlc(
    folder: str | os.PathLike[str],
    *,
    gpus: int = 4000,
    begin: str | dt.datetime = "2020-04-06T00:00:00Z",
    tz: str | dt.tzinfo = "Etc/GMT+7",
    **options: object,
) -> RoutingInstance:
    """A week of the four wind farms of RTS-GMLC with their day-ahead forecast.

    The wind is actual wind in steps of 5 minutes, the forecast hourly. Round trips are usual ones
    by distance to `RTS_ORIGINS`.

    Parameters
    ----------
    folder
        Where ``REAL_TIME_wind.csv`` and ``DAY_AHEAD_wind.csv`` are, plain or `.gz`.
    gpus, begin
        As in `from_wind`.
    tz
        Zone of the clock of the files, which they do not say: an assumption, which moves all wind
        against the time of day.
    options
        Other arguments of `from_wind`.

    Returns
    -------
    RoutingInstance
        Four wind farms with their forecasts of the day before.

    Raises
    ------
    InputError, UsageError
        As `from_wind` and `optmodels.traces.read_wind`.
    """
    actual, told = (
        read_wind(_file(folder, f"{word}_wind.csv"), f"rts-gmlc-{format_}", tz=tz).frame
        for word, format_ in (("REAL_TIME", "real-time"), ("DAY_AHEAD", "day-ahead"))
    )
    named = {column: column.removesuffix("_mw") for column in RTS_NAMEPLATE_MW}
    absent = [column for column in named if column not in actual or column not in told]
    if absent:
        raise InputError([Flaw("is missing", field=column) for column in absent], "RTS-GMLC")
    wind = aligned_power({site: actual[column] * 1000 for column, site in named.items()})
    forecast = aligned_power({site: told[column] * 1000 for column, site in named.items()})
    settings: dict[str, object] = {
        "links": distance_links(
            GCP_REGIONS.loc[list(RTS_ORIGINS)], RTS_PLACES, FITS["north-america"]
        ),
        "source": "RTS-GMLC wind 2020, 5 min, and its day-ahead forecast",
        "nameplate_kw": {named[c]: mw * 1000 for c, mw in RTS_NAMEPLATE_MW.items()},
        "published_kw": forecast,
        **options,
    }
    return from_wind(wind, gpus=gpus, begin=begin, **settings)  # type: ignore[arg-type]


def balancing_areas(
    folder: str | os.PathLike[str],
    *,
    gpus: int = 4000,
    begin: str | dt.datetime = "2022-02-07T00:00:00Z",
    **options: object,
) -> RoutingInstance:
    """A week of the wind of five balancing areas of the United States.

    The wind is hourly generation in 2022 of BPAT, CISO, ERCO, MISO and PJM; within an hour it is
    constant unless ``between="line"`` is said. An area stands for a site at its centroid; its
    nameplate is the most that it generated in the year, because installed power is not in the
    files. No forecast was published with them. Hours without data, up to a day in a row, are
    interpolated; the default week has none.

    Parameters
    ----------
    folder
        Where the files of SustainDC are, one per area: ``BPAT_NG_&_avgCI.csv``, ..., plain or
        `.gz`.
    gpus, begin
        As in `from_wind`.
    options
        Other arguments of `from_wind`.

    Returns
    -------
    RoutingInstance
        One site per balancing area.

    Raises
    ------
    InputError, UsageError
        As `from_wind` and `optmodels.traces.read_wind`.
    """
    cleaning = Cleaning(gaps="interpolate", max_gap_slots=_LONGEST_GAP)
    series = {}
    for area in AREA_PLACES.index:
        path = _file(folder, f"{area}_NG_&_avgCI.csv")
        series[str(area)] = read_wind(path, "sustaindc", cleaning=cleaning).frame["wind_mw"] * 1000
    wind = aligned_power(series, span="common")
    settings: dict[str, object] = {
        "links": distance_links(
            GCP_REGIONS.loc[list(AREA_ORIGINS)], AREA_PLACES, FITS["north-america"]
        ),
        "source": "SustainDC wind of five balancing areas 2022, hourly",
        "nameplate_kw": wind.max().to_dict(),
        **options,
    }
    return from_wind(wind, gpus=gpus, begin=begin, **settings)  # type: ignore[arg-type]


def _file(folder: str | os.PathLike[str], name: str) -> Path:
    """A file, plain or compressed; the plain name if there is neither."""
    plain = Path(folder) / name
    zipped = plain.with_name(f"{name}.gz")
    return zipped if zipped.is_file() and not plain.is_file() else plain
