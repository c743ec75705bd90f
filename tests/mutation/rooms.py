"""Rooms that are mutated, and the tests that must notice: the room's own, the quick ones first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """Sources that are mutated, and tests that are run against each mutant.

    Attributes
    ----------
    sources
        Files, or patterns of files, below the root.
    tests
        Files and folders of tests, in the order in which they are run until one fails.
    """

    sources: tuple[str, ...]
    tests: tuple[str, ...]


def _audit(problem: str, *tests: str) -> Room:
    named = tests or ("test_audit",)
    return Room(
        (f"optmodels/{problem}/audit.py",), tuple(f"tests/{problem}/{name}.py" for name in named)
    )


_JOB = "tests/scaling/job/test_thresholds"
_SOLVER = "tests/solver/test"

ROOMS = {
    "scaling.job audit": _audit("scaling/job", "test_audit", "test_replay"),
    "scaling.cluster audit": _audit("scaling/cluster", "test_audit"),
    "rightsizing.sites audit": _audit("rightsizing/sites"),
    "routing.sites audit": _audit("routing/sites"),
    "routing.pipeline audit": _audit("routing/pipeline"),
    "placement.edge audit": _audit("placement/edge", "test_audit", "test_problem"),
    "placement.accelerators audit": _audit("placement/accelerators"),
    "ensembles.selection audit": _audit("ensembles/selection", "test_audit", "test_policies"),
    "ensembles.failover audit": _audit("ensembles/failover"),
    "what audits share": Room(("optmodels/violations.py",), ("tests/test_violations.py",)),
    "thresholds": Room(
        ("optmodels/scaling/job/conversion/thresholds.py",),
        tuple(f"{_JOB}_{name}.py" for name in ("curves", "ratios", "algorithms", "guarantees")),
    ),
    "queueing": Room(("optmodels/queueing/*.py",), ("tests/queueing",)),
    "template compiler": Room(
        ("optmodels/solver/template/*.py", "optmodels/solver/template/tracing/*.py"),
        (
            *(f"{_SOLVER}_template_{name}.py" for name in ("data", "rules", "update")),
            f"{_SOLVER}_tracing.py",
            f"{_SOLVER}_sparse_spaces.py",
            f"{_SOLVER}_template_forms.py",
        ),
    ),
}
