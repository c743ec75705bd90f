"""Why some critical applications stay without a warm backup: the limits in words."""

from __future__ import annotations

import numpy as np

from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.warm_backups import place_backups

_SHOWN = 10
#: Nodes in which it is tried to back up all critical applications.
_NODES = 500


def explain(instance: FailoverInstance) -> list[str]:
    """Say which limits keep critical applications from having a warm backup; empty if none do.

    A failure can be planned for all the same: what has no warm backup is loaded, or lost.
    """
    wanted = np.flatnonzero(instance.critical)
    if not len(wanted):
        return []
    greedy = place_backups(instance, method="greedy")
    if greedy.count == len(wanted):
        return []
    best = place_backups(instance, mode="coverage-first", options={"mip_max_nodes": _NODES})
    if best.count == len(wanted):
        return []
    p, options = instance.parameters, instance.candidates
    most = "at most" if best.status == "optimal" else "as far as was searched"
    reasons = [
        f"warm backups: {most} {best.count} of {len(wanted)} critical applications can have one"
    ]
    nowhere = [a for a in wanted.tolist() if not instance.may_stand[list(options.of(a))].any()]
    if nowhere:
        names = ", ".join(instance.applications[a] for a in nowhere[:_SHOWN])
        more = f" and {len(nowhere) - _SHOWN} more" if len(nowhere) > _SHOWN else ""
        rule = " and its site" if p.site_rule else ""
        reasons.append(
            f"places: no server away from the primary{rule} is fast enough and has the room for "
            f"any variant of {names}{more}"
        )
    smallest = float(options.memory_mb[options.start[wanted]].sum())
    free = float(instance.free_mb.sum())
    reasons.append(
        f"memory: the primaries leave {free:,.6g} MB free, of which warm backups may take "
        f"{(1 - p.headroom) * free:,.6g} MB (headroom {p.headroom:g}); the smallest variants of "
        f"all critical applications need {smallest:,.6g} MB"
    )
    return reasons
