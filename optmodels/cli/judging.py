"""``optmodels check`` and ``optmodels explain``: is it valid, solvable, and is the plan right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optmodels.cli.options import InstancePath, Json
from optmodels.cli.output import plan_record, print_json
from optmodels.words import carbon_sentence, counts_carbon

if TYPE_CHECKING:
    from optmodels.instance import Instance


def check(
    path: InstancePath,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plan to audit against the instance.")
    ] = None,
    json: Json = False,
) -> None:
    """Validate an instance folder, or audit a saved plan against it.

    Every flaw of the folder is reported at once (exit code 2). A valid instance that cannot be
    solved is told in words.
    """
    from optmodels import api

    instance = api.load(path)
    if plan is not None:
        audited = api.check(instance, plan)
        if json:
            print_json({**plan_record(instance, audited), "valid": True})
            return
        typer.echo(f"{plan}: no limit is broken, and the claimed cost is right.")
        typer.echo(repr(audited))
        return
    reasons = api.explain(instance)
    if json:
        print_json({**_about(instance), "valid": True, **_solvable(instance, reasons)})
        return
    typer.echo(repr(instance))
    if counts_carbon(instance):
        typer.echo(f"  counts the {carbon_sentence(instance)}")
    if instance.origin:
        typer.echo(f"  origin: {instance.origin}")
    typer.echo("The folder is valid.")
    typer.echo(_verdict(instance, reasons))


def explain(path: InstancePath, json: Json = False) -> None:
    """Say in words which limits keep an instance from being solved."""
    from optmodels import api

    instance = api.load(path)
    reasons = api.explain(instance)
    if json:
        print_json({**_about(instance), **_solvable(instance, reasons)})
        return
    typer.echo(_verdict(instance, reasons))


def _about(instance: Instance) -> dict[str, object]:
    return {
        "problem": instance.problem,
        "instance": instance.name,
        "fingerprint": instance.fingerprint,
    }


def _verdict(instance: Instance, reasons: list[str]) -> str:
    if not reasons:
        return f"{instance.name} can be solved: no limits conflict."
    listed = "\n".join(f"  - {reason}" for reason in reasons)
    soft = _soft(instance)
    verdict = f"can be solved, but {soft}" if soft else "cannot be solved"
    return f"{instance.name} {verdict}:\n{listed}"


def _solvable(instance: Instance, reasons: list[str]) -> dict[str, object]:
    return {"solvable": not reasons or _soft(instance) is not None, "reasons": reasons}


def _soft(instance: Instance) -> str | None:
    from optmodels import registry

    return registry.problem(instance.problem).soft
