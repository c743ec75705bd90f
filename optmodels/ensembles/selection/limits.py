"""Why some applications cannot be served by anybody: their limits in words."""

from __future__ import annotations

import numpy as np

from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.ensembles.selection.tasks import TOLERANCE, Task


def explain(instance: SelectionInstance) -> list[str]:
    """Say which applications cannot have a single member, and why; empty if there are none.

    The others may still get fewer members than they would have alone, for want of memory.
    """
    return [
        f"{task.name}: {'; '.join(_reasons(instance, task))}"
        for task in instance.tasks
        if not task.pairs
    ]


def _reasons(instance: SelectionInstance, task: Task) -> list[str]:
    """What keeps every candidate off every server, a clause for each kind of limit."""
    tables = instance.tables
    limits = tables["applications"].set_index("application").loc[task.name]
    profiles = tables["profiles"]
    own = profiles[profiles["candidate"].isin(task.candidates)]
    if own.empty:
        return ["no candidate has a profile on any server"]
    found = []
    late = own["latency_ms"] > limits["latency_max_ms"] * (1 + TOLERANCE)
    if late.any():
        found.append(
            f"{int(late.sum())} of {len(own)} profiles are slower than "
            f"{limits['latency_max_ms']:.6g} ms (the fastest takes {own['latency_ms'].min():.6g})"
        )
    costly = own["energy_j"] > limits["energy_max_j"] * (1 + TOLERANCE)
    if costly.any():
        found.append(
            f"{int(costly.sum())} of {len(own)} need more than {limits['energy_max_j']:.6g} J "
            f"(the least is {own['energy_j'].min():.6g})"
        )
    memory = dict(zip(task.candidates, task.memory_mb.tolist(), strict=True))
    servers = instance.servers
    capacity = dict(zip(servers.names, servers.capacity_mb.tolist(), strict=True))
    needed = own["candidate"].map(memory).to_numpy(dtype=np.float64)
    offered = own["server"].map(capacity).to_numpy(dtype=np.float64)
    large = needed > offered * (1 + TOLERANCE)
    if large.any():
        found.append(
            f"{int(large.sum())} need more memory than their server has (the smallest candidate "
            f"{needed.min():.6g} MB, the largest server {offered.max():.6g} MB)"
        )
    return found
