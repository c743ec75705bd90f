"""Sharing accelerators: what is known, and what is asked.

Applications send requests for inferences of some model. A node has one accelerator (a GPU whose
inferences share it, an Edge TPU that takes them one after the other and has to load a model where
another was resident) and a front end for every application on it. How many applications can be
hosted so that the mean response of every one of them stays within its promise?

Placing by queueing models of shared accelerators is the idea of Ibis (Liang, Hanafy, Ali-Eldin and
Shenoy, "Model-driven cluster resource management for AI workloads in edge clouds",
arXiv:2201.07312). An application that is not hosted is lost; so is one on a node that breaks the
promise to any of its applications, because "hosted" means hosted without violation there. The
objective is the value of what is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from optmodels.errors import Flaw
from optmodels.instance import Instance
from optmodels.placement.accelerators.checks import (
    application_flaws,
    node_flaws,
    profile_flaws,
)
from optmodels.placement.accelerators.hardware import Application, Device, Hardware, Rules
from optmodels.policy import FloatArray, frozen
from optmodels.schema import Parameters, Place, Row, Table, column

_LARGEST = 1e9
_SMALLEST = 1e-6


class AcceleratorsParameters(Parameters):
    """Scalar parameters of the sharing of accelerators; limits by default as in Ibis."""

    network_ms: float = column(
        "time of a request in the network, both ways", unit="ms", default=10.0, ge=0, le=_LARGEST
    )
    memory_share_max: float = column(
        "share of a node's memory that may be used", default=0.8, gt=0, le=1
    )
    load_max: float = column(
        "largest load of an accelerator, switches included", default=0.8, gt=0, lt=1
    )
    frontend_load_max: float = column("largest load of a front end", default=0.8, gt=0, lt=1)
    reserve_share: float = column(
        "share of every SLO that is held back for what the formulas leave out",
        default=0.0,
        ge=0,
        lt=1,
    )
    concurrency_guard: float | None = column(
        "largest mean number of requests of one application anywhere on its way, where front ends "
        "take one at a time (0.8 in the code of Ibis); default: no limit",
        default=None,
        gt=0,
        le=_LARGEST,
    )
    second_moment: Literal["mixture", "collapsed"] = column(
        "second moment of services with switches: ours, or that of Ibis", default="mixture"
    )
    sharing: Literal["exact", "additive"] = column(
        "response of a shared processor: exact, or as Ibis adds it", default="exact"
    )


class ApplicationRow(Row):
    """One application."""

    app: str = column("name of the application")
    model: str = column("model whose inferences it asks for")
    rate_per_s: float = column("requests, a Poisson process", unit="1/s", ge=_SMALLEST, le=_LARGEST)
    slo_ms: float = column(
        "longest mean response that it was promised", unit="ms", ge=_SMALLEST, le=_LARGEST
    )
    value: float = column("what hosting it is worth", gt=0, le=_LARGEST)
    arrival: int = column("its place in the order of arrival", ge=1, le=10**9)


class NodeRow(Row):
    """One node."""

    node: str = column("name of the node")
    device: str = column("kind of the node")
    memory_mb: float = column("memory", unit="MB", gt=0, le=_LARGEST)


class DeviceRow(Row):
    """One kind of node."""

    device: str = column("name of the kind")
    discipline: Literal["fcfs", "ps"] = column(
        "how inferences share the accelerator: one after the other, or all at once"
    )
    frontend_ms: float = column(
        "time of a request on a core of a front end, if alone", unit="ms", ge=0, le=_LARGEST
    )
    frontend_cores: int = column("cores of each front end", ge=1, le=1024)
    frontend_mb: float = column("memory of each front end", unit="MB", ge=0, le=_LARGEST)


class ProfileRow(Row):
    """One model on one kind of node."""

    model: str = column("name of the model")
    device: str = column("kind of node")
    service_ms: float = column(
        "mean time of an inference, if alone", unit="ms", ge=_SMALLEST, le=_LARGEST
    )
    variation: float = column(
        "squared coefficient of variation of that time; 0 for constant", ge=0, le=1000
    )
    switch_ms: float = column(
        "time to load the model where another was resident", unit="ms", ge=0, le=_LARGEST
    )
    memory_mb: float = column("memory of the loaded model", unit="MB", ge=0, le=_LARGEST)


class AcceleratorsInstance(Instance):
    """Frozen data of a placement on shared accelerators.

    Tables: ``apps``, ``nodes``, ``devices``, ``profiles`` (one row per model and kind of node on
    which it runs).
    """

    problem: ClassVar[str] = "placement.accelerators"
    title: ClassVar[str] = "Which applications share which accelerators?"
    parameters_model: ClassVar[type[Parameters]] = AcceleratorsParameters
    table_models: ClassVar[Mapping[str, Table]] = {
        "apps": Table(ApplicationRow, ("app",), "Applications."),
        "nodes": Table(NodeRow, ("node",), "Nodes."),
        "devices": Table(DeviceRow, ("device",), "Kinds of nodes."),
        "profiles": Table(ProfileRow, ("model", "device"), "What a model costs on a kind of node."),
    }

    @classmethod
    def _check(
        cls,
        parameters: Any,
        tables: Mapping[str, pd.DataFrame],
        places: Mapping[str, Place],
    ) -> list[Flaw]:
        return [
            *application_flaws(tables, places),
            *node_flaws(tables, places),
            *profile_flaws(tables, places),
        ]

    @cached_property
    def rules(self) -> Rules:
        """When a node keeps its promises."""
        return Rules(**self.parameters.model_dump())

    @cached_property
    def hardware(self) -> Hardware:
        """Nodes and profiles, without any application."""
        nodes, devices = self._tables["nodes"], self._tables["devices"]
        names = devices["device"].tolist()
        return Hardware(
            models=self.models,
            devices=tuple(self._device(row) for row in devices.itertuples()),
            nodes=tuple(str(name) for name in nodes["node"]),
            device_of=tuple(names.index(name) for name in nodes["device"]),
            memory_mb=tuple(float(size) for size in nodes["memory_mb"]),
            rules=self.rules,
        )

    def _device(self, row: Any) -> Device:
        table = self._tables["profiles"]
        own = table[table["device"] == row.device].set_index("model").reindex(list(self.models))

        def by_model(name: str) -> FloatArray:
            return frozen(own[name])

        service = by_model("service_ms")
        return Device(
            name=str(row.device),
            discipline=row.discipline,
            frontend_ms=float(row.frontend_ms),
            frontend_cores=int(row.frontend_cores),
            frontend_mb=float(row.frontend_mb),
            service_ms=service,
            second_ms2=frozen(service**2 * (1 + by_model("variation"))),
            switch_ms=by_model("switch_ms"),
            memory_mb=by_model("memory_mb"),
        )

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of the models that have a profile, sorted."""
        return tuple(sorted({str(name) for name in self._tables["profiles"]["model"]}))

    @cached_property
    def applications(self) -> tuple[Application, ...]:
        """Applications in the order of their arrival."""
        number = {name: m for m, name in enumerate(self.models)}
        rows = self._tables["apps"].sort_values("arrival").to_dict("records")
        return tuple(
            Application(
                name=str(row["app"]),
                model=number[str(row["model"])],
                rate_per_ms=float(row["rate_per_s"]) / 1000,
                slo_ms=float(row["slo_ms"]),
                value=float(row["value"]),
            )
            for row in rows
        )

    @cached_property
    def total_value(self) -> float:
        """Value of all applications together."""
        return float(np.sum([application.value for application in self.applications]))

    def model(self) -> Any:
        """The exact placement as an ordinary Pyomo model, to edit or to give to another solver."""
        from optmodels.placement.accelerators.model import concrete_model

        return concrete_model(self)
