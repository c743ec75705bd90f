"""``optmodels new``: from a CSV of one's own to an instance folder, step by step.

Instances of jobs and clusters are cut from the file as by ``optmodels generate --carbon``, and
their origin is that command. Sites are made of columns of power. For all other problems a bundled
example is copied, to be edited in a spreadsheet.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optmodels.cli import catalogue
from optmodels.cli.making import check_given, cut_from, flag, made_record, read_trace, show_made
from optmodels.cli.options import Json
from optmodels.cli.output import print_json
from optmodels.cli.questions import Answers, Question, ask, number, on_terminal, one_of, text, whole
from optmodels.cli.touring import SHOWN, bundled
from optmodels.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from optmodels.instance import Instance
    from optmodels.traces import Trace

#: Time until the deadline of a job, and in which jobs of a cluster arrive, in long files [h].
_USUAL_HOURS = 48.0
#: What the last drawn job of a cluster may need: 12 h to run, and 24 h to wait [h].
_AFTER_HOURS = 36.0
#: Most of an earlier time that policies of a cluster learn from [h].
_MOST_PAST_HOURS = 336.0
_DAY_HOURS = 24.0


@dataclass(frozen=True)
class _Start:
    """How a problem is made from a file: what the file holds, and which options it takes."""

    holds: str
    options: tuple[str, ...]
    make: Callable[[Path, Answers], Instance]


def new(
    problem: Annotated[
        str | None, typer.Argument(metavar="PROBLEM", help="Such as scaling.job.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Instance folder to make.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Your CSV: times and carbon intensity, or times and one column of power per site.",
        ),
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Start from the bundled example instead of a file.")
    ] = False,
    time_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of times, where there are several.")
    ] = None,
    value_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of carbon intensity.")
    ] = None,
    tz: Annotated[
        str | None, typer.Option(help="Zone of times without offset, such as UTC.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Unit of the values: g/kWh, lb/MWh, ...; kW, MW.")
    ] = None,
    quantity: Annotated[
        str | None, typer.Option(help="Carbon: direct, lifecycle, marginal or unspecified.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Begin; by default as late as the file allows.")
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help="Until the deadline of a job, or in which jobs come [h].")
    ] = None,
    work: Annotated[float | None, typer.Option(help="Job: hours on one server.")] = None,
    rate_cap: Annotated[float | None, typer.Option(help="Job: most servers at once.")] = None,
    switching: Annotated[
        float | None, typer.Option(help="Job: carbon of switching a server [g].")
    ] = None,
    jobs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Cluster: arrival_time,length,cpus; else drawn jobs."),
    ] = None,
    capacity: Annotated[int | None, typer.Option(help="Cluster: number of servers.")] = None,
    demand_gpus: Annotated[
        float | None, typer.Option(help="Sites: GPUs that are busy all the time.")
    ] = None,
    rtt_ms: Annotated[
        float | None, typer.Option(help="Sites: round trip to a cloud region [ms].")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of drawn jobs.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an instance folder that exists.")
    ] = False,
    json: Json = False,
) -> None:
    """Start here: make an instance of your own data, or a copy of an example to edit.

    On a terminal, whatever is missing is asked for. With PROBLEM, FOLDER and --data (or --example)
    nothing is asked: defaults are taken and told.
    """
    given = {
        "time_column": time_column,
        "value_column": value_column,
        "tz": tz,
        "unit": unit,
        "quantity": quantity,
        "start": start,
        "hours": hours,
        "work": work,
        "rate_cap": rate_cap,
        "switching": switching,
        "jobs": jobs,
        "capacity": capacity,
        "demand_gpus": demand_gpus,
        "rtt_ms": rtt_ms,
        "seed": seed,
    }
    lacking = problem is None or folder is None or (data is None and not example)
    asking = lacking and not json and on_terminal()
    if lacking and not asking:
        raise _missing(problem, folder, data, example)
    problem = _problem(problem)
    if data is not None and example:
        raise UsageError("--data and --example exclude each other. Fix: give one of them.")
    if asking and data is None and not example:
        data = _file(problem)
    if folder is None:
        folder = Path(ask(Question("folder", "Folder to make", "my-" + problem, text)))
    _check_folder(folder, overwrite)
    answers = Answers(given, asking=asking)
    if data is None:
        foreign = [flag(name) for name in answers.values]
        if foreign:
            raise UsageError(
                f"{', '.join(foreign)}: an example is copied as it is. Fix: use --data."
            )
        instance = _example(problem)
    else:
        entry = _entry(problem)
        foreign = [flag(name) for name in answers.values if name not in entry.options]
        if foreign:
            allowed = ", ".join(flag(name) for name in entry.options)
            raise UsageError(
                f"{', '.join(foreign)}: no option of a new {problem}; allowed: {allowed}."
            )
        instance = entry.make(data, answers)
    instance.save(folder, overwrite=overwrite)
    if json:
        print_json({**made_record(instance, folder), "assumed": answers.assumed})
        return
    show_made(instance, folder)
    told = answers.told()
    if told:
        typer.echo(told)
    if data is None:
        _show_tables(instance, folder)
    where = shlex.quote(str(folder))
    typer.echo(
        f"Next: optmodels check {where}, optmodels compare {where}, "
        f"optmodels plot {where} --out {shlex.quote(folder.name + '.png')}"
    )


def _missing(
    problem: str | None, folder: Path | None, data: Path | None, example: bool
) -> UsageError:
    """Everything that is missing, at once, with a command that would do."""
    words = [
        *(["PROBLEM (what to plan)"] if problem is None else []),
        *(["FOLDER (where to put the instance)"] if folder is None else []),
        *(["--data FILE (your CSV) or --example"] if data is None and not example else []),
    ]
    name = problem or "scaling.job"
    if problem is None or name in _STARTS:
        sample = f"optmodels new {name} mine --data carbon.csv --hours 48 --work 12"
        if name != "scaling.job":
            sample = f"optmodels new {name} mine --data {data or 'own.csv'}"
    else:
        sample = f"optmodels new {name} mine --example"
    return UsageError(
        f"optmodels new lacks {', '.join(words)}; there is no terminal to ask on. Example: "
        f"{sample}\nProblems: {', '.join(entry['name'] for entry in catalogue.read())}."
    )


def _problem(name: str | None) -> str:
    known = [entry["name"] for entry in catalogue.read()]
    if name is None:
        typer.echo("What do you want to plan?")
        for entry in catalogue.read():
            typer.echo(f"  {entry['name']:<23} {entry['title']}")
        chosen: str = ask(Question("problem", "Problem", "scaling.job", one_of(*known)))
        return chosen
    if name not in known:
        raise UsageError.unknown("problem", name, known)
    return name


def _entry(problem: str) -> _Start:
    if problem not in _STARTS:
        raise UsageError(
            f"A {problem} takes more than one file: it cannot be made from --data. Fix: give "
            "--example instead, and edit the tables of the copy. From one file: "
            f"{', '.join(_STARTS)}."
        )
    return _STARTS[problem]


def _file(problem: str) -> Path | None:
    """The file to start from; None for the example."""
    if problem not in _STARTS:
        typer.echo(f"A {problem} takes several tables: you get an example of them to edit.")
        return None
    words = f"CSV file with {_STARTS[problem].holds}, or 'example'"

    def check(typed: str) -> Path | None:
        if typed == "example":
            return None
        path = Path(typed).expanduser()
        if not path.is_file():
            raise ValueError(f"{typed!r} is no file")
        return path

    found: Path | None = ask(Question("data", words, "example", check))
    return found


def _check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder before anything is asked that would be lost."""
    if folder.exists() and not overwrite:
        raise UsageError(
            f"{str(folder)!r} exists already. Fix: name another folder, or give --overwrite to "
            "replace an instance folder."
        )


def _example(problem: str) -> Instance:
    from optmodels import api

    found = api.load(bundled() / SHOWN[problem])
    frames: dict[str, pd.DataFrame] = found.tables
    origin = f"copy of the bundled example {SHOWN[problem]}"
    return type(found)(found.parameters.model_dump(), frames, name=found.name, origin=origin)


def _show_tables(instance: Instance, folder: Path) -> None:
    """Which file holds what, for whoever edits it."""
    typer.echo("Edit these in a spreadsheet or an editor; datapackage.json holds the parameters:")
    for name, frame in instance.tables.items():
        file = f"{folder / name}.csv"
        words = instance.table_models[name].description
        typer.echo(f"  {file}: {words} {len(frame)} rows")


def _trace_of(data: Path, answers: Answers) -> Trace:
    """The carbon trace of a file, with questions about what the file does not say."""
    from optmodels.traces import FORMATS, UNITS, Cleaning, survey

    looked = survey(data)
    values = answers.values
    # The one public format that people download by hand.
    portal = looked.table.position("Datetime (UTC)") is not None and any(
        "Carbon Intensity" in name or "carbon intensity" in name for name in looked.table.columns
    )
    values["format"] = "electricity-maps" if portal else "columns"
    quantities = FORMATS[values["format"]].quantities
    if portal:
        answers.know(Question("quantity", _QUANTITY, quantities[0], one_of(*quantities)))
        return read_trace(data, values, Cleaning())
    times = looked.time_column(values.get("time_column"))
    if len(looked.numbers) > 1 and "value_column" not in values and answers.asking:
        typer.echo(f"The file has {looked.found()}.")
        try:
            first = looked.carbon_column()
        except ValueError:
            first = looked.numbers[-1]
        words = "Column of the carbon intensity"
        answers.know(Question("value_column", words, first, one_of(*looked.numbers)))
    if looked.naive(times) and answers.asking:
        words = "Time zone of the times, such as UTC or Europe/Berlin"
        answers.know(Question("tz", words, "UTC", text))
    answers.know(
        Question("unit", "Unit of the carbon intensity", "g/kWh", one_of(*UNITS)),
        Question("quantity", _QUANTITY, quantities[0], one_of(*quantities)),
    )
    return read_trace(data, values, Cleaning())


_QUANTITY = "What it counts: direct (at the plants), lifecycle, marginal or unspecified"


def _job(data: Path, answers: Answers) -> Instance:
    trace = _trace_of(data, answers)
    span = len(trace) * trace.step.total_seconds() / 3600
    step = trace.step.total_seconds() / 3600
    usual = max(step, min(_USUAL_HOURS, span // 2 // step * step))
    answers.know(
        Question("hours", "Hours from the job's arrival to its deadline", usual, _HOURS),
    )
    hours = answers.values["hours"]
    answers.know(
        Question(
            "work", f"Work, in slots of {step:g} h on one server", _quarter(hours, step), _HOURS
        ),
        Question("rate_cap", "Most servers that it may use at once", 1, _HOURS),
        Question("switching", "Carbon of switching one server on or off [g]", 20, number(0)),
        Question("start", "Arrival (what is before it is known past)", _late(trace, hours), text),
    )
    return _cut("scaling.job", trace, data, answers)


def _cluster(data: Path, answers: Answers) -> Instance:
    import pandas as pd

    from optmodels.traces.trace import instant

    trace = _trace_of(data, answers)
    span = len(trace) * trace.step.total_seconds() / 3600
    days = max(1.0, min(_USUAL_HOURS, span - _AFTER_HOURS) // _DAY_HOURS)
    answers.know(Question("hours", "Hours in which jobs arrive", days * _DAY_HOURS, _HOURS))
    # Jobs of one's own say by themselves how many servers they need.
    if "jobs" not in answers.values:
        answers.know(Question("capacity", "Servers of the cluster", 20, whole(1)))
    hours = answers.values["hours"]
    begin = _late(trace, hours + _AFTER_HOURS)
    answers.know(Question("start", "First arrival", begin, text))
    first = instant(answers.values["start"], answers.values.get("tz"))
    before = (first - trace.start) / pd.Timedelta(hours=1)
    # Whole days, from which policies learn how long jobs are and when they come.
    past = min(before, _MOST_PAST_HOURS) // _DAY_HOURS * _DAY_HOURS
    if past > 0:
        answers.values["past_hours"] = past
    return _cut("scaling.cluster", trace, data, answers)


def _cut(problem: str, trace: Trace, data: Path, answers: Answers) -> Instance:
    values = dict(answers.values)
    seed = values.pop("seed", None)
    policy = check_given(problem, values, {}, seed)
    return cut_from(problem, trace, data, values, policy, seed)


def _late(trace: Trace, hours: float) -> str:
    """The latest begin after which so many hours of a trace are left, or its own."""
    import pandas as pd

    begin = max(trace.start, trace.end - pd.Timedelta(hours=hours))
    return f"{begin:%Y-%m-%dT%H:%M:%SZ}"


def _quarter(hours: float, step: float) -> float:
    """A quarter of the time, in slots: work that leaves a choice."""
    return max(1.0, round(hours / step / 4))


def _sites(data: Path, answers: Answers) -> Instance:
    from optmodels.rightsizing.sites.from_series import from_series
    from optmodels.traces import POWER_UNITS, read_power, survey
    from optmodels.traces.power import says_units

    values = answers.values
    looked = survey(data)
    times = looked.time_column(values.get("time_column"))
    if answers.asking:
        if looked.naive(times):
            words = "Time zone of the times, such as UTC or Europe/Berlin"
            answers.know(Question("tz", words, "UTC", text))
        if not says_units(looked):
            answers.know(Question("unit", "Unit of the power", "kW", one_of(*POWER_UNITS)))
    wind = read_power(
        data,
        unit=values.get("unit"),
        time_column=values.get("time_column"),
        tz=values.get("tz"),
    )
    power = wind.frame
    # A GPU draws about 1 kW: as many as the mean wind feeds leave a question.
    feeds = max(1.0, round(float(power.sum(axis=1).mean())))
    answers.know(
        Question("demand_gpus", "GPUs that the demand keeps busy", feeds, number(0)),
        Question("rtt_ms", "Round trip from the sites to a cloud region [ms]", 20, number(0)),
    )
    command = ["optmodels", "new", "rightsizing.sites", "FOLDER", "--data", data.name]
    for name, value in values.items():
        command += [flag(name), f"{value:g}" if isinstance(value, float) else str(value)]
    peaks = {str(name): float(peak) for name, peak in power.max().items()}
    still = [name for name, peak in peaks.items() if peak <= 0]
    if still:
        raise UsageError(
            f"There is no power at all at {', '.join(still)}: its nameplate, taken as the peak of "
            "the file, would be 0. Fix: leave the column out."
        )
    return from_series(
        power,
        # The file does not say what stands there; its peak is the least that it can be.
        nameplate_kw=peaks,
        rtt_ms=values["rtt_ms"],
        demand_gpus=values["demand_gpus"],
        source=f"{wind.source}; nameplates are the peaks of the file",
        command=shlex.join(command),
    )


_HOURS = number(0, strict=True)
_CARBON = ("time_column", "value_column", "tz", "unit", "quantity", "start", "hours")
_STARTS = {
    "scaling.job": _Start(
        "times and carbon intensity", (*_CARBON, "work", "rate_cap", "switching"), _job
    ),
    "scaling.cluster": _Start(
        "times and carbon intensity", (*_CARBON, "jobs", "capacity", "seed"), _cluster
    ),
    "rightsizing.sites": _Start(
        "times and one column of power per site",
        ("time_column", "tz", "unit", "demand_gpus", "rtt_ms"),
        _sites,
    ),
}
