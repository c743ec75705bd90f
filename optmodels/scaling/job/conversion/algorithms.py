"""The online conversion algorithms, one class each.

=====================  ==================================================  ====================
algorithm              threshold                                           job length
=====================  ==================================================  ====================
`Roro`                 ratio alpha                                         known, or predicted
`RoroPlus`             ratio alpha_plus                                    known
`RateLimitedRoro`      certified under rate caps                           known
`OneWayTrading`        ratio alpha for beta = 0, switching ignored         known
`SimpleThreshold`      constant sqrt(L U)                                  either
`RobustRoro`           ratio r_star                                        hidden
`Lacs`                 mix of predicted `Roro` and `RobustRoro`            hidden, predicted
`DoublingRoro`         alpha for guesses that double                       hidden
`SellingRoro`          ratio omega, maximisation                           known
`AdvisedRoro`          mix of an advice and `Roro`                         known
`Clip`                 ratio gamma, held to the advice's cost              known
=====================  ==================================================  ====================

See `conversion` for how they are driven, `guarantees` for what is proven about each.

Sources: RORO, RO-Advice, one-way trading and the simple rule: arXiv 2310.20598; LACS: arXiv
2404.15211 (its abstract gives the mix of a predicted and a robust instance; the robust threshold
is our derivation); CLIP: arXiv 2402.14012, restated for one dimension. The rest is ours.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from optmodels.errors import Flaw, InputError
from optmodels.scaling.job.conversion import thresholds
from optmodels.scaling.job.conversion.core import (
    DONE,
    Algorithm,
    Conversion,
    CostBounds,
    check_advice,
)
from optmodels.scaling.job.conversion.ratios import gamma
from optmodels.scaling.job.conversion.steps import least_purchase, level_set, step
from optmodels.scaling.job.conversion.thresholds import Curve

SLACK = 1e-14
"""Part of the greatest possible cost by which CLIP's allowance is widened against rounding."""


class DoublingConversion(Conversion):
    """Progress under guesses of the length that double: each new stretch opens its own curve."""

    __slots__ = ("_costs",)

    def __init__(
        self, bounds: CostBounds, *, shortest: float, work: float, slots: int, cap: float
    ) -> None:
        curve = thresholds.roro_curve(bounds.L, bounds.U, bounds.beta, shortest)
        super().__init__(curve, bounds.beta, bounds, work=work, slots=slots, cap=cap)
        self._costs = bounds
        self._to = shortest

    def decide(self, c: float) -> float:
        """Purchase of the coming slot; a stretch that is full gives way to the next."""
        while self._to < self.work and self._to - self.done <= DONE * self.work:
            self._from, self._to = self._to, min(2 * self._to, self.work)
            size, b = self._to - self._from, self._costs
            self.curve = thresholds.roro_curve(b.L, b.U, b.beta, size)
        return super().decide(c)


class SingleJob(Algorithm):
    """An algorithm whose whole state is the progress of the job."""

    _progress: Conversion

    def _decide(self, c: float) -> float:
        return self._progress.decide(c)

    def _settle(self, executed: float) -> None:
        self._progress.settle(executed)

    @property
    def forced(self) -> float:
        """Work bought so far beyond what the threshold asked for."""
        return self._progress.forced


class SingleThreshold(SingleJob):
    """An algorithm that is one threshold from beginning to end."""

    @abstractmethod
    def _curve(self, shortest: float, longest: float) -> Curve: ...

    def _rule_beta(self) -> float:
        return self.bounds.beta

    def _open(self, shortest: float, longest: float, slots: int, cap: float) -> None:
        curve = self._curve(shortest, longest)
        self._progress = Conversion(
            curve, self._rule_beta(), self.bounds, work=longest, slots=slots, cap=cap
        )


class Roro(SingleThreshold):
    """RORO; with a hidden length, RORO for a `predicted` length (the longest by default)."""

    hidden_length = True

    def __init__(self, bounds: CostBounds, predicted: float | None = None) -> None:
        super().__init__(bounds)
        self.predicted = predicted

    def _curve(self, shortest: float, longest: float) -> Curve:
        b = self.bounds
        return thresholds.roro_curve(
            b.L, b.U, b.beta, within_lengths(self.predicted, shortest, longest)
        )


class RoroPlus(SingleThreshold):
    """RORO with the ramp of the compulsory purchase inside its ratio."""

    def _curve(self, shortest: float, longest: float) -> Curve:
        return thresholds.roro_plus_curve(self.bounds.L, self.bounds.U, self.bounds.beta, longest)


class RateLimitedRoro(SingleThreshold):
    """RORO with the threshold that is certified under rate caps."""

    def _curve(self, shortest: float, longest: float) -> Curve:
        b = self.bounds
        return thresholds.rate_limited_curve(b.L, b.U, b.beta, longest)


class OneWayTrading(SingleThreshold):
    """Threshold and rule that do not know of switching cost."""

    def _curve(self, shortest: float, longest: float) -> Curve:
        return thresholds.one_way_curve(self.bounds.L, self.bounds.U, longest)

    def _rule_beta(self) -> float:
        return 0.0


class SimpleThreshold(SingleThreshold):
    """Run at full rate whenever the cost is at most a level, by default ``sqrt(L U)``."""

    hidden_length = True

    def __init__(self, bounds: CostBounds, level: float | None = None) -> None:
        super().__init__(bounds)
        self.level = level

    def _curve(self, shortest: float, longest: float) -> Curve:
        if self.level is not None:
            return thresholds.ConstantCurve(self.level)
        return thresholds.simple_curve(self.bounds.L, self.bounds.U)

    def _rule_beta(self) -> float:
        return 0.0


class RobustRoro(SingleThreshold):
    """RORO for a hidden length: ratio `r_star`, scaled to the longest job."""

    hidden_length = True

    def _curve(self, shortest: float, longest: float) -> Curve:
        b = self.bounds
        return thresholds.robust_curve(b.L, b.U, b.beta, shortest, longest)


class DoublingRoro(SingleJob):
    """RORO for guesses of a hidden length: shortest, twice that, ... ."""

    hidden_length = True

    def _open(self, shortest: float, longest: float, slots: int, cap: float) -> None:
        self._progress = DoublingConversion(
            self.bounds, shortest=shortest, work=longest, slots=slots, cap=cap
        )


class SellingRoro(SingleJob):
    """The maximising threshold: sells the whole job at prices in [L, U], as `Roro` buys it."""

    def _open(self, shortest: float, longest: float, slots: int, cap: float) -> None:
        b = self.bounds
        curve = thresholds.selling_curve(b.L, b.U, b.beta, longest).mirror
        self._progress = Conversion(
            curve, b.beta, SellingBounds(b), work=longest, slots=slots, cap=cap
        )

    def _decide(self, c: float) -> float:
        return self._progress.decide(-c)


@dataclass(frozen=True, slots=True)
class SellingBounds:
    """Bounds of prices, seen as costs below zero."""

    prices: CostBounds

    def clip(self, c: float) -> float:
        """Cost as the decision may see it."""
        return -self.prices.clip(-c)


class Lacs(Algorithm):
    """LACS: ``kappa`` parts of `Roro` for the predicted length, the rest of `RobustRoro`.

    Both run as virtual jobs on the same costs, each with its own progress.

    Parameters
    ----------
    bounds
        What is known about costs.
    predicted
        Predicted length; moved into [shortest, longest].
    kappa
        Trust in the prediction, 0 to 1; see `steps.prediction_weight`.
    """

    hidden_length = True

    def __init__(self, bounds: CostBounds, predicted: float, kappa: float) -> None:
        super().__init__(bounds)
        self.predicted = predicted
        self.kappa = _fraction(kappa, "kappa")
        self._instances: tuple[Algorithm, Algorithm] = (Roro(bounds, predicted), RobustRoro(bounds))

    def _open(self, shortest: float, longest: float, slots: int, cap: float) -> None:
        for instance in self._instances:
            instance.begin((shortest, longest), slots, cap)

    def _decide(self, c: float) -> float:
        # Mix of what the two virtual jobs buy at cost c; moves both on.
        trusted, robust = (_virtual(instance, c) for instance in self._instances)
        return self.kappa * trusted + (1 - self.kappa) * robust

    def _settle(self, executed: float) -> None:
        """Nothing to note: the virtual jobs go on by themselves."""

    @property
    def forced(self) -> float:
        """Mix of what the virtual jobs had to buy."""
        trusted, robust = (instance.forced for instance in self._instances)
        return self.kappa * trusted + (1 - self.kappa) * robust


class AdvisedRoro(Algorithm):
    """RO-Advice: ``weight`` parts of an untrusted advice, the rest of `Roro`.

    Parameters
    ----------
    bounds
        What is known about costs.
    advice
        Feasible schedule, one amount per slot.
    weight
        Trust in the advice, 0 to 1; see `steps.advice_weight`.
    """

    def __init__(self, bounds: CostBounds, advice: Sequence[float], weight: float) -> None:
        super().__init__(bounds)
        self.advice = tuple(float(a) for a in advice)
        self.weight = _fraction(weight, "weight")
        self._robust = Roro(bounds)
        self._slot = 0

    def _open(self, shortest: float, longest: float, slots: int, cap: float) -> None:
        check_advice(self.advice, longest, slots, cap)
        self._robust.begin(longest, slots, cap)
        self._slot = 0

    def _decide(self, c: float) -> float:
        # Mix of the advice and of what RORO buys at cost c; moves RORO on.
        robust = _virtual(self._robust, c)
        advised = self.advice[self._slot]
        self._slot += 1
        return self.weight * advised + (1 - self.weight) * robust

    def _settle(self, executed: float) -> None:
        """Nothing to note: the virtual job goes on by itself."""

    @property
    def forced(self) -> float:
        """What the mix had to buy because RORO had to."""
        return (1 - self.weight) * self._robust.forced


class Clip(Algorithm):
    """CLIP in one dimension: a threshold purchase held to ``1 + epsilon`` times the advice's cost.

    The threshold has ratio `gamma` and moves with the *pseudo-utilisation*, the part of the
    purchases that the threshold itself wanted. In each slot the purchase is moved into the
    interval in which cost so far, plus the return to the advice, plus the rest at the best and the
    worst cost, stays within the allowance. No guarantee of ours; the paper proves one for its own
    statement of the constraint, of which this is a restatement.

    Parameters
    ----------
    bounds
        What is known about costs.
    advice
        Feasible schedule, one amount per slot.
    epsilon
        Loss allowed against good advice, in ``[0, alpha - 1]``.
    """

    def __init__(self, bounds: CostBounds, advice: Sequence[float], epsilon: float) -> None:
        super().__init__(bounds)
        self.advice = tuple(float(a) for a in advice)
        self.epsilon = epsilon
        self.gamma = gamma(bounds.L, bounds.U, bounds.beta, epsilon)

    def _open(self, shortest: float, longest: float, slots: int, cap: float) -> None:
        check_advice(self.advice, longest, slots, cap)
        b = self.bounds
        self._curve = thresholds.roro_curve(b.L, b.U, b.beta, longest, self.gamma)
        self._work, self._slots, self._cap = longest, slots, cap
        self._slot = 0
        self._done = self._rate = self._pseudo = self._spent = self._forced = 0.0
        self._advised = self._advised_before = self._advice_cost = 0.0
        self._cost_now = self._wanted = self._asked = 0.0

    def _decide(self, c: float) -> float:
        b = self.bounds
        self._cost_now = c = b.clip(c)
        advised = self.advice[self._slot]
        self._advised += advised
        self._advice_cost += c * advised + b.beta * abs(advised - self._advised_before)
        self._advised_before = advised
        left = self._work - self._done
        self._wanted = self._asked = 0.0
        if left <= DONE * self._work:
            return 0.0
        most = min(self._cap, left)
        self._wanted = step(self._curve, c, self._pseudo, self._rate, b.beta, most)
        behind = self._advised - self._done
        fair = self._advice_cost + b.beta * advised + (self._work - self._advised) * b.L
        rest = self._spent + b.beta * advised + left * b.L
        slack = SLACK * b.U * self._work  # rounding must not close the interval around the advice
        low, high = level_set(
            (c - b.L, b.beta, b.U - b.L),
            (self._rate, advised, behind),
            (1 + self.epsilon) * fair - rest + slack,
            most,
        )
        self._asked = min(max(self._wanted, low), high)
        later = (self._slots - self._slot - 1) * self._cap
        return max(self._asked, least_purchase(left, later, self._cap))

    def _settle(self, executed: float) -> None:
        self._spent += self._cost_now * executed + self.bounds.beta * abs(executed - self._rate)
        self._pseudo += min(self._wanted, executed)
        self._forced += max(0.0, executed - self._asked)
        self._done += executed
        self._rate = executed
        self._slot += 1

    @property
    def forced(self) -> float:
        """Work bought so far beyond threshold and allowance."""
        return self._forced


def within_lengths(predicted: float | None, shortest: float, longest: float) -> float:
    """Predicted length moved into [shortest, longest]; without a prediction, the longest.

    Raises
    ------
    InputError
        When it is not a number.
    """
    if predicted is None:
        return longest
    if math.isnan(predicted):
        raise InputError(Flaw("is not a number", field="predicted", value=predicted))
    return min(max(predicted, shortest), longest)


def _fraction(value: float, name: str) -> float:
    if not 0.0 <= value <= 1.0:
        raise InputError(Flaw("is out of range", field=name, value=value, allowed="0 to 1"))
    return float(value)


def _virtual(algorithm: Algorithm, c: float) -> float:
    """Decide and execute as decided."""
    x = algorithm.decide(c)
    algorithm.settle(x)
    return x
