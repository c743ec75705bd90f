"""Synthetic jobs: a seeded grid with a solar valley, and what may hang on it.

The carbon intensity is that of `optmodels.synthesis.solar_grid`. Nothing of it is measured.

Only uniform random numbers of PCG64 are drawn and all values are rounded, so that a seed gives the
same fingerprint on every platform.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from optmodels.scaling.job.instance import JobInstance
from optmodels.synthesis.sizes import Sizes, begin_of
from optmodels.synthesis.solar_grid import NOTE, ZONE, carbon_intensity, lasting_noise

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

LARGEST_SLOTS = 1_000_000
LARGEST_SERVERS = 1000

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

    Returns
    -------
    JobInstance
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
    begin = begin_of(start)
    rng = np.random.Generator(np.random.PCG64(seed))
    step = slot_minutes / 60
    slots, before = round(hours / step), round(24 * history_days / step)
    values = carbon_intensity(
        begin, step, np.arange(-before, slots), rng, mean=mean_g_per_kwh, solar=solar, noise=noise
    )
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
    given = Sizes(seed, sizes, "sizes of a synthetic job")
    minutes = given.number("slot_minutes", 0, 1440, open_low=True)
    if minutes is not None:
        step = minutes / 60
        most = LARGEST_SLOTS * step
        if given.number("hours", 0, most, open_low=True) is not None:
            given.whole("hours", "slots", 0, unit=step)
        given.whole("history_days", "slots", 0, most / 24, unit=step / 24)
        given.whole("forecast_every_hours", "slots", 0, most, unit=step)
    given.whole("servers", "servers", 0, LARGEST_SERVERS)
    given.number("mean_g_per_kwh", 0, open_low=True)
    given.number("solar", 0, 1)
    given.number("noise", 0, 1)
    given.start()
    given.check()


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
        error = growth * _FORECAST_ERROR * lasting_noise(ahead.size, step, rng)
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
