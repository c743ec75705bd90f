"""The application: its commands, gathered."""

from __future__ import annotations

from typing import Annotated

import typer

from optmodels.cli import (
    attacking,
    judging,
    listing,
    losing,
    making,
    showing,
    solving,
    starting,
    touring,
    trading,
)
from optmodels.cli.running import debugging, guarded

app = typer.Typer(
    name="optmodels",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain help needs no rich, so it is fast, and it never crops.
    rich_markup_mode=None,
)


def example(*lines: str) -> str:
    """Lines for the end of a help text; the backspace keeps them as they are."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"optmodels {version('optmodels')}")
        raise typer.Exit


@app.callback(epilog=example("optmodels tour", "optmodels solve instances/scaling/job/caiso-48h"))
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Plan green computing: proven optima, and online policies measured against them.

    Exit codes: 0 done, 1 a fault of optmodels or the solver, 2 bad usage or input, 3 infeasible,
    4 no solution within the limit, 130 interrupted.
    """
    debugging.set(debug)


_FOLDER = "instances/scaling/job/caiso-48h"
for command, name, lines in (
    (touring.tour, "tour", ("optmodels tour", "optmodels tour --json")),
    (listing.list_problems, "list", ("optmodels list", "optmodels list --json")),
    (
        starting.new,
        "new",
        (
            "optmodels new",
            "optmodels new scaling.job mine --data carbon.csv --hours 48 --work 12",
            "optmodels new rightsizing.sites wind --data power.csv --unit MW --tz UTC",
            "optmodels new placement.edge edge --example",
        ),
    ),
    (
        solving.solve,
        "solve",
        (
            f"optmodels solve {_FOLDER}",
            f"optmodels solve {_FOLDER} --method lp --option solver=ipm --json",
        ),
    ),
    (
        solving.compare,
        "compare",
        (
            f"optmodels compare {_FOLDER}",
            f"optmodels compare {_FOLDER} --policies run-now,lacs --forecast noise:0.2 --json",
        ),
    ),
    (
        showing.plot,
        "plot",
        (
            f"optmodels plot {_FOLDER} --out plan.png",
            f"optmodels plot {_FOLDER} --policy lacs --kind costs --out costs.svg",
        ),
    ),
    (
        showing.report,
        "report",
        (
            f"optmodels report {_FOLDER} --out report.html",
            f"optmodels compare {_FOLDER} --store runs && optmodels report runs --out study.html",
        ),
    ),
    (
        judging.check,
        "check",
        (f"optmodels check {_FOLDER}", f"optmodels check {_FOLDER} --plan plan.json"),
    ),
    (
        trading.frontier,
        "frontier",
        (
            "optmodels frontier instances/scaling/job/elastic-profile-72h",
            f"optmodels frontier {_FOLDER} --objectives switching_g,execution_g --out front.png",
        ),
    ),
    (
        attacking.adversary,
        "adversary",
        (
            "optmodels adversary scaling.job roro --measure published-excess --out worst",
            "optmodels adversary scaling.job lacs --evaluations 500 --seed 3 --json",
        ),
    ),
    (
        losing.gaps,
        "gaps",
        (f"optmodels gaps {_FOLDER} --policies lacs,carbonscaler --forecast noise:0.3",),
    ),
    (
        losing.curve,
        "curve",
        (f"optmodels curve {_FOLDER} --policies ro-advice,clip --out curve.png",),
    ),
    (judging.explain, "explain", (f"optmodels explain {_FOLDER}",)),
    (
        making.generate,
        "generate",
        (
            "optmodels generate scaling.job my-job --seed 1 --size hours=72 --size work=20",
            "optmodels generate scaling.job my-job --carbon US-CAL-CISO_2022_hourly.csv.gz \\",
            "    --format electricity-maps --start 2022-06-01T00:00Z --hours 96 --work 12 \\",
            "    --switching 20",
            "optmodels generate scaling.cluster week --carbon US-CAL-CISO_2022_hourly.csv.gz \\",
            "    --format electricity-maps --start 2022-06-15T00:00Z --hours 168 \\",
            "    --jobs azure-100k.csv.gz --past-hours 336 --capacity 150",
        ),
    ),
    (making.export, "export", (f"optmodels export {_FOLDER} caiso.mps",)),
):
    app.command(name, epilog=example(*lines))(guarded(command))
