"""Cells of Heron's benchmark: one week of wind, one mix of requests, one fleet, every policy.

All policies are replayed on the same instance and judged by the same audit. What each serves in
time is held against a proven bound: what nobody, with all knowledge and without ever loading
weights, could exceed (`optmodels.routing.sites.prices`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from _harness import shared_data

from optmodels.policy import Observation, Policy
from optmodels.routing.sites import synthetic
from optmodels.routing.sites.audit import audit, facts_of
from optmodels.routing.sites.dispatch import Dispatch, tables_of
from optmodels.routing.sites.fleet import Fleet
from optmodels.routing.sites.from_traces import balancing_areas, rts_gmlc
from optmodels.routing.sites.from_wind import from_wind
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.measured import azure_mix
from optmodels.routing.sites.planner import Planner
from optmodels.routing.sites.policies import POLICIES
from optmodels.routing.sites.policies.heron import Heron
from optmodels.routing.sites.prices import least_losses
from optmodels.routing.sites.replay import RoutingEnvironment
from optmodels.traces import read_request_rates

BOUND = "bound"
MIXES = {"conversation": 1.0, "coding": 0.0}
RATES = "m-large"
#: Planner-L's slots at fifty sites: as many as are timed, and how far apart.
_TIMED_SLOTS = 8

Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One week, or a part of it.

    Attributes
    ----------
    part
        "week" or "curve".
    wind
        "rts-gmlc" or "areas".
    mix
        "conversation" or "coding".
    gpus
        GPUs of the fleet.
    wind_ratio
        Mean wind power over what all GPUs draw at most.
    load
        Mean demand over what all GPUs serve in time without a limit of power.
    days, period_seconds
        Length of the instance, and of a period.
    policies
        Names of those that are replayed.
    """

    part: str
    wind: str
    mix: str
    gpus: int
    wind_ratio: float = 1.0
    load: float = 0.7
    days: float = 7.0
    period_seconds: int = 300
    policies: tuple[str, ...] = tuple(POLICIES)


@lru_cache(maxsize=1)
def request_rates() -> pd.Series[float]:
    """Requests of ServeGen's large model over two weeks."""
    path = shared_data() / "llm_traces" / "servegen" / "servegen_total_rate_10min.csv.gz"
    table = read_request_rates(path)
    found = [column for column in table.columns if RATES in str(column)]
    return table[found[0]]


def instance_of(cell: Cell, **options: Any) -> RoutingInstance:
    """The instance of a cell."""
    folder = shared_data()
    makers: dict[str, tuple[Callable[..., RoutingInstance], Any]] = {
        "rts-gmlc": (rts_gmlc, folder / "wind" / "rts_gmlc"),
        "areas": (balancing_areas, folder / "carbon" / "sustaindc_us2022"),
    }
    make, place = makers[cell.wind]
    settings: dict[str, Any] = {
        "gpus": cell.gpus,
        "wind_ratio": cell.wind_ratio,
        "load": cell.load,
        "days": cell.days,
        "period_seconds": cell.period_seconds,
        "rates": request_rates(),
        "mix": azure_mix(MIXES[cell.mix]),
        "name": f"{cell.wind} {cell.mix} {cell.gpus}",
        **options,
    }
    return make(place, **settings)


class TimedHeron(Heron):
    """Heron, with the time that its planners take."""

    def start(self) -> None:
        """Start the clocks, too."""
        super().start()
        self.solver_s = self.slot_s = self.period_s = 0.0
        self.slots = 0
        for planner in (self._planner, self._controller):
            self._clock(planner._programme._live)

    def _clock(self, model: Any) -> None:
        """Count the processor time of every call of the solver."""
        solve = model.solve

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            found = solve(*arguments, **named)
            self.solver_s += time.process_time() - began
            return found

        model.solve = timed

    def plan(self, observation: Observation) -> None:
        """Plan a slot by the clock."""
        began = time.process_time()
        super().plan(observation)
        self.slot_s += time.process_time() - began
        self.slots += 1

    def dispatch(self, observation: Observation) -> Dispatch:
        """Dispatch a period by the clock."""
        began = time.process_time()
        found = super().dispatch(observation)
        self.period_s += time.process_time() - began
        return found


def policy_of(name: str) -> Policy:
    """Policy by its name; Heron with a clock."""
    return TimedHeron() if name == Heron.name else POLICIES[name]()


def perform(cell: Cell) -> list[Row]:
    """A row for each policy of a cell, and one for the bound."""
    instance = instance_of(cell)
    head = {
        "part": cell.part,
        "wind": cell.wind,
        "mix": cell.mix,
        "gpus": cell.gpus,
        "wind_ratio": cell.wind_ratio,
        "period_s": cell.period_seconds,
    }
    return [{**head, **row} for row in plan_rows(instance, cell.policies)]


def plan_rows(instance: RoutingInstance, policies: tuple[str, ...]) -> list[Row]:
    """Rows of the bound and of the policies on one instance."""
    weighted = instance.demand.sum(axis=1) @ instance.weight
    began = time.process_time()
    least = least_losses(Fleet.of(instance), instance.power_kw, instance.demand)
    most = float((weighted - least).mean())
    arrivals = float(weighted.mean())
    rows: list[Row] = [
        {
            "policy": BOUND,
            "goodput_per_s": most,
            "of_bound": 1.0,
            "served_share": most / arrivals,
            "demand_per_s": arrivals,
            "seconds": time.process_time() - began,
        }
    ]
    for name in policies:
        policy = policy_of(name)
        environment = RoutingEnvironment(instance)
        began = time.process_time()
        policy.reset(environment.header)
        while (observation := environment.observe()) is not None:
            environment.act(policy.decide(observation))
        seconds = time.process_time() - began
        found = audit(instance, tables_of(instance, environment.decisions))
        known = facts_of(instance, environment.decisions)
        slots = -(-instance.periods // instance.periods_per_slot)
        row: Row = {
            "policy": name,
            "goodput_per_s": known["goodput_per_s"],
            "of_bound": known["goodput_per_s"] / most,
            "served_share": known["goodput_per_s"] / arrivals,
            "demand_per_s": arrivals,
            "attainment": known["attainment"],
            "late_share": found.cost["late_requests"]
            / (arrivals * instance.periods * instance.period_seconds),
            "spilled_share": known["spilled_share"],
            "energy_kwh": found.cost["energy_kwh"],
            "mean_e2e_s": found.cost["mean_e2e_s"],
            "reloads": known["reloads"],
            "broken": len(found.violations),
            "seconds": seconds,
            "ms_per_slot": 1e3 * seconds / slots,
        }
        if isinstance(policy, TimedHeron):
            row |= {
                "planner_l_ms": 1e3 * policy.slot_s / policy.slots,
                "planner_s_ms": 1e3 * policy.period_s / instance.periods,
                "solver_s": policy.solver_s,
            }
        rows.append(row)
    return rows


def fifty_sites(seed: int, sites: int = 50, gpus: int = 50_000) -> RoutingInstance:
    """Many synthetic sites with the measured profile and the mix of Azure's conversations."""
    drawn = synthetic.generate(seed, hours=2 * _TIMED_SLOTS, sites=sites, gpus=gpus)
    power = drawn.tables["power"].pivot_table(index="time", columns="site", values="power_kw")
    return from_wind(
        power,
        nameplate_kw=dict(zip(drawn.sites, drawn.nameplate_kw.tolist(), strict=True)),
        links=drawn.tables["links"],
        gpus=gpus,
        wind_ratio=0.5,
        days=2 * _TIMED_SLOTS / 24,
        past_days=0,
        mix=azure_mix(MIXES["conversation"]),
    )


def perform_fifty(seed: int) -> list[Row]:
    """Planner-L at many sites: processor time of a slot, and how far it is from the bound."""
    instance = fifty_sites(seed)
    planner = Planner(Fleet.of(instance), str(instance.parameters.second_objective))
    apart = instance.periods // _TIMED_SLOTS
    slot_seconds = instance.periods_per_slot * instance.period_seconds
    before = None
    seconds, gaps = [], []
    for period in range(0, apart * _TIMED_SLOTS, apart):
        power, demand = instance.power_kw[period], instance.demand[period]
        share = 0.0 if before is None else instance.reload_seconds / slot_seconds
        began = time.process_time()
        plan = planner.plan(power, demand, before=before, reload_share=share)
        seconds.append(time.process_time() - began)
        gaps.append(plan.gap(demand, instance.weight))
        before = plan.configured
    return [
        {
            "part": "fifty",
            "wind": "synthetic",
            "mix": "conversation",
            "gpus": int(instance.gpus.sum()),
            "policy": "planner-l",
            "ms_per_slot": 1e3 * float(np.median(seconds)),
            "worst_ms": 1e3 * max(seconds),
            "worst_gap": max(gaps),
        }
    ]
