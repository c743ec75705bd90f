"""Pipelines for tests: by hand and by seed, and a judge that shares no code with them."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd

from optmodels.routing.pipeline.instance import PipelineInstance

#: The transports of the examples: set-up [us], rate [GB/s], processor time [ns/byte].
TRANSPORTS = {
    "tcp": (60.0, 1.05, 1.0),
    "rdma": (8.0, 2.9, 0.0),
    "gpudirect": (10.0, 2.8, 0.0),
    "local": (2.0, 10.0, 0.0),
}
HOST = {
    "cores": 1e6,
    "gpus": 0,
    "port_gb_per_s": 1e3,
    "rdma": "none",
    "gpudirect": "none",
    "rdma_usd_per_hour": 1.0,
    "gpudirect_usd_per_hour": 0.5,
    "core_usd_per_hour": 0.0,
    "gpu_usd_per_hour": 0.0,
}


def pipelines(
    hosts: dict[str, dict[str, Any]],
    links: list[tuple[Any, ...]],
    services: dict[str, dict[str, Any]],
    transports: dict[str, tuple[float, float, float]] | None = None,
    **parameters: Any,
) -> PipelineInstance:
    """An instance from short forms.

    Links are (a, b) or (a, b, GB/s, us, USD/GB). A service has ``rate``, ``limit``, ``stages`` as
    (name, kind, bytes out, [(host, device, ms), ...]) and ``ties`` as (later, earlier) positions.
    """
    given = TRANSPORTS if transports is None else transports
    tables = {
        "transports": pd.DataFrame(
            [(k, *v) for k, v in given.items()],
            columns=["transport", "setup_us", "gb_per_s", "cpu_ns_per_byte"],
        ),
        "hosts": pd.DataFrame([{"host": name, **HOST, **more} for name, more in hosts.items()]),
        "services": pd.DataFrame(
            [(name, one.get("rate", 1.0), one.get("limit", 1e6)) for name, one in services.items()],
            columns=["service", "rate_per_s", "limit_ms"],
        ),
    }
    stages, candidates, ties = [], [], []
    for name, one in services.items():
        for q, (stage, kind, size, places) in enumerate(one["stages"], start=1):
            stages.append((name, q, stage, kind, float(size)))
            candidates += [(name, q, host, device, float(ms)) for host, device, ms in places]
        ties += [(name, *tie) for tie in one.get("ties", ())]
    tables["stages"] = pd.DataFrame(
        stages, columns=["service", "position", "stage", "kind", "bytes_out"]
    )
    tables["candidates"] = pd.DataFrame(
        candidates, columns=["service", "position", "host", "device", "ms"]
    )
    if links:
        full = [(*link, 1e3, 0.0, 0.0)[:2] + tuple(link[2:] or (1e3, 0.0, 0.0)) for link in links]
        tables["links"] = pd.DataFrame(
            full, columns=["host_a", "host_b", "gb_per_s", "delay_us", "usd_per_gb"]
        )
    if ties:
        tables["ties"] = pd.DataFrame(ties, columns=["service", "position", "with_position"])
    return PipelineInstance(parameters, tables)


def chain(
    states: tuple[str, ...],
    *,
    gpudirect: str = "none",
    request: float = 602_112,
    reply: float = 4_000,
    infer: float = 2.2,
    **more: Any,
) -> PipelineInstance:
    """A client, proxies and a GPU server in a row; `states` are their RDMA cards."""
    names = ["client", *(f"proxy-{i}" for i in range(1, len(states) - 1)), "server"]
    hosts: dict[str, dict[str, Any]] = {
        name: {"rdma": state} for name, state in zip(names, states, strict=True)
    }
    hosts["server"] |= {"gpus": 1, "gpudirect": gpudirect}
    through = [("proxy", "relay", request, [(p, "cpu", 0.05)]) for p in names[1:-1]]
    back = [("proxy", "relay", reply, [(p, "cpu", 0.05)]) for p in names[-2:0:-1]]
    stages = [
        ("send", "compute", request, [("client", "cpu", 0.0)]),
        *through,
        ("infer", "compute", reply, [("server", "gpu", infer)]),
        *back,
        ("receive", "compute", 0.0, [("client", "cpu", 0.0)]),
    ]
    service = {"stages": stages, "rate": more.pop("rate", 1.0), "limit": more.pop("limit", 1e6)}
    links = list(pairwise(names))
    more = {"in_flight_usd_per_hour": 1.0, **more}
    return pipelines(hosts, links, {"only": service}, **more)


def small(seed: int, services: int = 1, *, tight: bool = False) -> PipelineInstance:
    """A random instance with relays, ties, both devices, offered cards and scarce resources."""
    rng = np.random.default_rng(seed)

    def one_of(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    names = ["c", "p", "q", "g", "h"]
    gpus = {"g": 1, "h": int(rng.integers(1, 3))}
    hosts: dict[str, dict[str, Any]] = {}
    for name in names:
        rdma = one_of("offered", "offered", "installed", "none")
        direct = "none"
        if name in gpus and rdma != "none":
            direct = one_of("offered", "none") if rdma == "offered" else one_of("installed", "none")
        hosts[name] = {
            "rdma": rdma,
            "gpudirect": direct,
            "gpus": gpus.get(name, 0),
            "cores": 1e6 if name == "c" else float(one_of(0.5, 1.5, 50.0) if tight else 50.0),
            "port_gb_per_s": float(one_of(0.3, 0.8, 5.0) if tight else 5.0),
            "rdma_usd_per_hour": round(float(rng.uniform(0, 0.15)), 3),
            "gpudirect_usd_per_hour": round(float(rng.uniform(0, 0.1)), 3),
            "core_usd_per_hour": round(float(rng.uniform(0, 0.5)), 3),
            "gpu_usd_per_hour": round(float(rng.uniform(0, 2.0)), 3),
        }
    links = [
        (a, b, float(one_of(0.5, 2.0, 6.0)), float(rng.integers(0, 80)), float(one_of(0.0, 1e-4)))
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if rng.random() < 0.85
    ]
    made = {}
    for k in range(services):
        size, reply = (float(rng.integers(1, 40)) * 1e5 for _ in range(2))
        relay = [(v, "cpu", round(float(rng.uniform(0, 0.2)), 3)) for v in ("p", "q")]
        work = [(v, d, round(float(rng.uniform(0.5, 9)), 3)) for v, d in _places(rng)]
        stages = [
            ("send", "compute", size, [("c", "cpu", 0.0)]),
            ("in", "relay", size, relay),
            ("work", "compute", reply, work),
        ]
        if rng.random() < 0.5:
            more = [(v, "gpu", round(float(rng.uniform(0.5, 4)), 3)) for v in ("g", "h")]
            stages.append(("more", "compute", reply, more))
        stages += [("out", "relay", reply, relay), ("get", "compute", 0.0, [("c", "cpu", 0.0)])]
        made[f"s{k}"] = {
            "rate": round(float(rng.uniform(10, 70)), 2),
            "limit": round(float(rng.uniform(12, 60)), 2) if tight else 60.0,
            "stages": stages,
            "ties": [(len(stages) - 1, 2)] if rng.random() < 0.7 else [],
        }
    return pipelines(
        hosts,
        links,
        made,
        in_flight_usd_per_hour=round(float(rng.uniform(0, 1.0)), 3),
        copy_interference=float(one_of(0.0, 1.0, 2.5)),
        latency_at=one_of("unloaded", "busy"),
        link_busy_max=one_of(0.7, 1.0),
    )


def _places(rng: np.random.Generator) -> list[tuple[str, str]]:
    every = [("g", "gpu"), ("h", "gpu"), ("g", "cpu"), ("q", "cpu")]
    return [one for one in every if rng.random() < 0.7] or [("g", "gpu")]


# -- a judge of its own ---------------------------------------------------------------------------


class Judge:
    """Latencies, loads and costs from the tables, written without the code that is tested."""

    def __init__(self, inst: PipelineInstance) -> None:
        self.inst = inst
        t = inst.tables
        self.p = inst.parameters
        self.transport = t["transports"].set_index("transport").to_dict("index")
        self.host = t["hosts"].set_index("host").to_dict("index")
        self.link = {}
        for row in t["links"].to_dict("records") if "links" in t else []:
            self.link[row["host_a"], row["host_b"]] = row
            self.link[row["host_b"], row["host_a"]] = row
        self.service = t["services"].set_index("service").to_dict("index")
        self.stages = {
            name: group.sort_values("position").to_dict("records")
            for name, group in t["stages"].groupby("service")
        }
        self.places = {
            key: [(r["host"], r["device"], r["ms"]) for r in group.to_dict("records")]
            for key, group in t["candidates"].groupby(["service", "position"])
        }
        self.ties = t["ties"].to_dict("records") if "ties" in t else []

    def routes(self, name: str) -> list[dict[str, Any]]:
        """Every route of a service with its facts, limits apart."""
        stages = self.stages[name]
        found = []
        for places in product(*(self.places[name, s["position"]] for s in stages)):
            if any(
                t["service"] == name
                and places[t["position"] - 1][0] != places[t["with_position"] - 1][0]
                for t in self.ties
            ):
                continue
            options = [self._options(a, b) for a, b in pairwise(places)]
            found += [self._route(name, places, kinds) for kinds in product(*options)]
        return found

    def _options(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> list[str]:
        if a[0] == b[0]:
            return ["local"]
        if (a[0], b[0]) not in self.link:
            return []
        one, two = self.host[a[0]], self.host[b[0]]
        found = ["tcp"]
        if "none" not in (one["rdma"], two["rdma"]):
            found.append("rdma")
            ends = [h["gpudirect"] for h, x in ((one, a), (two, b)) if x[1] == "gpu"]
            if ends and "none" not in ends:
                found.append("gpudirect")
        return found

    def _route(
        self, name: str, places: tuple[tuple[Any, ...], ...], kinds: tuple[str, ...]
    ) -> dict[str, Any]:
        rate = self.service[name]["rate_per_s"]
        stages = self.stages[name]
        stretch = 1 / (1 - self.p.gpu_busy_max) if self.p.latency_at == "busy" else 1.0
        delay, usd = 0.0, 0.0
        load: dict[Any, float] = {}
        cards = set()

        def take(what: Any, amount: float) -> None:
            load[what] = load.get(what, 0.0) + amount

        for host, device, ms in places:
            delay += ms * (stretch if device == "gpu" else 1.0)
            take((device, host), rate * ms / 1e3)
        for q, kind in enumerate(kinds):
            (a, da, _), (b, db, _) = places[q], places[q + 1]
            size = stages[q]["bytes_out"]
            facts = self.transport[kind]
            copy = self.p.copy_setup_us / 1e3 + size / self.p.copy_gb_per_s / 1e6
            stays = kind == "local" and da == db == "gpu"
            copied = kind != "gpudirect" and not stays
            if not stays:
                speed = facts["gb_per_s"]
                delay += facts["setup_us"] / 1e3
                if kind != "local":
                    link = self.link[a, b]
                    speed = min(
                        speed,
                        link["gb_per_s"],
                        self.host[a]["port_gb_per_s"],
                        self.host[b]["port_gb_per_s"],
                    )
                    delay += link["delay_us"] / 1e3
                    flow = rate * size / 1e9
                    take(("link", a, b), flow)
                    take(("out", a), flow)
                    take(("in", b), flow)
                    usd += flow * 3600 * link["usd_per_gb"]
                delay += size / speed / 1e6
                for end in (a, b):
                    take(("cpu", end), rate * facts["cpu_ns_per_byte"] * size / 1e9)
            for end, device in ((a, da), (b, db)):
                if copied and device == "gpu":
                    delay += copy
                    take(("gpu", end), rate * self.p.copy_interference * copy / 1e3)
            if q and stages[q]["kind"] == "relay":
                sides = {"tcp": 1, "local": 0}
                if sides.get(kinds[q - 1], -1) * sides.get(kind, -1) == -1:
                    moved = size / self.p.translation_gb_per_s / 1e6
                    delay += moved
                    take(("cpu", a), rate * moved / 1e3)
            if kind in ("rdma", "gpudirect"):
                cards |= {(a, "rdma"), (b, "rdma")}
                if kind == "gpudirect":
                    cards |= {(h, "gpudirect") for h, d in ((a, da), (b, db)) if d == "gpu"}
        bought = {(h, nic) for h, nic in cards if self.host[h][nic] == "offered"}
        for what, amount in load.items():
            if what[0] in ("cpu", "gpu"):
                price = {"cpu": "core_usd_per_hour", "gpu": "gpu_usd_per_hour"}[what[0]]
                usd += amount * self.host[what[1]][price]
        usd += rate * delay / 1e3 * self.p.in_flight_usd_per_hour
        return {
            "places": places,
            "kinds": kinds,
            "delay": delay,
            "usd": usd,
            "load": load,
            "cards": bought,
        }

    def capacity(self, what: Any) -> float:
        """How much there is of something."""
        if what[0] == "link":
            return float(self.link[what[1], what[2]]["gb_per_s"] * self.p.link_busy_max)
        host = self.host[what[1]]
        if what[0] == "gpu":
            return float(host["gpus"] * self.p.gpu_busy_max)
        if what[0] == "cpu":
            return float(host["cores"])
        return float(host["port_gb_per_s"] * self.p.link_busy_max)

    def card_usd(self, cards: set[tuple[str, str]]) -> float:
        """What cards cost."""
        return float(sum(self.host[h][f"{nic}_usd_per_hour"] for h, nic in cards))

    def best(self) -> float | None:
        """Least cost of any plan, by trying all; None where there is none."""
        choices = []
        for name, facts in self.service.items():
            inside = [
                r
                for r in self.routes(name)
                if r["delay"] <= facts["limit_ms"] * (1 + 1e-9) and self._fits([r])
            ]
            choices.append(inside)
        best = None
        for routes in product(*choices):
            if not self._fits(routes):
                continue
            cards = set().union(*(r["cards"] for r in routes))
            usd = sum(r["usd"] for r in routes) + self.card_usd(cards)
            best = usd if best is None else min(best, usd)
        return best

    def _fits(self, routes: Any) -> bool:
        load: dict[Any, float] = {}
        for route in routes:
            for what, amount in route["load"].items():
                load[what] = load.get(what, 0.0) + amount
        return all(a <= self.capacity(what) * (1 + 1e-9) for what, a in load.items())
