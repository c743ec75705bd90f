"""Files of plans, damaged, audited against their instance.

A file whose decisions or claims were changed must be refused, or its audit must agree with what it
claims: a plan that costs something else than it says does not exist.
"""

from __future__ import annotations

import functools
import json
import os
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import optmodels as om
from optmodels import registry
from optmodels.errors import AuditError
from optmodels.instance import Instance
from tests.fuzz import nasty
from tests.fuzz.strategies import small_instance
from tests.fuzz.verdict import listing, promise

OUTCOMES = ("refused", "refused by its audit", "accepted")
VARIANTS = 3
SOLVER_SECONDS = 2.0


@dataclass(frozen=True)
class Base:
    """An instance, and the file of its optimum."""

    instance: Instance
    raw: bytes
    content: Any
    objective: float


@functools.cache
def base(problem: str, variant: int, seed: int) -> Base:
    """One of the plans from which the cases of a problem start."""
    rng = random.Random(f"{seed}/plan/{problem}/{variant}")
    made = small_instance(problem, rng)
    while om.explain(made) and registry.problem(problem).soft is None:
        made = small_instance(problem, rng)
    plan = om.solve(made, time_limit_s=SOLVER_SECONDS)
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "plan.json"
        plan.save(path)
        raw = path.read_bytes()
    return Base(made, raw, json.loads(raw), plan.objective)


def run(case: int, seed: int, room: Path) -> str:
    """Make one damaged file of a plan and check it; gives its outcome, one of `OUTCOMES`.

    Parameters
    ----------
    case, seed
        Which case: the same two numbers give the same file.
    room
        Empty folder to work in; it is left empty.
    """
    rng = random.Random(f"{seed}/plans/{case}")
    names = registry.problems()
    origin = base(names[case % len(names)], rng.randrange(VARIANTS), seed)
    if rng.random() < 0.15:
        raw = nasty.bytes_mutated(origin.raw, rng)
    else:
        content = origin.content
        for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
            content = nasty.json_mutated(content, rng, focus="tables")
        raw = nasty.json_text(content, rng)
    path = room / "plan.json"
    try:
        if rng.randrange(300) == 0:
            os.mkfifo(path)
        else:
            path.write_bytes(raw)
        before = listing(room)
        try:
            checked = om.check(origin.instance, path)
        except AuditError:
            return "refused by its audit"
        finally:
            promise(listing(room) == before, "reading changed the files")
        promise(bool(np.isfinite(checked.objective)), "an objective that is not finite")
        promise(bool(repr(checked)), "no text of a plan")
        return "accepted"
    finally:
        path.unlink(missing_ok=True)
