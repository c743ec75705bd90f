"""The audit of a selection: the only place where accuracies and costs are counted.

A plan has one table, ``members`` (application, candidate, server). What members are worth is
recomputed pattern by pattern from the raw predictions (`optmodels.ensembles.selection.evaluation`),
not from the arrays of the oracle. The objective is the mean error of the applications, by their
weights: of the expectation and of the worst case, by theirs. Beside it stands what the same members
get right on hold-out samples, which nobody who decides has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from optmodels.ensembles.selection.evaluation import Worth, validated, worth
from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.ensembles.selection.tasks import TOLERANCE, Placement, faults
from optmodels.plan import Audit, Cost, Violation
from optmodels.policy import FloatArray
from optmodels.violations import audited, lacking, words

COLUMNS = ("application", "candidate", "server")


def audit(instance: SelectionInstance, tables: Mapping[str, pd.DataFrame]) -> Audit:
    """Recompute what members are worth and which limits they break.

    Parameters
    ----------
    instance
        The question.
    tables
        ``members`` (application, candidate, server), one row per member.
    """
    placements, violations = read_members(instance, tables)
    for task, placement in zip(instance.tasks, placements, strict=True):
        violations += [
            Violation(limit, task.name, len(placement), "as the application says")
            for limit in faults(task, instance.servers, instance.rules, placement)
        ]
    violations += _memory_violations(instance, placements)
    return audited(cost_of(instance, placements), violations)


def cost_of(instance: SelectionInstance, placements: Sequence[Placement]) -> Cost:
    """What members of the applications are worth, and what they take."""
    tasks, servers, rules = instance.tasks, instance.servers, instance.rules
    shares = np.array([task.share for task in tasks])
    found = [validated(t, servers, rules, p) for t, p in zip(tasks, placements, strict=True)]
    expected, worst, undisturbed = _errors(shares, found)
    memory = [t.memory(p, len(servers)).sum() for t, p in zip(tasks, placements, strict=True)]
    quantities = {
        "expected_error": expected,
        "worst_error": worst,
        "undisturbed_error": undisturbed,
    }
    if instance.has_holdout:
        held = [_held_out(instance, n, p) for n, p in enumerate(placements)]
        names = ("holdout_expected_error", "holdout_worst_error", "holdout_undisturbed_error")
        quantities |= dict(zip(names, _errors(shares, held), strict=True))
    quantities |= {
        "energy_j": sum(t.energy(p) for t, p in zip(tasks, placements, strict=True)),
        "memory_mb": float(np.sum(memory)),
        "members": float(sum(len(p) for p in placements)),
        "unserved": float(sum(1 for p in placements if not p)),
    }
    return Cost(
        parts={
            "expected_part": rules.expected_share * expected,
            "worst_part": (1 - rules.expected_share) * worst,
        },
        quantities=quantities,
        unit="mean error",
    )


def _errors(shares: FloatArray, found: Sequence[Worth]) -> tuple[float, float, float]:
    """Mean errors: expected, in the worst case, and while nothing fails."""
    expected = float(shares @ [1 - w.expected for w in found])
    worst = float(shares @ [1 - w.worst for w in found])
    return expected, worst, float(shares @ [1 - w.undisturbed for w in found])


def _held_out(instance: SelectionInstance, number: int, placement: Placement) -> Worth:
    task = instance.tasks[number]
    return worth(
        instance.held_out[number],
        instance.servers.failures,
        placement,
        worst_failures=instance.rules.worst_failures,
        fallback=task.fallback,
    )


def tables_of(
    instance: SelectionInstance, placements: Sequence[Placement]
) -> dict[str, pd.DataFrame]:
    """Tables of a plan, in the order of names."""
    rows = sorted(
        (task.name, task.candidates[m], instance.servers.names[s])
        for task, placement in zip(instance.tasks, placements, strict=True)
        for m, s in placement
    )
    return {"members": pd.DataFrame(rows, columns=list(COLUMNS))}


def read_members(
    instance: SelectionInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[list[Placement], list[Violation]]:
    """The sound rows of a selection, and what is wrong with the others."""
    found: list[list[tuple[int, int]]] = [[] for _ in instance.tasks]
    table = tables.get("members")
    violations = lacking(COLUMNS, table, "members")
    if table is None or violations:
        return [tuple(p) for p in found], violations
    tasks = {task.name: n for n, task in enumerate(instance.tasks)}
    servers = {name: s for s, name in enumerate(instance.servers.names)}
    columns = [words(table[name]) for name in COLUMNS]
    for row, (application, candidate, server) in enumerate(zip(*columns, strict=True), start=1):
        where = f"row {row}"
        if application not in tasks:
            violations.append(
                Violation("application of table 'members'", where, row, "an application")
            )
        elif candidate not in instance.tasks[tasks[application]].candidates:
            allowed = f"a candidate of {application}"
            violations.append(Violation("candidate of table 'members'", where, row, allowed))
        elif server not in servers:
            violations.append(Violation("server of table 'members'", where, row, "a server"))
        else:
            task = instance.tasks[tasks[application]]
            pair = (task.candidates.index(candidate), servers[server])
            if pair in found[tasks[application]]:
                violations.append(Violation("one row per member and server", where, row, "once"))
            else:
                found[tasks[application]].append(pair)
    return [tuple(sorted(p)) for p in found], violations


def _memory_violations(
    instance: SelectionInstance, placements: Sequence[Placement]
) -> list[Violation]:
    servers = instance.servers
    used = np.zeros(len(servers))
    for task, placement in zip(instance.tasks, placements, strict=True):
        used += task.memory(placement, len(servers))
    return [
        Violation("memory of a server [MB]", servers.names[s], used[s], f"at most {room:.9g}")
        for s, room in enumerate(servers.capacity_mb)
        if used[s] > room + TOLERANCE * max(room, 1.0)
    ]
