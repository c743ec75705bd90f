"""``optmodels plot`` and ``optmodels report``: a plan as a picture, results as a web page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optmodels.cli.options import Forecast, InstancePath, Json, Policies, Seed, names
from optmodels.cli.output import print_json
from optmodels.errors import UsageError

if TYPE_CHECKING:
    from optmodels.comparison import Comparison
    from optmodels.instance import Instance
    from optmodels.plan import Plan
    from optmodels.studies import Study


def plot(
    path: InstancePath,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Picture to make: .png, .svg or .pdf.")],
    policy: Annotated[
        str, typer.Option(metavar="NAME", help="Policy whose plan is drawn; see `optmodels list`.")
    ] = "optimum",
    kind: Annotated[
        str | None, typer.Option(help="Chart of the problem; by default its usual one.")
    ] = None,
    forecast: Forecast = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Draw the optimal plan of an instance, or that of a policy."""
    from optmodels import api, registry
    from optmodels.canvas import DRAWINGS, save_figure

    if out.suffix not in DRAWINGS:
        raise UsageError(
            f"A picture cannot be saved as {out.name!r}; allowed endings: {', '.join(DRAWINGS)}."
        )
    instance = api.load(path)
    charts = registry.problem(instance.problem).charts
    # Names are checked before a solver runs for minutes.
    if kind is not None and kind not in charts:
        raise UsageError.unknown("chart", kind, charts)
    plan = _plan(instance, policy, forecast, seed)
    shown = next(iter(charts)) if kind is None else kind
    save_figure(plan.plot(shown), out)
    if json:
        print_json(
            {
                "problem": plan.problem,
                "instance": plan.instance,
                "fingerprint": plan.fingerprint,
                "policy": plan.maker,
                "kind": shown,
                "kinds": list(charts),
                "objective": plan.objective,
                "file": str(out),
                "bytes": out.stat().st_size,
            }
        )
        return
    typer.echo(f"The plan of '{plan.maker}' for {plan.instance}, drawn as '{shown}': {out}")
    others = [name for name in charts if name != shown]
    if others:
        typer.echo(f"Other charts (--kind): {', '.join(others)}")


def _plan(instance: Instance, name: str, forecast: str | None, seed: int) -> Plan:
    from optmodels import api, registry
    from optmodels.comparison import OPTIMUM, forecast_of, run

    problem = registry.problem(instance.problem)
    if name == OPTIMUM:
        return api.solve(instance)
    if name not in problem.policies:
        raise UsageError.unknown("policy", name, (OPTIMUM, *problem.policies))
    told, _ = forecast_of(problem, instance, forecast, seed)
    return run(instance, problem.policy(name, seed), forecast=told, seed=seed)


def report(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Instance folder, or the store of a study.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Page to write, ending in .html.")
    ] = Path("report.html"),
    policies: Policies = None,
    forecast: Forecast = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Write a report that opens in any browser: proof, costs, policies, pictures.

    Of an instance folder, policies are compared as by `optmodels compare`. Of the store of a study
    (`--store` of compare, gaps and curve) everything in it is summed up.
    """
    chosen = names(policies, "--policies")
    from optmodels import reports
    from optmodels.studies.store import is_store

    reports.check_target(out)
    found: Study | Comparison
    if is_store(path):
        given = {"--policies": policies, "--forecast": forecast, "--seed": seed or None}
        foreign = [flag for flag, value in given.items() if value is not None]
        if foreign:
            raise UsageError(
                f"{', '.join(foreign)}: a store has its results already. Fix: leave that out."
            )
        from optmodels.studies.stored import stored_study

        found = stored_study(path)
        about: dict[str, object] = {"problems": found.problems, "rows": len(found.frame)}
        told = f"Report on {len(found.frame)} cells of the store"
    else:
        from optmodels import api, comparison

        instance = api.load(path)
        found = comparison.compare(instance, chosen, forecast=forecast, seed=seed)
        about = {"problems": [instance.problem], "rows": len(found.frame)}
        about |= {"instance": instance.name, "fingerprint": instance.fingerprint}
        told = f"Report on {instance.name} with {len(found.plans)} policies"
    reports.report(found, out)
    if json:
        print_json({**about, "file": str(out), "bytes": out.stat().st_size})
        return
    typer.echo(f"{told}: {out}. Open it in any browser.")
