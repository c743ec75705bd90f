"""The cluster at the command line: every command, instances from traces, and what is refused."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.cli.touring import bundled
from tests.cli_runner import files, refused, run

FOLDERS = sorted(path.parent for path in (bundled() / "scaling/cluster").glob("*/datapackage.json"))
FORMAT = ("--format", "electricity-maps")
DAY = ("--start", "2022-01-03T00:00Z", "--hours", 24)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Folder of an instance that is solved in no time."""
    out = tmp_path / "tiny"
    sizes = ("hours=12", "capacity=3", "longest_hours=3", "most_servers=3", "past_hours=48")
    options = [word for size in sizes for word in ("--size", size)]
    assert run("generate", "scaling.cluster", out, "--seed", 3, *options).code == 0
    return out


@pytest.fixture
def traces(tmp_path: Path) -> tuple[str, ...]:
    """Options that name a carbon trace of a fortnight and a job trace of four days in hours."""
    hours = pd.date_range("2022-01-01", periods=14 * 24, freq="1h")
    carbon = tmp_path / "carbon.csv"
    pd.DataFrame(
        {
            "Datetime (UTC)": hours.strftime("%Y-%m-%d %H:%M:%S"),
            "Zone Id": "XX",
            "Carbon Intensity gCO₂eq/kWh (direct)": 200 + 100 * np.sin(np.arange(len(hours)) / 4),
        }
    ).to_csv(carbon, index=False)
    jobs = tmp_path / "jobs.csv"
    pd.DataFrame(
        {"arrival_time": np.arange(96.0), "length": 0.5 + np.arange(96) % 5, "cpus": 1}
    ).to_csv(jobs, index=False)
    return ("--carbon", str(carbon), *FORMAT, "--jobs", str(jobs))


def test_every_command(tiny: Path, tmp_path: Path) -> None:
    """Solve, save, check, compare, explain and export one instance."""
    plan = tmp_path / "plan.json"
    solved = run("solve", tiny, "--out", plan, "--json")
    assert solved.code == 0, solved.err
    assert solved.json["problem"] == "scaling.cluster"
    assert solved.json["bound"] <= solved.json["objective"] * (1 + 1e-9)
    parts = ("execution_g", "network_g", "starting_g", "late_g")
    total = sum(solved.json["cost"][name] for name in parts)
    assert total == pytest.approx(solved.json["objective"], rel=1e-12)
    assert run("check", tiny, "--plan", plan, "--json").json["objective"] == pytest.approx(total)
    assert run("check", tiny, "--json").json["solvable"] is True
    assert run("explain", tiny, "--json").json["reasons"] == []
    rows = run("compare", tiny, "--policies", "carbonflex,fcfs", "--json").json
    assert [row["policy"] for row in rows] == ["optimum", "carbonflex", "fcfs"]
    assert all(row["ratio"] >= 1 - 1e-9 for row in rows)
    assert {"mean_delay_h", "late_share", "mean_violation", "utilisation"} <= set(rows[0])
    text = run("compare", tiny, "--policies", "fcfs").out
    assert "delay [h]" in text
    assert "switches" not in text
    for name in ("model.mps", "model.lp"):
        assert run("export", tiny, tmp_path / name).code == 0
        assert (tmp_path / name).stat().st_size > 1000


def test_jobs_that_must_be_late(tmp_path: Path) -> None:
    """Too few servers: the limits are said, but the cluster is planned all the same."""
    out = tmp_path / "crowded"
    sizes = ("hours=12", "jobs=120", "capacity=2", "longest_hours=3", "past_hours=0")
    options = [word for size in sizes for word in ("--size", size)]
    assert run("generate", "scaling.cluster", out, *options).code == 0
    told = run("explain", out, "--json").json
    assert told["solvable"] is True
    assert any(reason.startswith("capacity:") for reason in told["reasons"])
    assert run("check", out, "--json").json["solvable"] is True
    assert "can be solved, but some jobs must be late:" in run("explain", out).out
    solved = run("solve", out, "--method", "greedy", "--json").json
    assert solved["cost"]["late_g"] > 0


def test_front_of_carbon_and_energy(tiny: Path) -> None:
    """The trade-off of the problem is offered, and no point of it beats the others in both."""
    found = run("frontier", tiny, "--objectives", "energy_kwh,carbon_g", "--json")
    assert found.code == 0, found.err
    points = sorted((point["energy_kwh"], point["carbon_g"]) for point in found.json["points"])
    assert points
    grams = [carbon for _, carbon in points]
    assert grams == sorted(grams, reverse=True)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_bundled_instances_are_what_their_command_makes(folder: Path, tmp_path: Path) -> None:
    """The origin of a bundled instance, run again, gives the same fingerprint."""
    stored = run("check", folder, "--json").json["fingerprint"]
    text = run("check", folder).out
    command = text[text.index("origin: ") + len("origin: ") :].partition("  # ")[0]
    words = shlex.split(command)
    assert words[:4] == ["optmodels", "generate", "scaling.cluster", "OUT"]
    made = run(*words[1:3], tmp_path / "again", *words[4:], "--json").json
    assert made["fingerprint"] == stored


def test_from_traces(traces: tuple[str, ...], tmp_path: Path) -> None:
    """Both traces are cut; the command of the origin makes the same instance again."""
    options = (*traces, *DAY, "--past-hours", 48, "--capacity", 2, "--utilisation", 0.4)
    options = (*options, "--elasticity", "high", "--most-servers", 4, "--seed", 5)
    made = run("generate", "scaling.cluster", tmp_path / "a", *options, "--json")
    assert made.code == 0, made.err
    assert made.json["carbon"] == {"quantity": "direct", "zone": "XX"}
    assert set(made.json["rows"]) >= {"jobs", "past_jobs", "past_carbon"}
    command = made.json["origin"].partition("  # ")[0]
    assert "--jobs jobs.csv" in command
    assert "--seed 5" in command
    again = run("generate", "scaling.cluster", tmp_path / "b", *options, "--json")
    assert again.json["fingerprint"] == made.json["fingerprint"]
    other = run("generate", "scaling.cluster", tmp_path / "c", *options[:-1], 6, "--json")
    assert other.json["fingerprint"] != made.json["fingerprint"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--jobs", "x.csv"), "--jobs needs a trace"),
        (("--capacity", 3), "--capacity needs a trace"),
        (("--carbon", "x.csv"), "--carbon also needs --format, --start, --hours"),
        (("--carbon", "x.csv", *FORMAT), "--carbon also needs --start, --hours"),
        (("--carbon", "x.csv", *FORMAT, *DAY, "--job-unit", "hours"), "give --jobs FILE"),
        (("--carbon", "x.csv", *FORMAT, *DAY, "--jobs", "y.csv", "--work", 3), "--work"),
        (
            ("--carbon", "x.csv", *FORMAT, *DAY, "--jobs", "y.csv", "--history-days", 3),
            "--history-days: no option of a scaling.cluster",
        ),
        (("--carbon", "x.csv", "--size", "jobs=3"), "--size is for synthetic"),
        (("--size", "job=3"), "Did you mean 'jobs'"),
        (("--size", "capacity=0"), "capacity"),
    ],
)
def test_bad_combinations(options: tuple[object, ...], words: str, tmp_path: Path) -> None:
    """One clear message, exit code 2, no folder."""
    refused(run("generate", "scaling.cluster", tmp_path / "out", *options), words)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--job-unit", "days"), "Unknown unit of job times"),
        (("--job-unit", "seconds"), "cannot be in seconds"),
        (("--elasticity", "hihg"), "Did you mean 'high'"),
        (("--capacity", 1000), "too few jobs"),
        (("--capacity", 0, "--utilisation", -1), "2 problems"),
        (("--jobs-from", 90), "not covered"),
        (("--past-hours", 72), "not covered by the trace of XX"),
        (("--slot-minutes", 45), "averaged"),
    ],
)
def test_traces_that_do_not_fit(
    traces: tuple[str, ...], options: tuple[object, ...], words: str, tmp_path: Path
) -> None:
    """What a trace does not hold is refused with exit code 2."""
    out = tmp_path / "out"
    refused(run("generate", "scaling.cluster", out, *traces, *DAY, *options), words)
    assert not out.exists()


def test_a_job_takes_no_job_trace(traces: tuple[str, ...], tmp_path: Path) -> None:
    """An option of another problem is refused by name."""
    options = (*traces, *DAY, "--work", 3, "--switching", 1)
    refused(run("generate", "scaling.job", tmp_path / "out", *options), "--jobs: no option")
