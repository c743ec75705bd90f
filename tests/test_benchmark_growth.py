"""The growth benchmark: exponents are those of known growths, and steep ones are seen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _growth_cells as cells  # noqa: E402
import _growth_subjects as subjects  # noqa: E402
import growth  # noqa: E402

from optmodels import registry  # noqa: E402

SIZES = (10, 40, 160, 640)


def rows_of(
    power: float, *, memory: float = 1.0, kind: str = "", action: str = "solve", fixed: float = 0.0
) -> list[dict[str, Any]]:
    """Rows that grow as they are told."""
    return [
        {
            "subject": "p, n",
            "problem": "p",
            "axis": "n",
            "size": n,
            "n": n,
            "action": action,
            "kind": kind,
            "seconds": fixed + 1e-3 * n**power,
            "megabytes": 0.1 * n**memory,
            "repeats": 1,
            "gap": float("nan"),
        }
        for n in SIZES
    ]


def worst(rows: list[dict[str, Any]]) -> dict[str, growth.Check]:
    """Checks of the exponents by name."""
    found = growth.report_of(rows).checks
    return {check.name: check for check in found if "exponent" in check.name}


def test_exponents_of_known_growths() -> None:
    """n, n^1.5 and n² are told apart; a fixed cost hides little of them in the largest sizes."""
    for power in (1.0, 1.5, 2.0):
        table = growth.growth_of(pd.DataFrame(rows_of(power, fixed=0.01)))
        assert table["exponent"].item() == pytest.approx(power, abs=0.1)
        assert table["exponent, all sizes"].item() <= table["exponent"].item() + 1e-9
    assert np.isnan(growth.slope((1, 2), (0.0, 1.0)))


def test_steep_growth_fails_in_time_and_in_memory() -> None:
    """What grows like n^1.5 falls, in either; the check names the steepest action of a subject."""
    fine, steep = worst(rows_of(1.0)), worst(rows_of(1.0) + rows_of(1.5, action="audit"))
    assert all(check.ok for check in fine.values())
    assert [check.ok for check in steep.values()] == [False, True]
    heavy = worst(rows_of(1.0, memory=1.5))
    assert [check.ok for check in heavy.values()] == [True, False]
    report = growth.report_of(rows_of(1.0) + rows_of(1.5, action="audit"))
    assert list(report.tables["Steepest in time, by subject"]["action"]) == ["audit"]


def test_hard_programmes_are_listed_and_not_judged() -> None:
    """They have their seconds and gaps by size; squares have a limit of their own."""
    hard = rows_of(3.0, kind="hard")
    report = growth.report_of(rows_of(1.0, action="audit") + hard)
    assert all(check.ok for check in report.checks if "exponent" in check.name)
    listed = report.tables["Hard programmes: seconds, and gaps where they are proven"]
    assert listed["seconds, size 4"].item() == pytest.approx(1e-3 * 640**3)
    assert next(iter(worst(rows_of(2.0, kind="square")).values())).ok
    assert not next(iter(worst(rows_of(3.0, kind="square")).values())).ok


def test_what_is_too_small_to_tell_is_not_judged() -> None:
    """A millisecond's noise has no growth."""
    tiny = [{**row, "seconds": 1e-6 * row["n"] ** 1.4, "megabytes": 0.0} for row in rows_of(1)]
    assert not worst(tiny)


def test_subjects_cover_every_problem_and_policy() -> None:
    """All nine problems and the readers; every policy is either measured or listed as hard."""
    names = [subject.name for subject in subjects.SUBJECTS]
    assert len(set(names)) == len(names)
    assert {s.problem for s in subjects.SUBJECTS} == {*registry.problems(), subjects.READERS}
    for subject in subjects.SUBJECTS:
        assert len(subject.sizes) == 4
        assert list(subject.sizes) == sorted(subject.sizes)
        if subject.problem == subjects.READERS:
            continue
        policies = set(registry.problem(subject.problem).policies)
        assert subjects.HARD_POLICIES.get(subject.problem, frozenset()) <= policies
        assert subject.squares <= policies


@pytest.mark.parametrize(("name", "size"), [("scaling.cluster, jobs", 30), ("readers, rows", 50)])
def test_a_cell_measures_everything(name: str, size: int) -> None:
    """Every action has a row with a time; the policies that the problem has are all there."""
    found = pd.DataFrame(cells.perform(cells.Cell(name, size, size, 0, 5.0)))
    assert (found["seconds"] >= 0).all()
    assert (found["n"] == size).all()
    if name.startswith("readers"):
        assert set(found["action"]) == {"read carbon", "read requests", "read jobs"}
        return
    policies = {f"policy {policy}" for policy in registry.problem("scaling.cluster").policies}
    others = {"generate", "save", "load", "compile", "first replay", "audit"}
    assert set(found["action"]) == policies | others
    # Its oracle is an integer programme: it is measured apart.
    hard = subjects.subject_of("scaling.cluster, jobs, oracle")
    [solved] = cells.perform(cells.Cell(hard.name, 5, 5, 0, 5.0))
    assert solved["kind"] == "hard"
    assert solved["gap"] <= subjects.HARD_GAP


def test_quick_runs_do_the_two_smallest_sizes() -> None:
    """The two smallest of all subjects are there, and all in a full run, largest first."""
    full = growth.cells_of(subjects.SUBJECTS, 0, quick=False)
    quick = growth.cells_of(subjects.SUBJECTS, 0, quick=True)
    assert len(full) == 4 * len(subjects.SUBJECTS)
    assert len(quick) == 2 * len(subjects.SUBJECTS)
    assert full[0].size == subjects.SUBJECTS[0].sizes[-1]
