"""``optmodels gaps`` and ``optmodels curve``: where losses come from, and what bad advice costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optmodels.cli.options import Json, Policies, Seed, names
from optmodels.cli.output import print_json, print_table
from optmodels.words import number

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Instance folders.")]
Jobs = Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes to use.")]
Store = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep results there and use what is there.")
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Save rows (.csv) or a drawing (.png, .svg).")
]


def gaps(
    paths: Paths,
    policies: Policies = None,
    forecast: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="What was really forecast; see `optmodels compare`."),
    ] = None,
    planner: Annotated[
        str | None, typer.Option(metavar="NAME", help="Policy that plans with the forecast.")
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    store: Store = None,
    json: Json = False,
    out: Out = None,
) -> None:
    """Say how much of a distance to the optimum is horizon, forecast or commitment."""
    chosen = names(policies, "--policies")
    from optmodels.canvas import check_target
    from optmodels.studies import gaps as decompose

    if out is not None:
        check_target(out)
    found = decompose(
        paths, chosen, forecast=forecast, planner=planner, seed=seed, workers=jobs, store=store
    )
    if out is not None:
        found.save(out)
    if json:
        print_json(found.frame.to_dict("records"))
        return
    shares = found.shares()
    columns = [str(name) for name in shares.columns]
    rows = [
        [str(row["policy"]), *(number(row[name], ".3%") for name in columns[1:])]
        for _, row in shares.iterrows()
    ]
    print_table(columns, rows, numeric=set(columns[1:]))
    typer.echo(
        f"Means over {len(paths)} instances, as shares of the optimum; planner: {found.planner}."
    )
    if out is not None:
        typer.echo(f"saved in {out}")


def curve(
    paths: Paths,
    policies: Annotated[str, typer.Option(metavar="A,B", help="Policies to measure.")],
    kind: Annotated[str, typer.Option(help="adversarial or noise.")] = "adversarial",
    seed: Seed = 0,
    jobs: Jobs = None,
    store: Store = None,
    json: Json = False,
    out: Out = None,
) -> None:
    """Measure policies while their advice goes from perfect to useless."""
    chosen = names(policies, "--policies") or []
    from optmodels.canvas import check_target
    from optmodels.studies import advice_curve

    if out is not None:
        check_target(out)
    found = advice_curve(paths, chosen, kind=kind, seeds=[seed], workers=jobs, store=store)
    if out is not None:
        found.save(out)
    if json:
        rows = found.frame.astype(object).where(found.frame.notna(), None)
        print_json(rows.to_dict("records"))
        return
    columns = [str(name) for name in found.frame.columns]
    texts = [
        [str(row["policy"]), *(number(row[name], ".4g") for name in columns[1:])]
        for _, row in found.frame.iterrows()
    ]
    print_table(columns, texts, numeric=set(columns[1:]))
    if out is not None:
        typer.echo(f"saved in {out}")
