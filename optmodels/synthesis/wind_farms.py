"""Synthetic wind farms: correlated wind through a turbine's power curve.

The wind speed of a site moves around its mean like noise that lasts for hours, of which a part is
shared by all sites. The turbine gives nothing below 3 m/s, power with the cube of the speed up to
12 m/s, its nameplate up to 25 m/s, and nothing above. Nothing of it is measured.
"""

from __future__ import annotations

import math

import numpy as np

from optmodels.policy import FloatArray
from optmodels.synthesis.solar_grid import lasting_noise

# Cut-in, rated and cut-out speed of the turbine, the range of mean speeds, all [m/s], and the
# spread of the speed as a share of its mean.
_CUT_IN, _RATED, _CUT_OUT = 3.0, 12.0, 25.0
_MEAN_SPEED = (7.5, 9.5)
_SPREAD = 0.42


def wind_power(
    rng: np.random.Generator,
    slots: int,
    step_hours: float,
    nameplate_kw: FloatArray,
    correlation: float,
) -> FloatArray:
    """Wind power of each slot and site [kW], rounded to one digit, shape (T, S).

    Parameters
    ----------
    rng
        Source of the uniform numbers.
    slots
        Number of slots.
    step_hours
        Length of a slot [h].
    nameplate_kw
        Nameplate power of each site [kW], shape (S,).
    correlation
        Share of the variance of the wind that all sites have in common, 0 to 1.
    """
    mean = rng.uniform(*_MEAN_SPEED, nameplate_kw.size)
    shared = lasting_noise(slots, step_hours, rng)
    power = np.empty((slots, nameplate_kw.size))
    for s in range(nameplate_kw.size):
        own = lasting_noise(slots, step_hours, rng)
        gust = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
        speed = np.maximum(mean[s] * (1 + _SPREAD * gust), 0.0)
        share = np.clip((speed**3 - _CUT_IN**3) / (_RATED**3 - _CUT_IN**3), 0.0, 1.0)
        share[speed > _CUT_OUT] = 0.0
        power[:, s] = np.round(share * nameplate_kw[s], 1)
    return power
