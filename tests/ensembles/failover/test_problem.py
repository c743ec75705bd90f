"""The whole row: commands, bundled instance, real failures, figures and charts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import optmodels as om
from optmodels.cli.touring import bundled
from optmodels.comparison import run as run_policy
from optmodels.ensembles.failover import POLICIES, synthetic
from optmodels.ensembles.failover.figures import plot_failover, timeline
from optmodels.ensembles.failover.from_events import with_events
from optmodels.ensembles.failover.policies import FailLite, SmallColdProgressive
from optmodels.errors import InputError, UsageError
from optmodels.traces.failures import read_failures
from tests.cli_runner import run
from tests.ensembles.failover.instances import build, golden

BUNDLED = bundled() / "ensembles/failover/five-sites-16-apps"


def test_every_command(tmp_path: Path) -> None:
    """Generate, solve, save, check, compare, explain, trade and export one instance."""
    folder, stored = tmp_path / "edge", tmp_path / "plan.json"
    sizes = ("servers=4", "sites=4", "applications=8", "headroom=0.3")
    options = [word for size in sizes for word in ("--size", size)]
    assert run("generate", "ensembles.failover", folder, "--seed", 3, *options).code == 0
    solved = run("solve", folder, "--out", stored, "--json")
    assert solved.code == 0, solved.err
    assert solved.json["problem"] == "ensembles.failover"
    assert solved.json["bound"] <= solved.json["objective"] * (1 + 1e-9)
    cost = solved.json["cost"]
    parts = cost["unrecovered_s"] + cost["down_s"] + cost["degraded_s"]
    assert parts == pytest.approx(solved.json["objective"], rel=1e-12)
    checked = run("check", folder, "--plan", stored, "--json")
    assert checked.json["objective"] == solved.json["objective"]
    assert run("explain", folder, "--json").code == 0
    rows = run("compare", folder, "--policies", "faillite,full-cold", "--json").json
    assert [row["policy"] for row in rows] == ["optimum", "faillite", "full-cold"]
    assert all(row["ratio"] >= 1 for row in rows)
    assert run("export", folder, tmp_path / "model.lp").code == 0


def test_plans_without_anybody_recovered_are_saved(tmp_path: Path) -> None:
    """Means over nobody do not spoil the file of a plan."""
    inst = golden()
    tight = inst.replace(servers=inst.tables["servers"].assign(memory_mb=[131.0, 81.0, 121.0]))
    plan = om.solve(tight)
    assert plan.cost["recovery_rate"] == 0
    plan.save(tmp_path / "plan.json")
    tight.save(tmp_path / "x")
    assert om.check(tmp_path / "x", tmp_path / "plan.json").objective == plan.objective


def test_bundled_instance_is_what_its_command_makes() -> None:
    """Generated again from its own origin; the optimum is proven and far from the baselines."""
    inst = om.load(BUNDLED)
    again = om.generate("ensembles.failover", seed=1, servers=5, applications=16, headroom=0.2)
    assert again == inst
    plan = run_policy(inst, POLICIES["faillite-tuned"]())
    assert plan.cost["recovery_rate"] == 1


def test_real_failures(shared_data: Path) -> None:
    """InfiniteHBD's events as failures: several servers at once, weights by how often."""
    events = read_failures(shared_data / "spot_failures/infinitehbd/fault_trace.json")
    inst = synthetic.generate(0, servers=30, applications=90, network_ms=0.0)
    real = with_events(inst, events, population=400, seed=1)
    assert sum(failure.probability for failure in real.failures) == pytest.approx(1)
    # Some servers never fail; no failure names one twice.
    down = pd.Series([failure.down.sum() for failure in real.failures])
    assert len(real.failures) < 60
    assert down.min() == 1
    assert with_events(inst, events, population=400, seed=1) == real
    assert with_events(inst, events, population=400, seed=2) != real
    plan = run_policy(real, FailLite(headroom=0.3))
    assert plan.cost["recovery_rate"] > 0.9


def test_events_by_hand() -> None:
    """Within the window faults are one failure; the same set of servers counts once more."""
    inst = build({"A": (0, [(10.0, 0.9)])}, {0: 20.0, 1: 20.0})
    minute = 1 / (24 * 60)
    events = pd.DataFrame(
        {
            "server": ["x", "y", "x", "y", "x"],
            "start_days": [1.0, 1.0 + minute / 2, 2.0, 2.0 + minute / 2, 3.0],
        }
    )
    real = with_events(inst, events, population=2)
    assert sorted((f.down.sum(), f.probability) for f in real.failures) == [
        (1, pytest.approx(1 / 3)),
        (2, pytest.approx(2 / 3)),
    ]
    apart = with_events(inst, events, population=2, window_minutes=0.1)
    assert [f.down.sum() for f in apart.failures] == [1, 1]
    for wrong in ({"population": 1}, {"population": 2, "window_minutes": -1.0}):
        with pytest.raises(UsageError):
            with_events(inst, events, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="drawn"):
        with_events(inst, events.iloc[:0], population=5)


def test_timeline_and_chart() -> None:
    """The frame names everybody who failed; the chart has a bar each and gives its figure."""
    inst = synthetic.generate(2, servers=4, sites=4, applications=16, free_share=0.4)
    plan = run_policy(inst, SmallColdProgressive())
    frame = timeline(inst, plan)
    assert len(frame) == 16
    assert set(frame["way"]) <= {"warm", "cold", "progressive", "lost"}
    assert (frame.loc[frame["way"] == "progressive", "full_ms"] >
            frame.loc[frame["way"] == "progressive", "up_ms"]).all()  # fmt: skip
    weight = pd.Series(inst.weight, index=inst.applications)
    total = (frame["lost_s"] * frame["application"].map(weight)).sum() / 4
    assert total == pytest.approx(plan.objective)
    figure = plot_failover(inst, plan)
    [ax] = figure.axes
    assert len(ax.get_yticks()) == frame.groupby("scenario").size().max()
    assert "failure of" in ax.get_title()
    from matplotlib.figure import Figure

    own = Figure().subplots()
    assert plot_failover(inst, plan, inst.failures[0].name, ax=own) is own.get_figure()
    with pytest.raises(UsageError, match="Unknown failure"):
        plot_failover(inst, plan, "moon")
    with pytest.raises(UsageError, match="belongs to"):
        timeline(golden(), plan)


def test_matplotlib_is_imported_only_to_draw() -> None:
    """Importing the problem and its figures leaves matplotlib alone."""
    import subprocess
    import sys

    code = (
        "import sys; import optmodels.ensembles.failover.figures; "
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
