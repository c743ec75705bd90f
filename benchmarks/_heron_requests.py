"""An hour of single requests of Azure: what queues, bursts and power by the second leave.

The trace holds about an hour of requests. It is laid over itself as often as the fleet needs, each
copy shifted in a circle by a time of its own, so that bursts stay bursts without all coming at
once; the last copy is thinned. Power is that of RTS-GMLC in steps of 5 minutes, joined by straight
lines. Policies decide every minute on the power at its start; between, sites help themselves. One
run loses the largest site for three minutes that begin and end within the minutes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from _harness import shared_data
from _heron_cells import Cell, Row, instance_of, policy_of

from optmodels.policy import FloatArray, replay
from optmodels.routing.sites.audit import facts_of
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.outcomes import Simulated
from optmodels.routing.sites.policies.base import RoutingPolicy
from optmodels.routing.sites.replay import RoutingEnvironment
from optmodels.routing.sites.requests import Requests, requests_from
from optmodels.routing.sites.simulation import simulate
from optmodels.traces import LengthClasses, read_requests

FILES = {
    "conversation": "AzureLLMInferenceTrace_conv.csv",
    "coding": "AzureLLMInferenceTrace_code.csv",
}
PERIOD_SECONDS = 60
#: When the largest site goes dark, and when it comes back [s].
OUTAGE = (1234, 1417)


@dataclass(frozen=True)
class Hour:
    """A run of single requests.

    Attributes
    ----------
    mix
        "conversation" or "coding".
    gpus, wind_ratio, load
        As of a cell.
    begin
        First minute.
    minutes
        Length.
    policies
        Names of the policies.
    seed
        Seed of the shifts, the origins and the scheduler.
    """

    mix: str
    gpus: int
    wind_ratio: float
    load: float
    begin: str
    minutes: int
    policies: tuple[str, ...]
    seed: int


@lru_cache(maxsize=2)
def trace_of(mix: str) -> pd.DataFrame:
    """Requests of the trace: seconds from its first one, lengths, class."""
    found = read_requests(shared_data() / "llm_traces" / "azure_2023" / FILES[mix], tz="UTC")
    seconds = (found["time"] - found["time"].iloc[0]) / pd.Timedelta(seconds=1)
    return found.assign(seconds=seconds, **{"class": LengthClasses().of(found)})


def requests_of(instance: RoutingInstance, hour: Hour) -> Requests:
    """Requests at the instance's mean rate, cut from copies of the trace."""
    rng = np.random.default_rng(hour.seed)
    trace = trace_of(hour.mix)
    length = float(trace["seconds"].iloc[-1]) * (1 + 1 / len(trace))
    wanted = float(instance.demand.sum(axis=(1, 2)).mean())
    copies = wanted / (len(trace) / length)
    seconds = instance.periods * instance.period_seconds
    parts = []
    for copy in range(int(np.ceil(copies))):
        shifted = (trace["seconds"].to_numpy() + rng.uniform(0, length)) % length
        kept = (shifted < seconds) & (rng.random(len(trace)) < copies - copy)
        part = trace.loc[kept, ["class", "input_tokens", "output_tokens"]]
        parts.append(part.assign(arrival_s=shifted[kept]))
    frame = pd.concat(parts, ignore_index=True)
    frame["output_tokens"] = frame["output_tokens"].clip(lower=1)
    return requests_from(
        instance, frame.assign(origin=rng.choice(np.array(instance.origins), len(frame)))
    )


def power_by_second(instance: RoutingInstance) -> FloatArray:
    """Wind power of each second: straight lines between the starts of the periods, (seconds, S)."""
    starts = np.arange(instance.periods) * instance.period_seconds
    seconds = np.arange(round(instance.periods * instance.period_seconds))
    return np.stack([np.interp(seconds, starts, column) for column in instance.power_kw.T], axis=1)


def without_largest(power_kw: FloatArray) -> FloatArray:
    """The same power, but for the site with most of it, which is dark during the outage."""
    begin, end = OUTAGE
    dark = power_kw.copy()
    dark[begin:end, int(power_kw.sum(axis=0).argmax())] = 0.0
    return dark


def perform_hour(hour: Hour) -> list[Row]:
    """Rows of the policies, each without and with the outage."""
    cell = Cell(
        "requests",
        "rts-gmlc",
        hour.mix,
        hour.gpus,
        hour.wind_ratio,
        hour.load,
        days=hour.minutes / 1440,
        period_seconds=PERIOD_SECONDS,
    )
    instance = instance_of(cell, begin=hour.begin, between="line", rates=None, past_days=0)
    requests = requests_of(instance, hour)
    power = power_by_second(instance)
    rows = []
    for name in hour.policies:
        policy: Any = policy_of(name)
        environment = RoutingEnvironment(instance)
        replay(environment, policy)
        fluid = facts_of(instance, environment.decisions)["attainment"]
        runs = {
            "own lengths": (requests, power),
            "mean lengths": (requests.with_mean_lengths(instance), power),
            "outage": (requests, without_largest(power)),
        }
        for run, (arriving, available) in runs.items():
            began = time.process_time()
            found = _simulated(instance, environment, policy, arriving, available, hour.seed)
            rows.append(
                {
                    "part": "requests",
                    "wind": "rts-gmlc",
                    "mix": hour.mix,
                    "gpus": hour.gpus,
                    "wind_ratio": hour.wind_ratio,
                    "period_s": PERIOD_SECONDS,
                    "policy": name,
                    "run": run,
                    "requests": len(arriving),
                    "goodput_per_s": found.goodput_per_s,
                    "token_goodput_per_s": found.token_goodput_per_s,
                    "attainment": found.attainment,
                    "fluid_attainment": fluid,
                    **{f"{k}_share": n / len(arriving) for k, n in found.counts.items()},
                    "p50_e2e_s": found.percentile_s("e2e_s", 50),
                    "p99_e2e_s": found.percentile_s("e2e_s", 99),
                    "p99_ttft_s": found.percentile_s("ttft_s", 99),
                    "reloads": found.reloads,
                    "seconds_over_power": found.seconds_over_power,
                    "seconds": time.process_time() - began,
                }
            )
    return rows


def _simulated(
    instance: RoutingInstance,
    environment: RoutingEnvironment,
    policy: RoutingPolicy,
    requests: Requests,
    power_kw: FloatArray,
    seed: int,
) -> Simulated:
    return simulate(
        instance,
        environment.decisions,
        requests,
        power_kw=power_kw,
        relief=policy.relief,
        seed=seed,
    )
