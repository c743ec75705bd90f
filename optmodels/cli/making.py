"""``optmodels generate`` and ``optmodels export``: instances and models as files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optmodels.cli.options import InstancePath, Json, pairs
from optmodels.cli.output import print_json
from optmodels.errors import UsageError
from optmodels.words import carbon_record, carbon_sentence, counts_carbon

if TYPE_CHECKING:
    from optmodels.instance import Instance
    from optmodels.traces import Cleaning, Trace, Vintages


@dataclass(frozen=True)
class _Cut:
    """How a problem is cut from a carbon trace: its own options, beside those of reading one."""

    needed: tuple[str, ...]
    allowed: tuple[str, ...]
    seeded: bool


_READING = ("format", "zone", "quantity", "unit", "tz", "time_column", "value_column")
_CUTS = {
    "scaling.job": _Cut(
        needed=("format", "start", "hours", "work", "switching"),
        allowed=(
            *("rate_cap", "history_days", "slot_minutes", "carbon_lower", "carbon_upper"),
            *("profile", "vintages", "work_min", "work_max", "work_predicted"),
        ),
        seeded=False,
    ),
    "scaling.cluster": _Cut(
        needed=("format", "start", "hours"),
        allowed=(
            *(
                "jobs",
                "job_unit",
                "jobs_from",
                "past_hours",
                "capacity",
                "utilisation",
                "elasticity",
            ),
            *("most_servers", "least_hours", "server_kw", "start_kwh", "slot_minutes"),
            "vintages",
        ),
        seeded=True,
    ),
}


def generate(
    problem: Annotated[str, typer.Argument(help="Name such as scaling.job.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make.")],
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of every random choice. [default: 0]")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="Size of a synthetic instance; may be repeated."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an instance folder that exists.")
    ] = False,
    table_format: Annotated[str, typer.Option(help="csv or parquet.")] = "csv",
    carbon: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Carbon trace to cut the instance from.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Format of the trace.")] = None,
    zone: Annotated[str | None, typer.Option(help="Zone, where the trace has several.")] = None,
    quantity: Annotated[
        str | None, typer.Option(help="direct, lifecycle or marginal, as the trace has it.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of the trace's values.")] = None,
    tz: Annotated[str | None, typer.Option(help="Zone of naive times.")] = None,
    time_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of times of a file of your own.")
    ] = None,
    value_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of carbon of a file of your own.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Begin of the instance, such as 2022-06-01T00:00Z.")
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(help="Time until the deadline of a job, or in which jobs arrive [h]."),
    ] = None,
    work: Annotated[float | None, typer.Option(help="Work, in full-rate slots.")] = None,
    switching: Annotated[
        float | None, typer.Option(help="Carbon cost of switching a server [g].")
    ] = None,
    rate_cap: Annotated[float | None, typer.Option(help="Largest number of servers.")] = None,
    history_days: Annotated[
        float | None, typer.Option(help="Longest history before the start [days]. [default: 30]")
    ] = None,
    slot_minutes: Annotated[
        float | None, typer.Option(help="Length of a slot [min]; by default the trace's step.")
    ] = None,
    carbon_lower: Annotated[
        float | None, typer.Option(help="Assumed lowest intensity [g/kWh].")
    ] = None,
    carbon_upper: Annotated[
        float | None, typer.Option(help="Assumed highest intensity [g/kWh].")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Scaling profile: nodes,throughput,power.")
    ] = None,
    vintages: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CarbonCast file with real forecasts.")
    ] = None,
    work_min: Annotated[
        float | None, typer.Option(help="Shortest possible work; hides the true work.")
    ] = None,
    work_max: Annotated[float | None, typer.Option(help="Longest possible work.")] = None,
    work_predicted: Annotated[float | None, typer.Option(help="Predicted work.")] = None,
    jobs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Job trace: arrival_time,length,cpus; without it jobs are drawn."
        ),
    ] = None,
    job_unit: Annotated[
        str | None, typer.Option(help="Unit of the job trace: hours or seconds.")
    ] = None,
    jobs_from: Annotated[
        float | None, typer.Option(help="Time of the job trace at which to begin [h]. [default: 0]")
    ] = None,
    past_hours: Annotated[
        float | None, typer.Option(help="Earlier time to learn from [h]. [default: 0]")
    ] = None,
    capacity: Annotated[
        int | None, typer.Option(help="Servers of a cluster; by default as the load asks for.")
    ] = None,
    utilisation: Annotated[
        float | None, typer.Option(help="Load of a cluster if jobs never scale. [default: 0.5]")
    ] = None,
    elasticity: Annotated[
        str | None, typer.Option(help="Kinds of jobs: high, moderate, low, mix or none.")
    ] = None,
    most_servers: Annotated[
        int | None, typer.Option(help="Most servers of a job. [default: 16]")
    ] = None,
    least_hours: Annotated[
        float | None, typer.Option(help="Leave out shorter jobs [h]. [default: 1]")
    ] = None,
    server_kw: Annotated[float | None, typer.Option(help="Power of a server [kW].")] = None,
    start_kwh: Annotated[
        float | None, typer.Option(help="Energy of starting a server for a job [kWh].")
    ] = None,
    gaps: Annotated[
        str | None, typer.Option(help="Missing slots: refuse, interpolate or previous.")
    ] = None,
    max_gap_slots: Annotated[
        int | None, typer.Option(help="Longest run of slots that may be filled.")
    ] = None,
    duplicates: Annotated[
        str | None, typer.Option(help="Doubled times: refuse, first, last or mean.")
    ] = None,
    estimated: Annotated[
        str | None, typer.Option(help="Values estimated by the source: accept, refuse or gap.")
    ] = None,
    doubled_day: Annotated[
        str | None, typer.Option(help="CarbonCast block under a wrong date: refuse or repair.")
    ] = None,
    mixed_times: Annotated[
        str | None, typer.Option(help="Times with and without offset: refuse or accept.")
    ] = None,
    ambiguous: Annotated[
        str | None, typer.Option(help="Local hour that is double: refuse, order, earlier, later.")
    ] = None,
    nonexistent: Annotated[
        str | None, typer.Option(help="Local hour that is skipped: refuse or shift.")
    ] = None,
    json: Json = False,
) -> None:
    """Make an instance folder: synthetic from a seed, or cut from a carbon trace."""
    cleaning = {
        "gaps": gaps,
        "max_gap_slots": max_gap_slots,
        "duplicates": duplicates,
        "estimated": estimated,
        "doubled_day": doubled_day,
        "mixed_times": mixed_times,
        "ambiguous": ambiguous,
        "nonexistent": nonexistent,
    }
    reading = {
        "format": format,
        "zone": zone,
        "quantity": quantity,
        "unit": unit,
        "tz": tz,
        "time_column": time_column,
        "value_column": value_column,
    }
    own = {
        "start": start,
        "hours": hours,
        "work": work,
        "switching": switching,
        "rate_cap": rate_cap,
        "history_days": history_days,
        "slot_minutes": slot_minutes,
        "carbon_lower": carbon_lower,
        "carbon_upper": carbon_upper,
        "profile": profile,
        "vintages": vintages,
        "work_min": work_min,
        "work_max": work_max,
        "work_predicted": work_predicted,
        "jobs": jobs,
        "job_unit": job_unit,
        "jobs_from": jobs_from,
        "past_hours": past_hours,
        "capacity": capacity,
        "utilisation": utilisation,
        "elasticity": elasticity,
        "most_servers": most_servers,
        "least_hours": least_hours,
        "server_kw": server_kw,
        "start_kwh": start_kwh,
    }
    given = {k: v for k, v in {**reading, **own, **cleaning}.items() if v is not None}
    instance: Instance
    if carbon is None:
        if given:
            raise UsageError(
                f"{flag(next(iter(given)))} needs a trace. Fix: give --carbon FILE, or --size "
                "name=value for a synthetic instance."
            )
        from optmodels import api

        instance = api.generate(problem, seed=seed or 0, **pairs(size or [], "--size"))
    else:
        if size:
            raise UsageError(
                "--size is for synthetic instances; with --carbon the trace says the sizes. Fix: "
                "leave --size out, or --carbon."
            )
        policy = check_given(problem, given, cleaning, seed)
        trace = read_trace(carbon, given, policy)
        instance = cut_from(problem, trace, carbon, given, policy, seed)
    instance.save(out, table_format=table_format, overwrite=overwrite)
    if json:
        print_json(made_record(instance, out))
        return
    show_made(instance, out)


def made_record(instance: Instance, out: Path) -> dict[str, Any]:
    """An instance folder that was made, in one record."""
    return {
        "problem": instance.problem,
        "path": str(out),
        "fingerprint": instance.fingerprint,
        "origin": instance.origin,
        "carbon": carbon_record(instance),
        "rows": {name: len(frame) for name, frame in instance.tables.items()},
    }


def show_made(instance: Instance, out: Path) -> None:
    """The same in words."""
    typer.echo(repr(instance))
    if counts_carbon(instance):
        typer.echo(f"  counts the {carbon_sentence(instance)}")
    typer.echo(f"  origin: {instance.origin}")
    typer.echo(f"saved in {out}")


def export(
    path: InstancePath,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File ending in .mps or .lp.")],
    json: Json = False,
) -> None:
    """Write the model of an instance to a file that any solver reads."""
    from optmodels import api
    from optmodels.solver import export_model

    instance: Any = api.load(path)
    export_model(instance.model(), file)
    if json:
        print_json(
            {
                "problem": instance.problem,
                "fingerprint": instance.fingerprint,
                "file": str(file),
                "bytes": file.stat().st_size,
            }
        )
        return
    typer.echo(f"The model of {instance.name} is saved in {file}")


def check_given(
    problem: str, given: Mapping[str, Any], cleaning: Mapping[str, Any], seed: int | None
) -> Cleaning:
    """The policy of cleaning, once all options are known to fit the problem.

    Raises
    ------
    UsageError
        The problem has no instances from traces, or options are missing or of another one.
    """
    from optmodels import registry
    from optmodels.traces import Cleaning

    found = registry.problem(problem)
    if found.name not in _CUTS:
        raise UsageError(
            f"Instances of {found.name} cannot be cut from a carbon trace; those of "
            f"{' and '.join(_CUTS)} can. Fix: leave --carbon out."
        )
    cut = _CUTS[found.name]
    if seed is not None and not cut.seeded:
        raise UsageError(
            "--seed is for synthetic instances; with --carbon nothing is drawn for a "
            f"{found.name}. Fix: leave --seed out."
        )
    known = {*_READING, *cleaning, *cut.needed, *cut.allowed}
    foreign = [flag(name) for name in given if name not in known]
    if foreign:
        raise UsageError(
            f"{', '.join(foreign)}: no option of a {found.name} from a trace. Fix: leave that out."
        )
    lacking = [flag(name) for name in cut.needed if name not in given]
    if lacking:
        raise UsageError(
            f"--carbon also needs {', '.join(lacking)}. Fix: see the examples of `optmodels "
            "generate --help`; `optmodels new` asks for what it needs."
        )
    orphans = [flag(name) for name in ("job_unit", "jobs_from") if name in given]
    if orphans and "jobs" not in given:
        raise UsageError(f"{', '.join(orphans)}: about a job trace. Fix: give --jobs FILE.")
    return Cleaning(**{name: given[name] for name in cleaning if name in given})


def read_trace(carbon: Path, given: Mapping[str, Any], policy: Cleaning) -> Trace:
    """The carbon trace that options of reading describe."""
    from optmodels.traces import read_carbon

    options = {name: given.get(name) for name in _READING if name != "format"}
    return read_carbon(carbon, given["format"], cleaning=policy, **options)


def cut_from(
    problem: str,
    trace: Trace,
    carbon: Path,
    given: Mapping[str, Any],
    policy: Cleaning,
    seed: int | None,
) -> Instance:
    """The instance that the problem's room `from_trace` cuts out of a trace."""
    arguments = _ARGUMENTS[problem](given, trace, policy, seed or 0)
    command = _command(problem, carbon, given, seed)
    room = import_module(f"optmodels.{problem}.from_trace")
    instance: Instance = room.from_trace(trace, tz=given.get("tz"), command=command, **arguments)
    return instance


def _job_arguments(
    given: Mapping[str, Any], trace: Trace, policy: Cleaning, seed: int
) -> dict[str, Any]:
    """What `optmodels.scaling.job.from_trace` takes beside the trace."""
    del seed
    from optmodels.traces import read_profile

    names = {
        **{name: name for name in ("start", "hours", "work", "rate_cap", "history_days")},
        **{name: name for name in ("slot_minutes", "work_min", "work_max", "work_predicted")},
        "switching": "switching_g",
        "carbon_lower": "carbon_lower_g_per_kwh",
        "carbon_upper": "carbon_upper_g_per_kwh",
    }
    arguments = {to: given[name] for name, to in names.items() if name in given}
    if "profile" in given:
        arguments["profile"] = read_profile(given["profile"])
    if "vintages" in given:
        arguments["vintages"] = _vintages(given, trace, policy)
    return arguments


def _vintages(given: Mapping[str, Any], trace: Trace, policy: Cleaning) -> Vintages:
    """Real forecasts of the same zone and quantity as the trace."""
    from optmodels.traces import read_vintages

    return read_vintages(
        given["vintages"], zone=trace.zone, quantity=trace.quantity, cleaning=policy
    )


def _cluster_arguments(
    given: Mapping[str, Any], trace: Trace, policy: Cleaning, seed: int
) -> dict[str, Any]:
    """What `optmodels.scaling.cluster.from_trace` takes beside the trace."""
    from optmodels.traces import read_jobs

    cut = _CUTS["scaling.cluster"]
    skipped = ("format", "jobs", "job_unit", "jobs_from", "vintages")
    names = [name for name in (*cut.needed, *cut.allowed) if name not in skipped]
    arguments = {name: given[name] for name in names if name in given}
    arguments["seed"] = seed
    if "vintages" in given:
        arguments["vintages"] = _vintages(given, trace, policy)
    if "jobs" not in given:
        from optmodels.scaling.cluster.drawn import drawn_jobs

        time = given["hours"] + given.get("past_hours", 0.0)
        load = {name: given[name] for name in ("capacity", "utilisation") if name in given}
        arguments["jobs"] = drawn_jobs(seed, time, **load)
        arguments["jobs_source"] = "drawn jobs, none of them measured"
        return arguments
    if "jobs_from" in given:
        arguments["jobs_from_hours"] = given["jobs_from"]
    arguments["jobs"] = read_jobs(given["jobs"], unit=given.get("job_unit"))
    arguments["jobs_source"] = given["jobs"].name
    return arguments


_ARGUMENTS = {"scaling.job": _job_arguments, "scaling.cluster": _cluster_arguments}


def _command(problem: str, carbon: Path, given: Mapping[str, Any], seed: int | None) -> str:
    """The command that makes the instance again; files by their names, wherever they are."""
    words = ["optmodels", "generate", problem, "OUT", "--carbon", carbon.name]
    words += [] if seed is None else ["--seed", str(seed)]
    for name, value in given.items():
        text = value.name if isinstance(value, Path) else str(value)
        words += [flag(name), text.removesuffix(".0") if isinstance(value, float) else text]
    return shlex.join(words)


def flag(name: str) -> str:
    """The option of a name."""
    return "--" + name.replace("_", "-")
