"""Jobs under staircases of carbon: the space in which worst cases of policies are searched.

A point is a list of steps, each a carbon intensity and a number of slots, with the work and the
switching cost of the job. Lower bounds of online conversion are proven with such staircases: prices
fall step by step to just above what a threshold would take, and then jump to the top; under rate
caps a cheap step that is shorter than the work goes before.

The families, changes and simplifications are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from optmodels.errors import UsageError
from optmodels.plan import Plan
from optmodels.policy import Policy
from optmodels.scaling.job.conversion.ratios import alpha
from optmodels.scaling.job.instance import JobInstance

_START = pd.Timestamp("2023-01-01", tz="UTC")
_STEPS = 5


@dataclass(frozen=True)
class Staircase:
    """Steps of carbon intensity, and a job.

    Attributes
    ----------
    carbon
        Intensity of each step [g/kWh].
    slots
        Slots of each step.
    work
        Work of the job, in slots at full rate.
    switching_g
        Cost of switching [g].
    """

    carbon: tuple[float, ...]
    slots: tuple[int, ...]
    work: float
    switching_g: float


class StaircaseSpace:
    """Staircases within a window of intensities.

    Parameters
    ----------
    lower, upper
        Window of possible carbon intensities, told to the policy [g/kWh].
    switching_g
        Largest switching cost [g]; 0 for none.
    work
        Largest work, in slots at full rate; 1 for jobs that fit into one slot.
    most_slots
        Slots until the deadline, at most.
    """

    def __init__(
        self,
        lower: float = 50.0,
        upper: float = 500.0,
        switching_g: float = 0.0,
        work: float = 20.0,
        most_slots: int = 96,
    ) -> None:
        if not 0 < lower < upper:
            raise UsageError(f"lower is {lower:g}, upper {upper:g}; allowed: 0 < lower < upper.")
        if not 0 <= 2 * switching_g < upper - lower:
            raise UsageError(
                f"switching_g is {switching_g:g}; allowed: 0 to less than half of upper - lower."
            )
        if not (0 < work <= most_slots / 2 and most_slots >= 2 * _STEPS):
            raise UsageError(
                f"work is {work:g}, most_slots {most_slots}; allowed: more than 0 and at most half "
                f"of the slots, of which there must be {2 * _STEPS} or more."
            )
        self._lower, self._upper = float(lower), float(upper)
        self._switching, self._work, self._most = float(switching_g), float(work), int(most_slots)

    def start(self, rng: np.random.Generator) -> Staircase:
        """A falling, rising or wild staircase, often behind a cheap step and before a dear one."""
        count = int(rng.integers(1, _STEPS))
        carbon = np.exp(rng.uniform(np.log(self._lower), np.log(self._upper), count))
        kind = rng.integers(3)
        if kind < 2:
            carbon = np.sort(carbon)[:: -1 if kind == 0 else 1]
        steps = carbon.tolist()
        if rng.random() < 0.5:
            steps = [self._lower, *steps]
        if rng.random() < 0.7:
            steps = [*steps, self._upper]
        whole = max(1, int(np.ceil(self._work)))
        slots = [int(rng.integers(1, whole + 1)) for _ in steps]
        # The last step has room for all of the work, so that every policy can end.
        slots[-1] = max(slots[-1], whole)
        work = self._work if rng.random() < 0.7 else float(self._work * rng.uniform(0.2, 1.0))
        return self._fitted(Staircase(tuple(steps), tuple(slots), work, self._beta(rng)))

    def near(self, point: Staircase, rng: np.random.Generator) -> Staircase:
        """One step dearer, cheaper, longer, shorter, gone or new; or another switching cost."""
        carbon, slots = list(point.carbon), list(point.slots)
        place = int(rng.integers(len(carbon)))
        move = rng.integers(7)
        if move <= 2:
            # From far jumps to the last digits: thresholds are where the cost jumps.
            factor = np.exp(rng.normal() * 10.0 ** -rng.uniform(0, 5))
            carbon[place] = float(np.clip(carbon[place] * factor, self._lower, self._upper))
        elif move == 3:
            carbon[place] = float(rng.choice([self._lower, self._upper]))
        elif move == 4:
            slots[place] = max(1, slots[place] + int(rng.integers(-3, 4)))
        elif move == 5 and len(carbon) > 1 and rng.random() < 0.5:
            del carbon[place], slots[place]
        elif move == 5:
            level = float(np.exp(rng.uniform(np.log(self._lower), np.log(self._upper))))
            carbon.insert(place, level)
            slots.insert(place, int(rng.integers(1, max(2, int(self._work) + 1))))
        else:
            return self._fitted(replace(point, switching_g=self._beta(rng)))
        return self._fitted(replace(point, carbon=tuple(carbon), slots=tuple(slots)))

    def simpler(self, point: Staircase) -> Iterator[Staircase]:
        """Fewer steps, then rounder numbers, then fewer slots."""
        count = len(point.carbon)
        for place in range(count):
            if count > 1:
                keep = [i for i in range(count) if i != place]
                yield self._fitted(
                    replace(
                        point,
                        carbon=tuple(point.carbon[i] for i in keep),
                        slots=tuple(point.slots[i] for i in keep),
                    )
                )
        if point.switching_g:
            yield replace(point, switching_g=0.0)
        for digits in (0, 1, 2):
            for place, value in enumerate(point.carbon):
                # Rounded up as well: a threshold may only just not be met.
                for rounded in (round(value, digits), round(value + 10.0**-digits, digits)):
                    inside = self._lower <= rounded <= self._upper
                    if inside and _digits(rounded) < _digits(value):
                        carbon = list(point.carbon)
                        carbon[place] = rounded
                        yield replace(point, carbon=tuple(carbon))
            rounded = round(point.work, digits)
            if rounded > 0 and _digits(rounded) < _digits(point.work):
                yield self._fitted(replace(point, work=rounded))
            rounded = round(point.switching_g, digits)
            if _digits(rounded) < _digits(point.switching_g):
                yield replace(point, switching_g=rounded)
        for place, length in enumerate(point.slots):
            for fewer in dict.fromkeys((length // 2, length - 1)):
                if fewer >= 1:
                    slots = list(point.slots)
                    slots[place] = fewer
                    made = self._fitted(replace(point, slots=tuple(slots)))
                    if sum(made.slots) < sum(point.slots):
                        yield made

    def instance(
        self, point: Staircase, *, name: str | None = None, origin: str | None = None
    ) -> JobInstance:
        """The job of a staircase: one server, one hour per slot, 1 kW."""
        carbon = np.repeat(point.carbon, point.slots)
        times = pd.date_range(_START, periods=len(carbon), freq="1h")
        parameters = {
            "work": point.work,
            "switching_g": point.switching_g,
            "deadline_slots": len(carbon),
            "slot_minutes": 60,
            "carbon_lower_g_per_kwh": self._lower,
            "carbon_upper_g_per_kwh": self._upper,
        }
        frame = pd.DataFrame({"time": times, "carbon_g_per_kwh": carbon})
        return JobInstance(parameters, {"carbon": frame}, name=name, origin=origin)

    def _beta(self, rng: np.random.Generator) -> float:
        return float(rng.choice([0.0, 1.0, rng.uniform()]) * self._switching)

    def _fitted(self, point: Staircase) -> Staircase:
        """Within the limit of slots, and with room for the work."""
        slots = list(point.slots)
        while sum(slots) > self._most:
            slots[int(np.argmax(slots))] -= 1
        whole = int(np.ceil(point.work))
        if sum(slots) < whole:
            slots[-1] += whole - sum(slots)
        return replace(point, slots=tuple(slots))


def published_excess(instance: JobInstance, policy: Policy, plan: Plan, optimum: Plan) -> float:
    """Ratio to the optimum over the published ratio of RORO, whatever the rate cap.

    Above 1 the published ratio does not hold for the run.
    """
    del policy
    given = instance.parameters
    low, high = given.carbon_lower_g_per_kwh, given.carbon_upper_g_per_kwh
    return plan.objective / optimum.objective / alpha(low, high, given.switching_g)


def _digits(value: float) -> int:
    return len(repr(float(value)).rstrip("0").rstrip("."))
