"""Words for people: heads and forms of facts, numbers to read, and which carbon is counted.

Terminal and reports show quantities through one door, so that they are called the same everywhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optmodels.instance import Instance

NOTHING = "-"

#: Facts of comparisons that tables for people show first, with their heads and forms.
FACTS = {
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

_FEWEST_DIGITS = 4
#: Relative distance of a whole number to what rounding made of it.
_ROUNDING = 1e-12


def form_of(name: str) -> str:
    """How numbers of a column are written."""
    if name in FACTS:
        return FACTS[name][1].replace("d", ".0f")
    if name == "saving" or name.endswith("_share"):
        return ".2%"
    if name in ("ratio", "certified_ratio", "mean", "low", "high", "p95", "worst"):
        return ".4f"
    return ""


def number(value: object, form: str) -> str:
    """A number in a form, a dash for what is not known."""
    if value is None or value != value:  # noqa: PLR0124 - NaN is the only value unlike itself
        return NOTHING
    text = format(value, form)
    # Rounding may leave a sign on nothing.
    return text if any(digit in text for digit in "123456789") else text.lstrip("-")


def quantity(value: float | None, name: str = "") -> str:
    """A number for reading, with as many digits as it takes to see it."""
    form = form_of(name)
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if form:
        return number(value, form)
    if abs(value - round(value)) <= _ROUNDING * abs(value):
        return f"{value:,.0f}"
    size = math.floor(math.log10(abs(value))) + 1
    if not -_FEWEST_DIGITS < size <= 15:
        return f"{value:.{_FEWEST_DIGITS}g}"
    return f"{value:,.{max(_FEWEST_DIGITS - size, 2)}f}"


def counts_carbon(instance: Instance) -> bool:
    """Whether instances of its kind say which carbon intensity they count."""
    return "quantity" in type(instance.parameters).model_fields


def carbon_record(instance: Instance) -> dict[str, str | None]:
    """Which carbon intensity an instance counts, and where."""
    given: Any = instance.parameters
    return {
        "quantity": getattr(given, "quantity", None),
        "zone": getattr(given, "zone", None),
    }


def carbon_sentence(instance: Instance) -> str:
    """The same in words; what is not said is said to be unknown."""
    record = carbon_record(instance)
    named = record["quantity"] or "unspecified"
    kind = {
        "direct": "direct carbon intensity (at the plants)",
        "lifecycle": "lifecycle carbon intensity (with fuel supply and construction)",
        "marginal": "marginal carbon intensity (of the plants that answer a change of load)",
    }.get(named, "carbon intensity of an unspecified kind (direct or lifecycle is not said)")
    zone = record["zone"]
    return f"{kind} of zone {zone}" if zone else kind
