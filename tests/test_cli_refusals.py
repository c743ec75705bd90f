"""Bad input at the command line: one clear message, exit code 2, and no file left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.cli_runner import CAISO, ELASTIC, files, refused, run

#: A change of the lines of a file.
Change = Callable[[list[str]], list[str]]


def in_row(number: int, old: str, new: str) -> Change:
    """Replace a text in one row, counted as a spreadsheet does."""

    def change(lines: list[str]) -> list[str]:
        assert old in lines[number - 1]
        return [*lines[: number - 1], lines[number - 1].replace(old, new), *lines[number:]]

    return change


def cell(number: int, column: int, new: str) -> Change:
    """Replace one cell."""

    def change(lines: list[str]) -> list[str]:
        cells = lines[number - 1].split(",")
        cells[column] = new
        return [*lines[: number - 1], ",".join(cells), *lines[number:]]

    return change


def without_row(number: int) -> Change:
    """Leave a row out."""
    return lambda lines: [*lines[: number - 1], *lines[number:]]


def doubled_row(number: int) -> Change:
    """Let a row stand twice."""
    return lambda lines: [*lines[:number], *lines[number - 1 :]]


FOLDER_FAULTS: dict[str, tuple[Change, Sequence[str]]] = {
    "missing column": (in_row(1, "carbon_g_per_kwh", "carbon"), ("missing from the header",)),
    "text in a number": (cell(3, 1, "low"), ("row 3", "'low'", "is not a number")),
    "NaN": (cell(3, 1, "NaN"), ("row 3", "carbon_g_per_kwh")),
    "negative": (cell(3, 1, "-5"), ("row 3", "-5", "is too small")),
    "infinite": (cell(3, 1, "inf"), ("row 3", "'inf'")),
    "naive time": (in_row(3, "Z", ""), ("row 3", "no time zone")),
    "duplicated hour": (doubled_row(3), ("row 4", "repeats the key")),
    "missing hour": (without_row(5), ("row 5", "is missing")),
    "cut off in a line": (lambda lines: [*lines[:-2], lines[-2][:12]], ("carbon.csv",)),
    "cut off at a line": (lambda lines: [*lines[:20], ""], ("carbon.csv", "only 19 slots")),
    "huge field": (cell(3, 1, "9" * 2_000_000), ("carbon.csv", "row 3")),
    "nothing": (lambda _: [], ("carbon.csv",)),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_faults_of_a_table(tmp_path: Path, fault: str) -> None:
    """Each fault of a CSV is told with its file and row; nothing is solved and nothing written."""
    change, words = FOLDER_FAULTS[fault]
    folder = Path(shutil.copytree(CAISO, tmp_path / "job"))
    table = folder / "carbon.csv"
    table.write_text("\n".join(change(table.read_text().split("\n"))))
    before = files(tmp_path)
    for command in ("solve", "compare", "check", "explain"):
        refused(run(command, folder, "--json"), *words)
    ending = run("solve", folder, "--out", tmp_path / "plan.json")
    refused(ending, *words)
    assert len(ending.err) < 5000
    refused(run("compare", CAISO, folder, "--csv", tmp_path / "rows.csv"), *words)
    refused(run("export", folder, tmp_path / "model.mps"), *words)
    assert files(tmp_path) == before


def test_all_flaws_are_told_at_once(tmp_path: Path) -> None:
    """A folder with faults in two files and three rows gives one list of all of them."""
    folder = Path(shutil.copytree(ELASTIC, tmp_path / "job"))
    for name, change in (
        ("carbon.csv", cell(3, 1, "low")),
        ("carbon.csv", cell(9, 1, "-1")),
        ("profile.csv", cell(4, 2, "zero")),
    ):
        table = folder / name
        table.write_text("\n".join(change(table.read_text().split("\n"))))
    refused(
        run("check", folder),
        *("3 problems", "carbon.csv, row 3", "carbon.csv, row 9", "profile.csv, row 4"),
    )


def test_profile_with_decreasing_power(tmp_path: Path) -> None:
    """More servers cannot draw less power."""
    folder = Path(shutil.copytree(ELASTIC, tmp_path / "job"))
    table = folder / "profile.csv"
    table.write_text("\n".join(cell(5, 2, "0.1")(table.read_text().split("\n"))))
    refused(run("solve", folder), "profile.csv, row 5", "less than the power of fewer servers")


@pytest.mark.parametrize(
    ("block", "key", "value", "words"),
    [
        ("parameters", "work", 0, ("work", "is too small")),
        ("parameters", "work", "much", ("work", "is not a number")),
        ("parameters", "wrok", 3, ("is not a parameter", "rename it to 'work'")),
        ("optmodels", "format_version", 99, ("newer than this release", "upgrade")),
        ("optmodels", "problem", "scaling.jobs", ("Did you mean 'scaling.job'",)),
        ("resource", "path", "../carbon.csv", ("leads out of the instance folder",)),
        ("resource", "path", "/etc/passwd", ("leads out of the instance folder",)),
        ("resource", "path", "gone.csv", ("gone.csv",)),
    ],
)
def test_faults_of_a_descriptor(
    tmp_path: Path, block: str, key: str, value: object, words: Sequence[str]
) -> None:
    """Wrong parameters, a newer version and paths out of the folder are refused."""
    folder = Path(shutil.copytree(CAISO, tmp_path / "job"))
    shutil.copy(CAISO / "carbon.csv", tmp_path)
    file = folder / "datapackage.json"
    content = json.loads(file.read_text())
    place = {
        "parameters": content["optmodels"]["parameters"],
        "optmodels": content["optmodels"],
        "resource": content["resources"][0],
    }[block]
    place[key] = value
    file.write_text(json.dumps(content))
    refused(run("solve", folder, "--json", "--out", tmp_path / "plan.json"), *words)
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("solve", "/no/such/folder"), ("does not exist",)),
        (("solve", __file__), ("is a file",)),
        (("solve", CAISO, "--method", "tautstring"), ("Did you mean 'taut-string'?",)),
        (("solve", CAISO, "--option", "presolve=off"), ("no solver options",)),
        (
            ("solve", CAISO, "--method", "lp", "--option", "presolv=off"),
            ("Unknown HiGHS option", "'presolve'"),
        ),
        (("solve", CAISO, "--method", "lp", "--option", "presolve"), ("name=value",)),
        (("solve", CAISO, "--option", "a=1", "--option", "a=2"), ("given twice",)),
        (("solve", CAISO, "--time-limit", "0"), ("--time-limit",)),
        (("solve", CAISO, "--time-limit", "nan"), ("--time-limit",)),
        (("solve", CAISO, "--mip-gap", "-1"), ("--mip-gap",)),
        (("solve", CAISO, "--seed", "-1"), ("--seed",)),
        (("solve", CAISO, "--bogus"), ("bogus",)),
        (("solve",), ("PATH",)),
        (("slove", CAISO), ("slove",)),
        (("compare", CAISO, "--policies", "run-nwo"), ("Did you mean 'run-now'",)),
        (("compare", CAISO, "--policies", ","), ("--policies",)),
        (("compare", CAISO, "--forecast", "perfekt"), ("Did you mean 'perfect'",)),
        (("compare", CAISO, "--forecast", "noise:2"), ("0 ≤ size < 1",)),
        (("compare", CAISO, "--forecast", "noise"), ("noise:0.2",)),
        (("compare", CAISO, "--forecast", "vintages"), ("table 'forecast'",)),
        (("export", CAISO, "model.txt"), (".mps",)),
        (("check", CAISO, "--plan", "/no/plan.json"), ("cannot be read",)),
        (("check", CAISO, "--plan", CAISO / "carbon.csv"), ("is not a plan file",)),
    ],
)
def test_wrong_usage(arguments: tuple[object, ...], words: Sequence[str]) -> None:
    """Unknown names bring suggestions; every wrong option ends with code 2."""
    refused(run(*arguments), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("scaling.jbo",), ("Did you mean 'scaling.job'",)),
        (("scaling.job", "--size", "huors=3"), ("Did you mean 'hours'?",)),
        (("scaling.job", "--size", "hours=-3"), ("hours", "out of range")),
        (("scaling.job", "--size", "work=0"), ("work", "is too small")),
        (("scaling.job", "--size", "start=2023-06-01"), ("no time zone",)),
        (("scaling.job", "--size", "hours"), ("name=value",)),
        (("scaling.job", "--table-format", "xlsx"), ("Unknown table format",)),
        (("scaling.job", "--work", "3"), ("--work needs a trace",)),
        (
            ("scaling.job", "--carbon", "x.csv"),
            ("--format, --start, --hours, --work, --switching",),
        ),
        (("scaling.job", "--carbon", "x.csv", "--seed", "1"), ("--seed is for synthetic",)),
    ],
)
def test_wrong_generation(
    tmp_path: Path, arguments: tuple[object, ...], words: Sequence[str]
) -> None:
    """Unknown problems and sizes, and options that do not go together, leave no folder."""
    problem, *options = arguments
    refused(run("generate", problem, tmp_path / "out", *options, "--json"), *words)
    assert files(tmp_path) == []


HEAD = "Datetime (UTC),Zone Id,Carbon Intensity gCO₂eq/kWh (direct)"
HOURS = [f"2022-01-{1 + h // 24:02} {h % 24:02}:00:00,XX,{200 + h % 24}" for h in range(72)]
JOB = ("--start", "2022-01-02T00:00Z", "--hours", "24", "--work", "5", "--switching", "20")

TRACE_FAULTS: dict[str, tuple[Change, Sequence[str]]] = {
    "missing column": (in_row(1, "Zone Id", "Region"), ("Zone Id",)),
    "text in a number": (cell(3, 2, "low"), ("row 3", "'low'")),
    "NaN": (cell(3, 2, "NaN"), ("row 3", "is missing")),
    "negative": (cell(3, 2, "-5"), ("row 3", "-5")),
    "not a time": (cell(3, 0, "yesterday"), ("row 3", "'yesterday'")),
    "duplicated hour": (doubled_row(3), ("row 4",)),
    "missing hour": (without_row(5), ("2022-01-01 03:00",)),
    "cut off": (lambda lines: [*lines[:30], "2022-01-0"], ("row 31",)),
    "huge field": (cell(3, 2, "9" * 2_000_000), ("row 3",)),
    "too short": (lambda lines: lines[:30], ("is not covered", "2022-01-01 00:00")),
    "empty": (lambda _: [], ("trace.csv",)),
}


@pytest.mark.parametrize("fault", TRACE_FAULTS)
def test_faults_of_a_trace(tmp_path: Path, fault: str) -> None:
    """A trace is not repaired unless a policy says so, and no folder is left."""
    change, words = TRACE_FAULTS[fault]
    trace = tmp_path / "trace.csv"
    trace.write_text("\n".join(change([HEAD, *HOURS])), encoding="utf-8")
    options = ("--carbon", trace, "--format", "electricity-maps", *JOB)
    ending = run("generate", "scaling.job", tmp_path / "out", *options, "--json")
    refused(ending, *words)
    assert len(ending.err) < 5000
    assert files(tmp_path) == ["trace.csv"]


def test_policies_repair_a_trace(tmp_path: Path) -> None:
    """The options for gaps and doubled hours are those of the readers, and the origin tells."""
    trace = tmp_path / "trace.csv"
    lines = doubled_row(9)(without_row(5)([HEAD, *HOURS]))
    trace.write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = ("--carbon", trace, "--format", "electricity-maps", *JOB)
    made = run(
        *("generate", "scaling.job", tmp_path / "out", *options, "--json"),
        *("--gaps", "interpolate", "--duplicates", "first"),
    )
    assert made.json["rows"] == {"carbon": 24, "history": 24}
    assert "--gaps interpolate --duplicates first" in made.json["origin"]
    refused(run("generate", "scaling.job", tmp_path / "b", *options, "--gaps", "guess"), "guess")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--start", "2022-01-02T00:00"), ("has no time zone",)),
        (("--start", "soon"), ("is not a time",)),
        (("--start", "2022-01-02T00:30Z"), ("not on the grid",)),
        (("--start", "2023-01-02T00:00Z"), ("not covered", "2022-01-04 00:00")),
        (("--hours", "0"), ("hours",)),
        (("--hours", "nan"), ("hours",)),
        (("--work", "0"), ("work", "is too small")),
        (("--work", "nan"), ("work", "is not finite")),
        (("--switching", "-1"), ("switching_g", "is too small")),
        (("--format", "entsoe"), ("Unknown format of carbon traces",)),
        (("--zone", "YY"), ("'YY'", "XX")),
        (("--quantity", "total"), ("Unknown quantity",)),
        (("--work-min", "3"), ("work_max", "is missing")),
        (("--history-days", "-1"), ("history_days",)),
        (("--slot-minutes", "45"), ("averaged",)),
        (("--tz", "Mars/Olympus"), ("Mars/Olympus",)),
        (("--profile", "PROFILE"), ("row 4", "falls as servers are added")),
    ],
)
def test_wrong_trace_options(tmp_path: Path, change: tuple[str, str], words: Sequence[str]) -> None:
    """Each option of a job on a trace is checked, with the covered range where that helps."""
    trace = tmp_path / "trace.csv"
    trace.write_text("\n".join([HEAD, *HOURS, ""]), encoding="utf-8")
    profile = tmp_path / "profile.csv"
    profile.write_text("nodes,throughput,power\n1,1,50\n2,1.8,100\n3,2.5,90\n")
    name, value = change
    given = dict(zip(JOB[::2], JOB[1::2], strict=True))
    given |= {"--carbon": str(trace), "--format": "electricity-maps"}
    given[name] = str(profile) if value == "PROFILE" else value
    options = [word for pair in given.items() for word in pair]
    refused(run("generate", "scaling.job", tmp_path / "out", *options, "--json"), *words)
    assert files(tmp_path) == ["profile.csv", "trace.csv"]


def test_naive_times_of_a_trace_need_a_zone(tmp_path: Path) -> None:
    """A format that does not document its zone is refused without ``--tz``."""
    fuels = "WND,SUN,WAT,OIL,NG,COL,NUC,OTH"
    rows = [f"{row.split(',')[0]},1,1,1,1,1,1,1,1,300" for row in HOURS]
    trace = tmp_path / "trace.csv"
    trace.write_text("\n".join([f"timestamp,{fuels},avg_CI", *rows, ""]))
    options = ("--carbon", trace, "--format", "sustaindc", *JOB, "--json")
    refused(run("generate", "scaling.job", tmp_path / "out", *options), "tz")
    made = run("generate", "scaling.job", tmp_path / "out", *options, "--tz", "UTC")
    assert made.json["carbon"] == {"quantity": "lifecycle", "zone": "trace"}


def test_unwritable_output(tmp_path: Path) -> None:
    """A path that cannot be written is the caller's matter, not a bug."""
    (tmp_path / "taken").write_text("x")
    ending = run("solve", CAISO, "--out", tmp_path / "taken" / "plan.json")
    refused(ending, "taken")
    refused(run("solve", CAISO, "--out", tmp_path), tmp_path.name)
    refused(run("generate", "scaling.job", tmp_path / "taken" / "job"), "taken")
    refused(run("export", CAISO, tmp_path / "no" / "model.mps"), "does not exist")
    assert files(tmp_path) == ["taken"]
