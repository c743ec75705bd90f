"""One test per touch of Pyomo's inside: what another Pyomo would have to keep.

A failure here, and not in a wrong optimum, is how a change of Pyomo is to be noticed.
"""

from __future__ import annotations

import builtins
import threading
import time
from types import FunctionType

import pandas as pd
import pyomo.environ as pyo
import pytest
from pyomo.core.base.set import _FiniteSetMixin
from pyomo.core.expr.numeric_expr import NumericValue
from pyomo.core.expr.template_expr import _TemplateIterManager

from optmodels.solver.template import NotTraceableError, tracing
from optmodels.solver.template.tracing import context


def prepared(**components):
    """Traced copy of an AbstractModel with sets A, B, an indexed set J and some components."""
    m = pyo.AbstractModel()
    m.A, m.B = pyo.Set(), pyo.Set()
    m.J = pyo.Set(m.A, within=m.B)
    m.p = pyo.Param(m.A)
    m.k = pyo.Param()
    m.x = pyo.Var(m.A, m.B)
    m.z = pyo.Var()
    for name, component in components.items():
        setattr(m, name, component(m) if isinstance(component, FunctionType) else component)
    declared = tracing.declarations(m)
    tracing.prepare(declared)
    return declared


def traced(rule, index="A"):
    """Trace of a constraint rule over a set."""
    declared = prepared(
        c=lambda m: pyo.Constraint(*([getattr(m, index)] if index else []), rule=rule)
    )
    (_, found), *_ = tracing.constraints(declared.model)
    return found


# -- what is read from declarations --------------------------------------------------------------


def test_the_model_itself_is_not_touched():
    """Tracing works on a copy: the AbstractModel still makes an ordinary instance."""
    m = pyo.AbstractModel()
    m.A = pyo.Set()
    m.p = pyo.Param(m.A)
    m.x = pyo.Var(m.A)
    m.c = pyo.Constraint(m.A, rule=lambda m, a: m.x[a] <= m.p[a])
    tracing.prepare(tracing.declarations(m))
    assert not m.is_constructed() and not m.x.is_constructed() and not m.p.mutable
    instance = m.create_instance({None: {"A": {None: [1, 2]}, "p": {1: 3.0, 2: 4.0}}})
    assert instance.c[2].upper == 4.0


def test_set_declarations():
    """`_init_values`, `_init_dimen`, `_init_domain`, `_filter` and `_validate` of sets."""
    declared = prepared(
        own=pyo.Set(initialize=[3, 1]),
        by_rule=pyo.Set(initialize=lambda m: [1]),
        wide=pyo.Set(dimen=3),
        inside=lambda m: pyo.Set(within=m.A * m.B),
        sub=lambda m: pyo.Set(within=m.A),
        odd=pyo.Set(within=pyo.NonNegativeIntegers),
        lists=lambda m: pyo.Set(m.A, within=m.A * m.B),
        filtered=pyo.Set(filter=lambda m, i: True),
        validated=pyo.Set(validate=lambda m, i: True),
    ).sets
    assert declared["own"].members == [3, 1]
    assert declared["by_rule"].members is None and "by a rule" in declared["by_rule"].obstacle
    assert declared["A"].dimension is None and declared["A"].within is None
    assert declared["wide"].dimension == 3
    assert declared["inside"].dimension == 2 and tracing.is_product(declared["inside"].within)
    assert declared["sub"].within is declared["A"].component
    assert declared["odd"].within is pyo.NonNegativeIntegers
    assert declared["lists"].dimension == 2
    assert declared["J"].within is declared["B"].component
    assert "filter" in declared["filtered"].obstacle
    assert "validation" in declared["validated"].obstacle


def test_range_declarations():
    """`_init_data` of a RangeSet: numbers, and scalar parameters that only the data know."""
    declared = prepared(
        one=pyo.RangeSet(3),
        two=lambda m: pyo.RangeSet(m.k),
        three=lambda m: pyo.RangeSet(0, m.k, 2),
    )
    assert declared.sets["one"].members == [1, 2, 3]
    k = declared.parameters["k"].component
    assert declared.sets["two"].limits == (1, k) or declared.sets["two"].limits[1] is k
    assert declared.sets["three"].limits[0] == 0 and declared.sets["three"].limits[2] == 2
    assert declared.sets["three"].limits[1] is k


def test_parameter_declarations():
    """`_default_val`, `_rule`, `_validate`, `_mutable` and the domain of parameters."""
    declared = prepared(
        preset=pyo.Param(initialize=2.5),
        usual=lambda m: pyo.Param(m.A, default=3, within=pyo.PositiveReals),
        ruled=lambda m: pyo.Param(m.A, initialize=lambda m, a: a),
        checked=pyo.Param(validate=lambda m, v: True),
    ).parameters
    assert declared["preset"].default == 2.5 and declared["usual"].default == 3
    assert declared["usual"].domain is pyo.PositiveReals
    assert "by a rule" in declared["ruled"].obstacle and not declared["ruled"].strict
    assert declared["checked"].strict
    assert all(one.component.mutable for one in declared.values())


def test_variable_declarations():
    """`_rule_domain` and `_rule_bounds`."""
    declared = prepared(
        i=pyo.Var(within=pyo.Binary),
        n=pyo.Var(within=pyo.NonNegativeIntegers, bounds=(1, 5)),
        b=lambda m: pyo.Var(m.A, bounds=lambda m, a: (0, m.p[a])),
        s=lambda m: pyo.Var(bounds=(None, m.k)),
        r=pyo.Var(within=pyo.RangeSet(0, 10, 5)),
        a=lambda m: pyo.Var(within=m.A),
        d=lambda m: pyo.Var(m.A, within=lambda m, a: pyo.Reals),
    ).model
    assert tracing.domain_of(declared.i) == (0, 1, True)
    assert tracing.domain_of(declared.n) == (0, None, True)
    assert tracing.domain_of(declared.z) == (None, None, False)
    assert tracing.bounds_of(declared.z) is None
    assert tracing.bounds_of(declared.n).expression == (1, 5)
    found = tracing.bounds_of(declared.b)
    assert found.expression[0] == 0 and len(found.templates) == 1
    assert found.expression[1].args[0] is declared.p
    assert tracing.bounds_of(declared.s).expression[1] is declared.k
    for name, word in (
        ("r", "set of the model"),
        ("a", "set of the model"),
        ("d", "depends on its index"),
    ):
        with pytest.raises(NotTraceableError, match=word):
            tracing.domain_of(declared.component(name))


def test_objective_sense():
    """`_init_sense`, which an AbstractModel has not evaluated yet."""
    for sense in (pyo.minimize, pyo.maximize):
        declared = prepared(o=pyo.Objective(rule=lambda m: m.z, sense=sense))
        _, found, maximize = tracing.objective(declared.model)
        assert maximize == (sense == pyo.maximize) and found.expression is declared.model.z
    assert tracing.objective(prepared().model) is None


# -- what a trace looks like ---------------------------------------------------------------------


def test_trace_of_an_item():
    """`m.x[a, 3]` is an item node: component first, then template and literal label."""
    found = traced(lambda m, a: m.x[a, "any label"] <= m.p[a])
    item = found.expression.args[0]
    assert isinstance(item, tracing.GetItemExpression)
    assert item.args[0].local_name == "x" and item.args[2] == "any label"
    assert isinstance(item.args[1], tracing.IndexTemplate)
    assert item.is_potentially_variable()
    assert not found.expression.args[1].is_potentially_variable()
    assert tracing.template_key(item.args[1]) == tracing.template_key(found.templates[0])


def test_trace_of_a_sum():
    """`_iters` and `_local_args_` of a template sum, with the sets it runs over."""
    found = traced(lambda m, a: sum(m.x[a, b] for b in m.J[a] for _ in m.B) <= 1)
    total = found.expression.args[0]
    assert isinstance(total, tracing.TemplateSumExpression)
    (over, (b,)), (plain, _) = tracing.sum_groups(total)
    assert isinstance(over, tracing.GetItemExpression) and over.args[0].local_name == "J"
    assert plain.local_name == "B"
    assert tracing.summand(total).args[2] is b


def test_template_numbers_are_unique_among_traces():
    """Traces are evaluated inside each other (named Expressions): numbers must not meet."""
    keys = [
        tracing.template_key(t)
        for _ in range(3)
        for t in traced(lambda m, a: sum(m.x[a, b] for b in m.B) <= 1).templates
    ]
    assert len(set(keys)) == 3


def test_relations():
    """How Pyomo states relations: ``>=`` as ``<=`` turned round, tuples, ranges, strictness."""
    relations = tracing.relations
    turned = traced(lambda m, a: m.x[a, 1] >= m.p[a]).expression
    assert isinstance(turned, relations.InequalityExpression)
    assert turned.args[0].args[0].local_name == "p"
    assert isinstance(traced(lambda m, a: (m.p[a], m.z)).expression, relations.EqualityExpression)
    for rule in (
        lambda m, a: (m.p[a], m.z, m.k),
        lambda m, a: pyo.inequality(m.p[a], m.z, m.k),
    ):
        ranged = traced(rule).expression
        assert isinstance(ranged, relations.RangedExpression)
        assert [getattr(arg, "local_name", "") for arg in ranged.args[1:]] == ["z", "k"]
    open_ended = traced(lambda m, a: (None, m.z, m.k)).expression
    assert isinstance(open_ended, relations.InequalityExpression)
    with pytest.raises(NotTraceableError, match="strict"):
        traced(lambda m, a: m.z < m.k)
    with pytest.raises(NotTraceableError, match="gives Skip"):
        traced(lambda m, a: pyo.Constraint.Skip)


def test_product_and_parts():
    """`subsets` gives the sets of a product without opening products that have a name."""
    declared = prepared(
        ab=lambda m: m.A * m.B, v=lambda m: pyo.Var(m.ab, m.A), w=pyo.Var([5, 6], {1})
    ).model
    names = [part.local_name for part in tracing.parts(declared.v.index_set())]
    assert names in (["ab", "A"], ["A", "B", "A"])
    assert tracing.is_product(declared.x.index_set()) and not tracing.is_product(declared.A)
    first, second = tracing.parts(declared.w.index_set())
    assert (tracing.own_members(first), tracing.own_members(second)) == ([5, 6], [1])


# -- what no trace can answer --------------------------------------------------------------------

LOOKS = {
    "length": lambda m, a: m.z <= len(m.A),
    "membership": lambda m, a: m.z <= (1 if a in m.B else 2),
    "first": lambda m, a: m.x[m.A.first(), a] <= 1,
    "next": lambda m, a: m.x[m.A.next(a), a] <= 1,
    "ord": lambda m, a: m.z <= m.A.ord(a),
    "at": lambda m, a: m.z <= m.A.at(1),
    "data": lambda m, a: m.z <= max(m.A.data()),
    "equal label": lambda m, a: m.z <= (1 if a == 3 else 2),
    "equal name": lambda m, a: m.z <= (1 if a == "a" else 2),
    "other name": lambda m, a: m.z <= (1 if a != "a" else 2),
    "name first": lambda m, a: m.z <= (1 if "a" == a else 2),  # noqa: SIM300
    "one of some names": lambda m, a: m.z <= (1 if a in ("a", "b") else 2),
    "equal time": lambda m, a: m.z <= (1 if pd.Timestamp("2026") == a else 2),
    "equal value": lambda m, a: m.z <= (1 if m.p[a] == "a" else 2),
    "equal scalar": lambda m, a: m.z <= (1 if m.k == "a" else 2),
    "skip by index": lambda m, a: pyo.Constraint.Skip if a == 1 else m.z <= 1,
    "condition in a sum": lambda m, a: sum(m.x[a, b] for b in m.B if b != 3) <= 1,
    "membership in a sum": lambda m, a: sum(m.x[a, b] for b in m.B if b in m.A) <= 1,
    "false condition": lambda m, a: sum(m.x[a, b] for b in m.B if isinstance(b, str)) <= 1,
    "mixed loops": lambda m, a: sum(m.x[i, b] for i in [1, 2] for b in m.B) <= 1,
    "mixed loops, inner sum": lambda m, a: (
        sum(sum(m.x[i, b] for b in m.B) for i in [1, 2] for _ in m.A) <= 1
    ),
    "list in a sum": lambda m, a: sum(sum([m.x[i, b] for b in m.B]) for i in m.A) <= 1,
    "largest in a sum": lambda m, a: sum(max(m.B) * m.x[i, a] for i in m.A) <= 1,
    "loop": lambda m, a: max(m.B) <= m.z,
    "list": lambda m, a: sum([m.x[a, b] for b in m.B]) <= 1,
    "sorted": lambda m, a: sum(m.x[a, b] for b in sorted(m.B)) <= 1,
    "quicksum": lambda m, a: pyo.quicksum(m.x[a, b] for b in m.B) <= 1,
    "slice": lambda m, a: sum(m.x[a, :]) <= 1,
    "values": lambda m, a: sum(m.x.values()) <= 1,
    "keys": lambda m, a: sum(m.x[i] for i in m.x) <= 1,
    "dictionary": lambda m, a: m.z <= {1: 2}.get(a, 3),
    "value": lambda m, a: m.z <= pyo.value(m.p[a]),
    "scalar value": lambda m, a: m.z <= pyo.value(m.k),
    "if by data": lambda m, a: m.z <= (1 if m.p[a] > 1 else 2),
    "if by scalar": lambda m, a: m.z <= (1 if m.k else 2),
    "range of data": lambda m, a: m.z <= sum(range(m.k)),
    "floor": lambda m, a: m.z <= a // 2,
    "remainder": lambda m, a: m.z <= a % 2,
    "error": lambda m, a: m.z <= m.nothing,
}


@pytest.mark.parametrize("what", LOOKS)
def test_looks_at_data_end_the_trace(what, caplog):
    """Where placeholders cannot answer, there is no trace; answered from them it would be wrong."""
    with pytest.raises(NotTraceableError, match="rule of 'c'"):
        traced(LOOKS[what])
    assert builtins.sum is context._SUM
    assert "tracing" not in NumericValue.__eq__.__module__
    assert _FiniteSetMixin.__iter__ is context._MEMBERS
    assert _TemplateIterManager.context is None


def test_questions_to_members_end_the_trace():
    """``m.x[t].ub`` is a node for Pyomo; it is refused when parameters are looked for."""
    from optmodels.solver.template import Formulation

    m = pyo.AbstractModel()
    m.A = pyo.Set()
    m.x = pyo.Var(m.A, bounds=(0, 1))
    m.c = pyo.Constraint(m.A, rule=lambda m, a: m.x[a] <= m.x[a].ub)
    with pytest.raises(NotTraceableError, match="ub"):
        Formulation(m)


def test_python_loops_are_expanded():
    """Loops over lists of the rule's own are Python's affair; labels may be any."""
    found = traced(lambda m, a: sum(m.x[i, a] for i in ("u", "v")) + sum((m.z for _ in []), 2) <= 1)
    assert "x['u'" in str(found.expression) and "x['v'" in str(found.expression)
    nested = traced(lambda m, a: sum(sum(m.x[i, b] for b in m.B) for i in (1, 2)) <= 1)
    assert str(nested.expression).count("SUM") == 2
    started = traced(lambda m, a: sum((m.x[a, b] for b in m.B), m.z) <= 1)
    assert "z" in str(started.expression)


@pytest.mark.parametrize(
    ("component", "word"),
    [
        (pyo.Block(), "Block"),
        (pyo.ConstraintList(), "ConstraintList"),
        (pyo.VarList(), "VarList"),
        (pyo.BuildAction(rule=lambda m: None), "BuildAction"),
        (lambda m: pyo.SOSConstraint(var=m.x, sos=1), "SOS"),
    ],
)
def test_other_components_have_no_trace(component, word):
    """What is no set, parameter, variable, expression, row or objective goes the other way."""
    with pytest.raises(NotTraceableError, match=word):
        prepared(other=component)


@pytest.mark.parametrize("index", [lambda m: m.A | m.B, lambda m: pyo.Reals], ids=["A | B", "R"])
def test_index_sets_without_members_of_their_own(index):
    """Members of a union follow from its parts, and a set without end has none to list.

    Reading them while a formulation has no data would give an empty set, and no error.
    """
    with pytest.raises(NotTraceableError, match="the set"):
        tracing.own_members(index(prepared().model))
    own = pyo.Set(initialize=[2, 1])
    own.construct()
    assert tracing.own_members(own) == [2, 1]


def test_what_pyomo_cannot_set_up_has_no_trace(monkeypatch):
    """Any error of another Pyomo while it declares a variable ends the trace, and names it.

    The model then goes through the standard form; without this it would not be solved at all.
    """

    def refuse(variable):
        raise RuntimeError("not in this release")

    monkeypatch.setattr(f"{tracing.__name__}.declared._construct_without_bounds", refuse)
    with pytest.raises(NotTraceableError, match=r"'x' cannot be set up: .*not in this release"):
        prepared()


# -- threads -------------------------------------------------------------------------------------


def test_other_threads_keep_their_own_sum_and_sets():
    """While one thread traces, ``sum`` and the sets of another one are what they always were.

    Pyomo's own replacement would hand templates to it, and fail on an empty generator.
    """
    inside, done = threading.Event(), threading.Event()
    other = pyo.ConcreteModel()
    other.S = pyo.Set(initialize=[1, 2, 3])
    seen = []

    def rule(m, a):
        inside.set()
        assert done.wait(10)
        return sum(m.x[a, b] for b in m.B) <= 1

    def elsewhere():
        assert inside.wait(10)
        seen.append((sum(i for i in other.S), sum(i for i in []), list(other.S), len(other.S)))
        done.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    found = traced(rule)
    thread.join(10)
    assert seen == [(6, 0, [1, 2, 3], 3)]
    assert isinstance(found.expression.args[0], tracing.TemplateSumExpression)


def test_threads_trace_in_turn():
    """Two traces never run at once: the second waits for the first."""
    running, most = [], []

    def rule(m, a):
        running.append(1)
        most.append(len(running))
        time.sleep(0.005)
        running.pop()
        return sum(m.x[a, b] for b in m.B) <= 1

    threads = [threading.Thread(target=traced, args=(rule,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == [1, 1, 1, 1]


# -- fingerprints --------------------------------------------------------------------------------


def test_fingerprint_sees_every_change():
    """Anything that changes the trace changes the fingerprint; asking twice does not."""
    m = pyo.AbstractModel()
    m.A = pyo.Set()
    m.x = pyo.Var(m.A)
    m.c = pyo.Constraint(m.A, rule=lambda m, a: m.x[a] <= 1)
    m.s = pyo.Constraint(rule=lambda m: m.x[1] <= 1)

    def same(one, other):
        return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))

    before = tracing.fingerprint(m)
    assert same(before, tracing.fingerprint(m))
    m.s.deactivate()
    assert not same(before, tracing.fingerprint(m))
    m.s.activate()
    assert same(before, tracing.fingerprint(m))
    m.del_component("c")
    assert not same(before, tracing.fingerprint(m))
    m.c = pyo.Constraint(m.A, rule=lambda m, a: m.x[a] <= 1)
    assert not same(before, tracing.fingerprint(m))
