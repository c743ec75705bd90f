"""Write a model to an MPS or LP file with readable names, for any other solver.

Readers of MPS files do not agree on a constant in the objective: HiGHS and CBC take the right-hand
side of the objective with the opposite sign, GLPK with its own. So a constant is written as the
cost of a column that is fixed at 1, which all of them read alike.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SolverError, UsageError
from .front import linear_only
from .handover import pass_model
from .labels import place_text
from .linear import LinearModel
from .listening import silent_highs

SUFFIXES = (".mps", ".lp")

#: Column whose cost is the constant of the objective.
CONSTANT = "constant"

_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
# What an LP file reads as something else: section words, numbers such as e12, inf.
_RESERVED = re.compile(
    r"(?:[eE]\d.*|\d.*|st|s_t|subject|such|to|that|min\w*|max\w*|bounds?|bin\w*|gen\w*|int\w*|"
    r"semis?|sos\d?|free|inf\w*|end|obj|rhs|rng|bnd)",
    re.IGNORECASE,
)
_LONGEST = 200


def export_model(model: Any, path: str | os.PathLike[str], *, data: object = None) -> Path:
    """Write a model to a file, whole or not at all.

    Parameters
    ----------
    model
        Pyomo or CVXPY model, linear or quadratic.
    path
        File ending in ``.mps`` or ``.lp``; its folder must exist.
    data
        Data of an AbstractModel.

    Returns
    -------
    Path
        The file written. Names are the model's, with letters, digits and underscores only, and
        unique: ``flow[a,1]`` becomes ``flow_a_1``. A constant of the objective is the cost of a
        last column ``constant``, fixed at 1.

    Raises
    ------
    UsageError
        Another suffix, a missing folder, a model with cones.
    SolverError
        HiGHS cannot write the file.
    """
    import highspy

    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise UsageError(f"Cannot export to '{target.name}': allowed endings are .mps and .lp.")
    if not target.parent.is_dir():
        raise UsageError(
            f"Cannot export to '{target}': the folder does not exist. Fix: make it first."
        )
    linear = linear_only(model, "Export", data)
    linear.check()
    highs = silent_highs()
    written_out = _with_constant(linear)
    pass_model(highs, written_out)
    labels = linear.labels
    ok = highspy.HighsStatus.kOk

    def column_of(place: int) -> tuple[str, Hashable]:
        return labels.column(place) if place < linear.columns else (CONSTANT, None)

    named = [
        highs.passColName(place, name)
        for place, name in enumerate(safe_names(written_out.columns, column_of))
    ]
    named += [
        highs.passRowName(place, name)
        for place, name in enumerate(safe_names(linear.rows, labels.row))
    ]
    # HiGHS chooses the format by the ending, so the temporary file has it too.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        draft = Path(folder) / f"model{target.suffix.lower()}"
        written = highs.writeModel(str(draft))
        if written == highspy.HighsStatus.kError or any(status != ok for status in named):
            raise SolverError(f"HiGHS could not write '{target.name}'.")
        draft.replace(target)
    return target


def _with_constant(linear: LinearModel) -> LinearModel:
    """The same model with the constant of its objective as the cost of a last, fixed column."""
    if linear.offset == 0:
        return linear
    hessian = linear.hessian
    if hessian is not None:
        import scipy.sparse as sp

        hessian = sp.block_diag([hessian, sp.csc_array((1, 1))], format="csc")
    return replace(
        linear,
        cost=np.append(linear.cost, linear.offset),
        starts=np.append(linear.starts, linear.starts[-1]),
        column_lower=np.append(linear.column_lower, 1.0),
        column_upper=np.append(linear.column_upper, 1.0),
        integer=np.append(linear.integer, False),
        hessian=hessian,
        offset=0.0,
    )


def safe_names(count: int, place: Callable[[int], tuple[str, Hashable]]) -> list[str]:
    """Readable, unique names that both file formats accept."""
    taken: set[str] = set()
    result = []
    for position in range(count):
        name = _UNSAFE.sub("_", place_text(*place(position))).strip("_")[:_LONGEST]
        if not name or _RESERVED.fullmatch(name):
            name = f"v_{name}"
        unique, copy = name, 1
        while unique in taken:
            copy += 1
            unique = f"{name}__{copy}"
        taken.add(unique)
        result.append(unique)
    return result
