"""The benchmark of studies on a handful of cells: rows, checks that can fall short, pictures."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _studies_forecasts as forecasts  # noqa: E402
import studies  # noqa: E402

import optmodels as om  # noqa: E402


@pytest.fixture(scope="module")
def jobs() -> list[om.Instance]:
    """Two jobs of a day, with forecasts of their own that miss."""
    made = []
    for seed in (1, 2):
        base = om.generate("scaling.job", seed=seed, hours=24, work=6.0)
        told = pd.DataFrame(
            {
                "issue_time": base.times[0],
                "time": base.times,
                "carbon_g_per_kwh": base.carbon[::-1],
            }
        )
        kind = type(base)
        parameters = base.parameters.model_dump()
        made.append(kind(parameters, {**base.tables, "forecast": told}, name=f"job {seed}"))
    return made


def test_losses_are_whole_and_advice_is_judged(jobs: list[om.Instance]) -> None:
    """Rows of every policy; their losses sum up; shares go from the truth to its mirror image."""
    rows, [whole] = forecasts.loss_rows({"scaling.job": jobs}, 1)
    assert {row["policy"] for row in rows} >= {"run-now", "carbonscaler", "receding-horizon"}
    assert whole.value < 1e-12
    assert {row["instances"] for row in rows} == {2}
    rows, checks = forecasts.advice_rows({"scaling.job": jobs}, (0.0, 0.5, 1.0), 1)
    assert {row["share"] for row in rows} == {0.0, 0.5, 1.0}
    assert len(checks) == 3


def test_pictures(jobs: list[om.Instance], tmp_path: Path) -> None:
    """One picture of losses and one of advice per problem."""
    made = forecasts.draw({"scaling.job": jobs}, (0.0, 1.0), 1, tmp_path)
    assert [path.name for path in made] == ["gaps-scaling.job.png", "advice-scaling.job.png"]
    assert all(path.stat().st_size > 5000 for path in made)


def test_searches_find_what_is_false_and_nothing_else() -> None:
    """The published limit falls within few evaluations; what is proven stands."""
    _, [false, proven] = studies.search_rows(replace(studies.QUICK, searches=60), 0)
    assert false.value > 1
    assert proven.ok


def test_differing_tables_are_told_by_problem() -> None:
    """Other and missing numbers and rows are differences; NaN beside NaN is none."""
    table = pd.DataFrame({"problem": ["a", "b", "c"], "total": [1.0, np.nan, 3.0]})
    assert studies.differing(table, table.copy()) == []
    assert studies.differing(table, table.assign(total=[1.0, 2.0, 3.5])) == ["b", "c"]
    assert studies.differing(table, table[:2]) == ["everything"]


def test_instances_of_every_problem() -> None:
    """Every problem is in the study of the engines, jobs more often than others."""
    made = studies.instances_of(replace(studies.QUICK, jobs=2), 0)
    names = [instance.problem for instance in made]
    assert set(names) == set(om.problems())
    assert names.count("scaling.job") == 2
