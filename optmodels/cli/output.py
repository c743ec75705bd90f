"""What commands print: JSON for machines, tables that never crop a number for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from optmodels.words import (
    FACTS,
    NOTHING,
    carbon_record,
    carbon_sentence,
    counts_carbon,
    number,
)

if TYPE_CHECKING:
    from optmodels.instance import Instance
    from optmodels.plan import Plan

_ENDLESS = 10_000


def print_json(content: object) -> None:
    """Print one JSON document; numbers keep every digit."""
    typer.echo(json.dumps(content, indent=2, allow_nan=False, default=_plain))


def _plain(value: Any) -> object:
    """Scalars of numpy and times as JSON knows them."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item()


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: set[str]
) -> None:
    """Print a table as wide as its content: a narrow terminal wraps lines, but loses no digit.

    Parameters
    ----------
    columns
        Heads.
    rows
        Cells as text.
    numeric
        Heads of the columns whose cells are set to the right.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in columns:
        # A Text, because a plain head "[g]" would be taken for markup.
        table.add_column(Text(head), justify="right" if head in numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    endless = Console(width=_ENDLESS)
    needed = Measurement.get(endless, endless.options, table).maximum
    console = Console(file=sys.stdout, width=needed, highlight=False, soft_wrap=True)
    console.print(table)


def plan_record(instance: Instance, plan: Plan) -> dict[str, Any]:
    """A plan in one flat record, with the carbon that it counts."""
    return {**plan.summary(), "carbon": carbon_record(instance)}


def optimum_line(instance: Instance, plan: Plan) -> str:
    """Instance, best plan and proof in one line."""
    unit = plan.cost.unit
    what = "optimum" if plan.status == "optimal" else "best plan found"
    text = f"{plan.instance} ({plan.problem}): {what} {plan.objective:,.6f} {unit}"
    if plan.bound is not None:
        text += f", proven bound {plan.bound:,.6f} {unit}, gap {plan.gap:.1g}"
    return f"{text}; counts the {carbon_sentence(instance)}" if counts_carbon(instance) else text


def comparison_table(records: Sequence[Mapping[str, Any]], unit: str) -> None:
    """Print policies beside the optimum, the cheapest first."""
    facts = {name: form for name, form in FACTS.items() if any(name in row for row in records)}
    labels = [label for label, _ in facts.values()]
    heads = [f"cost [{unit}]", "ratio", "proven <=", *labels, "saving"]
    rows = [
        [
            str(row["policy"]),
            number(row["total"], ",.3f"),
            number(row["ratio"], ".6f"),
            number(row["certified_ratio"], ".4f"),
            *(number(row.get(name), form) for name, (_, form) in facts.items()),
            number(row.get("saving"), ".2%"),
            str(row["granted"]) or NOTHING,
        ]
        for row in sorted(records, key=lambda row: float(row["total"]))
    ]
    print_table(["policy", *heads, "was told"], rows, numeric=set(heads))
