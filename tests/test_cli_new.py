"""``optmodels new``: from a CSV of one's own to an instance, asked for or said."""

from __future__ import annotations

import io
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import optmodels as om
from optmodels.cli import questions, starting
from optmodels.cli.touring import SHOWN, bundled
from tests.cli_runner import Ending, files, refused, run

HOURS = 240
#: A process whose terminal is its own, so that Ctrl-C reaches it.
CONTROLLED = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from optmodels.cli import main
main()
"""


def carbon_file(path: Path, *, separator: str = ",", offset: str = "") -> pd.Series:
    """A file as people have it: their own names, a further column of text; gives the values."""
    times = pd.date_range("2024-03-01", periods=HOURS, freq="h")
    values = (300 + 100 * np.cos(np.arange(HOURS) * np.pi / 12)).round(1)
    frame = pd.DataFrame(
        {"note": "x", "when": times.strftime("%Y-%m-%d %H:%M:%S") + offset, "gCO2": values}
    )
    frame.to_csv(path, index=False, sep=separator)
    return pd.Series(values, index=times.tz_localize("UTC"))


def power_file(path: Path, names: tuple[str, str] = ("north_mw", "south [kW]")) -> pd.DataFrame:
    """Two sites with their units in the names; gives kW."""
    times = pd.date_range("2024-03-01", periods=HOURS, freq="h", tz="UTC")
    north = np.abs(np.sin(np.arange(HOURS) / 9)).round(3)
    south = (900 * np.abs(np.cos(np.arange(HOURS) / 13))).round(1)
    pd.DataFrame({"when": times, names[0]: north, names[1]: south}).to_csv(path, index=False)
    return pd.DataFrame({"north": north * 1000, "south": south}, index=times)


def typed(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Somebody sits there and types this."""
    monkeypatch.setattr(starting, "on_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in answers)))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_job_from_a_file_of_ones_own(tmp_path: Path, separator: str) -> None:
    """Columns are found whatever their names, and every value is in the instance, none moved."""
    data, folder = tmp_path / "own.csv", tmp_path / "mine"
    values = carbon_file(data, separator=separator)
    told = run("new", "scaling.job", folder, "--data", data, "--tz", "UTC", "--work", 10)
    assert told.code == 0, told
    assert "Assumed, because nothing else was said: --unit g/kWh" in told.out
    assert "--work" not in told.out.split("Assumed")[1]
    assert f"optmodels check {folder}" in told.out
    job = om.load(folder)
    found = pd.concat([job.tables["history"], job.tables["carbon"]]).set_index("time")
    assert found["carbon_g_per_kwh"].tolist() == values.tolist()
    assert list(found.index) == list(values.index)
    assert (job.parameters.work, job.parameters.deadline_slots) == (10, 48)
    assert job.parameters.quantity == "unspecified"
    assert om.solve(job).status == "optimal"


def test_its_origin_makes_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command in the origin gives the same fingerprint: job, cluster and sites."""
    carbon_file(tmp_path / "own.csv")
    power_file(tmp_path / "power.csv")
    monkeypatch.chdir(tmp_path)
    for number, (problem, file) in enumerate(
        (("scaling.job", "own"), ("scaling.cluster", "own"), ("rightsizing.sites", "power"))
    ):
        first = f"{number}"
        zone = ("--tz", "UTC") if file == "own" else ()
        made = run("new", problem, first, "--data", f"{file}.csv", *zone, "--json")
        assert made.code == 0, made
        command = made.json["origin"].partition("  #")[0].split()
        assert command[0] == "optmodels"
        words = [f"{first}-again" if word in ("OUT", "FOLDER") else word for word in command[1:]]
        again = run(*words, "--json")
        assert again.json["fingerprint"] == made.json["fingerprint"]
        assert made.json["assumed"]


def test_local_times_are_those_of_their_zone(tmp_path: Path) -> None:
    """Midnight in Berlin in March is 23:00 UTC; times with an offset need no zone."""
    data = tmp_path / "own.csv"
    carbon_file(data)
    run("new", "scaling.job", tmp_path / "a", "--data", data, "--tz", "Europe/Berlin")
    assert str(om.load(tmp_path / "a").tables["history"]["time"].iloc[0]).startswith(
        "2024-02-29 23:00"
    )
    carbon_file(data, offset="+02:00")
    run("new", "scaling.job", tmp_path / "b", "--data", data)
    assert str(om.load(tmp_path / "b").tables["history"]["time"].iloc[0]).startswith(
        "2024-02-29 22:00"
    )


def test_a_cluster_from_a_carbon_file_alone(tmp_path: Path) -> None:
    """Jobs are drawn for the servers asked for, with a past; the same seed gives the same ones."""
    data = tmp_path / "own.csv"
    carbon_file(data)
    common = ("--data", data, "--tz", "UTC", "--capacity", 8, "--hours", 48, "--json")
    first = run("new", "scaling.cluster", tmp_path / "a", *common, "--seed", 5).json
    second = run("new", "scaling.cluster", tmp_path / "b", *common, "--seed", 5).json
    third = run("new", "scaling.cluster", tmp_path / "c", *common, "--seed", 6).json
    assert first["fingerprint"] == second["fingerprint"] != third["fingerprint"]
    cluster = om.load(tmp_path / "a")
    assert cluster.parameters.capacity == 8
    load = cluster.tables["jobs"]["length_slots"].sum() / (8 * 48)
    assert load == pytest.approx(0.5, abs=0.03)
    assert len(cluster.tables["past_carbon"]) == 144
    assert len(cluster.tables["past_jobs"])
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("arrival_time,length,cpus\n" + "\n".join(f"{h}.5,2,1" for h in range(200)))
    own = run("new", "scaling.cluster", tmp_path / "d", *common[:4], "--jobs", jobs, "--json")
    assert "--jobs jobs.csv" in own.json["origin"]
    # 48 jobs of 2 h in 48 h fill half of 4 servers.
    assert om.load(tmp_path / "d").parameters.capacity == 4


def test_sites_from_columns_of_power(tmp_path: Path) -> None:
    """Units in the names are heeded column by column, and a said one is not contradicted."""
    data = tmp_path / "power.csv"
    power = power_file(data)
    told = run("new", "rightsizing.sites", tmp_path / "w", "--data", data, "--json").json
    sites = om.load(tmp_path / "w")
    assert sites.sites == ("north", "south")
    assert np.allclose(sites.power_kw, power.to_numpy())
    assert sites.nameplate_kw.tolist() == power.max().tolist()
    assert told["assumed"] == [f"--demand-gpus {sites.parameters.demand_gpus:g}", "--rtt-ms 20"]
    common = ("new", "rightsizing.sites", tmp_path / "x", "--data", data)
    refused(run(*common, "--unit", "kW"), "ends in MW, but the unit was said to be kW")
    power_file(data, ("north", "south"))
    refused(run(*common), "'north': does not say its unit", "'south'", "kW, MW, W", "--unit kW")
    assert run(*common, "--unit", "MW").code == 0
    assert om.load(tmp_path / "x").power_kw[1, 1] == pytest.approx(1000 * power["south"].iloc[1])
    power_file(data, ("a_kw", "a_mw"))
    refused(run(*common, "--overwrite"), "second column of the site 'a'")


@pytest.mark.parametrize("problem", sorted(SHOWN))
def test_an_example_of_every_problem(tmp_path: Path, problem: str) -> None:
    """The copy is the bundled instance, and every table that can be edited is named."""
    folder = tmp_path / "mine"
    told = run("new", problem, folder, "--example")
    assert told.code == 0, told
    found = om.load(folder)
    assert found.fingerprint == om.load(bundled() / SHOWN[problem]).fingerprint
    for name in found.tables:
        assert f"{folder / name}.csv: " in told.out
        assert (folder / f"{name}.csv").is_file()


def test_asked_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments on a terminal: every question explained, wrong answers asked again."""
    data, folder = tmp_path / "own.csv", tmp_path / "mine"
    carbon_file(data)
    # Problem (wrong once), file (wrong once), folder, zone, unit, quantity, hours (wrong twice),
    # then what is offered.
    typed(
        monkeypatch,
        *("job", "scaling.job", "nothing.csv", str(data), str(folder)),
        *("UTC", "", "direct", "-1", "many", "24", "6", "", "", ""),
    )
    told = run("new")
    assert told.code == 0, told
    for words in (
        "When should one elastic job run",
        "'job' is none of",
        "'nothing.csv' is no file",
        "Time zone of the times",
        "[g/kWh]",
        "-1 is out of range; allowed: a number > 0",
        "'many' is not a number",
        "saved in",
    ):
        assert words in told.out + told.err, words
    assert "Assumed" not in told.out
    job = om.load(folder)
    assert (job.parameters.work, job.parameters.deadline_slots) == (6, 24)
    assert (job.parameters.quantity, job.parameters.zone) == ("direct", "own")


def test_asked_for_the_rest_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given is not asked again; a problem of many tables goes to its example."""
    typed(monkeypatch, str(tmp_path / "edge"))
    told = run("new", "placement.edge")
    assert told.code == 0, told
    assert "you get an example" in told.out
    assert om.load(tmp_path / "edge").problem == "placement.edge"
    typed(monkeypatch, "scaling.job", "example", str(tmp_path / "job"))
    assert run("new").code == 0
    # With everything essential said nobody is asked, terminal or not.
    typed(monkeypatch)
    assert run("new", "scaling.job", tmp_path / "job2", "--example").code == 0


def missing(*arguments: object) -> Ending:
    """A start that lacks something, where nobody can answer."""
    return run("new", *arguments, "--json")


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    """Without a terminal: every missing argument at once, and a command that would do."""
    refused(missing(), "PROBLEM", "FOLDER", "--data FILE", "Example: optmodels new scaling.job")
    ending = missing("scaling.cluster")
    refused(ending, "FOLDER", "--data FILE", "Example: optmodels new scaling.cluster mine")
    assert "PROBLEM" not in ending.err
    refused(missing("routing.sites", tmp_path / "x"), "routing.sites mine --example")
    refused(run("new"), "no terminal to ask on")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Columns that cannot be told, foreign options, folders that exist: and nothing is written."""
    data = tmp_path / "own.csv"
    carbon_file(data)
    two, text = tmp_path / "two.csv", tmp_path / "text.csv"
    frame = pd.read_csv(data).drop(columns="note").rename(columns={"gCO2": "a"})
    frame.assign(b=1.5).to_csv(two, index=False)
    text.write_text("day,note\nmonday,x\ntuesday,y\n")
    (tmp_path / "taken").mkdir()
    before = files(tmp_path)
    out = tmp_path / "out"
    for arguments, words in (
        (("scaling.job", out, "--data", two, "--tz", "UTC"), ("'a' (numbers", "--value-column")),
        (
            ("scaling.job", out, "--data", text),
            ("no column of times", "(text such as monday"),
        ),
        (("scaling.job", out, "--data", data), ("has no time zone", "--tz UTC")),
        (("scaling.job", out, "--data", tmp_path / "ow.csv"), ("was not found", "'own.csv'")),
        (("scaling.job", out, "--data", data, "--capacity", 3), ("--capacity", "--rate-cap")),
        (("scaling.job", out, "--data", data, "--tz", "Mars"), ("Unknown time zone 'Mars'",)),
        (("scaling.job", out, "--data", data, "--tz", "UTC", "--hours", "nan"), ("--hours",)),
        (("scaling.job", out, "--data", data, "--tz", "UTC", "--hours", 900), ("not covered",)),
        (("scaling.jbo", out, "--data", data), ("Did you mean 'scaling.job'",)),
        (("scaling.job", tmp_path / "taken", "--data", data), ("exists already", "--overwrite")),
        (("routing.sites", out, "--data", data), ("--example", "more than one file")),
        (("routing.sites", out, "--example", "--tz", "UTC"), ("--tz", "copied as it is")),
        (("scaling.job", out, "--example", "--data", data), ("exclude each other",)),
        (("scaling.job", out, "--data", two, "--tz", "UTC", "--value-column", "c"), ("'c'",)),
    ):
        refused(run("new", *arguments, "--json"), *words)
    assert files(tmp_path) == before


def test_generate_reads_files_of_ones_own(tmp_path: Path) -> None:
    """The format ``columns`` of generate; names of columns are for that format alone."""
    data = tmp_path / "own.csv"
    carbon_file(data)
    cut = ("--start", "2024-03-05T00:00Z", "--hours", 24, "--work", 6, "--switching", 1)
    common = ("generate", "scaling.job", tmp_path / "job", "--carbon", data, "--tz", "UTC", *cut)
    made = run(*common, "--format", "columns", "--value-column", "gCO2", "--json")
    assert made.json["rows"] == {"carbon": 24, "history": 96}
    refused(
        run(*common, "--format", "electricity-maps", "--value-column", "gCO2", "--overwrite"),
        "for the format 'columns' only",
    )


def test_checks_of_answers() -> None:
    """Whole numbers, choices and texts are what they must be."""
    assert questions.whole(1)("3") == 3
    for check, wrong in (
        (questions.whole(1), "0"),
        (questions.whole(1), "1.5"),
        (questions.number(0), "inf"),
        (questions.text, "  "),
        (questions.one_of("a"), "b"),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            check(wrong)


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are of Unix")
def test_on_a_real_terminal(tmp_path: Path) -> None:
    """A person at a terminal is asked, and answers end in an instance; Ctrl-C ends with 130."""
    import pty

    def session(*answers: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", CONTROLLED, "new"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=tmp_path,
            start_new_session=True,
        )
        os.close(theirs)
        shown, waiting, end = "", list(answers), time.monotonic() + 180
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    shown += os.read(ours, 65536).decode()
                except OSError:
                    break
            if waiting and shown.rstrip(" ").endswith(":"):
                os.write(ours, waiting.pop(0).encode())
                shown += "|"
        os.close(ours)
        return process.wait(timeout=30), shown

    code, shown = session("scaling.job\n", "example\n", "mine\n")
    assert code == 0, shown
    assert "saved in mine" in shown
    assert json.loads((tmp_path / "mine" / "datapackage.json").read_text())
    code, shown = session("scaling.job\n", "\x03")
    assert code == 130, shown
    assert "Traceback" not in shown
