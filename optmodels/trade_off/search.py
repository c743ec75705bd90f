"""The search for a front: which weighted sums to minimise next.

Known as dichotomic search or non-inferior set estimation (Cohon, Church and Sheer, "Generating
multiobjective trade-offs", Water Resources Research 1979): start from the two ends, then always
weigh the objectives such that the two ends of the least known edge are equally good. Either a
better point comes back and splits the edge, or its bound proves that there is none. What is ours
is the bookkeeping of bounds, so that a time limit or a gap of the solver leaves a proof of what
is still open.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from optmodels import registry
from optmodels.api import load
from optmodels.errors import NoSolutionError, SolverError, UsageError
from optmodels.instance import Instance
from optmodels.policy import FloatArray
from optmodels.registry import Problem, Weighted
from optmodels.trade_off.front import Frontier
from optmodels.trade_off.geometry import (
    IntArray,
    edge_weights,
    lower_hull,
    non_dominated,
    outer_corners,
    shortfalls,
)

#: Share of the range of an objective below which a difference is not worth a search.
TOLERANCE = 1e-6
#: A front whose range is below this share of the objectives themselves counts as one point.
POINT = 1e-6
#: Weight of the second objective where only ties are to be broken, as a share of its range.
_TIE_BREAKS = (1e-4, 1e-6, 1e-8)
#: Relative error of plans and bounds that limits of a solver explain.
_AGREEMENT = 1e-6


def frontier(
    instance: Instance | str | Path,
    objectives: Sequence[str] = ("energy_kwh", "carbon_g"),
    *,
    points: int = 20,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
) -> Frontier:
    """Find the trade-off between two objectives of an instance, with a proof of its accuracy.

    Parameters
    ----------
    instance
        An instance, or the path of its folder.
    objectives
        Two objectives of the problem by name, such as ``energy_kwh`` and ``carbon_g`` (see
        ``optmodels list``).
    points
        Most points that the front may have, at least 2. A front with few corners has fewer.
    time_limit_s
        Limit on the time of the whole search [s]. The two ends have to be found within it.
    mip_gap
        Relative gap at which a single search may stop, where decisions are whole numbers.

    Returns
    -------
    Frontier
        Points that no other one beats, with weights, bounds and plans; the proven outer polyline;
        and the distance between the two.

    Raises
    ------
    UsageError
        An objective is unknown, or the problem offers no trade-off.
    InfeasibleError
        No plan satisfies all limits.
    NoSolutionError
        The limit ended the search before both ends of the front were found.

    Examples
    --------
    >>> import optmodels as om
    >>> inst = om.generate("scaling.job", seed=1, servers=4)
    >>> front = om.frontier(inst, ("energy_kwh", "carbon_g"), points=8)
    >>> bool(front.frame["carbon_g"].is_monotonic_decreasing)
    True
    """
    inst = instance if isinstance(instance, Instance) else load(instance)
    problem = registry.problem(inst.problem)
    pair = _pair(problem, objectives)
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise UsageError(
            f"points is {points}; allowed: a whole number from 2, the two ends of the front."
        )
    if time_limit_s is not None and not time_limit_s > 0:
        raise UsageError(f"The time limit is {time_limit_s}; allowed: a number > 0 of seconds.")
    started = time.perf_counter()
    deadline = np.inf if time_limit_s is None else started + time_limit_s
    search = _Search(problem, inst, pair, deadline, mip_gap)
    search.find_ends()
    ending = search.refine(points)
    options = {
        "points": points,
        "time_limit_s": time_limit_s,
        "mip_gap": mip_gap,
    }
    return search.result(ending, time.perf_counter() - started, options)


def _pair(problem: Problem, objectives: Sequence[str]) -> tuple[str, str]:
    if problem.weighted is None:
        raise UsageError(
            f"The problem '{problem.name}' offers no trade-off between objectives. Fix: see "
            "`optmodels list` for problems with 'frontier --objectives'."
        )
    names = [objectives] if isinstance(objectives, str) else list(objectives)
    for name in names:
        if name not in problem.objectives:
            raise UsageError.unknown("objective", name, problem.objectives)
    if len(names) != 2 or names[0] == names[1]:
        raise UsageError(
            f"A front is between two different objectives, not {', '.join(names) or 'none'}. "
            f"Known: {', '.join(sorted(problem.objectives))}."
        )
    return names[0], names[1]


@dataclass(frozen=True)
class _Found:
    """A plan of least weighted sum as a point of the plane of both objectives."""

    weights: FloatArray
    weighted: Weighted
    at: FloatArray


class _Search:
    """State of a search: every point and every bound that was found."""

    def __init__(
        self,
        problem: Problem,
        instance: Instance,
        objectives: tuple[str, str],
        deadline: float,
        mip_gap: float,
    ) -> None:
        self.problem = problem
        self.instance = instance
        self.objectives = objectives
        self.deadline = deadline
        self.mip_gap = mip_gap
        self.solved: list[_Found] = []
        self.pool: list[_Found] = []

    def find_ends(self) -> None:
        """Find the best plan for either objective and, among those, the best for the other.

        A tie is broken by a small weight on the other objective. What that gives up of the first
        is at most the weight's share of the range; should it be more than the tolerance, a smaller
        weight is tried.
        """
        best = [self.minimise(np.array([1.0, 0.0])), self.minimise(np.array([0.0, 1.0]))]
        ends = list(best)
        for share in _TIE_BREAKS:
            span = np.array([ends[1].at[0] - ends[0].at[0], ends[0].at[1] - ends[1].at[1]])
            if (span <= POINT * self._size(ends)).any():
                break
            given_up = [ends[i].at[i] - best[i].at[i] for i in range(2)]
            if ends[0] is not best[0] and all(given_up <= TOLERANCE * span):
                break
            for i in range(2):
                weights = np.empty(2)
                weights[i], weights[1 - i] = 1.0, share * span[i] / span[1 - i]
                end = self.minimise(weights / weights.sum())
                # A search with a gap may break the tie the wrong way round.
                ends[i] = end if end.at[1 - i] < best[i].at[1 - i] else best[i]
        self.pool = ends

    def refine(self, points: int) -> str:
        """Split the edge below which most is unknown, until nothing is worth it; say why."""
        tried: set[tuple[int, int]] = set()
        while True:
            shown = self._shown()
            if len(shown) >= points:
                return "points"
            hull, distance, side = self._open(shown)
            edge = None
            for corner in np.argsort(-distance, kind="stable").tolist():
                if distance[corner] <= TOLERANCE:
                    break
                at = int(side[corner])
                if at >= 0 and (hull[at], hull[at + 1]) not in tried:
                    edge = hull[at], hull[at + 1]
                    break
            if edge is None:
                return "complete"
            tried.add(edge)
            try:
                weights = edge_weights(*(self.pool[i].at for i in edge))
                self.pool.append(self.minimise(weights))
            except NoSolutionError:
                return "time"

    def minimise(self, weights: FloatArray) -> _Found:
        """Plan of least weighted sum; its bound becomes part of the proof."""
        left = self.deadline - time.perf_counter()
        if left <= 0:
            raise NoSolutionError(
                f"The time limit ended the search for the front of {self.instance.name} before "
                "both ends were found. Fix: allow more time."
            )
        weighted = self.problem.weigh(
            self.instance,
            dict(zip(self.objectives, weights.tolist(), strict=True)),
            time_limit_s=None if np.isinf(left) else left,
            mip_gap=self.mip_gap,
        )
        if not np.isfinite(weighted.bound):
            raise NoSolutionError(
                f"The limit ended the search for the front of {self.instance.name} before "
                "anything was proven. Fix: allow more time."
            )
        cost = weighted.plan.cost
        at = np.array([cost[self.problem.objectives[name]] for name in self.objectives])
        found = _Found(weights, weighted, at)
        self.solved.append(found)
        self._check_agreement(found)
        return found

    def result(self, ending: str, seconds: float, options: Mapping[str, object]) -> Frontier:
        """The front as it is known now."""
        shown = self._shown()
        _, distance, _ = self._open(shown)
        rows = [self._row(self.pool[i]) for i in shown]
        corners = self._corners()
        # Lines that touch the front in one point leave corners that only rounding tells apart.
        bends = non_dominated(corners, TOLERANCE * self._scale())
        outer = pd.DataFrame(corners[bends], columns=list(self.objectives))
        return Frontier(
            instance=self.instance.name,
            problem=self.problem.name,
            fingerprint=self.instance.fingerprint,
            objectives=self.objectives,
            frame=pd.DataFrame(rows),
            plans=tuple(self.pool[i].weighted.plan for i in shown),
            outer=outer,
            uncertainty=float(distance.max()),
            ending=ending,
            solves=len(self.solved),
            seconds=seconds,
            options=options,
        )

    def _check_agreement(self, new: _Found) -> None:
        """Refuse bounds that a plan found elsewhere contradicts."""
        for found, line in [(new, line) for line in self.solved] + [(f, new) for f in self.solved]:
            value = float(line.weights @ found.at)
            bound = line.weighted.bound
            if bound > value + _AGREEMENT * max(abs(bound), abs(value)):
                raise SolverError(
                    f"A weighted sum of {bound:.12g} is claimed to be the least for "
                    f"{self.instance.name}, but a plan has {value:.12g}: the oracle is wrong."
                )

    def _size(self, found: Sequence[_Found]) -> FloatArray:
        size: FloatArray = np.abs([f.at for f in found]).max(axis=0)
        return size

    def _scale(self) -> FloatArray:
        """Range of either objective between the ends, or what a single point counts as one."""
        points = np.array([found.at for found in self.pool])
        least = POINT * np.maximum(self._size(self.pool), np.finfo(float).tiny / POINT)
        scale: FloatArray = np.maximum(np.ptp(points, axis=0), least)
        return scale

    def _shown(self) -> list[int]:
        """Points of the pool that no other one beats, by rising first objective."""
        points = np.array([found.at for found in self.pool])
        return non_dominated(points, TOLERANCE * self._scale())

    def _corners(self) -> FloatArray:
        weights = np.array([found.weights for found in self.solved])
        bounds = np.array([found.weighted.bound for found in self.solved])
        return outer_corners(weights, bounds)

    def _open(self, shown: list[int]) -> tuple[list[int], FloatArray, IntArray]:
        """Hull of the points shown (places in the pool), and how far below it the corners are."""
        points = np.array([self.pool[i].at for i in shown])
        hull = lower_hull(points)
        distance, side = shortfalls(self._corners(), points[hull], self._scale())
        return [shown[i] for i in hull], distance, side

    def _row(self, found: _Found) -> dict[str, float]:
        cost, used = found.weighted.plan.cost, [self.problem.objectives[n] for n in self.objectives]
        value, bound = found.weighted.value, found.weighted.bound
        return {
            **dict(zip(self.objectives, found.at.tolist(), strict=True)),
            **{
                f"weight_{name}": float(weight)
                for name, weight in zip(self.objectives, found.weights, strict=True)
            },
            "value": value,
            "bound": bound,
            "gap": max(0.0, value - bound) / max(abs(value), np.finfo(float).tiny),
            **{name: value for name, value in cost.columns.items() if name not in used},
        }
