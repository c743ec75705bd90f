"""A synthetic solar-heavy grid, for the generators of all problems that follow carbon.

The carbon intensity has two humps of demand a day, a valley around local noon as deep as the clouds
of the day allow (the "duck curve"), less demand at weekends, and noise that lasts for hours.
Nothing of it is measured.

Only uniform random numbers are drawn and all values are rounded, so that a seed gives the same
values on every platform.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ZONE = "synthetic"
NOTE = "synthetic: drawn to look like a solar-heavy grid, no value is measured"

# The shape of a day, in local hours: centre, width and height of the humps of demand, and the
# sun's noon and half-day. The grid lies eight hours behind UTC.
UTC_OFFSET_HOURS = -8.0
_MORNING, _EVENING = (7.5, 2.5, 0.10), (20.0, 3.0, 0.28)
_NOON, _HALF_DAY = 12.75, 7.25
_SUNRISE_EXPONENT = 1.2
_WEEKEND = 0.93
# Clouds take at most this share of a day's sun.
_CLOUDS = 0.6
# Correlation of the noise after one hour.
_PERSISTENCE = 0.95
_LOWEST_G_PER_KWH = 5.0


def carbon_intensity(
    begin: pd.Timestamp,
    step_hours: float,
    slots: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    mean: float,
    solar: float,
    noise: float,
) -> FloatArray:
    """Carbon intensity of each slot [g/kWh], rounded to two digits.

    Parameters
    ----------
    begin
        Start of slot 0.
    step_hours
        Length of a slot [h].
    slots
        Consecutive numbers of slots; negative ones lie before `begin`.
    rng
        Source of clouds and noise.
    mean
        Level around which the intensity moves [g/kWh].
    solar
        Depth of the valley of a cloudless noon, as a share of the level, 0 to 1.
    noise
        Size of the noise, as a share of the level, 0 to 1.
    """
    local = local_hours(begin, step_hours, slots)
    day = np.floor(local / 24).astype(np.int64)
    hour = local - 24.0 * day
    clear = 1 - _CLOUDS * rng.random(day[-1] - day[0] + 1)[day - day[0]]
    sun = np.maximum(0.0, np.cos(np.pi * (hour - _NOON) / (2 * _HALF_DAY)))
    shape = 1.0 + _hump(hour, *_MORNING) + _hump(hour, *_EVENING)
    shape *= np.where(day % 7 >= 5, _WEEKEND, 1.0)
    shape -= solar * clear * sun**_SUNRISE_EXPONENT
    shape += noise * lasting_noise(local.size, step_hours, rng)
    values: FloatArray = np.maximum(mean * shape, min(_LOWEST_G_PER_KWH, mean))
    return values.round(2)


def local_hours(begin: pd.Timestamp, step_hours: float, slots: NDArray[np.int64]) -> FloatArray:
    """Hours since a Monday midnight, local time, of the middle of each slot."""
    since_monday = begin.weekday() * 24 + begin.hour + begin.minute / 60 + begin.second / 3600
    middles: FloatArray = (np.asarray(slots, dtype=np.float64) + 0.5) * step_hours
    return since_monday + UTC_OFFSET_HOURS + middles


def lasting_noise(size: int, step_hours: float, rng: np.random.Generator) -> FloatArray:
    """First-order autoregressive noise of unit variance, made of uniform numbers.

    Parameters
    ----------
    size
        Number of values, at least 1.
    step_hours
        Time between them [h].
    rng
        Source of the numbers.
    """
    persistence = _PERSISTENCE**step_hours
    fresh = rng.uniform(-1.0, 1.0, size) * math.sqrt(3.0)
    kick = math.sqrt(1.0 - persistence**2)
    values = np.empty(size)
    last = fresh[0]
    for i, draw in enumerate(fresh):
        last = draw if i == 0 else persistence * last + kick * draw
        values[i] = last
    return values


def _hump(hour: FloatArray, centre: float, width: float, height: float) -> FloatArray:
    distance = np.abs(hour - centre)
    around = np.minimum(distance, 24 - distance)
    hump: FloatArray = height * np.exp(-((around / width) ** 2) / 2)
    return hump
