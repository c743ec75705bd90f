"""Changing parameters of a program: the arrays of a fresh one, at a fraction of the work."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

from optmodels import errors
from optmodels.solver.session import Session
from optmodels.solver.template import Formulation, Program
from optmodels.solver.template.assembly import Assembly, RowBlock
from tests.solver import random_models

ARRAYS = (
    "cost", "starts", "indices", "coefficients", "row_lower", "row_upper", "column_lower",
    "column_upper", "integer",
)  # fmt: skip


def assert_identical(one, other) -> None:
    """Two models have the same arrays to the last digit, in the same order."""
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.offset, one.maximize) == (other.offset, other.maximize)


@pytest.mark.parametrize("block", range(4))
def test_update_equals_fresh_compile(block: int) -> None:
    """Any sequence of changes gives exactly what compiling the changed data would give.

    Among them are values that become zero (entries vanish) and come back, costs, limits, bounds,
    and a parameter that says which member of a variable is meant.
    """
    for seed in range(10 * block, 10 * block + 10):
        model, data = random_models.random_model(seed)
        formulation = Formulation(model)
        program = formulation.compile(data)
        rng = np.random.default_rng(seed)
        sizes = (len(data["A"]), len(data["B"]), data["T"], len(data["F"][0]))
        for _ in range(5):
            fresh = random_models.values(rng, *sizes)
            names = rng.choice(sorted(fresh), size=int(rng.integers(1, 5)), replace=False)
            changes = {name: fresh[name] for name in names}
            before = program.linear
            after = program.update(**changes)
            data = {**data, **changes}
            assert_identical(after, formulation.compile(data).linear)
            for name in ARRAYS:
                old, new = getattr(before, name), getattr(after, name)
                assert (old is new) == np.array_equal(old, new), f"{name} is copied or stale"


def test_rows_put_again_keep_their_pattern() -> None:
    """New coefficients in the same places share the pattern; other places, or rows, have their own.

    Sharing is what makes a rolling horizon cheap; sharing wrongly would put coefficients elsewhere.
    """

    def rows(values: list[float], columns: list[int], counts: object = 2) -> RowBlock:
        return RowBlock(
            len(values) // 2, counts, np.array(columns, dtype=np.int32), np.array(values)
        )

    matrix = Assembly(3)
    matrix.put("a", rows([1.0, 2.0, 3.0, 4.0], [0, 1, 1, 2]))
    starts, indices, _ = matrix.matrix()
    for values in ([5.0, 6.0, 7.0, 8.0], [1.0, 1.0, 2.0, 2.0]):
        matrix.put("a", rows(values, [0, 1, 1, 2]))
        again = matrix.matrix()
        assert again[0] is starts and again[1] is indices
        assert again[2].tolist() == [values[0], values[1], values[2], values[3]]
    matrix.put("a", rows([5.0, 6.0, 7.0, 8.0], [0, 1, 0, 2]))
    assert matrix.matrix()[1].tolist() == [0, 1, 0, 1]
    matrix.put("a", rows([5.0, 6.0, 7.0, 8.0], [0, 1, 0, 2], np.array([1, 3])))
    assert matrix.matrix()[1].tolist() == [0, 1, 1, 1]


def window() -> tuple[Formulation, dict]:
    """A small dispatch with every role a parameter can have."""
    m = pyo.AbstractModel()
    m.S, m.T = pyo.Set(), pyo.Set()
    for name, index in {
        "demand": (m.T,), "price": (m.S, m.T), "rate": (m.S,), "cap": (m.S,), "fee": (), "late": (),
    }.items():  # fmt: skip
        setattr(m, name, pyo.Param(*index, mutable=True))
    m.x = pyo.Var(m.S, m.T, bounds=lambda m, s, t: (0, m.cap[s]))
    m.u = pyo.Var(m.T, within=pyo.NonNegativeReals)
    m.serve = pyo.Constraint(
        m.T, rule=lambda m, t: sum(m.rate[s] * m.x[s, t] for s in m.S) + m.u[t] == m.demand[t]
    )
    m.most = pyo.Constraint(m.T, rule=lambda m, t: sum(m.x[s, t] for s in m.S) <= 9)
    m.goal = pyo.Objective(
        rule=lambda m: (
            sum(m.price[s, t] * m.x[s, t] for s in m.S for t in m.T)
            + sum(m.late * m.u[t] for t in m.T)
            + m.fee
        )
    )
    sites, slots = ["a", "b"], np.arange(3)
    data = {
        "S": sites, "T": slots, "demand": np.ones(3), "price": np.ones((2, 3)), "rate": [1.0, 2.0],
        "cap": [3.0, 4.0], "fee": 1.0, "late": 9.0,
    }  # fmt: skip
    return Formulation(m), data


@pytest.mark.parametrize(
    ("name", "value", "evaluated", "changed"),
    [
        ("demand", [2.0, 1.0, 1.0], ["_limits serve"], {"row_lower", "row_upper"}),
        ("price", np.full((2, 3), 2.0), ["_objective"], {"cost"}),
        ("fee", 5.0, ["_objective"], set()),
        ("rate", [3.0, 2.0], ["_family serve"], {"coefficients"}),
        ("cap", [5.0, 4.0], ["_bounds x"], {"column_upper"}),
        ("demand", np.ones(3), [], set()),
    ],
)
def test_only_what_names_a_parameter_is_evaluated(monkeypatch, name, value, evaluated, changed):
    """One changed parameter costs the families that name it, and no array it does not touch."""
    formulation, data = window()
    program = formulation.compile(data)
    calls = []

    def counting(method):
        original = getattr(Program, method)

        def call(self, *arguments, **keywords):
            names = [getattr(getattr(a, "component", a), "local_name", a) for a in arguments]
            calls.append(" ".join([method, *map(str, names)]))
            return original(self, *arguments, **keywords)

        return call

    for method in ("_family", "_limits", "_bounds", "_objective"):
        monkeypatch.setattr(Program, method, counting(method))
    before = program.linear
    after = program.update(**{name: value})
    assert calls == evaluated
    assert {n for n in ARRAYS if getattr(before, n) is not getattr(after, n)} == changed
    assert after.offset == (5.0 if name == "fee" else 1.0)


def test_bad_update_changes_nothing():
    """A refused change leaves data and arrays as they were, and names every fault."""
    formulation, data = window()
    program = formulation.compile(data)
    before = program.linear
    for bad, error, words in (
        ({"demands": [1.0]}, errors.UsageError, "demand"),
        ({"demand": [1.0, 2.0]}, errors.InputError, "wrong shape"),
        ({"fee": 2.0, "demand": [1.0, np.nan, 2.0]}, errors.InputError, "demand[1]"),
        ({"S": ["a"]}, errors.UsageError, "Unknown parameter"),
    ):
        with pytest.raises(error, match=words.replace("[", r"\[")):
            program.update(**bad)
        assert program.linear is before
    assert_identical(program.update(fee=1.5), formulation.compile({**data, "fee": 1.5}).linear)


def test_bad_place_is_undone():
    """A parameter that points outside the set is refused, and forgotten."""
    m = pyo.AbstractModel()
    m.T = pyo.Set()
    m.at, m.k = pyo.Param(), pyo.Param(mutable=True)
    m.x = pyo.Var(m.T)
    m.c = pyo.Constraint(rule=lambda m: m.x[m.at] <= m.k)
    formulation = Formulation(m)
    data = {"T": [1, 2, 3], "at": 2, "k": 1.0}
    program = formulation.compile(data)
    with pytest.raises(errors.InputError, match=r"'x'.* 7"):
        program.update(at=7)
    assert_identical(program.linear, formulation.compile(data).linear)
    assert_identical(program.update(k=4.0), formulation.compile({**data, "k": 4.0}).linear)
    assert_identical(program.update(at=3), formulation.compile({**data, "k": 4.0, "at": 3}).linear)


def test_size_of_a_set_cannot_change():
    """A parameter that a RangeSet is made of decides how many columns there are."""
    m = pyo.AbstractModel()
    m.n = pyo.Param(within=pyo.PositiveIntegers)
    m.T = pyo.RangeSet(m.n)
    m.x = pyo.Var(m.T, bounds=(0, 1))
    m.goal = pyo.Objective(rule=lambda m: sum(m.x[t] for t in m.T), sense=pyo.maximize)
    program = Formulation(m).compile({"n": 3})
    assert program.linear.columns == 3
    with pytest.raises(errors.UsageError, match="compile anew"):
        program.update(n=4)


def test_session_follows_updates():
    """A living solver that is fed updates finds what a fresh one finds."""
    formulation, data = window()
    program = formulation.compile(data)
    session = Session(program.linear)
    rng = np.random.default_rng(5)
    for _ in range(6):
        changes = {
            "demand": rng.uniform(1, 9, 3), "price": rng.uniform(1, 3, (2, 3)),
            "rate": rng.uniform(1, 2, 2), "cap": rng.uniform(1, 4, 2), "fee": float(rng.random()),
        }  # fmt: skip
        session.update(program.update(**changes))
        expected = Session(formulation.compile({**data, **changes}).linear).solve()
        assert session.solve().objective == pytest.approx(expected.objective, rel=1e-9)
