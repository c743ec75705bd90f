"""Synthetic jobs: a seeded grid with a solar valley, and what may hang on it.

The carbon intensity has the shape of a solar-heavy grid: two humps of demand a day, a valley
around local noon as deep as the clouds of the day allow (the "duck curve"), less demand at
weekends, and noise that lasts for hours. Nothing of it is measured.

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

from optmodels.errors import Flaw, InputError
from optmodels.policy import FloatArray
from optmodels.scaling.job.instance import JobInstance
from optmodels.traces.trace import instant

#: Size arguments of the generator with their defaults; None and 0 mean "without".
SIZES: Mapping[str, object] = MappingProxyType(
    {
        "hours": 48,
        "work": 12.0,
        "switching_g": 20.0,
        "rate_cap": None,
        "slot_minutes": 60,
        "history_days": 30,
        "start": "2023-06-01T00:00:00Z",
        "work_min": None,
        "work_max": None,
        "work_predicted": None,
        "servers": 0,
        "forecast_every_hours": 0,
        "mean_g_per_kwh": 250.0,
        "solar": 0.6,
        "noise": 0.1,
    }
)

ZONE = "synthetic"
NOTE = "synthetic: drawn to look like a solar-heavy grid, no value is measured"
LARGEST_SLOTS = 1_000_000
LARGEST_SERVERS = 1000
_YEARS = range(1950, 2150)

# The shape of a day, in local hours: centre, width and height of the humps of demand, and the
# sun's noon and half-day. The grid lies eight hours behind UTC.
_UTC_OFFSET_HOURS = -8.0
_MORNING, _EVENING = (7.5, 2.5, 0.10), (20.0, 3.0, 0.28)
_NOON, _HALF_DAY = 12.75, 7.25
_SUNRISE_EXPONENT = 1.2
_WEEKEND = 0.93
# Clouds take at most this share of a day's sun.
_CLOUDS = 0.6
# Correlation of the noise after one hour.
_PERSISTENCE = 0.95
_LOWEST_G_PER_KWH = 5.0

# Profile: n servers do n / (1 + σ (n - 1)) work per slot (Amdahl's law with a serial share σ drawn
# from this range) and draw the same power each.
_SERIAL = (0.02, 0.08)
_KW_PER_SERVER = 0.25

# Forecasts speak of the next 96 hours, like the public ones; their error grows with the lead.
_LEAD_HOURS = 96
_FORECAST_ERROR = 0.15


def generate(
    seed: int,
    *,
    hours: float = 48,
    work: float = 12.0,
    switching_g: float = 20.0,
    rate_cap: float | None = None,
    slot_minutes: float = 60,
    history_days: float = 30,
    start: str = "2023-06-01T00:00:00Z",
    work_min: float | None = None,
    work_max: float | None = None,
    work_predicted: float | None = None,
    servers: int = 0,
    forecast_every_hours: float = 0,
    mean_g_per_kwh: float = 250.0,
    solar: float = 0.6,
    noise: float = 0.1,
) -> JobInstance:
    """Make a synthetic job; the same arguments give the same fingerprint on every platform.

    Parameters
    ----------
    seed
        Seed of every random choice, at least 0.
    hours
        Time until the deadline [h].
    work
        Work to be done, in full-rate slots; with `servers`, in slots of one server.
    switching_g
        Carbon cost of switching one server on or off [g].
    rate_cap
        Largest number of servers in a slot.
    slot_minutes
        Length of a slot [min].
    history_days
        Carbon intensity known before the start [days]; 0 for none.
    start
        Start of the first slot, with its offset.
    work_min, work_max, work_predicted
        Bounds on the work, which hide its true amount from policies, and a prediction of it.
    servers
        Number of servers of a concave scaling profile; 0 for no profile.
    forecast_every_hours
        Time between forecasts [h]; each speaks of the next 96 h at most. 0 for none.
    mean_g_per_kwh
        Level around which the intensity moves [g/kWh].
    solar
        Depth of the valley of a cloudless noon, as a share of the level, 0 to 1.
    noise
        Size of the noise, as a share of the level, 0 to 1.

    Raises
    ------
    InputError
        A size is out of range; all of them are listed.
    UsageError
        `start` is not a time, or has no offset.
    """
    sizes: dict[str, object] = {
        "hours": hours,
        "work": work,
        "switching_g": switching_g,
        "rate_cap": rate_cap,
        "slot_minutes": slot_minutes,
        "history_days": history_days,
        "start": start,
        "work_min": work_min,
        "work_max": work_max,
        "work_predicted": work_predicted,
        "servers": servers,
        "forecast_every_hours": forecast_every_hours,
        "mean_g_per_kwh": mean_g_per_kwh,
        "solar": solar,
        "noise": noise,
    }
    _check(seed, sizes)
    begin = instant(start)
    if begin.year not in _YEARS:
        allowed = f"years {_YEARS[0]} to {_YEARS[-1]}"
        raise InputError(Flaw("is out of range", field="start", value=start, allowed=allowed))
    rng = np.random.Generator(np.random.PCG64(seed))
    step = slot_minutes / 60
    slots, before = round(hours / step), round(24 * history_days / step)
    local_hours = _local_hours(begin, step, np.arange(-before, slots))
    values = _carbon(local_hours, step, mean_g_per_kwh, solar, noise, rng)
    times = begin + pd.to_timedelta(np.arange(-before, slots) * slot_minutes, unit="min")
    frame = pd.DataFrame({"time": times, "carbon_g_per_kwh": values})
    tables = {"carbon": frame.iloc[before:]}
    if before:
        tables["history"] = frame.iloc[:before]
    if servers:
        tables["profile"] = _profile(servers, rng)
    if forecast_every_hours:
        tables["forecast"] = _forecasts(frame, before, step, forecast_every_hours, rng)
    parameters = {
        "work": work,
        "switching_g": switching_g,
        "deadline_slots": slots,
        "slot_minutes": slot_minutes,
        "rate_cap": rate_cap,
        "work_min": work_min,
        "work_max": work_max,
        "work_predicted": work_predicted,
        "zone": ZONE,
        "quantity": "direct",
    }
    return JobInstance(parameters, tables, origin=_origin(seed, sizes))


def _check(seed: object, sizes: Mapping[str, object]) -> None:
    """Refuse sizes of a wrong kind or out of range; the rest is checked by the instance."""
    flaws = []

    def require(name: str, low: float, high: float, *, open_low: bool = False) -> bool:
        value = sizes.get(name, seed)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        inside = number and (low < value if open_low else low <= value) and value <= high  # type: ignore[operator]
        if not inside:
            words = f"a number {'>' if open_low else '>='} {low:g}"
            words += f" and <= {high:g}" if high < math.inf else ""
            flaws.append(Flaw("is out of range", field=name, value=value, allowed=words))
        return inside

    def whole(name: str, value: float, of: str) -> None:
        if abs(value - round(value)) > 1e-9 or round(value) < 0:
            flaws.append(Flaw(f"is not a whole number of {of}", field=name, value=sizes[name]))

    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        flaws.append(Flaw("is not a seed", field="seed", value=seed, allowed="a whole number >= 0"))
    spans = ("hours", "history_days", "forecast_every_hours")
    if require("slot_minutes", 0, 1440, open_low=True):
        step = float(sizes["slot_minutes"]) / 60  # type: ignore[arg-type]
        for name in spans:
            longest = LARGEST_SLOTS * step / (24 if name == "history_days" else 1)
            if require(name, 0, longest, open_low=name == "hours"):
                hours = float(sizes[name]) * (24 if name == "history_days" else 1)  # type: ignore[arg-type]
                whole(name, hours / step, "slots")
    if require("servers", 0, LARGEST_SERVERS):
        whole("servers", float(sizes["servers"]), "servers")  # type: ignore[arg-type]
    require("mean_g_per_kwh", 0, math.inf, open_low=True)
    require("solar", 0, 1)
    require("noise", 0, 1)
    if not isinstance(sizes["start"], str):
        allowed = "a time with its offset, such as 2023-06-01T00:00:00Z"
        flaws.append(Flaw("is not a time", field="start", value=sizes["start"], allowed=allowed))
    if flaws:
        raise InputError(flaws, "sizes of a synthetic job")


def _local_hours(begin: pd.Timestamp, step: float, slots: np.ndarray) -> FloatArray:
    """Hours since a Monday midnight, local time, of the middle of each slot."""
    since_monday = begin.weekday() * 24 + begin.hour + begin.minute / 60 + begin.second / 3600
    hours: FloatArray = since_monday + _UTC_OFFSET_HOURS + (slots + 0.5) * step
    return hours


def _carbon(
    local_hours: FloatArray,
    step: float,
    mean: float,
    solar: float,
    noise: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Carbon intensity of each slot [g/kWh]."""
    day = np.floor(local_hours / 24).astype(np.int64)
    hour = local_hours - 24.0 * day
    clear = 1 - _CLOUDS * rng.random(day[-1] - day[0] + 1)[day - day[0]]
    sun = np.maximum(0.0, np.cos(np.pi * (hour - _NOON) / (2 * _HALF_DAY)))
    shape = 1.0 + _hump(hour, *_MORNING) + _hump(hour, *_EVENING)
    shape *= np.where(day % 7 >= 5, _WEEKEND, 1.0)
    shape -= solar * clear * sun**_SUNRISE_EXPONENT
    shape += noise * _lasting_noise(local_hours.size, _PERSISTENCE**step, rng)
    values: FloatArray = np.maximum(mean * shape, min(_LOWEST_G_PER_KWH, mean))
    return values.round(2)


def _hump(hour: FloatArray, centre: float, width: float, height: float) -> FloatArray:
    distance = np.abs(hour - centre)
    around = np.minimum(distance, 24 - distance)
    hump: FloatArray = height * np.exp(-((around / width) ** 2) / 2)
    return hump


def _lasting_noise(size: int, persistence: float, rng: np.random.Generator) -> FloatArray:
    """First-order autoregressive noise of unit variance, made of uniform numbers."""
    fresh = rng.uniform(-1.0, 1.0, size) * math.sqrt(3.0)
    kick = math.sqrt(1.0 - persistence**2)
    values = np.empty(size)
    last = fresh[0]
    for i, draw in enumerate(fresh):
        last = draw if i == 0 else persistence * last + kick * draw
        values[i] = last
    return values


def _profile(servers: int, rng: np.random.Generator) -> pd.DataFrame:
    serial = round(rng.uniform(*_SERIAL), 4)
    count = np.arange(1, int(servers) + 1, dtype=np.float64)
    return pd.DataFrame(
        {
            "servers": count,
            "throughput": np.round(count / (1 + serial * (count - 1)), 4),
            "power_kw": np.round(_KW_PER_SERVER * count, 4),
        }
    )


def _forecasts(
    frame: pd.DataFrame, first: int, step: float, every_hours: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Forecasts issued at regular times from the start on, for the slots that are left."""
    truth = frame["carbon_g_per_kwh"].to_numpy()
    times = pd.DatetimeIndex(frame["time"])
    longest = round(_LEAD_HOURS / step)
    parts = []
    for issue in range(first, len(truth), round(every_hours / step)):
        ahead = np.arange(issue, min(len(truth), issue + longest))
        growth = np.sqrt((ahead - issue + 1) * step / _LEAD_HOURS)
        error = growth * _FORECAST_ERROR * _lasting_noise(ahead.size, _PERSISTENCE**step, rng)
        parts.append(
            pd.DataFrame(
                {
                    "issue_time": times[issue],
                    "time": times[ahead],
                    "carbon_g_per_kwh": np.round(np.maximum(truth[ahead] * (1 + error), 0.0), 2),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _origin(seed: int, sizes: Mapping[str, object]) -> str:
    """The command that makes the instance again, and what it is."""
    words = ["optmodels", "generate", "scaling.job", "OUT", "--seed", str(seed)]
    for name, value in sizes.items():
        if value != SIZES[name]:
            words += ["--size", f"{name}={value}"]
    return f"{shlex.join(words)}  # {NOTE}"
