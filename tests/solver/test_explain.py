"""Explanations: irreducible sets are infeasible and irreducible; elastic answers are minimal."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import NoSolutionError, UsageError
from optmodels.solver import Conflict, explain_model, solve_model
from optmodels.solver.linear import LinearModel

from .models import dispatch, linear_model, market_split, random_lp

INF = np.inf


def only(model: LinearModel, conflict: Conflict, without: int | None = None) -> LinearModel:
    """The model with the conflict's limits alone, one of them left out."""
    sides = {
        "row lower": np.full(model.rows, -INF),
        "row upper": np.full(model.rows, INF),
        "bound lower": np.full(model.columns, -INF),
        "bound upper": np.full(model.columns, INF),
    }
    source = dict(
        zip(
            sides,
            (model.row_lower, model.row_upper, model.column_lower, model.column_upper),
            strict=True,
        )
    )
    for place, (kind, index) in enumerate(
        zip(conflict.frame["kind"], conflict.frame["index"], strict=True)
    ):
        if place != without:
            sides[kind][index] = source[kind][index]
    return linear_model(np.zeros(model.columns), model.matrix.toarray(), *sides.values())


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 10**6))
def test_sets_are_infeasible_and_irreducible(seed: int) -> None:
    """Solving the set alone is infeasible; without any one member it is feasible.

    HiGHS's default ``getIis`` answers "valid" with an empty set, which the first half refuses; a
    Farkas set without the deletion filter would fail the second.
    """
    model = random_lp(seed, rows=9, columns=4)
    rng = np.random.default_rng(seed)
    shift = np.where(rng.random(9) < 0.4, 6.0, 0.0)
    model = linear_model(
        model.cost,
        model.matrix.toarray(),
        model.row_lower + shift,
        model.row_upper + shift,
        model.column_lower,
        model.column_upper,
    )
    conflict = explain_model(model)
    if solve_model(model).status != "infeasible":
        assert conflict.kind == "feasible"
        assert conflict.frame.empty
        return
    assert conflict.kind == "irreducible"
    assert len(conflict.frame)
    assert solve_model(only(model, conflict)).status == "infeasible"
    for place in range(len(conflict.frame)):
        assert solve_model(only(model, conflict, place)).status == "optimal"


def test_the_words_of_the_model() -> None:
    """Components, indices, algebra, and the constraint's doc as the sentence."""
    conflict = explain_model(dispatch(peak=9.0))
    assert conflict.kind == "irreducible"
    assert list(conflict.frame.columns) == ["component", "index", "kind", "text", "violation"]
    found = set(zip(*(conflict.frame[c] for c in ("component", "index", "kind")), strict=True))
    assert found == {
        ("connection", 7, "row upper"),
        ("demand", 7, "row lower"),
        ("contract", None, "row upper"),
    }
    text = " ".join(conflict.sentences())
    assert (
        "The grid connection limits the power of all sites together "
        "(connection[7]: power[a,7] + power[b,7] <= 8)." in conflict.sentences()
    )
    assert "contract: bought[7] <= 0.5." in text
    assert "demand[7]" in repr(conflict)
    assert "&lt;= 8" in conflict._repr_html_()


def test_bounds_and_tuples_in_conflicts() -> None:
    """Bounds of variables take part, with tuple indices kept as tuples."""
    m = dispatch()
    m.both = pyo.Constraint(m.H, rule=lambda m, h: m.power["a", h] >= (5.5 if h == 2 else 0))
    frame = explain_model(m).frame
    assert set(zip(frame["component"], frame["index"], frame["kind"], strict=True)) == {
        ("power", ("a", 2), "bound upper"),
        ("both", 2, "row lower"),
    }
    assert "power[a,2] <= 5" in frame["text"].tolist()


@pytest.mark.parametrize(
    ("model", "members"),
    [
        (linear_model([1], [[1]], -INF, INF, 2, 1), 2),
        (linear_model([1], [[1]], 2, 1, 0, 5), 2),
        (linear_model([1], [[1]], -INF, INF, 0.2, 0.8, True), 2),
        (linear_model([1], [[0]], 1, 2, 0, 5), 1),
        (linear_model([], np.zeros((1, 0)), 1, 2, 0, 0), 1),
    ],
)
def test_limits_that_contradict_themselves(model: LinearModel, members: int) -> None:
    """Crossed bounds and rows, no integer between, false rows without variables."""
    conflict = explain_model(model)
    assert conflict.kind == "irreducible"
    assert len(conflict.frame) == members


def test_false_constant_constraint_of_pyomo() -> None:
    """A constraint on fixed variables alone is named."""
    m = dispatch()
    m.bought[7].fix(0.75)
    conflict = explain_model(m)
    assert conflict.frame["component"].tolist() == ["contract"]


def parity() -> pyo.ConcreteModel:
    """Two of three switches make 2, three make 6: never 3. Only integrality forbids it."""
    m = pyo.ConcreteModel()
    m.z = pyo.Var([1, 2, 3], domain=pyo.Binary)
    m.exactly = pyo.Constraint(expr=2 * m.z[1] + 2 * m.z[2] + 2 * m.z[3] == 3, doc="Three needed")
    m.few = pyo.Constraint(expr=m.z[1] + m.z[2] + m.z[3] <= 2)
    m.goal = pyo.Objective(expr=m.z[1])
    return m


def test_integrality_alone() -> None:
    """The relaxation is feasible: the rows that must give way, and by how much."""
    m = parity()
    conflict = explain_model(m)
    assert conflict.kind == "elastic"
    assert conflict.proven
    assert conflict.frame["component"].tolist() == ["exactly"]
    assert conflict.frame["violation"].tolist() == pytest.approx([1.0])
    assert "missed by 1." in conflict.sentences()[0]


def test_weights_move_the_violation() -> None:
    """A dear constraint is kept at the price of a cheap one."""
    m = pyo.ConcreteModel()
    m.z = pyo.Var(domain=pyo.Integers, bounds=(0, 5))
    m.low = pyo.Constraint(expr=3 * m.z >= 4)
    m.high = pyo.Constraint(expr=3 * m.z <= 5)
    for dear, broken, amount in (("low", "high", 1.0), ("high", "low", 1.0)):
        conflict = explain_model(m, weights={dear: 50.0})
        assert conflict.frame["component"].tolist() == [broken]
        assert conflict.frame["violation"].tolist() == pytest.approx([amount])


def test_feasible_models() -> None:
    """Nothing to explain: an empty frame, in words; for integer models too."""
    for model in (dispatch(), linear_model([1], [[2]], 1, 4, 0, 5, True)):
        conflict = explain_model(model)
        assert conflict.kind == "feasible"
        assert conflict.frame.empty
        assert "feasible" in repr(conflict)


def test_unfit_arguments() -> None:
    """Unknown components and weights that are not positive are refused."""
    with pytest.raises(UsageError, match="'exactly'"):
        explain_model(parity(), weights={"exactl": 2})
    for weight in (0, -1, float("nan"), float("inf"), True, "big"):
        with pytest.raises(UsageError, match="exactly"):
            explain_model(parity(), weights={"exactly": weight})
    with pytest.raises(UsageError, match="time_limit_s"):
        explain_model(parity(), time_limit_s=0)


def test_time_limit() -> None:
    """Too little time for an answer is told as that, never as an answer."""
    with pytest.raises(NoSolutionError, match="time_limit_s"):
        explain_model(market_split(7), time_limit_s=0.3)
