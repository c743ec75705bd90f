"""``routing.pipeline``: one variable per whole route, against arcs and against label setting.

Second statement: every route of every service is written out (a place for each stage, a transport
for each hop), timed and priced by the words, and one of those in time is chosen for each. Columns
against rows; for one service, all routes against labels that leave most of them out.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd

import optmodels as om
from optmodels.errors import InfeasibleError
from optmodels.routing.pipeline.instance import PipelineInstance

from .statement import INFEASIBLE, Finding, Statement, at_most, same

ROUNDING = 1e-9


def draw(rng: np.random.Generator) -> PipelineInstance:
    """A few hosts with few cores, GPUs and cards, some not linked; chains with relays and ties."""
    count = int(rng.integers(2, 5))
    names = [f"h{v}" for v in range(count)]
    hosts = []
    for name in names:
        gpus = int(rng.choice([0, 1, 2]))
        rdma = str(rng.choice(["none", "offered", "offered", "installed"]))
        direct = "none"
        if gpus and rdma != "none":
            direct = str(rng.choice(["none", "offered"] + ["installed"] * (rdma == "installed")))
        hosts.append(
            {
                "host": name,
                "cores": float(rng.choice([0.8, 4.0, 100.0])),
                "gpus": gpus,
                "port_gb_per_s": float(rng.choice([0.7, 3.0, 12.5])),
                "rdma": rdma,
                "gpudirect": direct,
                "rdma_usd_per_hour": float(rng.choice([0.0, 0.3, 1.0])),
                "gpudirect_usd_per_hour": float(rng.choice([0.0, 0.5])),
                "core_usd_per_hour": float(rng.choice([0.0, 0.05])),
                "gpu_usd_per_hour": float(rng.choice([0.0, 2.0])),
            }
        )
    gpu_hosts = [h["host"] for h in hosts if h["gpus"]]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    links = [
        (a, b, float(rng.choice([0.4, 2.0, 12.5])), float(rng.choice([0.0, 20.0, 500.0])), usd)
        for a, b in pairs
        for usd in [float(rng.choice([0.0, 0.01]))]
        if rng.random() < 0.97
    ]
    services, stages, candidates, ties = [], [], [], []
    for k in range(int(rng.integers(1, 4))):
        name = f"k{k}"
        length = int(rng.integers(2, 5))
        services.append(
            (name, float(rng.choice([5.0, 20.0, 100.0])), float(rng.choice([4, 12, 60, 400])))
        )
        for q in range(1, length + 1):
            relay = 1 < q < length and rng.random() < 0.5
            size = float(rng.choice([0.0, 4e3, 6e5, 3e6]))
            stages.append((name, q, f"stage-{q}", "relay" if relay else "compute", size))
            places = set()
            for _ in range(int(rng.integers(1, 3))):
                gpu = bool(gpu_hosts) and not relay and q > 1 and rng.random() < 0.6
                where = str(rng.choice(gpu_hosts if gpu else names))
                places.add((where, "gpu" if gpu else "cpu"))
            candidates += [
                (name, q, host, device, float(rng.choice([0.0, 0.05, 1.0, 4.0])))
                for host, device in sorted(places)
            ]
        if length > 2 and rng.random() < 0.3:
            ties.append((name, length, 1))
    tables = {
        "transports": pd.DataFrame(
            [
                ("tcp", 60.0, 1.05, 1.0),
                ("rdma", 8.0, 2.9, 0.0),
                ("gpudirect", 10.0, 2.8, 0.0),
                ("local", 2.0, 10.0, 0.0),
            ],
            columns=["transport", "setup_us", "gb_per_s", "cpu_ns_per_byte"],
        ),
        "hosts": pd.DataFrame(hosts),
        "services": pd.DataFrame(services, columns=["service", "rate_per_s", "limit_ms"]),
        "stages": pd.DataFrame(
            stages, columns=["service", "position", "stage", "kind", "bytes_out"]
        ),
        "candidates": pd.DataFrame(
            candidates, columns=["service", "position", "host", "device", "ms"]
        ),
    }
    if links:
        tables["links"] = pd.DataFrame(
            links, columns=["host_a", "host_b", "gb_per_s", "delay_us", "usd_per_gb"]
        )
    if ties:
        tables["ties"] = pd.DataFrame(ties, columns=["service", "position", "with_position"])
    return PipelineInstance(
        {
            "copy_interference": float(rng.choice([0.0, 1.0])),
            "gpu_busy_max": 0.8,
            "link_busy_max": float(rng.choice([0.5, 1.0])),
            "latency_at": str(rng.choice(["unloaded", "busy"])),
            "in_flight_usd_per_hour": float(rng.choice([0.0, 1.0])),
        },
        tables,
    )


class _Words:
    """What a route takes, by the words of the documentation; times in ms, payloads in bytes."""

    def __init__(self, instance: PipelineInstance) -> None:
        self.p, tables = instance.parameters, instance.tables
        self.hosts = {row["host"]: row for row in tables["hosts"].to_dict("records")}
        self.transports = {row["transport"]: row for row in tables["transports"].to_dict("records")}
        self.links: dict[tuple[str, str], dict[str, Any]] = {}
        if "links" in tables:
            for row in tables["links"].to_dict("records"):
                self.links[row["host_a"], row["host_b"]] = row
                self.links[row["host_b"], row["host_a"]] = row
        self.ties = defaultdict(list)
        if "ties" in tables:
            for row in tables["ties"].to_dict("records"):
                self.ties[row["service"]].append((row["position"], row["with_position"]))

    def capacity(self, resource: tuple[str, ...]) -> float:
        kind, *where = resource
        if kind == "link":
            return self.links[tuple(where)]["gb_per_s"] * self.p.link_busy_max
        host = self.hosts[where[0]]
        return {
            "out": host["port_gb_per_s"] * self.p.link_busy_max,
            "in": host["port_gb_per_s"] * self.p.link_busy_max,
            "cores": host["cores"],
            "gpus": host["gpus"] * self.p.gpu_busy_max,
        }[kind]

    def usd(self, resource: tuple[str, ...], amount: float) -> float:
        kind, *where = resource
        if kind == "link":
            return amount * 3600 * self.links[tuple(where)]["usd_per_gb"]
        prices = {"cores": "core_usd_per_hour", "gpus": "gpu_usd_per_hour"}
        return amount * self.hosts[where[0]][prices[kind]] if kind in prices else 0.0

    def hops(self, one: dict[str, Any], other: dict[str, Any]) -> list[str]:
        """Transports between two places for which cards are there, or can be bought."""
        if one["host"] == other["host"]:
            return ["local"]
        if (one["host"], other["host"]) not in self.links:
            return []
        found = ["tcp"]
        for kind in ("rdma", "gpudirect"):
            devices = [place["device"] for place in (one, other)]
            if kind == "gpudirect" and "gpu" not in devices:
                continue
            if all(self.hosts[h][card] != "none" for h, card in self.cards(kind, one, other)):
                found.append(kind)
        return found

    @staticmethod
    def cards(kind: str, one: dict[str, Any], other: dict[str, Any]) -> set[tuple[str, str]]:
        needed = set()
        if kind in ("rdma", "gpudirect"):
            needed |= {(place["host"], "rdma") for place in (one, other)}
        if kind == "gpudirect":
            needed |= {
                (place["host"], "gpudirect") for place in (one, other) if place["device"] == "gpu"
            }
        return needed

    def routes(self, name: str, stages: list[dict[str, Any]], places: list[list[dict[str, Any]]]):
        """Every way through the places, with a transport for every hop."""
        for way in product(*places):
            if any(way[a - 1]["host"] != way[b - 1]["host"] for a, b in self.ties[name]):
                continue
            for kinds in product(*(self.hops(a, b) for a, b in pairwise(way))):
                yield way, kinds

    def judged(self, service: dict[str, Any], stages, way, kinds):
        """Latency, load on resources, and cards of a route."""
        p, rate = self.p, service["rate_per_s"]
        load: dict[tuple[str, ...], float] = defaultdict(float)
        cards: set[tuple[str, str]] = set()
        delay = 0.0
        for place in way:
            gpu = place["device"] == "gpu"
            load["gpus" if gpu else "cores", place["host"]] += rate * place["ms"] / 1e3
            slower = gpu and p.latency_at == "busy"
            delay += place["ms"] / (1 - p.gpu_busy_max) if slower else place["ms"]
        arrival = None
        for q, kind in enumerate(kinds):
            one, other, size = way[q], way[q + 1], stages[q]["bytes_out"]
            cards |= self.cards(kind, one, other)
            how = self.transports[kind]
            copy = p.copy_setup_us / 1e3 + size / (p.copy_gb_per_s * 1e6)
            on_gpu = [place["device"] == "gpu" for place in (one, other)]
            busy = rate / 1e3
            if kind == "local":
                transfer = how["setup_us"] / 1e3 + size / (how["gb_per_s"] * 1e6)
                if all(on_gpu):
                    arrival = kind
                    continue
            else:
                link = self.links[one["host"], other["host"]]
                ports = [self.hosts[place["host"]]["port_gb_per_s"] for place in (one, other)]
                speed = min(how["gb_per_s"], link["gb_per_s"], *ports)
                transfer = (how["setup_us"] + link["delay_us"]) / 1e3 + size / (speed * 1e6)
                traffic = rate * size / 1e9
                load["link", one["host"], other["host"]] += traffic
                load["out", one["host"]] += traffic
                load["in", other["host"]] += traffic
            delay += transfer
            if kind != "gpudirect":
                for place, gpu in zip((one, other), on_gpu, strict=True):
                    if gpu:
                        delay += copy
                        load["gpus", place["host"]] += busy * p.copy_interference * copy
            for place in (one, other):
                load["cores", place["host"]] += busy * how["cpu_ns_per_byte"] * size / 1e6
            if stages[q]["kind"] == "relay" and (
                (arrival == "tcp" and kind in ("rdma", "gpudirect"))
                or (kind == "tcp" and arrival in ("rdma", "gpudirect"))
            ):
                moved = size / (p.translation_gb_per_s * 1e6)
                delay += moved
                load["cores", one["host"]] += busy * moved
            arrival = kind
        return delay, load, cards


def optimum(instance: PipelineInstance) -> float:
    """Least cost [USD/h] over whole routes, from the raw tables."""
    words, tables = _Words(instance), instance.tables
    said = Statement()
    cards: dict[tuple[str, str], int] = {}
    for name, host in words.hosts.items():
        for card in ("rdma", "gpudirect"):
            if host[card] == "offered":
                cards[name, card] = said.choice(host[f"{card}_usd_per_hour"])
    taken: dict[tuple[str, ...], list[tuple[int, float]]] = defaultdict(list)
    for service in tables["services"].to_dict("records"):
        name = service["service"]
        stages = tables["stages"]
        stages = stages[stages["service"] == name].sort_values("position").to_dict("records")
        places = tables["candidates"]
        places = places[places["service"] == name]
        by_stage = [
            places[places["position"] == one["position"]].to_dict("records") for one in stages
        ]
        chosen = []
        for way, kinds in words.routes(name, stages, by_stage):
            delay, load, needed = words.judged(service, stages, way, kinds)
            if delay > service["limit_ms"] * (1 + ROUNDING):
                continue
            usd = sum(words.usd(r, amount) for r, amount in load.items())
            usd += service["rate_per_s"] * delay / 1e3 * words.p.in_flight_usd_per_hour
            x = said.choice(usd)
            chosen.append((x, 1.0))
            for resource, amount in load.items():
                taken[resource].append((x, amount))
            for card in needed & cards.keys():
                said.row([(x, 1.0), (cards[card], -1.0)], most=0.0)
        said.equal(chosen, 1.0)
    for resource, terms in taken.items():
        limit = words.capacity(resource)
        if limit > 0:
            said.row([(x, amount / limit) for x, amount in terms], most=1.0)
        else:
            said.equal([(x, 1.0) for x, amount in terms if amount > 0], 0.0)
    return said.optimum()


def compare(instance: PipelineInstance) -> list[Finding]:
    """The formulation, and labels for a service that has all hosts to itself."""
    theirs = optimum(instance)
    methods = ["milp", "labels"] if len(instance.tables["services"]) == 1 else ["milp"]
    found = []
    for method in methods:
        try:
            plan = om.solve(instance, method=method, mip_gap=0.0)
        except InfeasibleError:
            found.append(same(f"optimum, {method}", INFEASIBLE, theirs))
            continue
        found.append(same(f"optimum, {method}", plan.objective, theirs))
        found.append(at_most(f"bound, {method}", plan.bound, theirs))
    return found
