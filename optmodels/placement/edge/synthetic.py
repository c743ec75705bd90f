"""Synthetic edge sites: seeded, on a plane, with grid zones around random centres.

Sites lie on a plane of 3,500 by 2,200 km; the round trip between two is 2 ms and 0.016 ms per km,
which is about what is measured between cities of Europe and North America. Each belongs to the zone
with the nearest centre, and zones have carbon intensities from clean to dirty. Users are at the
sites, more at some than at others. Servers and applications are those of `optmodels.placement.edge
.catalogue`. Nothing of it is measured.

Only uniform random numbers of PCG64 are drawn and all values are rounded, so that a seed gives the
same fingerprint on every platform.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from optmodels.placement.edge import catalogue
from optmodels.placement.edge.instance import EdgeInstance, IntArray
from optmodels.policy import FloatArray
from optmodels.synthesis.sizes import Sizes, begin_of

#: Size arguments of the generator with their defaults; None and 0 mean "without".
SIZES: Mapping[str, object] = MappingProxyType(
    {
        "sites": 12,
        "applications": 120,
        "zones": 6,
        "rtt_limit_ms": 20.0,
        "batches": 1,
        "spare": 0.5,
        "running": 0.0,
        "forecast_error": 0.0,
        "unplaced_g": None,
        "period_hours": 1.0,
        "start": "2023-06-01T12:00:00Z",
    }
)

LARGEST_SITES = 2000
LARGEST_APPLICATIONS = 10_000_000
NOTE = "synthetic: places, grids and users drawn from a seed, no value is measured"

_WIDTH_KM, _HEIGHT_KM = 3500.0, 2200.0
_BASE_MS, _MS_PER_KM = 2.0, 0.016
_INTENSITY = (25.0, 800.0)
# Population of a site: the inverse distribution of a heavy tail, cut off.
_TAIL, _LARGEST_SHARE = 1.5, 40.0
# How many of a site's servers are of each device, relative to its need, and how often it has any.
_PRESENT = (0.8, 0.6, 0.4)


def generate(
    seed: int,
    *,
    sites: int = 12,
    applications: int = 120,
    zones: int = 6,
    rtt_limit_ms: float = 20.0,
    batches: int = 1,
    spare: float = 0.5,
    running: float = 0.0,
    forecast_error: float = 0.0,
    unplaced_g: float | None = None,
    period_hours: float = 1.0,
    start: str = "2023-06-01T12:00:00Z",
) -> EdgeInstance:
    """Make synthetic edge sites; the same arguments give the same fingerprint everywhere.

    Parameters
    ----------
    seed
        Seed of every random choice, at least 0.
    sites
        Number of sites, each with users.
    applications
        Number of applications, of five kinds.
    zones
        Number of grid zones.
    rtt_limit_ms
        Longest round trip and service of every application [ms].
    batches
        Number of batches that the applications come in.
    spare
        Servers beyond those that all applications need, relative to them.
    running
        Share of the servers that are on already.
    forecast_error
        Largest relative error of the intensities that policies are told; 0: they know the truth.
    unplaced_g
        Price of an application that is not placed [g]; by default all must be placed.
    period_hours
        Length of the period [h].
    start
        Its start, with its offset.

    Returns
    -------
    EdgeInstance
        The same seed and sizes give the same instance, to the last digit.

    Raises
    ------
    InputError
        A size is out of range; all of them are listed.
    UsageError
        `start` is not a time, or has no offset.
    """
    sizes: dict[str, object] = {
        "sites": sites,
        "applications": applications,
        "zones": zones,
        "rtt_limit_ms": rtt_limit_ms,
        "batches": batches,
        "spare": spare,
        "running": running,
        "forecast_error": forecast_error,
        "unplaced_g": unplaced_g,
        "period_hours": period_hours,
        "start": start,
    }
    _check(seed, sizes)
    begin = begin_of(start)
    rng = np.random.Generator(np.random.PCG64(seed))
    plane = np.array([_WIDTH_KM, _HEIGHT_KM])
    xy = np.round(rng.uniform(0, 1, (sites, 2)) * plane, 1)
    centres = np.round(rng.uniform(0, 1, (zones, 2)) * plane, 1)
    zone = _distance(xy, centres).argmin(axis=1)
    intensity = np.round(rng.uniform(*_INTENSITY, zones), 1)
    told = np.round(intensity * (1 + forecast_error * rng.uniform(-1, 1, zones)), 1)
    people = np.minimum((1 - rng.uniform(0, 1, sites)) ** (-1 / _TAIL), _LARGEST_SHARE)
    names = [f"site-{s + 1:0{len(str(sites))}d}" for s in range(sites)]
    grids = [f"zone-{z + 1:0{len(str(zones))}d}" for z in range(zones)]
    rtt = np.round(_BASE_MS + _MS_PER_KM * _distance(xy, xy), 2)
    near = rtt <= rtt_limit_ms
    who, where = np.nonzero(near)
    latency = pd.DataFrame(
        {
            "origin": np.array(names, dtype=object)[who],
            "site": np.array(names, dtype=object)[where],
            "rtt_ms": rtt[near],
        }
    )
    counts = _shared_out(applications, np.round(people, 3)[:, None] * np.array(catalogue.MIX))
    rows = _applications(counts, names, rtt_limit_ms, batches)
    tables = {
        "applications": rows,
        "servers": _servers(rng, counts, names, spare, running),
        "sites": pd.DataFrame({"site": names, "zone": [grids[z] for z in zone]}),
        "carbon": pd.DataFrame({"zone": grids, "carbon_g_per_kwh": intensity}),
        "latency": latency,
        "profiles": catalogue.profiles(),
    }
    if forecast_error > 0:
        tables["forecast"] = pd.DataFrame({"zone": grids, "carbon_g_per_kwh": told})
    parameters = {
        "start": begin,
        "period_hours": period_hours,
        "unplaced_g": unplaced_g,
        "quantity": "direct",
    }
    return EdgeInstance(parameters, tables, origin=_origin(seed, sizes))


def _distance(here: FloatArray, there: FloatArray) -> FloatArray:
    gap = here[:, None, :] - there[None, :, :]
    return np.sqrt(gap[:, :, 0] ** 2 + gap[:, :, 1] ** 2)


def _shared_out(total: int, weights: FloatArray) -> IntArray:
    """Whole numbers in proportion to the weights that add up to the total (largest remainders)."""
    exact = total * weights / weights.sum()
    counts: IntArray = np.floor(exact).astype(np.int64)
    rest = np.round(exact - counts, 9).ravel()
    extra = np.argsort(-rest, kind="stable")[: total - int(counts.sum())]
    counts.ravel()[extra] += 1
    return counts


def _applications(
    counts: IntArray, names: list[str], rtt_limit_ms: float, batches: int
) -> pd.DataFrame:
    """Rows of applications; those of an origin and kind are dealt out over the batches."""
    site, kind = np.nonzero(counts)
    number = counts[site, kind]
    frames = []
    for batch in range(batches):
        share = (number + batches - 1 - (batch + site + kind) % batches) // batches
        use = share > 0
        suffix = f"-b{batch + 1:0{len(str(batches))}d}" if batches > 1 else ""
        frames.append(
            pd.DataFrame(
                {
                    "name": [
                        f"{names[s]}-{catalogue.KINDS[k]}{suffix}"
                        for s, k in zip(site[use], kind[use], strict=True)
                    ],
                    "kind": np.array(catalogue.KINDS, dtype=object)[kind[use]],
                    "origin": np.array(names, dtype=object)[site[use]],
                    "count": share[use],
                    "rtt_limit_ms": rtt_limit_ms,
                    "requests_per_s": np.array(catalogue.REQUESTS_PER_S)[kind[use]],
                    "batch": batch + 1,
                    "state_gb": np.array(catalogue.STATE_GB)[kind[use]],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _servers(
    rng: np.random.Generator, counts: IntArray, names: list[str], spare: float, running: float
) -> pd.DataFrame:
    """Servers of each site: about what its own users need and more, of one to three devices."""
    present = rng.uniform(0, 1, (len(names), len(catalogue.DEVICES))) < np.array(_PRESENT)
    lucky = rng.integers(0, len(catalogue.DEVICES), len(names))
    present[np.arange(len(names)), lucky] = True
    # Half of the servers stand where the users are, half are the same everywhere.
    need = counts.sum(axis=1)
    need = 0.5 * need + 0.5 * need.mean()
    rows = []
    for s, d in np.argwhere(present).tolist():
        device = catalogue.DEVICES[d]
        share = need[s] / present[s].sum()
        number = max(1, math.ceil(round(share * (1 + spare) / device.usual, 6)))
        rows.append(device.row(f"{names[s]}-{device.name}", names[s], number, running))
    return pd.DataFrame(rows)


def _check(seed: object, sizes: Mapping[str, object]) -> None:
    """Refuse sizes of a wrong kind or out of range; the rest is checked by the instance."""
    given = Sizes(seed, sizes, "sizes of synthetic edge sites")
    given.whole("sites", "sites", 1, LARGEST_SITES)
    given.whole("applications", "applications", 1, LARGEST_APPLICATIONS)
    given.whole("zones", "zones", 1, LARGEST_SITES)
    given.number("rtt_limit_ms", _BASE_MS, 1000)
    given.whole("batches", "batches", 1, 1000)
    given.number("spare", 0, 1000)
    given.number("running", 0, 1)
    given.number("forecast_error", 0, 1)
    given.number("period_hours", 0, 8784, open_low=True)
    if sizes["unplaced_g"] is not None:
        given.number("unplaced_g", 0, 1e9)
    given.start()
    given.check()


def _origin(seed: int, sizes: Mapping[str, object]) -> str:
    """The command that makes the instance again, and what it is."""
    words = ["optmodels", "generate", "placement.edge", "OUT", "--seed", str(seed)]
    for name, value in sizes.items():
        if value != SIZES[name]:
            words += ["--size", f"{name}={value}"]
    return f"{shlex.join(words)}  # {NOTE}"
