"""Heron's benchmark: honest rows, requests at the right rate, and checks that can fall short."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _heron_cells as cells  # noqa: E402
import _heron_requests as single  # noqa: E402
import heron  # noqa: E402

from optmodels.routing.sites import synthetic  # noqa: E402
from optmodels.routing.sites.instance import RoutingInstance  # noqa: E402
from optmodels.routing.sites.policies import POLICIES  # noqa: E402


@pytest.fixture(scope="module")
def instance() -> RoutingInstance:
    """An hour of short power."""
    return synthetic.generate(1, hours=1, gpus=160, sites=3, classes=4, sizing=1.5)


@pytest.fixture(scope="module")
def rows(instance: RoutingInstance) -> pd.DataFrame:
    """Everybody's row of it."""
    return pd.DataFrame(cells.plan_rows(instance, tuple(POLICIES))).set_index("policy")


def test_everybody_has_a_row_below_the_bound(rows: pd.DataFrame, instance: RoutingInstance) -> None:
    """All policies and the bound, each with the same demand; nobody above the bound."""
    assert set(rows.index) == {cells.BOUND, *POLICIES}
    assert rows["of_bound"].max() == 1
    assert (rows["broken"].dropna() == 0).all()
    total = instance.demand.sum(axis=1) @ instance.weight
    np.testing.assert_allclose(rows["demand_per_s"], total.mean())
    np.testing.assert_allclose(rows["served_share"], rows["goodput_per_s"] / total.mean())


def test_clocks_count_heron_s_planners(rows: pd.DataFrame) -> None:
    """Every slot and period is timed, the solver within the planner; nobody else has clocks."""
    mine = rows.loc["heron"]
    assert mine["planner_l_ms"] > 0
    assert mine["planner_s_ms"] > 0
    assert 0 < mine["solver_s"] < mine["seconds"]
    assert rows.drop(index="heron")["planner_l_ms"].isna().all()
    assert "planner_l_ms" in rows


def _frame(**changed: Any) -> pd.DataFrame:
    """Rows of a run in which every check holds, but for what is changed."""
    numbers = {"heron": 10.0, "weak": 8.0, "single": 9.0, "over": 0, "gap": 0.001, "solver": 9.0}
    numbers |= changed
    found = []
    for part, ratio, best in (("week", 1.0, numbers["weak"]), ("curve", 1.0, 9.0)):
        found.append((part, ratio, "bound", 10.1))
        found.append((part, ratio, "heron", numbers["heron"]))
        found.append((part, ratio, "gpu-idling", best))
    found += [("curve", 0.5, "bound", 10.1), ("curve", 0.5, "heron", 10.0)]
    found.append(("curve", 0.5, "gpu-idling", numbers["weak"]))
    plans = pd.DataFrame(found, columns=["part", "wind_ratio", "policy", "goodput_per_s"])
    plans = plans.assign(
        wind="rts-gmlc",
        mix="coding",
        gpus=400,
        broken=0,
        of_bound=plans["goodput_per_s"] / 10.1,
        solver_s=numbers["solver"],
    )
    fifty = pd.DataFrame(
        [{"part": "fifty", "ms_per_slot": 300.0, "worst_gap": numbers["gap"], "gpus": 5}]
    )
    hours = pd.DataFrame(
        [
            ("heron", 10.0, numbers["over"]),
            ("gpu-idling", numbers["single"], 0),
        ],
        columns=["policy", "goodput_per_s", "seconds_over_power"],
    ).assign(part="requests", mix="coding", run="own lengths")
    return pd.concat([plans, fifty, hours], ignore_index=True)


@pytest.mark.parametrize(
    ("changed", "falls"),
    [
        ({}, set()),
        ({"weak": 10.5}, {"weeks: Heron over the best", "curve, coding", "plans: most"}),
        ({"weak": 9.5}, {"curve, coding"}),
        ({"heron": 9.2}, {"weeks: Heron over the bound"}),
        ({"heron": 10.2}, {"plans: most goodput"}),
        ({"gap": 0.01}, {"fifty sites: loss"}),
        ({"solver": 61.0}, {"weeks: seconds of"}),
        ({"over": 1}, {"requests: seconds over"}),
        ({"single": 10.5}, {"requests, coding"}),
    ],
)
def test_each_check_can_fall_short(changed: dict[str, Any], falls: set[str]) -> None:
    """A number that is not as claimed is told by its own check."""
    short = {check.name for check in heron.checks_of(_frame(**changed)) if not check.ok}
    for start in falls:
        assert any(name.startswith(start) for name in short), (start, short)
    for name in short:
        assert any(name.startswith(start) for start in falls), name


def test_leads_are_over_the_best_baseline() -> None:
    """The best of the others counts, cell by cell."""
    found = heron.leads(_frame(), "curve").set_index("wind_ratio")
    assert found.loc[0.5, "lead"] == pytest.approx(1.25)
    assert found.loc[1.0, "lead"] == pytest.approx(10 / 9)
    assert found.loc[1.0, "best_baseline"] == "gpu-idling"


def test_an_outage_darkens_the_largest_site_only() -> None:
    """From its first second to its last, and nothing else."""
    power = np.tile([1.0, 5.0, 3.0], (1500, 1))
    dark = single.without_largest(power)
    begin, end = single.OUTAGE
    assert (dark[begin:end, 1] == 0).all()
    assert (dark[:, [0, 2]] == power[:, [0, 2]]).all()
    assert (np.delete(dark[:, 1], np.s_[begin:end]) == 5).all()
    assert (power == [1.0, 5.0, 3.0]).all()


def test_power_by_second_joins_the_periods() -> None:
    """At the start of a period its own value, between straight lines: no jumps at the seams."""
    made = synthetic.generate(2, hours=1, gpus=40, sites=2)
    power = single.power_by_second(made)
    assert power.shape == (3600, 2)
    np.testing.assert_allclose(power[::300], made.power_kw)
    steps = np.abs(np.diff(made.power_kw, axis=0)).max(axis=0) / 300
    assert (np.abs(np.diff(power, axis=0)).max(axis=0) <= steps + 1e-9).all()


def test_requests_have_the_instance_s_rate_and_the_trace_s_mix(shared_data: Path) -> None:
    """Copies of the trace, the last one thinned, make up the demand, class by class."""
    hour = single.Hour("coding", 16, 0.5, 0.5, heron.HOUR_BEGIN, 10, (), 3)
    cell = cells.Cell("requests", "rts-gmlc", "coding", 16, 0.5, 0.5, 10 / 1440, 60)
    instance = cells.instance_of(cell, begin=hour.begin, between="line", rates=None, past_days=0)
    made = single.requests_of(instance, hour)
    wanted = instance.demand.sum(axis=1).mean(axis=0) * 600
    found = np.bincount(made.request_class, minlength=len(wanted))
    assert found.sum() == pytest.approx(wanted.sum(), rel=0.15)
    large = wanted > 50
    np.testing.assert_allclose(found[large], wanted[large], rtol=0.35)
    again = single.requests_of(instance, hour)
    np.testing.assert_array_equal(made.arrival_s, again.arrival_s)


def test_cells_are_what_they_say(shared_data: Path) -> None:
    """A part of a week: the wind, the fleet and the demand that were asked for."""
    cell = cells.Cell("week", "areas", "coding", 400, 0.5, 0.6, 0.25, 900)
    instance = cells.instance_of(cell)
    assert instance.periods == 24
    assert instance.gpus.sum() == 400
    full = 400 * float((instance.profile.kw / instance.profile.tp).max())
    assert instance.power_kw.sum(axis=1).mean() == pytest.approx(0.5 * full)
