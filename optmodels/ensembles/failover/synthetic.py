"""Synthetic edge clusters: seeded choices of real models on equal servers.

Each application runs one of 27 models (`optmodels.ensembles.failover.torchvision`): of a family
drawn at random its largest in half of the cases, else one of the others but the smallest. Large
primaries are spread first, each to the server with the least memory in use. All servers are equal,
and so large that the given share of their memory is free on average, but no server is overfull.
Sizes, accuracies and operations are facts; loading times, memory and times of inference are fits to
measurements (`optmodels.ensembles.failover.load_times`); rates and round trips are invented.

Only uniform random numbers of PCG64 are drawn and all values are rounded, so that a seed gives the
same fingerprint on every platform.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.load_times import (
    GFLOP_PER_GMAC,
    PRESETS,
    inference_ms,
    memory_mb,
)
from optmodels.ensembles.failover.torchvision import CORE, Fact
from optmodels.synthesis.sizes import Sizes

#: Size arguments of the generator with their defaults.
SIZES: Mapping[str, object] = MappingProxyType(
    {
        "servers": 10,
        "sites": 5,
        "applications": 60,
        "critical_share": 0.5,
        "free_share": 0.3,
        "headroom": 0.1,
        "scope": "servers",
        "loading": "serial",
        "preset": "a2_onnx_cached",
        "memory": "measured",
        "first_ms": 0.0,
        "critical_weight": 1.0,
        "rate_per_s": 0.0,
        "network_ms": 10.0,
        "latency_limit_ms": 200.0,
        "compute_free_share": 0.5,
        "site_rule": True,
        "multiplexed_compute": False,
        "horizon_s": 60.0,
    }
)

LARGEST_SERVERS, LARGEST_APPLICATIONS = 1000, 20_000
NOTE = "synthetic: torchvision's models, drawn from a seed onto invented servers"
MEMORIES = ("measured", "file")

# Chance that an application runs the largest of its family; rates [1/s]; spread of round trips.
_LARGEST_CHANCE = 0.5
_RATE_PER_S = (1.0, 6.0)
_NETWORK_SPREAD = 0.8
_GFLOP_DIGITS = 6


def generate(
    seed: int,
    *,
    servers: int = 10,
    sites: int = 5,
    applications: int = 60,
    critical_share: float = 0.5,
    free_share: float = 0.3,
    headroom: float = 0.1,
    scope: str = "servers",
    loading: str = "serial",
    preset: str = "a2_onnx_cached",
    memory: str = "measured",
    first_ms: float = 0.0,
    critical_weight: float = 1.0,
    rate_per_s: float = 0.0,
    network_ms: float = 10.0,
    latency_limit_ms: float = 200.0,
    compute_free_share: float = 0.5,
    site_rule: bool = True,
    multiplexed_compute: bool = False,
    horizon_s: float = 60.0,
) -> FailoverInstance:
    """Make a synthetic edge cluster; the same arguments give the same fingerprint everywhere.

    Parameters
    ----------
    seed
        Seed of every random choice, at least 0.
    servers, sites
        Number of servers and of sites, which share the servers evenly.
    applications
        Number of applications.
    critical_share
        Share of them that are critical.
    free_share
        Share of all memory that primaries leave free, 0 to less than 1.
    headroom
        Share of the free capacity that FailLite's warm backups leave to cold ones.
    scope
        What fails: "servers" or "sites".
    loading
        "serial" or "parallel".
    preset
        Times of loading: a name in `optmodels.ensembles.failover.load_times.PRESETS`.
    memory
        Memory of a replica: "measured" (on an accelerator) or "file" (the size of its file).
    first_ms
        Time of the first inference after loading [ms].
    critical_weight
        Weight of critical applications; the others weigh 1.
    rate_per_s
        Requests per second of every application; 0: drawn, 1 to 5.
    network_ms
        Mean round trip from clients to servers [ms]; 0 for no table of round trips.
    latency_limit_ms
        Longest time from a request to its answer [ms].
    compute_free_share
        Share of all compute that primaries leave free, 0 to less than 1.
    site_rule
        Whether warm backups must be at another site.
    multiplexed_compute
        Whether warm backups need compute only in failures that need them.
    horizon_s
        Time after a failure for which service is counted [s].

    Returns
    -------
    FailoverInstance
        The same seed and sizes give the same instance, to the last digit.

    Raises
    ------
    InputError
        A size is out of range; all of them are listed.
    """
    sizes: dict[str, object] = {
        "servers": servers,
        "sites": sites,
        "applications": applications,
        "critical_share": critical_share,
        "free_share": free_share,
        "headroom": headroom,
        "scope": scope,
        "loading": loading,
        "preset": preset,
        "memory": memory,
        "first_ms": first_ms,
        "critical_weight": critical_weight,
        "rate_per_s": rate_per_s,
        "network_ms": network_ms,
        "latency_limit_ms": latency_limit_ms,
        "compute_free_share": compute_free_share,
        "site_rule": site_rule,
        "multiplexed_compute": multiplexed_compute,
        "horizon_s": horizon_s,
    }
    _check(seed, sizes)
    rng = np.random.Generator(np.random.PCG64(seed))
    models = model_table(CORE, preset=preset, memory=memory, first_ms=first_ms)
    chosen = [_model(rng) for _ in range(applications)]
    rate = np.floor(rng.uniform(*_RATE_PER_S, applications))
    if rate_per_s > 0:
        rate[:] = rate_per_s
    critical = np.zeros(applications, dtype=bool)
    drawn = np.argsort(rng.random(applications), kind="stable")
    critical[drawn[: round(critical_share * applications)]] = True
    facts = models.set_index("model")
    size = facts.loc[chosen, "memory_mb"].to_numpy()
    work = facts.loc[chosen, "gflop"].to_numpy() * rate
    used, busy = np.zeros(servers), np.zeros(servers)
    home = np.zeros(applications, dtype=np.int64)
    for i in np.argsort(-size, kind="stable").tolist():
        k = int(np.argmin(used))
        home[i] = k
        used[k] += size[i]
        busy[k] += work[i]
    names = [f"server-{k + 1:0{len(str(servers))}d}" for k in range(servers)]
    labels = [f"app-{i + 1:0{len(str(applications))}d}" for i in range(applications)]
    tables = {
        "servers": pd.DataFrame(
            {
                "server": names,
                "site": [f"site-{k % sites + 1:0{len(str(sites))}d}" for k in range(servers)],
                "memory_mb": _capacity(used, free_share),
                "compute_gflops": _capacity(busy, compute_free_share),
            }
        ),
        "models": models,
        "applications": pd.DataFrame(
            {
                "application": labels,
                "model": chosen,
                "server": [names[k] for k in home],
                "rate_per_s": rate,
                "weight": np.where(critical, float(critical_weight), 1.0),
                "latency_limit_ms": float(latency_limit_ms),
                "critical": critical,
            }
        ),
    }
    if network_ms > 0:
        spread = _NETWORK_SPREAD * rng.uniform(-1, 1, applications * servers)
        tables["network"] = pd.DataFrame(
            {
                "application": np.repeat(labels, servers),
                "server": np.tile(names, applications),
                "network_ms": np.round(network_ms * (1 + spread), 1),
            }
        )
    kept = ("headroom", "scope", "loading", "site_rule", "multiplexed_compute", "horizon_s")
    parameters = {name: sizes[name] for name in kept}
    return FailoverInstance(parameters, tables, origin=_origin(seed, sizes))


def model_table(
    facts: tuple[Fact, ...],
    *,
    preset: str = "a2_onnx_cached",
    memory: str = "measured",
    first_ms: float = 0.0,
) -> pd.DataFrame:
    """The table ``models`` of an instance from facts and fits, rounded to three digits.

    Parameters
    ----------
    facts
        Models of `optmodels.ensembles.failover.torchvision`.
    preset, memory, first_ms
        As for `generate`.

    Returns
    -------
    pandas.DataFrame
        One row per variant: family, memory, accuracy, times and work.
    """
    file_mb = np.array([fact.file_mb for fact in facts])
    gmac = np.array([fact.gmac for fact in facts])
    return pd.DataFrame(
        {
            "model": [fact.model for fact in facts],
            "family": [fact.family for fact in facts],
            "memory_mb": np.round(memory_mb(file_mb) if memory == "measured" else file_mb, 3),
            "accuracy": np.round([fact.top1 / 100 for fact in facts], 5),
            "load_ms": np.round(PRESETS[preset].load_ms(file_mb), 3),
            "first_ms": float(first_ms),
            "inference_ms": np.round(inference_ms(gmac), 3),
            "gflop": np.round(GFLOP_PER_GMAC * gmac, _GFLOP_DIGITS),
        }
    )


def _model(rng: np.random.Generator) -> str:
    """Primary of an application."""
    families = sorted({fact.family for fact in CORE})
    family = families[int(rng.random() * len(families))]
    ladder = sorted((f.file_mb, f.model) for f in CORE if f.family == family)
    if rng.random() < _LARGEST_CHANCE:
        return ladder[-1][1]
    return ladder[1 + int(rng.random() * (len(ladder) - 2))][1]


def _capacity(used: np.ndarray, free_share: float) -> float:
    """Capacity of every server: the share is free on average, and none is overfull."""
    return math.ceil(max(float(used.sum()) / len(used) / (1 - free_share), float(used.max())))


def _check(seed: object, sizes: Mapping[str, object]) -> None:
    """Refuse sizes of a wrong kind or out of range."""
    given = Sizes(seed, sizes, "sizes of a synthetic edge cluster")
    servers = given.whole("servers", "servers", 2, LARGEST_SERVERS)
    given.whole("sites", "sites", 1, servers or LARGEST_SERVERS)
    given.whole("applications", "applications", 1, LARGEST_APPLICATIONS)
    for name in ("critical_share", "headroom"):
        given.number(name, 0, 1)
    for name in ("free_share", "compute_free_share"):
        given.number(name, 0, 0.99)
    for name in ("first_ms", "rate_per_s", "network_ms", "latency_limit_ms"):
        given.number(name, 0, 1e6)
    for name in ("critical_weight", "horizon_s"):
        given.number(name, 0, 1e6, open_low=True)
    given.choice("scope", ("servers", "sites"))
    given.choice("loading", ("serial", "parallel"))
    given.choice("preset", tuple(PRESETS))
    given.choice("memory", MEMORIES)
    for name in ("site_rule", "multiplexed_compute"):
        given.choice(name, (True, False))  # type: ignore[arg-type]
    given.check()


def _origin(seed: int, sizes: Mapping[str, object]) -> str:
    """The command that makes the instance again, and what it is."""
    words = ["optmodels", "generate", "ensembles.failover", "OUT", "--seed", str(seed)]
    for name, value in sizes.items():
        if value != SIZES[name]:
            words += ["--size", f"{name}={value}"]
    return f"{shlex.join(words)}  # {NOTE}"
