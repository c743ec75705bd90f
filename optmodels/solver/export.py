"""Write a model to an MPS or LP file with readable names, for any other solver."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from ..errors import SolverError, UsageError
from .front import linear_only
from .handover import pass_model
from .labels import place_text
from .listening import silent_highs

SUFFIXES = (".mps", ".lp")

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
        unique: ``flow[a,1]`` becomes ``flow_a_1``.

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
        raise UsageError(f"Cannot export to '{target}': the folder does not exist.")
    linear = linear_only(model, "Export", data)
    linear.check()
    highs = silent_highs()
    pass_model(highs, linear)
    labels = linear.labels
    ok = highspy.HighsStatus.kOk
    named = [
        highs.passColName(place, name)
        for place, name in enumerate(safe_names(linear.columns, labels.column))
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
