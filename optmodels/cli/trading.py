"""``optmodels frontier``: what less of one cost takes in another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optmodels.cli.options import InstancePath, Json, finite, names
from optmodels.cli.output import print_json, print_table
from optmodels.words import carbon_record, carbon_sentence, counts_carbon


def frontier(
    path: InstancePath,
    objectives: Annotated[
        str, typer.Option(metavar="A,B", help="Two objectives; see `optmodels list`.")
    ] = "energy_kwh,carbon_g",
    points: Annotated[int, typer.Option(metavar="N", help="Most points to find.")] = 20,
    time_limit: Annotated[
        float | None, typer.Option(metavar="S", help="Limit on the time of the search [s].")
    ] = None,
    mip_gap: Annotated[
        float, typer.Option(metavar="G", help="Relative gap at which a search may stop.")
    ] = 1e-4,
    json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save points (.csv) or a drawing (.png, .svg, .pdf)."),
    ] = None,
) -> None:
    """Find the trade-off between two objectives, with a proof of its accuracy."""
    pair = names(objectives, "--objectives") or []
    limit = finite(time_limit, "--time-limit", low=0.0, strict=True)
    gap = finite(mip_gap, "--mip-gap", low=0.0)
    from optmodels import api
    from optmodels.canvas import check_target
    from optmodels.trade_off import frontier as find

    if out is not None:
        check_target(out)
    instance = api.load(path)
    front = find(
        instance, pair, points=points, time_limit_s=limit, mip_gap=0.0 if gap is None else gap
    )
    if out is not None:
        front.save(out)
    if json:
        print_json({**front.record(), "carbon": carbon_record(instance)})
        return
    head, foot = front.lines()
    typer.echo(head)
    columns = [str(name) for name in front.frame.columns]
    rows = [[f"{value:,.6g}" for value in row] for row in front.frame.to_numpy().tolist()]
    print_table(columns, rows, numeric=set(columns))
    typer.echo(foot)
    if counts_carbon(instance):
        typer.echo(f"Counts the {carbon_sentence(instance)}.")
    if out is not None:
        typer.echo(f"saved in {out}")
