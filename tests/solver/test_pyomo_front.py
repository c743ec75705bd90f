"""Which path a Pyomo model takes, why, and that a changed model is traced anew."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import pyomo.environ as pyo
import pytest

from optmodels.errors import UsageError
from optmodels.solver import compile_model, explain_model, export_model, pyomo_front, solve_model
from optmodels.solver.template import Formulation, instance_of
from tests.solver.comparing import assert_same

ARRAYS = {"S": ["a", "b"], "p": [2.0, 3.0]}
PYOMO_DATA = {None: {"S": {None: ["a", "b"]}, "p": {"a": 2.0, "b": 3.0}}}


def fresh(rule=lambda m, s: m.x[s] <= m.p[s]) -> pyo.AbstractModel:
    """A small AbstractModel whose optimum is the sum of p."""
    m = pyo.AbstractModel(name="small")
    m.S = pyo.Set()
    m.p = pyo.Param(m.S)
    m.x = pyo.Var(m.S, within=pyo.NonNegativeReals)
    m.c = pyo.Constraint(m.S, rule=rule)
    m.o = pyo.Objective(rule=lambda m: sum(m.x[s] for s in m.S), sense=pyo.maximize)
    return m


@pytest.fixture
def said(caplog):
    """What the front end said about its path."""
    caplog.set_level(logging.INFO, "optmodels.solver")
    return lambda: [r.getMessage() for r in caplog.records if "standard form" in r.getMessage()]


def test_named_arrays_take_the_fast_path(said):
    """Arrays by name are compiled from the trace; nothing needs to be said."""
    found = solve_model(fresh(), data=ARRAYS)
    assert found.objective == pytest.approx(5.0) and said() == []
    assert isinstance(found.model, pyo.AbstractModel)
    with pytest.raises(UsageError, match="instance_of"):
        found.load_into_model()


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (lambda m, s: m.x[s] <= m.p[s] * len(m.S) / 2, "__len__"),
        (lambda m, s: m.x[s] <= m.p[s] if s in ("a", "b") else pyo.Constraint.Skip, "compares"),
        (lambda m, s: pyo.quicksum([m.x[s]]) + 0 * m.x[m.S.first()] <= m.p[s], "first"),
    ],
)
def test_what_cannot_be_traced_goes_the_other_way(said, rule, reason):
    """The same arrays give the same model through Pyomo's objects, and the log says why."""
    m = fresh(rule)
    assert solve_model(m, data=ARRAYS).objective == pytest.approx(5.0)
    (message,) = said()
    assert "small" in message and "'c'" in message and reason in message
    assert_same(compile_model(m, ARRAYS), compile_model(instance_of(m, ARRAYS)))


def test_pyomo_data_take_pyomos_path(said):
    """Data in Pyomo's own form are Pyomo's to read."""
    assert solve_model(fresh(), data=PYOMO_DATA).objective == pytest.approx(5.0)
    assert "Pyomo's own form" in said()[0]
    assert_same(compile_model(fresh(), PYOMO_DATA), compile_model(fresh(), ARRAYS))


def test_nonlinear_is_a_clear_error():
    """A product of variables ends in an error that names the row and the way out."""
    with pytest.raises(UsageError, match=r"Nonlinear .*c\[a\].*CVXPY"):
        solve_model(fresh(lambda m, s: m.x[s] * m.x[s] <= m.p[s]), data=ARRAYS)


def test_every_verb_takes_named_arrays(tmp_path):
    """Solving, explaining and exporting take the formulation with arrays."""
    m = fresh(lambda m, s: (m.p[s], m.x[s], m.p[s] - 1))
    assert solve_model(m, data=ARRAYS).status == "infeasible"
    assert "c" in str(explain_model(m, data=ARRAYS))
    path = export_model(fresh(), tmp_path / "m.lp", data=ARRAYS)
    assert "x_a" in path.read_text()


def count_traces(monkeypatch) -> list:
    """List that grows with every trace."""
    made = []
    original = Formulation.__init__

    def init(self, model, **options):
        made.append(model)
        original(self, model, **options)

    monkeypatch.setattr(Formulation, "__init__", init)
    return made


def test_a_model_is_traced_once(monkeypatch):
    """Another solve with other data needs no other trace; nor does a failed trace."""
    made = count_traces(monkeypatch)
    m = fresh()
    for scale in (1, 2, 3):
        assert solve_model(m, data={**ARRAYS, "p": [scale, scale]}).objective == 2 * scale
    assert len(made) == 1
    other = fresh(lambda m, s: m.x[s] <= len(m.S))
    for _ in range(3):
        solve_model(other, data=ARRAYS)
    assert len(made) == 2


def test_a_changed_model_is_traced_again(monkeypatch):
    """A row added, removed or switched off after the first solve counts in the second."""
    made = count_traces(monkeypatch)
    m = fresh()
    m.limit = pyo.Constraint(rule=lambda m: sum(m.x[s] for s in m.S) <= 4)
    assert solve_model(m, data=ARRAYS).objective == pytest.approx(4.0)
    m.limit.deactivate()
    assert solve_model(m, data=ARRAYS).objective == pytest.approx(5.0)
    m.limit.activate()
    m.more = pyo.Constraint(rule=lambda m: sum(m.x[s] for s in m.S) <= 3)
    assert solve_model(m, data=ARRAYS).objective == pytest.approx(3.0)
    m.del_component("more")
    m.del_component("limit")
    m.del_component("o")
    m.o = pyo.Objective(rule=lambda m: sum(m.x[s] for s in m.S) + 1, sense=pyo.maximize)
    assert solve_model(m, data=ARRAYS).objective == pytest.approx(6.0)
    assert len(made) == 4


def test_traces_do_not_keep_models_alive():
    """The table of traces forgets a model that nobody else has."""
    m = fresh()
    compile_model(m, ARRAYS)
    gone = weakref.ref(m)
    assert m in pyomo_front._TRACES
    del m
    gc.collect()
    assert gone() is None


def test_a_formulation_keeps_its_model():
    """A `Formulation` made of a model that nobody else holds still compiles."""
    formulation = Formulation(fresh())
    gc.collect()
    assert formulation.compile(ARRAYS).linear.columns == 2


def test_threads_share_a_model():
    """Threads that solve one new model at once all get the right answer."""
    m, found = fresh(), []
    start = threading.Barrier(4)

    def work(scale: float) -> None:
        start.wait(10)
        found.append((solve_model(m, data={**ARRAYS, "p": [scale, scale]}).objective, 2 * scale))

    threads = [threading.Thread(target=work, args=(float(s),)) for s in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4 and all(a == pytest.approx(b) for a, b in found)
