"""``routing.sites``: every row at every site and every arc by itself, against bins and hulls.

Second statement: instances of each row of the profile that hold GPUs, run and load; requests from
each origin to each row. Ours leaves out rows that others beat, joins rows into bins, prices what
nobody can serve, and repairs plans by hand; with several periods, loading ties them together.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

import optmodels as om
from optmodels.routing.sites.instance import RoutingInstance

from .statement import Finding, Statement, at_most, same

START = pd.Timestamp("2023-11-13T00:00Z")
#: A sum of times that is a limit but for its last digit keeps it [s].
ROUNDING = 1e-9


def draw(rng: np.random.Generator) -> RoutingInstance:
    """One or two sites for a few periods, rows that tie, limits that some arcs break."""
    periods, sites, origins, classes = (int(rng.integers(1, n)) for n in (4, 3, 3, 3))
    seconds = 300.0
    names = [f"s{s}" for s in range(sites)]
    places = [f"o{o}" for o in range(origins)]
    kinds = [f"c{c}" for c in range(classes)]
    times = pd.date_range(START, periods=periods, freq=pd.Timedelta(seconds=seconds))
    rows = []
    for kind in kinds:
        for _ in range(int(rng.integers(1, 4))):
            degree = int(rng.choice([1, 2, 4]))
            rate = float(rng.choice([1.0, 1.5, 2.0])) * degree
            kw = round(float(rng.choice([0.4, 0.5, 0.7])) * degree, 3)
            rows.append((kind, degree, rate, kw, float(rng.choice([1.0, 2.0]))))
    profile = pd.DataFrame(rows, columns=["class", "tp", "requests_per_s", "power_kw", "e2e_s"])
    profile = profile.assign(
        row=range(len(rows)), frequency=1.0, batch=1.0, tbt_s=0.01, ttft_s=profile["e2e_s"] / 10
    )
    idle = rng.random() < 0.4
    backup = rng.choice([0.0, 0.0, 1.0], sites)
    tables = {
        "classes": pd.DataFrame(
            {
                "class": kinds,
                "input_tokens": 500.0,
                "output_tokens": 100.0,
                "ttft_limit_s": rng.choice([0.15, 0.25, 1.0], classes),
                "tbt_limit_s": 1.0,
                "e2e_limit_s": rng.choice([1.5, 2.0, 3.0], classes),
                "weight": rng.choice([0.0, 1.0, 1.0, 2.5], classes),
            }
        ),
        "profile": profile,
        "sites": pd.DataFrame(
            {
                "site": names,
                "gpus": rng.integers(0, 9, sites),
                "nameplate_kw": 10.0,
                "backup_kw": backup,
            }
        ),
        "links": pd.DataFrame(
            {
                "origin": np.repeat(places, sites),
                "site": names * origins,
                "rtt_ms": rng.choice([0.0, 50.0, 100.0, 900.0], origins * sites),
            }
        ),
        "power": pd.DataFrame(
            {
                "time": times.repeat(sites),
                "site": names * periods,
                "power_kw": rng.choice([0.0, 1.0, 2.0, 3.3, 6.0], periods * sites),
            }
        ),
        "demand": pd.DataFrame(
            {
                "time": times.repeat(origins * classes),
                "origin": np.tile(np.repeat(places, classes), periods),
                "class": kinds * (origins * periods),
                "requests_per_s": rng.choice([0.0, 2.0, 3.5, 8.0], periods * origins * classes),
            }
        ),
    }
    if backup.any():
        tables["grid"] = tables["power"][["time", "site"]].assign(
            carbon_g_per_kwh=300.0, usd_per_kwh=0.1
        )
    return RoutingInstance(
        {
            "slot_minutes": 5.0,
            "period_seconds": seconds,
            "gpu_idle_kw": 0.1 if idle else 0.0,
            "keep_warm": idle,
            "reload_seconds": float(rng.choice([0.0, 30.0, 150.0, 300.0])),
        },
        tables,
    )


def optimum(instance: RoutingInstance) -> float:
    """Fewest weighted requests that are lost, from the raw tables."""
    p, tables = instance.parameters, instance.tables
    classes = {row["class"]: row for row in tables["classes"].to_dict("records")}
    profile = tables["profile"].to_dict("records")
    rtt = {(r.origin, r.site): r.rtt_ms / 1000 for r in tables["links"].itertuples()}
    origins = sorted({origin for origin, _ in rtt})
    sites = tables["sites"].to_dict("records")
    power = tables["power"].set_index(["time", "site"])["power_kw"]
    demand = tables["demand"].set_index(["time", "origin", "class"])["requests_per_s"]
    degrees = sorted({row["tp"] for row in profile})
    idle = p.gpu_idle_kw if p.keep_warm else 0.0
    loads = min(p.reload_seconds / p.period_seconds, 1.0)
    said = Statement()
    before: dict[tuple[str, int], int] = {}
    for time in sorted(set(tables["power"]["time"])):
        sent: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for site in sites:
            held = {g: said.number(whole=True) for g in degrees}
            said.row([(held[g], g) for g in degrees], most=site["gpus"])
            drawn = [(held[g], idle * g) for g in degrees]
            running: dict[int, list[int]] = {g: [] for g in degrees}
            busy: dict[int, list[tuple[int, float]]] = {g: [] for g in degrees}
            for row in profile:
                runs = said.number(whole=True)
                running[row["tp"]].append(runs)
                drawn.append((runs, row["power_kw"] - idle * row["tp"]))
                limits = classes[row["class"]]
                served = []
                for origin in origins:
                    trip = rtt[origin, site["site"]]
                    in_time = (
                        row["ttft_s"] + trip <= limits["ttft_limit_s"] + ROUNDING
                        and row["tbt_s"] <= limits["tbt_limit_s"]
                        and row["e2e_s"] + trip <= limits["e2e_limit_s"] + ROUNDING
                    )
                    if in_time:
                        flow = said.number()
                        served.append(flow)
                        sent.setdefault((origin, row["class"]), []).append((flow, 1.0))
                share = 1.0 / row["requests_per_s"]
                said.row([*[(y, share) for y in served], (runs, -1.0)], most=0.0)
                busy[row["tp"]] += [(y, share) for y in served]
            for g in degrees:
                said.row([*[(n, 1.0) for n in running[g]], (held[g], -1.0)], most=0.0)
                # What is new in this period loads for its share of it; at first all is loaded.
                new = said.number()
                if (site["site"], g) in before:
                    last = before[site["site"], g]
                    said.row([(held[g], 1.0), (last, -1.0), (new, -1.0)], most=0.0)
                said.row([*busy[g], (held[g], -1.0), (new, loads)], most=0.0)
                before[site["site"], g] = held[g]
            grid = said.number(high=site["backup_kw"])
            said.row([*drawn, (grid, -1.0)], most=float(power[time, site["site"]]))
        for origin in origins:
            for name, limits in classes.items():
                wanted = float(demand[time, origin, name])
                lost = said.number(p.period_seconds * limits["weight"])
                said.equal([*sent.get((origin, name), []), (lost, 1.0)], wanted)
    return said.optimum()


def compare(instance: RoutingInstance) -> list[Finding]:
    """The formulation exactly, and the bounds and plans of the other methods."""
    theirs = optimum(instance)
    exact = om.solve(instance, method="milp", mip_gap=0.0)
    found = [
        same("optimum, milp", exact.objective, theirs),
        at_most("bound, milp", exact.bound, theirs),
    ]
    for method in ("repair",):
        plan = om.solve(instance, method=method)
        found.append(at_most(f"bound, {method}", plan.bound, theirs))
        found.append(at_most(f"optimum, {method}", theirs, plan.objective))
    return found
