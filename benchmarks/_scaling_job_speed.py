"""Speed of the elastic job's methods, as ratios measured in one run.

Every alternative is one that a careful person would write: the LP is handed to HiGHS as ready
arrays, the numerical minimiser gets the tightest bracket there is, and the one-by-one replay is
our own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import highspy
import numpy as np
from _harness import median_seconds
from _scaling_job_arrivals import LACS_TRUST, Arrivals, advice
from scipy.integrate import quad
from scipy.optimize import linprog, minimize, minimize_scalar
from scipy.sparse import csc_array, diags_array, hstack, vstack

from optmodels.policy import FloatArray
from optmodels.scaling.job import optimum
from optmodels.scaling.job.conversion import algorithms
from optmodels.scaling.job.conversion.batch import ALGORITHMS, replay_batch
from optmodels.scaling.job.conversion.core import Algorithm, CostBounds, run
from optmodels.scaling.job.conversion.ratios import alphas
from optmodels.scaling.job.conversion.steps import step
from optmodels.scaling.job.conversion.thresholds import Curve, roro_curve
from optmodels.scaling.job.exact.taut_string import JobLengthCurve
from optmodels.scaling.job.instance import JobInstance

Row = dict[str, Any]
_AGREE = 1e-6
"""Largest relative difference between two methods that are timed against each other."""


def speed_row(what: str, method: str, seconds: float, ours: float) -> Row:
    """One timed method and how many times slower than ours it is."""
    return {"what": what, "method": method, "seconds": seconds, "times_ours": seconds / ours}


def _agree(name: str, value: float, reference: float) -> None:
    if not abs(value - reference) <= _AGREE * max(1.0, abs(reference)):
        raise ArithmeticError(f"{name} gives {value!r}, the method timed beside it {reference!r}")


# ----------------------------------------------------------------------------------- the oracle
def oracle_rows(carbon: FloatArray, work: float, beta: float, repeats: int) -> list[Row]:
    """The taut string (all job lengths) against the LP of one job length."""
    what = f"oracle, {carbon.size} slots"

    def taut_string() -> float:
        return float(JobLengthCurve.from_costs(carbon, beta).cost(work))

    def with_schedule() -> FloatArray:
        return JobLengthCurve.from_costs(carbon, beta).schedule(work)

    best = taut_string()
    ours = median_seconds(taut_string, 3 * repeats)
    rows = [
        speed_row(what, "taut string, all job lengths", ours, ours),
        speed_row(
            what, "taut string and one schedule", median_seconds(with_schedule, 3 * repeats), ours
        ),
    ]
    for solver, presolve in (("simplex", "off"), ("simplex", "on"), ("ipm", "on")):
        options = {"solver": solver, "presolve": presolve}
        seconds, value = _highs_seconds(carbon, work, beta, repeats, options)
        _agree(f"HiGHS {solver}", value, best)
        words = f"HiGHS LP, run() on hand-filled arrays, {solver}, presolve {presolve}"
        rows.append(speed_row(what, words, seconds, ours))
    arrays = _linprog_arrays(carbon, work, beta)
    answer = linprog(**arrays)
    _agree("linprog", float(answer.fun), best)
    seconds = median_seconds(lambda: linprog(**arrays), max(1, repeats // 2), warm=0)
    rows.append(speed_row(what, "scipy linprog, ready arrays", seconds, ours))
    return rows


def instance_rows(instance: JobInstance, repeats: int) -> list[Row]:
    """The same comparison through the public door: audited plans of one instance."""
    what = f"audited plan, {instance.slots} slots"

    def seconds(method: str, times: int) -> tuple[float, float]:
        plan = optimum.solve(instance, method=method)
        return median_seconds(lambda: optimum.solve(instance, method=method), times, warm=0), (
            plan.objective
        )

    ours, best = seconds("taut-string", repeats)
    rows = [speed_row(what, "solve(method='taut-string')", ours, ours)]
    for method in ("secant", "lp"):
        took, value = seconds(method, max(1, repeats // 2))
        _agree(method, value, best)
        rows.append(speed_row(what, f"solve(method='{method}')", took, ours))
    return rows


def _lean_lp(carbon: FloatArray, work: float) -> tuple[csc_array, FloatArray, FloatArray]:
    """Rows x_t - x_(t-1) - up_t <= 0 and Σ x = J; what goes up comes down, so ramps cost 2β up."""
    slots = carbon.size
    change = diags_array([np.ones(slots), -np.ones(slots - 1)], offsets=[0, -1])
    up = diags_array([-np.ones(slots)], offsets=[0])
    total = hstack([csc_array(np.ones((1, slots))), csc_array((1, slots))])
    rows = csc_array(vstack([hstack([change, up]), total]))
    lower = np.append(np.full(slots, -np.inf), work)
    return rows, lower, np.append(np.zeros(slots), work)


def _highs_seconds(
    carbon: FloatArray, work: float, beta: float, repeats: int, options: dict[str, str]
) -> tuple[float, float]:
    rows, lower, upper = _lean_lp(carbon, work)
    slots = carbon.size
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = 2 * slots, slots + 1
    lp.col_cost_ = np.concatenate([carbon, np.full(slots, 2 * beta)])
    lp.col_lower_ = np.zeros(2 * slots)
    lp.col_upper_ = np.concatenate([np.ones(slots), np.full(slots, highspy.kHighsInf)])
    lp.row_lower_, lp.row_upper_ = lower, upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = rows.indptr
    lp.a_matrix_.index_ = rows.indices
    lp.a_matrix_.value_ = rows.data
    solvers = []
    for _ in range(repeats + 1):
        highs = highspy.Highs()
        highs.setOptionValue("output_flag", False)
        highs.setOptionValue("threads", 1)
        for name, value in options.items():
            highs.setOptionValue(name, value)
        highs.passModel(lp)
        solvers.append(highs)
    # Each repeat has a solver of its own, or the second would start from the answer of the first.
    waiting = iter(solvers)
    # HiGHS refuses to run on another number of threads than the runs before: forget those.
    highspy.Highs.resetGlobalScheduler(True)
    seconds = median_seconds(lambda: next(waiting).run(), repeats)
    highspy.Highs.resetGlobalScheduler(True)
    return seconds, float(solvers[-1].getInfo().objective_function_value)


def _linprog_arrays(carbon: FloatArray, work: float, beta: float) -> dict[str, Any]:
    rows, _, _ = _lean_lp(carbon, work)
    slots = carbon.size
    return {
        "c": np.concatenate([carbon, np.full(slots, 2 * beta)]),
        "A_ub": rows[:-1],
        "b_ub": np.zeros(slots),
        "A_eq": rows[-1:],
        "b_eq": [work],
        "bounds": [(0, 1)] * slots + [(0, None)] * slots,
        "method": "highs",
    }


# ------------------------------------------------------------------------------------- the step
def step_rows(L: float, U: float, beta: float, repeats: int, seed: int) -> list[Row]:
    """The closed-form step of RORO against minimising its pseudo-cost numerically."""
    rng = np.random.default_rng(seed)
    curve = roro_curve(L, U, beta)
    count = 200
    done = rng.uniform(0, 0.8, count)
    cases = list(
        zip(
            rng.uniform(L, U, count).tolist(),
            done.tolist(),
            rng.uniform(0, 0.3, count).tolist(),
            (1 - done).tolist(),
            strict=True,
        )
    )
    few = cases[: 2 + 2 * repeats]
    ways: dict[str, tuple[Callable[..., float], list[tuple[float, ...]]]] = {
        "closed form": (lambda *case: step(curve, case[0], case[1], case[2], beta, case[3]), cases),
        "minimize_scalar (bounded, 1e-10), integral in closed form": (
            lambda *case: _minimize_scalar(curve, beta, case, exact=True),
            few,
        ),
        "minimize_scalar (bounded, 1e-10) with quad": (
            lambda *case: _minimize_scalar(curve, beta, case, exact=False),
            few,
        ),
        "minimize (bounded, default tolerance) with quad": (
            lambda *case: _minimize(curve, beta, case),
            few,
        ),
    }
    rows, ours = [], 0.0
    for method, (way, chosen) in ways.items():

        def sweep(way: Callable[..., float] = way, chosen: Any = chosen) -> None:
            for case in chosen:
                way(*case)

        seconds = median_seconds(sweep, repeats if chosen is few else 5 * repeats) / len(chosen)
        ours = ours or seconds
        rows.append(speed_row("RORO step", method, seconds, ours))
        errors = [
            abs(way(*case) - step(curve, case[0], case[1], case[2], beta, case[3])) for case in few
        ]
        rows[-1]["largest_error"] = max(errors)
    return rows


def _objective(
    curve: Curve, beta: float, case: tuple[float, ...], exact: bool
) -> Callable[[float], float]:
    c, w, before, _ = case

    def pseudo_cost(x: float) -> float:
        value = float(np.ravel(x)[0]) if not isinstance(x, float) else x
        area = curve.integral(w, w + value) if exact else quad(curve.value, w, w + value)[0]
        return c * value + beta * abs(value - before) - area

    return pseudo_cost


def _minimize_scalar(curve: Curve, beta: float, case: tuple[float, ...], exact: bool) -> float:
    answer = minimize_scalar(
        _objective(curve, beta, case, exact),
        bounds=(0.0, case[3]),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return float(answer.x)


def _minimize(curve: Curve, beta: float, case: tuple[float, ...]) -> float:
    answer = minimize(
        _objective(curve, beta, case, exact=False), x0=[case[2]], bounds=[(0.0, case[3])]
    )
    return float(answer.x[0])


# ------------------------------------------------------------------------------------ the replay
def replay_rows(jobs: Arrivals, beta: float, repeats: int, singles: int) -> list[Row]:
    """All jobs under all threshold algorithms in one call, against one by one.

    Parameters
    ----------
    jobs
        Arrivals whose windows allow the switching cost.
    beta
        Switching cost.
    repeats
        Repeats of each measurement.
    singles
        Jobs that are replayed one by one; their time is scaled up to all.
    """
    plans = advice(jobs, jobs.day_before, beta)
    epsilon = 0.5 * (alphas(jobs.low, jobs.high, beta) - 1)

    def at_once() -> dict[str, FloatArray]:
        return replay_batch(
            jobs.carbon,
            jobs.work,
            cap=1.0,
            L=jobs.low,
            U=jobs.high,
            beta=beta,
            shortest=jobs.shortest,
            longest=jobs.longest,
            predicted=jobs.predicted,
            advice=plans,
            kappa=LACS_TRUST,
            weight=0.5,
            epsilon=epsilon,
            algorithms=ALGORITHMS,
        )

    hidden = {"roro-predicted", "roro-robust", "lacs", "doubling-roro"}
    rows_of = list(range(0, jobs.count, max(1, jobs.count // singles)))[:singles]
    carbon = [jobs.carbon[i] for i in rows_of]

    def one(name: str, i: int, costs: FloatArray) -> FloatArray:
        bounds = CostBounds(float(jobs.low[i]), float(jobs.high[i]), beta)
        made = _algorithm(name, bounds, jobs, i, plans, float(epsilon[i]))
        lengths = (jobs.shortest, jobs.longest) if name in hidden else None
        return run(made, costs, float(jobs.work[i]), 1.0, lengths).schedule

    def one_by_one() -> None:
        for name in ALGORITHMS:
            for i, costs in zip(rows_of, carbon, strict=True):
                one(name, i, costs)

    batched = at_once()
    worst = max(
        float(np.abs(batched[name][i] - one(name, i, costs)).max())
        for name in ALGORITHMS
        for i, costs in zip(rows_of, carbon, strict=True)
    )
    ours = median_seconds(at_once, repeats)
    seconds = median_seconds(one_by_one, repeats, warm=0) * jobs.count / len(rows_of)
    what = f"{jobs.count} jobs x {jobs.slots} slots x {len(ALGORITHMS)} algorithms"
    rows = [
        speed_row(what, "one vectorised call", ours, ours),
        speed_row(what, "conversion.run on each", seconds, ours),
    ]
    rows[0]["largest_error"] = worst
    return rows


def _algorithm(
    name: str, bounds: CostBounds, jobs: Arrivals, i: int, plans: FloatArray, epsilon: float
) -> Algorithm:
    guess = float(jobs.predicted[i])
    makers: dict[str, Callable[[], Algorithm]] = {
        "roro": lambda: algorithms.Roro(bounds),
        "roro-plus": lambda: algorithms.RoroPlus(bounds),
        "roro-rate-limited": lambda: algorithms.RateLimitedRoro(bounds),
        "one-way-trading": lambda: algorithms.OneWayTrading(bounds),
        "simple-threshold": lambda: algorithms.SimpleThreshold(bounds),
        "roro-predicted": lambda: algorithms.Roro(bounds, guess),
        "roro-robust": lambda: algorithms.RobustRoro(bounds),
        "lacs": lambda: algorithms.Lacs(bounds, guess, LACS_TRUST),
        "doubling-roro": lambda: algorithms.DoublingRoro(bounds),
        "ro-advice": lambda: algorithms.AdvisedRoro(bounds, plans[i].tolist(), 0.5),
        "clip": lambda: algorithms.Clip(bounds, plans[i].tolist(), epsilon),
    }
    return makers[name]()
