"""Synthetic requests at wind sites: seeded wind, a day of demand, and a profile by simple laws.

The wind is that of `optmodels.synthesis.wind_farms`. Demand swings with the hour of the day of each
origin, whose days are shifted against each other, and carries noise that lasts for hours. Classes
are pairs of an input length and an output length, each short, medium or long (S, M, L).

The profile follows laws of ours, whose constants stand for a model of 70 billion parameters on a
recent accelerator. On g GPUs at the clock φ (a share of the fastest) with b requests in the batch:

- reading an input of n tokens takes a n / (g^0.75 φ): it is bound by computing;
- a step of all b outputs takes d (1 - κ + κ/φ) (1 + b/β) / g^0.3: it is bound by memory;
- a request is in the system while the inputs of b requests are read and its output is written, so
  by Little's law an instance serves b requests in that time;
- the power is g (w_idle + (w_full - w_idle) u(b) φ^γ), where u grows with the batch.

Only uniform random numbers of PCG64 are drawn and all values are rounded, so that a seed gives the
same fingerprint on every platform. Nothing is measured.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from optmodels.policy import FloatArray
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.profile import IntArray
from optmodels.synthesis.sizes import Sizes, begin_of
from optmodels.synthesis.solar_grid import lasting_noise
from optmodels.synthesis.wind_farms import wind_power

#: Size arguments of the generator with their defaults.
SIZES: Mapping[str, object] = MappingProxyType(
    {
        "hours": 24,
        "sites": 4,
        "gpus": 400,
        "origins": 2,
        "classes": 9,
        "load": 0.6,
        "sizing": 1.2,
        "correlation": 0.3,
        "backup_kw": 0.0,
        "past_hours": 0,
        "period_seconds": 300,
        "slot_minutes": 15,
        "reload_seconds": 30,
        "start": "2023-11-13T00:00:00Z",
    }
)

LARGEST_PERIODS = 100_000
LARGEST_SITES = 200
LARGEST_ORIGINS = 50
NOTE = "synthetic: wind, demand and profile drawn from a seed and by laws, no value is measured"

#: Mean lengths of inputs and outputs [tokens], and the limit of the time to the first token [s].
_INPUTS = {"S": (150.0, 0.25), "M": (600.0, 0.4), "L": (2500.0, 2.0)}
_OUTPUTS = {"S": 40.0, "M": 150.0, "L": 450.0}
#: Classes in the order in which an instance with fewer than nine takes them.
CLASSES = ("LS", "MS", "SM", "LL", "MM", "SS", "LM", "ML", "SL")
_TBT_LIMIT = 0.1
# The settings that are tabulated.
_DEGREES, _CLOCKS, _BATCHES = (2, 4, 8), (0.5, 0.7, 0.85, 1.0), (1, 8, 32, 96)
# a, d [s], κ, β and γ of the laws; powers of a GPU with its share of the host [kW].
_READ, _STEP = 0.65e-3, 0.030
_KAPPA, _BETA, _GAMMA = 0.25, 96.0, 2.2
_IDLE_KW, _FULL_KW = 0.25, 1.1
# How far the GPUs of sites and the shares of classes are from their means; round trips [ms].
_SPREAD = 0.5
_RTT_MS = (8.0, 60.0)
# Swing of the demand over a day and size of its noise, as shares of its mean.
_SWING, _NOISE = 0.35, 0.06
_GRID_G, _GRID_USD = 400.0, 0.12
_WIND_USD = 0.02


def generate(
    seed: int,
    *,
    hours: float = 24,
    sites: int = 4,
    gpus: int = 400,
    origins: int = 2,
    classes: int = 9,
    load: float = 0.6,
    sizing: float = 1.2,
    correlation: float = 0.3,
    backup_kw: float = 0.0,
    past_hours: float = 0,
    period_seconds: float = 300,
    slot_minutes: float = 15,
    reload_seconds: float = 30,
    start: str = "2023-11-13T00:00:00Z",
) -> RoutingInstance:
    """Make synthetic requests at wind sites; the same arguments give the same fingerprint.

    Parameters
    ----------
    seed
        Seed of every random choice, at least 0.
    hours
        Length of the series [h].
    sites, origins
        Numbers of sites and origins.
    gpus
        GPUs of all sites together, about.
    classes
        Number of classes, 1 to 9.
    load
        Mean demand relative to what all GPUs serve at full power.
    sizing
        Power of all GPUs of a site at full load, relative to the nameplate of its turbines.
    correlation
        Share of the variance of the wind that all sites have in common, 0 to 1.
    backup_kw
        Grid power that each site may draw [kW].
    past_hours
        Length of the earlier power that policies are told [h]; 0 for none.
    period_seconds, slot_minutes
        Lengths of a period [s] and a slot [min].
    reload_seconds
        Time for which a newly configured instance serves nothing [s].
    start
        Start of the first period, with its offset.

    Returns
    -------
    RoutingInstance
        The same seed and sizes give the same instance, to the last digit.

    Raises
    ------
    InputError
        A size is out of range; all of them are listed.
    UsageError
        `start` is not a time, or has no offset.
    """
    sizes: dict[str, object] = {
        "hours": hours,
        "sites": sites,
        "gpus": gpus,
        "origins": origins,
        "classes": classes,
        "load": load,
        "sizing": sizing,
        "correlation": correlation,
        "backup_kw": backup_kw,
        "past_hours": past_hours,
        "period_seconds": period_seconds,
        "slot_minutes": slot_minutes,
        "reload_seconds": reload_seconds,
        "start": start,
    }
    _check(seed, sizes)
    begin = begin_of(start)
    rng = np.random.Generator(np.random.PCG64(seed))
    step = period_seconds / 3600
    periods, before = round(hours / step), round(past_hours / step)
    names = _names("wind", sites)
    homes = _names("city", origins)
    kinds = sorted(CLASSES[:classes])
    count = np.maximum(
        np.round(gpus / sites * (1 + _SPREAD * rng.uniform(-1, 1, sites)) / _DEGREES[-1]), 1
    ).astype(np.int64) * int(_DEGREES[-1])
    nameplate = np.round(count * _FULL_KW / sizing, 1)
    power = wind_power(rng, before + periods, step, nameplate, correlation)
    rows = _profile(kinds)
    times = begin + pd.to_timedelta(np.arange(-before, periods) * period_seconds, unit="s")
    wind = pd.DataFrame(
        {"time": times.repeat(sites), "site": names * len(times), "power_kw": power.ravel()}
    )
    demand = _demand(rng, begin, periods, step, origins, _fleet_rates(rows, kinds, count) * load)
    tables = {
        "classes": _classes(kinds),
        "profile": rows,
        "sites": pd.DataFrame(
            {
                "site": names,
                "gpus": count,
                "nameplate_kw": nameplate,
                "backup_kw": float(backup_kw),
            }
        ),
        "links": pd.DataFrame(
            {
                "origin": np.repeat(homes, sites),
                "site": names * origins,
                "rtt_ms": np.round(rng.uniform(*_RTT_MS, origins * sites), 1),
            }
        ),
        "power": wind.iloc[before * sites :],
        "demand": pd.DataFrame(
            {
                "time": times[before:].repeat(origins * classes),
                "origin": np.tile(np.repeat(homes, classes), periods),
                "class": kinds * (origins * periods),
                "requests_per_s": demand.ravel(),
            }
        ),
    }
    if before:
        tables["past"] = wind.iloc[: before * sites]
    if backup_kw > 0:
        grid = wind[["time", "site"]].iloc[before * sites :]
        tables["grid"] = grid.assign(carbon_g_per_kwh=_GRID_G, usd_per_kwh=_GRID_USD)
    parameters = {
        "slot_minutes": slot_minutes,
        "period_seconds": period_seconds,
        "reload_seconds": reload_seconds,
        "gpu_idle_kw": _IDLE_KW,
        "wind_usd_per_kwh": _WIND_USD,
    }
    return RoutingInstance(parameters, tables, origin=_origin(seed, sizes))


def _names(word: str, count: int) -> list[str]:
    return [f"{word}-{i + 1:0{len(str(count))}d}" for i in range(count)]


def _classes(kinds: list[str]) -> pd.DataFrame:
    """Lengths and limits; from end to end a request may take what its two other limits allow."""
    first = np.array([_INPUTS[kind[0]][1] for kind in kinds])
    outputs = np.array([_OUTPUTS[kind[1]] for kind in kinds])
    return pd.DataFrame(
        {
            "class": kinds,
            "input_tokens": [_INPUTS[kind[0]][0] for kind in kinds],
            "output_tokens": outputs,
            "ttft_limit_s": first,
            "tbt_limit_s": _TBT_LIMIT,
            "e2e_limit_s": np.round(first + (outputs - 1) * _TBT_LIMIT, 3),
            "weight": 1.0,
        }
    )


def _profile(kinds: list[str]) -> pd.DataFrame:
    """Rows of the profile by the laws, for every class, degree, clock and batch."""
    index = pd.MultiIndex.from_product([kinds, _DEGREES, _CLOCKS, _BATCHES])
    degree, clock, batch = (index.get_level_values(i).to_numpy(dtype=float) for i in (1, 2, 3))
    names = index.get_level_values(0)
    tokens_in = np.array([_INPUTS[kind[0]][0] for kind in names])
    tokens_out = np.array([_OUTPUTS[kind[1]] for kind in names])
    read = _READ * tokens_in / (degree**0.75 * clock)
    beat = _STEP * (1 - _KAPPA + _KAPPA / clock) * (1 + batch / _BETA) / degree**0.3
    # One input is being read, on average, when another arrives at a busy instance.
    first = read * np.where(batch > 1, 1.5, 1.0) + beat
    whole = np.maximum(batch * read + (tokens_out - 1) * beat, first + (tokens_out - 1) * beat)
    busy = 0.4 + 0.6 * batch / (batch + 16)
    kw = degree * (_IDLE_KW + (_FULL_KW - _IDLE_KW) * busy * clock**_GAMMA)
    return pd.DataFrame(
        {
            "row": np.arange(len(index)),
            "class": names,
            "tp": degree.astype(np.int64),
            "frequency": clock,
            "batch": batch,
            "requests_per_s": np.round(batch / whole, 5),
            "power_kw": np.round(kw, 4),
            "ttft_s": np.round(first, 5),
            "tbt_s": np.round((whole - first) / (tokens_out - 1), 6),
            "e2e_s": np.round(whole, 4),
        }
    )


def _fleet_rates(rows: pd.DataFrame, kinds: list[str], gpus: IntArray) -> FloatArray:
    """Requests of each class that all GPUs serve at full power in equal numbers [1/s]."""
    limits = _classes(kinds).set_index("class")
    of = limits.loc[rows["class"]]
    kept = (
        (rows["ttft_s"].to_numpy() + _RTT_MS[1] / 1000 <= of["ttft_limit_s"].to_numpy())
        & (rows["tbt_s"].to_numpy() <= of["tbt_limit_s"].to_numpy())
        & (rows["e2e_s"].to_numpy() + _RTT_MS[1] / 1000 <= of["e2e_limit_s"].to_numpy())
    )
    per_request = (rows["tp"] / rows["requests_per_s"])[kept].groupby(rows["class"]).min()
    return np.full(len(kinds), gpus.sum() / float(per_request.loc[kinds].sum()))


def _demand(
    rng: np.random.Generator,
    begin: pd.Timestamp,
    periods: int,
    step: float,
    origins: int,
    rates: FloatArray,
) -> FloatArray:
    """Requests by period, origin and class [1/s], rounded to three digits, shape (T, O, C)."""
    share = 1 + _SPREAD * rng.uniform(-1, 1, (origins, len(rates)))
    share /= share.sum(axis=0)
    hour = begin.hour + begin.minute / 60 + np.arange(periods) * step
    shift = rng.uniform(0, 12, origins)
    demand = np.empty((periods, origins, len(rates)))
    for o in range(origins):
        day = 1 - _SWING * np.cos((hour - 3 - shift[o]) / 12 * np.pi)
        noise = np.array([lasting_noise(periods, step, rng) for _ in rates]).T
        level = np.maximum(day[:, None] * (1 + _NOISE * noise), 0.0)
        demand[:, o] = level * share[o] * rates
    return np.round(demand, 3)


def _check(seed: object, sizes: Mapping[str, object]) -> None:
    """Refuse sizes of a wrong kind or out of range; the rest is checked by the instance."""
    given = Sizes(seed, sizes, "sizes of synthetic requests at wind sites")
    seconds = given.number("period_seconds", 1, 86400)
    if seconds is not None:
        step = seconds / 3600
        most = LARGEST_PERIODS * step
        if given.number("hours", 0, most, open_low=True) is not None:
            given.whole("hours", "periods", 0, unit=step)
        given.whole("past_hours", "periods", 0, most, unit=step)
        given.whole("slot_minutes", "periods", seconds / 60, 24 * 60.0 * 366, unit=seconds / 60)
    given.whole("sites", "sites", 1, LARGEST_SITES)
    given.whole("origins", "origins", 1, LARGEST_ORIGINS)
    given.whole("classes", "classes", 1, len(CLASSES))
    given.whole("gpus", "GPUs", _DEGREES[-1], 10**7)
    given.number("load", 0, 100)
    given.number("sizing", 0, 100, open_low=True)
    given.number("correlation", 0, 1)
    given.number("backup_kw", 0, 1e9)
    given.number("reload_seconds", 0, 86400)
    given.start()
    given.check()


def _origin(seed: int, sizes: Mapping[str, object]) -> str:
    """The command that makes the instance again, and what it is."""
    words = ["optmodels", "generate", "routing.sites", "OUT", "--seed", str(seed)]
    for name, value in sizes.items():
        if value != SIZES[name]:
            words += ["--size", f"{name}={value}"]
    return f"{shlex.join(words)}  # {NOTE}"
