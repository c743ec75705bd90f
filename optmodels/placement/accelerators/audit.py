"""The audit of a placement: the only place where what is lost is counted.

A plan has one table, ``placement`` (app, node): applications that are not in it are rejected. What
a placement cannot do is break a node's memory, or put a model where it does not run: these are
violations. What it can do, and pays for, is break promises: all applications of a node that is too
busy, or on which the mean response of anyone exceeds its SLO, are lost as well ("spoilt"), because
a placement is worth what it hosts without violation. Responses are recomputed here by formula from
the raw instance; `optmodels.placement.accelerators.judging` measures them in a simulation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from optmodels.placement.accelerators.hardware import TOLERANCE, Application
from optmodels.placement.accelerators.instance import AcceleratorsInstance
from optmodels.placement.accelerators.response import report
from optmodels.plan import Audit, Cost, Violation
from optmodels.violations import audited, lacking, words

COLUMNS = ("app", "node")

#: Applications of each node, in the order of the nodes.
Placement = tuple[tuple[Application, ...], ...]


def audit(instance: AcceleratorsInstance, tables: Mapping[str, pd.DataFrame]) -> Audit:
    """Recompute what a placement loses and which limits it breaks.

    Parameters
    ----------
    instance
        The question.
    tables
        ``placement`` (app, node), one row per hosted application.

    Returns
    -------
    Audit
        Value lost: that of the rejected applications and of those on nodes that break a promise.
    """
    placement, violations = read_placement(instance, tables)
    for node, hosted in enumerate(placement):
        violations += _memory_violations(instance, node, hosted)
    return audited(cost_of(instance, placement), violations)


def cost_of(instance: AcceleratorsInstance, placement: Placement) -> Cost:
    """What a placement of offered models loses, its memory apart."""
    hardware = instance.hardware
    reports = [
        report(hardware.device(node), hosted, hardware.rules)
        for node, hosted in enumerate(placement)
    ]
    hosted = [a.value for node in placement for a in node]
    spoilt = [a.value for node, r in zip(placement, reports, strict=True) if not r.ok for a in node]
    kept = [(n, r) for n, r in zip(placement, reports, strict=True) if r.ok and n]
    rates = np.array([a.rate_per_ms for node, _ in kept for a in node])
    responses = np.concatenate([np.empty(0), *(r.response_ms for _, r in kept)])
    return Cost(
        parts={
            "rejected": instance.total_value - float(np.sum(hosted)),
            "spoilt": float(np.sum(spoilt)),
        },
        quantities={
            "hosted": float(len(hosted)),
            "kept": float(len(hosted) - len(spoilt)),
            "late": float(sum(int((~r.kept).sum()) for r in reports)),
            "nodes_used": float(sum(1 for node in placement if node)),
            # Finite: a kept node is not overloaded.
            "mean_response_ms": float(rates @ responses / rates.sum()) if kept else 0.0,
        },
        unit="value",
    )


def tables_of(instance: AcceleratorsInstance, placement: Placement) -> dict[str, pd.DataFrame]:
    """Tables of a plan, applications in the order of their names."""
    rows = sorted(
        (application.name, instance.hardware.nodes[node])
        for node, hosted in enumerate(placement)
        for application in hosted
    )
    return {"placement": pd.DataFrame(rows, columns=list(COLUMNS))}


def read_placement(
    instance: AcceleratorsInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[Placement, list[Violation]]:
    """The sound rows of a placement, and what is wrong with the others."""
    nodes: list[list[Application]] = [[] for _ in instance.hardware.nodes]
    table = tables.get("placement")
    violations = lacking(COLUMNS, table, "placement")
    if table is None or violations:
        return tuple(map(tuple, nodes)), violations
    applications = {application.name: application for application in instance.applications}
    numbers = {name: number for number, name in enumerate(instance.hardware.nodes)}
    apps, places = words(table["app"]), words(table["node"])
    seen: set[str] = set()
    for row, (app, place) in enumerate(zip(apps, places, strict=True), start=1):
        node = numbers.get(place)
        where = f"row {row}"
        if app not in applications:
            violations.append(Violation("app of table 'placement'", where, row, "an application"))
        elif node is None:
            violations.append(Violation("node of table 'placement'", where, row, "a node"))
        elif app in seen:
            violations.append(Violation("one row per application", app, row, "once"))
        elif not instance.hardware.device(node).offers(applications[app].model):
            allowed = f"a model that the device of {place} runs"
            violations.append(Violation("model of an application", app, row, allowed))
        else:
            nodes[node].append(applications[app])
            seen.add(app)
    return tuple(map(tuple, nodes)), violations


def _memory_violations(
    instance: AcceleratorsInstance, node: int, hosted: Sequence[Application]
) -> list[Violation]:
    hardware = instance.hardware
    used, usable = hardware.device(node).memory_of(hosted), hardware.usable_mb(node)
    if used <= usable * (1 + TOLERANCE):
        return []
    name = hardware.nodes[node]
    return [Violation("memory of a node [MB]", name, used, f"at most {usable:.9g}")]
