"""Failover with replicas of many sizes: what is known, and what is asked.

Applications run inference models on edge servers. A model comes in a family of variants: smaller
ones are less accurate, but need less memory and load faster. When a server, or a whole site, fails,
its applications must go on elsewhere: on a *warm* backup that stood ready and serves after one
switch of the traffic, or on a *cold* one that has to be loaded first. Memory that is spent on warm
backups is not there for cold ones. Which backups should stand ready, of which size and where, and
what should be loaded where when a failure comes, so that the least service is lost?

Lost service is counted in seconds of full service: an application that is down for a second loses
one, one that runs a second at 98 % of its accuracy loses 0.02, and one that is not recovered loses
the whole horizon. Each second is weighted by the application's weight, each failure by its
probability.

The three mechanisms (small replicas, some warm and the others cold, first a small one and then a
larger) are those of FailLite (arXiv:2504.15856), of which the public abstract gives no formulas:
the details here are a FailLite-*style* design of our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.ensembles.failover.candidates import Candidates, candidates_of
from optmodels.ensembles.failover.checks import (
    application_flaws,
    capacity_flaws,
    network_flaws,
    scenario_flaws,
    variant_flaws,
)
from optmodels.errors import Flaw
from optmodels.instance import Instance
from optmodels.policy import FloatArray, frozen
from optmodels.schema import Parameters, Place, Row, Table, column

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_LARGEST = 1e9


class FailoverParameters(Parameters):
    """Scalar parameters of failover."""

    heartbeat_ms: float = column(
        "time between two signs of life of a server", unit="ms", default=20.0, ge=0, le=_LARGEST
    )
    missed_heartbeats: int = column(
        "signs that must be missing before a server counts as failed", default=2, ge=1, le=10**6
    )
    grace_ms: float = column(
        "time that is waited beyond them", unit="ms", default=0.0, ge=0, le=_LARGEST
    )
    plan_ms: float = column(
        "time in which it is decided what to load where; warm backups need none",
        unit="ms",
        default=5.0,
        ge=0,
        le=_LARGEST,
    )
    switch_ms: float = column(
        "time to redirect the clients of an application", unit="ms", default=10.0, ge=0, le=_LARGEST
    )
    horizon_s: float = column(
        "time after a failure for which service is counted", unit="s", default=60.0, gt=0, le=1e6
    )
    loading: Literal["serial", "parallel"] = column(
        "whether a server loads one model after another, or all at once", default="serial"
    )
    scope: Literal["servers", "sites"] = column(
        "what fails at once, where there is no table 'scenarios': each server, or each site",
        default="servers",
    )
    site_rule: bool = column(
        "whether a warm backup must be at another site than its primary", default=True
    )
    headroom: float = column(
        "share of the free capacity that warm backups leave to cold ones", default=0.1, ge=0, le=1
    )
    headroom_per_server: bool = column(
        "whether that share is left free on every server, or of all servers together", default=False
    )
    multiplexed_compute: bool = column(
        "whether warm backups need compute only in failures that need them", default=False
    )


class ServerRow(Row):
    """One server."""

    server: str = column("name of the server")
    site: str = column("name of its site")
    memory_mb: float = column("memory for models", unit="MB", gt=0, le=_LARGEST)
    compute_gflops: float = column("sustained compute", unit="GFLOP/s", ge=0, le=_LARGEST)


class ModelRow(Row):
    """One variant of a family of models."""

    model: str = column("name of the variant")
    family: str = column("name of its family")
    memory_mb: float = column("memory of a loaded replica", unit="MB", gt=0, le=_LARGEST)
    accuracy: float = column("accuracy", gt=0, le=1)
    load_ms: float = column("time to load it", unit="ms", ge=0, le=_LARGEST)
    first_ms: float = column(
        "time of its first inference after loading", unit="ms", ge=0, le=_LARGEST
    )
    inference_ms: float = column("time of a later inference", unit="ms", ge=0, le=_LARGEST)
    gflop: float = column("work of an inference", unit="GFLOP", ge=0, le=_LARGEST)


class ApplicationRow(Row):
    """One application."""

    application: str = column("name of the application")
    model: str = column("variant that it runs: its primary")
    server: str = column("server on which the primary runs")
    rate_per_s: float = column("requests per second", unit="1/s", ge=0, le=_LARGEST)
    weight: float = column("what a second of its service is worth", gt=0, le=1e6)
    latency_limit_ms: float = column(
        "longest time from a request to its answer", unit="ms", ge=0, le=_LARGEST
    )
    critical: bool = column("whether a warm backup is wanted")


class NetworkRow(Row):
    """Round trip from the clients of an application to a server."""

    application: str = column("name of the application")
    server: str = column("name of the server")
    network_ms: float = column("round trip", unit="ms", ge=0, le=_LARGEST)


class ScenarioRow(Row):
    """One server that fails in a failure."""

    scenario: str = column("name of the failure")
    server: str = column("server that fails in it")
    weight: float = column(
        "how often it happens, relative to the others; the same in all its rows", gt=0, le=_LARGEST
    )


@dataclass(frozen=True)
class Failure:
    """Servers that fail together.

    Attributes
    ----------
    name
        Name of the failure.
    down
        Whether each server fails, shape (S,).
    probability
        How probable it is among all failures.
    failed
        Numbers of the applications whose primaries it takes.
    """

    name: str
    down: BoolArray
    probability: float
    failed: IntArray


class FailoverInstance(Instance):
    """Frozen data of failover.

    Tables: ``servers``, ``models`` (variants of families), ``applications``, and optionally
    ``network`` (round trips; without it all are 0) and ``scenarios`` (what fails together; without
    it every server, or every site, fails once).

    Arrays are by server (S of them), application (N) and candidate (a variant that an application
    may fall back on, see `Candidates`), in the order of their names.
    """

    problem: ClassVar[str] = "ensembles.failover"
    title: ClassVar[str] = "Which small replicas stand ready where, for when servers fail?"
    parameters_model: ClassVar[type[Parameters]] = FailoverParameters
    table_models: ClassVar[Mapping[str, Table]] = {
        "servers": Table(ServerRow, ("server",), "Servers."),
        "models": Table(ModelRow, ("model",), "Variants of the families of models."),
        "applications": Table(ApplicationRow, ("application",), "Applications."),
        "network": Table(
            NetworkRow, ("application", "server"), "Round trips, where not 0.", required=False
        ),
        "scenarios": Table(
            ScenarioRow, ("scenario", "server"), "Servers that fail together.", required=False
        ),
    }

    @classmethod
    def _check(
        cls,
        parameters: Any,
        tables: Mapping[str, pd.DataFrame],
        places: Mapping[str, Place],
    ) -> list[Flaw]:
        del parameters
        flaws = application_flaws(tables, places)
        flaws += network_flaws(tables, places) + scenario_flaws(tables, places)
        if flaws:
            return flaws
        return variant_flaws(tables, places) + capacity_flaws(tables, places)

    @cached_property
    def servers(self) -> tuple[str, ...]:
        """Names of the servers, in the order of every array by server."""
        return tuple(str(name) for name in self._tables["servers"]["server"])

    @cached_property
    def site(self) -> IntArray:
        """Number of the site of each server, shape (S,)."""
        return _whole(
            pd.Index(self.sites).get_indexer(pd.Index(self._tables["servers"]["site"].astype(str)))
        )

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites."""
        return tuple(sorted({str(name) for name in self._tables["servers"]["site"]}))

    @cached_property
    def applications(self) -> tuple[str, ...]:
        """Names of the applications, in the order of every array by application."""
        return tuple(str(name) for name in self._tables["applications"]["application"])

    @cached_property
    def home(self) -> IntArray:
        """Number of the server of each primary, shape (N,)."""
        known = pd.Index(self.servers)
        return _whole(
            known.get_indexer(pd.Index(self._tables["applications"]["server"].astype(str)))
        )

    @cached_property
    def weight(self) -> FloatArray:
        """What a second of each application is worth, shape (N,)."""
        return frozen(self._tables["applications"]["weight"])

    @cached_property
    def critical(self) -> BoolArray:
        """Applications for which a warm backup is wanted, shape (N,)."""
        flags: BoolArray = self._tables["applications"]["critical"].to_numpy(dtype=bool).copy()
        flags.flags.writeable = False
        return flags

    @cached_property
    def candidates(self) -> Candidates:
        """The variants that each application may fall back on."""
        return candidates_of(self._tables["applications"], self._tables["models"])

    @cached_property
    def network_ms(self) -> FloatArray:
        """Round trip from the clients of each application to each server [ms], shape (N, S)."""
        trips = np.zeros((len(self.applications), len(self.servers)))
        if "network" in self._tables:
            table = self._tables["network"]
            row = pd.Index(self.applications).get_indexer(
                pd.Index(table["application"].astype(str))
            )
            trips[
                row, pd.Index(self.servers).get_indexer(pd.Index(table["server"].astype(str)))
            ] = table["network_ms"].to_numpy()
        return frozen(trips)

    @cached_property
    def fast_enough(self) -> BoolArray:
        """Whether each candidate on each server answers in time, shape (C, S)."""
        options = self.candidates
        limit = self._tables["applications"]["latency_limit_ms"].to_numpy()[options.application]
        trip = self.network_ms[options.application] + options.inference_ms[:, None]
        fast: BoolArray = trip <= limit[:, None]
        fast.flags.writeable = False
        return fast

    @cached_property
    def free_mb(self) -> FloatArray:
        """F: memory of each server that its primaries leave [MB], shape (S,)."""
        return self._free(self._tables["servers"]["memory_mb"], self.candidates.memory_mb)

    @cached_property
    def free_gflops(self) -> FloatArray:
        """Compute of each server that its primaries leave [GFLOP/s], shape (S,)."""
        return self._free(self._tables["servers"]["compute_gflops"], self.candidates.gflops)

    def _free(self, whole: pd.Series[Any], need: FloatArray) -> FloatArray:
        used = np.bincount(
            self.home, weights=need[self.candidates.primary], minlength=len(self.servers)
        )
        # Primaries that fill a server but for rounding leave nothing.
        return frozen(np.maximum(whole.to_numpy() - used, 0.0))

    @cached_property
    def may_stand(self) -> BoolArray:
        """Whether a warm backup of each candidate may stand on each server, shape (C, S).

        Not on the server of its primary, nor at its site where there is a site rule; only where it
        answers in time and would fit if it were alone.
        """
        options = self.candidates
        home = self.home[options.application]
        elsewhere = np.arange(len(self.servers))[None, :] != home[:, None]
        allowed: BoolArray = self.fast_enough & elsewhere
        if self.parameters.site_rule:
            allowed &= self.site[None, :] != self.site[home][:, None]
        allowed &= options.memory_mb[:, None] <= self.free_mb[None, :]
        allowed &= options.gflops[:, None] <= self.free_gflops[None, :]
        allowed.flags.writeable = False
        return allowed

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """What may fail, in the order of the names."""
        if "scenarios" in self._tables:
            table = self._tables["scenarios"]
            number = pd.Index(self.servers).get_indexer(pd.Index(table["server"].astype(str)))
            label = table["scenario"].astype(str).to_numpy(dtype=object)
            groups = [(name, number[label == name]) for name in sorted(set(label))]
            weights = [float(table["weight"].to_numpy()[label == name][0]) for name, _ in groups]
        elif self.parameters.scope == "sites":
            groups = [(name, np.flatnonzero(self.site == g)) for g, name in enumerate(self.sites)]
            weights = [1.0] * len(groups)
        else:
            groups = [(name, np.array([k])) for k, name in enumerate(self.servers)]
            weights = [1.0] * len(groups)
        found = []
        for (name, down), weight in zip(groups, weights, strict=True):
            mask = np.zeros(len(self.servers), dtype=bool)
            mask[down] = True
            failed = np.flatnonzero(mask[self.home])
            found.append(Failure(str(name), mask, weight / sum(weights), failed))
        return tuple(found)

    @property
    def detection_ms(self) -> float:
        """Mean time until a failure is noticed [ms].

        The server dies at any moment between two signs of life, so of the n signs that must be
        missing the first is due after half an interval on average: (n - 1/2) h, and the grace.
        """
        p = self.parameters
        return float((p.missed_heartbeats - 0.5) * p.heartbeat_ms + p.grace_ms)

    @property
    def warm_ms(self) -> float:
        """Time until a warm backup serves [ms]: detect and switch."""
        return float(self.detection_ms + self.parameters.switch_ms)

    @property
    def cold_ms(self) -> float:
        """Time until a cold backup serves, without loading it [ms]: detect, plan and switch."""
        return float(self.warm_ms + self.parameters.plan_ms)

    @property
    def horizon_ms(self) -> float:
        """Time after a failure for which service is counted [ms]."""
        return float(self.parameters.horizon_s * 1000)

    def model(self) -> Any:
        """Warm and cold backups of all failures as an ordinary Pyomo model, to edit or export."""
        from optmodels.ensembles.failover.model import concrete_model

        return concrete_model(self)


def _whole(values: Any) -> IntArray:
    """Read-only copy as whole numbers."""
    numbers = np.array(values, dtype=np.int64)
    numbers.flags.writeable = False
    return numbers
