"""Warm backups of the critical applications: the best, by three ways that must agree.

==========  ========================================================================================
method      what it is
==========  ========================================================================================
"milp"      the formulation of `optmodels.ensembles.failover.warm_model` on groups of like
            applications, solved by HiGHS from the greedy backups
"exact"     all ways to place backups, application by application, without those that cannot be
            better than the best one known; for a dozen applications, and without any solver
"greedy"    the smallest backups of as many applications as possible, worst fit, by weight per
            megabyte, and then upgrades by accuracy per megabyte
==========  ========================================================================================

==================  ================================================================================
mode                what is best
==================  ================================================================================
"weighted"          the greatest sum of weight times accuracy relative to the primary's
"coverage-first"    the most applications with a backup, and of these ways the greatest sum
"strict"            as "weighted", and every critical application must have one
==================  ================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optmodels.ensembles.failover.actions import NONE, Warm, no_warm
from optmodels.ensembles.failover.greedy import Budget, greedy_backups
from optmodels.ensembles.failover.grouping import Groups, dealt_out, groups_of
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.errors import InfeasibleError, SolverError, UsageError

IntArray = NDArray[np.int64]

METHODS = ("milp", "exact", "greedy")
MODES = ("weighted", "coverage-first", "strict")

#: Most combinations of a backup and a server, over all applications, that "exact" looks through.
LARGEST_EXACT = 10_000_000
#: Relative difference between two computations of one number that rounding, or the tolerances of
#: the solver, explain.
_ROUNDING = 1e-6
_SHOWN = 10


@dataclass(frozen=True)
class Backups:
    """Warm backups and what is proven of them.

    Attributes
    ----------
    warm
        The backups.
    value
        Their sum of weight times relative accuracy.
    count
        Applications that have one.
    bound
        No backups have a greater `value`; with coverage first, none that are as many. None where
        nothing is proven.
    count_bound
        No more applications than this can have one; None where nothing is proven.
    status
        "optimal" or "feasible".
    groups
        Number of groups of like applications.
    seconds
        Wall time.
    """

    warm: Warm
    value: float
    count: int
    bound: float | None
    count_bound: int | None
    status: str
    groups: int
    seconds: float

    @property
    def gap(self) -> float | None:
        """Relative distance between `value` and `bound`, None without a bound."""
        if self.bound is None:
            return None
        return max(0.0, self.bound - self.value) / max(abs(self.value), 1e-12)


def value_of(instance: FailoverInstance, warm: Warm) -> float:
    """Sum of weight times accuracy relative to the primary's."""
    placed = warm.placed
    quality = instance.candidates.quality[warm.candidate[placed]]
    return float(instance.weight[placed] @ quality)


def place_backups(
    instance: FailoverInstance,
    *,
    mode: str = "weighted",
    method: str = "milp",
    headroom: float | None = None,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> Backups:
    """Place warm backups of the critical applications.

    Parameters
    ----------
    instance
        The question.
    mode, method
        What is best, and how it is found; see the module.
    headroom
        Share of the free capacity that is left to cold backups, 0 to 1; by default the instance's.
    time_limit_s, mip_gap, seed, options
        Of the solver; the time is for both solves where coverage comes first.

    Raises
    ------
    UsageError
        An unknown mode or method, a headroom out of range, or too many ways for "exact".
    InfeasibleError
        In the strict mode, not every critical application can have a backup.
    SolverError
        The solver's answer is worse than the greedy one.
    """
    if mode not in MODES:
        raise UsageError.unknown("mode", mode, MODES)
    if method not in METHODS:
        raise UsageError.unknown("method", method, METHODS)
    share = float(instance.parameters.headroom if headroom is None else headroom)
    if not 0 <= share <= 1:
        raise UsageError(f"The headroom is {share}; allowed: 0 to 1.")
    if method != "milp" and options:
        raise UsageError(f"The method '{method}' has no solver options. Fix: use 'milp'.")
    started = time.perf_counter()
    wanted = np.flatnonzero(instance.critical)
    groups = groups_of(instance, wanted)
    known = greedy_backups(instance, share)
    count, bound, count_bound, status, warm = None, None, None, "feasible", known
    if method == "exact":
        warm = _exhaustive(instance, share, wanted, count_first=mode != "weighted")
        status, bound, count = "optimal", value_of(instance, warm), len(warm.placed)
        count_bound = None if mode == "weighted" else count
    elif method == "milp" and len(wanted):
        search = _Search(instance, groups, share, time_limit_s, mip_gap, seed, options)
        warm, bound, count_bound, status = search.run(mode, known, len(wanted))
    count = len(warm.placed)
    if mode == "strict" and count < len(wanted):
        if method == "greedy" or status != "optimal":
            raise InfeasibleError(
                f"No backups for all {len(wanted)} critical applications of {instance.name} were "
                "found; whether there are any is not proven.",
                _reasons(instance, warm),
            )
        raise InfeasibleError(
            f"Not all {len(wanted)} critical applications of {instance.name} can have a warm "
            "backup.",
            _reasons(instance, warm),
        )
    if not len(wanted):
        bound, count_bound, status = 0.0, 0, "optimal"
    seconds = time.perf_counter() - started
    value = value_of(instance, warm)
    return Backups(warm, value, count, bound, count_bound, status, len(groups.members), seconds)


def _reasons(instance: FailoverInstance, warm: Warm) -> list[str]:
    """Which critical applications lack a backup, and why."""
    options = instance.candidates
    without = np.flatnonzero(instance.critical & (warm.candidate == NONE)).tolist()
    reasons = []
    for a in without[:_SHOWN]:
        own = list(options.of(a))
        name = instance.applications[a]
        if instance.may_stand[own].any():
            what = "there is no room left beside the backups of the others"
        else:
            what = "no server away from its primary is fast enough and can hold any variant"
        reasons.append(f"application {name}: {what}")
    if len(without) > _SHOWN:
        reasons.append(f"and {len(without) - _SHOWN} more applications")
    return reasons


# -------------------------------------------------------------------------------------- exact
def _exhaustive(
    instance: FailoverInstance, headroom: float, wanted: IntArray, *, count_first: bool
) -> Warm:
    """The best backups by looking through all of them."""
    options = instance.candidates
    choices = []
    ways = 1.0
    for a in wanted.tolist():
        may = instance.may_stand
        own = [(c, k) for c in options.of(a) for k in np.flatnonzero(may[c]).tolist()]
        own.sort(key=lambda pair: -options.quality[pair[0]])
        choices.append(own)
        ways *= len(own) + 1
    if ways > LARGEST_EXACT:
        raise UsageError(
            f"{instance.name} has {ways:.3g} ways to place warm backups; 'exact' looks through at "
            f"most {LARGEST_EXACT:,}. Fix: use 'milp'."
        )
    gain = [
        instance.weight[a] * max((options.quality[c] for c, _ in own), default=0.0)
        for a, own in zip(wanted, choices, strict=True)
    ]
    hope = np.append(np.cumsum(gain[::-1])[::-1], 0.0)
    budget = Budget(instance, headroom)
    best: list[Any] = [(-1, -1.0), no_warm(len(instance.applications))]
    warm = no_warm(len(instance.applications))

    def look(position: int, count: int, value: float) -> None:
        most = (count + len(wanted) - position if count_first else 0, value + hope[position])
        if most <= best[0]:
            return
        if position == len(wanted):
            best[:] = [
                (count if count_first else 0, value),
                Warm(warm.candidate.copy(), warm.server.copy()),
            ]
            return
        a = int(wanted[position])
        for c, k in choices[position]:
            if budget.room(c)[k]:
                budget.take(c, k)
                warm.candidate[a], warm.server[a] = c, k
                look(position + 1, count + 1, value + instance.weight[a] * options.quality[c])
                warm.candidate[a], warm.server[a] = NONE, NONE
                budget.take(c, k, -1)
        look(position + 1, count, value)

    look(0, 0, 0.0)
    found: Warm = best[1]
    return found


# --------------------------------------------------------------------------------------- milp
class _Search:
    """The formulation, solved for one mode."""

    def __init__(
        self,
        instance: FailoverInstance,
        groups: Groups,
        headroom: float,
        time_limit_s: float | None,
        mip_gap: float,
        seed: int,
        options: Mapping[str, object] | None,
    ) -> None:
        self._instance, self._groups, self._headroom = instance, groups, headroom
        self._mip_gap, self._seed, self._options = mip_gap, seed, options
        self._end = None if time_limit_s is None else time.perf_counter() + time_limit_s

    def run(
        self, mode: str, known: Warm, wanted: int
    ) -> tuple[Warm, float | None, int | None, str]:
        """Backups, bound on their value, bound on their number, status."""
        if mode == "weighted":
            warm, bound, status = self._solve(known)
            return warm, bound, None, status
        # The most that can be reached may be known without a solver.
        most, covered, proven = wanted, known, "optimal"
        if len(known.placed) < wanted:
            covered, count_bound, proven = self._solve(known, count_only=True)
            most = int(np.floor(count_bound + _ROUNDING))
        least = len(covered.placed)
        if mode == "strict" and least < wanted:
            return covered, None, most, proven
        warm, bound, status = self._solve(covered, least=least)
        return warm, bound, most, status if proven == "optimal" else "feasible"

    def _solve(
        self, known: Warm, *, count_only: bool = False, least: int = 0
    ) -> tuple[Warm, float, str]:
        from optmodels.ensembles.failover.warm_model import formulation, model_data
        from optmodels.solver import check_not_worse, seconds_left, solve_model

        instance = self._instance
        data = model_data(
            instance, self._groups, self._headroom, count_only=count_only, least=least
        )
        solution: Any = solve_model(
            formulation(),
            data=data,
            time_limit_s=seconds_left(self._end),
            # To count is to find a whole number.
            mip_gap=0.5 / max(len(instance.applications), 1) if count_only else self._mip_gap,
            seed=self._seed,
            warm_start={"backups": self._start(data, known)},
            options=self._options,
        ).require()
        values = solution.values["backups"]
        counts = {
            (int(g), int(j), int(k)): int(count)
            for (g, j, k), count in zip(
                values.index, np.rint(values.to_numpy()).tolist(), strict=True
            )
            if count > 0
        }
        warm = dealt_out(instance, self._groups, counts)
        status = str(solution.status)

        def measure(found: Warm) -> float:
            return float(len(found.placed)) if count_only else value_of(instance, found)

        found, best = measure(warm), measure(known)
        slack = max(_ROUNDING, self._mip_gap)
        if status == "optimal":
            check_not_worse(found, best, "maximize", "Warm backups", tolerance=slack)
        if solution.bound < best * (1 - _ROUNDING) - _ROUNDING:
            raise SolverError(
                f"The solver claims that no backups of {instance.name} are worth more than "
                f"{solution.bound:.12g}, but greedy ones are worth {best:.12g}."
            )
        return (warm if found >= best else known), max(float(solution.bound), found, best), status

    def _start(self, data: Mapping[str, Any], known: Warm) -> dict[tuple[int, int, int], float]:
        """Known backups as a first solution."""
        start = dict.fromkeys(zip(*(part.tolist() for part in data["places"]), strict=True), 0.0)
        options = self._instance.candidates
        for g, members in enumerate(self._groups.members):
            for a in members.tolist():
                if known.candidate[a] != NONE:
                    j = int(known.candidate[a] - options.start[a])
                    start[g, j, int(known.server[a])] += 1.0
        return start
