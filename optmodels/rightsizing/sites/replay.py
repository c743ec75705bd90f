"""One decision: sizes are chosen once, then the fleet is run at least cost.

A rule is told an instance (`SitesHeader`): the question itself, or, where it has an earlier time,
the same question with the wind of that time. It answers with a `Fleet`. How the fleet is run is
nobody's opinion: the least-cost dispatch on the true series, the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from optmodels.errors import UsageError, shorten
from optmodels.forecast import Forecast
from optmodels.policy import Observation
from optmodels.rightsizing.sites.audit import Dispatch, Fleet, tables_of
from optmodels.rightsizing.sites.dispatch import dispatch
from optmodels.rightsizing.sites.instance import SitesInstance

_SLACK = 1e-9


@dataclass(frozen=True)
class SitesHeader:
    """What a rule is told.

    Attributes
    ----------
    told
        The question as the rule may know it: sites, prices, demand, and a power series.
    out_of_sample
        Whether that series is an earlier one than the one that counts.
    """

    told: SitesInstance
    out_of_sample: bool


class SitesEnvironment:
    """One replay: one decision.

    Parameters
    ----------
    instance
        The question.
    granted
        What the policy is granted; the power series that it is told is in the header.
    forecast
        Not used: sizes are decided once.
    """

    def __init__(
        self,
        instance: SitesInstance,
        granted: frozenset[str] = frozenset(),
        forecast: Forecast | None = None,
    ) -> None:
        self.instance = instance
        self.header = header_of(instance)
        self.fleet: Fleet | None = None
        self.flows: Dispatch | None = None

    def observe(self) -> Observation | None:
        """What there is to see before the one decision; None after it."""
        if self.fleet is not None:
            return None
        return Observation(slot=0, time=self.instance.times[0], past={}, state=None, forecast=None)

    def act(self, action: object) -> None:
        """Install this fleet and run it through all slots.

        Raises
        ------
        UsageError
            The answer is no fleet that the sites can hold, it is not firm enough, or there is
            nothing left to decide.
        """
        if self.fleet is not None:
            raise UsageError("A policy went on after its fleet was installed.")
        self.fleet = self._sound(action)
        self.flows = dispatch(self.instance, self.fleet)
        served = float(self.flows.gpus.sum())
        total = float(self.instance.demand.sum())
        unmet = (total - served) * self.instance.slot_hours
        if unmet > self.instance.unmet_most + _SLACK * total * self.instance.slot_hours:
            raise UsageError(
                f"The fleet leaves {1 - served / total:.4g} of the demand to the grid; allowed: "
                f"{self.instance.parameters.unmet_share_max:.4g}."
            )

    def _sound(self, action: object) -> Fleet:
        sites = len(self.instance.sites)
        if not isinstance(action, Fleet):
            raise UsageError(f"A policy answered {shorten(action)}; allowed: a Fleet.")
        sizes = []
        for words, given, most in (
            ("GPUs", action.gpus, self.instance.most_gpus),
            ("kWh of battery", action.battery_kwh, self.instance.battery_max_kwh),
        ):
            values = np.asarray(given, dtype=np.float64)
            if values.shape != (sites,) or not np.isfinite(values).all():
                raise UsageError(f"A policy did not answer with {words} for each of {sites} sites.")
            if ((values < -_SLACK * most) | (values > most * (1 + _SLACK))).any():
                s = int(np.argmax(np.maximum(values - most, -values)))
                raise UsageError(
                    f"A policy asked for {values[s]:g} {words} at {self.instance.sites[s]}; "
                    f"allowed: 0 to {most[s]:g}."
                )
            sizes.append(np.clip(values, 0.0, most))
        return Fleet(*sizes)


def header_of(instance: SitesInstance) -> SitesHeader:
    """What a rule is told of an instance."""
    tables = instance.tables
    if "past" not in tables:
        return SitesHeader(instance, out_of_sample=False)
    past = tables.pop("past")
    times = pd.DatetimeIndex(past["time"].unique()).sort_values()
    parameters = instance.parameters.model_dump()
    tables["power"] = past
    if "demand" in tables:
        tables["demand"] = tables["demand"].assign(time=times)
    # Carbon decides nothing here, and its true series is none of a rule's business.
    tables.pop("grid", None)
    parameters["carbon_g_per_kwh"] = 0.0
    return SitesHeader(SitesInstance(parameters, tables), out_of_sample=True)


def decisions(environment: SitesEnvironment) -> dict[str, pd.DataFrame]:
    """Tables of the plan that a replay has made.

    Raises
    ------
    UsageError
        Nothing has been decided yet.
    """
    if environment.fleet is None or environment.flows is None:
        raise UsageError("No fleet has been decided yet.")
    return tables_of(environment.instance, environment.fleet, environment.flows)
