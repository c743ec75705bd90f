"""What users scale, problem by problem: instances along an axis, and what is done with them.

A `Subject` is a problem (or the readers) and one axis, such as the number of jobs of a cluster. It
makes the instance of a size, and names what is measured on it: making, saving, loading, auditing,
compiling, solving, and the replay of each policy.

Some answers are those of integer programmes that are hard by proof. They have no polynomial growth
to be judged; what is shown is the time until one percent of gap.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import optmodels as om
from optmodels import registry
from optmodels.comparison import forecast_of, run
from optmodels.errors import UsageError
from optmodels.instance import Instance
from optmodels.plan import Plan
from optmodels.solver import compile_model
from optmodels.traces import read_carbon, read_jobs, read_requests

Action = Callable[[], Any]

HARD_GAP = 0.01
"""Gap to which hard programmes are solved."""
SOLVE, COMPILE, FIRST = "solve", "compile", "first replay"
HARD_POLICIES: Mapping[str, frozenset[str]] = {
    "placement.edge": frozenset(
        {"carbon-edge", "latency-aware", "energy-aware", "intensity-aware"}
    ),
    "placement.accelerators": frozenset({"knapsack"}),
    "ensembles.selection": frozenset(
        {"diverse", "no-failures", "expected-in-turn", "worst-in-turn"}
    ),
    "ensembles.failover": frozenset(
        {"faillite", "faillite-noprog", "faillite-cover", "faillite-tuned"}
    ),
}
"""Policies that solve an integer programme which is hard by proof, by problem: not measured, as
they solve it to the end, like the oracle."""
HARD_ORACLES = frozenset(
    {
        "scaling.cluster",
        "routing.pipeline",
        "placement.edge",
        "placement.accelerators",
        "ensembles.selection",
        "ensembles.failover",
    }
)
"""Problems whose oracle does."""


@dataclass(frozen=True)
class Subject:
    """A problem along one axis.

    Parameters
    ----------
    problem
        Its name, or "readers".
    axis
        What grows.
    sizes
        Four sizes, each four times the one before; quick runs do the two smallest.
    arguments
        Arguments of the problem's generator for a size.
    compiled
        ``compiled(instance)``: its formulation, compiled with its data; None where nothing that
        grows along this axis is compiled.
    hard
        Whether this subject is about an oracle that is an integer programme, hard by proof, and
        about nothing else.
    squares
        Policies that by definition hold everything against everything.
    count
        ``count(instance)``: what the growth is held against, where that is not the size itself.
    """

    problem: str
    axis: str
    sizes: tuple[int, ...]
    arguments: Callable[[int], Mapping[str, object]] = lambda n: {}
    compiled: Callable[[Any], object] | None = None
    hard: bool = False
    squares: frozenset[str] = frozenset()
    count: Callable[[Any], int] | None = None

    @property
    def name(self) -> str:
        """Problem and axis."""
        return f"{self.problem}, {self.axis}"

    def amount(self, size: int, seed: int) -> int:
        """What the growth is held against."""
        if self.count is None:
            return size
        return self.count(om.generate(self.problem, seed=seed, **self.arguments(size)))

    def actions(
        self, size: int, folder: Path, seed: int, limit_s: float | None = None
    ) -> dict[str, Action]:
        """What is done at a size, by name; the later ones need the earlier ones' instance.

        Parameters
        ----------
        size, seed
            Of the instance.
        folder
            Where files go.
        limit_s
            Limit on the solver of a hard programme [s].
        """
        if self.problem == READERS:
            return _readings(size, folder, seed)
        return self._of_instance(size, folder, seed, limit_s)

    def _of_instance(
        self, size: int, folder: Path, seed: int, limit_s: float | None
    ) -> dict[str, Action]:
        problem = registry.problem(self.problem)
        kept: dict[str, Any] = {}

        def make() -> None:
            kept["instance"] = om.generate(self.problem, seed=seed, **self.arguments(size))

        def instance() -> Instance:
            if "instance" not in kept:
                make()
            found: Instance = kept["instance"]
            return found

        def save() -> None:
            instance().save(folder / "instance", overwrite=True)

        def load() -> None:
            om.load(folder / "instance")

        def solve() -> Plan:
            if self.hard:
                return om.solve(instance(), mip_gap=HARD_GAP, time_limit_s=limit_s)
            return om.solve(instance())

        def judge() -> None:
            if "audited" not in kept:
                raise UsageError(f"No policy of {self.problem} was replayed at this size.")
            problem.audit(instance(), kept["audited"].tables)

        def replayed(name: str) -> Action:
            def one() -> None:
                if "forecast" not in kept:
                    kept["forecast"] = forecast_of(problem, instance(), None, seed)[0]
                policy = problem.policy(name, seed)
                plan = run(instance(), policy, forecast=kept["forecast"], seed=seed)
                kept.setdefault("audited", plan)

            return one

        hard = HARD_POLICIES.get(self.problem, frozenset())
        if self.hard:
            # Making the instance is not solving it.
            instance()
            return {SOLVE: solve}
        doing: dict[str, Action] = {"generate": make, "save": save, "load": load}
        if self.compiled is not None:
            doing[COMPILE] = lambda: self.compiled(instance())  # type: ignore[misc]
        names = [name for name in problem.policies if name not in hard]
        # The first replay of an instance derives what later ones find.
        doing[FIRST] = replayed(names[0])
        doing |= {f"policy {name}": replayed(name) for name in names}
        doing["audit"] = judge
        if self.problem not in HARD_ORACLES:
            doing[SOLVE] = solve
        return doing

    def kind_of(self, action: str) -> str:
        """Why an action is judged otherwise than the rest: "hard" or "square"; "" if it is not."""
        if self.hard:
            return "hard"
        return "square" if action.removeprefix("policy ") in self.squares else ""


# ----------------------------------------------------------------------------------- the readers
READERS = "readers"


def _readings(rows: int, folder: Path, seed: int) -> dict[str, Action]:
    """Public formats with so many rows."""
    rng = np.random.default_rng(seed)
    carbon, requests, jobs = (folder / f"{name}.csv" for name in ("carbon", "requests", "jobs"))
    times = pd.date_range("2000-01-01", periods=rows, freq="h", tz="UTC")
    values = (250 + 100 * np.sin(np.arange(rows) / 4) + rng.uniform(-30, 30, rows)).round(2)
    pd.DataFrame({"datetime": times, "X": values}).to_csv(carbon, index=False)
    pd.DataFrame(
        {
            "TIMESTAMP": pd.date_range("2023-11-16", periods=rows, freq="100ms"),
            "ContextTokens": rng.integers(1, 4000, rows),
            "GeneratedTokens": rng.integers(1, 1000, rows),
        }
    ).to_csv(requests, index=False)
    pd.DataFrame(
        {
            "arrival_time": np.sort(rng.integers(0, 3600 * 24 * 30, rows)),
            "length": rng.integers(60, 100_000, rows),
            "cpus": rng.integers(1, 16, rows),
        }
    ).to_csv(jobs, index=False)
    return {
        "read carbon": lambda: read_carbon(carbon, "zone-table", zone="X"),
        "read requests": lambda: read_requests(requests, tz="UTC"),
        "read jobs": lambda: read_jobs(jobs, unit="seconds"),
    }


# ------------------------------------------------------------------------- compiled formulations
def _job(instance: Any) -> object:
    from optmodels.scaling.job.model import formulation, model_data

    return compile_model(formulation(), model_data(instance))


def _cluster(instance: Any) -> object:
    from optmodels.scaling.cluster.model import relaxation, relaxation_data

    return compile_model(relaxation(), relaxation_data(instance))


def _rightsizing(instance: Any) -> object:
    from optmodels.rightsizing.sites.model import formulation, model_data

    return compile_model(formulation(), model_data(instance))


def _pipeline(instance: Any) -> object:
    from optmodels.routing.pipeline.layers import layers_of
    from optmodels.routing.pipeline.model import formulation, model_data
    from optmodels.routing.pipeline.steps import Steps

    steps = Steps(instance)
    layers = [layers_of(steps, service) for service in instance.services]
    return compile_model(formulation(), model_data(steps, layers))


def _edge(instance: Any) -> object:
    from optmodels.placement.edge.model import formulation, model_data

    return compile_model(formulation(), model_data(instance))


def _accelerators(instance: Any) -> object:
    from optmodels.placement.accelerators.model import row_data, row_formulation

    rows = row_data(instance.hardware, instance.applications)
    return None if rows is None else compile_model(row_formulation(), rows.data)


def _failover(instance: Any) -> object:
    from optmodels.ensembles.failover.model import formulation, model_data

    return compile_model(formulation(), model_data(instance))


def _services(n: int) -> dict[str, object]:
    # With a limit on the choices the graph of a service does not grow with the hosts.
    return {"services": n, "gpu_hosts": max(4, n), "cpu_hosts": max(2, n // 2), "choices": 4}


def _roomy_services(n: int) -> dict[str, object]:
    # All services together have a plan only where they do not all meet at two gateways.
    return {**_services(n), "gateways": max(2, n // 2), "clients": max(3, n // 2)}


def _arcs(instance: Any) -> int:
    return len(instance.arcs[0])


def _edge_sites(n: int) -> dict[str, object]:
    # The map stays as large as it is: everybody reaches a share of the sites, so that the instance
    # itself, which is a list of arcs, grows with their square.
    return {"sites": n, "applications": 25 * n, "zones": max(2, n // 10), "rtt_limit_ms": 10.0}


SUBJECTS: tuple[Subject, ...] = (
    Subject(
        "scaling.job",
        "slots",
        (64, 256, 1024, 4096),
        lambda n: {"hours": n, "work": n / 8},
        _job,
        # In every slot they plan all slots that are left.
        squares=frozenset({"receding-horizon", "lowest-slots"}),
    ),
    Subject(
        "scaling.cluster",
        "jobs",
        (125, 500, 2000, 8000),
        lambda n: {"jobs": n, "hours": 24, "past_hours": 48},
        _cluster,
    ),
    Subject(
        "rightsizing.sites",
        "periods",
        (336, 1344, 5376, 21_504),
        lambda n: {"hours": n},
        _rightsizing,
    ),
    Subject(
        "rightsizing.sites",
        "sites",
        (4, 16, 64, 256),
        lambda n: {"sites": n, "hours": 168, "demand_gpus": 250.0 * n},
        _rightsizing,
    ),
    Subject("routing.sites", "periods", (3, 12, 48, 192), lambda n: {"hours": n / 12}),
    Subject("routing.sites", "sites", (2, 8, 32, 128), lambda n: {"sites": n, "hours": 0.5}),
    Subject(
        "routing.pipeline",
        "services",
        (2, 8, 32, 128),
        _services,
        _pipeline,
        # It offers every bundle of cards to every service.
        squares=frozenset({"greedy-cards"}),
    ),
    Subject(
        "placement.edge",
        "applications",
        (1000, 4000, 16_000, 64_000),
        lambda n: {"applications": n},
        _edge,
    ),
    Subject("placement.edge", "arcs", (24, 48, 96, 192), _edge_sites, _edge, count=_arcs),
    Subject(
        "placement.accelerators",
        "applications",
        (12, 48, 192, 768),
        lambda n: {"apps": n, "gpus": 4, "tpus": 4},
        _accelerators,
        # For every application that fits nowhere it tries to move everybody who is hosted.
        squares=frozenset({"one-move"}),
    ),
    Subject(
        "ensembles.selection",
        "models",
        (7, 15, 30, 60),
        lambda n: {"apps": 1, "candidates": n},
        # Where no member gains by itself it tries all pairs.
        squares=frozenset({"look-ahead"}),
    ),
    Subject("ensembles.selection", "applications", (3, 12, 48, 192), lambda n: {"apps": n}),
    Subject(
        "ensembles.failover",
        "applications",
        (60, 240, 960, 3840),
        lambda n: {"applications": n, "servers": 20},
        _failover,
    ),
    Subject(READERS, "rows", (4000, 16_000, 64_000, 256_000)),
    Subject(
        "scaling.cluster",
        "jobs, oracle",
        (60, 240, 960, 3840),
        lambda n: {"jobs": n, "hours": 72},
        hard=True,
    ),
    Subject("routing.pipeline", "services, oracle", (2, 8, 32, 128), _roomy_services, hard=True),
    Subject("placement.edge", "sites, oracle", (12, 48, 192, 384), _edge_sites, hard=True),
    Subject(
        "placement.accelerators",
        "applications, oracle",
        (3, 12, 48, 192),
        lambda n: {"apps": n, "gpus": max(1, n // 10), "tpus": max(1, n // 10)},
        hard=True,
    ),
    Subject(
        "ensembles.selection",
        "models, oracle",
        (7, 15, 30, 60),
        lambda n: {"apps": 1, "candidates": n, "servers": 3},
        hard=True,
    ),
    Subject(
        "ensembles.failover",
        "applications, oracle",
        (15, 60, 240, 960),
        lambda n: {"applications": n, "servers": max(5, n // 6)},
        hard=True,
    ),
)


def subject_of(name: str) -> Subject:
    """The subject of this name."""
    [found] = [subject for subject in SUBJECTS if subject.name == name]
    return found


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for instances and files."""
    return tempfile.TemporaryDirectory(prefix="optmodels-growth-")
