r"""Round-trip times between places that nobody has measured: by distance; and the nearest region.

Where nobody has measured, the round-trip time grows with the great-circle distance d:

.. math:: \text{RTT} = a + b\, d

Light in fibre takes 0.0098 ms there and back per km; that b is larger says how much longer the
cables are than the great circle, and a is what routers and the last miles take. `FITS` holds least
squares over published round trips, which `fit_rtt` repeats on the data. A fit says what is usual:
half of the pairs are slower.

The straight line is a surrogate of ours, as are the fits; the limit of 50 ms to a cloud region is
that of "AI Greenferencing" (Heron, arXiv:2505.09989).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import Flaw, InputError, UsageError, shorten

FloatArray = NDArray[np.float64]

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth (IUGG)."""


@dataclass(frozen=True)
class DistanceFit:
    """A straight line of round-trip time over distance.

    Parameters
    ----------
    base_ms
        a: round trip at no distance [ms].
    ms_per_km
        b: round trip per km of great circle [ms/km].
    r_squared
        Share of the variance of the round trips that the line explains.
    pairs
        Measured pairs behind it.
    """

    base_ms: float
    ms_per_km: float
    r_squared: float
    pairs: int

    def rtt_ms(self, km: ArrayLike) -> FloatArray:
        """Usual round-trip time over these distances [ms]."""
        return self.base_ms + self.ms_per_km * np.asarray(km, dtype=np.float64)

    def reach_km(self, rtt_ms: float) -> float:
        """Distance that is usually within a round-trip time; 0 if none is [km]."""
        return max(0.0, (rtt_ms - self.base_ms) / self.ms_per_km)


FITS: Mapping[str, DistanceFit] = {
    "europe": DistanceFit(1.9, 0.0176, 0.96, 90),
    "north-america": DistanceFit(4.8, 0.0157, 0.91, 110),
}
"""Fits over the round trips between regions of Google's cloud in Europe and North America."""

GCP_REGIONS = pd.DataFrame(
    [
        ("asia-east1", 24.05, 120.52),
        ("asia-east2", 22.32, 114.17),
        ("asia-northeast1", 35.68, 139.69),
        ("asia-northeast2", 34.69, 135.50),
        ("asia-northeast3", 37.57, 126.98),
        ("asia-south1", 19.08, 72.88),
        ("asia-south2", 28.61, 77.21),
        ("asia-southeast1", 1.35, 103.82),
        ("asia-southeast2", -6.21, 106.85),
        ("australia-southeast1", -33.87, 151.21),
        ("australia-southeast2", -37.81, 144.96),
        ("europe-central2", 52.23, 21.01),
        ("europe-north1", 60.57, 27.19),
        ("europe-southwest1", 40.42, -3.70),
        ("europe-west1", 50.47, 3.82),
        ("europe-west2", 51.51, -0.13),
        ("europe-west3", 50.11, 8.68),
        ("europe-west4", 53.44, 6.84),
        ("europe-west6", 47.38, 8.54),
        ("europe-west8", 45.46, 9.19),
        ("europe-west9", 48.86, 2.35),
        ("northamerica-northeast1", 45.50, -73.57),
        ("northamerica-northeast2", 43.65, -79.38),
        ("southamerica-east1", -23.55, -46.63),
        ("southamerica-west1", -33.45, -70.67),
        ("us-central1", 41.26, -95.86),
        ("us-east1", 33.20, -80.01),
        ("us-east4", 39.04, -77.49),
        ("us-east5", 39.96, -83.00),
        ("us-south1", 32.78, -96.80),
        ("us-west1", 45.59, -121.18),
        ("us-west2", 34.05, -118.24),
        ("us-west3", 40.76, -111.89),
        ("us-west4", 36.17, -115.14),
    ],
    columns=["region", "latitude", "longitude"],
).set_index("region")
"""Cities of the regions of Google's cloud [degrees], as its documentation names them."""


def great_circle_km(
    places: pd.DataFrame, others: pd.DataFrame, *, subject: str = "places"
) -> pd.DataFrame:
    """Great-circle distances between places [km], one row per place, one column per other.

    Parameters
    ----------
    places, others
        Indexed by name, with columns ``latitude`` and ``longitude`` [degrees].
    subject
        What the places are, for messages.

    Raises
    ------
    InputError
        Missing columns, or coordinates out of range; all of them together.
    """
    here, there = _radians(places, subject), _radians(others, subject)
    lat, lat2 = here[:, :1], there[:, 0]
    half = np.sin((lat2 - lat) / 2) ** 2
    half = half + np.cos(lat) * np.cos(lat2) * np.sin((there[:, 1] - here[:, 1:]) / 2) ** 2
    km = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    return pd.DataFrame(km, index=places.index, columns=others.index)


def fit_rtt(rtt_ms: ArrayLike, km: ArrayLike) -> DistanceFit:
    """Least squares of round-trip times over distances.

    Parameters
    ----------
    rtt_ms, km
        Measured round trips and great-circle distances of the same pairs; pairs that are NaN in
        either are left out.

    Raises
    ------
    InputError
        Different shapes, fewer than three pairs, or all of one distance.
    """
    times, distances = np.asarray(rtt_ms, dtype=float), np.asarray(km, dtype=float)
    if times.shape != distances.shape:
        what = f"have the shapes {times.shape} and {distances.shape}"
        raise InputError(Flaw(what, field="rtt_ms, km", allowed="one distance per round trip"))
    known = np.isfinite(times) & np.isfinite(distances)
    times, distances = times[known], distances[known]
    if len(times) < 3 or np.ptp(distances) == 0:
        what = f"are {len(times)} pairs of {len(np.unique(distances))} distances"
        raise InputError(Flaw(what, field="rtt_ms, km", allowed="three pairs, two distances"))
    slope, base = np.polyfit(distances, times, 1)
    rest = times - (base + slope * distances)
    spread = float(((times - times.mean()) ** 2).sum())
    explained = 1 - float((rest**2).sum()) / spread if spread else 1.0
    return DistanceFit(float(base), float(slope), explained, len(times))


def nearest_by_distance(
    sites: pd.DataFrame, regions: pd.DataFrame, fit: DistanceFit
) -> pd.DataFrame:
    """Nearest region of each site by distance, and the usual round trip to it.

    Parameters
    ----------
    sites, regions
        Indexed by name, with columns ``latitude`` and ``longitude`` [degrees].
    fit
        Line to use; one of `FITS` or of `fit_rtt`.

    Returns
    -------
    DataFrame
        Indexed by site: ``region``, ``km``, ``rtt_ms``.

    Raises
    ------
    InputError
        Missing or impossible coordinates; no region.
    """
    km = great_circle_km(sites, regions, subject="sites and regions")
    if not len(regions):
        raise InputError(Flaw("has no rows", field="regions", allowed="at least one region"))
    least = km.to_numpy().argmin(axis=1)
    distance = km.to_numpy()[np.arange(len(km)), least]
    return pd.DataFrame(
        {"region": regions.index[least], "km": distance, "rtt_ms": fit.rtt_ms(distance)},
        index=sites.index,
    )


def nearest_by_measurement(
    matrix: pd.DataFrame, nodes: Mapping[str, str], regions: list[str]
) -> pd.DataFrame:
    """Nearest region of each site by measured round trips.

    Parameters
    ----------
    matrix
        Round-trip times [ms] from node to node, NaN where not measured
        (`optmodels.traces.read_latency`). The two directions of a pair often differ a little; what
        counts is the mean of those that were measured.
    nodes
        Node of each site, by the name of the site.
    regions
        Nodes that are cloud regions. A site at a region's node takes that region, at the round
        trip of the diagonal, or 0 where it is not measured.

    Returns
    -------
    DataFrame
        Indexed by site: ``region``, ``rtt_ms``.

    Raises
    ------
    UsageError
        A node or region that the matrix does not have.
    InputError
        A site without any measured round trip to a region.
    """
    known = [str(name) for name in matrix.index.intersection(matrix.columns)]
    for node in [*nodes.values(), *regions]:
        if node not in known:
            raise UsageError.unknown("node of the matrix", str(node), known)
    if not regions:
        raise UsageError("Name at least one node of the matrix as a region.")
    both = np.stack(
        [matrix.loc[known, known].to_numpy(float), matrix.loc[known, known].to_numpy(float).T]
    )
    count = np.isfinite(both).sum(axis=0)
    mean = np.where(count, np.nansum(both, axis=0) / np.maximum(count, 1), np.nan)
    here = np.arange(len(known))
    mean[here, here] = np.nan_to_num(mean[here, here], nan=0.0)
    square = pd.DataFrame(mean, index=known, columns=known)
    rows = square.loc[list(nodes.values()), regions].to_numpy()
    dark = ~np.isfinite(rows).any(axis=1)
    if dark.any():
        raise InputError(
            [
                Flaw("has no measured round trip to any region", field="nodes", value=site)
                for site, none in zip(nodes, dark, strict=True)
                if none
            ]
        )
    least = np.nanargmin(rows, axis=1)
    return pd.DataFrame(
        {"region": [regions[i] for i in least], "rtt_ms": np.nanmin(rows, axis=1)},
        index=pd.Index(list(nodes), name="site"),
    )


def _radians(places: pd.DataFrame, subject: str) -> FloatArray:
    """Latitude and longitude in radians, shape (N, 2)."""
    flaws = []
    columns = []
    for name, limit in (("latitude", 90.0), ("longitude", 180.0)):
        if name not in places.columns:
            flaws.append(Flaw("is missing", field=name, allowed="degrees"))
            continue
        values = pd.to_numeric(places[name], errors="coerce").to_numpy(dtype=float)
        wrong = ~(np.abs(values) <= limit)
        flaws += [
            Flaw(
                "is not an angle on the Earth",
                field=f"{name} of {shorten(str(places.index[i]))}",
                value=places[name].iloc[i],
                allowed=f"-{limit:g} .. {limit:g} degrees",
            )
            for i in np.flatnonzero(wrong).tolist()
        ]
        columns.append(values)
    if flaws:
        raise InputError(flaws, subject)
    return np.asarray(np.radians(np.stack(columns, axis=1)))
