"""Named arrays: which forms are taken, what is refused, and the same data as a Pyomo model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.solver import compile_model
from optmodels.solver.template import Formulation, NotTraceableError, instance_of
from tests.solver.comparing import assert_same
from tests.solver.test_template_update import assert_identical

TIMES = pd.date_range("2026-10-25", periods=3, freq="h", tz="Europe/Berlin")


def formulation() -> pyo.AbstractModel:
    """Sets of every kind, and a row for each parameter."""
    m = pyo.AbstractModel()
    m.S, m.T = pyo.Set(), pyo.Set(dimen=1)
    m.U = pyo.Set(within=m.S)
    m.F = pyo.Set(within=m.S * m.T)
    m.J = pyo.Set(m.S, within=m.T)
    m.Q = pyo.Set(m.S, dimen=2)
    m.k = pyo.Param(within=pyo.NonNegativeReals)
    m.p = pyo.Param(m.S, m.T, mutable=True)
    m.f = pyo.Param(m.F, default=2.0, mutable=True)
    m.n = pyo.Param(m.S, within=pyo.PositiveIntegers)
    m.x = pyo.Var(m.S, m.T)
    m.c = pyo.Constraint(m.S, rule=lambda m, s: sum(m.p[s, t] * m.x[s, t] for t in m.T) <= m.k)
    m.d = pyo.Constraint(m.F, rule=lambda m, s, t: m.f[s, t] * m.x[s, t] >= m.n[s])
    m.e = pyo.Constraint(
        m.S, rule=lambda m, s: sum(m.x[s, t] for t in m.J[s]) + sum(m.x[q] for q in m.Q[s]) <= m.k
    )
    m.g = pyo.Constraint(m.U, rule=lambda m, s: sum(m.x[s, t] for t in m.T) == m.k)
    return m


def plain() -> dict:
    """Data as arrays."""
    return {
        "S": np.array(["a", "b"]), "T": list(TIMES), "U": ["b"],
        "F": (["a", "b", "b"], list(TIMES)), "J": ([0, 1, 3], list(TIMES)),
        "Q": ([0, 0, 1], (["b"], [TIMES[0]])), "k": 4, "p": np.arange(1.0, 7.0).reshape(2, 3),
        "f": [1.0, 3.0, 2.0], "n": [1, 2],
    }  # fmt: skip


@pytest.fixture(scope="module")
def traced() -> Formulation:
    """The formulation, traced once."""
    return Formulation(formulation())


OTHER_FORMS = {
    "index": {"S": pd.Index(["a", "b"]), "T": TIMES},
    "series of labels": {"S": pd.Series(["a", "b"]), "T": pd.Series(TIMES)},
    "tuples": {"F": [("a", TIMES[0]), ("b", TIMES[1]), ("b", TIMES[2])]},
    "multi-index": {"F": pd.MultiIndex.from_arrays([["a", "b", "b"], TIMES])},
    "dict of lists": {"J": {"b": list(TIMES[1:]), "a": [TIMES[0]]},
                      "Q": {"a": [], "b": [("b", TIMES[0])]}},
    "flat": {"p": np.arange(1.0, 7.0)},
    "nested list": {"p": [[1, 2, 3], [4, 5, 6]]},
    "series": {"p": pd.Series({("b", TIMES[2]): 6, **{("a", t): i + 1 for i, t in enumerate(TIMES)},
                               ("b", TIMES[0]): 4, ("b", TIMES[1]): 5})},
    "dict": {"n": {"b": 2, "a": 1}},
    "default": {"f": {("a", TIMES[0]): 1.0, ("b", TIMES[1]): 3.0}},
    "zero-dimensional": {"k": np.array(4.0)},
    "one number in a list": {"k": [4]},
}  # fmt: skip


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_forms_mean_the_same(traced, form):
    """However the same data are given, the arrays are the same; order of labels is no matter."""
    expected = traced.compile(plain()).linear
    assert_identical(traced.compile({**plain(), **OTHER_FORMS[form]}).linear, expected)


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_instance_holds_the_same_data(traced, form):
    """`instance_of` makes the model that `create_instance` would make of the same data by hand."""
    from optmodels.solver.pyomo_standard import compile_pyomo

    instance = instance_of(traced, {**plain(), **OTHER_FORMS[form]}, name="house")
    assert instance.name == "house" and instance.is_constructed()
    assert list(instance.T) == list(TIMES) and list(instance.Q["b"]) == [("b", TIMES[0])]
    assert (
        pyo.value(instance.p["b", TIMES[1]]) == 5.0 and pyo.value(instance.f["b", TIMES[2]]) == 2.0
    )
    assert_same(traced.compile(plain()).linear, compile_pyomo(instance))


def test_data_left_out_come_from_the_formulation():
    """Constant members, values and defaults of the formulation stand where no data are given."""
    m = pyo.AbstractModel()
    m.S = pyo.Set(initialize=["u", "v"])
    m.n = pyo.Param(initialize=4)
    m.T = pyo.RangeSet(2, m.n)
    m.p = pyo.Param(m.S, m.T, default=1.5, mutable=True)
    m.x = pyo.Var(m.S, m.T, [7, 8])
    m.c = pyo.Constraint(m.S, rule=lambda m, s: sum(m.p[s, t] * m.x[s, t, 7] for t in m.T) <= m.n)
    m.o = pyo.Objective(
        rule=lambda m: sum(sum(m.x[s, t, i] for s in m.S for t in m.T) for i in [7, 8])
    )
    from optmodels.solver.pyomo_standard import compile_pyomo

    for data, columns in (({}, 12), ({"S": ["w"], "n": 2, "p": [3.0]}, 2)):
        compiled = Formulation(m).compile(data).linear
        assert compiled.columns == columns
        assert_same(compiled, compile_pyomo(instance_of(m, data)))


BAD = {
    "missing": ({"k": ...}, ["k", "missing"]),
    "several missing": ({"k": ..., "S": ...}, ["'k'", "'S'"]),
    "shape": ({"p": np.ones((3, 2))}, ["'p'", "(3, 2)", "(2, 3)"]),
    "number for array": ({"n": 3}, ["'n'", "(2,)"]),
    "array for number": ({"k": [1, 2]}, ["'k'", "a number"]),
    "not a number": ({"n": ["x", "y"]}, ["'n"]),
    "nan": ({"p": np.array([[1, 2, 3], [4, np.nan, 6]])}, ["p[b,", "not a number"]),
    "nan in a number": ({"k": np.nan}, ["'k'", "not a number"]),
    "domain": ({"k": -1.0}, ["'k'", "-1.0", "NonNegativeReals"]),
    "whole domain": ({"n": [1, 2.5]}, ["n[b]", "2.5", "PositiveIntegers"]),
    "end of a domain": ({"n": [0, 2]}, ["n[a]", "PositiveIntegers"]),
    "label twice": ({"S": ["a", "a"]}, ["'S'", "'a'", "twice"]),
    "number twice": ({"S": np.array([3, 1, 3])}, ["'S'", "3 is a member twice"]),
    "tuple twice": ({"F": (["a", "a"], [TIMES[0], TIMES[0]])}, ["'F'", "twice"]),
    "member twice": ({"J": ([0, 2, 2], [TIMES[0], TIMES[0]])}, ["J[a]", "twice"]),
    "within": ({"U": ["c"]}, ["'U'", "'c'", "allowed: S"]),
    "within a product": ({"F": (["a", "c"], list(TIMES[:2]))}, ["'F'", "'c'"]),
    "within, in a list": ({"J": ([0, 1, 2], [TIMES[0], 5])}, ["'J'", "5"]),
    "columns": ({"F": (["a"], [TIMES[0]], [1])}, ["'F'", "3 columns", "2 dimensions"]),
    "uneven columns": ({"F": (["a"], list(TIMES))}, ["'F'", "different lengths"]),
    "starts": ({"J": ([0, 1], [TIMES[0]])}, ["'J'", "starts", "3 rising numbers"]),
    "falling starts": ({"J": ([0, 3, 2], list(TIMES))}, ["'J'", "starts"]),
    "fractional starts": ({"J": ([0, 0.5, 3], list(TIMES))}, ["'J'", "whole"]),
    "no lists": ({"J": [1, 2]}, ["'J'", "(starts, members)"]),
    "missing list": ({"J": {"a": []}}, ["J[b]", "missing"]),
    "list of nobody": ({"J": {"a": [], "b": [], "c": []}}, ["'J'", "'c'"]),
    "value of nobody": ({"n": {"a": 1, "b": 2, "c": 3}}, ["'n'", "'c'", "no index"]),
    "missing value": ({"n": {"a": 1}}, ["n[b]", "missing"]),
    "misaligned series": ({"n": pd.Series([1, 2])}, ["'n'", "0", "no index"]),
    "frame": ({"p": pd.DataFrame(np.ones((2, 3)))}, ["'p'", "DataFrame"]),
    "unordered": ({"S": {"a", "b"}}, ["'S'", "in order"]),
    "text": ({"S": "ab"}, ["'S'", "no set of labels"]),
    "no label": ({"S": ["a", None]}, ["'S'", "None"]),
    "nan label": ({"S": ["a", np.nan]}, ["'S'", "NaN"]),
    "all at once": ({"k": -1.0, "n": [0, 2], "p": [1.0]}, ["'k'", "n[a]", "'p'", "3 problems"]),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_data_are_refused_by_name(traced, what):
    """Bad data give an InputError with component, index and value, on either path."""
    changes, words = BAD[what]
    data = {name: value for name, value in {**plain(), **changes}.items() if value is not ...}
    for make in (traced.compile, lambda data: instance_of(traced, data)):
        with pytest.raises(InputError) as caught:
            make(data)
        for word in words:
            assert word in str(caught.value)


def test_unknown_names_are_refused(traced):
    """A misspelt name is told, with the one that was meant."""
    for make in (traced.compile, lambda data: instance_of(traced, data)):
        with pytest.raises(UsageError, match="Did you mean"):
            make({**plain(), "kk": 1})
    m = pyo.AbstractModel()
    m.T = pyo.RangeSet(3)
    m.x = pyo.Var(m.T)
    with pytest.raises(InputError, match="RangeSet"):
        Formulation(m).compile({"T": [1, 2, 3]})


def test_labels_outside_a_set_are_named(traced):
    """An index that no set holds is an error of the data, not a silent zero."""
    m = pyo.AbstractModel()
    m.T = pyo.Set()
    m.x = pyo.Var(m.T)
    m.c = pyo.Constraint(m.T, rule=lambda m, t: m.x[t] - m.x[t - 1] <= 1)
    for labels, missing in ((np.arange(3), "-1"), ([5, 9], "4"), (np.array([7], np.uint8), "6")):
        with pytest.raises(InputError) as caught:
            Formulation(m).compile({"T": labels})
        assert "'x'" in str(caught.value) and missing in str(caught.value)


def test_small_integers_do_not_wrap():
    """Labels of a narrow type are numbers like any: 127 + 1 is 128, 0 - 1 is -1."""
    m = pyo.AbstractModel()
    m.T, m.U = pyo.Set(), pyo.Set()
    m.x = pyo.Var(m.U)
    m.c = pyo.Constraint(m.T, rule=lambda m, t: m.x[t] - m.x[t + 1] <= 1)
    compiled = Formulation(m).compile({"T": np.array([127], np.int8), "U": [128, 127]}).linear
    assert compiled.matrix.toarray().tolist() == [[-1.0, 1.0]]


def test_data_are_not_changed(traced):
    """Neither compiling nor updating writes into the caller's arrays, nor follows them later."""
    data = plain()
    program = traced.compile(data)
    before = program.linear.coefficients.copy()
    data["p"][:] = 99.0
    program.update(k=5.0)
    np.testing.assert_array_equal(program.linear.coefficients, before)
    assert traced.compile(plain()).linear.coefficients.sum() == before.sum()


def test_a_rule_of_values_is_no_obstacle_where_values_are_given():
    """Data replace a rule that no array holds; a validation has to see the data, given or not."""
    m = pyo.AbstractModel()
    m.S = pyo.Set()
    m.ruled = pyo.Param(m.S, initialize=lambda m, s: 2.0)
    m.x = pyo.Var(m.S)
    m.c = pyo.Constraint(m.S, rule=lambda m, s: m.ruled[s] * m.x[s] >= 1)
    m.o = pyo.Objective(rule=lambda m: sum(m.x[s] for s in m.S))
    compiled = Formulation(m).compile({"S": ["u", "v"], "ruled": [3.0, 4.0]}).linear
    assert sorted(compiled.matrix.data.tolist()) == [3.0, 4.0]
    with pytest.raises(NotTraceableError, match="by a rule"):
        Formulation(m).compile({"S": ["u", "v"]})
    m.checked = pyo.Param(validate=lambda m, value: value > 5)
    with pytest.raises(NotTraceableError, match="validation"):
        Formulation(m).compile({"S": ["u", "v"], "ruled": [3.0, 4.0], "checked": 1.0})


@pytest.mark.parametrize(
    ("words", "reason"),
    [({"filter": lambda m, s: s != "v"}, "filter"), ({"validate": lambda m, s: True}, "valid")],
)
def test_sets_that_look_at_their_members_go_the_other_way(words, reason):
    """A filter sees the data, given or not: compiling them as they are would keep what it drops."""
    m = pyo.AbstractModel()
    m.first, m.S = pyo.Set(), pyo.Set(**words)
    m.x = pyo.Var(m.S, bounds=(0, 1))
    m.o = pyo.Objective(rule=lambda m: sum(m.x[s] for s in m.S), sense=pyo.maximize)
    data = {"first": [1], "S": ["u", "v", "w"]}
    with pytest.raises(NotTraceableError, match=reason):
        Formulation(m).compile(data)
    assert compile_model(m, data).columns == (2 if "filter" in words else 3)
