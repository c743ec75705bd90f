"""Figures for an analyst: one call, one frame each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from optmodels.errors import UsageError
from optmodels.plan import Plan
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.audit import Dispatch, Fleet, read_dispatch, read_sizes
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.sizing import break_even_size, newsvendor_size, utilisation

#: Percentiles of the fleet's utilisation that are reported.
PERCENTILES = (5, 1)

_ROUNDING = 1e-9


def decisions_of(instance: SitesInstance, plan: Plan) -> tuple[Fleet, Dispatch]:
    """Fleet and dispatch of a plan as arrays.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    if plan.fingerprint != instance.fingerprint:
        raise UsageError(
            f"The plan belongs to '{plan.instance}', not to '{instance.name}' as it is."
        )
    return read_sizes(instance, plan.tables)[0], read_dispatch(instance, plan.tables)[0]


def site_figures(instance: SitesInstance, plan: Plan) -> pd.DataFrame:
    """Each site of a plan: its size, how well it is used, what its useful GPU-hours cost.

    Returns
    -------
    pandas.DataFrame
        ``site``, ``gpus``, ``battery_kwh``, ``nameplate_share``, ``powered_share`` (of the
        installed GPU-hours, by wind alone), ``utilisation`` (of the installed GPU-hours, as run),
        ``usd_per_gpu_hour`` (all costs of the site over its useful GPU-hours, NaN without any),
        ``grid_usd_per_gpu_hour`` and ``saving_usd`` against serving the same on the grid.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    fleet, flows = decisions_of(instance, plan)
    w, step = instance.gpu_kw, instance.slot_hours
    useful = flows.gpus.sum(axis=0) * step
    installed = fleet.gpus * instance.hours
    powered = np.minimum(instance.power_kw / w, fleet.gpus).sum(axis=0) * step
    cost = (
        installed * instance.installed_usd
        + instance.opening_usd * fleet.open
        + fleet.battery_kwh * instance.battery_usd
        + flows.wind_kw(w).sum(axis=0) * step / w * instance.wind_usd
        + flows.backup_kw.sum(axis=0) * step / w * instance.backup_usd
    )
    return pd.DataFrame(
        {
            "site": list(instance.sites),
            "gpus": fleet.gpus,
            "battery_kwh": fleet.battery_kwh,
            "nameplate_share": fleet.gpus * w / instance.nameplate_kw,
            "powered_share": _over(powered, installed),
            "utilisation": _over(useful, installed),
            "usd_per_gpu_hour": _over(cost, useful),
            "grid_usd_per_gpu_hour": instance.grid_usd,
            "saving_usd": useful * instance.grid_usd - cost,
        }
    )


def fleet_figures(instance: SitesInstance, plan: Plan) -> pd.DataFrame:
    """How much of the fleet has wind: mean, percentiles, and how often all of it has.

    Returns
    -------
    pandas.DataFrame
        ``quantity`` and ``value``: the mean over the slots of the share of installed GPUs that
        the wind can feed, its 5th and 1st percentile, the share of slots in which every site is
        full, and the share of the demand that the fleet serves. Shares of an empty fleet are NaN.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    fleet, flows = decisions_of(instance, plan)
    powered = powered_shares(instance, fleet)
    fed = instance.power_kw / instance.gpu_kw >= fleet.gpus * (1 - _ROUNDING)
    rows = {"mean powered share": float(powered.mean())}
    for percent in PERCENTILES:
        rows[f"P{percent} powered share"] = float(np.percentile(powered, percent))
    empty = not fleet.gpus.any()
    rows["slots with all sites full"] = float("nan") if empty else float(fed.all(axis=1).mean())
    rows["demand served"] = float(flows.gpus.sum() / instance.demand.sum())
    return pd.DataFrame({"quantity": list(rows), "value": list(rows.values())})


def powered_shares(instance: SitesInstance, fleet: Fleet) -> FloatArray:
    """Share of the installed GPUs that the wind can feed in each slot, shape (T,)."""
    fed = np.minimum(instance.power_kw / instance.gpu_kw, fleet.gpus).sum(axis=1)
    return _over(fed, np.full(instance.slots, fleet.gpus.sum()))


def utilisation_curves(instance: SitesInstance, *, points: int = 50) -> pd.DataFrame:
    """Utilisation of each site against its size, and what a useful GPU-hour then costs.

    Parameters
    ----------
    instance
        The question.
    points
        Sizes per site, evenly up to the largest.

    Returns
    -------
    pandas.DataFrame
        ``site``, ``gpus``, ``utilisation``, ``usd_per_gpu_hour``, ``cheaper_than_grid``.

    Raises
    ------
    UsageError
        Fewer than two points.
    """
    if points < 2:
        raise UsageError(f"{points} points were asked for; allowed: 2 or more.")
    frames = []
    for s, name in enumerate(instance.sites):
        fed = instance.power_kw[:, s] / instance.gpu_kw
        sizes = np.linspace(0, instance.most_gpus[s], points + 1)[1:]
        used = np.array([utilisation(fed, float(n)) for n in sizes])
        cost = _over(np.full(points, instance.installed_usd), used) + instance.wind_usd
        frames.append(
            pd.DataFrame(
                {
                    "site": name,
                    "gpus": sizes,
                    "utilisation": used,
                    "usd_per_gpu_hour": cost,
                    "cheaper_than_grid": cost <= instance.grid_usd * (1 + _ROUNDING),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def threshold_sensitivity(
    instance: SitesInstance, thresholds: Iterable[float] = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
) -> pd.DataFrame:
    """Size of the whole fleet against the utilisation that is asked of every site.

    Parameters
    ----------
    instance
        The question; its sites, series and limits count, its prices do not.
    thresholds
        Utilisations, each above 0.

    Returns
    -------
    pandas.DataFrame
        ``threshold``; ``break_even_gpus`` and ``newsvendor_gpus`` of all sites together, and
        their shares of all nameplates.

    Raises
    ------
    UsageError
        A threshold is not above 0.
    """
    rows = []
    nameplate = instance.nameplate_kw[instance.eligible].sum() / instance.gpu_kw
    for threshold in thresholds:
        if not threshold > 0:
            raise UsageError(f"A threshold is {threshold}; allowed: a number above 0.")
        row = {"threshold": float(threshold)}
        for label, size in (("break_even", break_even_size), ("newsvendor", newsvendor_size)):
            each = np.array([size(fed, threshold) for fed in instance.power_kw.T / instance.gpu_kw])
            total = float(instance.whole_modules(np.minimum(each, instance.most_gpus)).sum())
            row[f"{label}_gpus"] = total
            row[f"{label}_share"] = total / nameplate if nameplate > 0 else float("nan")
        rows.append(row)
    return pd.DataFrame(rows)


def _over(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Quotients, NaN where there is nothing to divide by."""
    empty = np.full(np.shape(whole), np.nan)
    quotient: FloatArray = np.divide(part, whole, out=empty, where=np.asarray(whole) > 0)
    return quotient
