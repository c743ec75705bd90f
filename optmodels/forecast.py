"""Forecasts: values by the time of their issue and the time they are valid for.

A forecast answers one question: *standing in slot t, with everything up to t revealed, what is
expected from t on?* The kinds differ in what they use:

================  ==========================================================================
kind              values issued in slot t for the slots after it
================  ==========================================================================
``perfect``       the truth; a grant, for measuring what foresight is worth
``persistence``   the value of slot t, repeated
``day-before``    the value of the same hour one day earlier, as far as it has been revealed
``noise:S``       the truth times 1 + U(-S, S), drawn once per slot from the seed (CarbonScaler)
``adversarial:Z`` the blend (1 - Z) truth + Z (low + high - truth): at Z = 1 every cheap slot
                  looks dear and every dear slot cheap
``vintages``      real forecasts, the newest issued at or before slot t
``published``     real forecasts that were published the day before, up to the end of the day
================  ==========================================================================

A series may have several columns, such as the power of several sites: then every kind speaks of
each of them, and a value is a row of values.

``persistence``, ``day-before``, ``vintages`` and ``published`` look at nothing but the past. The
others are built from the truth; a policy still sees only what they say, so perturbing the truth
behind a fixed forecast must not change its past decisions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.policy import FloatArray

KINDS = (
    "perfect",
    "persistence",
    "day-before",
    "noise",
    "adversarial",
    "vintages",
    "published",
)


class Forecast(ABC):
    """Values ahead, as they are known in each slot."""

    @abstractmethod
    def ahead(self, slot: int, seen: FloatArray) -> FloatArray:
        """Values for the slots after `slot`.

        Parameters
        ----------
        slot
            The slot that is about to start, from 0.
        seen
            History and revealed values; the last entry belongs to `slot`. Shape (t,), or (t, K)
            for a series of K columns.

        Returns
        -------
        FloatArray
            One value (or row of values) for each of the slots ``slot + 1`` to the last.
        """

    def at(self, slot: int, seen: FloatArray) -> FloatArray:
        """Revealed value of `slot`, followed by the values expected for the slots after it."""
        return np.concatenate([seen[-1:], self.ahead(slot, seen)])


class FixedForecast(Forecast):
    """One set of values for the whole horizon, never revised.

    Parameters
    ----------
    values
        One value, or one row of values, per slot of the horizon.
    """

    def __init__(self, values: ArrayLike) -> None:
        self._values = np.array(values, dtype=np.float64)

    def ahead(self, slot: int, seen: FloatArray) -> FloatArray:
        """Values for the slots after `slot`."""
        return self._values[slot + 1 :].copy()


class PersistenceForecast(Forecast):
    """The present value, repeated.

    Parameters
    ----------
    slots
        Number of slots of the horizon.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots

    def ahead(self, slot: int, seen: FloatArray) -> FloatArray:
        """Values for the slots after `slot`."""
        return np.repeat(seen[-1:], self._slots - slot - 1, axis=0)


class DayBeforeForecast(Forecast):
    """The newest revealed day, repeated; with less than a day revealed, what there is of it.

    Parameters
    ----------
    slots
        Number of slots of the horizon.
    slots_per_day
        Number of slots in 24 hours.
    """

    def __init__(self, slots: int, slots_per_day: int) -> None:
        self._slots = slots
        self._day = max(1, slots_per_day)

    def ahead(self, slot: int, seen: FloatArray) -> FloatArray:
        """Values for the slots after `slot`."""
        day = seen[-min(self._day, len(seen)) :]
        return np.resize(day, (self._slots - slot - 1, *seen.shape[1:]))


class VintageForecast(Forecast):
    """Real forecasts; beyond the lead of the newest one the day before is repeated.

    Parameters
    ----------
    table
        Shape (slots, slots): row t holds the newest values issued at or before slot t, NaN where
        none was issued.
    slots_per_day
        Number of slots in 24 hours.
    """

    def __init__(self, table: ArrayLike, slots_per_day: int) -> None:
        self._table = np.array(table, dtype=np.float64)
        self._fallback = DayBeforeForecast(self._table.shape[1], slots_per_day)

    def ahead(self, slot: int, seen: FloatArray) -> FloatArray:
        """Values for the slots after `slot`."""
        issued = self._table[slot, slot + 1 :]
        return np.where(np.isnan(issued), self._fallback.ahead(slot, seen), issued)


class PublishedForecast(Forecast):
    """Real forecasts that are published once a day, for the whole of the next day.

    In any slot those of the same day are known. Later days, and columns of which nothing was
    published, are expected to be like the day before.

    Parameters
    ----------
    values
        What was published for each slot, shape (slots, K); NaN where nothing was.
    next_day
        For each slot the number of the first slot of the next day.
    slots_per_day
        Number of slots in 24 hours.
    """

    def __init__(self, values: ArrayLike, next_day: ArrayLike, slots_per_day: int) -> None:
        self._values = np.array(values, dtype=np.float64)
        self._next_day = np.array(next_day, dtype=np.int64)
        self._fallback = DayBeforeForecast(len(self._values), slots_per_day)

    def ahead(self, slot: int, seen: FloatArray) -> FloatArray:
        """Values for the slots after `slot`."""
        expected = self._fallback.ahead(slot, seen)
        known = self._values[slot + 1 : self._next_day[slot]]
        today = expected[: len(known)]
        expected[: len(known)] = np.where(np.isnan(known), today, known)
        return expected


def noisy(truth: ArrayLike, size: float, rng: np.random.Generator) -> FixedForecast:
    """Forecast of the truth times 1 + U(-size, size), drawn once per slot and column.

    Raises
    ------
    UsageError
        `size` is not in [0, 1): beyond, values could turn negative.
    """
    if not 0 <= size < 1:
        raise UsageError(f"The size of forecast noise is {size:g}; allowed: 0 ≤ size < 1.")
    values = np.asarray(truth, dtype=np.float64)
    return FixedForecast(values * (1 + rng.uniform(-size, size, values.shape)))


def adversarial(truth: ArrayLike, share: float) -> FixedForecast:
    """Forecast that blends the truth with its mirror image between the extremes of its column.

    Raises
    ------
    UsageError
        `share` is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise UsageError(f"The share of an adversarial forecast is {share:g}; allowed: 0 to 1.")
    values = np.asarray(truth, dtype=np.float64)
    mirror = values.min(axis=0) + values.max(axis=0) - values
    return FixedForecast((1 - share) * values + share * mirror)


def make_forecast(
    spec: str | Forecast | ArrayLike | None,
    truth: FloatArray,
    *,
    slots_per_day: int,
    rng: np.random.Generator,
    vintages: FloatArray | None = None,
    published: Forecast | None = None,
) -> Forecast | None:
    """Forecast for one horizon from its short name, an array of values, or a ready object.

    Parameters
    ----------
    spec
        A kind of this module (``"noise:0.2"``), one value per slot, a `Forecast`, or None.
    truth
        True values, one per slot, or one row per slot.
    slots_per_day
        Number of slots in 24 hours.
    rng
        Source of the noise.
    vintages
        Real forecasts of the instance as a (slots, slots) table, where it has any.
    published
        Real forecasts of the instance that were published day by day, where it has any.

    Raises
    ------
    UsageError
        The name is unknown or its number is missing or out of range.
    InputError
        An array of values has the wrong length or is not finite.
    """
    if spec is None or isinstance(spec, Forecast):
        return spec
    if isinstance(spec, str):
        return _named(spec, truth, slots_per_day, rng, vintages, published)
    try:
        values = np.asarray(spec, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(
            f"A forecast is a name such as 'day-before', an array of numbers or a Forecast, not a "
            f"{type(spec).__name__}."
        ) from None
    if values.shape != truth.shape or not np.isfinite(values).all():
        rows = "values" if truth.ndim == 1 else f"rows of {truth.shape[1]} values"
        allowed = f"{len(truth)} finite {rows}, one per slot"
        what = "has the wrong shape or a value that is not finite"
        raise InputError(Flaw(what, field="forecast", value=str(values.shape), allowed=allowed))
    return FixedForecast(values)


def _named(
    spec: str,
    truth: FloatArray,
    slots_per_day: int,
    rng: np.random.Generator,
    vintages: FloatArray | None,
    published: Forecast | None,
) -> Forecast:
    kind, _, argument = spec.partition(":")
    if kind not in KINDS:
        raise UsageError.unknown("forecast", kind, KINDS)
    if kind in ("noise", "adversarial"):
        try:
            number = float(argument)
        except ValueError:
            raise UsageError(
                f"The forecast '{spec}' lacks its number. Fix: write, for example, '{kind}:0.2'."
            ) from None
        return noisy(truth, number, rng) if kind == "noise" else adversarial(truth, number)
    if argument:
        raise UsageError(
            f"The forecast '{kind}' takes no number, but got '{argument}'. Fix: write '{kind}'."
        )
    if kind == "perfect":
        return FixedForecast(truth)
    if kind == "persistence":
        return PersistenceForecast(len(truth))
    if kind == "day-before":
        return DayBeforeForecast(len(truth), slots_per_day)
    if kind == "published":
        if published is None:
            raise UsageError(
                "The forecast 'published' needs an instance with forecasts of the day before. Fix: "
                "choose another kind, such as 'day-before'."
            )
        return published
    if vintages is None:
        raise UsageError(
            "The forecast 'vintages' needs an instance with a table 'forecast' of real forecasts. "
            "Fix: choose another kind, such as 'day-before', or make the instance with "
            "--vintages."
        )
    return VintageForecast(vintages, slots_per_day)
