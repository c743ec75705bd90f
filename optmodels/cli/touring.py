"""``optmodels tour``: every problem once, solved to proven optimality, policies beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optmodels.cli.options import Json, Seed
from optmodels.cli.output import comparison_table, optimum_line, plan_record, print_json

if TYPE_CHECKING:
    from optmodels.comparison import Comparison
    from optmodels.instance import Instance

#: The bundled instance that shows each problem, below the folder of the instances.
SHOWN = {
    "scaling.job": "scaling/job/unknown-length-96h",
    "scaling.cluster": "scaling/cluster/two-days-12-servers",
    "rightsizing.sites": "rightsizing/sites/four-sites-28d",
    "routing.sites": "routing/sites/four-sites-4h",
    "routing.pipeline": "routing/pipeline/five-services-9-hosts",
    "placement.edge": "placement/edge/eight-sites-60-apps",
    "placement.accelerators": "placement/accelerators/four-nodes-20-apps",
    "ensembles.selection": "ensembles/selection/two-apps-4-servers",
    "ensembles.failover": "ensembles/failover/five-sites-16-apps",
}


def bundled() -> Path:
    """Folder of the bundled instances, in an installed package or beside a source checkout.

    Raises
    ------
    UsageError
        There is neither.
    """
    from optmodels.errors import UsageError

    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_instances", package.parent / "instances"):
        if folder.is_dir():
            return folder
    raise UsageError(
        "The bundled instances are missing from this installation. Fix: install optmodels from a "
        "wheel or run it from a checkout."
    )


def tour(
    json: Json = False,
    seed: Seed = 0,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save all rows as CSV, all or nothing.")
    ] = None,
) -> None:
    """Solve one bundled instance of each problem and show policies against the optimum."""
    import pandas as pd

    from optmodels import api, registry
    from optmodels.comparison import compare

    home = bundled()
    stops: list[tuple[Instance, Comparison]] = []
    for problem in registry.problems():
        instance = api.load(home / SHOWN[problem])
        stops.append((instance, compare(instance, seed=seed)))
    if csv is not None:
        from optmodels.atomic import write_text_atomically

        frame = pd.concat([comparison.frame for _, comparison in stops], ignore_index=True)
        write_text_atomically(csv, frame.to_csv(index=False, lineterminator="\n"))
    if json:
        print_json([_record(instance, comparison) for instance, comparison in stops])
        return
    for instance, comparison in stops:
        typer.echo(registry.problem(instance.problem).title)
        typer.echo(optimum_line(instance, comparison.optimum))
        typer.echo("")
        comparison_table(comparison.records(), comparison.unit)
        typer.echo("")
        typer.echo(_saving(comparison))
        typer.echo("")
    typer.echo(f"The instances are in {home}; read on with `optmodels list` and `--help`.")


def _saving(comparison: Comparison) -> str:
    """What the best plan saves, in a sentence that claims no more than is proven."""
    oracle, baseline = comparison.optimum, comparison.plans[comparison.baseline].objective
    # Where nothing is proven optimal a policy may beat the oracle's plan.
    best = min(float(row["total"]) for row in comparison.records())
    less = f"costs {1 - best / baseline:.1%} less than '{comparison.baseline}'"
    if oracle.status == "optimal" or oracle.bound is None:
        return f"The optimum {less}, against which the savings are counted."
    most = f"no plan can save more than {1 - oracle.bound / baseline:.1%}"
    return f"The best plan {less}, against which the savings are counted; {most}."


def _record(instance: Instance, comparison: Comparison) -> dict[str, Any]:
    return {
        **plan_record(instance, comparison.optimum),
        "baseline": comparison.baseline,
        "rows": comparison.records(),
        "skipped": dict(comparison.skipped),
    }
