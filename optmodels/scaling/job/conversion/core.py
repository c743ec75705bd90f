"""Online conversion: the life of an algorithm, its core, and the loop over the slots.

Every algorithm has the same life: `begin` tells it what is known about the job, then for each slot
`decide(c)` answers the purchase once the cost c is known, and `settle(x)` tells what was really
executed (less than decided only in the slot in which a job of hidden length ends). Nothing else
comes in, so nothing can depend on the future. `run` is that loop over an array of costs.

A rule makes every algorithm feasible: in each slot buy at least what the later slots cannot hold
of the longest possible job (the *compulsory* purchase). Costs outside [L, U] are clipped for the
decision, never for the accounts. The algorithms themselves are in `algorithms`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from optmodels.errors import Flaw, InfeasibleError, InputError, UsageError
from optmodels.scaling.job.conversion.ratios import FloatArray, check_bounds
from optmodels.scaling.job.conversion.steps import least_purchase, step
from optmodels.scaling.job.conversion.thresholds import Curve

DONE = 1e-12
"""Part of the job that counts as nothing left."""


@dataclass(frozen=True, slots=True)
class CostBounds:
    """What is known about costs before the job starts.

    Parameters
    ----------
    L, U
        Bounds of the carbon cost of a unit of work.
    beta
        Switching coefficient: carbon per unit change of the rate; ``2 beta < U - L``.

    Raises
    ------
    InputError
        Bounds outside the standing assumption.
    """

    L: float
    U: float
    beta: float

    def __post_init__(self) -> None:
        check_bounds(self.L, self.U, self.beta)

    def clip(self, c: float) -> float:
        """Cost as the decision may see it.

        Raises
        ------
        InputError
            When it is not a number.
        """
        if math.isnan(c):
            raise InputError(Flaw("is not a number", field="cost of the slot", value=c))
        return min(max(c, self.L), self.U)


class Clips(Protocol):
    """Whatever knows which costs a decision may see."""

    def clip(self, c: float) -> float:
        """Cost as the decision may see it."""
        ...


class Conversion:
    """Progress of one real or virtual job under one threshold: the core that all share.

    Parameters
    ----------
    curve
        Threshold over the work done.
    beta
        Switching coefficient of the rule (one-way trading uses 0).
    bounds
        Bounds to which costs are clipped.
    work
        Most work there can be: what the compulsory rule protects.
    slots
        Slots until the deadline.
    cap
        Rate cap.
    """

    __slots__ = (
        "_asked",
        "_from",
        "_to",
        "beta",
        "bounds",
        "cap",
        "curve",
        "done",
        "forced",
        "rate",
        "slots_left",
        "work",
    )

    def __init__(
        self, curve: Curve, beta: float, bounds: Clips, *, work: float, slots: int, cap: float
    ) -> None:
        self.curve = curve
        self.beta = beta
        self.bounds = bounds
        self.work = work
        self.slots_left = slots
        self.cap = cap
        self.done = 0.0
        self.rate = 0.0
        self.forced = 0.0
        self._asked = 0.0
        self._from, self._to = 0.0, work  # stretch of the job which the curve covers

    def decide(self, c: float) -> float:
        """Purchase of the coming slot, the compulsory part included."""
        c = self.bounds.clip(c)
        left = self.work - self.done
        self._asked = 0.0
        if left <= DONE * self.work:
            return 0.0
        most = min(self.cap, self._to - self.done)
        x = step(self.curve, c, self.done - self._from, self.rate, self.beta, most)
        self._asked = x
        return max(x, least_purchase(left, (self.slots_left - 1) * self.cap, self.cap))

    def settle(self, x: float) -> None:
        """Take note of what was executed, and end the slot."""
        self.forced += max(0.0, x - self._asked)
        self.done += x
        self.rate = x
        self.slots_left -= 1


# ---------------------------------------------------------------------------------- algorithms
class Algorithm(ABC):
    """An online algorithm; see the module for its life.

    Parameters
    ----------
    bounds
        What is known about costs.
    """

    hidden_length = False
    """Whether the algorithm is made for a length that is not known."""

    def __init__(self, bounds: CostBounds) -> None:
        self.bounds = bounds
        self._slots_left = 0

    def begin(self, work: float | tuple[float, float], slots: int, cap: float) -> None:
        """Start on a job.

        Parameters
        ----------
        work
            Length of the job, or (shortest, longest) when it is hidden.
        slots
            Slots until the deadline.
        cap
            Most work a slot can hold.

        Raises
        ------
        InputError
            Lengths, slots or cap out of range.
        InfeasibleError
            The longest job does not fit before the deadline.
        """
        shortest, longest = work if isinstance(work, tuple) else (work, work)
        check_job(shortest, longest, slots, cap)
        if shortest < longest and not self.hidden_length:
            raise UsageError(
                f"{type(self).__name__} needs to know the length of the job, "
                f"and was told only {shortest:g} to {longest:g}."
            )
        self._open(shortest, longest, slots, cap)
        self._slots_left = slots

    def decide(self, c: float) -> float:
        """Purchase of the coming slot, whose cost is c.

        Raises
        ------
        UsageError
            Before `begin`, or after the last slot.
        InputError
            The cost is not a number.
        """
        if self._slots_left <= 0:
            raise UsageError(
                f"{type(self).__name__} has no slot left to decide. Likely cause: begin() was not "
                "called, or the job was begun with fewer slots than it now gets."
            )
        return self._decide(c)

    def settle(self, executed: float) -> None:
        """Take note of what was executed, and end the slot.

        Raises
        ------
        InputError
            The work executed is negative or not a number.
        """
        if not executed >= 0.0:
            raise InputError(
                Flaw("is not possible", field="executed", value=executed, allowed=">= 0")
            )
        self._slots_left -= 1
        self._settle(executed)

    @abstractmethod
    def _open(self, shortest: float, longest: float, slots: int, cap: float) -> None: ...

    @abstractmethod
    def _decide(self, c: float) -> float: ...

    @abstractmethod
    def _settle(self, executed: float) -> None: ...

    @property
    @abstractmethod
    def forced(self) -> float:
        """Work bought so far beyond what the threshold asked for (q in the guarantees)."""


# ---------------------------------------------------------------------------------------- loop
@dataclass(frozen=True, slots=True)
class ConversionRun:
    """What an algorithm did with one job.

    Parameters
    ----------
    schedule
        Work per slot, of the length of the costs.
    forced
        Work bought beyond what the threshold asked for (q in the guarantees).
    last_slot
        Index of the slot in which the job ended.
    """

    schedule: FloatArray
    forced: float
    last_slot: int


def run(
    algorithm: Algorithm,
    costs: ArrayLike,
    work: float,
    cap: float,
    lengths: tuple[float, float] | None = None,
) -> ConversionRun:
    """Let an algorithm convert one job, slot by slot.

    Parameters
    ----------
    algorithm
        Any algorithm of this module, or one that lives as they do.
    costs
        Carbon cost of a unit of work per slot; the last slot is the deadline.
    work
        True length of the job. With `lengths` only the end of the job reveals it.
    cap
        Rate cap.
    lengths
        Shortest and longest possible length, for a hidden one.

    Raises
    ------
    InputError
        Costs that are not finite numbers, or a job out of range.
    InfeasibleError
        The longest job does not fit before the deadline.
    """
    values = np.asarray(costs, float)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(Flaw("are not one finite number per slot", field="costs"))
    if lengths is not None and not lengths[0] <= work <= lengths[1]:
        raise InputError(
            Flaw(
                "is not possible",
                field="work",
                value=work,
                allowed=f"{lengths[0]:g} to {lengths[1]:g}",
            )
        )
    algorithm.begin(work if lengths is None else lengths, len(values), cap)
    schedule = np.zeros(len(values))
    left, slot = work, 0
    for slot, c in enumerate(values.tolist()):
        x = min(algorithm.decide(c), left)
        algorithm.settle(x)
        schedule[slot] = x
        left -= x
        if left <= DONE * work:
            break
    return ConversionRun(schedule, algorithm.forced, slot)


# ---------------------------------------------------------------------------------- validation
def check_job(shortest: float, longest: float, slots: int, cap: float) -> None:
    """Refuse a job that makes no sense or does not fit.

    Raises
    ------
    InputError
        Naming every flaw.
    InfeasibleError
        The longest job does not fit before the deadline.
    """
    flaws = [
        Flaw("is not a positive finite number", field=name, value=value)
        for name, value in (("shortest", shortest), ("longest", longest), ("cap", cap))
        if not (math.isfinite(value) and value > 0)
    ]
    if slots < 1:
        flaws.append(Flaw("is not a positive count", field="slots", value=slots))
    if not flaws and shortest > longest:
        flaws.append(
            Flaw("is above longest", field="shortest", value=shortest, allowed=f"<= {longest:g}")
        )
    if flaws:
        raise InputError(flaws, subject="job to convert")
    if longest > slots * cap * (1 + DONE):
        raise InfeasibleError(
            f"A job of {longest:g} units cannot end in time.",
            [f"{slots} slots of at most {cap:g} units hold {slots * cap:g} units."],
        )


def check_advice(advice: Sequence[float], work: float, slots: int, cap: float) -> None:
    """Refuse an advice that is not a feasible schedule of the job.

    Raises
    ------
    InputError
        Naming every flaw.
    """
    flaws = []
    if len(advice) != slots:
        flaws.append(
            Flaw("slots are advised", field="advice", value=len(advice), allowed=f"{slots}")
        )
    wrong = [a for a in advice if not -1e-9 * cap <= a <= cap * (1 + 1e-9)]
    if wrong:
        flaws.append(
            Flaw(
                "is no possible rate",
                field="advice",
                value=wrong[0],
                allowed=f"0 to the rate cap {cap:g}",
            )
        )
    elif abs(math.fsum(advice) - work) > 1e-9 * work:
        flaws.append(
            Flaw(
                "is not the length of the job",
                field="sum of the advice",
                value=math.fsum(advice),
                allowed=f"{work:g}",
            )
        )
    if flaws:
        raise InputError(flaws, subject="advice")
