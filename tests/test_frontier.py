"""Trade-offs: the geometry, the search, the proof, and how a front is shown."""

from __future__ import annotations

import doctest
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optmodels as om
from optmodels import registry
from optmodels.errors import (
    InfeasibleError,
    NoSolutionError,
    SolverError,
    UsageError,
)
from optmodels.registry import Weighted
from optmodels.scaling.job import PROBLEM
from optmodels.trade_off.geometry import lower_hull, non_dominated, outer_corners, shortfalls
from tests.cli_runner import CAISO, ELASTIC, IMPOSSIBLE, refused, run
from tests.scaling.job.instances import CONCAVE, MEASURED, job, random_job

ROOT = Path(__file__).resolve().parent.parent
PAIR = ("energy_kwh", "carbon_g")
#: A second server does half the work of the first.
HALVING = [(1, 1.0, 1.0), (2, 1.5, 2.0)]


def test_non_dominated_keeps_the_better_of_near_equals():
    """Points are sorted; the dominated, the repeated and the almost repeated go."""
    points = np.array([[3, 1], [1, 5], [2, 6], [1, 4], [2, 2], [2 + 1e-9, 2], [2, 2]], dtype=float)
    assert non_dominated(points, np.array([1e-6, 1e-6])) == [3, 4, 0]


def test_lower_hull_leaves_out_what_a_mix_beats():
    """The third point is above the line from the second to the last; the fourth is on it."""
    points = np.array([[0, 10], [1, 4], [2, 3.5], [3, 2], [5, 0]], dtype=float)
    assert lower_hull(points).tolist() == [0, 1, 4]


def test_outer_corners_of_three_lines():
    """Of x ≥ 1, y ≥ 1, x + y ≥ 4 the corners are (1, 3) and (3, 1); weaker lines do nothing."""
    weights = np.array([[1, 0], [0, 1], [1, 1], [2, 1], [1, 0]], dtype=float)
    corners = outer_corners(weights, np.array([1, 1, 4, 2, 0.5]))
    assert corners == pytest.approx(np.array([[1, 3], [3, 1]]))
    alone = outer_corners(weights[:2], np.array([1.0, 2.0]))
    assert alone == pytest.approx(np.array([[1, 2]]))


def test_shortfalls_are_shares_of_the_scale():
    """The corner (1, 1) is half-way below the edge from (1, 3) to (3, 1): half of the scale 2."""
    points = np.array([[1, 3], [3, 1]], dtype=float)
    corners = np.array([[1, 1], [1, 3], [0, 3]], dtype=float)
    distance, side = shortfalls(corners, points, np.array([2.0, 2.0]))
    assert distance == pytest.approx([0.5, 0, 0.5])
    assert side.tolist() == [0, 0, -1]


def test_two_slots_by_hand():
    """Either half a slot of one server in the dirty slot, or a second server in the clean one.

    1.5 kWh and 300 g, or 2 kWh and 200 g; the front is the line between the two, and the bound of
    its weights proves it.
    """
    front = om.frontier(job([100, 400], profile=HALVING, work=1.5), PAIR)
    assert front.frame[list(PAIR)].to_numpy() == pytest.approx(np.array([[1.5, 300], [2, 200]]))
    assert front.uncertainty < 1e-9
    assert front.ending == "complete"
    assert front.outer.to_numpy() == pytest.approx(front.frame[list(PAIR)].to_numpy())


@settings(deadline=None, derandomize=True, max_examples=15)
@given(
    st.integers(0, 10**6),
    st.sampled_from([None, CONCAVE, MEASURED]),
    st.sampled_from([PAIR, ("switching_g", "execution_g")]),
    st.integers(2, 6),
)
def test_the_front_is_between_its_two_lines(seed, profile, pair, points):
    """For any weights the least sum, found by an LP, is between outer corners and points.

    And the two differ by at most the uncertainty: it would be too small if it forgot an edge.
    """
    rng = np.random.default_rng(seed)
    inst = random_job(rng, slots=int(rng.integers(2, 14)), profile=profile)
    front = om.frontier(inst, pair, points=points)
    at, outer = front.frame[list(pair)].to_numpy(), front.outer.to_numpy()
    assert len(at) <= points
    assert (np.diff(at[:, 0]) > 0).all()
    assert (np.diff(at[:, 1]) < 0).all()
    assert (front.frame["bound"] <= front.frame["value"]).all()
    scale = np.maximum(np.ptp(at, axis=0), 1e-6 * np.abs(at).max(axis=0))
    for share in (0.0, 1e-3, *rng.random(3), 1.0):
        weights = np.array([share, 1 - share]) / np.where(scale > 0, scale, 1.0)
        lp = weighted_by_lp(inst, dict(zip(pair, weights, strict=True)))
        least, most = (outer @ weights).min(), (at @ weights).min()
        slack = 1e-6 * max(abs(lp), 1)
        assert least <= lp + slack
        assert lp <= most + slack
        assert most - least <= front.uncertainty + slack


def weighted_by_lp(inst, weights):
    """Least weighted sum by HiGHS: the formulation with an objective of its own."""
    from optmodels.scaling.job.model import formulation, model_data

    data = model_data(inst)
    per_gram = weights.get("carbon_g", 0) + weights.get("execution_g", 0)
    per_kwh = weights.get("energy_kwh", 0) * inst.slot_hours
    data["carbon_g_per_kw"] = per_gram * data["carbon_g_per_kw"] + per_kwh
    data["switching_g"] *= weights.get("carbon_g", 0) + weights.get("switching_g", 0)
    return om.solve_model(formulation(), data=data).require().objective


@pytest.mark.parametrize("seed", range(6))
def test_ends_are_the_best_of_the_best(seed):
    """Each end is optimal in one objective and, among those plans, in the other.

    The second is proven by an LP that holds the first at its optimum. Weights of (1, 0) alone would
    leave the carbon of the plan of least energy to chance.
    """
    import pyomo.environ as pyo

    inst = random_job(np.random.default_rng(seed), slots=10, profile=CONCAVE)
    frame = om.frontier(inst, PAIR, points=2).frame
    model = inst.model()
    levels = dict(zip(model.levels, inst.levels.power_kw[1:], strict=True))
    energy = sum(
        levels[k] * inst.slot_hours * model.share[t, k] for t in model.slots for k in model.levels
    )
    least = float(frame["energy_kwh"].iloc[0])
    model.least_energy = pyo.Constraint(expr=energy <= least)
    carbon = om.solve_model(model).require().objective
    assert frame["carbon_g"].iloc[0] == pytest.approx(carbon, rel=1e-5)
    model.del_component("least_energy")
    model.least_carbon = pyo.Constraint(expr=model.emissions.expr <= frame["carbon_g"].iloc[-1])
    model.emissions.deactivate()
    model.energy = pyo.Objective(expr=energy)
    kwh = om.solve_model(model).require().objective
    assert frame["energy_kwh"].iloc[-1] == pytest.approx(kwh, rel=1e-5)
    assert frame["carbon_g"].iloc[-1] == pytest.approx(om.solve(inst).objective, rel=1e-9)


def test_more_points_know_more():
    """The uncertainty falls with the number of points, and every plan is the one of its row."""
    inst = om.load(ELASTIC)
    fronts = [om.frontier(inst, PAIR, points=n) for n in (2, 4, 8, 16)]
    known = [front.uncertainty for front in fronts]
    assert known == sorted(known, reverse=True)
    assert known[-1] < known[0] / 20
    for front in fronts:
        assert front.ending == "points"
        for (_, row), plan in zip(front.frame.iterrows(), front.plans, strict=True):
            assert plan.objective == row["carbon_g"]
            assert plan.cost["energy_kwh"] == row["energy_kwh"]
            assert plan.cost["switching_g"] == row["switching_g"]
            assert plan.audit.ok


def test_one_rate_has_no_trade_off():
    """At one rate all plans draw the same energy: the front is the optimum alone."""
    inst = om.load(CAISO)
    front = om.frontier(inst, PAIR)
    assert len(front.frame) == 1
    assert front.frame["carbon_g"].iloc[0] == pytest.approx(om.solve(inst).objective, rel=1e-12)
    assert front.uncertainty < 1e-6


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([None, CONCAVE, MEASURED]))
def test_weighted_sums_of_a_job(seed, profile):
    """Bound and value meet; only the ratio of weights counts; all carbon is both of its parts."""
    rng = np.random.default_rng(seed)
    inst = random_job(rng, slots=9, profile=profile)
    carbon, energy = rng.random(2)
    found = PROBLEM.weigh(inst, {"carbon_g": carbon, "energy_kwh": energy})
    assert found.bound == pytest.approx(found.value, rel=1e-9)
    by_parts = {"execution_g": carbon, "switching_g": carbon, "energy_kwh": energy}
    assert PROBLEM.weigh(inst, by_parts).value == pytest.approx(found.value, rel=1e-9)
    tenfold = {"carbon_g": 10 * carbon, "energy_kwh": 10 * energy}
    assert PROBLEM.weigh(inst, tenfold).value == pytest.approx(10 * found.value, rel=1e-9)
    assert PROBLEM.weigh(inst, {"carbon_g": 1}).value == pytest.approx(
        om.solve(inst).objective, rel=1e-9
    )


def test_weighted_plan_can_be_saved_and_checked(tmp_path):
    """A plan of the front is a plan of the instance: stored, it passes the check."""
    inst = om.load(ELASTIC)
    plan = om.frontier(inst, PAIR, points=2).plans[0]
    assert plan.bound is None
    assert "energy_kwh" in plan.provenance.method
    again = om.check(inst, plan.save(tmp_path / "plan.json"))
    assert again.objective == pytest.approx(plan.objective, rel=1e-12)


def test_refusals_of_weights():
    """Unknown objectives, weights that are none, and problems without a trade-off are refused."""
    inst = om.load(CAISO)
    with pytest.raises(UsageError, match="Did you mean 'carbon_g'"):
        PROBLEM.weigh(inst, {"carbon": 1})
    with pytest.raises(UsageError, match="weight of 'carbon_g' is -1"):
        PROBLEM.weigh(inst, {"carbon_g": -1})
    with pytest.raises(UsageError, match="All weights are 0"):
        PROBLEM.weigh(inst, {"carbon_g": 0})
    with pytest.raises(UsageError, match="no trade-off"):
        replace(PROBLEM, weighted=None).weigh(inst, {"carbon_g": 1})


def test_refusals_of_questions(monkeypatch):
    """One objective, the same twice, too few points, no time: each says what is allowed."""
    inst = om.load(CAISO)
    for pair in ((), "carbon_g", ("carbon_g", "carbon_g"), (*PAIR, "execution_g")):
        with pytest.raises(UsageError, match="two different objectives"):
            om.frontier(inst, pair)
    with pytest.raises(UsageError, match="Unknown objective"):
        om.frontier(inst, ("energy_kwh", "money"))
    for points in (1, True, 2.5):
        with pytest.raises(UsageError, match="a whole number from 2"):
            om.frontier(inst, points=points)
    with pytest.raises(UsageError, match="time limit"):
        om.frontier(inst, time_limit_s=0)
    with pytest.raises(InfeasibleError, match="has no plan"):
        om.frontier(IMPOSSIBLE)
    monkeypatch.setattr(registry, "problem", lambda _: replace(PROBLEM, weighted=None))
    with pytest.raises(UsageError, match="no trade-off"):
        om.frontier(inst)


def oracle(monkeypatch, change):
    """Let an oracle that is changed in some way answer for the job."""

    def weighted(instance, weights, **limits):
        return change(PROBLEM.weighted(instance, weights, **limits), weights)

    monkeypatch.setattr(registry, "problem", lambda _: replace(PROBLEM, weighted=weighted))


def test_gaps_are_reported_and_end_the_search(monkeypatch):
    """An oracle with a gap of 1 % gives a front that says so and still holds the true one."""
    inst = job([100, 200, 300, 400], profile=HALVING, work=2.5)
    exact = om.frontier(inst, PAIR, points=30)
    oracle(monkeypatch, lambda w, _: Weighted(w.plan, w.value, 0.99 * w.value))
    front = om.frontier(inst, PAIR, points=30)
    assert front.ending == "complete"
    assert front.frame["gap"].to_numpy() == pytest.approx(0.01)
    assert 0.01 < front.uncertainty < 1
    for weights in front.frame[["weight_energy_kwh", "weight_carbon_g"]].to_numpy():
        least = (exact.frame[list(PAIR)].to_numpy() @ weights).min()
        assert (front.outer.to_numpy() @ weights).min() <= least * (1 + 1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w, _: Weighted(w.plan, w.value, 1.01 * w.value), "claims a weighted sum"),
        (lambda w, _: Weighted(w.plan, 1.01 * w.value, w.value), "claims a weighted sum"),
    ],
)
def test_claims_that_the_plan_contradicts_are_refused(monkeypatch, change, words):
    """A bound above the plan's own value, or a value that is not the plan's, is no answer."""
    oracle(monkeypatch, change)
    with pytest.raises(SolverError, match=words):
        om.frontier(om.load(ELASTIC), PAIR)


def test_bounds_that_other_plans_contradict_are_refused(monkeypatch):
    """An oracle that misses the optimum claims a bound above plans that another solve found."""
    inst = om.load(ELASTIC)
    wasteful = PROBLEM.weigh(inst, {"energy_kwh": 1, "carbon_g": 1e-6}).plan

    def stubborn(found, weights):
        if weights["energy_kwh"] == 0:
            return found
        value = sum(w * wasteful.cost[PROBLEM.objectives[n]] for n, w in weights.items())
        return Weighted(wasteful, value, value)

    oracle(monkeypatch, stubborn)
    with pytest.raises(SolverError, match="claimed to be the least"):
        om.frontier(inst, PAIR)


def test_time_limit_leaves_a_front_with_its_proof(monkeypatch):
    """After the ends the limit ends the search, not the answer; before them there is none."""
    inst = om.load(ELASTIC)
    solves = []

    def slow(found, weights):
        solves.append(weights)
        if len(solves) > 5:
            raise NoSolutionError("too late")
        return found

    oracle(monkeypatch, slow)
    front = om.frontier(inst, PAIR)
    assert front.ending == "time"
    assert front.solves == 5
    assert 0 < front.uncertainty < 1
    with pytest.raises(NoSolutionError, match="too late"):
        om.frontier(inst, PAIR)
    with pytest.raises(NoSolutionError, match="before both ends"):
        om.frontier(inst, PAIR, time_limit_s=1e-12)


def test_without_a_bound_there_is_no_front(monkeypatch):
    """A search that proves nothing within its limit is not taken for a proof."""
    oracle(monkeypatch, lambda w, _: Weighted(w.plan, w.value, -np.inf))
    with pytest.raises(NoSolutionError, match="anything was proven"):
        om.frontier(om.load(ELASTIC), PAIR)


def test_shown_in_terminal_and_notebook():
    """Both forms tell the question, all points and what is proven; the frame is a copy."""
    front = om.frontier(ELASTIC, PAIR, points=4)
    for text in (repr(front), front._repr_html_()):
        assert "energy_kwh against carbon_g, 4 points" in text
        assert "No plan is better than a mix of these by more than" in text
    columns = list(front.frame.columns)
    assert columns[:4] == [*PAIR, "weight_energy_kwh", "weight_carbon_g"]
    assert {"value", "bound", "gap", "execution_g", "switching_g"} <= set(columns)
    assert "total" not in columns
    copy = front.to_frame()
    copy["carbon_g"] = 0.0
    assert (front.frame["carbon_g"] > 0).all()


def test_drawing():
    """Axes with units, the outer line dashed, the dominated region filled, in greys alone."""
    front = om.frontier(ELASTIC, PAIR, points=4)
    [ax] = front.plot().axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("energy [kWh]", "carbon [g]")
    outer, inner = ax.get_lines()
    assert outer.get_linestyle() == "--"
    assert np.asarray(inner.get_xdata()) == pytest.approx(front.frame["energy_kwh"].to_numpy())
    (region,) = ax.patches
    for colour in (outer.get_color(), inner.get_color()):
        assert 0 <= float(colour) < 1
    assert len(set(region.get_facecolor()[:3])) == 1
    assert front.plot(ax) is ax.figure


def test_saving(tmp_path):
    """Points as CSV, drawings by the end of the name; other names are refused."""
    front = om.frontier(ELASTIC, PAIR, points=3)
    read = pd.read_csv(front.save(tmp_path / "front.csv"))
    assert read["carbon_g"].to_list() == front.frame["carbon_g"].to_list()
    with pytest.raises(UsageError, match=r"not as 'front\.xls'"):
        front.save(tmp_path / "front.xls")
    assert front.save(tmp_path / "new" / "front.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        front.save(tmp_path / "taken.svg")


def test_command_line(tmp_path):
    """``frontier`` prints the table, or one JSON document with the proof, and saves the points."""
    file = tmp_path / "front.csv"
    ending = run("frontier", ELASTIC, "--points", 3, "--out", file)
    assert ending.code == 0, ending
    assert "energy_kwh against carbon_g, 3 points" in ending.out
    assert len(pd.read_csv(file)) == 3
    found = run(
        "frontier", ELASTIC, "--objectives", "carbon_g, energy_kwh", "--points", 3, "--json"
    )
    record = found.json
    assert record["objectives"] == ["carbon_g", "energy_kwh"]
    assert len(record["points"]) == 3
    assert {"outer", "uncertainty", "ending", "fingerprint", "carbon"} <= set(record)
    assert all(point["bound"] <= point["value"] for point in record["points"])


def test_command_line_refusals(tmp_path):
    """Wrong usage ends with 2 and infeasible with 3, without a traceback or a file."""
    refused(run("frontier", ELASTIC, "--objectives", "carbon_g"), "two different objectives")
    refused(
        run("frontier", ELASTIC, "--objectives", "carbon,energy_kwh"), "Did you mean 'carbon_g'"
    )
    refused(run("frontier", ELASTIC, "--points", 1), "a whole number from 2")
    refused(run("frontier", ELASTIC, "--out", tmp_path / "front.doc"), ".png")
    refused(run("frontier", IMPOSSIBLE), "has no plan", code=3)
    assert not list(tmp_path.iterdir())


def test_examples_of_the_page_and_the_docstring(monkeypatch):
    """Every example gives the output it shows, and every test file that is named exists."""
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "frontier.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    example = doctest.DocTestParser().get_doctest(blocks, {}, "frontier", "frontier.md", 0)
    assert len(example.examples) > 15
    assert doctest.DocTestRunner().run(example).failed == 0
    for mentioned in re.findall(r"`(tests/[^`]+\.py)`", text):
        assert (ROOT / mentioned).exists(), mentioned
    found = doctest.testmod(import_module("optmodels.trade_off.search"))
    assert (found.attempted, found.failed) == (4, 0)
