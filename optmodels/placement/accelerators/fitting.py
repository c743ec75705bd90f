"""Where an application fits, and what it would do there: what all policies ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optmodels.placement.accelerators.audit import Placement
from optmodels.placement.accelerators.hardware import Application, Hardware
from optmodels.placement.accelerators.response import keeps_promises, report


def nodes_with_room(
    hardware: Hardware, placement: Placement, application: Application
) -> Iterator[int]:
    """Nodes that run its model and have the memory, whatever the responses."""
    for node, hosted in enumerate(placement):
        if hardware.has_room(node, (*hosted, application)):
            yield node


def feasible_nodes(
    hardware: Hardware, placement: Placement, application: Application
) -> Iterator[int]:
    """Nodes with room that keep the promises to everybody with one more application."""
    for node in nodes_with_room(hardware, placement, application):
        if fits(hardware, node, (*placement[node], application)):
            yield node


def fits(hardware: Hardware, node: int, applications: Sequence[Application]) -> bool:
    """Whether a node has room for these applications and keeps its promises to all of them."""
    return hardware.has_room(node, applications) and keeps_promises(
        hardware.device(node), applications, hardware.rules
    )


def load_of(hardware: Hardware, node: int, applications: Sequence[Application]) -> float:
    """Load of a node's accelerator with these applications."""
    return report(hardware.device(node), applications, hardware.rules).load


def has_model(placement: Placement, node: int, application: Application) -> bool:
    """Whether the model of an application is on a node already."""
    return any(hosted.model == application.model for hosted in placement[node])


def repair(
    hardware: Hardware, placement: Placement, application: Application
) -> tuple[int, tuple[str, int]] | None:
    """A node that fits an application once one other application has moved, and that move.

    Of all such moves the one after which the loads of the two nodes together are least; None where
    one move does not help. All promises on both nodes are kept afterwards.
    """
    best: tuple[float, int, tuple[str, int]] | None = None
    for node in range(len(placement)):
        for leaving in placement[node]:
            rest = tuple(a for a in placement[node] if a is not leaving)
            after = (*rest, application)
            if not fits(hardware, node, after):
                continue
            for target in feasible_nodes(hardware, placement, leaving):
                if target == node:
                    continue
                there = (*placement[target], leaving)
                added = (
                    load_of(hardware, node, after)
                    - load_of(hardware, node, placement[node])
                    + load_of(hardware, target, there)
                    - load_of(hardware, target, placement[target])
                )
                if best is None or added < best[0]:
                    best = (added, node, (leaving.name, target))
    return None if best is None else best[1:]
