"""The tables of a plan of failover: written from decisions, and read back with every fault named.

``warm`` (application, model, server) and ``recovery`` (scenario, application, server, first_model,
model, turn, upgrade_turn); see `optmodels.ensembles.failover.audit` for what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.ensembles.failover.actions import NONE, Recovery, Warm, no_recovery, no_warm
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.plan import Violation
from optmodels.violations import lacking, numbers, positions, row_violations

IntArray = NDArray[np.int64]

WARM_COLUMNS = ("application", "model", "server")
RECOVERY_COLUMNS = (
    *("scenario", "application", "server"),
    *("first_model", "model", "turn", "upgrade_turn"),
)
_LARGEST_TURN = 1e9


def tables_of(
    instance: FailoverInstance, warm: Warm, recoveries: list[Recovery]
) -> dict[str, pd.DataFrame]:
    """Tables of a plan."""
    options = instance.candidates
    names = np.array(options.names, dtype=object)[options.model]
    applications = np.array(instance.applications, dtype=object)
    servers = np.array(instance.servers, dtype=object)
    placed = warm.placed
    table = pd.DataFrame(
        {
            "application": applications[placed],
            "model": names[warm.candidate[placed]],
            "server": servers[warm.server[placed]],
        },
        dtype=object,
    )
    parts = [
        pd.DataFrame(
            {
                "scenario": np.full(recovery.count, failure.name, dtype=object),
                "application": applications[recovery.application],
                "server": servers[recovery.server],
                "first_model": names[recovery.first],
                "model": names[recovery.target],
                "turn": recovery.turn,
                "upgrade_turn": recovery.upgrade_turn,
            }
        )
        for failure, recovery in zip(instance.failures, recoveries, strict=True)
    ]
    return {"warm": table, "recovery": pd.concat(parts, ignore_index=True)}


def read_warm(
    instance: FailoverInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[Warm, list[Violation]]:
    """The sound rows of the warm backups, and what is wrong with the others."""
    warm = no_warm(len(instance.applications))
    table = tables.get("warm")
    violations = lacking(WARM_COLUMNS, table, "warm")
    if table is None or violations:
        return warm, violations
    application = positions(instance.applications, table["application"])
    server = positions(instance.servers, table["server"])
    candidate = _candidate_of(instance, application, table["model"])
    seen: set[int] = set()
    for i, (a, c, k) in enumerate(
        zip(application.tolist(), candidate.tolist(), server.tolist(), strict=True)
    ):
        where = f"row {i + 1}"
        for limit, wrong, allowed in (
            ("application of table 'warm'", a < 0, "an application"),
            ("server of table 'warm'", k < 0, "a server"),
            ("model of table 'warm'", a >= 0 and c < 0, "its family, up to its primary's memory"),
            ("one warm backup per application", a in seen, "once"),
        ):
            if wrong:
                violations.append(Violation(limit, where, i + 1, allowed))
        if min(a, c, k) >= 0 and a not in seen:
            warm.candidate[a], warm.server[a] = c, k
        seen.add(a)
    return warm, violations


def read_recoveries(
    instance: FailoverInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[list[Recovery], list[Violation]]:
    """The sound rows of the recoveries, one `Recovery` per failure, and what is wrong."""
    table = tables.get("recovery")
    violations = lacking(RECOVERY_COLUMNS, table, "recovery")
    if table is None or violations:
        return [no_recovery() for _ in instance.failures], violations
    scenario = positions([failure.name for failure in instance.failures], table["scenario"])
    application = positions(instance.applications, table["application"])
    server = positions(instance.servers, table["server"])
    first = _candidate_of(instance, application, table["first_model"])
    target = _candidate_of(instance, application, table["model"])
    turn, upgrade_turn = (_turns(table[name]) for name in ("turn", "upgrade_turn"))
    plain = first == target
    key = pd.DataFrame({"f": scenario, "k": server})
    # Every loading has a place of its own in its server's queue.
    queue = pd.concat([key.assign(turn=turn), key.assign(turn=upgrade_turn)[upgrade_turn > 0]])
    shared = queue.duplicated(keep=False).groupby(level=0).any().reindex(key.index).to_numpy(bool)
    twice = pd.DataFrame({"f": scenario, "a": application}).duplicated().to_numpy()
    known_model = (application < 0) | ((first >= 0) & (target >= 0))
    faults = {
        ("scenario of table 'recovery'", "a failure"): scenario < 0,
        ("application of table 'recovery'", "an application"): application < 0,
        ("server of table 'recovery'", "a server"): server < 0,
        ("model of table 'recovery'", "its family, up to its primary's memory"): ~known_model,
        ("one recovery per failure and application", "once"): twice,
        ("turn", "a whole number from 1"): turn < 1,
        ("upgrade turn", "0 without an upgrade, else after the turn"): np.where(
            plain, upgrade_turn != 0, upgrade_turn <= turn
        ),
        ("turn", "no two loadings in one place of a queue"): shared,
    }
    bad, row_numbers = np.zeros(len(table), dtype=bool), np.arange(1, len(table) + 1)
    for (limit, allowed), wrong in faults.items():
        bad |= wrong
        violations += row_violations(limit, wrong, row_numbers, allowed)
    found = []
    for f in range(len(instance.failures)):
        rows = np.flatnonzero((scenario == f) & ~bad)
        columns = (application, server, first, target, turn, upgrade_turn)
        found.append(Recovery(*(column[rows] for column in columns)))
    return found, violations


def _candidate_of(
    instance: FailoverInstance, application: IntArray, column: pd.Series[Any]
) -> IntArray:
    """Candidate of each application by the name of its variant, -1 where it has none such."""
    options = instance.candidates
    number = {
        (a, options.names[j]): c
        for c, (a, j) in enumerate(
            zip(options.application.tolist(), options.model.tolist(), strict=True)
        )
    }
    pairs = zip(application.tolist(), column.tolist(), strict=True)
    return np.array([number.get(pair, NONE) for pair in pairs], dtype=np.int64)


def _turns(column: pd.Series[Any]) -> IntArray:
    """Places in a queue; -1 where a cell is no whole number from 0."""
    values = numbers(column)
    sound = (values == np.floor(values)) & (values >= 0) & (values <= _LARGEST_TURN)
    turns: IntArray = np.where(sound, values, NONE).astype(np.int64)
    return turns
