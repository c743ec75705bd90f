r"""Choosing one configuration for each application, of very many, with proof.

Applications share the memory of servers and nothing else. Prices :math:`\pi_s \ge 0` on memory
split the choice: each application takes the configuration of the largest reduced gain
:math:`g_{a\gamma} - \pi r_{a\gamma}`, and the sum of these and of :math:`\pi R` is an upper bound
on what all can gain. The best prices are the duals of the linear relaxation, which is solved on a
few configurations; others are added as long as their reduced gain is larger than that of their
application's best. Nobody needs to look at most of them again: a configuration whose reduced gain
is behind by more than the distance between bound and best known choice is in no better choice. The
integer programme over the others is exact.

(Column generation and fixing by reduced costs are classical; here the columns are given in full, so
that every step is a matrix product.)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from optmodels.ensembles.selection.accuracies import IntArray
from optmodels.ensembles.selection.configurations import Columns
from optmodels.ensembles.selection.tasks import TOLERANCE
from optmodels.policy import FloatArray
from optmodels.solver import Solution, solve_model

#: Configurations in one integer programme, at most.
MOST_COLUMNS = 60_000
#: Configurations of an application that enter at once.
_ENTERING = 100
#: Rounds of pricing, at most: every one of them has a bound already.
_ROUNDS = 100
#: How much less exact, and in which part of the time, the first integer programme is solved: it is
#: there to know a good choice, and proves nothing.
_FIRST_GAP, _FIRST_SHARE = 10.0, 4.0
#: What a gain may be wrong by.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Limits:
    """Limits of the solver."""

    time_limit_s: float | None = None
    mip_gap: float = 1e-4
    seed: int = 0
    options: Mapping[str, object] | None = None

    def rest(self, started: float) -> Limits:
        """The same with what is left of the time."""
        if self.time_limit_s is None:
            return self
        left = self.time_limit_s - (time.perf_counter() - started)
        return replace(self, time_limit_s=max(left, 0.1))


@dataclass(frozen=True)
class Choice:
    """A choice and what no choice exceeds.

    Attributes
    ----------
    numbers
        Configuration of each application, -1 for none; None where the search found no choice that
        is better than the known one.
    gain
        Its gain.
    bound
        Proven upper bound on the gain of every choice.
    """

    numbers: tuple[int, ...] | None
    gain: float
    bound: float


def choose(
    columns: Sequence[Columns],
    free_mb: FloatArray,
    known: float,
    limits: Limits,
    nothing: float = 0.0,
) -> Choice:
    """Find the choice of configurations with the largest gain.

    Parameters
    ----------
    columns
        Configurations of each application.
    free_mb
        Free memory of each server [MB].
    known
        Gain of a choice that is known: others are not looked for.
    limits
        Limits of the solver; the gap is relative to the objective.
    nothing
        The objective without any gain: what gains are taken off.
    """
    started = time.perf_counter()
    if not any(len(c.gains) for c in columns):
        return Choice(tuple(-1 for _ in columns), 0.0, 0.0)
    parts = [
        np.divide(c.memory_mb, free_mb, out=np.zeros_like(c.memory_mb), where=c.memory_mb > 0)
        for c in columns
    ]
    active, price, bound = _priced(columns, parts, free_mb, limits)
    best, best_gain = None, known
    # The solver's gap is relative to the gain, ours to what is left of the objective.
    left = abs(nothing - min(bound, nothing)) if nothing else abs(bound)
    inner = replace(limits, mip_gap=limits.mip_gap * left / max(abs(bound), _ROUNDING))
    rounded, gain = _rounded(columns, parts, price)
    if gain > best_gain:
        best, best_gain = rounded, gain
    first = replace(inner, mip_gap=_FIRST_GAP * inner.mip_gap)
    if limits.time_limit_s is not None:
        first = replace(first, time_limit_s=limits.time_limit_s / _FIRST_SHARE)
    found, gain, _ = _integer(columns, active, free_mb, first)
    if found is not None and gain > best_gain:
        best, best_gain = found, gain
    if bound - best_gain <= max(limits.mip_gap * left, _ROUNDING):
        return Choice(best, best_gain, max(bound, best_gain))
    reduced = [c.gains - part @ price for c, part in zip(columns, parts, strict=True)]
    kept = []
    for own in reduced:
        lead = max(0.0, float(own.max(initial=0.0)))
        kept.append(np.flatnonzero(own >= lead - (bound - best_gain) - _ROUNDING))
    if sum(len(k) for k in kept) > MOST_COLUMNS:
        return Choice(best, best_gain, bound)
    found, gain, proven = _integer(columns, kept, free_mb, inner.rest(started), start=best)
    if found is not None and gain > best_gain:
        best, best_gain = found, gain
    # What was left out is in no choice that gains more than the best one known before.
    return Choice(best, best_gain, max(best_gain, min(bound, proven)))


def _priced(
    columns: Sequence[Columns], parts: Sequence[FloatArray], free_mb: FloatArray, limits: Limits
) -> tuple[list[IntArray], FloatArray, float]:
    """Configurations of an optimal mixture, prices of memory, and the bound that they prove."""
    from optmodels.ensembles.selection.model import column_data, column_formulation

    price = np.zeros(len(free_mb))
    bound = np.inf
    best_price = price
    active = [_first(c, part) for c, part in zip(columns, parts, strict=True)]
    for _ in range(_ROUNDS):
        data = column_data(columns, active, free_mb)
        solution = solve_model(
            column_formulation(relaxed=True), data=data, seed=limits.seed
        ).require()
        dual = solution.duals["memory"]
        price = np.zeros(len(free_mb))
        # A minimum rises by the dual per unit of room: it falls, if anything.
        price[dual.index.to_numpy(dtype=np.int64)] = np.maximum(0.0, -dual.to_numpy())
        total = (1 + TOLERANCE / 2) * float(price.sum())
        entered = False
        for a, (own, part) in enumerate(zip(columns, parts, strict=True)):
            reduced = own.gains - part @ price
            lead = max(0.0, float(reduced.max(initial=0.0)))
            total += lead
            inside = max(0.0, float(reduced[active[a]].max(initial=0.0)))
            if lead > inside + _ROUNDING:
                ahead = np.flatnonzero(reduced > inside + _ROUNDING)
                order = ahead[np.argsort(-reduced[ahead], kind="stable")[:_ENTERING]]
                active[a] = np.union1d(active[a], order)
                entered = True
        if total < bound:
            bound, best_price = total, price
        if not entered:
            break
    return active, best_price, bound


def _rounded(
    columns: Sequence[Columns], parts: Sequence[FloatArray], price: FloatArray
) -> tuple[tuple[int, ...], float]:
    """A good choice from prices: each application takes what is best of what fits, by turns.

    First by reduced gains, so that the first ones leave room; then by gains, given what the others
    take, until nobody changes.
    """
    found = [-1] * len(columns)
    used = np.zeros(len(price))
    for priced in (True, False):
        changed = True
        while changed:
            changed = False
            for a, (own, part) in enumerate(zip(columns, parts, strict=True)):
                if not len(own.gains):
                    continue
                before = used - part[found[a]] if found[a] >= 0 else used
                values = own.gains - part @ price if priced else own.gains
                fits = np.all(before + part <= 1 + TOLERANCE / 2, axis=1)
                values = np.where(fits, values, 0.0)
                best = int(np.argmax(values))
                current = float(values[found[a]]) if found[a] >= 0 else 0.0
                if values[best] > current + _ROUNDING:
                    found[a], changed = best, True
                    used = before + part[best]
    gain = sum(float(own.gains[n]) for own, n in zip(columns, found, strict=True) if n >= 0)
    return tuple(found), gain


def _first(columns: Columns, part: FloatArray) -> IntArray:
    """Configurations to begin with: those of the most gain, and of the most gain per memory."""
    if not len(columns.gains):
        return np.zeros(0, dtype=np.int64)
    rich = np.argsort(-columns.gains, kind="stable")[:_ENTERING]
    lean = np.argsort(-columns.gains / (part.sum(axis=1) + 0.01), kind="stable")[:_ENTERING]
    return np.union1d(rich, lean)


def _integer(
    columns: Sequence[Columns],
    chosen: Sequence[IntArray],
    free_mb: FloatArray,
    limits: Limits,
    start: tuple[int, ...] | None = None,
) -> tuple[tuple[int, ...] | None, float, float]:
    """Best choice among these configurations: numbers, gain, bound; a known one to begin with."""
    from optmodels.ensembles.selection.model import column_data, column_formulation

    solution = solve_model(
        column_formulation(),
        data=column_data(columns, chosen, free_mb),
        time_limit_s=limits.time_limit_s,
        mip_gap=limits.mip_gap,
        seed=limits.seed,
        options=limits.options,
        warm_start=None if start is None else {"chosen": _started(start, chosen)},
    )
    if str(solution.status) not in ("optimal", "feasible", "no_solution_at_limit"):
        solution.require()
    proven = np.inf if solution.bound is None else -float(solution.bound)
    if solution.objective is None:
        return None, -np.inf, proven
    return _numbers(solution, chosen), -float(solution.objective), proven


def _started(start: tuple[int, ...], chosen: Sequence[IntArray]) -> pd.Series[float]:
    """A known choice as values of the programme, as far as its configurations are in there."""
    flags = [(own == number).astype(np.float64) for own, number in zip(chosen, start, strict=True)]
    return pd.Series(np.concatenate(flags))


def _numbers(solution: Solution, chosen: Sequence[IntArray]) -> tuple[int, ...]:
    """Configuration of each application that a solution has chosen."""
    taken = solution.values["chosen"].to_numpy() > 1 / 2
    found, start = [], 0
    for own in chosen:
        here = np.flatnonzero(taken[start : start + len(own)])
        found.append(int(own[here[0]]) if len(here) else -1)
        start += len(own)
    return tuple(found)
