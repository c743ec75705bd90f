"""``optmodels solve`` and ``optmodels compare``: the optimum, and policies beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optmodels.cli.options import (
    Forecast,
    InstancePath,
    Json,
    Policies,
    Seed,
    finite,
    names,
    pairs,
)
from optmodels.cli.output import (
    comparison_table,
    optimum_line,
    plan_record,
    print_json,
)
from optmodels.errors import UsageError
from optmodels.words import carbon_sentence, counts_carbon

if TYPE_CHECKING:
    from optmodels.studies import Study


def solve(
    path: InstancePath,
    json: Json = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the plan (JSON), all or nothing.")
    ] = None,
    method: Annotated[str, typer.Option(help="Exact method; see `optmodels list`.")] = "auto",
    time_limit: Annotated[
        float | None, typer.Option(metavar="S", help="Limit on the solver's time [s].")
    ] = None,
    mip_gap: Annotated[
        float, typer.Option(metavar="G", help="Relative gap at which a search may stop.")
    ] = 1e-4,
    seed: Seed = 0,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of the solver; may be repeated."),
    ] = None,
) -> None:
    """Find the optimum of an instance, with a proven bound and an audit."""
    limit = finite(time_limit, "--time-limit", low=0.0, strict=True)
    gap = finite(mip_gap, "--mip-gap", low=0.0)
    options = pairs(option or [], "--option")
    from optmodels import api

    instance = api.load(path)
    plan = api.solve(
        instance,
        method=method,
        time_limit_s=limit,
        mip_gap=0.0 if gap is None else gap,
        seed=seed,
        options=options,
    )
    if out is not None:
        plan.save(out)
    if json:
        print_json(plan_record(instance, plan))
        return
    typer.echo(repr(plan))
    if counts_carbon(instance):
        typer.echo(f"  counts the {carbon_sentence(instance)}")
    if out is not None:
        typer.echo(f"  saved in {out}")


def compare(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Instance folders.")],
    policies: Policies = None,
    forecast: Forecast = None,
    seed: Seed = 0,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes to use; results do not depend on it."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDR", help="A dask scheduler to use, such as tcp://host:8786."),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep results there; run again, go on where it stopped."),
    ] = None,
    json: Json = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save all rows as CSV, all or nothing.")
    ] = None,
) -> None:
    """Replay policies on instances and measure them against the optimum."""
    chosen = names(policies, "--policies")
    if jobs is not None or scheduler is not None or store is not None:
        if jobs is not None and scheduler is not None:
            raise UsageError(
                "--jobs and --scheduler exclude each other: processes here, or workers there. "
                "Fix: give one of them."
            )
        found_by_study = _studied(paths, chosen, forecast, seed, jobs, scheduler, store)
        _show_study(found_by_study, json=json, csv=csv)
        return
    import pandas as pd

    from optmodels import api
    from optmodels.comparison import compare as compare_policies

    instances = [api.load(path) for path in paths]
    found = [
        compare_policies(instance, chosen, forecast=forecast, seed=seed) for instance in instances
    ]
    if csv is not None:
        from optmodels.atomic import write_text_atomically
        from optmodels.csv_text import csv_text

        frame = pd.concat([comparison.frame for comparison in found], ignore_index=True)
        write_text_atomically(csv, csv_text(frame))
    if json:
        rows: list[dict[str, Any]] = [row for comparison in found for row in comparison.records()]
        print_json(rows)
        return
    for instance, comparison in zip(instances, found, strict=True):
        typer.echo(optimum_line(instance, comparison.optimum))
        comparison_table(comparison.records(), comparison.unit)
        for name, reason in comparison.skipped.items():
            typer.echo(f"skipped {name}: {reason}")
        typer.echo(f"Savings are against '{comparison.baseline}'.")
    if csv is not None:
        typer.echo(f"saved in {csv}")


def _studied(
    paths: list[Path],
    policies: list[str] | None,
    forecast: str | None,
    seed: int,
    jobs: int | None,
    scheduler: str | None,
    store: Path | None,
) -> Study:
    from contextlib import ExitStack

    from optmodels.studies import study
    from optmodels.studies.cluster import scheduler_executor

    with ExitStack() as stack:
        executor = None if scheduler is None else stack.enter_context(scheduler_executor(scheduler))
        return study(
            paths,
            policies,
            forecasts=None if forecast is None else [forecast],
            seeds=[seed],
            executor=executor,
            workers=jobs,
            store=store,
        )


def _show_study(found: Study, *, json: bool, csv: Path | None) -> None:
    if csv is not None:
        from optmodels.atomic import write_text_atomically
        from optmodels.csv_text import csv_text

        write_text_atomically(csv, csv_text(found.frame))
    rows = found.records()
    if json:
        print_json(rows)
        return
    for fingerprint in dict.fromkeys(row["fingerprint"] for row in rows):
        of_instance = [row for row in rows if row["fingerprint"] == fingerprint]
        done = [row for row in of_instance if row["status"] == "done"]
        typer.echo(f"{of_instance[0]['instance']} ({of_instance[0]['problem']})")
        if done:
            comparison_table(done, done[0]["unit"])
        for row in of_instance:
            if row["status"] != "done":
                typer.echo(f"{row['status']} {row['policy']}: {row['error']}")
    typer.echo(found.headline)
    if csv is not None:
        typer.echo(f"saved in {csv}")
