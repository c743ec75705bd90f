"""Scenarios in their hundreds, and what a fleet costs in each of them.

A scenario is one course of wind and demand. They come from three sources, which combine:

- **years and weeks**: pieces of the series (`pieces`, one scenario per year or any other span;
  `optmodels.rightsizing.sites.stochastic.sampled_weeks` draws weeks);
- **sites**: every site takes the wind of a piece of its own (`independent_sites`). Real sites share
  their weather; this is what would be if they did not, and the benefit of that is overstated;
- **forecast errors**: a course times noise that forgets slowly (`with_forecast_errors`). Sizes are
  decided by forecasts of the wind; this is how wrong these may be.

Every scenario whose slots stand for equally many hours is a small instance of its own, up to one
factor of time. So its cost is that of the audit, not of a solver: `scenario_costs`.

The scenarios are ours; nothing of them is published elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InfeasibleError, InputError, UsageError
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.audit import Fleet, audit, cost_of, tables_of
from optmodels.rightsizing.sites.dispatch import dispatch
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.model import Scenario
from optmodels.rightsizing.sites.stochastic import WEEK_HOURS

_ROUNDING = 1e-9


def pieces(instance: SitesInstance, hours: float) -> list[Scenario]:
    """All whole pieces of the series, one after the other, equally likely.

    Parameters
    ----------
    instance
        The question; each piece stands for its whole horizon.
    hours
        Length of a piece [h]: 8760 for years.

    Returns
    -------
    list of Scenario
        Equally likely.

    Raises
    ------
    UsageError
        The series is shorter than a piece, or a piece is shorter than a slot.
    """
    length = round(hours / instance.slot_hours)
    if not 1 <= length <= instance.slots:
        raise UsageError(
            f"Pieces of {hours:g} h were asked for; allowed: {instance.slot_hours:g} to "
            f"{instance.hours:g} h, which the series has."
        )
    count = instance.slots // length
    stands = np.full(length, instance.hours / length)
    cuts = [slice(k * length, (k + 1) * length) for k in range(count)]
    return [
        Scenario(instance.power_kw[cut], instance.demand[cut], stands, 1 / count) for cut in cuts
    ]


def independent_sites(
    instance: SitesInstance, count: int, *, hours: float = WEEK_HOURS, seed: int = 0
) -> list[Scenario]:
    """Scenarios in which each site has the wind of a piece of its own, drawn with repetition.

    Parameters
    ----------
    instance
        The question; each scenario stands for its whole horizon.
    count
        Number of scenarios.
    hours
        Length of a piece [h].
    seed
        Seed of the draw. The demand is that of a piece drawn for itself.

    Returns
    -------
    list of Scenario
        Equally likely.

    Raises
    ------
    UsageError
        No scenario is asked for, or the series is shorter than a piece.
    """
    if count < 1:
        raise UsageError(f"{count} scenarios were asked for; allowed: 1 or more.")
    parts = pieces(instance, hours)
    power = np.stack([part.power_kw for part in parts])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(parts), size=(count, len(instance.sites) + 1))
    every = np.arange(len(instance.sites))
    return [
        Scenario(
            power[row[:-1], :, every].T,
            parts[row[-1]].demand,
            parts[0].hours,
            probability=1 / count,
        )
        for row in drawn
    ]


def with_forecast_errors(
    instance: SitesInstance,
    scenarios: Sequence[Scenario],
    count: int,
    *,
    spread: float = 0.2,
    persistence: float = 0.95,
    seed: int = 0,
) -> list[Scenario]:
    """Each scenario several times, its wind times lognormal noise of mean one.

    The logarithm of the noise of a site is an autoregression of order one, and independent of that
    of other sites; the wind stays within the nameplate.

    Parameters
    ----------
    instance
        Its sites.
    scenarios
        Courses taken as forecasts.
    count
        Number of courses made of each.
    spread
        Standard deviation of the logarithm of the noise.
    persistence
        Correlation of that logarithm with the one an hour before, from 0 to below 1.
    seed
        Seed of the noise.

    Returns
    -------
    list of Scenario
        As many times more, with the probability of each divided.

    Raises
    ------
    UsageError
        A number is out of range.
    """
    if count < 1 or not spread >= 0 or not 0 <= persistence < 1:
        raise UsageError(
            f"{count} courses, spread {spread:g} and persistence {persistence:g} were asked for; "
            "allowed: 1 or more, 0 or more, and 0 to below 1."
        )
    stay = persistence**instance.slot_hours
    rng = np.random.default_rng(seed)
    made = []
    for course in scenarios:
        shape = (count, *course.power_kw.shape)
        shocks = rng.standard_normal(shape)
        noise = np.empty(shape)
        noise[:, 0] = shocks[:, 0]
        for t in range(1, shape[1]):
            noise[:, t] = stay * noise[:, t - 1] + np.sqrt(1 - stay**2) * shocks[:, t]
        factor = np.exp(spread * noise - spread**2 / 2)
        power = np.minimum(course.power_kw * factor, instance.nameplate_kw)
        made += [
            Scenario(one, course.demand, course.hours, course.probability / count) for one in power
        ]
    return made


def as_instance(instance: SitesInstance, scenario: Scenario) -> SitesInstance:
    """A scenario as a question of its own: the same sites and prices, its wind and demand.

    Costs in it, times the hours of the instance over its own, are those of the scenario.

    Parameters
    ----------
    instance
        Prices and sites.
    scenario
        The series that take the place of its own.

    Returns
    -------
    SitesInstance
        The question as if that scenario came for sure.

    Raises
    ------
    InputError
        Its slots do not all stand for the same hours.
    """
    if np.ptp(scenario.hours) > _ROUNDING * instance.hours:
        raise InputError(
            Flaw("differ between slots", field="hours", allowed="the same for all slots")
        )
    slots = len(scenario.demand)
    step = pd.Timedelta(minutes=instance.parameters.slot_minutes)
    times = pd.date_range(instance.times[0], periods=slots, freq=step)
    power = pd.DataFrame(
        {
            "time": times.repeat(len(instance.sites)),
            "site": list(instance.sites) * slots,
            "power_kw": scenario.power_kw.ravel(),
        }
    )
    return instance.replace(
        power=power,
        demand=pd.DataFrame({"time": times, "gpus": scenario.demand}),
        demand_gpus=None,
        # The carbon of a scenario is not asked for; a constant one keeps the question whole.
        carbon_g_per_kwh=float(instance.carbon.mean()),
        grid=None,
        past=None,
    )


def scenario_cost(instance: SitesInstance, own: SitesInstance, fleet: Fleet) -> float:
    """Least cost of running a fleet in a scenario given by `as_instance` [USD], audited in numpy.

    Infinite where the fleet is not firm enough, or its plan breaks any other limit.

    Parameters
    ----------
    instance
        The question that the fleet answers.
    own
        The scenario, by `as_instance`.
    fleet
        Sizes that stand.

    Returns
    -------
    float
        Cost [USD].
    """
    try:
        flows = dispatch(own, fleet)
    except InfeasibleError:
        return float("inf")
    if not audit(own, tables_of(own, fleet, flows)).ok:
        return float("inf")
    return cost_of(own, fleet, flows).total * instance.hours / own.hours


def scenario_costs(
    instance: SitesInstance, scenarios: Sequence[Scenario], fleet: Fleet
) -> FloatArray:
    """Least cost of running a fleet in each scenario [USD], by the audit, shape (K,).

    Parameters
    ----------
    instance
        Prices and sites.
    scenarios
        What may come.
    fleet
        Sizes that stand in all of them.

    Returns
    -------
    numpy.ndarray
        Cost in each scenario [USD], shape (number of scenarios,).

    Raises
    ------
    InputError
        The slots of a scenario do not all stand for the same hours.
    """
    return np.array(
        [scenario_cost(instance, as_instance(instance, course), fleet) for course in scenarios]
    )
