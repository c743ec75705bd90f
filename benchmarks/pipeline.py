"""Measure what faster transports save in serving pipelines, and how far the oracle of routes goes.

    python benchmarks/pipeline.py [--quick] [--json FILE]

Lone requests and closed loops of clients, by model and transport, beside the paper's figures
("Understanding the Benefits of Hardware-Accelerated Communication in Model-Serving Applications",
arXiv:2305.03165: 15 to 50 % and 70 to 160 ms); which interference of copies those would take; the
laws that any such model must keep. Rules for routes and cards against the optimum; label setting
against the programme; the programme up to 50 services on 100 hosts. Nothing here is measured on
hardware: transports, inference times and interference are parameters of ours, listed in the output.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import _harness
import numpy as np
import pandas as pd
from _harness import Check, Options, Report, in_processes

from optmodels.comparison import compare
from optmodels.routing.pipeline import synthetic
from optmodels.routing.pipeline.catalogue import MODELS, ServedModel
from optmodels.routing.pipeline.figures import (
    DIRECT,
    PROXIED,
    priority_table,
    savings_table,
    transport_table,
)
from optmodels.routing.pipeline.labels import Terms, cheapest_route
from optmodels.routing.pipeline.model import formulation, model_data
from optmodels.routing.pipeline.optimum import graphs_of, greedy_start, solve, worth
from optmodels.routing.pipeline.serving import (
    Serving,
    interference_for,
    with_interference,
)
from optmodels.routing.pipeline.transport import DEFAULTS, PARSE_US
from optmodels.solver import compile_model

PAPER_SHARE = (0.15, 0.50)
PAPER_MS = (70.0, 160.0)
"""What the paper reports GPUDirect to save."""
CLIENTS = (1, 2, 4, 8, 16)
"""The paper goes up to 16 clients, as far as we recall."""
ETAS = (0.0, 1.0, 2.0, 4.0)
TOY = {"tcp → tcp": 3.769600, "tcp → rdma": 3.373119, "tcp → gpudirect": 3.309482}
TOY |= {"rdma → rdma": 2.825109, "rdma → gpudirect": 2.761473}
"""EfficientNetB0 behind one proxy, added up by hand [ms]."""
GPU_BOUND = ("ResNet50", "WideResNet101", "YoloV4", "DeepLabV3")
"""Models whose GPU is the bottleneck, whatever the transport."""
MANY = 200
"""Clients at which a server is saturated."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Scale:
    """One size of the programme."""

    services: int
    hosts: int
    choices: int
    limit_s: float


@dataclass(frozen=True)
class Size:
    """How much is run."""

    scales: tuple[Scale, ...]
    rules: int
    single: int
    widest_gap: float


FULL = Size(
    scales=(Scale(10, 20, 4, 60), Scale(25, 50, 4, 120), Scale(50, 100, 8, 300)),
    rules=12,
    single=40,
    widest_gap=0.05,
)
QUICK = Size(
    scales=(Scale(6, 20, 4, 8), Scale(12, 30, 4, 8)),
    rules=2,
    single=8,
    widest_gap=0.05,
)


@dataclass(frozen=True)
class Task:
    """One part of the work, small enough for one process."""

    part: str
    number: int
    size: Size
    seed: int


# ---------------------------------------------------------------------------------- served models
def lone_rows(task: Task) -> list[dict[str, Any]]:
    """Latency of a lone request by model and transports."""
    direct = transport_table(chains=DIRECT).assign(proxies=0)
    proxied = transport_table(chains=PROXIED).assign(proxies=1)
    return _records(pd.concat([direct, proxied]))


def client_rows(task: Task) -> list[dict[str, Any]]:
    """What GPUDirect and RDMA save, by model, clients and interference."""
    frames = []
    for eta in ETAS:
        constants = replace(DEFAULTS, copy_interference=eta)
        for proxies, chains in ((0, DIRECT[:3]), (1, PROXIED[:3])):
            table = savings_table(clients=(*CLIENTS, MANY), chains=chains, constants=constants)
            frames.append(table.assign(eta=eta, proxies=proxies))
    return _records(pd.concat(frames))


def interference_rows(task: Task) -> list[dict[str, Any]]:
    """Interference that the paper's savings would take with 16 clients."""
    rows = []
    for model in MODELS.values():
        slow, fast = Serving(model, ("tcp",)), Serving(model, ("gpudirect",))
        copies = slow.copies_ms
        row: dict[str, Any] = {"model": model.name, "infer_ms": model.infer_ms, "copies_ms": copies}
        for ms in PAPER_MS:
            row[f"eta_for_{ms:g}_ms"] = interference_for(ms, slow, fast, CLIENTS[-1])
        base = slow.response_ms(CLIENTS[-1])
        row["saved_ms"] = base - fast.response_ms(CLIENTS[-1])
        row["saved"] = row["saved_ms"] / base
        rows.append(row)
    return rows


def law_rows(task: Task) -> list[dict[str, Any]]:
    """Laws of the model over a grid of payloads, inference times and clients."""
    rows = []
    sizes, times = (10_000, 100_000, 1_000_000, 10_000_000), (0.5, 2.0, 8.0, 32.0, 128.0)

    def saved(size: int, infer: float) -> float:
        model = ServedModel("any", size, size, size, infer)
        tcp, direct = (Serving(model, (kind,)).alone_ms for kind in ("tcp", "gpudirect"))
        return 1 - direct / tcp

    for size in sizes:
        steps = [saved(size, b) - saved(size, a) for a, b in pairwise(times)]
        rows.append({"law": "saving falls with inference", "value": max(steps)})
    for infer in times:
        steps = [saved(b, infer) - saved(a, infer) for a, b in pairwise(sizes)]
        rows.append({"law": "saving rises with bytes", "value": min(steps)})
    for model in MODELS.values():
        chain = [Serving(model, (kind,)).alone_ms for kind in ("gpudirect", "rdma", "tcp")]
        rows.append({"law": "gpudirect <= rdma <= tcp", "value": min(np.diff(chain))})
        for hops in (*DIRECT, *PROXIED):
            serving = Serving(model, hops)
            off = abs(serving.response_ms(1) / serving.alone_ms - 1)
            rows.append({"law": "one client is a lone request", "value": off})
            parts = abs(sum(ms for _, ms in serving.parts()) - serving.alone_ms)
            rows.append({"law": "parts add up", "value": parts})
        slow, fast = Serving(model, ("tcp",)), Serving(model, ("gpudirect",))
        if model.name in GPU_BOUND:
            calm = with_interference(slow, 0.0).response_ms(MANY)
            gone = abs(1 - fast.response_ms(MANY) / calm)
            rows.append({"law": "no interference, no saving at saturation", "value": gone})
            gain = slow.response_ms(MANY) - fast.response_ms(MANY)
            linear = gain / ((MANY - 1) * slow.copies_ms)
            rows.append({"law": "saving over (N - 1) eta T", "value": abs(linear - 1)})
        for hops in DIRECT[:3]:
            serving = Serving(model, hops)
            for clients in CLIENTS:
                x = float(serving.closed(clients).throughput[0])
                most = min(
                    1 / serving.demands(clients).max(),
                    clients / (serving.elsewhere_ms + serving.demands(clients).sum()),
                )
                rows.append({"law": "throughput over its bound", "value": x / most})
    return rows


def priority_rows(task: Task) -> list[dict[str, Any]]:
    """What a client with priority loses to copies of others."""
    frames = []
    for name in ("YoloV4", "DeepLabV3"):
        model = MODELS[name]
        rate = 100 / model.infer_ms
        others = [share * 1000 / model.infer_ms for share in (0.2, 0.4, 0.6)]
        frames.append(priority_table(model, rate, others).assign(model=name))
    return _records(pd.concat(frames))


# -------------------------------------------------------------------------------- routes and cards
def rule_rows(task: Task) -> list[dict[str, Any]]:
    """Rules against the optimum of one instance."""
    instance = synthetic.generate(
        task.seed + task.number, services=5, gpu_hosts=3, cpu_hosts=1, load_gpus=1.2
    )
    optimum = solve(instance, time_limit_s=30)
    frame = compare(instance, optimum=optimum, seed=task.seed).frame
    names = ["policy", "ratio", "saving", "latency_ms", "cards", "cards_usd", "rdma_share"]
    return [{"instance": task.number, "gap": optimum.gap, **row} for row in _records(frame[names])]


def single_rows(task: Task) -> list[dict[str, Any]]:
    """Label setting and the programme on one service."""
    instance = synthetic.generate(
        task.seed + task.number,
        services=1,
        gpu_hosts=4,
        cpu_hosts=2,
        in_flight_usd_per_hour=0.2,
        limit_factor=1.0 + 0.05 * (task.number % 4),
    )
    plans = [solve(instance, method=method, mip_gap=1e-9) for method in ("labels", "milp")]
    labels, programme = (plan.objective for plan in plans)
    return [
        {
            "instance": task.number,
            "difference": abs(labels - programme) / labels,
            "labels_s": plans[0].provenance.seconds,
            "milp_s": plans[1].provenance.seconds,
            "cards": plans[0].cost["cards"],
        }
    ]


def scale_rows(task: Task) -> list[dict[str, Any]]:
    """The programme at one size: sizes, times, gaps."""
    scale = task.size.scales[task.number]
    instance = synthetic.generate(
        task.seed,
        services=scale.services,
        gpu_hosts=scale.hosts * 6 // 10,
        cpu_hosts=scale.hosts * 2 // 10,
        gateways=scale.hosts // 10,
        clients=scale.hosts // 10,
        gpus_per_host=2,
        choices=scale.choices,
    )
    graphs_s, (steps, layers) = _timed(lambda: graphs_of(instance))
    terms = Terms(dict(steps.offered), room=steps.resources.capacity)
    labels_s = max(_timed(lambda one=one: cheapest_route(one, terms))[0] for one in layers)
    greedy_s, start = _timed(lambda: greedy_start(steps, layers))
    data_s, data = _timed(lambda: model_data(steps, layers))
    compile_model(formulation(), data)  # traced once
    compile_s, model = _timed(lambda: compile_model(formulation(), data))
    plan = solve(instance, time_limit_s=scale.limit_s, mip_gap=1e-3)
    bound = plan.bound or 0.0
    known = np.nan if start is None else worth(steps, layers, start)
    return [
        {
            "services": scale.services,
            "hosts": scale.hosts,
            "choices": scale.choices,
            "binaries": model.columns,
            "rows": model.rows,
            "nonzeros": model.matrix.nnz,
            "graphs_s": graphs_s,
            "slowest_labels_s": labels_s,
            "greedy_s": greedy_s,
            "data_s": data_s,
            "compile_s": compile_s,
            "solve_s": plan.provenance.seconds,
            "limit_s": scale.limit_s,
            "status": plan.status,
            "cost": plan.objective,
            "gap": plan.gap,
            "greedy_gap": known / bound - 1,
            "cards": plan.cost["cards"],
        }
    ]


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    found = action()
    return time.process_time() - began, found


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


PARTS: dict[str, Callable[[Task], list[dict[str, Any]]]] = {
    "scale": scale_rows,
    "rules": rule_rows,
    "one service": single_rows,
    "clients": client_rows,
    "laws": law_rows,
    "interference": interference_rows,
    "priority": priority_rows,
    "lone": lone_rows,
}


def perform(task: Task) -> list[dict[str, Any]]:
    """Rows of one part."""
    return [{"part": task.part, **row} for row in PARTS[task.part](task)]


def tasks_of(size: Size, seed: int) -> list[Task]:
    """All parts, the longest ones first."""
    counts = {"scale": len(size.scales), "rules": size.rules, "one service": size.single}
    return [
        Task(part, number, size, seed)
        for part in PARTS
        for number in reversed(range(counts.get(part, 1)))
    ]


# ----------------------------------------------------------------------------------------- checks
def checks_of(frame: pd.DataFrame, widest_gap: float) -> list[Check]:
    """Claims about the numbers."""
    part = dict(tuple(frame.groupby("part")))
    laws = part["laws"].groupby("law")["value"]
    low, high = laws.min(), laws.max()
    lone, clients, scale = part["lone"], part["clients"], part["scale"]
    toy = lone[(lone["model"] == "EfficientNetB0") & (lone["proxies"] == 1)]
    off = toy.set_index("transports")["latency_ms"] - pd.Series(TOY)
    direct = clients[(clients["transports"] == "gpudirect") & (clients["proxies"] == 0)]
    by_eta = direct.pivot_table(index=["model", "clients"], columns="eta", values="saved_ms")
    priority = part["priority"].set_index("transports")["inversion_ms"]
    rules, single = part["rules"], part["one service"]
    alone = lone[(lone["proxies"] == 0) & (lone["transports"] == "gpudirect")]
    checks = [
        Check("toy behind a proxy: largest error [ms]", off.abs().max(), 5e-7, "<="),
        Check(
            "gpudirect <= rdma <= tcp: smallest step [ms]",
            low["gpudirect <= rdma <= tcp"],
            0.0,
            ">=",
        ),
        Check(
            "share saved as inference grows: largest increase",
            high["saving falls with inference"],
            0.0,
            "<=",
        ),
        Check(
            "share saved as payloads grow: largest decrease",
            low["saving rises with bytes"],
            0.0,
            ">=",
        ),
        Check(
            "one client and a lone request: largest relative difference",
            high["one client is a lone request"],
            _ROUNDING,
            "<=",
        ),
        Check("parts and their sum: largest difference [ms]", high["parts add up"], 1e-9, "<="),
        Check(
            "closed loops: largest throughput over its bound",
            high["throughput over its bound"],
            1 + _ROUNDING,
            "<=",
        ),
        Check(
            f"without interference, {MANY} clients: largest share saved",
            high["no interference, no saving at saturation"],
            1e-4,
            "<=",
        ),
        Check(
            f"{MANY} clients: saving beside (N - 1) eta T, largest relative difference",
            high["saving over (N - 1) eta T"],
            0.02,
            "<=",
        ),
        Check(
            "saving as interference grows: smallest step [ms]",
            float(by_eta.diff(axis=1).iloc[:, 1:].min().min()),
            -_ROUNDING,
            ">=",
        ),
        Check(
            "lone requests: largest share saved (the paper: 0.15 to 0.5)",
            alone["saved"].max(),
            PAPER_SHARE[0],
            ">=",
        ),
        Check(
            "inner hop only, translated at the proxy: smallest share saved",
            toy_like(lone)["saved"].min(),
            0.0,
            ">=",
        ),
        Check("priority inversion by GPUDirect [ms]", priority["gpudirect"].max(), 0.0, "<="),
        Check("priority inversion by TCP: smallest [ms]", priority["tcp"].min(), 1e-6, ">="),
        Check("rules: smallest ratio to the optimum", rules["ratio"].min(), 1 - 1e-7, ">="),
        Check(
            "one service, labels and programme: largest relative difference",
            single["difference"].max(),
            1e-7,
            "<=",
        ),
        Check("programme: largest gap within its time limit", scale["gap"].max(), widest_gap, "<="),
        Check(
            "improved greedy plans: largest gap to the bound",
            scale["greedy_gap"].max(),
            widest_gap,
            "<=",
        ),
        Check("compiling the largest programme [s]", scale["compile_s"].max(), 1.0, "<="),
        Check(
            "label setting, slowest service [s]",
            scale["slowest_labels_s"].max(),
            1.0,
            "<=",
        ),
    ]
    # Plain numbers, whatever pandas makes of them.
    return [replace(check, value=float(check.value)) for check in checks]


def toy_like(lone: pd.DataFrame) -> pd.DataFrame:
    """Lone requests whose inner hop alone is accelerated."""
    return lone[lone["transports"].isin(["tcp → rdma", "tcp → gpudirect"])]


# ----------------------------------------------------------------------------------------- report
def tables_of(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables for the reader."""
    part = {name: rows.dropna(axis=1, how="all") for name, rows in frame.groupby("part")}
    lone, clients = part["lone"], part["clients"]
    wide = lone.pivot_table(index="model", columns="transports", values="latency_ms", sort=False)
    chosen = clients[(clients["transports"] == "gpudirect") & (clients["clients"] <= CLIENTS[-1])]
    saved = chosen[chosen["eta"] == 1].pivot_table(
        index="model", columns="clients", values=["saved", "saved_ms"], sort=False
    )
    saved.columns = [f"{name}, N={count}" for name, count in saved.columns]
    at_most = chosen[chosen["clients"] == CLIENTS[-1]].pivot_table(
        index="model", columns="eta", values="saved_ms", sort=False
    )
    at_most.columns = [f"saved_ms, eta={eta:g}" for eta in at_most.columns]
    rules = part["rules"].groupby("policy", as_index=False)[
        ["ratio", "saving", "latency_ms", "cards", "rdma_share"]
    ]
    return {
        "Latency of a lone request [ms], direct and behind a proxy": wide.reset_index(),
        "GPUDirect against TCP, eta = 1, by clients (the paper: 0.15 to 0.5, 70 to 160 ms)": (
            saved.reset_index()
        ),
        f"The same for {CLIENTS[-1]} clients, by interference": at_most.reset_index(),
        f"Interference that the paper's savings would take, {CLIENTS[-1]} clients": part[
            "interference"
        ].drop(columns="part"),
        "Priority inversion, client at a tenth of the GPU": part["priority"].drop(columns="part"),
        "Rules for routes and cards, means": rules.mean().sort_values("ratio"),
        "The programme by size": part["scale"].drop(columns="part"),
    }


def notes_of(frame: pd.DataFrame) -> list[str]:
    """What belongs to the numbers."""
    clients = frame[(frame["part"] == "clients") & (frame["clients"] <= CLIENTS[-1])]
    ours = clients[(clients["transports"] == "gpudirect") & (clients["eta"] == 1)]
    inside = ours["saved"].between(*PAPER_SHARE).sum()
    reached = int((ours["saved_ms"] >= PAPER_MS[0]).sum())
    most = ours.loc[ours["saved_ms"].idxmax()]
    transports = ", ".join(
        f"{name} {one.setup_us:g} us + B / {one.gb_per_s:g} GB/s"
        for name, one in DEFAULTS.transports.items()
    )
    return [
        f"Ours, not the paper's: {transports}; copies {DEFAULTS.copy_setup_us:g} us + B / "
        f"{DEFAULTS.copy_gb_per_s:g} GB/s; translation {DEFAULTS.translation_gb_per_s:g} GB/s; "
        f"{PARSE_US:g} us per proxy and way; inference times of the catalogue; interference "
        f"eta = {DEFAULTS.copy_interference:g}. Payloads follow from the shapes of the tensors. "
        "Nothing was fitted to the paper: its numbers per model are not public text.",
        f"With eta = 1 GPUDirect saves {PAPER_SHARE[0]:.0%} to {PAPER_SHARE[1]:.0%} in {inside} of "
        f"{len(ours)} cells (model and clients), and at least {PAPER_MS[0]:g} ms in {reached}; the "
        f"most is {most['saved_ms']:.1f} ms ({most['saved']:.1%}) for {most['model']} with "
        f"{most['clients']:.0f} clients. The paper's two figures are not met together by these "
        "parameters: in this model a large share needs a short inference, and many milliseconds "
        "need large copies, many clients and an eta above 1.",
        "Closed loops: exact mean value analysis without think time; a copy of time T takes "
        "eta (N - 1) / N T of GPU time. Without that term the saving vanishes at saturation, "
        "which contradicts what was measured for many clients.",
        "ratio: cost over the optimum, or its bound where it is not proven. gap, greedy_gap: to "
        "the proven bound. Times are processor time but for solve_s, which includes the greedy "
        "start.",
    ]


def measure(options: Options) -> Report:
    """Run everything."""
    size = QUICK if options.quick else FULL
    tasks = tasks_of(size, options.seed)
    rows = [
        row
        for some in in_processes(perform, tasks, workers=options.workers, what="parts")
        for row in some
    ]
    frame = pd.DataFrame(rows)
    return Report(rows, checks_of(frame, size.widest_gap), tables_of(frame), notes_of(frame))


def run(argv: Sequence[str] | None = None) -> int:
    """Run as a command."""
    description = "Transports of serving pipelines, and the oracle of their routes."
    return _harness.main("pipeline", measure, description, argv)


if __name__ == "__main__":
    sys.exit(run())
