"""What commands print: JSON for machines, tables that never crop a number for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from optmodels.instance import Instance
    from optmodels.plan import Plan

NOTHING = "-"
_ENDLESS = 10_000
#: Facts that a table for people shows, with their heads and formats.
_FACTS = {
    "switches": ("switches", "g"),
    "mean_delay_h": ("delay [h]", ".2f"),
    "late_share": ("late jobs", ".1%"),
    "sites": ("sites", "d"),
    "gpus": ("GPUs", ",.0f"),
    "utilisation": ("in use", ".1%"),
    "unmet_share": ("on the grid", ".1%"),
    "out_of_sample": ("out of sample", "d"),
    "rdma_share": ("by RDMA", ".1%"),
    "latency_ms": ("latency [ms]", ",.2f"),
    "kept": ("hosted in time", ".0f"),
    "simulated_kept": ("the same, simulated", "d"),
    "goodput_per_s": ("goodput [1/s]", ",.2f"),
    "attainment": ("in time", ".2%"),
    "reloads": ("reloads", ",d"),
    "spilled_share": ("wind spilled", ".1%"),
}


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


def number(value: object, form: str) -> str:
    """A number in a format, a dash for what is not known."""
    if value is None or value != value:  # noqa: PLR0124 - NaN is the only value unlike itself
        return NOTHING
    text = format(value, form)
    # Rounding may leave a sign on nothing.
    return text if any(digit in text for digit in "123456789") else text.lstrip("-")


def counts_carbon(instance: Instance) -> bool:
    """Whether instances of its kind say which carbon intensity they count."""
    return "quantity" in type(instance.parameters).model_fields


def carbon_record(instance: Instance) -> dict[str, str | None]:
    """Which carbon intensity an instance counts, and where."""
    given = instance.parameters
    return {
        "quantity": getattr(given, "quantity", None),
        "zone": getattr(given, "zone", None),
    }


def carbon_sentence(instance: Instance) -> str:
    """The same in words; what is not said is said to be unknown."""
    record = carbon_record(instance)
    quantity = record["quantity"] or "unspecified"
    kind = {
        "direct": "direct carbon intensity (at the plants)",
        "lifecycle": "lifecycle carbon intensity (with fuel supply and construction)",
        "marginal": "marginal carbon intensity (of the plants that answer a change of load)",
    }.get(quantity, "carbon intensity of an unspecified kind (direct or lifecycle is not said)")
    zone = record["zone"]
    return f"{kind} of zone {zone}" if zone else kind


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
    facts = {name: form for name, form in _FACTS.items() if any(name in row for row in records)}
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
