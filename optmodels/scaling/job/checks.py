"""What can be wrong with an elastic job although every field by itself is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from optmodels.errors import Flaw
from optmodels.schema import Place

if TYPE_CHECKING:
    from optmodels.scaling.job.instance import JobParameters


def parameter_flaws(p: JobParameters) -> list[Flaw]:
    """Bounds the wrong way round, or one without the other."""
    flaws = []
    for low, high in (
        ("carbon_lower_g_per_kwh", "carbon_upper_g_per_kwh"),
        ("work_min", "work_max"),
    ):
        lower, upper = getattr(p, low), getattr(p, high)
        if (lower is None) != (upper is None):
            given, lacking = (high, low) if lower is None else (low, high)
            flaws.append(Flaw(f"is missing beside '{given}'", field=lacking, fix="give both"))
        elif lower is not None and lower > upper:
            flaws.append(
                Flaw("is too large", field=low, value=lower, allowed=f"≤ {high} {upper:g}")
            )
    if flaws or p.work_min is None or p.work_max is None:
        if p.work_predicted is not None and p.work_min is None and not flaws:
            fix = "give work_min and work_max too, or leave the prediction out"
            flaws.append(Flaw("has no meaning for a known work", field="work_predicted", fix=fix))
        return flaws
    for name in ("work", "work_predicted"):
        value = getattr(p, name)
        if value is not None and not p.work_min <= value <= p.work_max:
            allowed = f"work_min {p.work_min:g} to work_max {p.work_max:g}"
            flaws.append(Flaw("is out of range", field=name, value=value, allowed=allowed))
    return flaws


def profile_flaws(profile: pd.DataFrame, p: JobParameters, place: Place) -> list[Flaw]:
    """Levels that no machine can have: more servers that draw less, or no work at all."""
    rows = profile.reset_index(names="position").sort_values("servers", ignore_index=True)
    flaws = [
        Flaw(
            "is less than the power of fewer servers",
            file=place.file,
            row=place.row(int(rows["position"][i])),
            field="power_kw",
            value=float(rows["power_kw"][i]),
            allowed=f"at least {rows['power_kw'][i - 1]:g} kW, the row before it",
            cause="measurement noise, or rows in the wrong order",
            fix="measure again, or leave the row out",
        )
        for i in range(1, len(rows))
        if rows["power_kw"][i] < rows["power_kw"][i - 1]
    ]
    if not (profile["throughput"] > 0).any():
        flaws.append(
            Flaw(
                "is zero in every row", file=place.file, field="throughput", allowed="> 0 somewhere"
            )
        )
    if p.rate_cap is not None and p.rate_cap > rows["servers"].max():
        allowed = f"at most {rows['servers'].max():g}, the largest of the profile"
        flaws.append(Flaw("is too large", field="rate_cap", value=p.rate_cap, allowed=allowed))
    return flaws
