"""``ensembles.failover``: backups by name, failure by failure, against counted ones and options.

Two questions. Warm and cold backups together: the statement has a variable for every failure,
application, pair of variants and server, and counts what is *lost*; ours counts what is gained, and
leaves out pairs that gain nothing. Its optimum is the optimum of the formulation, a bound for all
plans. Warm backups alone: the statement names every application, ours counts alike ones.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

import optmodels as om
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.warm_backups import place_backups

from .statement import Finding, Statement, at_most, same

ROUNDING = 1e-9


def draw(rng: np.random.Generator) -> FailoverInstance:
    """A few servers with little room, families of a few variants, alike applications."""
    servers = int(rng.integers(2, 5))
    names = [f"s{k}" for k in range(servers)]
    models = []
    families = {}
    for family in "ab"[: rng.integers(1, 3)]:
        sizes = np.sort(rng.choice([10.0, 20.0, 40.0, 60.0, 90.0], rng.integers(1, 4), False))
        best = np.sort(rng.choice([0.5, 0.6, 0.7, 0.8, 0.9], len(sizes), False))
        families[family] = [f"{family}{n}" for n in range(len(sizes))]
        models += [
            {
                "model": f"{family}{n}",
                "family": family,
                "memory_mb": float(size),
                "accuracy": float(accuracy),
                "load_ms": float(size) * 20,
                "first_ms": float(rng.choice([0.0, 100.0])),
                "inference_ms": float(rng.choice([1.0, 5.0])),
                "gflop": float(rng.choice([0.0, size / 10])),
            }
            for n, (size, accuracy) in enumerate(zip(sizes, best, strict=True))
        ]
    facts = {row["model"]: row for row in models}
    applications = []
    for a in range(int(rng.integers(1, 6))):
        family = str(rng.choice(list(families)))
        applications.append(
            {
                "application": f"app{a}",
                "model": str(rng.choice(families[family])),
                "server": str(rng.choice(names)),
                "rate_per_s": float(rng.choice([1.0, 2.0])),
                "weight": float(rng.choice([1.0, 1.0, 3.0])),
                "latency_limit_ms": float(rng.choice([4.0, 100.0])),
                "critical": bool(rng.random() < 0.7),
            }
        )
    # A primary answers in time at home, and fits there.
    for app in applications:
        own = facts[app["model"]]
        app["latency_limit_ms"] = max(app["latency_limit_ms"], own["inference_ms"])
    free = rng.choice([0.0, 15.0, 45.0, 70.0, 120.0], servers)
    spare = rng.choice([2.0, 10.0, 1e3], servers)
    used = [[a for a in applications if a["server"] == name] for name in names]
    tables = {
        "servers": pd.DataFrame(
            {
                "server": names,
                "site": [f"site{k % 3}" for k in range(servers)],
                "memory_mb": [
                    max(float(free[k]) + sum(facts[a["model"]]["memory_mb"] for a in own), 1.0)
                    for k, own in enumerate(used)
                ],
                "compute_gflops": [
                    float(spare[k]) + sum(a["rate_per_s"] * facts[a["model"]]["gflop"] for a in own)
                    for k, own in enumerate(used)
                ],
            }
        ),
        "models": pd.DataFrame(models),
        "applications": pd.DataFrame(applications),
    }
    if rng.random() < 0.3:
        rows = [("first", names[0], 2.0), ("both", names[0], 1.0), ("both", names[1], 1.0)]
        tables["scenarios"] = pd.DataFrame(rows, columns=["scenario", "server", "weight"])
    return FailoverInstance(
        {
            "horizon_s": float(rng.choice([2.0, 60.0])),
            "loading": str(rng.choice(["serial", "parallel"])),
            "scope": str(rng.choice(["servers", "sites"])),
            "site_rule": bool(rng.random() < 0.5),
            "headroom": float(rng.choice([0.0, 0.2, 0.5])),
            "headroom_per_server": bool(rng.random() < 0.5),
            "multiplexed_compute": bool(rng.random() < 0.5),
        },
        tables,
    )


class _Facts:
    """The raw tables in the order of their rows."""

    def __init__(self, instance: FailoverInstance) -> None:
        p, tables = instance.parameters, instance.tables
        self.p = p
        self.servers = tables["servers"].to_dict("records")
        self.site = {s["server"]: s["site"] for s in self.servers}
        models = tables["models"].to_dict("records")
        by_name = {m["model"]: m for m in models}
        self.apps = tables["applications"].to_dict("records")
        self.memory = {s["server"]: s["memory_mb"] for s in self.servers}
        self.compute = {s["server"]: s["compute_gflops"] for s in self.servers}
        for app in self.apps:
            primary = by_name[app["model"]]
            app["variants"] = [
                {
                    **m,
                    "gflops": app["rate_per_s"] * m["gflop"],
                    "quality": m["accuracy"] / primary["accuracy"],
                }
                for m in models
                if m["family"] == primary["family"] and m["memory_mb"] <= primary["memory_mb"]
            ]
            self.memory[app["server"]] -= primary["memory_mb"]
            self.compute[app["server"]] -= app["rate_per_s"] * primary["gflop"]
        trips: dict[tuple[str, str], float] = {}
        if "network" in tables:
            trips = {
                (r.application, r.server): r.network_ms for r in tables["network"].itertuples()
            }
        self.trip = lambda app, server: trips.get((app["application"], server), 0.0)
        self.failures = list(self._failures(tables))

    def _failures(self, tables: Any):
        """Servers that are down, and the probability of that."""
        if "scenarios" in tables:
            rows = tables["scenarios"]
            groups = [
                (set(own["server"]), float(own["weight"].iloc[0]))
                for _, own in rows.groupby("scenario")
            ]
        elif self.p.scope == "sites":
            groups = [
                ({s for s, place in self.site.items() if place == site}, 1.0)
                for site in sorted(set(self.site.values()))
            ]
        else:
            groups = [({s}, 1.0) for s in self.site]
        total = sum(weight for _, weight in groups)
        for down, weight in groups:
            yield down, weight / total

    def fast(self, app: Any, variant: Any, server: str) -> bool:
        return self.trip(app, server) + variant["inference_ms"] <= app["latency_limit_ms"]

    def fits(self, variant: Any, server: str) -> bool:
        return variant["memory_mb"] <= max(self.memory[server], 0.0) and variant["gflops"] <= max(
            self.compute[server], 0.0
        )

    def may_stand(self, app: Any, variant: Any, server: str) -> bool:
        """Whether a warm backup may be there."""
        if server == app["server"]:
            return False
        if self.p.site_rule and self.site[server] == self.site[app["server"]]:
            return False
        return self.fast(app, variant, server) and self.fits(variant, server)

    def lost(self, up: float, final: float, first: float, last: float) -> float:
        """Seconds of full service that are lost within the horizon; times in ms."""
        horizon = self.p.horizon_s * 1e3
        up, final = min(up, horizon), min(final, horizon)
        ms = up + (1 - first) * (final - up) + (1 - last) * (horizon - final)
        return ms / 1e3


def optimum(instance: FailoverInstance) -> float:
    """Least service lost by warm and cold backups together, without any waiting in queues."""
    facts = _Facts(instance)
    p = facts.p
    noticed = (p.missed_heartbeats - 0.5) * p.heartbeat_ms + p.grace_ms
    said = Statement()
    warm: dict[str, dict[str, list[tuple[int, Any]]]] = defaultdict(lambda: defaultdict(list))
    held: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for app in facts.apps:
        every = []
        for variant in app["variants"]:
            for server in facts.site:
                if facts.may_stand(app, variant, server):
                    x = said.choice()
                    every.append((x, 1.0))
                    warm[app["application"]][server].append((x, variant))
                    held[server].append((x, variant["memory_mb"]))
        said.row(every, most=1.0)
    for server, terms in held.items():
        said.row(terms, most=max(facts.memory[server], 0.0))
    for down, chance in facts.failures:
        room = {s: list(held[s]) for s in facts.site if s not in down}
        work: dict[str, list[tuple[int, float]]] = {s: [] for s in room}
        stages: dict[str, list[tuple[Any, list[int], float]]] = {s: [] for s in room}
        for app in facts.apps:
            hit = app["server"] in down
            for server in room:
                if hit or not p.multiplexed_compute:
                    work[server] += [
                        (x, variant["gflops"]) for x, variant in warm[app["application"]][server]
                    ]
            if not hit:
                continue
            weight = chance * app["weight"]
            nothing = said.number(weight * p.horizon_s, high=1.0)
            ways = [(nothing, 1.0)]
            for server in sorted(facts.site.keys() - down):
                for x, variant in warm[app["application"]][server]:
                    up = noticed + p.switch_ms
                    loss = facts.lost(up, up, variant["quality"], variant["quality"])
                    # Standing and called: no way but one is taken, so this is the warm one's.
                    called = said.number(weight * loss, high=1.0)
                    said.row([(called, 1.0), (x, -1.0)], most=0.0)
                    said.row([(called, 1.0), (x, -1.0)], least=0.0)
                    ways.append((called, 1.0))
                two: list[int] = []
                least = np.inf
                for last in app["variants"]:
                    for first in app["variants"]:
                        direct = first["model"] == last["model"]
                        if not direct and first["memory_mb"] > last["memory_mb"]:
                            continue
                        if not (facts.fast(app, first, server) and facts.fast(app, last, server)):
                            continue
                        if not facts.fits(last, server):
                            continue
                        start = noticed + p.plan_ms + p.switch_ms
                        up = start + first["load_ms"] + first["first_ms"]
                        final = up + (0.0 if direct else last["load_ms"] + last["first_ms"])
                        loss = facts.lost(up, final, first["quality"], last["quality"])
                        at_once = start + last["load_ms"] + last["first_ms"]
                        plain = facts.lost(at_once, at_once, last["quality"], last["quality"])
                        if not direct and loss >= plain - 1e-12:
                            continue
                        y = said.choice(weight * loss)
                        ways.append((y, 1.0))
                        room[server].append((y, last["memory_mb"]))
                        work[server].append((y, last["gflops"]))
                        if not direct:
                            two.append(y)
                            least = min(least, first["memory_mb"])
                if two:
                    stages[server].append((app, two, least))
            said.equal(ways, 1.0)
        for server, terms in room.items():
            if stages[server]:
                # Whoever is last to change its small replica for a larger one holds both.
                smallest = min(least for _, _, least in stages[server])
                both = said.number(high=1.0)
                for _, two, _ in stages[server]:
                    said.row([*[(y, 1.0) for y in two], (both, -1.0)], most=0.0)
                terms.append((both, smallest))
            said.row(terms, most=max(facts.memory[server], 0.0))
            said.row(work[server], most=max(facts.compute[server], 0.0))
    return said.optimum()


def most_backups(instance: FailoverInstance) -> float:
    """Greatest sum of weight times relative accuracy of warm backups, named one by one."""
    facts = _Facts(instance)
    p = facts.p
    said = Statement()
    kinds = {"memory_mb": facts.memory, "gflops": facts.compute}
    held: dict[str, dict[str, list[Any]]] = {kind: defaultdict(list) for kind in kinds}
    for app in facts.apps:
        if not app["critical"]:
            continue
        every = []
        for variant in app["variants"]:
            for server in facts.site:
                if facts.may_stand(app, variant, server):
                    x = said.choice(-app["weight"] * variant["quality"])
                    every.append((x, 1.0))
                    for kind in kinds:
                        held[kind][server].append((x, variant[kind], app["server"]))
        said.row(every, most=1.0)
    for kind, capacity in kinds.items():
        free = {server: max(amount, 0.0) for server, amount in capacity.items()}
        if kind == "gflops" and p.multiplexed_compute:
            for down, _ in facts.failures:
                for server in set(facts.site) - down:
                    called = [(x, n) for x, n, home in held[kind][server] if home in down]
                    said.row(called, most=free[server])
            continue
        share = 1 - p.headroom
        for server in facts.site:
            terms = [(x, n) for x, n, _ in held[kind][server]]
            said.row(terms, most=free[server] * (share if p.headroom_per_server else 1.0))
        everything = [(x, n) for terms in held[kind].values() for x, n, _ in terms]
        said.row(everything, most=share * sum(free.values()))
    return -said.optimum()


def compare(instance: FailoverInstance) -> list[Finding]:
    """The formulation and the oracle's bound, and warm backups by two methods."""
    theirs = optimum(instance)
    solution = om.solve_model(instance.model(), mip_gap=0.0).require()
    plan = om.solve(instance, method="milp", mip_gap=0.0)
    found = [
        same("optimum, formulation", solution.objective, theirs),
        at_most("bound, milp", plan.bound, plan.objective),
        at_most("optimum, milp", theirs, plan.objective),
        at_most("bound, milp", theirs, plan.bound),
    ]
    if instance.critical.any():
        most = most_backups(instance)
        for method in ("milp", "exact"):
            made = place_backups(instance, method=method, mip_gap=0.0)
            found.append(same(f"warm backups, {method}", made.value, most))
    return found
