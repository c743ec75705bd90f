"""HiGHS against solvers that share no code with it, on the formulations of random instances.

Each instance's ordinary Pyomo model is solved by HiGHS, written as MPS, and solved by CBC, by
GLPK, and by SCIP where ``pyscipopt`` is installed. Its relaxation, a linear programme, goes to all
of them and, through CVXPY, to Clarabel, an interior point method.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from optmodels.solver import LinearModel, Status, compile_model, export_model, solve_model

from .statement import INFEASIBLE, Finding, same

SECONDS = 60.0
#: Relative difference that is left between an interior point and a vertex.
_TIGHT = 1e-9


def cbc(file: Path) -> float:
    """Objective that CBC finds."""
    said = _said(["cbc", str(file), "ratio", "1e-9", "solve"])
    if re.search(r"infeasible", said, re.IGNORECASE) and not re.search(r"Optimal", said):
        return INFEASIBLE
    # The log of a MIP ends with "Objective value:", that of an LP with "Optimal objective".
    found = re.findall(r"(?:Objective value:|Optimal objective)\s+(\S+)", said)
    if not found:
        found = re.findall(r"Optimal - objective value (\S+)", said)
    assert found, said
    return float(found[-1])


def glpk(file: Path) -> float:
    """Objective that GLPK finds."""
    table = file.with_suffix(".glpk")
    said = _said(["glpsol", "--freemps", str(file), "--mipgap", "1e-9", "--cuts", "-w", str(table)])
    if "HAS NO PRIMAL FEASIBLE" in said or "HAS NO INTEGER FEASIBLE" in said:
        return INFEASIBLE
    # A line "s" has kind, rows, columns, status and objective.
    line = re.search(r"^s .*$", table.read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None, said
    kind, _, _, *status, objective = line.group().split()[1:]
    if "n" in status:
        return INFEASIBLE
    assert status == {"mip": ["o"], "bas": ["f", "f"]}[kind], line.group()
    return float(objective)


def scip(file: Path) -> float:
    """Objective that SCIP finds."""
    import pyscipopt

    model = pyscipopt.Model()
    model.hideOutput()
    model.readProblem(str(file))
    model.setParam("limits/gap", 0.0)
    model.setParam("limits/time", SECONDS)
    model.optimize()
    if model.getStatus() == "infeasible":
        return INFEASIBLE
    assert model.getStatus() == "optimal", model.getStatus()
    return float(model.getObjVal())


def _said(command: list[str]) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=SECONDS
    ).stdout


def clarabel(model: LinearModel) -> float:
    """Objective that Clarabel finds for a model without integers."""
    import cvxpy as cp

    x = cp.Variable(model.columns)
    activity = model.matrix @ x
    rows = []
    equal = model.row_lower == model.row_upper
    upper = np.isfinite(model.row_upper) & ~equal
    lower = np.isfinite(model.row_lower) & ~equal
    for which, make in (
        (equal, lambda i: activity[i] == model.row_upper[i]),
        (upper, lambda i: activity[i] <= model.row_upper[i]),
        (lower, lambda i: activity[i] >= model.row_lower[i]),
    ):
        if which.any():
            rows.append(make(np.flatnonzero(which)))
    for bound, make in (
        (model.column_upper, lambda i: x[i] <= model.column_upper[i]),
        (model.column_lower, lambda i: x[i] >= model.column_lower[i]),
    ):
        if np.isfinite(bound).any():
            rows.append(make(np.flatnonzero(np.isfinite(bound))))
    sense = cp.Maximize if model.maximize else cp.Minimize
    problem = cp.Problem(sense(model.cost @ x + model.offset), rows)
    problem.solve(
        solver=cp.CLARABEL, tol_gap_abs=_TIGHT, tol_gap_rel=_TIGHT, tol_feas=_TIGHT, max_iter=500
    )
    if problem.status in ("infeasible", "infeasible_inaccurate"):
        return INFEASIBLE
    assert problem.status in ("optimal", "optimal_inaccurate"), problem.status
    return float(problem.value)


@cache
def by_file() -> Mapping[str, Callable[[Path], float]]:
    """Solvers that are there, by name; each takes an MPS file."""
    found: dict[str, Callable[[Path], float]] = {}
    if shutil.which("cbc"):
        found["CBC"] = cbc
    if shutil.which("glpsol"):
        found["GLPK"] = glpk
    if find_spec("pyscipopt"):
        found["SCIP"] = scip
    return found


def versions() -> dict[str, str]:
    """Versions of all solvers that take part."""
    import clarabel as installed
    import highspy

    found = {"HiGHS": highspy.Highs().version(), "Clarabel": installed.__version__}
    if "CBC" in by_file():
        found["CBC"] = re.search(r"Version: (\S+)", _said(["cbc", "quit"])).group(1)
    if "GLPK" in by_file():
        found["GLPK"] = re.search(r"v?(\d+\.\d+)", _said(["glpsol", "--version"])).group(1)
    if "SCIP" in by_file():
        import pyscipopt

        found["SCIP"] = str(pyscipopt.Model().version())
    return found


def highs(model: Any) -> float:
    """Objective that HiGHS finds through the solve layer."""
    solution = solve_model(model, mip_gap=0.0)
    if solution.status is Status.INFEASIBLE:
        return INFEASIBLE
    return float(solution.require().objective)


def compared_model(model: Any) -> list[Finding]:
    """One model by all solvers, and its relaxation."""
    linear = compile_model(model)
    assert isinstance(linear, LinearModel)
    found = []
    kinds = [("", linear)]
    if linear.is_mip:
        relaxed = linear.changed(integer=np.zeros(linear.columns, dtype=bool), source=None)
        kinds.append((", relaxed", relaxed))
    for kind, arrays in kinds:
        ours = highs(arrays)
        with tempfile.TemporaryDirectory() as folder:
            for name, solve in by_file().items():
                file = export_model(arrays, Path(folder) / f"{name}.mps")
                try:
                    found.append(same(f"{name}{kind}", ours, solve(file)))
                except subprocess.CalledProcessError as error:
                    # GLPK 5.0 aborts on a few models: that is no answer, and none of ours.
                    if error.returncode != -signal.SIGABRT:
                        raise
        if not arrays.is_mip and arrays.columns:
            found.append(same(f"Clarabel{kind}", ours, clarabel(arrays)))
    return found


def compared(problem: str, seed: tuple[int, int]) -> list[Finding]:
    """The formulation of one instance by all solvers."""
    from optmodels.errors import InfeasibleError, UsageError

    from .running import instance_of

    instance = instance_of(problem, seed)
    instance = getattr(instance, "instance", instance)
    try:
        model = instance.model()
    except (InfeasibleError, UsageError):
        # Known before there is a model: a service without any route, nothing worth running.
        return []
    return compared_model(model)
