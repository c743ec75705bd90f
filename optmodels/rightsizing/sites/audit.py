"""The audit of GPUs at wind sites: the only place where their dollars, grams and kWh are computed.

A plan has two tables. ``sizes`` (site, gpus, battery_kwh) says what is installed; a site that is
not named, or has neither GPUs nor a battery, is not opened. ``dispatch`` (time, site, gpus,
charge_kw, discharge_kw, backup_kw) says hour by hour how many GPUs run at a site and where their
power comes from: what the battery and the grid do not give, the wind must. Rows that are not
there mean that nothing runs. Everything else, the state of the batteries included, is recomputed
here from the raw instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.plan import Audit, Cost, Violation
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.violations import audited, lacking, listed, numbers, positions, row_violations, slots

#: Largest tolerated error, relative to the scale of each limit.
TOLERANCE = 1e-6
SIZE_COLUMNS = ("site", "gpus", "battery_kwh")
DISPATCH_COLUMNS = ("time", "site", "gpus", "charge_kw", "discharge_kw", "backup_kw")


@dataclass(frozen=True)
class Fleet:
    """What is installed, by site.

    Attributes
    ----------
    gpus
        GPUs, shape (S,).
    battery_kwh
        Battery capacity [kWh], shape (S,).
    """

    gpus: FloatArray
    battery_kwh: FloatArray

    @property
    def open(self) -> NDArray[np.bool_]:
        """Sites with anything at all."""
        used: NDArray[np.bool_] = (self.gpus > 0) | (self.battery_kwh > 0)
        return used


@dataclass(frozen=True)
class Dispatch:
    """What runs, by slot and site; each of shape (T, S).

    Attributes
    ----------
    gpus
        Running GPUs.
    charge_kw
        Wind power into the battery.
    discharge_kw
        Power out of the battery to the GPUs.
    backup_kw
        Grid power to the GPUs.
    """

    gpus: FloatArray
    charge_kw: FloatArray
    discharge_kw: FloatArray
    backup_kw: FloatArray

    def wind_kw(self, gpu_kw: float) -> FloatArray:
        """Wind power used, by the GPUs and by the battery [kW]."""
        wind: FloatArray = self.gpus * gpu_kw - self.discharge_kw - self.backup_kw + self.charge_kw
        return wind


def audit(instance: SitesInstance, tables: Mapping[str, pd.DataFrame]) -> Audit:
    """Recompute what a plan costs and which limits it breaks.

    Parameters
    ----------
    instance
        The question.
    tables
        ``sizes`` (site, gpus, battery_kwh) and ``dispatch`` (time, site, gpus, charge_kw,
        discharge_kw, backup_kw).

    Returns
    -------
    Audit
        Cost in USD (installed, opening, battery, wind, backup, and the grid for the rest of the
        demand), with the carbon of all grid energy, GPU-hours and kWh; and the violations.
    """
    fleet, violations = read_sizes(instance, tables)
    dispatch, wrong = read_dispatch(instance, tables)
    violations += wrong + _size_violations(instance, fleet)
    violations += _slot_violations(instance, fleet, dispatch)
    return audited(cost_of(instance, fleet, dispatch), violations)


def cost_of(instance: SitesInstance, fleet: Fleet, dispatch: Dispatch) -> Cost:
    """What a fleet and its dispatch cost, sound or not."""
    step = instance.slot_hours
    w = instance.gpu_kw
    unmet = instance.demand - dispatch.gpus.sum(axis=1)
    wind_kwh = float(dispatch.wind_kw(w).sum() * step)
    backup_kwh = dispatch.backup_kw.sum(axis=1) * step
    grid_kwh = unmet * w * step
    useful = float(dispatch.gpus.sum() * step)
    return Cost(
        parts={
            "installed_usd": float(fleet.gpus.sum() * instance.installed_usd * instance.hours),
            "opening_usd": float(instance.opening_usd[fleet.open].sum()),
            "battery_usd": float(fleet.battery_kwh.sum() * instance.battery_usd),
            "wind_usd": wind_kwh / w * instance.wind_usd,
            "backup_usd": float(backup_kwh.sum()) / w * instance.backup_usd,
            "grid_usd": float(unmet.sum() * step) * instance.grid_usd,
        },
        quantities={
            "carbon_g": float((grid_kwh + backup_kwh) @ instance.carbon),
            "gpus": float(fleet.gpus.sum()),
            "battery_kwh": float(fleet.battery_kwh.sum()),
            "useful_gpu_hours": useful,
            "unmet_gpu_hours": float(unmet.sum() * step),
            "wind_kwh": wind_kwh,
            "backup_kwh": float(backup_kwh.sum()),
        },
        unit="USD",
    )


def tables_of(instance: SitesInstance, fleet: Fleet, dispatch: Dispatch) -> dict[str, pd.DataFrame]:
    """Tables of a plan; slots and sites where nothing happens are left out of the dispatch."""
    sizes = pd.DataFrame(
        {"site": list(instance.sites), "gpus": fleet.gpus, "battery_kwh": fleet.battery_kwh}
    )
    columns = {name: getattr(dispatch, name) for name in DISPATCH_COLUMNS[2:]}
    slot, site = np.nonzero(sum(np.abs(values) for values in columns.values()))
    names = np.array(instance.sites, dtype=object)
    rows = pd.DataFrame(
        {
            "time": instance.times[slot],
            "site": names[site],
            **{name: values[slot, site] for name, values in columns.items()},
        }
    )
    return {"sizes": sizes, "dispatch": rows}


def read_sizes(
    instance: SitesInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[Fleet, list[Violation]]:
    """The sound rows of the sizes, and what is wrong with the others."""
    count = len(instance.sites)
    columns = [np.zeros(count), np.zeros(count)]
    table = tables.get("sizes")
    violations = lacking(SIZE_COLUMNS, table, "sizes")
    if table is None or violations:
        return Fleet(*columns), violations
    site = positions(instance.sites, table["site"])
    names = table["site"].tolist()

    def place(row: int) -> str:
        return f"row {row + 1} ({names[row]})"

    repeated = pd.Series(site).duplicated().to_numpy() & (site >= 0)
    for position, name in enumerate(SIZE_COLUMNS[1:]):
        values = numbers(table[name])
        violations += row_violations(
            f"column '{name}' of table 'sizes'", ~np.isfinite(values), values, "a number", place
        )
        use = (site >= 0) & np.isfinite(values)
        np.add.at(columns[position], site[use], values[use])
    where = np.arange(1.0, len(table) + 1)
    violations += row_violations("site of table 'sizes'", site < 0, where, "a site", place)
    violations += row_violations("one row per site", repeated, where, "once", place)
    return Fleet(*columns), violations


def read_dispatch(
    instance: SitesInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[Dispatch, list[Violation]]:
    """The sound rows of the dispatch, and what is wrong with the others."""
    shape = (instance.slots, len(instance.sites))
    columns = [np.zeros(shape) for _ in DISPATCH_COLUMNS[2:]]
    table = tables.get("dispatch")
    violations = lacking(DISPATCH_COLUMNS, table, "dispatch")
    if table is None or violations:
        return Dispatch(*columns), violations
    slot, _ = slots(instance.times, table["time"])
    site = positions(instance.sites, table["site"])
    where = np.arange(1.0, len(table) + 1)
    known = (slot >= 0) & (site >= 0)
    code = np.where(known, slot * shape[1] + site, -1 - np.arange(len(table)))
    repeated = pd.Series(code).duplicated().to_numpy()
    span = f"{instance.times[0].isoformat()} to {instance.times[-1].isoformat()}, slot by slot"
    for limit, broken, allowed in (
        ("time of table 'dispatch'", slot < 0, span),
        ("site of table 'dispatch'", site < 0, "a site"),
        ("one row per slot and site", repeated, "once"),
    ):
        violations += row_violations(limit, broken, where, allowed)
    for position, name in enumerate(DISPATCH_COLUMNS[2:]):
        values = numbers(table[name])
        wrong = ~np.isfinite(values)
        limit = f"column '{name}' of table 'dispatch'"
        violations += row_violations(limit, wrong, values, "a number")
        use = known & ~wrong
        np.add.at(columns[position], (slot[use], site[use]), values[use])
    return Dispatch(*columns), violations


def _size_violations(instance: SitesInstance, fleet: Fleet) -> list[Violation]:
    """Sizes below zero, above what a site holds, off the modules, or of sites too far away."""
    violations = []
    module = instance.parameters.module_gpus
    limits = (
        ("GPUs of a site", fleet.gpus, instance.most_gpus, instance.nameplate_kw / instance.gpu_kw),
        (
            "battery of a site",
            fleet.battery_kwh,
            instance.battery_max_kwh,
            instance.battery_max_kwh,
        ),
    )
    for s, name in enumerate(instance.sites):
        for limit, given, most, scale in limits:
            slack = TOLERANCE * max(float(scale[s]), 1.0)
            if not -slack <= given[s] <= most[s] + slack:
                words = f"0 to {most[s]:.12g}"
                if not instance.eligible[s]:
                    words = f"0: its round trip exceeds {instance.parameters.rtt_limit_ms:g} ms"
                violations.append(Violation(limit, name, float(given[s]), words))
        if module is not None:
            off = abs(fleet.gpus[s] / module - round(fleet.gpus[s] / module))
            if off > TOLERANCE:
                words = f"a multiple of {module} GPUs"
                violations.append(Violation("whole modules", name, float(fleet.gpus[s]), words))
    return violations


def _slot_violations(instance: SitesInstance, fleet: Fleet, dispatch: Dispatch) -> list[Violation]:
    """Slots in which more runs, flows or is served than there is."""
    p, w, step = instance.parameters, instance.gpu_kw, instance.slot_hours
    nameplate = instance.nameplate_kw
    wind = dispatch.wind_kw(w)
    direct = wind - dispatch.charge_kw
    rate = fleet.battery_kwh / p.battery_hours
    stored = step * np.cumsum(
        p.battery_efficiency * dispatch.charge_kw - dispatch.discharge_kw, axis=0
    )
    # Rounding of each slot adds up in a battery: its scale is the energy that went through it.
    moved = np.maximum(dispatch.discharge_kw.sum(axis=0) * step, fleet.battery_kwh)
    found: list[Violation] = []
    for limit, values, low, high, scale in (
        ("running GPUs", dispatch.gpus, 0.0, fleet.gpus, nameplate / w),
        ("wind to the GPUs [kW]", direct, 0.0, np.inf, nameplate),
        ("wind power used [kW]", wind, -np.inf, instance.power_kw, nameplate),
        ("charging power [kW]", dispatch.charge_kw, 0.0, rate, nameplate),
        ("discharging power [kW]", dispatch.discharge_kw, 0.0, rate, nameplate),
        ("energy in the battery [kWh]", stored, 0.0, fleet.battery_kwh, moved),
        ("grid power of a site [kW]", dispatch.backup_kw, 0.0, instance.backup_kw, nameplate),
    ):
        most = np.broadcast_to(np.asarray(high, dtype=np.float64), values.shape)
        slack = TOLERANCE * np.maximum(scale, 1.0)
        broken = ~((values >= low - slack) & (values <= most + slack))
        for t, s in listed(broken):
            place = f"{instance.times[t].isoformat()}, {instance.sites[s]}"
            words = f"{low:.9g} to {most[t, s]:.9g}"
            found.append(Violation(limit, place, float(values[t, s]), words))
    served = dispatch.gpus.sum(axis=1)
    slack = TOLERANCE * max(float(instance.demand.max()), 1.0)
    found += [
        Violation(
            "GPUs serving demand",
            instance.times[t].isoformat(),
            float(served[t]),
            f"at most the demand of {instance.demand[t]:.9g}",
        )
        for t in listed(served > instance.demand + slack)
    ]
    total = float(instance.demand.sum()) * step
    unmet = total - float(served.sum()) * step
    if unmet > instance.unmet_most + TOLERANCE * total:
        words = f"at most {p.unmet_share_max:.6g} of the demand"
        found.append(Violation("share of the demand left to the grid", "", unmet / total, words))
    return found
