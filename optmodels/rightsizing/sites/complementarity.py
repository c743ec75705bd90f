r"""Which sites go well together: measures of variability.

Wind that blows at one site while it pauses at another makes a fleet steadier than any of its sites.
How much steadier is told by the *coefficient of variation* CoV = standard deviation / mean of each
site s (power P_s, mean :math:`\mu_s`) and of the fleet with amounts :math:`a_s`:

.. math::
    \text{gain} = \frac{\sum_s a_s \mu_s \, \mathrm{CoV}_s / \sum_s a_s \mu_s}
                       {\mathrm{CoV}(\sum_s a_s P_s)} \ge 1

The numerator is :math:`\sum_s a_s \sigma_s / \sum_s a_s \mu_s`, so the gain is at least one by the
triangle inequality of standard deviations; it is one where all sites rise and fall together.

The mean absolute deviation and the mean of the worst hours choose sites in
`optmodels.rightsizing.sites.choice`. To measure wind sites by the gain is ours.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from optmodels.errors import Flaw, InputError, UsageError, shorten
from optmodels.rightsizing.sites.matrix import FloatArray, power_matrix, slot_weights


def variation(
    power: pd.DataFrame | ArrayLike, weights: ArrayLike | None = None
) -> pd.Series[float]:
    """Coefficient of variation of each site: standard deviation / mean, over all slots.

    Parameters
    ----------
    power
        Power by slot and site.
    weights
        Shares of the slots; by default all alike.

    Raises
    ------
    InputError
        Unusable power or weights, or a site without any wind, which has no CoV.
    """
    values, names = power_matrix(power)
    shares = slot_weights(weights, len(values))
    mean, deviation = _moments(values, shares)
    calm = [names[s] for s in np.flatnonzero(mean <= 0)]
    if calm:
        raise InputError([Flaw("never has wind: it has no variation", field=name) for name in calm])
    return pd.Series(deviation / mean, index=list(names), name="variation")


def fleet_variation(
    power: pd.DataFrame | ArrayLike,
    amounts: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Coefficient of variation of the power of all sites together.

    Parameters
    ----------
    power
        Power by slot and site.
    amounts
        How much of each site is taken; by default 1.
    weights
        Shares of the slots; by default all alike.

    Raises
    ------
    InputError
        Unusable power, amounts or weights; or no power at all.
    """
    values, _ = power_matrix(power)
    taken = amounts_of(amounts, values.shape[1])
    return float(variation((values @ taken)[:, None], weights).iloc[0])


def complementarity_gain(
    power: pd.DataFrame | ArrayLike,
    amounts: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """How many times steadier the fleet is than its sites on average; at least 1.

    Infinite where the sites vary but their sum does not; 1 where nothing varies.

    Parameters
    ----------
    power, amounts, weights
        As for `fleet_variation`.

    Raises
    ------
    InputError
        As for `fleet_variation`.
    """
    values, _ = power_matrix(power)
    taken = amounts_of(amounts, values.shape[1])
    shares = slot_weights(weights, len(values))
    fleet = fleet_variation(values, taken, shares)
    mean, deviation = _moments(values, shares)
    sites = float(taken @ deviation / (taken @ mean))
    # Rounding must not make a number below 1, nor a gain out of two zeros.
    if sites <= fleet * (1 + 1e-12) or sites < 1e-12:
        return 1.0
    return sites / fleet if fleet > 1e-12 * sites else float("inf")


def mean_absolute_deviation(
    power: pd.DataFrame | ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Mean distance of the mean of all sites from its own mean, in the unit of `power`."""
    values, _ = power_matrix(power)
    shares = slot_weights(weights, len(values))
    together = values.mean(axis=1)
    return float(shares @ np.abs(together - shares @ together))


def worst_mean(values: ArrayLike, share: float, weights: ArrayLike | None = None) -> float:
    """Mean of the lowest values, as many as make up a share of the time.

    Parameters
    ----------
    values
        One number per slot.
    share
        β in (0, 1]; the slot at the edge counts in part.
    weights
        Shares of the slots; by default all alike.

    Raises
    ------
    UsageError
        `share` is not in (0, 1].
    InputError
        Unusable weights.
    """
    check_share(share)
    series = np.asarray(values, dtype=np.float64)
    shares = slot_weights(weights, len(series))
    order = np.argsort(series)
    before = np.cumsum(shares[order]) - shares[order]
    part = np.clip(share - before, 0.0, shares[order])
    return float(part @ series[order] / part.sum())


def amounts_of(amounts: ArrayLike | None, sites: int, *, positive: bool = False) -> FloatArray:
    """One number per site, of one for all or of none for 1 each, or a refusal."""
    if amounts is None:
        return np.ones(sites)
    try:
        taken = np.broadcast_to(np.asarray(amounts, dtype=np.float64), (sites,))
    except (TypeError, ValueError):
        taken = np.full(1, np.nan)
    low = taken > 0 if positive else taken >= 0
    if not (np.isfinite(taken) & low).all():
        allowed = f"{sites} numbers {'>' if positive else '>='} 0, one per site, or one for all"
        raise InputError(Flaw("do not fit", field="amounts of the sites", allowed=allowed))
    return np.array(taken)


def check_share(share: float) -> None:
    """Refuse a share of the time that is not in (0, 1]."""
    if not 0 < share <= 1:
        raise UsageError(f"share is {shorten(share)}; allowed: a number in (0, 1].")


def _moments(values: FloatArray, shares: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = shares @ values
    return mean, np.sqrt(shares @ (values - mean) ** 2)
