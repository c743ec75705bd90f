"""The oracle of failover: warm and cold backups that lose the least service, with a proven bound.

==========  ========================================================================================
method      what it is
==========  ========================================================================================
"milp"      the formulation of `optmodels.ensembles.failover.model`, solved by HiGHS from the best
            rule; what it decides is put into the best order of loading that is known, and is
            replaced by the rule's plan where that loses less all the same
"rules"     the best of all rules of `optmodels.ensembles.failover.policies` (FailLite's with
            several headrooms), and the bound of `optmodels.ensembles.failover.relaxation`
"auto"      "milp" for some nodes up to 12,000 binaries, else "rules"
==========  ========================================================================================

The formulation counts no waiting between models that one server loads, so that its optimum is that
of the question where servers load in parallel and nothing is gained by two stages; elsewhere it is
a bound. All plans are audited. A plan is called optimal where its gap is no more than ``mip_gap``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optmodels.ensembles.failover.actions import Recovery, Warm, no_recovery, no_warm
from optmodels.ensembles.failover.audit import outcome, recovery_violations
from optmodels.ensembles.failover.instance import FailoverInstance, Failure
from optmodels.ensembles.failover.model import (
    all_lost_s,
    cold_gain_s,
    formulation,
    model_data,
    options_of,
    size_of,
    warm_gain_s,
)
from optmodels.ensembles.failover.policies import (
    KINDS,
    FailLite,
    FailLiteGreedy,
    FailoverPolicy,
)
from optmodels.ensembles.failover.recovering import Choice, Room, choose, plain, progressive
from optmodels.ensembles.failover.relaxation import lower_bound
from optmodels.ensembles.failover.replay import plan_of, room_of
from optmodels.errors import NoSolutionError, SolverError, UsageError
from optmodels.plan import Plan, Provenance
from optmodels.solver import seconds_left, with_nodes

IntArray = NDArray[np.int64]

METHODS = ("auto", "milp", "rules")

#: Binaries up to which "auto" takes the formulation, and the nodes that it gives it.
LARGEST_MILP, AUTO_NODES = 12_000, 100
#: Headrooms with which FailLite's rule is tried beside the instance's own.
HEADROOMS = (0.0, 0.2, 0.4, 0.6, 0.8)
#: Relative difference between two computations of one number that rounding explains.
_ROUNDING = 1e-7
#: A binary above this is one.
_TAKEN = 0.5
_MS = 1e-3


@dataclass(frozen=True)
class Decisions:
    """Warm backups, recoveries of all failures, and what they lose.

    Attributes
    ----------
    warm, recoveries
        The decisions.
    lost_s
        Service lost per failure, weighted [s].
    words
        How they were made.
    """

    warm: Warm
    recoveries: list[Recovery]
    lost_s: float
    words: str

    def priced(self, instance: FailoverInstance, warm_price: float) -> float:
        """Service lost, and the price of the warm memory [s]."""
        placed = self.warm.candidate[self.warm.placed]
        return self.lost_s + warm_price * float(instance.candidates.memory_mb[placed].sum())


def solve(
    instance: FailoverInstance,
    *,
    method: str = "auto",
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> Plan:
    """Find backups that lose the least service; arguments as in `optmodels.api.solve`.

    There always is a plan: what cannot be recovered is lost
    (`optmodels.ensembles.failover.limits.explain` says why).

    Raises
    ------
    UsageError
        Unknown method, or solver options for a method that has none.
    SolverError
        The solver's answer, or its bound, contradicts a rule's plan.
    """
    if method not in METHODS:
        raise UsageError.unknown("method", method, METHODS)
    if options and method == "rules":
        raise UsageError("The method 'rules' has no solver options. Fix: use 'milp'.")
    started = time.perf_counter()
    best, bound = search(
        instance,
        method=method,
        time_limit_s=time_limit_s,
        mip_gap=mip_gap,
        seed=seed,
        options=options,
    )
    seconds = time.perf_counter() - started
    given = {"method": method, "time_limit_s": time_limit_s, "mip_gap": mip_gap, **(options or {})}
    proven = best.lost_s - bound <= max(mip_gap, _ROUNDING) * abs(best.lost_s) + _ROUNDING
    return plan_of(
        instance,
        best.warm,
        best.recoveries,
        maker="optimum",
        status="optimal" if proven else "feasible",
        bound=min(bound, best.lost_s),
        provenance=Provenance(best.words, seconds, options=given, seed=seed),
    )


def search(
    instance: FailoverInstance,
    *,
    method: str = "auto",
    warm_price: float = 0.0,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> tuple[Decisions, float]:
    """Decisions of little lost service and price of warm memory, and a bound for all."""
    end = None if time_limit_s is None else time.perf_counter() + time_limit_s
    best = best_rule(instance, warm_price, end)
    bound = lower_bound(instance, warm_price=warm_price, time_limit_s=seconds_left(end))
    small = method == "milp" or (method == "auto" and size_of(instance) <= LARGEST_MILP)
    gap = best.priced(instance, warm_price) - bound
    if small and gap > mip_gap * abs(best.lost_s):
        ending = with_nodes(options, AUTO_NODES) if method == "auto" else options
        found, proven = _by_milp(
            instance, best, warm_price, seconds_left(end), mip_gap, seed, ending
        )
        bound = max(bound, proven)
        if found.priced(instance, warm_price) < best.priced(instance, warm_price):
            best = found
    value = best.priced(instance, warm_price)
    if bound > value + _ROUNDING * max(abs(value), 1.0):
        raise SolverError(
            f"The bound of {bound:.12g} s for {instance.name} is above a plan of {value:.12g} s: "
            "the model or its solver is wrong."
        )
    return best, min(bound, value)


# -------------------------------------------------------------------------------------- rules
def best_rule(
    instance: FailoverInstance, warm_price: float = 0.0, end: float | None = None
) -> Decisions:
    """The best of all rules, each failure recovered in the best way that is known.

    Parameters
    ----------
    instance
        The question.
    warm_price
        Price of warm memory [s/MB].
    end
        When to be done, by ``time.perf_counter``: rules with a solver come last then, and share
        what is left with the bound after them.
    """
    own = float(instance.parameters.headroom)
    rules: list[FailoverPolicy] = [kind() for kind in KINDS]
    rules += [FailLiteGreedy(headroom=share) for share in HEADROOMS if share != own]
    if end is not None:
        rules.sort(key=lambda rule: rule.solves)
    waiting = sum(rule.solves for rule in rules)
    tried: list[Decisions] = []
    seen: set[bytes] = set()
    for rule in rules:
        left = np.inf if end is None else end - time.perf_counter()
        if tried and left <= 0:
            break
        if end is not None and isinstance(rule, FailLite) and rule.solves:
            rule.time_limit_s = left / (waiting + 1)
            waiting -= 1
        try:
            warm = rule.place(instance)
        except NoSolutionError:
            if end is None:
                raise
            # Its time was too short; what comes before takes none.
            continue
        key = warm.candidate.tobytes() + warm.server.tobytes()
        if key not in seen:
            seen.add(key)
            tried.append(completed(instance, warm, f"best recoveries beside '{rule.name}'"))
    return min(tried, key=lambda one: one.priced(instance, warm_price))


def completed(
    instance: FailoverInstance,
    warm: Warm,
    words: str,
    choices: Mapping[int, tuple[Choice, IntArray]] | None = None,
) -> Decisions:
    """Warm backups with the best recovery of each failure that is known.

    Parameters
    ----------
    instance
        The question.
    warm
        The warm backups.
    words
        How they were made.
    choices
        Further choices for some failures, with what should be loaded first.
    """
    recoveries, lost = [], 0.0
    for f, failure in enumerate(instance.failures):
        room = room_of(instance, warm, failure)
        ways = [no_recovery()]
        for choice in (choose(instance, room), choose(instance, room, shrink=False)):
            ways += _orders(instance, choice, room)
        if choices is not None and f in choices:
            choice, first = choices[f]
            ways += [*_orders(instance, choice, room), progressive(instance, choice, room, first)]
        values = [_lost_s(instance, warm, failure, way) for way in ways]
        best = int(np.argmin(values))
        recoveries.append(ways[best])
        lost += values[best]
    return Decisions(warm, recoveries, lost, words)


def _orders(instance: FailoverInstance, choice: Choice, room: Room) -> list[Recovery]:
    """Orders in which a choice may be loaded: at once by weight per time, small ones first."""
    count = len(choice.application)
    if not count:
        return []
    # Whoever gains by two stages, each by itself, and nobody else.
    options, first = instance.candidates, choice.target.copy()
    for i, t in enumerate(choice.target.tolist()):
        own = np.arange(options.start[options.application[t]], t + 1)
        own = own[instance.fast_enough[own, choice.server[i]]]
        own = own[options.gflops[own] <= options.gflops[t]]
        first[i] = own[np.argmax(cold_gain_s(instance, own, np.full(len(own), t)))]
    return [
        plain(choice),
        progressive(instance, choice, room, choice.target),
        progressive(instance, choice, room),
        progressive(instance, choice, room, first),
    ]


def _lost_s(instance: FailoverInstance, warm: Warm, failure: Failure, recovery: Recovery) -> float:
    """Service that a failure loses, weighted by its probability [s]; infinite for what breaks."""
    if recovery_violations(instance, warm, failure, recovery):
        return float("inf")
    found = outcome(instance, warm, failure, recovery)
    weight = failure.probability * instance.weight[failure.failed]
    return float(weight @ (found.down_ms + found.degraded_ms)) * _MS


# --------------------------------------------------------------------------------------- milp
def _by_milp(
    instance: FailoverInstance,
    known: Decisions,
    warm_price: float,
    seconds: float | None,
    mip_gap: float,
    seed: int,
    options: Mapping[str, object] | None,
) -> tuple[Decisions, float]:
    """The formulation's decisions, and the bound that it proves."""
    from optmodels.solver import check_not_worse, solve_model

    data = model_data(instance, warm_price=warm_price)
    solution: Any = solve_model(
        formulation(),
        data=data,
        time_limit_s=seconds,
        mip_gap=mip_gap,
        seed=seed,
        warm_start=_start(instance, data, known),
        options=options,
    )
    bound = float("-inf") if solution.bound is None else float(solution.bound)
    if not solution.status.has_solution:
        return known, bound
    if str(solution.status) == "optimal":
        check_not_worse(
            solution.objective,
            _counted(instance, known) + known.priced(instance, warm_price) - known.lost_s,
            "minimize",
            "Warm and cold backups",
            tolerance=max(mip_gap, 1e-6),
        )
    warm, choices = _read(instance, data, solution)
    return completed(instance, warm, "warm and cold backups together (HiGHS)", choices), bound


def _counted(instance: FailoverInstance, known: Decisions) -> float:
    """Service that decisions lose as the formulation counts it [s]: without any waiting."""
    lost, gain = all_lost_s(instance), warm_gain_s(instance)
    for failure, recovery in zip(instance.failures, known.recoveries, strict=True):
        alive = known.warm.candidate[failure.failed]
        server = known.warm.server[failure.failed]
        alive = alive[(alive >= 0) & ~failure.down[server]]
        direct = cold_gain_s(instance, recovery.target, recovery.target)
        cold = np.maximum(cold_gain_s(instance, recovery.first, recovery.target), direct)
        lost -= failure.probability * float(gain[alive].sum() + cold.sum())
    return lost


def _start(
    instance: FailoverInstance, data: Mapping[str, Any], known: Decisions
) -> dict[str, dict[tuple[int, ...], float]]:
    """Known decisions as a first solution of the binaries."""
    warm = dict.fromkeys(zip(*(part.tolist() for part in data["warm_places"]), strict=True), 0.0)
    for a in known.warm.placed.tolist():
        warm[int(known.warm.candidate[a]), int(known.warm.server[a])] = 1.0
    ways = options_of(instance)
    number = {
        pair: o
        for o, pair in enumerate(zip(ways.first.tolist(), ways.target.tolist(), strict=True))
    }
    places = zip(*(part.tolist() for part in data["cold_places"]), strict=True)
    cold: dict[tuple[int, ...], float] = dict.fromkeys(places, 0.0)
    losses = {
        pair: i
        for i, pair in enumerate(
            (f, a) for f, one in enumerate(instance.failures) for a in one.failed.tolist()
        )
    }
    for f, recovery in enumerate(known.recoveries):
        columns = (recovery.application, recovery.server, recovery.first, recovery.target)
        for a, k, s, t in zip(*(column.tolist() for column in columns), strict=True):
            o = number.get((s, t), number[t, t])
            cold[losses[f, a], o, k] = 1.0
    return {"warm": dict(warm), "cold": cold}


def _read(
    instance: FailoverInstance, data: Mapping[str, Any], solution: Any
) -> tuple[Warm, dict[int, tuple[Choice, IntArray]]]:
    """Warm backups and choices of a solution; backups that save nothing are left out."""
    options = instance.candidates
    warm = no_warm(len(instance.applications))
    taken = solution.values["warm"].to_numpy() > _TAKEN
    c, k = (np.asarray(part) for part in data["warm_places"])
    taken &= np.asarray(data["warm_gain"]) > 0
    warm.candidate[options.application[c[taken]]] = c[taken]
    warm.server[options.application[c[taken]]] = k[taken]
    ways = options_of(instance)
    losses = np.array(
        [(f, a) for f, one in enumerate(instance.failures) for a in one.failed.tolist()],
        dtype=np.int64,
    ).reshape(-1, 2)
    loaded = solution.values["cold"].to_numpy() > _TAKEN
    loss, option, server = (np.asarray(part)[loaded] for part in data["cold_places"])
    choices = {}
    for f in np.unique(losses[loss, 0]).tolist():
        own = losses[loss, 0] == f
        choice = Choice(losses[loss[own], 1], ways.target[option[own]], server[own])
        choices[int(f)] = (choice, ways.first[option[own]])
    return warm, choices
