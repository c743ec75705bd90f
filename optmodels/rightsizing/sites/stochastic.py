"""Sizes for a future that is not known: two stages, and what knowing it would be worth.

What is installed is decided once; how it is run is decided when the wind is there. Given scenarios
with probabilities (earlier years, or weeks drawn from one), three costs answer three questions:

- *stochastic* (RP): the least expected cost of sizes that all scenarios share;
- *wait and see* (WS): the expected cost if the scenario were known before building. RP - WS is the
  expected value of perfect information (EVPI), never negative;
- *expected value* (EEV): the expected cost of the sizes that are best for the mean course of wind
  and demand. EEV - RP is the value of the stochastic solution (VSS), never negative. The mean
  course is smoother than any real one, so its sizes are too large, and this is what it costs.

WS <= RP <= EEV (Birge and Louveaux, "Introduction to Stochastic Programming"). A firm fleet is firm
in every scenario. Its mean sizes may fail to be: then EEV is infinite.

Who fears the dearest scenarios more than the mean of all gives a `Risk` to `solve_two_stage`. Very
many scenarios are the business of `optmodels.rightsizing.sites.hedging`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InfeasibleError, InputError, UsageError
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.audit import Fleet
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.model import Scenario, formulation, model_data
from optmodels.rightsizing.sites.optimum import fleet_of
from optmodels.rightsizing.sites.risk import NEUTRAL, Risk

WEEK_HOURS = 168.0

_ROUNDING = 1e-9


@dataclass(frozen=True)
class TwoStage:
    """Sizes for several scenarios.

    Attributes
    ----------
    fleet
        What is installed.
    cost
        Its expected cost [USD], or, with a `Risk`, the mixture of mean and CVaR.
    bound
        Proven lower bound on that of any sizes [USD].
    """

    fleet: Fleet
    cost: float
    bound: float


@dataclass(frozen=True)
class StochasticValues:
    """What the stochastic model and perfect information are worth [USD].

    Attributes
    ----------
    wait_and_see, stochastic, expected_value
        WS, RP and EEV: expected costs.
    fleet
        The sizes of the stochastic solution.
    mean_fleet
        The sizes that are best for the mean course.
    """

    wait_and_see: float
    stochastic: float
    expected_value: float
    fleet: Fleet
    mean_fleet: Fleet

    @property
    def vss(self) -> float:
        """Value of the stochastic solution: EEV - RP [USD]."""
        return self.expected_value - self.stochastic

    @property
    def evpi(self) -> float:
        """Expected value of perfect information: RP - WS [USD]."""
        return self.stochastic - self.wait_and_see

    def to_frame(self) -> pd.DataFrame:
        """The three costs and the two values, one a row."""
        rows = {
            "wait and see": self.wait_and_see,
            "stochastic": self.stochastic,
            "expected value": self.expected_value,
            "VSS": self.vss,
            "EVPI": self.evpi,
        }
        return pd.DataFrame({"quantity": list(rows), "usd": list(rows.values())})


def sampled_weeks(instance: SitesInstance, count: int, *, seed: int = 0) -> list[Scenario]:
    """Scenarios of one week each, drawn without repetition from the series.

    Parameters
    ----------
    instance
        The question; each week stands for its whole horizon.
    count
        Number of weeks.
    seed
        Seed of the draw.

    Returns
    -------
    list of Scenario
        As many as asked for, equally likely.

    Raises
    ------
    UsageError
        There are not so many whole weeks.
    """
    length = round(WEEK_HOURS / instance.slot_hours)
    weeks = instance.slots // length
    if not 1 <= count <= weeks:
        raise UsageError(f"{count} weeks were asked for; allowed: 1 to {weeks} whole ones.")
    drawn = np.sort(np.random.default_rng(seed).choice(weeks, size=count, replace=False))
    hours = np.full(length, instance.hours / length)
    cuts = [slice(week * length, (week + 1) * length) for week in drawn.tolist()]
    return [
        Scenario(instance.power_kw[cut], instance.demand[cut], hours, 1 / count) for cut in cuts
    ]


def solve_two_stage(
    instance: SitesInstance,
    scenarios: Sequence[Scenario],
    *,
    risk: Risk = NEUTRAL,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-6,
) -> TwoStage:
    """Sizes of the least expected cost over scenarios: the extensive form, solved as a whole.

    Parameters
    ----------
    instance
        Sites, prices and limits; its own series is not used.
    scenarios
        Courses of wind and demand of one length, whose probabilities add up to 1 and whose hours
        add up to those of the instance.
    risk
        How much the dearest scenarios count.
    time_limit_s, mip_gap
        Limits of the solver.

    Returns
    -------
    TwoStage
        Sizes, expected cost and its bound.

    Raises
    ------
    InputError
        The scenarios do not fit each other or the instance.
    InfeasibleError
        No fleet is firm enough in all scenarios.
    """
    check_scenarios(instance, scenarios)
    data = model_data(instance, scenarios, risk=risk)
    solution = _solved(data, time_limit_s, mip_gap, risk.weight > 0)
    return TwoStage(fleet_of(instance, solution), float(solution.objective), float(solution.bound))


def expected_cost(instance: SitesInstance, scenarios: Sequence[Scenario], fleet: Fleet) -> float:
    """Expected cost of a fleet that stands, run at least cost in each scenario [USD].

    Infinite where it is not firm enough in some scenario.

    Parameters
    ----------
    instance
        Prices and sites.
    scenarios
        What may come, with probabilities.
    fleet
        Sizes that stand in all of them.

    Returns
    -------
    float
        Probability-weighted cost of the fleet, run at least cost in each scenario [USD].

    Raises
    ------
    InputError
        The scenarios do not fit each other or the instance.
    """
    check_scenarios(instance, scenarios)
    data = model_data(instance, scenarios, fixed=(fleet.gpus, fleet.battery_kwh))
    try:
        solution = _solved(data, None, 0.0)
    except InfeasibleError:
        return float("inf")
    return float(solution.objective + instance.opening_usd[fleet.open].sum())


def stochastic_values(
    instance: SitesInstance,
    scenarios: Sequence[Scenario],
    *,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-6,
) -> StochasticValues:
    """Wait-and-see, stochastic and expected-value costs, with VSS and EVPI.

    Parameters
    ----------
    instance
        Sites, prices and limits; its own series is not used.
    scenarios
        As in `solve_two_stage`; slot t of all of them must stand for the same hours.
    time_limit_s, mip_gap
        Limits of each solve. Where there are integers, VSS and EVPI are exact within the gap.

    Returns
    -------
    StochasticValues
        The three expected costs [USD], and their differences.

    Raises
    ------
    InputError
        The scenarios do not fit each other or the instance.
    InfeasibleError
        No fleet is firm enough in all scenarios.
    """
    limits: dict[str, Any] = {"time_limit_s": time_limit_s, "mip_gap": mip_gap}
    both = solve_two_stage(instance, scenarios, **limits)
    if any(not np.array_equal(c.hours, scenarios[0].hours) for c in scenarios):
        raise InputError(Flaw("differ between scenarios", field="hours", allowed="all the same"))
    waiting = sum(
        c.probability * solve_two_stage(instance, [_certain(c)], **limits).cost for c in scenarios
    )
    mean = Scenario(
        power_kw=_mean([c.power_kw for c in scenarios], scenarios),
        demand=_mean([c.demand for c in scenarios], scenarios),
        hours=scenarios[0].hours,
    )
    fleet = solve_two_stage(instance, [mean], **limits).fleet
    return StochasticValues(
        wait_and_see=float(waiting),
        stochastic=both.cost,
        expected_value=expected_cost(instance, scenarios, fleet),
        fleet=both.fleet,
        mean_fleet=fleet,
    )


def _certain(scenario: Scenario) -> Scenario:
    return Scenario(scenario.power_kw, scenario.demand, scenario.hours)


def _mean(values: Sequence[FloatArray], scenarios: Sequence[Scenario]) -> FloatArray:
    mean: FloatArray = np.tensordot([c.probability for c in scenarios], np.stack(values), axes=1)
    return mean


def _solved(
    data: dict[str, Any], time_limit_s: float | None, mip_gap: float, risk: bool = False
) -> Any:
    from optmodels.solver import solve_model

    return solve_model(
        formulation(risk), data=data, time_limit_s=time_limit_s, mip_gap=mip_gap
    ).require()


def check_scenarios(instance: SitesInstance, scenarios: Sequence[Scenario]) -> None:
    """Refuse scenarios that do not fit each other or the instance: every flaw at once.

    Parameters
    ----------
    instance
        The question that they are for.
    scenarios
        What is checked.

    Raises
    ------
    InputError
        Shapes, ranges, hours or probabilities.
    """
    flaws = []
    if not scenarios:
        raise InputError(Flaw("is empty", field="scenarios", allowed="one or more"))
    length = len(scenarios[0].demand)
    for k, c in enumerate(scenarios):
        label = f"scenarios[{k}]"
        if c.power_kw.shape != (length, len(instance.sites)):
            allowed = f"({length}, {len(instance.sites)})"
            flaws.append(
                Flaw(
                    "has another shape",
                    field=f"{label}.power_kw",
                    value=c.power_kw.shape,
                    allowed=allowed,
                )
            )
        for name, values in (("power_kw", c.power_kw), ("demand", c.demand), ("hours", c.hours)):
            if not (np.isfinite(values).all() and (values >= 0).all()):
                flaws.append(
                    Flaw("has values out of range", field=f"{label}.{name}", allowed="numbers >= 0")
                )
            if name != "power_kw" and values.shape != (length,):
                flaws.append(
                    Flaw(
                        "has another shape",
                        field=f"{label}.{name}",
                        value=values.shape,
                        allowed=f"({length},)",
                    )
                )
        hours = float(c.hours.sum())
        if not abs(hours - instance.hours) <= _ROUNDING * instance.hours:
            flaws.append(
                Flaw(
                    "do not add up",
                    field=f"{label}.hours",
                    value=hours,
                    allowed=f"{instance.hours:g} h, the horizon of the instance",
                )
            )
        if not c.probability > 0:
            flaws.append(
                Flaw(
                    "is out of range",
                    field=f"{label}.probability",
                    value=c.probability,
                    allowed="> 0",
                )
            )
    total = sum(c.probability for c in scenarios)
    if not abs(total - 1) <= _ROUNDING:
        flaws.append(Flaw("do not add up", field="probability", value=total, allowed="1"))
    if flaws:
        raise InputError(flaws, "scenarios")
