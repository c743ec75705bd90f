"""Every command of the command line: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest

import optmodels as om
from optmodels import api, comparison, registry
from optmodels.cli import catalogue
from optmodels.cli.app import app
from optmodels.errors import NoSolutionError, SolverError
from optmodels.solver import Solution, Status
from tests.cli_runner import CAISO, ELASTIC, HIDDEN, IMPOSSIBLE, files, refused, run

COMMANDS = (
    "tour",
    "list",
    "solve",
    "compare",
    "check",
    "frontier",
    "explain",
    "new",
    "plot",
    "report",
    "generate",
    "export",
)


def test_help_of_every_command_has_an_example() -> None:
    """``--help`` shows an example whose lines are not wrapped."""
    assert run("--help").code == 0
    for command in COMMANDS:
        ending = run(command, "--help")
        assert ending.code == 0
        assert f"Example:\n    optmodels {command}" in ending.out, ending.out


def test_version() -> None:
    """``--version`` tells the version of the package."""
    assert run("--version").out == f"optmodels {metadata.version('optmodels')}\n"


def test_catalogue_is_that_of_the_code() -> None:
    """The stored catalogue equals the code; write it again with ``-m optmodels.cli.catalogue``."""
    assert catalogue.read() == json.loads(json.dumps(catalogue.gather()))


def test_list_names_every_policy() -> None:
    """``list`` shows all problems, methods and policies, as text and as JSON."""
    text, found = run("list"), run("list", "--json").json
    assert [problem["name"] for problem in found] == list(om.problems())
    for problem in found:
        for name in (*problem["methods"], *(p["name"] for p in problem["policies"])):
            assert name in text.out


def test_tour_proves_the_optimum_and_shows_at_least_ten_policies() -> None:
    """The tour solves each problem once: bounds that are near, no policy below, savings shown."""
    text, stops = run("tour"), run("tour", "--json").json
    assert [stop["problem"] for stop in stops] == list(om.problems())
    # How near the bound is: exact where there is an exact method.
    gaps = {
        "scaling.job": 1e-9,
        "scaling.cluster": 0.01,
        "rightsizing.sites": 1e-4,
        # Whole instances and loading, of which the bound knows nothing.
        "routing.sites": 0.02,
        "routing.pipeline": 1e-4,
        "placement.edge": 1e-4,
        "placement.accelerators": 1e-9,
        "ensembles.selection": 1e-4,
        "ensembles.failover": 1e-4,
    }
    # Sizing is decided once: there are fewer ways to do it badly. Of routers six are known.
    fewest = {"rightsizing.sites": 7, "routing.sites": 6, "placement.edge": 5}
    for stop in stops:
        assert 0 <= 1 - stop["bound"] / stop["objective"] <= gaps[stop["problem"]]
        assert len(stop["rows"]) > fewest.get(stop["problem"], 10)
        assert all(row["ratio"] >= 1 for row in stop["rows"])
        assert {"total", "certified_ratio", "saving"} <= set(stop["rows"][0])
        assert f"{stop['objective']:,.3f}" in text.out
    job = next(stop for stop in stops if stop["problem"] == "scaling.job")
    assert job["status"] == "optimal"
    assert any(row["certified_ratio"] not in (None, 1.0) for row in job["rows"])
    assert "direct carbon intensity" in text.out
    assert "proven bound" in text.out
    # What is too much for eyes is counted, and how to see it is said.
    assert "and 13 more: optmodels compare " in text.out
    assert "optmodels new" in text.out.splitlines()[-2] + text.out.splitlines()[-1]
    # Paths are as long as they are.
    lines = [line for line in text.out.splitlines() if "optmodels compare" not in line]
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in text.out
    assert text.err == ""


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.mark.parametrize("wanted", [True, False])
def test_a_terminal_gets_colours_and_progress(
    monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    """Colours only where they are wanted; progress on stderr; a narrow terminal loses facts."""
    monkeypatch.setattr(registry, "problems", lambda: ("placement.accelerators",))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not wanted:
        monkeypatch.setenv("NO_COLOR", "1")
    out, err = Terminal(), Terminal()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ending:
        app(["tour"], prog_name="optmodels")
    assert ending.value.code in (0, None)
    assert ("\x1b[32m" in out.getvalue()) is wanted
    assert ("\x1b[1m" in out.getvalue()) is wanted
    assert "placement.accelerators" in err.getvalue()
    assert "1 of 1" in err.getvalue() or "0 of 1" in err.getvalue()
    table = next(line for line in out.getvalue().splitlines() if "memory-first" in line)
    assert len(re.sub(r"\x1b\[[0-9;]*m", "", table)) <= 80


def test_solve_prints_the_contract() -> None:
    """``solve --json`` has the promised fields, and the audited parts add up to the objective."""
    ending = run("solve", CAISO, "--json")
    plan = ending.json
    assert (ending.code, ending.err) == (0, "")
    assert set(plan) >= {
        *("problem", "fingerprint", "status", "objective", "bound", "gap", "cost", "seconds")
    }
    assert plan["fingerprint"] == om.load(CAISO).fingerprint
    assert plan["carbon"] == {"quantity": "direct", "zone": "synthetic"}
    parts = plan["cost"]["execution_g"] + plan["cost"]["switching_g"]
    assert parts == pytest.approx(plan["objective"], rel=1e-12)


def test_solve_text_says_which_carbon_is_counted() -> None:
    """Text for people names status, objective, bound and the counted quantity."""
    text = run("solve", CAISO).out
    assert "optimal" in text
    assert "bound" in text
    assert "direct carbon intensity" in text


@pytest.mark.parametrize("order", [("--json", CAISO), (CAISO, "--json")])
def test_options_stand_before_or_after_the_path(order: tuple[object, ...]) -> None:
    """The order of option and path does not matter."""
    assert run("solve", *order).json["instance"] == "caiso-48h"


@pytest.mark.parametrize("method", ["taut-string", "secant", "levels", "lp"])
def test_solve_by_every_method(method: str) -> None:
    """All exact methods find one optimum."""
    expected = api.solve(CAISO).objective
    assert run("solve", CAISO, "--method", method, "--json").json["objective"] == pytest.approx(
        expected, rel=1e-7
    )


def test_solver_options_reach_the_solver() -> None:
    """An option of the solver by its own name is accepted with its type."""
    options = ("--option", "solver=ipm", "--option", "primal_feasibility_tolerance=1e-8")
    ending = run("solve", CAISO, "--method", "lp", *options, "--time-limit", "60", "--json")
    assert ending.json["status"] == "optimal"


def test_saved_plan_passes_the_check(tmp_path: Path) -> None:
    """``solve --out`` and ``check --plan`` agree to the last digit."""
    file = tmp_path / "sub" / "plan.json"
    solved = run("solve", CAISO, "--out", file, "--json").json
    checked = run("check", CAISO, "--plan", file, "--json")
    assert checked.json["objective"] == solved["objective"]
    assert checked.json["valid"] is True
    assert "no limit is broken" in run("check", CAISO, "--plan", file).out
    assert files(tmp_path) == ["plan.json", "sub"]


def test_check_refuses_a_plan_of_another_instance(tmp_path: Path) -> None:
    """A plan belongs to one fingerprint."""
    file = tmp_path / "plan.json"
    run("solve", CAISO, "--out", file)
    refused(run("check", HIDDEN, "--plan", file, "--json"), "belongs to another instance")


def test_check_refuses_a_plan_that_lies(tmp_path: Path) -> None:
    """A claimed cost that its decisions do not have, and broken limits, end with code 1."""
    file = tmp_path / "plan.json"
    run("solve", CAISO, "--out", file)
    honest = json.loads(file.read_text())
    file.write_text(json.dumps({**honest, "objective": honest["objective"] * 0.9}))
    refused(run("check", CAISO, "--plan", file), "claims an objective", code=1)
    shares = honest["tables"]["shares"]["columns"]["share"]
    honest["tables"]["shares"]["columns"]["share"] = [2 * share for share in shares]
    file.write_text(json.dumps(honest))
    refused(run("check", CAISO, "--plan", file), "breaks", code=1)


def test_check_says_whether_an_instance_can_be_solved() -> None:
    """A valid folder is valid whether it can be solved or not; the words say which."""
    good, bad = run("check", CAISO), run("check", IMPOSSIBLE)
    assert (good.code, bad.code) == (0, 0)
    assert "can be solved: no limits conflict" in good.out
    assert "cannot be solved" in bad.out
    assert "--seed 7" in good.out
    found = run("check", IMPOSSIBLE, "--json").json
    assert (found["valid"], found["solvable"]) == (True, False)
    assert run("check", CAISO, "--json").json["reasons"] == []


def test_infeasible_is_explained(tmp_path: Path) -> None:
    """A deadline shorter than the work needs: code 3, the limits by name, and no file."""
    plan = tmp_path / "plan.json"
    refused(run("solve", IMPOSSIBLE, "--json", "--out", plan), "work: 30", "deadline: 24", code=3)
    refused(run("compare", CAISO, IMPOSSIBLE, "--csv", tmp_path / "x.csv"), "deadline", code=3)
    assert files(tmp_path) == []
    told = run("explain", IMPOSSIBLE)
    assert told.code == 0
    assert "deadline: 24" in told.out
    assert run("explain", IMPOSSIBLE, "--json").json["solvable"] is False
    assert "no limits conflict" in run("explain", CAISO).out


def test_compare_prints_the_contract(tmp_path: Path) -> None:
    """``compare --json`` is one list of rows over all instances; no ratio is below one."""
    file = tmp_path / "rows.csv"
    ending = run("compare", CAISO, HIDDEN, ELASTIC, "--json", "--csv", file)
    rows = ending.json
    assert {row["instance"] for row in rows} == {CAISO.name, HIDDEN.name, ELASTIC.name}
    for row in rows:
        assert row["ratio"] >= 1
        assert row["certified_ratio"] is None or row["certified_ratio"] >= row["ratio"] * (1 - 1e-7)
        assert row["total"] == pytest.approx(row["execution_g"] + row["switching_g"], rel=1e-12)
    table = pd.read_csv(file, dtype={"total": str})
    assert table["total"].astype(float).tolist() == [row["total"] for row in rows]


def test_compare_text_keeps_every_digit_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rich would crop cells to fit; then numbers would be lost."""
    monkeypatch.setenv("COLUMNS", "20")
    text = run("compare", CAISO, "--policies", "run-now,lacs").out
    frame = comparison.compare(api.load(CAISO), ["run-now", "lacs"]).frame
    for total in frame["total"]:
        assert f"{total:,.3f}" in text
    assert "cost [g]" in text
    assert "…" not in text
    assert "\x1b" not in text
    assert "direct carbon intensity" in text


def test_forecast_and_seed_reach_the_policies() -> None:
    """Foresight, noise and its seed change what forecast policies do, reproducibly."""
    chosen = ("compare", HIDDEN, "--policies", "lowest-slots", "--json", "--forecast")

    def total(*options: str) -> float:
        return float(run(*chosen, *options).json[1]["total"])

    assert total("noise:0.5", "--seed", "1") == total("noise:0.5", "--seed", "1")
    assert total("noise:0.5", "--seed", "1") != total("noise:0.5", "--seed", "2")
    assert total("perfect") < total("persistence")


def test_generate_is_reproducible(tmp_path: Path) -> None:
    """The same seed and sizes give the same fingerprint, in CSV and in Parquet."""
    sizes = ("--seed", 3, "--size", "hours=24", "--size", "work=5", "--size", "history_days=1")
    first = run("generate", "scaling.job", tmp_path / "a", *sizes, "--json").json
    second = run(
        "generate", "scaling.job", tmp_path / "b", *sizes, "--table-format", "parquet", "--json"
    ).json
    assert first["fingerprint"] == second["fingerprint"] == om.load(tmp_path / "b").fingerprint
    assert first["rows"] == {"carbon": 24, "history": 24}
    assert (tmp_path / "b" / "carbon.parquet").is_file()


def test_generate_overwrites_only_on_demand(tmp_path: Path) -> None:
    """A folder that exists stays as it is unless overwriting is asked for."""
    out = tmp_path / "a"
    run("generate", "scaling.job", out, "--seed", 1)
    before = om.load(out)
    refused(run("generate", "scaling.job", out, "--seed", 2), "exists")
    assert om.load(out) == before
    assert run("generate", "scaling.job", out, "--seed", 2, "--overwrite").code == 0
    assert om.load(out) != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    refused(run("generate", "scaling.job", tmp_path / "mine", "--overwrite"), "instance folder")
    assert (tmp_path / "mine" / "diary.txt").read_text() == "dear"


@pytest.mark.parametrize("suffix", [".mps", ".lp"])
def test_exported_model_has_the_same_optimum(tmp_path: Path, suffix: str) -> None:
    """Another solver that reads the file finds our optimum."""
    import highspy

    file = tmp_path / f"model{suffix}"
    assert run("export", ELASTIC, file, "--json").json["bytes"] == file.stat().st_size
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.readModel(str(file))
    highs.run()
    assert highs.getObjectiveValue() == pytest.approx(api.solve(ELASTIC).objective, rel=1e-6)


def test_no_solution_within_the_limit_ends_with_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that ends the search before a plan is found has a code of its own."""
    ending = run("solve", ELASTIC, "--method", "lp", "--time-limit", "1e-9", "--json")
    refused(ending, "No solution", code=4)

    def stopped(*_: object, **__: object) -> None:
        raise NoSolutionError("The time limit of 1 s ended the search before a plan was found.")

    monkeypatch.setattr(api, "solve", stopped)
    refused(run("solve", CAISO, "--json", "--time-limit", "1"), "time limit", code=4)


def test_faults_of_ours_end_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contradiction is told as it is; anything unexpected is called a bug, without traceback."""

    def contradicts(*_: object, **__: object) -> None:
        raise SolverError("The bound is above the plan.")

    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(api, "solve", contradicts)
    refused(run("solve", CAISO), "The bound is above the plan.", code=1)
    monkeypatch.setattr(api, "solve", breaks)
    refused(run("solve", CAISO), "bug in optmodels: ZeroDivisionError: oops", code=1)
    assert "Traceback" in run("--debug", "solve", CAISO).err
    monkeypatch.setenv("OPTMODELS_DEBUG", "1")
    assert "Traceback" in run("solve", CAISO).err


def test_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ctrl-C ends with one code, whether Python or the solver noticed it, and leaves no file."""
    with pytest.raises(NoSolutionError) as told:
        Solution(Status.NO_SOLUTION_AT_LIMIT, "minimize", interrupted=True).require()
    for error in (KeyboardInterrupt(), told.value):

        def interrupted(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(api, "solve", interrupted)
        ending = run("solve", CAISO, "--json", "--out", tmp_path / "plan.json")
        refused(ending, "interrupted", code=130)
    assert files(tmp_path) == []


def test_real_grid(shared_data: Path, tmp_path: Path) -> None:
    """A job on the measured grid of California: proven optimum, every ratio at least one."""
    folder = tmp_path / "X"
    trace = shared_data / "carbon/electricitymaps_portal/US-CAL-CISO_2022_hourly.csv.gz"
    made = run(
        *("generate", "scaling.job", folder, "--carbon", trace, "--format", "electricity-maps"),
        *("--start", "2022-06-01T00:00Z", "--hours", 96, "--work", 12, "--switching", 20, "--json"),
    ).json
    assert made["carbon"] == {"quantity": "direct", "zone": "US-CAL-CISO"}
    assert made["rows"] == {"carbon": 96, "history": 720}
    assert "--carbon US-CAL-CISO_2022_hourly.csv.gz --format electricity-maps" in made["origin"]
    assert str(shared_data) not in made["origin"]
    plan = run("solve", folder, "--json").json
    assert plan["status"] == "optimal"
    assert plan["bound"] == pytest.approx(plan["objective"], rel=1e-9)
    rows = run("compare", folder, "--json").json
    assert len(rows) > 10
    assert all(row["ratio"] >= 1 for row in rows)
