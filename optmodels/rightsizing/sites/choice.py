r"""The best k of N sites: three measures of how well sites go together, each a programme.

**Mean absolute deviation** (Konno and Yamazaki, "Mean-absolute deviation portfolio optimization
model and its applications to Tokyo stock market", Management Science 1991). The deviations of a
series from its own mean sum to zero, so those above the mean are half of all (Speranza, "Linear
programming models for portfolio optimization", Finance 1993): one row per slot is enough.

.. math::
    \min \frac{2}{k} \sum_t \pi_t d_t \quad
    \text{above}  && d_t &\ge \sum_s (p_{st} - \bar p_s) x_s && \forall t
    \text{choice} && \sum_s x_s &= k,\quad x \in \{0, 1\},\ d \ge 0

**Worst hours** (conditional value at risk; Rockafellar and Uryasev, "Optimization of conditional
value-at-risk", Journal of Risk 2000): the mean useful power of the worst share :math:`\beta` of
the time, where a site of size C_s uses :math:`\min(P_{st}, C_s)`.

.. math::
    \max \eta - \frac{1}{\beta} \sum_t \pi_t u_t \quad
    \text{shortfall} && u_t &\ge \eta - \sum_s \min(P_{st}, C_s)\, x_s && \forall t
    \text{choice}    && \sum_s x_s &= k,\quad x \in \{0, 1\},\ u \ge 0

**Variance** (Markowitz, "Portfolio selection", Journal of Finance 1952) of a mix with weights a,
none above 1/k. Equal weights on k sites are such a mix, so its optimum is a lower bound on the
variance of every choice of k sites.

.. math::
    \min \|R a\|^2 \quad \sum_s a_s = 1,\ 0 \le a_s \le 1/k,\ \sum_s \bar p_s a_s \ge m

where :math:`R^\top R` is the covariance of the sites; k and m are parameters.

The measures are from finance; to choose wind sites by them is ours.

==================  ===============  ======================================================
symbol              name             meaning, unit
==================  ===============  ======================================================
:math:`p_{st}`      ``share``        power as a share of the nameplate
:math:`\pi_t`       ``weight``       share of slot t in the time
:math:`x_s`         ``chosen``       whether site s is chosen
:math:`d_t`         ``above``        how far the chosen sites are above their mean
:math:`\eta, u_t`   ``threshold``,   level of the worst hours, and how far slot t is below it
                    ``shortfall``
==================  ===============  ======================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyomo.environ as pyo
from numpy.typing import ArrayLike

from optmodels.errors import UsageError, shorten
from optmodels.rightsizing.sites.complementarity import (
    amounts_of,
    check_share,
    mean_absolute_deviation,
    worst_mean,
)
from optmodels.rightsizing.sites.matrix import FloatArray, power_matrix, slot_weights
from optmodels.solver import check_not_worse, solve_model

if TYPE_CHECKING:
    import cvxpy as cp

_DECIMALS = 6
"""Coefficients are rounded to so many decimals: far smaller ones mislead a solver with integers."""
_ROUNDING = 0.5 * 10.0**-_DECIMALS


@dataclass(frozen=True)
class Choice:
    """Sites that were chosen, with their score recomputed from the data.

    Parameters
    ----------
    sites
        Names of the chosen sites, in the order of the columns.
    value
        Mean absolute deviation, or mean of the worst hours, of these sites.
    bound
        No choice of so many sites is better than this.
    seconds
        Wall time of the search [s].
    """

    sites: tuple[str, ...]
    value: float
    bound: float
    seconds: float


@cache
def deviation_formulation() -> pyo.AbstractModel:
    """Choose sites by mean absolute deviation, without any data in it."""
    m = pyo.AbstractModel(name="rightsizing.sites.deviation")
    _choice(m)
    m.deviation = pyo.Param(m.slots, m.sites)
    m.above = pyo.Var(m.slots, within=pyo.NonNegativeReals)

    @m.Constraint(m.slots, doc="above is at least how far the chosen sites exceed their mean")
    def above_mean(m: Any, t: int) -> Any:
        return m.above[t] >= sum(m.deviation[t, s] * m.chosen[s] for s in m.sites)

    @m.Objective(sense=pyo.minimize, doc="mean excess: half the mean absolute deviation, k times")
    def excess(m: Any) -> Any:
        return sum(m.weight[t] * m.above[t] for t in m.slots)

    return m


@cache
def worst_hours_formulation() -> pyo.AbstractModel:
    """Choose sites by the mean of their worst hours, without any data in it."""
    m = pyo.AbstractModel(name="rightsizing.sites.worst_hours")
    _choice(m)
    m.useful = pyo.Param(m.slots, m.sites)
    m.share = pyo.Param(doc="share of the time that counts as the worst")
    m.threshold = pyo.Var(within=pyo.Reals)
    m.shortfall = pyo.Var(m.slots, within=pyo.NonNegativeReals)

    @m.Constraint(m.slots, doc="shortfall is at least what is missing from the threshold")
    def below_threshold(m: Any, t: int) -> Any:
        used = sum(m.useful[t, s] * m.chosen[s] for s in m.sites)
        return m.shortfall[t] + used >= m.threshold

    @m.Objective(sense=pyo.maximize, doc="mean useful power of the worst hours")
    def worst(m: Any) -> Any:
        missing = sum(m.weight[t] * m.shortfall[t] for t in m.slots)
        return m.threshold - missing / m.share

    return m


def _choice(m: pyo.AbstractModel) -> None:
    """What both formulations share: slots with weights, and a choice of so many sites."""
    m.slots = pyo.Set(doc="slots")
    m.sites = pyo.Set(doc="sites that may be chosen")
    m.weight = pyo.Param(m.slots, doc="share of the slot in the time")
    m.count = pyo.Param(doc="sites to choose")
    m.chosen = pyo.Var(m.sites, within=pyo.Binary)

    @m.Constraint(doc="so many sites are chosen")
    def choice(m: Any) -> Any:
        return sum(m.chosen[s] for s in m.sites) == m.count


def choose_by_deviation(
    power: pd.DataFrame | ArrayLike,
    count: int,
    *,
    nameplate: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
) -> Choice:
    """Choose the sites whose mean varies least, by mean absolute deviation.

    Parameters
    ----------
    power
        Power by slot and site.
    count
        k: sites to choose.
    nameplate
        Nameplate of each site, in the unit of power; series are divided by it. Default: 1.
    weights
        Shares of the slots; by default all alike.
    time_limit_s, mip_gap
        Of the solver.

    Returns
    -------
    Choice
        ``value`` is the mean absolute deviation of the mean of the chosen series.

    Raises
    ------
    UsageError, InputError
        Unusable data or count.
    NoSolutionError
        None within the time limit.
    SolverError
        The solver's answer is worse than that of a local search.
    """
    values, names = power_matrix(power)
    values = values / amounts_of(nameplate, values.shape[1], positive=True)
    shares = slot_weights(weights, len(values))
    _check_count(count, names)
    deviation = values - shares @ values
    # Scaled to at most 1, so that rounding means the same for every unit.
    scale = float(np.abs(deviation).max()) or 1.0
    data = _data(shares, names, count) | {"deviation": np.round(deviation / scale, _DECIMALS)}

    def score(sites: Sequence[int]) -> float:
        return mean_absolute_deviation(values[:, list(sites)], shares)

    # Rounded deviations of k sites are off by at most k roundings, and half of the mean absolute
    # deviation is their mean excess.
    factor, slack = 2 * scale / count, 2 * scale * _ROUNDING
    return _chosen(
        deviation_formulation(), data, names, score, "minimize", (factor, slack), count,
        time_limit_s, mip_gap,
    )  # fmt: skip


def choose_by_worst_hours(
    power: pd.DataFrame | ArrayLike,
    count: int,
    *,
    sizes: ArrayLike,
    share: float = 0.05,
    weights: ArrayLike | None = None,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
) -> Choice:
    """Choose the sites whose useful power is highest in the worst hours.

    Parameters
    ----------
    power
        Power by slot and site.
    count
        k: sites to choose.
    sizes
        C_s: power that the GPUs of each site can use, in the unit of power.
    share
        β: share of the time that counts as the worst.
    weights
        Shares of the slots; by default all alike.
    time_limit_s, mip_gap
        Of the solver.

    Returns
    -------
    Choice
        ``value`` is the mean useful power of the worst hours.

    Raises
    ------
    UsageError, InputError
        Unusable data, count or share.
    NoSolutionError
        None within the time limit.
    SolverError
        The solver's answer is worse than that of a local search.
    """
    values, names = power_matrix(power)
    useful = np.minimum(values, amounts_of(sizes, values.shape[1]))
    shares = slot_weights(weights, len(values))
    _check_count(count, names)
    check_share(share)
    scale = float(useful.max()) or 1.0
    data = _data(shares, names, count) | {
        "useful": np.round(useful / scale, _DECIMALS),
        "share": float(share),
    }

    def score(sites: Sequence[int]) -> float:
        return worst_mean(useful[:, list(sites)].sum(axis=1), share, shares)

    factor, slack = scale, count * scale * _ROUNDING
    return _chosen(
        worst_hours_formulation(), data, names, score, "maximize", (factor, slack), count,
        time_limit_s, mip_gap,
    )  # fmt: skip


def variance_problem(
    power: pd.DataFrame | ArrayLike, weights: ArrayLike | None = None
) -> cp.Problem:
    """The mix of least variance as a CVXPY problem whose limits are parameters.

    Parameters
    ----------
    power
        Power (or share of the nameplate) by slot and site.
    weights
        Shares of the slots; by default all alike.

    Returns
    -------
    cvxpy.Problem
        Variable ``mix`` (S,); parameters ``largest`` (1/k: largest weight of a site) and
        ``least_mean`` (m). It is DPP: an `optmodels.solver.LiveProblem` sweeps over both.

    Raises
    ------
    InputError
        Unusable power or weights.
    """
    import cvxpy as cp

    values, _ = power_matrix(power)
    shares = slot_weights(weights, len(values))
    mean = shares @ values
    # The triangular root of the covariance is S × S, however many slots there are.
    root = np.linalg.qr((values - mean) * np.sqrt(shares)[:, None], mode="r")
    mix = cp.Variable(values.shape[1], nonneg=True, name="mix")
    largest = cp.Parameter(nonneg=True, name="largest", value=1.0)
    least_mean = cp.Parameter(nonneg=True, name="least_mean", value=0.0)
    return cp.Problem(
        cp.Minimize(cp.sum_squares(root @ mix)),
        [cp.sum(mix) == 1, mix <= largest, mean @ mix >= least_mean],
    )


def _chosen(
    formulation: pyo.AbstractModel,
    data: dict[str, Any],
    names: tuple[str, ...],
    score: Callable[[Sequence[int]], float],
    sense: str,
    scaling: tuple[float, float],
    count: int,
    time_limit_s: float | None,
    mip_gap: float,
) -> Choice:
    """Solve, recompute the score from the data, and distrust what a local search beats."""
    sign = 1.0 if sense == "minimize" else -1.0
    start = local_search(lambda sites: sign * score(sites), len(names), count)
    warm = {"chosen": {s: float(s in start) for s in range(len(names))}}
    solution = solve_model(
        formulation, data=data, time_limit_s=time_limit_s, mip_gap=mip_gap, warm_start=warm
    ).require()
    chosen = solution.values["chosen"].to_numpy() > 0.5
    sites = np.flatnonzero(chosen)
    known, value = score(start), score(list(sites))
    factor, slack = scaling
    if solution.status.name == "OPTIMAL":
        # Both scores carry the rounding of the coefficients.
        tolerance = mip_gap + 2 * slack / factor
        check_not_worse(value / factor, known / factor, sense, "Local search", tolerance=tolerance)
    if sign * known < sign * value:
        sites, value = np.array(start), known
    bound = float("-inf") * sign if solution.bound is None else solution.bound * factor
    return Choice(
        tuple(names[s] for s in sites),
        value,
        bound - sign * slack,
        float(sum(solution.seconds.values())),
    )


def local_search(score: Callable[[Sequence[int]], float], sites: int, count: int) -> list[int]:
    """A good choice: the best site after the other, then exchanges as long as they help.

    Parameters
    ----------
    score
        What is to be small, of a list of positions.
    sites, count
        How many there are, and how many to choose.
    """
    chosen: list[int] = []
    for _ in range(count):
        free = [s for s in range(sites) if s not in chosen]
        chosen.append(min(free, key=lambda s: score([*chosen, s])))
    best = score(chosen)
    improved = True
    while improved:
        improved = False
        for place in range(count):
            for s in range(sites):
                if s in chosen:
                    continue
                other = [*chosen[:place], s, *chosen[place + 1 :]]
                value = score(other)
                if value < best - 1e-12 * abs(best):
                    chosen, best, improved = other, value, True
    return sorted(chosen)


def _data(shares: FloatArray, names: tuple[str, ...], count: int) -> dict[str, Any]:
    return {
        "slots": np.arange(len(shares)),
        "sites": np.arange(len(names)),
        "weight": shares,
        "count": float(count),
    }


def _check_count(count: int, names: tuple[str, ...]) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= len(names):
        raise UsageError(
            f"count is {shorten(count)}; allowed: an integer from 1 to {len(names)}, the number "
            "of sites."
        )
