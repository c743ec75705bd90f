"""The benchmarks' own tools, and one tiny cell of the elastic-job benchmark on synthetic carbon."""

from __future__ import annotations

import json
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import highspy
import numpy as np
import pandas as pd
import pytest

from optmodels.scaling.job.conversion import algorithms
from optmodels.scaling.job.conversion.core import CostBounds, run
from optmodels.traces.trace import CARBON, Trace

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _harness  # noqa: E402
import _scaling_job_arrivals as arrivals  # noqa: E402
import _scaling_job_cells as cells  # noqa: E402
import _scaling_job_speed as speed  # noqa: E402
import scaling_job  # noqa: E402

SLOTS = 24


@pytest.fixture(scope="module")
def jobs() -> arrivals.Arrivals:
    """Four jobs on forty synthetic days: a daily swing and noise, and dearer once jobs arrive.

    So thresholds buy a part and the rest is compulsory: duties and limits have something to say.
    """
    rng = np.random.default_rng(1)
    hours = np.arange(40 * 24)
    late = hours >= arrivals.HISTORY_HOURS
    swing = np.where(late, 70, 120) * np.cos(2 * np.pi * hours / 24)
    carbon = np.where(late, 280, 250) + swing + rng.uniform(-30, 30, hours.size)
    index = pd.date_range("2030-01-01", periods=hours.size, freq="h", tz="UTC", name="time")
    step = pd.Timedelta(hours=1)
    trace = Trace(pd.DataFrame({CARBON: carbon}, index=index), step, "X", "lifecycle", "synthetic")
    return arrivals.Arrivals.draw(trace, SLOTS, (2.0, 8.0), 4, rng)


# ------------------------------------------------------------------------------------ the harness
@pytest.mark.parametrize(
    ("value", "sense", "ok"),
    [(1.0, "<=", True), (1.1, "<=", False), (1.0, ">=", True), (0.9, ">=", False)],
)
def test_check_judges_by_its_sense(value: float, sense: Any, ok: bool) -> None:
    """A limit that is just met is met; the wrong side falls short."""
    assert _harness.Check("claim", value, 1.0, sense).ok is ok


@pytest.mark.parametrize("sense", ["<=", ">="])
def test_check_without_a_number_falls_short(sense: Any) -> None:
    """A claim that was never measured must not pass by accident, and must be writable as JSON."""
    check = _harness.Check("claim", math.nan, 1.0, sense)
    assert not check.ok
    assert check.record()["value"] is None


def _report(value: float) -> _harness.Report:
    report = _harness.Report(rows=[{"a": np.float64(1.5), "b": math.nan, "c": "x"}])
    report.checks = [_harness.Check("claim", value, 1.0, "<=")]
    report.tables = {"Table": pd.DataFrame({"p|q": ["r|s"], "n": [math.nan]})}
    return report


def test_main_writes_json_and_answers_with_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1 when a check falls short; the JSON names it, with null for no number."""
    for value, code in ((0.5, 0), (2.0, 1)):
        path = tmp_path / "out.json"
        asked = ["--quick", "--json", str(path), "--seed", "3"]
        assert _harness.main("x", lambda options, v=value: _report(v), "", asked) == code
        content = json.loads(path.read_text())
        assert content["rows"] == [{"a": 1.5, "b": None, "c": "x"}]
        assert content["checks"][0] == {
            "name": "claim",
            "value": value,
            "limit": 1.0,
            "sense": "<=",
            "ok": code == 0,
        }
        assert content["quick"] is True
        assert content["seed"] == 3
        assert {"processor", "cores", "versions"} <= content["machine"].keys()
    assert "FAIL claim" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (_harness.MissingDataError("no traces"), 2)],
)
def test_main_leaves_no_file_when_it_does_not_end(
    tmp_path: Path, error: BaseException, code: int
) -> None:
    """An interrupt or missing data writes nothing, not even half a file."""

    def measure(options: _harness.Options) -> _harness.Report:
        raise error

    path = tmp_path / "out.json"
    assert _harness.main("x", measure, "", ["--quick", "--json", str(path)]) == code
    assert not any(tmp_path.iterdir())


def test_save_keeps_table_and_summary(tmp_path: Path) -> None:
    """A full run leaves the rows as CSV and a Markdown page whose cells cannot break its tables."""
    head = {"benchmark": "x", "quick": False, "seed": 0, "seconds": 1.0}
    _harness.save("x", _report(0.5), {**head, "machine": _harness.machine()}, tmp_path)
    assert pd.read_csv(tmp_path / "x.csv").to_dict("records")[0]["a"] == 1.5
    page = (tmp_path / "x.md").read_text()
    assert r"| p\|q | n |" in page
    assert r"| r\|s | – |" in page


def test_missing_traces_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the data folder the benchmark refuses, and says which folder it wants."""
    monkeypatch.setattr(_harness, "ROOT", tmp_path / "project")
    with pytest.raises(_harness.MissingDataError, match="shared/data"):
        _harness.shared_data()


def test_answers_come_in_order_with_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """Answers keep the order of the items; the counter goes to stderr."""
    answers = list(_harness.in_processes(str, [3, 1, 2], workers=1, what="items"))
    assert answers == ["3", "1", "2"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "items: 3/3" in captured.err


# --------------------------------------------------------------------------------------- one cell
def test_cell_measures_every_policy(jobs: arrivals.Arrivals) -> None:
    """One tiny cell: all policies are there, fast and public paths agree, none beats the optimum.

    A fast path that forgot a ramp, a duty or the true length would disagree with the audit.
    """
    plan = cells.Plan(
        agnostic=arrivals.AGNOSTIC,
        thresholds=(*arrivals.BATCHED, "lacs-0.5"),
        forecasts=("day-before", "perfect"),
        planned={
            ("day-before", "hidden"): arrivals.PLANNED,
            ("perfect", "known"): ("carbonscaler",),
        },
        replanning={
            (arrivals.RECEDING, "day-before", "hidden"): 4,
            (arrivals.RECEDING, "perfect", "known"): 2,
            (arrivals.ROLLING, "day-before", "hidden"): 1,
        },
        audited=2,
    )
    found = cells.cell_rows(jobs, (0.0, 20.0), plan, "study")
    frame = pd.DataFrame(found.rows)
    names = set(frame["policy"])
    # Without a profile the smallest scale is the only one: base-scale is run-now.
    assert names == {*arrivals.POLICIES, "lacs-0.5"} - {"base-scale"}
    assert not frame.duplicated(["beta_g", "policy", "forecast", "length"]).any()
    checks = {check.name: check for check in scaling_job.checks_of(frame, found.extremes)}
    del checks["LACS over RORO with known length, mean of cells"]  # four jobs say nothing of it
    assert all(check.ok for check in checks.values()), checks
    assert frame.loc[frame["policy"] == "run-now", "saving"].abs().max() == 0
    assert found.extremes["public path"] < 1e-9


def test_public_path_notices_a_wrong_schedule(jobs: arrivals.Arrivals) -> None:
    """A fast path that is off by a hundredth of one rate is seen by the comparison."""
    best = arrivals.optima(jobs, 20.0)
    ahead = arrivals.forecasts_at_arrival(jobs, ["day-before"])
    batched = arrivals.threshold_schedules(jobs, 20.0, ahead, ["roro"])
    key = ("roro", "", "known")
    right = batched["roro", ""]
    assert cells.public_path_error(jobs, 0, 20.0, {key: right}, best) < 1e-12
    assert cells.public_path_error(jobs, 0, 20.0, {key: right * 1.01}, best) > 1e-3


def test_small_jobs_stay_below_their_limits(jobs: arrivals.Arrivals) -> None:
    """With the whole trace as window each certified policy has a limit for each small job."""
    rng = np.random.default_rng(2)
    small = arrivals.Arrivals.draw(jobs.trace, SLOTS, (0.25, 1.0), 6, rng)
    found = cells.certified_rows(small.assuming_whole_trace(), (0.0, 20.0), "certified, year")
    frame = pd.DataFrame(found.rows).set_index(["beta_g", "policy"])
    assert (frame["certified"].drop((20.0, "one-way-trading")) == 1).all()
    assert frame.loc[(20.0, "one-way-trading"), "certified"] == 0
    assert found.extremes["limit use"] <= 1 + 1e-9


def test_limits_are_those_of_the_single_runs(jobs: arrivals.Arrivals) -> None:
    """The limits of the fast path are those that the single runs certify, policy by policy.

    The part q that was compulsory is recomputed from the schedules. One that asked another rule
    than the policy's, or forgot that the end of the job cuts the last purchase off, would differ.
    """
    rng = np.random.default_rng(3)
    small = arrivals.Arrivals.draw(jobs.trace, SLOTS, (0.25, 1.0), 3, rng).assuming_whole_trace()
    beta = 20.0
    best = arrivals.optima(small, beta)
    ahead = arrivals.forecasts_at_arrival(small, ["day-before"])
    batched = arrivals.threshold_schedules(small, beta, ahead, cells.CERTIFIED)
    limits = {n: cells.certified_limits(n, small, best, beta, batched) for n in cells.CERTIFIED}
    for i in range(small.count):
        low, high, work = (float(values[i]) for values in (small.low, small.high, small.work))
        instance = small.instance(i, beta).replace(
            carbon_lower_g_per_kwh=low, carbon_upper_g_per_kwh=high
        )
        frame = cells.compare(instance, cells.CERTIFIED, forecast="day-before").frame
        certified = dict(frame.set_index("policy")["certified_ratio"] * best[i])
        bounds, lengths = CostBounds(low, high, beta), (small.shortest, small.longest)
        guess = float(small.predicted[i])
        hidden = {
            "roro-predicted": (algorithms.Roro(bounds, guess), guess),
            "roro-longest": (algorithms.Roro(bounds), small.longest),
            "roro-robust": (algorithms.RobustRoro(bounds), guess),
        }
        for name, (algorithm, predicted) in hidden.items():
            q = run(algorithm, small.carbon[i], work, 1.0, lengths).forced
            certified[name] = cells.limits_of(
                arrivals.BATCHED[name],
                small.only(slice(i, i + 1)),
                best[i : i + 1],
                beta,
                shortest=small.shortest,
                longest=small.longest,
                predicted=predicted,
                forced=q,
            )[0]
        for name, fast in limits.items():
            assert fast[i] == pytest.approx(certified[name], rel=1e-9, nan_ok=True), name


def test_switching_that_outweighs_the_window_means_running_at_once(
    jobs: arrivals.Arrivals,
) -> None:
    """Where 2β ≥ U − L the fast path runs at once, as the policies do; no limit is claimed."""
    best = arrivals.optima(jobs, 400.0)
    batched = arrivals.threshold_schedules(jobs, 400.0, {}, ["roro", "lacs", "roro-rate-limited"])
    at_once = arrivals.finished(np.ones_like(jobs.carbon), jobs.work)
    assert all(np.array_equal(rows, at_once) for rows in batched.values())
    assert np.isnan(cells.limits_of("roro-rate-limited", jobs, best, 400.0)).all()


def test_timed_methods_agree(jobs: arrivals.Arrivals) -> None:
    """The methods timed against each other solve the same question.

    Also after a run on another number of threads, which makes HiGHS refuse the next one.
    """
    highspy.Highs.resetGlobalScheduler(True)
    before = highspy.Highs()
    before.setOptionValue("output_flag", False)
    before.setOptionValue("threads", 2)
    assert before.run() == highspy.HighsStatus.kOk
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        rows = speed.oracle_rows(jobs.carbon[0], 5.5, 20.0, repeats=1)
        rows += speed.step_rows(100.0, 400.0, 20.0, repeats=1, seed=0)
        rows += speed.replay_rows(jobs, 20.0, repeats=1, singles=2)
    assert all(row["seconds"] > 0 for row in rows)
    assert all(row.get("largest_error", 0.0) < 1e-6 for row in rows)
    assert {check.name for check in scaling_job.speed_checks(rows)}
