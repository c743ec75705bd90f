"""``scaling.job``: the linear programme of the words, against four methods and the formulation.

Second statement: shares of slots at *all* measured levels, and the change of the servers from slot
to slot as a variable that is at least the change and at least its negative. Ours drops levels, and
has ups and downs; the combinatorial methods have no programme at all.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

import optmodels as om
from optmodels.errors import InfeasibleError
from optmodels.scaling.job.instance import JobInstance

from .statement import INFEASIBLE, Finding, Statement, at_most, same

START = pd.Timestamp("2023-06-01T00:00Z")


def draw(rng: np.random.Generator) -> JobInstance:
    """A job of a few slots: ties and zeros in the carbon, levels off the hull, odd rate caps."""
    slots = int(rng.integers(1, 11))
    minutes = float(rng.choice([5, 30, 60]))
    carbon = [
        rng.integers(0, 5, slots + 2).astype(float),
        rng.uniform(20.0, 700.0, slots + 2).round(2),
        np.full(slots + 2, 100.0),
    ][rng.integers(3)]
    parameters = {
        "deadline_slots": slots,
        "slot_minutes": minutes,
        "switching_g": float(rng.choice([0.0, 1.0, 20.0, 150.0, rng.uniform(0, 400)])),
    }
    step = pd.Timedelta(minutes=minutes)
    tables = {
        "carbon": pd.DataFrame(
            {"time": pd.date_range(START, periods=slots + 2, freq=step), "carbon_g_per_kwh": carbon}
        )
    }
    most, throughput = 1.0, np.ones(1)
    servers = np.ones(1)
    kind = rng.integers(4)
    if kind > 0:
        levels = int(rng.integers(1, 5))
        servers = np.sort(rng.choice(np.arange(1, 9), levels, replace=False)).astype(float)
        if kind == 1:
            throughput, power = servers * 0.5, servers * 0.3
        else:
            throughput = np.cumsum(rng.uniform(0.0, 2.0, levels)).round(3)
            if kind == 3:
                throughput = rng.permutation(throughput)
            throughput[-1] = max(throughput[-1], 0.1)
            power = np.cumsum(rng.uniform(0.1, 1.0, levels)).round(3)
        tables["profile"] = pd.DataFrame(
            {"servers": servers, "throughput": throughput, "power_kw": power}
        )
        most = float(servers[-1])
    if rng.random() < 0.2:
        parameters["rate_cap"] = round(float(rng.uniform(0.05, 1.0)) * most, 3)
    fullest = slots * float(np.max(throughput))
    share = float(rng.choice([0.05, 0.3, 0.6, 0.9, 1.0, 1.05, rng.uniform(0.01, 1.0)]))
    return JobInstance({**parameters, "work": max(fullest * share, 1e-3)}, tables)


def optimum(instance: JobInstance) -> float:
    """Least carbon [g], from the raw tables."""
    p, tables = instance.parameters, instance.tables
    hours = p.slot_minutes / 60
    carbon = tables["carbon"]["carbon_g_per_kwh"].tolist()[: p.deadline_slots]
    levels = [(1.0, 1.0, 1.0)]
    if "profile" in tables:
        levels = list(
            tables["profile"][["servers", "throughput", "power_kw"]].itertuples(index=False)
        )
    cap = max(n for n, *_ in levels) if p.rate_cap is None else p.rate_cap
    said = Statement()
    running: list[list[tuple[int, float]]] = []
    work: list[tuple[int, float]] = []
    for grams in carbon:
        shares = [said.number(grams * hours * kw) for _, _, kw in levels]
        said.row([(x, 1.0) for x in shares], most=1.0)
        running.append([(x, n) for x, (n, _, _) in zip(shares, levels, strict=True)])
        said.row(running[-1], most=cap)
        work += [(x, done) for x, (_, done, _) in zip(shares, levels, strict=True)]
    said.equal(work, p.work)
    for before, after in zip([[], *running], [*running, []], strict=True):
        change = said.number(p.switching_g)
        lost = [(x, -n) for x, n in before]
        said.row([(change, -1.0), *after, *lost], most=0.0)
        said.row([(change, 1.0), *after, *lost], least=0.0)
    return said.optimum()


def compare(instance: JobInstance) -> list[Finding]:
    """All methods that apply."""
    theirs = optimum(instance)
    found = []
    methods = ["auto", "levels", "lp"]
    if instance.levels.proportional:
        methods += ["taut-string", "secant"]
    for method in methods:
        try:
            plan = om.solve(instance, method=method)
        except InfeasibleError:
            found.append(same(f"optimum, {method}", INFEASIBLE, theirs))
            continue
        found.append(same(f"optimum, {method}", plan.objective, theirs))
        found.append(at_most(f"bound, {method}", plan.bound, theirs))
        found.append(at_most(f"gap, {method}", plan.objective, plan.bound))
    return found
