"""What commands print: JSON for machines, tables that never crop a number for people."""

from __future__ import annotations

import json
import os
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
    from rich.table import Table

    from optmodels.instance import Instance
    from optmodels.plan import Plan

#: What comparisons call the oracle's row.
OPTIMUM = "optimum"
_ENDLESS = 10_000
#: Letters of what a policy was told that stay in one line of a narrow table.
_FOLDED = 19
#: Costs from which on one decimal is enough.
_LARGE = 1000.0


def print_json(content: object) -> None:
    """Print one JSON document; numbers keep every digit."""
    typer.echo(json.dumps(content, indent=2, allow_nan=False, default=_plain))


def _plain(value: Any) -> object:
    """Scalars of numpy and times as JSON knows them."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item()


def coloured() -> bool:
    """Whether stdout is a terminal that wants colours."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") != "dumb"
    )


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numeric: set[str],
    width: int | None = None,
    marked: frozenset[int] = frozenset(),
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
    width
        Largest width, to which the last column is broken into lines; by default it is not.
    marked
        Rows to set off by colour, on a terminal.
    """
    from rich.console import Console

    table = _table(columns, rows, numeric=numeric, folded=width is not None, marked=marked)
    needed = _needed(table)
    colour = coloured()
    console = Console(
        file=sys.stdout,
        width=needed if width is None else min(needed, width),
        highlight=False,
        soft_wrap=width is None,
        force_terminal=colour,
        color_system="standard" if colour else None,
    )
    console.print(table)


def _table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numeric: set[str],
    folded: bool,
    marked: frozenset[int] = frozenset(),
) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in columns:
        # A Text, because a plain head "[g]" would be taken for markup.
        table.add_column(
            Text(head),
            justify="right" if head in numeric else "left",
            no_wrap=not (folded and head == columns[-1]),
            overflow="fold",
        )
    for index, row in enumerate(rows):
        table.add_row(*(Text(cell) for cell in row), style="green" if index in marked else None)
    return table


def _needed(table: Table) -> int:
    """Columns that a table takes if nothing is broken."""
    from rich.console import Console
    from rich.measure import Measurement

    endless = Console(width=_ENDLESS)
    return Measurement.get(endless, endless.options, table).maximum


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


def comparison_table(
    records: Sequence[Mapping[str, Any]],
    unit: str,
    *,
    width: int | None = None,
    marked: frozenset[str] = frozenset(),
) -> None:
    """Print policies beside the optimum, the cheapest first.

    Parameters
    ----------
    records
        Rows of a comparison.
    unit
        Of the costs.
    width
        Largest width: facts that do not fit are left out, and numbers are as short as they read
        well; by default nothing is.
    marked
        Policies to set off by colour, on a terminal.
    """
    ordered = sorted(records, key=lambda row: float(row["total"]))
    facts = [name for name in FACTS if any(name in row for row in ordered)]
    marks = frozenset(i for i, row in enumerate(ordered) if row["policy"] in marked)
    while True:
        heads, rows = _cells(ordered, unit, facts, short=width is not None)
        numeric = set(heads[1:-1])
        table = _table(heads, rows, numeric=numeric, folded=False)
        told = max(len(row[-1]) for row in rows)
        # What a policy was told may take two lines, if that saves the last fact.
        if width is None or not facts or _needed(table) - max(0, told - _FOLDED) <= width:
            break
        facts.pop()
    print_table(heads, rows, numeric=numeric, width=width, marked=marks)


def _cells(
    records: Sequence[Mapping[str, Any]], unit: str, facts: Sequence[str], *, short: bool
) -> tuple[list[str], list[list[str]]]:
    """Heads and cells of a comparison with some of its facts."""
    # That the optimum is proven says its own line; a narrow table has no column for that alone.
    proven = not short or any(
        row["certified_ratio"] is not None and row["policy"] != OPTIMUM for row in records
    )
    limit = ["proven <="] if proven else []
    heads = [f"cost [{unit}]", "ratio", *limit, *(FACTS[name][0] for name in facts), "saving"]
    # Small costs need more digits than large ones.
    smallest = min((abs(float(row["total"])) for row in records if row["total"]), default=1.0)
    cost = ",.3f" if not short or smallest < _LARGE else ",.1f"
    ratio = ".4f" if short else ".6f"
    rows = [
        [
            str(row["policy"]),
            number(row["total"], cost),
            number(row["ratio"], ratio),
            *([number(row["certified_ratio"], ".4f")] if proven else []),
            *(number(row.get(name), FACTS[name][1]) for name in facts),
            number(row.get("saving"), ".1%" if short else ".2%"),
            str(row["granted"]) or NOTHING,
        ]
        for row in records
    ]
    return ["policy", *heads, "was told"], rows
