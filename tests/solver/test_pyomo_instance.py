"""An ordinary Pyomo model can be made of every formulation and all its data."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

from optmodels.solver import Status, solve_model
from optmodels.solver.pyomo_instance import create_instance
from optmodels.solver.template import instance_of


def choosing(least: int = 0) -> pyo.AbstractModel:
    """Choose from groups of items; a group may be empty."""
    m = pyo.AbstractModel(name="choosing")
    m.things, m.groups = pyo.Set(), pyo.Set()
    m.of = pyo.Set(m.groups, within=m.things)
    m.value = pyo.Param(m.things)
    m.x = pyo.Var(m.things, within=pyo.Binary)

    @m.Constraint(m.groups)
    def one(m, g):
        return sum(m.x[i] for i in m.of[g]) <= 1

    @m.Constraint(m.groups)
    def some(m, g):
        return sum(m.x[i] for i in m.of[g]) >= least

    @m.Objective(sense=pyo.maximize)
    def worth(m):
        return sum(m.value[i] * m.x[i] for i in m.things)

    return m


#: The second group has nobody.
DATA = {
    "things": np.array([1, 2]),
    "groups": np.array([1, 2]),
    "of": (np.array([0, 2, 2]), np.array([1, 2])),
    "value": np.array([3.0, 5.0]),
}


@pytest.mark.parametrize(("least", "status"), [(0, Status.OPTIMAL), (1, Status.INFEASIBLE)])
def test_rows_without_anybody(least, status):
    """``0 <= 1`` says nothing, ``0 >= 1`` that nothing is feasible: traced, and as Pyomo's model.

    Pyomo refuses both, for Python has answered them before it sees a constraint.
    """
    model = choosing(least)
    assert solve_model(model, data=DATA).status is status
    ordinary = instance_of(model, DATA)
    assert solve_model(ordinary).status is status
    own = {
        "things": {None: [1, 2]},
        "groups": {None: [1, 2]},
        "of": {1: [1, 2], 2: []},
        "value": {1: 3.0, 2: 5.0},
    }
    assert solve_model(model, data={None: own}).status is status


def test_the_formulation_is_left_alone():
    """Making an instance changes neither the formulation's rules nor its name."""
    model = choosing()
    before = model.one.rule._fcn
    made = create_instance(
        model, {None: {"things": {None: []}, "groups": {None: []}}}, name="small"
    )
    assert (made.name, model.name) == ("small", "choosing")
    assert model.one.rule._fcn is before
    assert made.clone().name == "small"
