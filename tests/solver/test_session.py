"""The session: statuses, proven bounds, the check in numpy, limits, interruption, updates."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from optmodels.errors import (
    InfeasibleError,
    InputError,
    NoSolutionError,
    SolverError,
    UnboundedError,
    UsageError,
)
from optmodels.solver import Session, Status, solve_model
from optmodels.solver.linear import LinearModel
from optmodels.solver.listening import silent_highs
from optmodels.solver.options import Limits
from optmodels.solver.outcome import Outcome
from optmodels.solver.solution import solution_of

from .models import (
    brute_force,
    hard_knapsack,
    linear_model,
    market_split,
    random_lp,
    random_milp,
)

INF = np.inf
ROOT = Path(__file__).resolve().parents[2]


def scipy_answer(model: LinearModel) -> tuple[int, float | None]:
    """Status and objective by scipy: 0 optimal, 2 infeasible, 3 unbounded."""
    sign = -1.0 if model.maximize else 1.0
    dense = model.matrix.toarray()
    upper, lower = np.isfinite(model.row_upper), np.isfinite(model.row_lower)
    answer = linprog(
        sign * model.cost,
        np.vstack([dense[upper], -dense[lower]]),
        np.concatenate([model.row_upper[upper], -model.row_lower[lower]]),
        bounds=np.column_stack([model.column_lower, model.column_upper]),
        method="highs-ds",
        options={"presolve": False},
    )
    value = sign * answer.fun + model.offset if answer.status == 0 else None
    return answer.status, value


@settings(deadline=None, derandomize=True, max_examples=120)
@given(st.integers(0, 10**6))
def test_random_lps_against_scipy(seed: int) -> None:
    """Status, objective and a proven bound agree with scipy on LPs of every kind of row.

    The bound is re-computed here from the solution's own duals, by the textbook dual function.
    """
    model = random_lp(seed)
    solution = solve_model(model)
    status, value = scipy_answer(model)
    if status == 2:
        assert solution.status == "infeasible"
        return
    if status == 3:
        assert solution.status == "unbounded"
        return
    assert solution.status == "optimal"
    scale = max(1.0, abs(value))
    assert abs(solution.objective - value) <= 1e-7 * scale
    assert abs(solution.objective - solution.bound) <= 1e-9 * scale
    ordered = (
        solution.bound >= solution.objective
        if model.maximize
        else (solution.bound <= solution.objective)
    )
    assert ordered
    duals = solution.duals["row"].to_numpy()
    reduced = solution.reduced_costs["x"].to_numpy()
    assert np.allclose(reduced, model.cost - model.matrix.T @ duals, atol=1e-12)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_any_duals_give_a_valid_bound(seed: int, dual_seed: int) -> None:
    """Weak duality: random duals never cut the optimum off; the optimal ones reach it."""
    model = random_lp(seed)
    solution = solve_model(model)
    if solution.status != "optimal":
        return
    any_duals = np.random.default_rng(dual_seed).normal(0, 3, model.rows)
    bound = model.dual_bound(any_duals)
    slack = 1e-7 * max(1.0, abs(solution.objective))
    if model.maximize:
        assert bound >= solution.objective - slack
    else:
        assert bound <= solution.objective + slack


@settings(deadline=None, derandomize=True, max_examples=120)
@given(st.integers(0, 10**6))
def test_random_milps_against_enumeration(seed: int) -> None:
    """Status, optimum and bound of pure integer models against enumeration of all points."""
    model = random_milp(seed)
    best = brute_force(model)
    solution = solve_model(model, mip_gap=0.0)
    if best is None:
        assert solution.status == "infeasible"
        assert solution.objective is None
        return
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(best, abs=1e-9)
    assert solution.bound == pytest.approx(best, abs=1e-6)
    values = solution.values["x"].to_numpy()
    assert np.array_equal(values, np.round(values))


def test_free_variables_do_not_spoil_the_bound() -> None:
    """Rounding in the reduced cost of a free variable must not make the bound minus infinity."""
    rng = np.random.default_rng(5)
    n = 40
    matrix = np.vstack([rng.normal(0, 1, (n, n)), np.eye(n)])
    rows = np.concatenate([rng.normal(0, 1, n), np.full(n, -100.0)])
    model = linear_model(matrix[:n].T @ rng.uniform(0.1, 1, n) / 3, matrix, rows, INF, -INF, INF)
    solution = solve_model(model)
    assert solution.status == "optimal"
    assert abs(solution.gap) <= 1e-9


UNBOUNDED = {
    "lp": linear_model([-1, 0], [[1, -1]], -INF, 1, 0, INF),
    "lp max": linear_model([1, 1], [[1, -1]], -INF, 1, 0, INF, maximize=True),
    "lp without rows": linear_model([-1.0], np.zeros((0, 1)), [], [], 0, INF),
    "milp": linear_model([-1, 0], [[1, -1]], -INF, 1, 0, INF, True),
}
INFEASIBLE = {
    "lp": linear_model([1, 1], [[1, 1], [1, 1]], [-INF, 3], [1, INF], 0, INF),
    "unbounded or infeasible lp": linear_model(
        [-1, -1], [[1, -1], [1, -1]], [2, -INF], [INF, 1], 0, INF
    ),
    "milp by integrality": linear_model([0, 0], [[2, 2]], 3, 3, 0, 5, True),
    "unbounded or infeasible milp": linear_model(
        [-1, -1, 0], [[0, 0, 2], [1, -1, 0]], [1, 0], [1, 0], 0, [INF, INF, 5], True
    ),
    "crossed bounds": linear_model([1], [[1]], -INF, INF, 2, 1),
    "crossed row": linear_model([1], [[1]], 2, 1, 0, 5),
    "row without variables": linear_model([1], [[0]], 1, 2, 0, 5),
    "no integer between bounds": linear_model([1], [[1]], -INF, INF, 0.2, 0.8, True),
}


@pytest.mark.parametrize("name", UNBOUNDED)
@pytest.mark.parametrize("presolve", ["choose", "off"])
def test_unbounded(name: str, presolve: str) -> None:
    """Unbounded is told apart from infeasible, and gives no numbers."""
    solution = solve_model(UNBOUNDED[name], options={"presolve": presolve})
    assert solution.status is Status.UNBOUNDED
    assert solution.objective is None
    assert solution.gap is None
    with pytest.raises(UnboundedError):
        _ = solution.values


def test_unbounded_or_infeasible_is_settled() -> None:
    """Presolve stops at an unbounded ray before it sees that the rest is infeasible.

    HiGHS is shown to leave the question open; taking it for unbounded would be wrong.
    """
    rng = np.random.default_rng(0)
    matrix = rng.normal(0, 1, (12, 8))
    weights = rng.random(12)
    # The last row contradicts a positive combination of the others.
    rows = np.vstack([matrix, -weights @ matrix])
    for last, status in ((-weights.sum() - 1, "infeasible"), (100.0, "unbounded")):
        limits = np.append(np.ones(12), last)
        model = linear_model(
            np.append(np.zeros(8), -1), np.column_stack([rows, np.zeros(13)]), -INF, limits, -9, INF
        )
        session = Session(model, options={"allow_unbounded_or_infeasible": True})
        assert session._run().name == "kUnboundedOrInfeasible"
        assert session.solve().status == status


@pytest.mark.parametrize("name", INFEASIBLE)
@pytest.mark.parametrize("presolve", ["choose", "off"])
def test_infeasible(name: str, presolve: str) -> None:
    """Infeasible gives no numbers, and points to the explanation."""
    solution = solve_model(INFEASIBLE[name], options={"presolve": presolve})
    assert solution.status is Status.INFEASIBLE
    assert solution.objective is None
    assert solution.bound is None
    for ask in (
        lambda: solution.values,
        lambda: solution.duals,
        lambda: solution.reduced_costs,
        solution.require,
        solution.load_into_model,
    ):
        with pytest.raises(InfeasibleError, match="explain_model"):
            ask()


def test_no_columns_and_no_rows() -> None:
    """A model without variables is its constant; a false row without variables is infeasible."""
    nothing = linear_model([], np.zeros((0, 0)), [], [], 0, 0, offset=3.5)
    solution = solve_model(nothing)
    assert (solution.status, solution.objective, solution.bound) == ("optimal", 3.5, 3.5)
    assert solve_model(linear_model([], np.zeros((1, 0)), 1, 2, 0, 0)).status == "infeasible"


def test_limit_without_incumbent() -> None:
    """At the limit without a point there are no numbers, whatever is lying in the solver."""
    solution = solve_model(market_split(), time_limit_s=0.2)
    assert solution.status is Status.NO_SOLUTION_AT_LIMIT
    assert solution.objective is None
    with pytest.raises(NoSolutionError, match="time_limit_s"):
        _ = solution.values
    assert solve_model(hard_knapsack(), time_limit_s=1e-9).status in (
        Status.NO_SOLUTION_AT_LIMIT,
        Status.FEASIBLE,
    )


def test_limit_of_an_lp_gives_no_infeasible_point() -> None:
    """The dual simplex stopped half-way has an infeasible point: it is not given out."""
    rng = np.random.default_rng(0)
    matrix = rng.random((60, 80))
    model = linear_model(np.ones(80), matrix, 1 + rng.random(60), INF, 0, INF)
    solution = solve_model(model, options={"simplex_iteration_limit": 3, "presolve": "off"})
    assert solution.status is Status.NO_SOLUTION_AT_LIMIT
    with pytest.raises(NoSolutionError):
        solution.require()


def test_limit_of_an_lp_with_a_feasible_point() -> None:
    """The primal simplex cut off has a feasible point; half-ready duals still prove a bound."""
    rng = np.random.default_rng(0)
    model = linear_model(-np.ones(80), rng.random((60, 80)), -INF, 1 + rng.random(60), 0, 5)
    best = solve_model(model).objective
    options = {"simplex_iteration_limit": 20, "presolve": "off", "simplex_strategy": 4}
    solution = solve_model(model, options=options)
    assert solution.status is Status.FEASIBLE
    assert -INF < solution.bound < best < solution.objective


def test_limit_with_incumbent() -> None:
    """At the limit with a point: feasible, checked, with an honest gap; a maximisation."""
    model = hard_knapsack()
    solution = solve_model(model, time_limit_s=0.5)
    assert solution.status is Status.FEASIBLE
    assert solution.require() is solution
    assert solution.objective < solution.bound < INF
    assert solution.gap == pytest.approx(
        (solution.bound - solution.objective) / solution.objective, rel=1e-12
    )
    x = solution.values["x"].to_numpy()
    assert model.worst_violation(x).relative <= 1e-6
    assert solution.objective == pytest.approx(model.objective(x), rel=1e-12)
    assert solution.seconds["solve"] < 3
    with pytest.raises(UsageError, match="duals"):
        _ = solution.duals


def test_warm_start_is_accepted() -> None:
    """With no time and no heuristics the only incumbent is the one we gave."""
    model = hard_knapsack()
    options = {"mip_heuristic_effort": 0.0, "mip_max_nodes": 0, "presolve": "off"}
    start = np.zeros(model.columns)
    start[[3, 5, 8]] = 1.0
    given_value = model.objective(start)
    with_start = solve_model(
        model, time_limit_s=1e-6, options=options, warm_start={"x": dict(enumerate(start))}
    )
    assert with_start.status is Status.FEASIBLE
    assert with_start.objective >= given_value - 1e-9
    assert solve_model(model, time_limit_s=1e-6, options=options).status is (
        Status.NO_SOLUTION_AT_LIMIT
    )


def test_partial_warm_start_and_scalars() -> None:
    """A part of the variables will do; a scalar stands for all members."""
    model = hard_knapsack(12, 4)
    best = solve_model(model, mip_gap=0.0).objective
    for start in ({"x": 0}, {"x": {0: 1.0, 3: 0.0}}):
        assert solve_model(model, mip_gap=0.0, warm_start=start).objective == pytest.approx(best)


def test_bad_warm_starts_are_refused() -> None:
    """Unknown components and labels, and values that are not numbers, are told."""
    model = hard_knapsack(12, 4)
    with pytest.raises(UsageError, match="Did you mean 'x'"):
        solve_model(model, warm_start={"xx": 1})
    with pytest.raises(InputError) as caught:
        solve_model(model, warm_start={"x": {99: 1.0, 2: float("nan")}})
    assert len(caught.value.flaws) == 2


def test_claims_that_contradict_the_warm_start_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole feasible start beats a claimed optimum, or a claim of infeasibility: an error."""
    model = hard_knapsack(12, 4)
    start = {"x": 0.0}
    for lie in (Outcome(Status.INFEASIBLE), Outcome(Status.OPTIMAL, -5.0, -5.0, np.zeros(12))):
        monkeypatch.setattr(Session, "solve", lambda self, lie=lie: lie)
        with pytest.raises(SolverError, match="Warm start"):
            solve_model(model, warm_start=start)


def test_a_point_that_fails_the_check_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that hands out a wrong point is caught, and the worst breach is named.

    Without the check in numpy, this status would be "optimal".
    """
    model = linear_model([1, 1], [[1, 2]], 4, INF, 0, 10)
    honest = Session(model)
    honest.solve()
    point = honest.highs.getSolution()
    wrong = type(point)()
    wrong.col_value = np.array([0.0, 1.5])
    wrong.row_dual = np.array(point.row_dual)
    wrong.value_valid = wrong.dual_valid = True
    monkeypatch.setattr("highspy.Highs.getSolution", lambda self: wrong)
    solution = solve_model(model)
    assert solution.status is Status.ERROR
    with pytest.raises(SolverError, match=r"row\[0\] violated by 1"):
        _ = solution.values


@pytest.mark.parametrize("sense", [False, True])
def test_wrong_integrality_is_caught(sense: bool) -> None:
    """`worst_violation` sees rows, bounds and integrality, each relative to its size."""
    model = linear_model([1, 1], [[1, 1]], -INF, 2000, 0, 1000, [True, False], maximize=sense)
    assert model.worst_violation(np.array([2.0, 3.5])).relative == 0
    assert model.worst_violation(np.array([2.25, 3.5])).kind == "integrality"
    beyond = model.worst_violation(np.array([-2.0, 3.5]))
    assert (beyond.kind, beyond.position, beyond.amount) == ("bound", 0, 2.0)
    row = linear_model([1, 1], [[1, 1]], -INF, 2000, 0, 5000).worst_violation(
        np.array([1500.0, 1500.0])
    )
    assert (row.kind, row.amount, row.relative) == ("row", 1000.0, 0.5)
    assert model.worst_violation(np.array([np.nan, 0.0])).relative == INF


@pytest.mark.parametrize("bad", [1, 2])
def test_a_linear_point_that_fails_the_check_is_sought_again(
    monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    """One answer that breaks a row is solved again from its basis, two are solved from nothing.

    Without that a planner that solves thousands of programmes would end at the first basis that
    uses up more than the tolerance.
    """
    model = linear_model([1, 2], [[1, 1]], 3, INF, 0, 5)
    real = LinearModel.worst_violation
    asked = []

    def suspicious(self: LinearModel, x: np.ndarray) -> object:
        asked.append(x)
        return real(self, x - 1.0) if len(asked) <= bad else real(self, x)

    cleared = []
    clear = highspy.Highs.clearSolver
    monkeypatch.setattr(LinearModel, "worst_violation", suspicious)
    monkeypatch.setattr(
        "highspy.Highs.clearSolver", lambda self: (cleared.append(1), clear(self))[1]
    )
    outcome = Session(model).solve()
    assert outcome.status is Status.OPTIMAL
    assert outcome.objective == pytest.approx(3.0)
    assert outcome.bound == pytest.approx(3.0)
    assert len(cleared) == bad - 1


def test_numbers_no_solver_can_use_are_named() -> None:
    """NaN and infinities are refused with component and index, all of them at once."""
    model = linear_model([1, 1], [[1, 2]], 4, INF, 0, 10)
    bad = replace(
        model,
        cost=np.array([np.nan, 1.0]),
        coefficients=np.array([1.0, np.inf]),
        column_lower=np.array([INF, 0.0]),
        row_lower=np.array([np.nan]),
    )
    with pytest.raises(InputError) as caught:
        solve_model(bad)
    text = str(caught.value)
    assert len(caught.value.flaws) == 4
    for name in ("x[0]", "coefficient of x[1]", "row[0]"):
        assert name in text


def test_update_keeps_the_basis_and_the_answer() -> None:
    """Pushing only differences gives the optimum of a fresh solve, for every part of the model."""
    base = random_lp(12, 30, 25)
    base = replace(base, column_lower=np.full(25, -3.0), column_upper=np.full(25, 4.0))
    rng = np.random.default_rng(1)
    session = Session(base)
    first = session.solve()
    assert first.status is Status.OPTIMAL
    assert session.solve().statistics["iterations"] == 0
    changes = [
        {"cost": base.cost + rng.normal(0, 0.1, 25)},
        {"column_upper": base.column_upper + 1},
        {"row_upper": base.row_upper + 0.5},
        {"coefficients": base.coefficients * (1 + 0.01 * rng.random(base.nonzeros))},
        {"offset": 7.0},
        {"maximize": not base.maximize},
    ]
    for change in changes:
        changed = replace(base, **change)
        session.update(changed)
        warm, fresh = session.solve(), Session(changed).solve()
        assert warm.status == fresh.status, change
        if fresh.objective is not None:
            assert warm.objective == pytest.approx(fresh.objective, rel=1e-9)
            assert warm.bound == pytest.approx(fresh.bound, rel=1e-9)


def test_polish_closes_a_loose_lp() -> None:
    """An LP stopped at loose tolerances (interior point, no crossover) still gets a tight bound."""
    rng = np.random.default_rng(3)
    matrix = rng.random((30, 40))
    model = linear_model(rng.random(40) + 0.1, matrix, 1 + rng.random(30), INF, 0, INF)
    loose = {"solver": "ipm", "run_crossover": "off", "ipm_optimality_tolerance": 1e-4}
    solution = solve_model(model, options=loose)
    assert solution.status is Status.OPTIMAL
    assert solution.gap <= 1e-9
    assert solution.objective == pytest.approx(solve_model(model).objective, rel=1e-9)


def test_nothing_reaches_stdout(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The solver's log goes to `logging` when asked for, and never to standard output."""
    solve_model(hard_knapsack(12, 4))
    assert not caplog.records
    with caplog.at_level(logging.INFO, logger="optmodels.solver"):
        solve_model(hard_knapsack(12, 4))
        solve_model(INFEASIBLE["lp"])
    assert any("Solving MIP" in record.message for record in caplog.records)
    assert capfd.readouterr().out == ""


SILENT = """
import logging, sys
from pathlib import Path
sys.path.insert(0, {root!r})
records = []
handler = logging.Handler()
handler.emit = records.append
logging.getLogger("optmodels.solver").addHandler(handler)
from optmodels.solver import export_model, solve_model
from tests.solver.models import hard_knapsack
model = hard_knapsack(12, 4)
export_model(model, Path(sys.argv[1]) / "model.mps")
assert solve_model(model, options={{"presolve": "off"}}).status == "optimal"
assert not records
logging.getLogger("optmodels.solver").setLevel("INFO")
solve_model(model)
assert any("Solving MIP" in record.getMessage() for record in records)
"""


def test_a_fresh_process_writes_nothing(tmp_path: Path) -> None:
    """Not even the banner, which HiGHS prints once in a process: when its first object is made."""
    ran = subprocess.run(
        [sys.executable, "-c", SILENT.format(root=str(ROOT)), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_number_of_threads_may_change() -> None:
    """HiGHS refuses another number of threads than before, be it ours or a stranger's."""
    model, stranger = hard_knapsack(12, 4), silent_highs()
    best = solve_model(model).objective
    for threads in (1, 2, None, 1):
        assert solve_model(model, threads=threads).objective == best
        highspy.Highs.resetGlobalScheduler(True)
        stranger.setOptionValue("threads", 3 - (threads or 2))
        assert stranger.run() == highspy.HighsStatus.kOk
        assert solve_model(model, threads=threads).objective == best
    highspy.Highs.resetGlobalScheduler(True)


def stretched(monkeypatch: pytest.MonkeyPatch, point: list[float]) -> None:
    """Let HiGHS answer its first run with this point, later ones with its own."""
    original, answers = highspy.Highs.getSolution, iter([point])

    def answer(self: highspy.Highs) -> highspy.HighsSolution:
        solution = original(self)
        solution.col_value = next(answers, solution.col_value)
        return solution

    monkeypatch.setattr("highspy.Highs.getSolution", answer)


@pytest.mark.parametrize("price", [2.0, 2000.0])
def test_slack_that_only_the_tolerance_won_is_given_back(
    monkeypatch: pytest.MonkeyPatch, price: float
) -> None:
    """A covering row missed by half HiGHS's tolerance: the point returned meets it.

    The bound stays below by that half; the point is optimal all the same, even without any
    allowed gap and where the difference in money is larger than the absolute gap.
    """
    model = linear_model([price, 3 * price], [[1, 1]], 4.5, INF, 0, 10, [False, True])
    stretched(monkeypatch, [4.5 - 5e-7, 0.0])
    monkeypatch.setattr(Session, "_mip_bound", lambda *_: price * (4.5 - 5e-7))
    outcome = Session(model, limits=Limits(mip_gap=0.0)).solve()
    assert outcome.x is not None
    assert model.worst_violation(outcome.x).relative <= 1e-10
    assert outcome.objective == pytest.approx(4.5 * price, rel=1e-11)
    assert outcome.bound == price * (4.5 - 5e-7)
    assert outcome.status is Status.OPTIMAL


@pytest.mark.parametrize("seed", [14, 30, 42])
def test_the_rest_is_solved_with_a_tight_tolerance(seed: int) -> None:
    """Rows that differ by 5e-8, where the usual tolerance of 1e-7 still breaks one of them."""
    rng = np.random.default_rng(seed)
    matrix = np.hstack([rng.integers(0, 5, (8, 6)), np.ones((8, 1))])
    needs = matrix @ [4.5, 3, 0, 0, 2, 1, 0] + np.where(rng.random(8) < 0.5, 5e-8, 0)
    cost = np.append(rng.integers(1, 9, 6), 100)
    model = linear_model(cost, matrix, needs, INF, 0, 50, [False] * 6 + [True])
    best = Session(model).solve().x
    assert best is not None
    stretched_point = np.maximum(best - np.append(np.full(6, 3e-7), 0), 0)
    given_back = Session(model)._with_true_integers(stretched_point)
    assert model.worst_violation(given_back).relative <= 1e-10


def test_a_stretched_point_stays_where_no_better_one_exists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows at odds by less than the tolerance: the point within tolerance is the answer."""
    model = linear_model(
        [2, 3], [[1, 1], [1, 1]], [4.5, -INF], [INF, 4.5 - 4e-7], 0, 10, [False, True]
    )
    point = np.array([4.5 - 2e-7, 0.0])
    assert np.array_equal(Session(model)._with_true_integers(point), point)


def test_progress_goes_to_stderr_only(capfd: pytest.CaptureFixture[str]) -> None:
    """The progress line leaves standard output to the caller."""
    solve_model(hard_knapsack(), time_limit_s=0.3, progress=True)
    assert capfd.readouterr().out == ""


def test_threads_do_not_mix_statuses() -> None:
    """Solves in several threads at once each get their own answer; handlers stay untouched."""
    before = signal.getsignal(signal.SIGINT)
    models = [UNBOUNDED["lp"], INFEASIBLE["lp"], hard_knapsack(12, 4), random_milp(3)] * 4
    expected = [solve_model(model, mip_gap=0.0) for model in models]
    got: dict[int, object] = {}

    def work(place: int) -> None:
        got[place] = solve_model(models[place], mip_gap=0.0)

    workers = [threading.Thread(target=work, args=(place,)) for place in range(len(models))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for place, solution in enumerate(expected):
        assert got[place].status == solution.status
        assert got[place].objective == solution.objective
    assert signal.getsignal(signal.SIGINT) is before


INTERRUPTED = """
import os, signal, sys, threading, time
sys.path.insert(0, {root!r})
from optmodels.solver import solve_model
from tests.solver.models import hard_knapsack, market_split
model = hard_knapsack() if sys.argv[1] == "incumbent" else market_split(7)
solve_model(hard_knapsack(5, 2))
print("ready", flush=True)
begin = time.monotonic()
solution = solve_model(model, time_limit_s=30)
print(solution.status, solution.interrupted, time.monotonic() - begin < 20, flush=True)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
@pytest.mark.parametrize(
    ("kind", "status"), [("incumbent", "feasible"), ("none", "no_solution_at_limit")]
)
def test_ctrl_c_returns_the_incumbent(kind: str, status: str) -> None:
    """A real SIGINT stops a hard MIP early; the incumbent comes back marked as interrupted."""
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(root=str(ROOT)), kind],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            timer = threading.Timer(1.0, child.send_signal, [signal.SIGINT])
            timer.start()
            out, _ = child.communicate(timeout=60)
        finally:
            # A failure here must not show up as a forgotten process in a later test.
            child.kill()
    assert out.split("\n")[:2] == [f"{status} True True", "True"]


def test_solution_texts() -> None:
    """The repr tells status, objective, bound, gap, size; HTML is escaped."""
    text = repr(solve_model(hard_knapsack(12, 4)))
    for word in ("optimal", "objective", "bound", "gap", "4 rows, 12 columns", "HiGHS"):
        assert word in text
    lie = solution_of(
        Outcome(Status.ERROR, message="<b>"), sense="minimize", solver="HiGHS", options={}
    )
    assert "&lt;b&gt;" in lie._repr_html_()
    with pytest.raises(SolverError, match="<b>"):
        lie.require()


def test_gap_is_relative_to_the_objective() -> None:
    """|objective - bound| / |objective|; zero distance is a zero gap even at objective zero."""
    facts = {"sense": "minimize", "solver": "", "options": {}}
    assert solution_of(Outcome(Status.FEASIBLE, 200.0, 150.0), **facts).gap == 0.25
    assert solution_of(Outcome(Status.OPTIMAL, 0.0, 0.0), **facts).gap == 0.0
    assert solution_of(Outcome(Status.FEASIBLE, 1.0, -INF), **facts).gap == INF
    assert solution_of(Outcome(Status.INFEASIBLE), **facts).gap is None


def test_limits_belong_to_the_session() -> None:
    """A session takes its limits as one checked object."""
    outcome = Session(market_split(), limits=Limits(time_limit_s=0.1)).solve()
    assert outcome.status is Status.NO_SOLUTION_AT_LIMIT
    assert outcome.bound == pytest.approx(0.0, abs=1e-9) or outcome.bound == -INF


def test_a_basis_is_carried_over_to_another_session() -> None:
    """From the basis of a solved LP another session needs no iteration, from a broken one some.

    A basis with one basic column too few is completed by HiGHS; one of a wrong length is refused.
    """
    rng = np.random.default_rng(0)
    model = linear_model(
        rng.uniform(1, 2, 12), rng.uniform(0.5, 1.5, (6, 12)), 5.0, np.inf, 0.0, np.inf
    )
    first = Session(model)
    assert first.basis() is None
    expected = first.solve()
    found = first.basis()
    assert found is not None
    columns, rows = found
    again = Session(model)
    again.start_from_basis(columns, rows)
    assert again.solve().objective == pytest.approx(expected.objective)
    assert again.highs.getInfo().simplex_iteration_count == 0
    kinds = highspy.HighsBasisStatus
    fewer = columns.copy()
    fewer[np.flatnonzero(columns == kinds.kBasic)[0]] = kinds.kLower
    other = Session(model)
    other.start_from_basis(fewer, rows)
    assert other.solve().objective == pytest.approx(expected.objective)
    with pytest.raises(SolverError):
        Session(model).start_from_basis(columns[1:], rows)


def test_options_of_a_session_are_checked() -> None:
    """Options set later reach HiGHS; unknown ones and wrong values are refused."""
    session = Session(linear_model(np.ones(2), np.ones((1, 2)), 1.0, np.inf, 0.0, np.inf))
    session.set_options({"simplex_strategy": 4})
    assert session.highs.getOptionValue("simplex_strategy")[1] == 4
    with pytest.raises(UsageError):
        session.set_options({"simplex_strategies": 4})
    with pytest.raises(UsageError):
        session.set_options({"simplex_strategy": "primal"})
