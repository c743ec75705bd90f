"""The command: hedge over weeks of an instance folder, on as many ranks as there are."""

from __future__ import annotations

import functools
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from optmodels.errors import OptmodelsError
from optmodels.rightsizing.sites.hedging.iteration import progressive_hedging
from optmodels.rightsizing.sites.hedging.ranks import end_others, own_rank
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.risk import Risk
from optmodels.rightsizing.sites.scenarios import with_forecast_errors
from optmodels.rightsizing.sites.stochastic import sampled_weeks

_LOG = logging.getLogger(__name__)


def run(
    path: Annotated[Path, typer.Argument(help="Folder of the instance.")],
    weeks: Annotated[int, typer.Option(help="Weeks drawn from the series.")] = 20,
    errors: Annotated[int, typer.Option(help="Courses of each week, by forecast errors.")] = 1,
    spread: Annotated[float, typer.Option(help="Spread of the errors (logarithm).")] = 0.2,
    persistence: Annotated[float, typer.Option(help="Their correlation hour to hour.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the draw and of the errors.")] = 0,
    risk_weight: Annotated[float, typer.Option(help="Share of the objective on CVaR.")] = 0.0,
    risk_level: Annotated[float, typer.Option(help="Probability outside its tail.")] = 0.9,
    bundle: Annotated[int, typer.Option(help="Scenarios of a subproblem.")] = 1,
    gap: Annotated[float, typer.Option(help="Share of the cost at which to stop.")] = 1e-3,
    iterations: Annotated[int, typer.Option(help="Most iterations.")] = 200,
    time_limit: Annotated[float | None, typer.Option(help="Seconds; none by default.")] = None,
    strength: Annotated[float, typer.Option(help="Strength of the pull.")] = 0.3,
) -> dict[str, Any]:
    """Hedge over weeks of an instance folder with forecast errors; what the command prints.

    Parameters
    ----------
    path
        Folder of the instance.
    weeks, seed
        Weeks that are drawn, and the seed of the draw and of the errors.
    errors, spread, persistence
        Courses made of each week, as in `with_forecast_errors`; no errors for one course.
    risk_weight, risk_level
        As in `Risk`.
    bundle, gap, iterations, time_limit, strength
        As in `progressive_hedging`.
    """
    instance = SitesInstance.load(path)
    scenarios = sampled_weeks(instance, weeks, seed=seed)
    if errors > 1:
        scenarios = with_forecast_errors(
            instance, scenarios, errors, spread=spread, persistence=persistence, seed=seed
        )
    found = progressive_hedging(
        instance,
        scenarios,
        risk=Risk(risk_weight, risk_level),
        bundle=bundle,
        gap=gap,
        iterations=iterations,
        time_limit_s=time_limit,
        strength=strength,
    )
    return {
        "problem": instance.problem,
        "instance": instance.name,
        "fingerprint": instance.fingerprint,
        "scenarios": len(scenarios),
        "bundle": bundle,
        "ranks": found.ranks,
        "risk": {"weight": risk_weight, "level": risk_level},
        "cost_usd": found.cost,
        "bound_usd": found.bound,
        "gap": found.gap,
        "mean_usd": float(np.mean(found.scenario_costs)),
        "dearest_usd": float(found.scenario_costs.max()),
        "iterations": found.iterations,
        "seconds": found.seconds,
        "fleet": [
            {"site": site, "gpus": float(n), "battery_kwh": float(b)}
            for site, n, b in zip(
                instance.sites, found.fleet.gpus, found.fleet.battery_kwh, strict=True
            )
        ],
    }


@functools.wraps(run)
def command(*args: Any, **kwargs: Any) -> None:
    """Print what `run` finds as JSON, by the first rank; end all ranks on any error."""
    try:
        found = run(*args, **kwargs)
    except Exception as error:
        if not isinstance(error, OptmodelsError):
            _LOG.exception("Hedging failed.")
        code = error.exit_code if isinstance(error, OptmodelsError) else 1
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        end_others(code)
        raise typer.Exit(code) from None
    if own_rank() == 0:
        typer.echo(json.dumps(found, indent=2, allow_nan=False))


def main() -> None:
    """Run as a command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help="Size GPUs at wind sites for many scenarios.")(command)
    app()


if __name__ == "__main__":
    main()
