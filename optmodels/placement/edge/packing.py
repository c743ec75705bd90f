"""Packing: from counts by class and group to applications on servers.

The fillings of a group's servers have room for the applications placed there, kind by kind; so they
are handed out server by server, and every one finds a place. Where the same applications fit on
fewer servers, that is taken: a server is filled with what uses its room best, again and again.
"""

from __future__ import annotations

import numpy as np

from optmodels.errors import SolverError
from optmodels.placement.edge.audit import Placement
from optmodels.placement.edge.fillings import Servers
from optmodels.placement.edge.instance import EdgeInstance, IntArray
from optmodels.policy import FloatArray

Filled = list[IntArray]


def pack(instance: EdgeInstance, servers: Servers, placed: IntArray, filled: Filled) -> Placement:
    """Hand applications out to servers.

    Parameters
    ----------
    instance
        The question.
    servers
        Fillings of its servers.
    placed
        Applications by arc of the instance.
    filled
        For each group the fillings of its servers, one row per server that is on.

    Raises
    ------
    SolverError
        The fillings have no room for what is placed.
    """
    d, g = instance.arcs
    on = np.zeros(len(instance.groups), dtype=np.int64)
    least = np.zeros_like(on) if instance.parameters.switch_off else instance.running
    used = np.flatnonzero(placed > 0)
    used = used[np.argsort(g[used], kind="stable")]
    starts = np.searchsorted(g[used], np.arange(len(on) + 1))
    rows: list[tuple[int, int, int, int]] = []
    for group in range(len(on)):
        arcs = used[starts[group] : starts[group + 1]]
        load = np.bincount(
            instance.kind[d[arcs]], weights=placed[arcs], minlength=len(instance.kinds)
        ).astype(np.int64)
        contents = _contents(filled[group], load)
        if load.any():
            most = None if contents is None else len(contents)
            fewer = _few(servers.of(group).counts, load, most)
            contents = fewer if fewer is not None else contents
        if contents is None:
            raise SolverError(
                f"What is placed at {instance.groups[group]} does not fit on its servers."
            )
        on[group] = max(len(contents), int(least[group]))
        rows += _handed_out(instance, group, d[arcs], placed[arcs], contents)
    return Placement(np.array(rows, dtype=np.int64).reshape(-1, 4), on)


def _contents(filled: IntArray, load: IntArray) -> IntArray | None:
    """What each server holds, fullest first; None where there is no room for all."""
    left = load.copy()
    contents = []
    for filling in filled[np.argsort(-filled.sum(axis=1), kind="stable")]:
        held = np.minimum(filling, left)
        left -= held
        if held.any():
            contents.append(held)
    return None if left.any() else np.array(contents, dtype=np.int64).reshape(-1, len(load))


def _few(counts: IntArray, load: IntArray, most: int | None) -> IntArray | None:
    """Contents of fewer servers than `most`, each filled as well as possible; None if it fails."""
    largest: FloatArray = np.maximum(counts.max(axis=0), 1).astype(np.float64)
    left = load.copy()
    contents: list[IntArray] = []
    limit = int(load.sum()) if most is None else most - 1
    while left.any() and len(contents) < limit:
        held = np.minimum(counts, left)
        best = held[int(np.argmax((held / largest).sum(axis=1)))]
        if not best.any():
            return None
        left = left - best
        contents.append(best)
    return None if left.any() else np.array(contents, dtype=np.int64)


def _handed_out(
    instance: EdgeInstance, group: int, classes: IntArray, counts: IntArray, contents: IntArray
) -> list[tuple[int, int, int, int]]:
    """Rows of class, group, server and count."""
    rows = []
    for kind in np.unique(instance.kind[classes]).tolist():
        mine = instance.kind[classes] == kind
        # Both run through the same applications, once by class and once by server.
        by_class = np.cumsum(counts[mine])
        by_server = np.cumsum(contents[:, kind])
        edges = np.unique(np.concatenate([by_class, by_server]))
        begin = np.append(0, edges[:-1])
        who = classes[mine][np.searchsorted(by_class, begin, side="right").clip(max=mine.sum() - 1)]
        where = np.searchsorted(by_server, begin, side="right").clip(max=len(contents) - 1)
        for one, server, size in zip(
            who.tolist(), where.tolist(), (edges - begin).tolist(), strict=True
        ):
            if size > 0:
                rows.append((int(one), group, int(server), int(size)))
    return rows
