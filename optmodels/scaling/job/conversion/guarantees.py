"""What is proven about each conversion algorithm, as data that can be evaluated.

A `Guarantee` names its assumptions, its ratio and its additive term, and gives for one finished
run the *certified limit*: the most the run can have cost, given the offline optimum of the same
job. Where an assumption does not hold for the run there is no limit, and `broken` says why.

The additive term deserves a word. A compulsory purchase (the part ``q`` that the threshold did not
want) pays its own ramp up and down, ``2 beta q``, which the published ratio ``alpha`` neglects:
the raw ratio of RORO can exceed alpha by up to a factor ``1 + 2 beta/U``. Hence
``cost <= alpha OPT + 2 beta q``, which follows from summing the per-slot inequality
``c x + beta |x - x_prev| <= int phi + beta x_prev`` (the decision is no worse than x = 0); or the
threshold of RORO+, whose ratio contains that ramp. Both are our derivations. All limits are
checked on thousands of adversarial runs in ``tests/scaling/job/test_thresholds_guarantees.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from optmodels.errors import UsageError
from optmodels.scaling.job.conversion import ratios
from optmodels.scaling.job.conversion.core import DONE
from optmodels.scaling.job.conversion.rate_limited import r_rate_limited

_RORO = 'Lechowicz et al., "Online Conversion with Switching Costs", arXiv 2310.20598'
_LACS = "LACS, arXiv 2404.15211"
_CLIP = 'Lechowicz et al., "Chasing Convex Functions with Long-term Constraints", arXiv 2402.14012'


@dataclass(frozen=True)
class RunFacts:
    """What a certified limit depends on: the job, the bounds, and how the run went.

    Parameters
    ----------
    L, U, beta
        Bounds and switching coefficient which the algorithm was given.
    least_cost, greatest_cost
        Extremes of the carbon costs that really came.
    work
        True length of the job.
    cap
        Rate cap.
    optimum
        Offline optimum of the true job.
    forced
        Work bought compulsorily (q).
    shortest, longest
        Range in which the length was known to lie; the true length if known.
    predicted
        Predicted length, where one was used.
    advice_cost, weight
        Cost of the advised schedule and trust in it, for RO-Advice.
    linear
        Whether the cost of every slot is linear in the work done.
    """

    L: float
    U: float
    beta: float
    least_cost: float
    greatest_cost: float
    work: float
    cap: float
    optimum: float
    forced: float = 0.0
    shortest: float | None = None
    longest: float | None = None
    predicted: float | None = None
    advice_cost: float | None = None
    weight: float | None = None
    linear: bool = True

    @property
    def range(self) -> tuple[float, float]:
        """Shortest and longest length that was thought possible."""
        shortest = self.work if self.shortest is None else self.shortest
        return shortest, self.work if self.longest is None else self.longest


@dataclass(frozen=True)
class Assumption:
    """One sentence that must be true, and the test of it for a run."""

    sentence: str
    holds: Callable[[RunFacts], bool]


@dataclass(frozen=True)
class Guarantee:
    """A proven limit on what an algorithm can cost, or the reason why there is none.

    Parameters
    ----------
    algorithm
        Name of the algorithm.
    problem_class
        Problem for which the statement is made.
    assumptions
        What must hold, each with its test.
    ratio
        Formula of the factor on the optimum.
    additive
        Formula of what comes on top.
    reference
        Source of the algorithm.
    proven_by
        Whose proof: the paper's, ours, or none.
    remark
        What the statement corrects, or why there is none.
    limit
        The formula; ``None`` where nothing is proven.
    """

    algorithm: str
    problem_class: str
    assumptions: tuple[Assumption, ...]
    ratio: str
    additive: str
    reference: str
    proven_by: Literal["paper", "ours", "none"]
    remark: str
    limit: Callable[[RunFacts], float] | None

    def broken(self, facts: RunFacts) -> tuple[str, ...]:
        """Sentences that are not true of this run; with none proven, the reason for that."""
        if self.limit is None:
            return (self.remark,)
        return tuple(a.sentence for a in self.assumptions if not a.holds(facts))

    def certified_limit(self, facts: RunFacts) -> float | None:
        """Most that the run can have cost, or ``None`` where an assumption does not hold."""
        if self.limit is None or self.broken(facts):
            return None
        return self.limit(facts)


def guarantee(algorithm: str) -> Guarantee:
    """Guarantee of an algorithm by its name.

    Raises
    ------
    UsageError
        Unknown name.
    """
    if algorithm not in GUARANTEES:
        raise UsageError.unknown("algorithm", algorithm, GUARANTEES)
    return GUARANTEES[algorithm]


# --------------------------------------------------------------------------------- assumptions
_BOUNDS = Assumption(
    "The bounds satisfy 0 < L <= U and 0 <= 2 beta < U - L (beta = 0 when L = U).",
    lambda f: ratios.assumption_holds(f.L, f.U, f.beta),
)
_INSIDE = Assumption(
    "Every carbon cost lies within [L, U].",
    lambda f: f.least_cost >= f.L and f.greatest_cost <= f.U,
)
_LINEAR = Assumption("The cost of a slot is linear in the work done.", lambda f: f.linear)
_WHOLE = Assumption(
    "The whole job fits into one slot (rate cap at least the length).",
    lambda f: f.cap >= f.work * (1 - DONE),
)
_WHOLE_LONGEST = Assumption(
    "The longest possible job fits into one slot.",
    lambda f: f.cap >= f.range[1] * (1 - DONE),
)
_KNOWN = Assumption("The length of the job is known.", lambda f: f.range == (f.work, f.work))
_WITHIN = Assumption(
    "The true length lies in the range that was thought possible.",
    lambda f: f.range[0] <= f.work <= f.range[1],
)
_PREDICTED = Assumption("A predicted length was used.", lambda f: f.predicted is not None)
_FREE = Assumption("Switching costs nothing (beta = 0).", lambda f: f.beta == 0)
_ADVICE = Assumption(
    "The cost of the advised schedule and its weight are known.",
    lambda f: f.advice_cost is not None and f.weight is not None,
)
_COMMON = (_BOUNDS, _INSIDE, _LINEAR)


# -------------------------------------------------------------------------------------- limits
def _roro(f: RunFacts) -> float:
    return ratios.alpha(f.L, f.U, f.beta) * f.optimum + 2 * f.beta * f.forced


def _robust(f: RunFacts) -> float:
    shortest, longest = f.range
    ratio = ratios.r_star(f.L, f.U, f.beta, shortest / longest)
    return ratio * f.optimum + 2 * f.beta * f.forced


def _predicted(f: RunFacts) -> float:
    shortest, longest = f.range
    guess = min(max(f.predicted or 0.0, shortest), longest)
    return ratios.eta(f.L, f.U, f.beta, f.work / guess) * f.optimum + 2 * f.beta * f.forced


def _advised(f: RunFacts) -> float:
    weight = f.weight or 0.0
    robust = (1 - weight) * ratios.alpha(f.L, f.U, f.beta) * f.optimum
    return weight * (f.advice_cost or 0.0) + robust + 2 * f.beta * f.forced


_TRADE = "minimise carbon and switching of one job of known length"
_HIDDEN = "minimise carbon and switching of one job whose length shows only when it ends"

_ALL = (
    Guarantee(
        "roro",
        _TRADE,
        (*_COMMON, _KNOWN, _WHOLE),
        "alpha = 1 / (1 - 2 beta/U + W((2 beta/U + L/U - 1) exp(2 beta/U - 1)))",
        "2 beta q, with q the work bought compulsorily",
        _RORO,
        "ours",
        "The paper proves the ratio alpha without the ramp of the compulsory purchase; with it "
        "the raw ratio can exceed alpha, and the additive term is our correction.",
        _roro,
    ),
    Guarantee(
        "roro-plus",
        _TRADE,
        (*_COMMON, _KNOWN, _WHOLE),
        "alpha+ = 1 / (s + W(-(U - L)/(U + 2 beta) exp(-s))), s = U/(U + 2 beta)",
        "0",
        _RORO,
        "ours",
        "RORO with a threshold that pays for the ramp of the compulsory purchase beforehand.",
        lambda f: ratios.alpha_plus(f.L, f.U, f.beta) * f.optimum,
    ),
    Guarantee(
        "roro-rate-limited",
        _TRADE,
        (*_COMMON, _KNOWN),
        "r_RL, computed; certified for the tabulated threshold at every point",
        "0",
        _RORO,
        "ours",
        "Holds under any uniform rate cap, where alpha fails (a ratio of 3.0568 against alpha = "
        "2.5532 is reached with L = 1, U = 10, beta = 0).",
        lambda f: r_rate_limited(f.L, f.U, f.beta) * f.optimum,
    ),
    Guarantee(
        "one-way-trading",
        _TRADE,
        (*_COMMON, _KNOWN, _WHOLE, _FREE),
        "alpha for beta = 0: 1 / (1 + W((L/U - 1)/e))",
        "0",
        'El-Yaniv et al., "Optimal Search and One-Way Trading Online Algorithms", 2001',
        "paper",
        "It ignores switching; with a switching cost nothing is proven.",
        lambda f: ratios.alpha(f.L, f.U, 0.0) * f.optimum,
    ),
    Guarantee(
        "simple-threshold",
        _TRADE,
        (),
        "none",
        "none",
        _RORO,
        "none",
        "A single price sqrt(L U) is sqrt(U/L)-competitive for one indivisible unit without "
        "switching cost; for this problem nothing is proven.",
        None,
    ),
    Guarantee(
        "roro-robust",
        _HIDDEN,
        (*_COMMON, _WITHIN, _WHOLE_LONGEST),
        "r*: smallest r >= alpha with int_0^rho phi_r + beta rho <= r rho L, "
        "rho = shortest/longest",
        "2 beta q, with q the work bought compulsorily",
        _LACS,
        "ours",
        "The threshold and its ratio are our derivation.",
        _robust,
    ),
    Guarantee(
        "roro-predicted",
        _HIDDEN,
        (*_COMMON, _WITHIN, _WHOLE, _PREDICTED),
        "eta(rho), rho = length/predicted: max(alpha, (U - alpha K (e^(rho/alpha) - 1)/rho)/L) "
        "for rho <= 1, alpha/rho + (1 - 1/rho) U/L above; K = U - U/alpha - 2 beta",
        "2 beta q, with q the work bought compulsorily",
        _LACS,
        "ours",
        "The error-dependent ratio is our derivation.",
        _predicted,
    ),
    Guarantee(
        "lacs",
        _HIDDEN,
        (),
        "none",
        "none",
        _LACS,
        "none",
        "The paper states consistency alpha + gamma and bounded robustness. The virtual jobs do "
        "not know the length, so the true job may end while one of them is past it and the other "
        "short of it: the mixed bound kappa eta + (1 - kappa) r* was exceeded by up to 10 % in "
        "adversarial runs, and is therefore not certified.",
        None,
    ),
    Guarantee(
        "doubling-roro",
        _HIDDEN,
        (),
        "none",
        "none",
        _LACS,
        "none",
        "Kept for comparison; its ratio is worse than r*, and we prove none.",
        None,
    ),
    Guarantee(
        "ro-advice",
        _TRADE,
        (*_COMMON, _KNOWN, _WHOLE, _ADVICE),
        "weight cost(advice) + (1 - weight) alpha OPT",
        "2 beta q, with q = (1 - weight) times what RORO bought compulsorily",
        _RORO,
        "ours",
        "By convexity of the cost. The paper's (1 + epsilon)-consistency and robustness follow "
        "for weight = (alpha - 1 - epsilon)/(alpha - 1), the ramps of RORO's compulsory purchase "
        "apart.",
        _advised,
    ),
    Guarantee(
        "clip",
        _TRADE,
        (),
        "gamma, see ratios.gamma (the paper's)",
        "none",
        _CLIP,
        "none",
        "The paper proves (1 + epsilon)-consistency and robustness gamma. Our one-dimensional "
        "statement of its constraint is a restatement which we have not proven.",
        None,
    ),
)

GUARANTEES: Mapping[str, Guarantee] = MappingProxyType({g.algorithm: g for g in _ALL})
"""Every algorithm's guarantee by name."""
