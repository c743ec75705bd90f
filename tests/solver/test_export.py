"""Export: files that any solver reads, with readable names, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import cvxpy as cp
import highspy
import numpy as np
import pyomo.environ as pyo
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.solver import export_model, solve_model
from optmodels.solver.export import safe_names

from .models import dispatch, linear_model


def read_back(path: Path) -> highspy.Highs:
    """HiGHS with the file's model, solved."""
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    assert highs.readModel(str(path)) == highspy.HighsStatus.kOk
    highs.run()
    return highs


def models() -> dict[str, object]:
    """Pyomo LP, maximised MILP with ranges and a constant, CVXPY LP and QP."""
    milp = dispatch()
    for variable in milp.power.values():
        variable.domain = pyo.Integers
    milp.window = pyo.Constraint(milp.H, rule=lambda m, h: pyo.inequality(1, m.power["a", h], 4))
    milp.cost.set_value(7.5 - milp.cost.expr)
    milp.cost.sense = pyo.maximize
    x = cp.Variable(3, name="x", nonneg=True)
    return {
        "pyomo lp": dispatch(),
        "pyomo milp max": milp,
        "cvxpy lp": cp.Problem(cp.Maximize(4 - cp.sum(x)), [cp.sum(x) >= 2]),
        "cvxpy qp": cp.Problem(cp.Minimize(cp.sum_squares(x) + x[0] * 0.5), [cp.sum(x) >= 2]),
    }


@pytest.mark.parametrize("name", models())
@pytest.mark.parametrize("suffix", [".mps", ".lp"])
def test_round_trip(name: str, suffix: str, tmp_path: Path) -> None:
    """The file, read by HiGHS, has the same optimum; nothing but the file is left."""
    model = models()[name]
    path = export_model(model, tmp_path / f"model{suffix}")
    assert [child.name for child in tmp_path.iterdir()] == [path.name]
    value = read_back(path).getInfo().objective_function_value
    # An MPS or LP file of a maximisation says so, or holds the negated minimisation.
    assert abs(value) == pytest.approx(abs(solve_model(model).objective), rel=1e-6)


@pytest.mark.parametrize("suffix", [".mps", ".lp"])
def test_constant_is_a_fixed_column(suffix: str, tmp_path: Path) -> None:
    """A constant of the objective is the cost of a column fixed at 1, and nowhere else.

    As the right-hand side of the objective CBC would subtract it and GLPK add it.
    """
    model = dispatch()
    model.cost.set_value(model.cost.expr + 1000)
    highs = read_back(export_model(model, tmp_path / f"model{suffix}"))
    lp = highs.getLp()
    place = list(lp.col_names_).index("constant")
    assert (lp.offset_, lp.col_cost_[place]) == (0, 1000)
    assert (lp.col_lower_[place], lp.col_upper_[place]) == (1, 1)
    value = highs.getInfo().objective_function_value
    assert value == pytest.approx(solve_model(model).objective, rel=1e-9)


def test_names_are_the_models(tmp_path: Path) -> None:
    """flow[a,1] becomes flow_a_1, in columns and rows."""
    text = export_model(dispatch(), tmp_path / "a.lp").read_text(encoding="utf-8")
    for word in ("power_a_7", "connection_3", "contract", "bought_8"):
        assert word in text


def test_names_are_safe_and_unique() -> None:
    """Strange labels, words with a meaning in the formats, and collisions."""
    labels = [
        ("x", ("a b", 1)),
        ("x", ("a-b", 1)),
        ("free", None),
        ("e12", None),
        ("größe", 3),
        ("st", None),
        ("[]", None),
        ("y" * 300, None),
    ]
    names = safe_names(len(labels), lambda place: labels[place])
    assert names[:4] == ["x_a_b_1", "x_a_b_1__2", "v_free", "v_e12"]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and len(name) <= 210 for name in names)


def test_refusals(tmp_path: Path) -> None:
    """Other endings and missing folders are refused; a failing export leaves the old file."""
    with pytest.raises(UsageError, match=r"\.mps and \.lp"):
        export_model(dispatch(), tmp_path / "model.txt")
    with pytest.raises(UsageError, match="does not exist"):
        export_model(dispatch(), tmp_path / "nowhere" / "model.lp")
    old = tmp_path / "model.lp"
    old.write_text("old", encoding="utf-8")
    with pytest.raises(InputError):
        export_model(linear_model([np.nan], [[1]], 0, 1, 0, 1), old)
    assert old.read_text(encoding="utf-8") == "old"
    assert len(list(tmp_path.iterdir())) == 1
