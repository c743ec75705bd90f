"""The formulation: three forms of one model."""

from __future__ import annotations

import pyomo.environ as pyo
import pytest

from optmodels.errors import InfeasibleError
from optmodels.routing.pipeline.model import concrete_model, formulation, model_data
from optmodels.routing.pipeline.optimum import graphs_of, solve
from optmodels.solver import compile_model, solve_model
from optmodels.solver.pyomo_standard import compile_pyomo
from optmodels.solver.template import instance_of
from tests.routing.pipeline.instances import chain, pipelines, small
from tests.solver.comparing import assert_same, read_back

SOME = (
    lambda: small(22, 2, tight=True),
    lambda: small(26, 2, tight=True),
    lambda: small(0, 2, tight=True),
    lambda: chain(("none", "offered", "offered"), gpudirect="offered"),
    lambda: chain(("none", "none", "none")),
)


@pytest.mark.parametrize("place", range(len(SOME)))
def test_three_forms_are_one_model(tmp_path, place):
    """Compiled from traces, through Pyomo's objects and read back from files: one matrix.

    With and without limits, cards, scarce resources and stages that share a host.
    """
    data = model_data(*graphs_of(SOME[place]()))
    compiled = compile_model(formulation(), data)
    ordinary = instance_of(formulation(), data)
    assert_same(compiled, compile_pyomo(ordinary))
    for suffix in (".mps", ".lp"):
        assert_same(compiled, read_back(compiled, tmp_path, suffix))


def test_no_pyomo_model_is_made(monkeypatch):
    """The oracle compiles the traced formulation; it needs no Pyomo instance."""

    def refuse(*_, **__):
        raise AssertionError("an instance was made")

    inst = small(26, 2, tight=True)
    monkeypatch.setattr(pyo.AbstractModel, "create_instance", refuse)
    assert solve(inst).objective > 0


def test_the_model_says_what_it_is():
    """Every constraint is named and described; the concrete model has the same optimum."""
    form = formulation()
    assert not form.is_constructed()
    assert all(c.doc for c in form.component_objects(pyo.Constraint))
    inst = small(26, 2, tight=True)
    model = concrete_model(inst)
    assert {c.name for c in model.component_objects(pyo.Constraint)} == {
        *("start", "go_on", "latency", "capacity", "card", "same_host")
    }
    found = solve_model(model, mip_gap=1e-9).objective
    assert found == pytest.approx(solve(inst, mip_gap=1e-9).objective, rel=1e-7)
    assert inst.model().name == model.name


def test_every_kind_of_row_appears_in_what_is_tested():
    """The instances above have rows of every kind."""
    rows = {"limited": 0, "resources": 0, "needs": 0, "shared": 0}
    for make in SOME:
        data = model_data(*graphs_of(make()))
        for name in rows:
            rows[name] += len(data[name][0] if isinstance(data[name], tuple) else data[name])
    assert min(rows.values()) > 0


def test_no_model_without_any_route():
    """A service that cannot be served at all: the reasons, and not an error of some function."""
    inst = pipelines(
        {"client": {}, "server": {}},
        [],
        {
            "far": {
                "stages": [
                    ("a", "compute", 1e3, [("client", "cpu", 0.0)]),
                    ("b", "compute", 0.0, [("server", "cpu", 1.0)]),
                ]
            }
        },
    )
    with pytest.raises(InfeasibleError, match="far"):
        inst.model()
