"""``rightsizing.sites``: energy in kWh at the sites, against GPUs and GPU-hours in the formulation.

Second statement: everything at a site is power and energy, and every kind of site has all rows.
Two kinds of questions: one series, and several scenarios with a price on risk. For the latter the
statement is not the extensive form but its cutting planes: sizes first, each scenario by itself,
and the mean of the dearest ones as a greatest sum over chosen scenarios.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.optimize import linprog

import optmodels as om
from optmodels.errors import InfeasibleError
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.model import Scenario
from optmodels.rightsizing.sites.risk import NEUTRAL, Risk
from optmodels.rightsizing.sites.stochastic import solve_two_stage

from .statement import INFEASIBLE, Finding, Statement, at_most, same

START = pd.Timestamp("2023-06-01T00:00Z")
CLOSE = 1e-10
MOST_CUTS = 400


@dataclass(frozen=True)
class Question:
    """An instance, and scenarios where there are any."""

    instance: SitesInstance
    scenarios: tuple[Scenario, ...] = ()
    risk: Risk = NEUTRAL


def draw(rng: np.random.Generator) -> Question:
    """A few sites and slots: with modules, openings, batteries, grid connections, firm or not."""
    sites, slots = int(rng.integers(1, 4)), int(rng.integers(1, 7))
    names = [f"s{s}" for s in range(sites)]
    nameplate = rng.choice([4.0, 7.5, 12.0], sites)
    hours = float(rng.choice([0.5, 1.0, 24.0]))
    scenario = rng.random() < 0.25
    parameters = {
        "slot_minutes": hours * 60,
        "gpu_kw": float(rng.choice([1.0, 1.3])),
        "gpu_capex_usd": float(rng.choice([0.0, 8760.0, 30000.0])),
        "gpu_life_years": float(rng.choice([1.0, 4.0])),
        "gpu_opex_usd_per_hour": float(rng.choice([0.0, 0.1])),
        "wind_usd_per_kwh": float(rng.choice([0.0, 0.02, 1.0])),
        "grid_usd_per_kwh": float(rng.choice([0.08, 0.5, 3.0])),
        "grid_utilisation": float(rng.choice([0.6, 1.0])),
        "carbon_g_per_kwh": 300.0,
        "battery_usd_per_kwh_year": float(rng.choice([0.0, 20.0, 2000.0])),
        "battery_efficiency": float(rng.choice([0.8, 1.0])),
        "battery_hours": float(rng.choice([0.5, 4.0])),
    }
    if rng.random() < 0.4 and not scenario:
        parameters["module_gpus"] = int(rng.integers(1, 4))
    if rng.random() < 0.3:
        parameters["unmet_share_max"] = float(rng.choice([0.0, 0.2, 0.5, 0.9]))
    if rng.random() < 0.5:
        parameters["backup_usd_per_kwh"] = float(rng.choice([0.05, 0.4, 2.0]))
    times = pd.date_range(START, periods=slots, freq=pd.Timedelta(hours=hours))
    shares = rng.choice([0.0, 0.25, 0.5, 0.8, 1.0], (slots, sites))
    tables = {
        "sites": pd.DataFrame(
            {
                "site": names,
                "nameplate_kw": nameplate,
                "rtt_ms": rng.choice([10.0, 20.0, 80.0], sites, p=[0.45, 0.45, 0.1]),
                "opening_usd_per_year": 0.0
                if scenario
                else rng.choice([0.0, 0.0, 500.0, 9000.0], sites),
                "battery_max_kwh": rng.choice([0.0, 0.0, 3.0], sites),
                "backup_kw": rng.choice([0.0, 0.0, 2.0], sites),
            }
        ),
        "power": pd.DataFrame(
            {
                "time": times.repeat(sites),
                "site": names * slots,
                "power_kw": (shares * nameplate).round(3).ravel(),
            }
        ),
    }
    demand = rng.choice([0.0, 2.0, 5.0, 9.0], slots)
    demand[0] = demand[0] or 3.0
    if rng.random() < 0.5:
        parameters["demand_gpus"] = float(demand[0])
    else:
        tables["demand"] = pd.DataFrame({"time": times, "gpus": demand})
    instance = SitesInstance(parameters, tables)
    if not scenario:
        return Question(instance)
    count = int(rng.integers(1, 4))
    chance = rng.dirichlet(np.ones(count))
    weights = [rng.dirichlet(np.ones(slots)) for _ in range(count)]
    drawn = tuple(
        Scenario(
            (rng.choice([0.0, 0.3, 0.7, 1.0], (slots, sites)) * nameplate).round(3),
            rng.choice([1.0, 3.0, 8.0], slots),
            weight * slots * hours,
            float(p),
        )
        for weight, p in zip(weights, chance, strict=True)
    )
    risk = Risk(float(rng.choice([0.0, 0.4, 1.0])), float(rng.choice([0.0, 0.5, 0.8])))
    return Question(instance, drawn, risk)


def optimum(instance: SitesInstance) -> float:
    """Least cost [USD] over the series, from the raw tables."""
    facts = _Facts(instance)
    said = Statement()
    places = []
    for site in facts.sites:
        module = facts.p.module_gpus
        most = site["most_gpus"]
        if module is None:
            gpus = [(said.number(facts.hour_usd * facts.hours, high=most), 1.0)]
        else:
            count = said.number(facts.hour_usd * facts.hours * module, whole=True)
            gpus = [(count, float(module))]
            said.row(gpus, most=most)
        opened = said.choice(site["opening_usd"])
        said.row([*gpus, (opened, -max(most, 1.0))], most=0.0)
        battery = said.number(facts.battery_usd, high=site["battery_kwh"])
        places.append((gpus, battery))
    unmet = facts.run(said, facts.wind, facts.demand, np.full(facts.slots, facts.step), places)
    share = facts.p.unmet_share_max
    if share is not None:
        left = [(x, facts.step) for x in unmet]
        said.row(left, most=share * float(facts.demand.sum()) * facts.step)
    return said.optimum()


class _Facts:
    """Numbers of the raw tables that both kinds of questions need."""

    def __init__(self, instance: SitesInstance) -> None:
        p, tables = instance.parameters, instance.tables
        self.p = p
        self.step = p.slot_minutes / 60
        sites = tables["sites"].sort_values("site")
        names = sites["site"].tolist()
        self.wind = (
            tables["power"].pivot(index="time", columns="site", values="power_kw")[names].to_numpy()
        )
        self.slots = len(self.wind)
        self.hours = self.slots * self.step
        if "demand" in tables:
            self.demand = tables["demand"].sort_values("time")["gpus"].to_numpy()
        else:
            self.demand = np.full(self.slots, p.demand_gpus)
        self.hour_usd = p.gpu_capex_usd / (p.gpu_life_years * 8760) + p.gpu_opex_usd_per_hour
        self.grid_usd = self.hour_usd / p.grid_utilisation + p.gpu_kw * p.grid_usd_per_kwh
        self.battery_usd = p.battery_usd_per_kwh_year * self.hours / 8760
        backup = p.backup_usd_per_kwh
        self.backup_usd = p.grid_usd_per_kwh if backup is None else backup
        self.sites = [
            {
                "most_gpus": row.nameplate_kw / p.gpu_kw if row.rtt_ms <= p.rtt_limit_ms else 0.0,
                "opening_usd": row.opening_usd_per_year * self.hours / 8760,
                "battery_kwh": row.battery_max_kwh,
                "backup_kw": row.backup_kw,
            }
            for row in sites.itertuples()
        ]

    def run(self, said, wind, demand, hours, places):
        """One course of wind and demand; GPUs and batteries as terms. Returns what is unmet."""
        p = self.p
        left = []
        stored = [None] * len(places)
        for t in range(len(demand)):
            unmet = said.number(hours[t] * self.grid_usd)
            left.append(unmet)
            served = [(unmet, 1.0)]
            for s, (gpus, battery) in enumerate(places):
                straight = said.number(hours[t] * p.wind_usd_per_kwh)
                charged = said.number(hours[t] * p.wind_usd_per_kwh)
                bought = said.number(hours[t] * self.backup_usd, high=self.sites[s]["backup_kw"])
                drawn = said.number()
                level = said.number()
                said.row([(straight, 1.0), (charged, 1.0)], most=wind[t][s])
                used = [(straight, 1.0), (bought, 1.0), (drawn, 1.0)]
                said.row([*used, *[(x, -n * p.gpu_kw) for x, n in gpus]], most=0.0)
                served += [(x, 1.0 / p.gpu_kw) for x, _ in used]
                # kWh in the battery; slots of a scenario follow each other at the slot's length.
                flow = [(charged, -self.step * p.battery_efficiency), (drawn, self.step)]
                last = [] if stored[s] is None else [(stored[s], -1.0)]
                said.equal([(level, 1.0), *last, *flow], 0.0)
                said.row([(level, 1.0), (battery, -1.0)], most=0.0)
                for x in (charged, drawn):
                    said.row([(x, p.battery_hours), (battery, -1.0)], most=0.0)
                stored[s] = level
            said.equal(served, demand[t])
        return left


def optimum_by_cuts(question: Question) -> float:
    """Least mixture of mean and tail over scenarios, by cutting planes on sizes."""
    facts = _Facts(question.instance)
    count = 2 * len(facts.sites)
    prices = [facts.hour_usd * facts.hours] * len(facts.sites)
    prices += [facts.battery_usd] * len(facts.sites)
    most = [s["most_gpus"] for s in facts.sites] + [s["battery_kwh"] for s in facts.sites]
    chance = np.array([one.probability for one in question.scenarios])
    tails = _tails(chance, question.risk)
    rows: list[np.ndarray] = []
    sides: list[float] = []
    best = INFEASIBLE
    for _ in range(MOST_CUTS):
        # Sizes, and a value of the running cost that no cut allows to be lower.
        found = linprog(
            [*prices, 1.0],
            A_ub=np.array(rows) if rows else None,
            b_ub=sides or None,
            bounds=[(0.0, m) for m in most] + [(0.0, None)],
            method="highs-ds",
        )
        if found.status == 2:
            return INFEASIBLE
        assert found.status == 0, found.message
        sizes = found.x[:count]
        values = [_second_stage(facts, one, sizes) for one in question.scenarios]
        broken = [ray for value, ray in values if value == INFEASIBLE]
        if broken:
            for side, slope in broken:
                rows.append(np.append(slope, 0.0))
                sides.append(-side)
            continue
        costs = np.array([value for value, _ in values])
        weights = max(tails, key=lambda w: float(w @ costs))
        total = float(np.array(prices) @ sizes + weights @ costs)
        best = min(best, total)
        if best - found.fun <= CLOSE * max(1.0, abs(best)):
            return best
        slope = sum(w * g for w, (_, (_, g)) in zip(weights, values, strict=True))
        # running >= cost here + slope times the distance from here
        rows.append(np.append(slope, -1.0))
        sides.append(float(slope @ sizes - weights @ costs))
    raise RuntimeError("cutting planes did not end")


def _tails(chance: np.ndarray, risk: Risk) -> list[np.ndarray]:
    """Weights of the scenarios for every vertex of what may be the tail.

    The mean of the dearest scenarios is the greatest of all weighted means whose weights are at
    most the probability over the size of the tail: at a vertex all but one are full or nothing.
    """
    if risk.weight == 0:
        return [chance]
    full = chance / (1 - risk.level)
    found = []
    for last in range(len(chance)):
        for taken in product((0.0, 1.0), repeat=len(chance)):
            weights = full * np.array(taken)
            weights[last] = 0.0
            rest = 1.0 - weights.sum()
            if -1e-12 <= rest <= full[last] + 1e-12:
                weights[last] = max(rest, 0.0)
                found.append((1 - risk.weight) * chance + risk.weight * weights)
    return found


def _second_stage(facts: _Facts, scenario: Scenario, sizes: np.ndarray):
    """Cost of a scenario for given sizes with its slope; or a proof that it cannot be firm."""
    value, slope, unmet = _priced(facts, scenario, sizes, unmet_only=False)
    share = facts.p.unmet_share_max
    if share is not None and value == INFEASIBLE:
        least, slope, _ = _priced(facts, scenario, sizes, unmet_only=True)
        most = share * float(scenario.hours @ scenario.demand)
        # least unmet + slope * (sizes' - sizes) <= most
        return INFEASIBLE, (float(least - slope @ sizes - most), slope)
    return value, (unmet, slope)


def _priced(facts: _Facts, scenario: Scenario, sizes: np.ndarray, *, unmet_only: bool):
    """Optimum of a scenario, and its derivative by GPUs and batteries of every site."""
    said = Statement()
    sites = len(facts.sites)
    gpus = [said.number(high=sizes[s], low=sizes[s]) for s in range(sites)]
    batteries = [said.number(high=sizes[sites + s], low=sizes[sites + s]) for s in range(sites)]
    places = [([(g, 1.0)], b) for g, b in zip(gpus, batteries, strict=True)]
    unmet = facts.run(said, scenario.power_kw, scenario.demand, scenario.hours, places)
    left = [(x, float(h)) for x, h in zip(unmet, scenario.hours, strict=True)]
    share = facts.p.unmet_share_max
    if unmet_only:
        said.cost = [0.0] * len(said.cost)
        for x, h in left:
            said.cost[x] = h
    elif share is not None:
        said.row(left, most=share * float(scenario.hours @ scenario.demand))
    value, slope = said.priced([*gpus, *batteries])
    return value, slope, 0.0


def compare(question: Question) -> list[Finding]:
    """Series: the oracle's methods. Scenarios: the extensive form."""
    instance = question.instance
    if question.scenarios:
        theirs = optimum_by_cuts(question)
        try:
            ours = solve_two_stage(instance, question.scenarios, risk=question.risk, mip_gap=0.0)
        except InfeasibleError:
            return [same("optimum, two stages", INFEASIBLE, theirs)]
        return [
            same("optimum, two stages", ours.cost, theirs),
            at_most("bound, two stages", ours.bound, theirs),
        ]
    theirs = optimum(instance)
    found = []
    whole = instance.parameters.module_gpus is not None or bool((instance.opening_usd > 0).any())
    for method in ("auto", "milp" if whole else "lp"):
        try:
            plan = om.solve(instance, method=method, mip_gap=0.0)
        except InfeasibleError:
            found.append(same(f"optimum, {method}", INFEASIBLE, theirs))
            continue
        found.append(same(f"optimum, {method}", plan.objective, theirs))
        found.append(at_most(f"bound, {method}", plan.bound, theirs))
    return found
