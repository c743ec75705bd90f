"""Rules one by one: what is compiled, how it is labelled, and what is left to the other path."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest

from optmodels.errors import InputError
from optmodels.solver import solve_model
from optmodels.solver.pyomo_standard import compile_pyomo
from optmodels.solver.template import Formulation, NotTraceableError, instance_of
from tests.solver.comparing import assert_same


def model(**components) -> pyo.AbstractModel:
    """AbstractModel with sets A and T, parameters a and k, variables x and z, and more."""
    m = pyo.AbstractModel()
    m.A, m.T = pyo.Set(), pyo.Set()
    m.J = pyo.Set(m.A)
    m.a = pyo.Param(m.A, mutable=True)
    m.k = pyo.Param(mutable=True)
    m.x = pyo.Var(m.A, m.T, bounds=(0, 10))
    m.z = pyo.Var()
    for name, make in components.items():
        setattr(m, name, make(m))
    return m


DATA = {
    "A": ["u", "v", "w"], "T": np.arange(1, 4), "J": ([0, 2, 2, 3], [1, 3, 2]),
    "a": [1.0, -2.0, 0.0], "k": 3.0,
}  # fmt: skip


def rows(rule, *index, data=DATA) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dense matrix and limits of one constraint family; also compared with Pyomo's."""
    m = model(c=lambda m: pyo.Constraint(*(getattr(m, name) for name in index), rule=rule))
    compiled = Formulation(m).compile(data).linear
    assert_same(compiled, compile_pyomo(instance_of(m, data)))
    return compiled.matrix.toarray(), compiled.row_lower, compiled.row_upper


def test_sum_over_a_list_of_each_index():
    """A sum over J[a] takes each row's own members; an empty list gives an empty row."""
    matrix, _, upper = rows(lambda m, a: sum(m.x[a, t] for t in m.J[a]) <= m.a[a] + m.k, "A")
    x = matrix[:, :9].reshape(3, 3, 3)
    assert x[0, 0].tolist() == [1, 0, 1] and x[1].sum() == 0 and x[2, 2].tolist() == [0, 1, 0]
    assert upper.tolist() == [4, 1, 3]


def test_columns_that_stand_twice_are_added():
    """A column twice in a row is added up: directly, in a sum, and through an Expression."""
    assert rows(lambda m, a: m.x[a, 1] + m.x[a, 1] <= m.k, "A")[0].max() == 2
    assert rows(lambda m, a: sum(m.z for t in m.T) <= m.k, "A")[0].tolist() == [[0] * 9 + [3]] * 3
    m = model(
        e=lambda m: pyo.Expression(m.A, m.T, rule=lambda m, a, t: m.x[a, 1]),
        c=lambda m: pyo.Constraint(m.A, rule=lambda m, a: sum(m.e[a, t] for t in m.T) <= m.k),
        d=lambda m: pyo.Constraint(m.A, rule=lambda m, a: sum(m.z for t in m.J[a]) <= m.k),
    )
    compiled = Formulation(m).compile(DATA).linear
    assert compiled.matrix.toarray().max() == 3
    assert np.unique(np.diff(compiled.matrix.tocsr().indptr)).tolist() == [0, 1]
    assert_same(compiled, compile_pyomo(instance_of(m, DATA)))


def test_as_many_list_members_as_rows():
    """Three rows, and three members of lists in all: rows and members are still told apart."""
    matrix = rows(lambda m, a: m.x[a, 3] + sum(m.x[a, t] for t in m.J[a]) <= m.k, "A")[0]
    assert matrix[0, :3].tolist() == [1, 0, 2] and matrix[2, 6:9].tolist() == [0, 1, 1]


def test_factors_reach_through_several_sums():
    """A factor before sums over lists and grids, in either order, meets its own row's terms."""
    for rule in (
        lambda m, a: m.a[a] * sum(m.x[a, t] + s * m.z for t in m.J[a] for s in m.T) <= m.k,
        lambda m, a: m.a[a] * sum(s * m.x[a, t] - m.z for s in m.T for t in m.J[a]) <= m.k,
        lambda m, a: m.a[a] * sum(m.a[a] * sum(m.x[b, t] for b in m.A) for t in m.J[a]) <= m.k,
    ):
        rows(rule, "A")


def test_terms_that_cancel_leave_no_entry():
    """Terms x - x and 0 x are no entries, as in Pyomo's own form."""
    matrix = Formulation(
        model(c=lambda m: pyo.Constraint(m.A, rule=lambda m, a: m.x[a, 1] - m.x[a, 1] + m.z <= m.k))
    ).compile(DATA)
    assert matrix.linear.nonzeros == 3
    assert rows(lambda m, a: m.a[a] * m.x[a, 2] + m.z <= m.k, "A")[0][2].sum() == 1


def test_rows_are_turned_as_pyomo_turns_them():
    """``>=`` keeps the signs of its body, so that duals are those of the model as written."""
    for rule, low, high, sign in (
        (lambda m, a: m.x[a, 1] >= m.a[a], DATA["a"], [np.inf] * 3, 1),
        (lambda m, a: m.a[a] <= m.x[a, 1], DATA["a"], [np.inf] * 3, 1),
        (lambda m, a: m.a[a] >= m.x[a, 1], [-np.inf] * 3, DATA["a"], 1),
        (lambda m, a: m.x[a, 1] <= m.a[a], [-np.inf] * 3, DATA["a"], 1),
        (lambda m, a: m.a[a] == m.x[a, 1], DATA["a"], DATA["a"], 1),
        (lambda m, a: m.x[a, 1] >= m.z + m.a[a], [-np.inf] * 3, [-1, 2, 0], -1),
        (lambda m, a: (m.a[a], m.x[a, 1] + 1, m.k), [0, -3, -1], [2, 2, 2], 1),
    ):
        matrix, lower, upper = rows(rule, "A")
        assert matrix[0, 0] == sign
        np.testing.assert_array_equal(lower, low)
        np.testing.assert_array_equal(upper, high)


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_duals_are_those_of_the_other_path(sense):
    """Values, duals and reduced costs come with the same labels and signs on both paths."""
    m = model(
        c=lambda m: pyo.Constraint(
            m.A, rule=lambda m, a: sum(m.x[a, t] for t in m.T) >= m.a[a] + 3
        ),
        d=lambda m: pyo.Constraint(m.T, rule=lambda m, t: sum(m.x[a, t] for a in m.A) <= 12),
        o=lambda m: pyo.Objective(
            rule=lambda m: sum((t + m.a[a]) * m.x[a, t] for a in m.A for t in m.T), sense=sense
        ),
        e=lambda m: pyo.Constraint(rule=lambda m: m.z == 1),
    )
    fast, slow = solve_model(m, data=DATA), solve_model(instance_of(m, DATA))
    assert fast.objective == pytest.approx(slow.objective)
    for kind in ("values", "duals", "reduced_costs"):
        mine, theirs = getattr(fast, kind), getattr(slow, kind)
        assert mine.keys() == theirs.keys()
        for name, series in mine.items():
            assert series.name == name and list(series.index.names) == list(
                theirs[name].index.names
            )
            pd.testing.assert_index_equal(
                series.index.sort_values(), theirs[name].index.sort_values(), exact="equiv"
            )
            if kind != "reduced_costs" or name != "x":  # x has several optima
                continue
            np.testing.assert_allclose(series.sum(), theirs[name].sum(), atol=1e-7)
    np.testing.assert_allclose(fast.duals["c"], slow.duals["c"].reindex(fast.duals["c"].index))


def test_labels_stay_what_they_are():
    """Timestamps are a DatetimeIndex with their time zone, numbers integers, names names."""
    times = pd.date_range("2026-03-29", periods=4, freq="h", tz="Europe/Berlin")
    m = pyo.AbstractModel()
    m.T, m.S, m.N = pyo.Set(), pyo.Set(), pyo.Set()
    m.F = pyo.Set(dimen=2)
    m.x, m.y, m.f = pyo.Var(m.T), pyo.Var(m.S, m.T), pyo.Var(m.F)
    m.n = pyo.Var(m.N, bounds=(1, None))
    m.c = pyo.Constraint(m.T, rule=lambda m, t: m.x[t] + sum(m.y[s, t] for s in m.S) == 1)
    m.d = pyo.Constraint(m.F, rule=lambda m, s, t: m.f[s, t] == m.y[s, t])
    m.o = pyo.Objective(rule=lambda m: sum(m.n[i] for i in m.N))
    data = {"T": times, "S": ["a", "b"], "N": np.array([3, 5], np.int16), "F": (["b"], [times[2]])}
    found = solve_model(m, data=data)
    assert isinstance(found.values["x"].index, pd.DatetimeIndex)
    assert list(found.values["x"].index) == list(times) and found.values["x"].index.name == "T"
    assert found.values["y"].index.names == ["S", "T"]
    assert found.values["y"].loc[("a", times[1])] == pytest.approx(found.values["y"].iloc[1])
    assert found.values["n"].index.tolist() == [3, 5]
    assert found.values["n"].index.dtype.kind == "i"
    assert found.values["f"].index.tolist() == [("b", times[2])]
    assert found.duals["c"].index.equals(found.values["x"].index)
    assert found.duals["d"].index.tolist() == [("b", times[2])]


@pytest.mark.parametrize("empty", ["A", "T"])
def test_empty_sets(empty):
    """No members: no columns, no rows, sums of nothing."""
    data = {**DATA, empty: [], "J": ([0] * (1 if empty == "A" else 4), [])}
    data["a"] = [] if empty == "A" else DATA["a"]
    matrix, _, upper = rows(
        lambda m: sum(m.x[a, t] for a in m.A for t in m.T) + m.z <= m.k, data=data
    )
    assert matrix.tolist() == [[1.0]] and upper.tolist() == [3.0]
    assert (
        rows(lambda m, a: sum(m.x[a, t] for t in m.T) + m.z <= m.k, "A", data=data)[0].shape[1] == 1
    )
    assert rows(lambda m, a, t: m.x[a, t] <= m.k, "A", "T", data=data)[0].shape[0] == 0


def test_nothing_but_variables():
    """Neither constraints nor objective: still a model, with bounds."""
    compiled = Formulation(model()).compile(DATA).linear
    assert (compiled.rows, compiled.columns, compiled.nonzeros) == (0, 10, 0)
    assert solve_model(model(), data=DATA).objective == 0.0
    empty = pyo.AbstractModel()
    assert Formulation(empty).compile({}).linear.columns == 0


def test_values_as_labels():
    """A parameter may say which member is meant; a value that is no label is named."""
    m = model(
        n=lambda m: pyo.Param(m.A, within=m.T),
        c=lambda m: pyo.Constraint(m.A, rule=lambda m, a: m.x[a, m.n[a]] + m.x[a, m.n["u"]] <= m.k),
    )
    data = {**DATA, "n": [3, 1, 3]}
    compiled = Formulation(m).compile(data).linear
    assert_same(compiled, compile_pyomo(instance_of(m, data)))
    assert compiled.matrix.toarray()[0, :3].tolist() == [0, 0, 2]
    with pytest.raises(InputError, match=r"n\[w\].* 4\.0 is outside .*T"):
        Formulation(m).compile({**data, "n": [3, 1, 4]})


def test_unusable_numbers_are_found_when_solving():
    """Divisions by zero and roots of negatives make no warning, but no answer either."""
    for rule in (
        lambda m, a: m.x[a, 1] / m.a[a] <= m.k,
        lambda m, a: pyo.sqrt(m.a[a]) * m.x[a, 1] <= m.k,
        lambda m, a: m.x[a, 1] <= pyo.log(m.a[a]) * 0,
    ):
        m = model(c=lambda m, rule=rule: pyo.Constraint(m.A, rule=rule))
        Formulation(m).compile(DATA)
        with pytest.raises(InputError, match=r"c\["):
            solve_model(m, data=DATA)


UNTRACEABLE = {
    "product of variables": lambda m, a: m.x[a, 1] * m.z <= m.k,
    "variable power": lambda m, a: m.x[a, 1] ** 2 <= m.k,
    "function of a variable": lambda m, a: pyo.exp(m.x[a, 1]) <= m.k,
    "division by a variable": lambda m, a: m.a[a] / m.x[a, 1] <= m.k,
    "variable limits": lambda m, a: (m.z, m.x[a, 1], m.k),
    "number of indices": lambda m, a: m.x[a] <= m.k,
    "conditional expression": lambda m, a: pyo.Expr_if(m.k > 1, m.x[a, 1], m.z) <= m.k,
    "labels that are no numbers": lambda m, a: m.x[a + 1, 1] <= m.k,
    "slack label": lambda m, a: m.x[a, 1] <= a,
}


@pytest.mark.parametrize("what", UNTRACEABLE)
def test_what_has_no_array_form(what):
    """The compiler refuses with a reason; it never guesses."""
    m = model(c=lambda m: pyo.Constraint(m.A, rule=UNTRACEABLE[what]))
    with pytest.raises(NotTraceableError):
        Formulation(m).compile(DATA)


def test_a_rule_as_decorator_or_expression():
    """Decorated functions, lambdas and plain expressions of scalars are one thing."""
    m = model()

    @m.Constraint(m.A, doc="each has its limit")
    def c(m, a):
        return m.x[a, 1] <= m.a[a]

    m.e = pyo.Constraint(expr=m.z <= m.k)
    m.o = pyo.Objective(expr=2 * m.z, sense=pyo.maximize)
    compiled = Formulation(m).compile(DATA).linear
    assert_same(compiled, compile_pyomo(instance_of(m, DATA)))
    assert compiled.labels.rows["c"].doc == "each has its limit"


def test_two_threads_compile_at_once():
    """Threads that trace and compile at the same time do not disturb each other."""
    found: dict[int, list] = {}

    def work(number: int) -> None:
        found[number] = []
        for _ in range(5):
            m = model(
                c=lambda m: pyo.Constraint(
                    m.A, rule=lambda m, a: sum(number * m.x[a, t] for t in m.T) <= m.k
                )
            )
            instance = instance_of(m, DATA)
            found[number].append((Formulation(m).compile(DATA).linear, compile_pyomo(instance)))

    threads = [threading.Thread(target=work, args=(number,)) for number in (2, 3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, pairs in found.items():
        assert len(pairs) == 5
        for compiled, ordinary in pairs:
            assert_same(compiled, ordinary)
            assert set(compiled.coefficients) == {float(number)}
