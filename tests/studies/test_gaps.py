"""Where a distance to the optimum comes from, and how policies fare with bad advice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import optmodels as om
from optmodels.errors import OptmodelsError, UsageError
from optmodels.scaling.job.threshold_policies import RoAdvice
from optmodels.studies.losses import LOSSES
from tests.studies.policies import Failing

ROOT = Path(__file__).resolve().parents[2]
JOBS = [om.generate("scaling.job", seed=seed, hours=24, work=6.0) for seed in range(5)]


def test_losses_sum_to_the_cost() -> None:
    """Optimum and losses add up to every policy's total, which is that of a comparison."""
    found = om.gaps(JOBS, ["run-now", "lacs"], forecast="noise:0.4", seed=3)
    frame = found.frame
    np.testing.assert_allclose(
        frame["optimum"] + frame[list(LOSSES)].sum(axis=1), frame["total"], rtol=1e-13
    )
    for instance in JOBS:
        expected = om.compare(instance, ["run-now", "lacs"]).frame.set_index("policy")["total"]
        mine = frame[frame["instance"] == instance.name].set_index("policy")["total"]
        assert mine[["run-now", "lacs"]].tolist() == expected[["run-now", "lacs"]].tolist()


def test_a_planner_that_sees_all_loses_nothing() -> None:
    """With perfect forecasts over the whole window the planner is the oracle: no horizon loss.

    With the forecasts as the real ones there is no forecast loss, and none of commitment for the
    planner itself.
    """
    frame = om.gaps(JOBS, ["receding-horizon"], forecast="perfect").frame
    np.testing.assert_allclose(frame[list(LOSSES)], 0.0, atol=1e-6)
    assert (om.gaps(JOBS, [], forecast="noise:0.5").frame["forecast_loss"] > 0).any()


def test_a_horizon_that_is_too_short_is_a_horizon_loss() -> None:
    """Another planner may be named; one with windows of a few slots loses by its horizon."""
    from optmodels.scaling.job.rolling import RollingJob

    frame = om.gaps(JOBS, ["run-now"], forecast="perfect", planner=RollingJob(1.0, parts=1)).frame
    assert (frame["horizon_loss"] >= -1e-6).all() and frame["horizon_loss"].max() > 0.1
    np.testing.assert_allclose(frame["forecast_loss"], 0.0, atol=1e-9)


def test_what_cannot_be_decomposed_is_said() -> None:
    """A planner without forecasts, several problems, a failed policy: one sentence each."""
    with pytest.raises(UsageError, match="uses no forecast"):
        om.gaps(JOBS[:1], planner="run-now")
    with pytest.raises(UsageError, match="has no planner"):
        om.gaps(om.generate("rightsizing.sites", seed=0, hours=48))
    with pytest.raises(UsageError, match="instances of one problem"):
        om.gaps([])
    with pytest.raises(OptmodelsError, match="'failing' failed on"):
        om.gaps(JOBS[:1], [Failing()])


def test_a_waterfall_is_drawn_from_the_losses() -> None:
    """One bar per policy and loss, ending where the total is; axes are named with their unit."""
    found = om.gaps(JOBS, ["run-now", "lacs"], forecast="noise:0.4")
    [ax] = found.plot().axes
    assert ax.get_xlabel() == "above the optimum [%]"
    assert [text.get_text() for text in ax.get_yticklabels()] == found.shares()["policy"].tolist()
    ends = ax.lines[0].get_xdata()
    np.testing.assert_allclose(ends, 100 * found.shares()[list(LOSSES)].sum(axis=1))
    assert len(ax.patches) == 3 * len(found.shares())
    assert om.gaps(JOBS[:1], ["lacs"]).plot(ax) is ax.figure


def test_advice_from_perfect_to_adversarial() -> None:
    """More trust is better with good advice and worse with bad; no advice gives a level line."""
    policies = {"little": RoAdvice(0.2), "much": RoAdvice(0.9), "none": "roro"}
    curve = om.advice_curve(JOBS, policies, shares=[1.0, 0.0])
    mean = curve.frame.set_index(["policy", "share"])["mean"]
    assert mean["much", 0.0] < mean["little", 0.0]
    assert mean["much", 1.0] > mean["little", 1.0]
    assert mean["none", 0.0] == mean["none", 1.0]
    assert curve.frame["share"].tolist() == [0.0, 1.0] * 3
    assert "adversarial" in curve.plot().axes[0].get_xlabel()


def test_a_proven_limit_is_drawn_where_there_is_one() -> None:
    """Where the proof applies to every run the curve has it, above the measured ratio."""
    curve = om.advice_curve(JOBS, ["roro-rate-limited"], shares=[0.0, 0.5])
    rows = curve.frame
    assert (rows["proven_mean"] >= rows["mean"]).all()
    labels = [text.get_text() for text in curve.plot().axes[0].get_legend().get_texts()]
    assert labels == ["roro-rate-limited", "roro-rate-limited, proven"]


def test_noise_is_the_other_kind() -> None:
    """Noise up to almost the values themselves; the kinds are named when one is unknown."""
    frame = om.advice_curve(JOBS, ["carbonscaler"], kind="noise", shares=[0, 1], seeds=[0, 1]).frame
    assert frame["mean"].tolist()[1] > frame["mean"].tolist()[0] >= 1
    with pytest.raises(UsageError, match="adversarial"):
        om.advice_curve(JOBS, ["carbonscaler"], kind="adverse")
    for shares, words in (([2.0], "allowed: 0 to 1"), ([], "at least one")):
        with pytest.raises(UsageError, match=words):
            om.advice_curve(JOBS, ["carbonscaler"], shares=shares)


def test_the_command_line_prints_and_saves(tmp_path: Path) -> None:
    """One command each: a table, JSON, rows or a picture."""
    folders = [str(job.save(tmp_path / f"job{i}")) for i, job in enumerate(JOBS[:2])]

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "optmodels", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        return done.stdout

    out = run("gaps", *folders, "--policies", "lacs", "--out", str(tmp_path / "gaps.png"))
    assert "planner: receding-horizon" in out and "saved in" in out
    assert (tmp_path / "gaps.png").read_bytes().startswith(b"\x89PNG")
    rows = json.loads(run("gaps", *folders, "--policies", "lacs", "--json"))
    assert {row["policy"] for row in rows} == {"lacs", "receding-horizon"}
    curve = run("curve", *folders, "--policies", "ro-advice", "--out", str(tmp_path / "c.csv"))
    assert "ro-advice" in curve
    assert len(pd.read_csv(tmp_path / "c.csv")) == 5
    points = json.loads(run("curve", folders[0], "--policies", "lacs", "--json"))
    assert points[0]["low"] is None and points[0]["instances"] == 1
