"""One run of a fleet under a policy, period by period.

At the start of each period the power of every site and the requests of every origin and class are
metered, so a policy knows them when it decides; what comes after is known by forecast at most. Its
answer is a `Dispatch`: what is configured, what runs, and where each flow goes. An answer that
breaks the physics is refused on the spot.

A policy may change what is configured in any period; planners do it at the start of a slot
(`RoutingState.slot_starts`). Whoever asks for forecasts is shown one row per period from this one
on, and in it the power of every site, then the demand by origin and class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from optmodels.errors import UsageError, shorten
from optmodels.forecast import Forecast
from optmodels.policy import FloatArray, Observation, Reveal, frozen
from optmodels.routing.sites.dispatch import Decisions, Dispatch, Loading, tables_of
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.physics import balance, broken_limits
from optmodels.routing.sites.profile import BoolArray, IntArray, Profile, integers

#: Names of the revealed series.
POWER, DEMAND = "power_kw", "demand"
CARBON, PRICE = "carbon_g_per_kwh", "usd_per_kwh"


@dataclass(frozen=True, eq=False)
class RoutingHeader:
    """What a policy is told before the first period.

    Attributes
    ----------
    periods, period_seconds
        Number of periods, and their length [s].
    periods_per_slot, periods_per_day
        Periods between two choices of what is configured, and in 24 hours.
    start
        Start of the first period.
    sites, origins, classes
        Names, in the order of all arrays.
    rtt_s
        Round trips [s], shape (O, S).
    gpus, nameplate_kw, backup_kw
        GPUs, nameplate and grid power of each site, shape (S,).
    weight
        What a request of each class counts, shape (C,).
    profile, arcs
        Rows of the profile, and which of them keep the limits, shape (O, S, R).
    idle_kw
        Power of a configured GPU that does not run [kW].
    reload_seconds
        Time for which a newly configured instance serves nothing [s].
    second_objective
        What is least among plans that lose equally few requests: "latency" or "power".
    past_kw
        Wind power before the first period [kW], shape (T', S), or None.
    """

    periods: int
    period_seconds: float
    periods_per_slot: int
    periods_per_day: int
    start: pd.Timestamp
    sites: tuple[str, ...]
    origins: tuple[str, ...]
    classes: tuple[str, ...]
    rtt_s: FloatArray
    gpus: IntArray
    nameplate_kw: FloatArray
    backup_kw: FloatArray
    weight: FloatArray
    profile: Profile
    arcs: BoolArray
    idle_kw: float
    reload_seconds: float
    second_objective: str
    past_kw: FloatArray | None


@dataclass(frozen=True, eq=False)
class RoutingState:
    """Where a run stands.

    Attributes
    ----------
    period, slot
        Numbers of the period that is about to start and of its slot, from 0.
    slot_starts
        Whether the slot starts with this period.
    configured
        Instances configured in the period before, shape (S, G); zeros before the first.
    loading
        Which of them still load; ``loading.after(configured)[0]`` tells how many instances would
        serve with this configuration. Before the first period any configuration stands loaded.
    """

    period: int
    slot: int
    slot_starts: bool
    configured: IntArray
    loading: Loading


class RoutingEnvironment:
    """One replay of a fleet.

    Parameters
    ----------
    instance
        The question.
    granted
        What the policy is granted beyond header and past; nothing can be here.
    forecast
        Source of the forecast in each observation, or None.
    """

    def __init__(
        self,
        instance: RoutingInstance,
        granted: frozenset[str] = frozenset(),
        forecast: Forecast | None = None,
    ) -> None:
        del granted
        self.instance = instance
        self.header = header_of(instance)
        self._forecast = forecast
        self._series = {
            POWER: Reveal(instance.power_kw),
            DEMAND: Reveal(instance.demand),
        }
        if instance.has_grid:
            self._series[CARBON] = Reveal(instance.carbon)
            self._series[PRICE] = Reveal(instance.price)
        self._joined = Reveal(joined_series(instance))
        self._period = 0
        self._loading = Loading(instance.reload_seconds / instance.period_seconds)
        shape = (len(instance.sites), len(instance.profile.degrees))
        self._configured = integers(np.zeros(shape))
        self._log: list[Decisions] = []

    def observe(self) -> Observation | None:
        """What the policy may see now; None after the last period."""
        t = self._period
        if t >= self.header.periods:
            return None
        slot, inside = divmod(t, self.header.periods_per_slot)
        ahead = None
        if self._forecast is not None:
            ahead = frozen(self._forecast.at(t, self._joined.up_to(t)))
        return Observation(
            slot=t,
            time=self.instance.times[t],
            past={name: series.up_to(t) for name, series in self._series.items()},
            state=RoutingState(t, slot, inside == 0, self._configured, self._loading),
            forecast=ahead,
        )

    def act(self, action: object) -> None:
        """Dispatch the fleet through this period.

        Raises
        ------
        UsageError
            The answer is no dispatch of this fleet, breaks a limit, or comes after the end.
        """
        if self._period >= self.header.periods:
            raise UsageError("A policy went on after the last period; nothing is left to decide.")
        decided = Decisions.of([self._checked(action)])
        effective, loading = self._loading.after(decided.configured[0])
        found = balance(self.instance, decided)
        broken = broken_limits(self.instance, decided, found, effective[None], first=self._period)
        if broken:
            more = "" if len(broken) == 1 else f" (and {len(broken) - 1} more limits)"
            raise UsageError(f"In period {self._period} a policy broke a limit: {broken[0]}{more}.")
        self._configured, self._loading = integers(decided.configured[0]), loading
        self._log.append(decided)
        self._period += 1

    def _checked(self, action: object) -> Dispatch:
        if not isinstance(action, Dispatch):
            raise UsageError(
                f"In period {self._period} a policy answered {shorten(action)}; allowed: a "
                "Dispatch."
            )
        o, s, r = self.header.arcs.shape
        given = {
            "configured": (action.configured, (s, len(self.header.profile.degrees))),
            "running": (action.running, (s, r)),
            "flow": (action.flow, (o, s, r)),
        }
        made = {}
        for name, (values, shape) in given.items():
            try:
                array = np.asarray(values, dtype=np.float64)
            except (TypeError, ValueError):
                array = np.empty(0)
            kind = "numbers" if name == "flow" else "whole numbers"
            right = array.shape == shape and bool((array >= 0).all() and (array < np.inf).all())
            if right and name != "flow":
                right = bool((array == np.floor(array)).all())
            if not right:
                raise UsageError(
                    f"In period {self._period} a policy answered with a wrong '{name}': "
                    f"{shorten(values)}; allowed: {kind} from 0 in the shape {shape}."
                )
            made[name] = array
        return Dispatch(
            made["configured"].astype(np.int64), made["running"].astype(np.int64), made["flow"]
        )

    @property
    def decisions(self) -> Decisions:
        """What has been decided, at least one period of it."""
        return Decisions.joined(self._log)


def header_of(instance: RoutingInstance) -> RoutingHeader:
    """What a policy is told before the first period."""
    return RoutingHeader(
        periods=instance.periods,
        period_seconds=instance.period_seconds,
        periods_per_slot=instance.periods_per_slot,
        periods_per_day=instance.periods_per_day,
        start=instance.times[0],
        sites=instance.sites,
        origins=instance.origins,
        classes=instance.classes,
        rtt_s=instance.rtt_s,
        gpus=instance.gpus,
        nameplate_kw=instance.nameplate_kw,
        backup_kw=instance.backup_kw,
        weight=instance.weight,
        profile=instance.profile,
        arcs=instance.arcs,
        idle_kw=instance.idle_kw,
        reload_seconds=instance.reload_seconds,
        second_objective=str(instance.parameters.second_objective),
        past_kw=instance.past_kw,
    )


def joined_series(instance: RoutingInstance) -> FloatArray:
    """Power by site, then demand by origin and class, one row per period: (T, S + O·C)."""
    demand = instance.demand.reshape(instance.periods, -1)
    return frozen(np.concatenate([instance.power_kw, demand], axis=1))


def split_series(header: RoutingHeader, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Power (T, S) and demand (T, O, C) of rows as forecasts have them."""
    sites = len(header.sites)
    shape = (len(values), len(header.origins), len(header.classes))
    return values[:, :sites], values[:, sites:].reshape(shape)


def decisions(environment: RoutingEnvironment) -> dict[str, pd.DataFrame]:
    """Tables of the plan that a replay has made."""
    return tables_of(environment.instance, environment.decisions)
