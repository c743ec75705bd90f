"""The cluster benchmark: fair weeks, honest rows and checks that can fall short."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _scaling_cluster_cells as cells  # noqa: E402
import _scaling_cluster_growth as growth  # noqa: E402
import scaling_cluster  # noqa: E402

from optmodels.plan import Plan  # noqa: E402
from optmodels.scaling.cluster import POLICIES, synthetic  # noqa: E402
from optmodels.scaling.cluster.instance import ClusterInstance  # noqa: E402

HOURS = 24.0


@pytest.fixture(scope="module")
def cluster() -> ClusterInstance:
    """Eight jobs of a busy day."""
    return synthetic.generate(
        3, hours=HOURS, jobs=8, utilisation=0.8, longest_hours=8, past_hours=24
    )


@pytest.fixture(scope="module")
def rows(cluster: ClusterInstance) -> pd.DataFrame:
    """Everybody's row of it."""
    return pd.DataFrame(cells.plan_rows(cluster, HOURS, tuple(POLICIES), 0)).set_index("policy")


# -------------------------------------------------------------------------------------- the weeks
def _week(jobs: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    length = rng.uniform(0.5, 10, jobs).round(6)
    return pd.DataFrame({"arrival_h": rng.uniform(0, cells.WEEK_H, jobs), "length_h": length})


def test_history_holds_no_job_of_the_judged_week() -> None:
    """The last week is real and as it was; the weeks before come from the other jobs alone.

    A history drawn from all jobs would tell a policy the very lengths that it is asked to not know.
    """
    week = _week(200)
    found, work = cells.week_with_history(week, weeks=3, work_h=400.0, seed=1)
    last = found[found["arrival_h"] >= 3 * cells.WEEK_H]
    before = found[found["arrival_h"] < 3 * cells.WEEK_H]
    assert not set(last["length_h"]) & set(before["length_h"])
    assert last["length_h"].sum() == pytest.approx(work)
    assert 400 <= work < 410
    real = week.set_index("length_h")["arrival_h"]
    np.testing.assert_allclose(real[last["length_h"]], last["arrival_h"] - 3 * cells.WEEK_H)
    hours = real[before["length_h"]].to_numpy() % 24
    np.testing.assert_allclose(hours, before["arrival_h"] % 24)
    assert (found["length_h"] >= cells.LEAST_HOURS).all()
    for i in range(3):
        inside = before["arrival_h"].between(i * cells.WEEK_H, (i + 1) * cells.WEEK_H)
        assert work <= before.loc[inside, "length_h"].sum() < work + 10
    again, _ = cells.week_with_history(week, weeks=3, work_h=400.0, seed=1)
    pd.testing.assert_frame_equal(found, again)


@pytest.mark.parametrize("setup", [scaling_cluster.GPU, scaling_cluster.PAI])
def test_weeks_have_the_load_and_history_that_they_say(
    shared_data: Path, setup: cells.Cluster
) -> None:
    """The cluster is as busy as asked for in the judged week and before it."""
    cell = cells.Cell("zones", setup, "AU-SA", scaling_cluster.WEEKS[0], 0, ())
    instance = cells.instance_of(cell)
    hours = setup.capacity * cells.WEEK_H
    assert instance.jobs.length.sum() / hours == pytest.approx(setup.utilisation, abs=0.03)
    assert len(instance.past_carbon) == setup.history_weeks * cells.WEEK_H
    known = instance.past_jobs
    assert known is not None
    share = known.length.sum() / (hours * setup.history_weeks)
    assert 0.6 * setup.utilisation < share <= setup.utilisation + 0.01
    assert str(instance.times[0]) == f"{cell.week} 00:00:00+00:00"


# --------------------------------------------------------------------------------------- the rows
def test_everybody_has_a_row(rows: pd.DataFrame, cluster: ClusterInstance) -> None:
    """All policies, both oracles and the bound, each held against the first come first served."""
    assert set(rows.index) == {*POLICIES, cells.GREEDY, cells.ORACLE, cells.BOUND}
    assert rows.index.is_unique
    assert rows.loc["fcfs", "saving"] == 0
    assert (rows["over_bound"].dropna() >= 1 - 1e-9).all()
    base = rows.loc["fcfs", "total"]
    np.testing.assert_allclose(
        rows["above_bound"], 100 * (rows["total"] - rows.loc[cells.BOUND, "total"]) / base
    )
    np.testing.assert_allclose(
        rows["behind_oracle"].dropna(),
        (rows.loc[cells.ORACLE, "saving"] - rows["saving"]).drop(cells.BOUND),
        atol=1e-9,
    )
    busy = cluster.jobs.length.sum() / (cluster.capacity * HOURS)
    assert rows.loc["fcfs", "utilisation"] >= busy


def test_peak_counts_held_servers(cluster: ClusterInstance) -> None:
    """A server more in the busiest slot shows; a job with two rows in a slot holds the larger."""
    plan = cells.replayed(cluster, "fcfs", 0)
    schedule = plan.tables["schedule"]
    twice = pd.concat([schedule, schedule.assign(servers=schedule["servers"] + 1)])

    fake: Any = SimpleNamespace(tables={"schedule": twice})
    before = cells.peak(cluster, plan)
    assert 0 < before <= 1
    assert cells.peak(cluster, fake) > before
    jobs = schedule.groupby("slot")["servers"].agg(["sum", "count"])
    most = float((jobs["sum"] + jobs["count"]).max())
    assert cells.peak(cluster, fake) == pytest.approx(most / cluster.capacity)


def test_binding_is_what_the_capacity_costs(cluster: ClusterInstance) -> None:
    """The same jobs with room for all do not bind."""

    def binds(instance: ClusterInstance) -> bool:
        best: Plan = cells.solve(instance, method="greedy")
        assert best.bound is not None
        return cells.binding(instance, best.bound)

    assert binds(cluster)
    assert not binds(cluster.replace(capacity=10_000))


# ------------------------------------------------------------------------------------- the checks
def _frame(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The rows as if they were those of every part, with a small cluster and its growth."""
    heads = [
        ("paper", scaling_cluster.CPU),
        ("paper", scaling_cluster.GPU),
        ("zones", scaling_cluster.PAI),
        ("busy", scaling_cluster.GPU),
    ]
    parts = [
        rows.reset_index().assign(
            part=part, cluster=setup.name, zone="AU-SA", week="w", jobs=8, load=0.75
        )
        for part, setup in heads
    ]
    return pd.concat([*parts, pd.DataFrame(cells.perform_small(seed))], ignore_index=True)


def test_checks_judge_what_was_measured(rows: pd.DataFrame) -> None:
    """A claim falls short when its numbers do: a bound too high, a server or a rival too many."""
    frame = _frame(rows)

    def judged(changed: pd.DataFrame) -> dict[str, bool]:
        return {check.name: check.ok for check in scaling_cluster.checks_of(changed)}

    first = judged(frame)
    plain = ("smallest cost over the bound", "most servers in use, share of the capacity")
    assert all(first[name] for name in plain)
    assert first["limits broken, all audits"]
    wrong = frame.copy()
    wrong.loc[0, ["over_bound", "peak", "broken"]] = [0.999, 1.01, 1]
    broken = judged(wrong)
    assert not any(broken[name] for name in (*plain, "limits broken, all audits"))
    for lead, kept in ((10.0, True), (-10.0, False)):
        better = frame.copy()
        flex, greedy = better["policy"] == "carbonflex", better["policy"] == cells.GREEDY
        top = frame.loc[~flex & ~greedy & (frame["policy"] != cells.BOUND), "saving"].max()
        low = frame.loc[~flex & ~greedy, "saving"].min()
        better.loc[flex, "saving"] = (top if kept else low) + lead
        better.loc[greedy, "saving"] = better.loc[flex, "saving"].iloc[0] + (1 if kept else 30)
        verdicts = [ok for name, ok in judged(better).items() if "CarbonFlex ahead of" in name]
        assert verdicts == [kept] * 6
        verdicts = [ok for name, ok in judged(better).items() if "behind its oracle" in name]
        assert verdicts == [kept] * 2


def test_gaps_are_those_of_binding_cells(rows: pd.DataFrame) -> None:
    """A cell whose capacity costs nothing does not count; without any the claim falls short."""
    frame = _frame(rows)
    [gap] = scaling_cluster.gaps(frame, "busy")[cells.GREEDY]
    assert gap == pytest.approx(rows.loc[cells.GREEDY, "over_bound"] - 1)
    free = frame.assign(binding=frame["binding"].where(frame["binding"].isna(), False))
    assert not len(scaling_cluster.gaps(free, "busy"))
    checks = [c for c in scaling_cluster.checks_of(free) if c.name.startswith("busy")]
    assert [check.ok for check in checks] == [False]


def test_tables_and_notes_hold_the_paper_beside_us(rows: pd.DataFrame) -> None:
    """The paper's numbers stand beside measured ones, with what the bound allows."""
    frame = _frame(rows)
    table = scaling_cluster.paper_table(frame).set_index(["cluster", "policy"])
    for setup, paper in ((scaling_cluster.CPU, 51.4), (scaling_cluster.GPU, 57.5)):
        row = table.loc[(setup.name, "carbonflex")]
        assert row["paper"] == paper
        assert row["AU-SA"] == pytest.approx(rows.loc["carbonflex", "saving"])
    notes = " ".join(scaling_cluster.notes_of(frame))
    assert f"more than {rows.loc[cells.BOUND, 'saving']:.1f} %" in notes
    assert len(scaling_cluster.zone_table(frame, scaling_cluster.PAI.name)) == 1
    assert scaling_cluster.oracle_table(frame)["cells"].sum() == 2


# ------------------------------------------------------------------------------------- the growth
def test_growth_is_measured_and_fitted() -> None:
    """Exponents are slopes in logarithms: time that grows tenfold with tenfold jobs has one."""
    made = [
        {"part": "growth", "policy": name, "jobs": jobs, "seconds": jobs**slope / 1e3}
        for name, slope in (("a", 1.0), ("b", 1.5))
        for jobs in (100, 1000, 10_000)
    ]
    table = growth.growth_table(pd.DataFrame(made)).set_index("policy")
    np.testing.assert_allclose(table["exponent"], [1.0, 1.5])
    np.testing.assert_allclose(table["exponent_all"], [1.0, 1.5])
    assert table.loc["a", "jobs_per_second"] == pytest.approx(1000)
    checks = scaling_cluster.growth_checks(table.reset_index())
    assert [check.ok for check in checks] == [True, False]
    [row] = growth.perform_growth(growth.Growth("fcfs", 50, 24, 0))
    assert row["seconds"] > 0
    assert row["peak"] <= 1
    assert row["broken"] == 0


def test_sizes_keep_every_part() -> None:
    """Quick or full, everything that is judged is run, on the paper's grid and on others."""
    for size in (scaling_cluster.QUICK, scaling_cluster.FULL):
        parts = scaling_cluster.parts_of(size, 0)
        kinds = {part.part for part in parts if isinstance(part, cells.Cell)}
        assert kinds == {"paper", "zones", "busy"}
        assert {type(part) for part in parts} == {growth.Growth, cells.Cell, int}
        judged = {p.cluster.name for p in parts if isinstance(p, cells.Cell) and p.part == "paper"}
        assert set(scaling_cluster.PAPER) <= judged
    zones = {zone for _, _, zone, _ in scaling_cluster.FULL.cells}
    assert len(zones) >= 6
    assert scaling_cluster.FULL.growth[-1] == 100_000
