"""The peers benchmark in miniature: all peers find the same, and a peer that does not is seen."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _peers_references as references  # noqa: E402
import _peers_works as works  # noqa: E402
import peers  # noqa: E402

import optmodels as om  # noqa: E402
from optmodels.comparison import run  # noqa: E402
from optmodels.forecast import make_forecast  # noqa: E402
from optmodels.scaling.cluster import POLICIES  # noqa: E402


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Every work at its smallest; memory without its processes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = works.building("routing", 1000, (works.RAW, works.OURS, works.PYOMO), 2, 1, 0)
        found += [works.follow((name, 2, 0)) for name in (works.HAND, works.ROLLED)]
    found += works.policies(4, 2, 24, 1, 0)
    found += works.oracles(120, 4, 1, 0)
    found += works.sizes(100, 3, 1, 0)
    found += works.simulations(150, 48, 1, 0)
    found += works.placements(12, 120, 20.0, (0, 1))
    found += [
        works.row("memory", "routing", peer, peer == works.OURS, megabytes=size)
        for peer, size in ((works.RAW, 50.0), (works.OURS, 60.0))
    ]
    return found


def checks(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Checks by name."""
    return {check.name: check for check in peers.report_of(rows).checks}


def test_all_peers_find_the_same(rows: list[dict[str, Any]]) -> None:
    """Objectives and decisions agree in every work, at any size; all works are judged."""
    found = checks(rows)
    same = [c for name, c in found.items() if "difference" in name or "bound above" in name]
    assert len(same) == 8
    assert all(check.ok for check in same), [str(check) for check in same]
    works_judged = {name.split(":")[0].split(",")[0].split(" routing")[0] for name in found}
    assert {"building", "memory", "rolling horizon", "online policy", "oracle"} <= works_judged
    assert {"sizes of sites", "cluster simulation", "placement"} <= works_judged


@pytest.mark.parametrize(
    ("work", "peer", "column", "factor", "failing"),
    [
        ("model building", works.PYOMO, "objective", 1.001, "model building: largest relative"),
        ("oracle", works.WARM_LP, "objective", 1.001, "oracle: largest relative difference"),
        ("online policy", works.CLOSED, "largest_difference", 1e6, "difference of a decision"),
        ("cluster simulation", works.PLAIN, "objective", 1.1, "cluster simulation: largest"),
        ("placement", works.MILP, "bound", 1.5, "placement: a bound above"),
        ("placement", works.COLUMNS, "gap", 1e9, "placement: largest gap"),
        ("model building", works.OURS, "seconds", 1e6, "ours / hand-filled arrays"),
        ("memory", works.OURS, "megabytes", 2.0, "memory: ours"),
        ("rolling horizon", works.ROLLED, "seconds", 1e6, "warm loop by hand"),
        ("oracle", works.STRING, "seconds", 1e6, "one taut string"),
        ("cluster simulation", works.REPLAY, "seconds", 1e6, "plain Python / replay, least"),
    ],
)
def test_wrong_numbers_fail(
    rows: list[dict[str, Any]], work: str, peer: str, column: str, factor: float, failing: str
) -> None:
    """Each check falls with the number that it is about."""
    wrong = [
        {**row, column: factor * (row[column] + (column == "gap"))}
        if (row["work"], row["peer"]) == (work, peer)
        else row
        for row in rows
    ]
    assert any(failing in name and not check.ok for name, check in checks(wrong).items())


def test_ratios_are_to_ours(rows: list[dict[str, Any]]) -> None:
    """Ours is 1 in every case, in seconds or in megabytes; a stopped search has no difference."""
    frame = peers.compared(rows)
    np.testing.assert_array_equal(frame.loc[frame["ours"], "over_ours"], 1.0)
    assert (frame.groupby(["work", "case"])["ours"].sum() == 1).all()
    memory = frame[(frame["work"] == "memory") & (frame["peer"] == works.RAW)]
    assert memory["over_ours"].item() == pytest.approx(50 / 60)
    endless = [
        {**row, "objective": np.inf, "gap": np.nan, "reached": False}
        if row["peer"] == works.MILP
        else row
        for row in rows
    ]
    report = peers.report_of(endless)
    assert any("without a plan" in note for note in report.notes)
    assert pd.DataFrame(report.rows)["difference"].max() < 1


def test_ratio_of_the_reference_is_that_of_the_paper() -> None:
    """The reference solves for its own ratio: without switching, one-way trading's 2.5532."""
    assert references.competitive_ratio(1.0, 10.0, 0.0) == pytest.approx(2.553243, abs=1e-6)
    assert references.competitive_ratio(50.0, 500.0, 20.0) == pytest.approx(3.019556, abs=1e-6)


def test_plain_simulator_waits_pauses_and_crowds() -> None:
    """Also where servers are short and jobs overdue, the plain simulator is the replay's equal."""
    instance = om.generate("scaling.cluster", seed=3, jobs=120, hours=48, capacity=14, past_hours=0)
    plain = references.PlainCluster(instance)
    ahead = make_forecast(
        "perfect",
        instance.carbon,
        slots_per_day=instance.slots_per_day,
        rng=np.random.default_rng(0),
    )
    for name in ("fcfs", "wait-awhile"):
        plan = run(instance, POLICIES[name](), forecast=ahead)
        grams, ends = plain.run(name)
        assert grams == pytest.approx(plan.cost["carbon_g"], rel=1e-9)
        assert ends == pytest.approx(plan.tables["jobs"]["finish_slot"].sum(), rel=1e-12)
        assert plan.tables["jobs"]["late_slots"].max() > 0
