"""``optmodels tour``: every problem once, solved to proven optimality, policies beside it."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optmodels.cli.options import Json, Seed
from optmodels.cli.output import OPTIMUM, coloured, comparison_table, plan_record, print_json
from optmodels.words import carbon_sentence, counts_carbon

if TYPE_CHECKING:
    from optmodels.comparison import Comparison
    from optmodels.instance import Instance

#: Policies beside the optimum in a table, columns of the widest line, and of the narrowest table.
_MOST_POLICIES = 8
_WIDTH = 100
_NARROWEST = 80
_BAR = "solving {n_fmt} of {total_fmt} |{bar}| {elapsed}{postfix}"

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
    from tqdm.auto import tqdm

    from optmodels import api, registry
    from optmodels.comparison import compare

    home = bundled()
    stops: list[tuple[Instance, Comparison]] = []
    names = registry.problems()
    # Progress is for eyes: on stderr, and only where that is a terminal.
    with tqdm(names, disable=None, leave=False, bar_format=_BAR, ncols=_WIDTH) as bar:
        for problem in bar:
            bar.set_postfix_str(problem)
            instance = api.load(home / SHOWN[problem])
            stops.append((instance, compare(instance, seed=seed)))
    if csv is not None:
        from optmodels.atomic import write_text_atomically
        from optmodels.csv_text import csv_text

        frame = pd.concat([comparison.frame for _, comparison in stops], ignore_index=True)
        write_text_atomically(csv, csv_text(frame))
    if json:
        print_json([_record(instance, comparison) for instance, comparison in stops])
        return
    for instance, comparison in stops:
        _show(instance, comparison, home)
    _wrapped(
        "Next: `optmodels new` starts from your own data; `optmodels report PATH` makes a page of "
        f"any of these, which are in {_short(home)}."
    )


def _show(instance: Instance, comparison: Comparison, home: Path) -> None:
    """One problem: its question, the proof, and the best policies beside the baseline."""
    from optmodels import registry

    problem = registry.problem(instance.problem)
    typer.secho(f"{problem.title} ({problem.name})", bold=True, color=coloured())
    plan, unit = comparison.optimum, comparison.unit
    what = "optimum" if plan.status == "optimal" else "best plan found"
    # Small costs need more digits than large ones.
    form = ",.3f" if plan.objective >= 1 else ",.6f"
    proof = f"{what} {plan.objective:{form}} {unit}"
    if plan.bound is not None:
        proof += f", proven bound {plan.bound:{form}} {unit}, gap {plan.gap:.1g}"
    _wrapped(f"{instance.name}: {proof}")
    if counts_carbon(instance):
        _wrapped(f"counts the {carbon_sentence(instance)}")
    typer.echo("")
    records = sorted(comparison.records(), key=lambda row: float(row["total"]))
    shown = _few(records, comparison.baseline)
    width = min(_WIDTH, max(_NARROWEST, shutil.get_terminal_size((_WIDTH, 24)).columns))
    comparison_table(shown, unit, width=width, marked=frozenset({OPTIMUM}))
    hidden = len(records) - len(shown)
    if hidden:
        typer.echo(f"and {hidden} more: optmodels compare {_short(home / SHOWN[instance.problem])}")
    typer.echo("")
    _wrapped(_saving(comparison))
    typer.echo("")


def _few(records: list[dict[str, Any]], baseline: str) -> list[dict[str, Any]]:
    """The optimum, the best policies, and the baseline, without which savings mean nothing."""
    if len(records) <= _MOST_POLICIES + 1:
        return records
    kept = [row for row in records if row["policy"] in (OPTIMUM, baseline)]
    others = [row for row in records if row not in kept]
    return [*kept, *others[: _MOST_POLICIES + 1 - len(kept)]]


def _short(path: Path) -> str:
    """A path as short as it can be written from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _wrapped(words: str) -> None:
    for line in textwrap.wrap(words, _WIDTH, break_long_words=False, break_on_hyphens=False):
        typer.echo(line)


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
