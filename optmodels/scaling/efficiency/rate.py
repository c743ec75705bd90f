r"""Rate shifting: a higher clock frequency while electricity is clean, at far more power.

At the frequency `f` a processor does `f` work per hour and draws `P(f) = P_s + κ f³`. Work per kWh
is greatest at `f_E = (P_s / 2κ)^{1/3}`; slower is never of use, since a processor can run at `f_E`
for a part of the time and sleep (at no power). For work `W` by a deadline, the least carbon has the
same marginal carbon per work in every slot that runs, `CI_t · 3 κ f_t² = λ`: hence

.. math:: f_t = \sqrt{λ / (3 κ CI_t)} ∝ CI_t^{−1/2}, \qquad f_E ≤ f_t ≤ f_{max},

and slots with `CI_t P(f_E) / f_E > λ` sleep. Intensities of 400 and 100 give frequencies of 1 to 2.

The work is a non-decreasing function of `λ` that jumps where a slot wakes up and has a closed form
between the prices at which slots wake up or reach `f_max`. Bisection over those prices and the
closed form give the exact optimum. Our derivation, checked against the oracle on fine levels in
tests/scaling/efficiency/test_rate.py.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from optmodels.policy import FloatArray, frozen
from optmodels.scaling.efficiency.jobs import job_of, read_carbon, read_whole
from optmodels.scaling.efficiency.measures import Contest, Operation
from optmodels.scaling.job.inputs import Inputs, fitted
from optmodels.scaling.job.instance import JobInstance


@dataclass(frozen=True, eq=False)
class ClockPlan:
    """Frequencies that do a given work, and what they cost.

    Attributes
    ----------
    frequency
        Frequency in each slot while it runs, shape (T,); 0 in a slot that sleeps.
    share
        Share of each slot that runs, shape (T,).
    work, energy_kwh, carbon_g
        What comes of it.
    price
        Marginal carbon of work, λ [g per unit of work], the same in all slots of a plan of least
        carbon; not a number for other plans.
    """

    frequency: FloatArray
    share: FloatArray
    work: float
    energy_kwh: float
    carbon_g: float
    price: float

    def __post_init__(self) -> None:
        for name in ("frequency", "share"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @property
    def operation(self) -> Operation:
        """Energy, carbon and work."""
        return Operation(self.energy_kwh, self.carbon_g, self.work)


@dataclass(frozen=True)
class ClockFrequency:
    """A processor whose frequency can be chosen.

    Parameters
    ----------
    static_kw
        P_s: power at any frequency while it runs [kW].
    cubic_kw
        κ: dynamic power at frequency 1 [kW], > 0; it grows with the cube of the frequency.
    highest
        f_max: highest frequency, > 0. Work is counted in frequency × hours.

    Raises
    ------
    InputError
        A value is out of range; all of them are listed.
    """

    static_kw: float
    cubic_kw: float
    highest: float

    def __post_init__(self) -> None:
        given = Inputs("clock frequency")
        for name, value in vars(self).items():
            given.number(name, value, minimum=0.0, strict=name != "static_kw")
        given.check()

    @cached_property
    def most_efficient(self) -> float:
        """f_E: frequency of the most work per kWh, at most the highest."""
        return min(float(np.cbrt(self.static_kw / (2 * self.cubic_kw))), self.highest)

    def power_kw(self, frequency: ArrayLike) -> FloatArray:
        """Power at frequencies above 0 [kW]."""
        power: FloatArray = self.static_kw + self.cubic_kw * np.asarray(frequency, float) ** 3
        return power

    def least_carbon(
        self, carbon_g_per_kwh: ArrayLike, work: float, *, slot_hours: float = 1.0
    ) -> ClockPlan:
        """Frequencies that do the work with the least carbon, exactly.

        Parameters
        ----------
        carbon_g_per_kwh
            Carbon intensity of each slot until the deadline, > 0, shape (T,).
        work
            Work to be done, in frequency × hours, ≥ 0.
        slot_hours
            Length of a slot [h].

        Raises
        ------
        InputError
            A value is out of range.
        InfeasibleError
            The work does not fit before the deadline.
        """
        carbon, amount = self._read(carbon_g_per_kwh, work, slot_hours)
        hours = amount / slot_hours
        wake, full = self._prices(carbon)
        prices = np.unique(np.concatenate([wake, full])).tolist()
        # The first price at which the slots can do all the work, those that just wake up included.
        at = bisect_left(
            prices, hours, key=lambda p: float(self._speeds(carbon, p, wake <= p).sum())
        )
        at = min(at, len(prices) - 1)
        price = prices[at]
        awake = wake < price
        speeds = self._speeds(carbon, price, awake)
        share = awake.astype(np.float64)
        if speeds.sum() <= hours:
            # Slots that just wake up share what is left.
            last = wake == price
            most = self.most_efficient * np.count_nonzero(last)
            if most > 0:
                share[last] = min((hours - float(speeds.sum())) / most, 1.0)
                speeds[last] = self.most_efficient
        elif (free := awake & (full >= price)).any():
            capped = awake & ~free
            roots = 1 / np.sqrt(3 * self.cubic_kw * carbon[free])
            price = float(((hours - self.highest * capped.sum()) / roots.sum()) ** 2)
            speeds = self._speeds(carbon, price, awake)
        return self._plan(carbon, speeds, share, slot_hours, price)

    def least_energy(
        self, carbon_g_per_kwh: ArrayLike, work: float, *, slot_hours: float = 1.0
    ) -> ClockPlan:
        """Frequencies that do the work with the least energy and, among those, the least carbon.

        One frequency throughout: the most efficient one in the cleanest slots if they are enough,
        else the one that just meets the deadline. Arguments and errors as in `least_carbon`.
        """
        carbon, amount = self._read(carbon_g_per_kwh, work, slot_hours)
        hours = amount / slot_hours
        slots = carbon.size
        speed = max(self.most_efficient, hours / slots)
        share = np.zeros(slots)
        order = np.argsort(carbon, kind="stable")
        needed = hours / speed if speed > 0 else 0.0
        share[order] = np.clip(needed - np.arange(slots), 0.0, 1.0)
        if speed > self.most_efficient:
            share[:] = 1.0
        return self._plan(carbon, np.full(slots, speed), share, slot_hours, np.nan)

    def contest(
        self, carbon_g_per_kwh: ArrayLike, work: float, *, slot_hours: float = 1.0
    ) -> Contest:
        """Least energy beside least carbon; arguments and errors as in `least_carbon`."""
        return Contest(
            self.least_energy(carbon_g_per_kwh, work, slot_hours=slot_hours).operation,
            self.least_carbon(carbon_g_per_kwh, work, slot_hours=slot_hours).operation,
        )

    def job(
        self,
        carbon_g_per_kwh: ArrayLike,
        work: float,
        *,
        levels: int = 33,
        slot_hours: float = 1.0,
    ) -> JobInstance:
        """Job on evenly spaced frequencies from the most efficient to the highest.

        The job's "servers" are the frequency. Its optimum is dearer than that of any frequency:
        halving the step between levels about quarters the difference. The oracle of the job lists
        all mixes of two levels around each third one, so more than a hundred levels are slow.

        Raises
        ------
        InputError
            A value is out of range.
        """
        given = Inputs("job on clock frequencies")
        read_whole(given, "levels", levels)
        given.number("slot_hours", slot_hours, minimum=0.0, strict=True)
        given.check()
        frequency = np.linspace(self.highest, self.most_efficient, levels)[::-1]
        frequency = np.unique(frequency[frequency > 0])
        return job_of(
            carbon_g_per_kwh,
            work=work,
            servers=frequency,
            throughput=frequency * slot_hours,
            power_kw=self.power_kw(frequency),
            slot_hours=slot_hours,
        )

    def _read(
        self, carbon_g_per_kwh: ArrayLike, work: float, slot_hours: float
    ) -> tuple[FloatArray, float]:
        given = Inputs("work on clock frequencies")
        carbon = read_carbon(given, carbon_g_per_kwh, positive=True)
        amount = given.number("work", work, minimum=0.0)
        hours = given.number("slot_hours", slot_hours, minimum=0.0, strict=True)
        given.check()
        limits = f"{carbon.size} slots of {hours:g} h at a frequency of {self.highest:g}"
        return carbon, float(fitted(amount, carbon.size * hours * self.highest, limits))

    def _prices(self, carbon: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Prices of work at which each slot wakes up, and at which it reaches the highest."""
        lowest = self.most_efficient
        per_work = float(self.power_kw(lowest)) / lowest if lowest > 0 else 0.0
        wake = carbon * per_work
        return wake, np.maximum(wake, carbon * (3 * self.cubic_kw * self.highest**2))

    def _speeds(self, carbon: FloatArray, price: float, awake: np.ndarray) -> FloatArray:
        """Frequency of each slot at a price of work."""
        best = np.sqrt(price / (3 * self.cubic_kw * carbon))
        speeds: FloatArray = np.where(awake, np.clip(best, self.most_efficient, self.highest), 0.0)
        return speeds

    def _plan(
        self,
        carbon: FloatArray,
        frequency: FloatArray,
        share: FloatArray,
        slot_hours: float,
        price: float,
    ) -> ClockPlan:
        energy = share * self.power_kw(frequency) * slot_hours
        return ClockPlan(
            frequency=np.where(share > 0, frequency, 0.0),
            share=share,
            work=float(share @ frequency * slot_hours),
            energy_kwh=float(energy.sum()),
            carbon_g=float(energy @ carbon),
            price=price,
        )
