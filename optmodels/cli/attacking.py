"""``optmodels adversary``: the instance on which a policy does worst."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optmodels.cli.options import Json, Seed, finite, pairs
from optmodels.cli.output import print_json


def adversary(
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="Such as scaling.job.")],
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="Such as roro.")],
    measure: Annotated[
        str, typer.Option(help="ratio, excess (over what is proven), or one of the problem's own.")
    ] = "ratio",
    evaluations: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Instances to try at most, simplifications apart."),
    ] = 2000,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Wall time after which to stop [s].")
    ] = None,
    seed: Seed = 0,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of the search space; may be repeated."),
    ] = None,
    json: Json = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save the instance found as a folder.")
    ] = None,
) -> None:
    """Search for the instance on which a policy does worst, and make it simple."""
    limit = finite(seconds, "--seconds", low=0.0, strict=True)
    options = pairs(option or [], "--option")
    from optmodels.folder import check_target
    from optmodels.studies import adversary as attack

    if out is not None:
        # Not after a search of minutes, which would be lost.
        check_target(out, overwrite=False)
    worst = attack(
        problem,
        policy,
        measure=measure,
        evaluations=evaluations,
        seconds=limit,
        seed=seed,
        **options,
    )
    if out is not None:
        worst.instance.save(out)
    if json:
        print_json(
            {
                "problem": problem,
                "policy": policy,
                "measure": measure,
                "value": worst.value,
                "found": worst.found,
                "evaluations": worst.evaluations,
                "total": worst.plan.objective,
                "optimum": worst.optimum.objective,
                "fingerprint": worst.instance.fingerprint,
            }
        )
        return
    typer.echo(repr(worst))
    if out is not None:
        typer.echo(f"saved in {out}")
