"""What the formulas ask of their inputs, checked in one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from optmodels.errors import UsageError
from optmodels.policy import FloatArray

#: A second moment below the squared mean by no more than this share is rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Tenants:
    """Rates and service times of the tenants of one or many stations, all of one shape.

    Attributes
    ----------
    rates
        Requests per unit of time.
    means
        Mean service times.
    seconds
        Second moments of the service times.
    """

    rates: FloatArray
    means: FloatArray
    seconds: FloatArray

    @property
    def load(self) -> FloatArray:
        """Share of the time for which each station is busy; may be 1 and more."""
        return np.asarray((self.rates * self.means).sum(axis=-1), dtype=np.float64)


def tenants_of(rates: ArrayLike, means: ArrayLike, seconds: ArrayLike | None = None) -> Tenants:
    """Checked tenants; without second moments, services of constant length.

    Raises
    ------
    UsageError
        A rate is negative, a service time is not positive, a second moment is below the square of
        its mean, something is not finite, or the shapes do not fit together.
    """
    given = [finite(rates, "rates", 0.0), finite(means, "mean service times", 0.0, open_low=True)]
    if seconds is not None:
        given.append(finite(seconds, "second moments", 0.0))
    try:
        arrays = list(np.broadcast_arrays(*given))
    except ValueError:
        shapes = ", ".join(str(a.shape) for a in given)
        raise UsageError(
            f"Rates, mean service times and second moments have shapes {shapes}, which do not fit "
            "together. Fix: give one value per tenant."
        ) from None
    if arrays[0].ndim == 0:
        arrays = [array.reshape(1) for array in arrays]
    rate, mean = arrays[0], arrays[1]
    second = arrays[2] if seconds is not None else mean**2
    if (second < mean**2 * (1 - _ROUNDING)).any():
        raise UsageError(
            "A second moment is below the square of its mean, which no distribution has. Likely "
            "cause: a variance was given. Fix: give the variance plus the squared mean."
        )
    return Tenants(rate, mean, second)


def finite(
    values: ArrayLike, what: str, least: float, most: float = np.inf, *, open_low: bool = False
) -> FloatArray:
    """Numbers within their range.

    Raises
    ------
    UsageError
        Something is not a number, not finite, or out of range.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"The {what} are not numbers.") from None
    low = array > least if open_low else array >= least
    if not (np.isfinite(array) & low & (array <= most)).all():
        span = f"{'above' if open_low else 'at least'} {least:g}"
        more = f" and at most {most:g}" if np.isfinite(most) else ""
        raise UsageError(f"The {what} are out of range; allowed: finite numbers {span}{more}.")
    return array
