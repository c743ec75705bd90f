"""Every set of applications that one node can host: the columns of the exact placement.

Where loading a model takes time, what an application does to a node depends on who else is there,
and no linear row says so. But a node hosts few applications, and those that are alike (same model,
rate, SLO and value: one *kind*) need not be told apart, nor nodes that are alike (one *class*). So
all sets of kinds that keep every promise are listed, and the placement chooses one for each node.

The sets grow by one application at a time. A set is given up, with all that would grow out of it,
only for what can never become better: its memory, its load, and responses from below
(`Crowd.least_ms`). A set whose response is too long *now* is not a column, but is still grown: more
requests of a model make its switches rarer, and a promise that was broken may be kept again.

Most sets are part of a larger one. A set is *safe* if nobody's leaving breaks a promise, nor any
further leaving: then every part of it is a column, too. A column that is part of a larger safe one
need not be listed; who is counted twice leaves a safe set (the variable ``surplus`` of the model).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optmodels.placement.accelerators.hardware import (
    TOLERANCE,
    Application,
    Device,
    Hardware,
    Rules,
    allowed_ms,
)
from optmodels.placement.accelerators.response import IntArray, crowd
from optmodels.policy import FloatArray

#: Sets that are looked at for all classes of nodes together, before the list is cut.
MOST_COLUMNS = 200_000

# The multipliers by which sets are told apart quickly are drawn from this seed; a coincidence
# cannot do harm, because the sets themselves are compared in the end.
_HASH_SEED = 0


@dataclass(frozen=True)
class Kind:
    """Applications that are alike.

    Attributes
    ----------
    members
        The applications, in the order of their arrival.
    """

    members: tuple[Application, ...]

    @property
    def example(self) -> Application:
        """Any of them."""
        return self.members[0]


@dataclass(frozen=True)
class NodeClass:
    """Nodes that are alike.

    Attributes
    ----------
    nodes
        Numbers of the nodes.
    """

    nodes: tuple[int, ...]

    @property
    def example(self) -> int:
        """Any of them."""
        return self.nodes[0]


@dataclass(frozen=True)
class Columns:
    """Sets that nodes can host.

    Attributes
    ----------
    kinds, classes
        What is counted, and where.
    counts
        Applications of each kind in each set, shape (sets, kinds).
    class_of
        Class of nodes of each set, shape (sets,).
    safe
        Whether every part of the set can be hosted, too, shape (sets,).
    complete
        Whether these, with the parts of the safe ones, are all sets, or the list was cut.
    """

    kinds: tuple[Kind, ...]
    classes: tuple[NodeClass, ...]
    counts: IntArray
    class_of: IntArray
    safe: NDArray[np.bool_]
    complete: bool


def kinds_of(applications: Sequence[Application]) -> tuple[Kind, ...]:
    """Applications by model, rate, SLO and value, in the order of first arrival."""
    groups: dict[tuple[float, ...], list[Application]] = {}
    for a in applications:
        groups.setdefault((a.model, a.rate_per_ms, a.slo_ms, a.value), []).append(a)
    return tuple(Kind(tuple(group)) for group in groups.values())


def classes_of(hardware: Hardware) -> tuple[NodeClass, ...]:
    """Nodes by kind and memory, in the order of the nodes."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for node, device in enumerate(hardware.device_of):
        groups.setdefault((device, hardware.memory_mb[node]), []).append(node)
    return tuple(NodeClass(tuple(group)) for group in groups.values())


def may_host(hardware: Hardware, node: int, application: Application) -> bool:
    """Whether a node can host an application at all, in whatever company."""
    if not hardware.has_room(node, (application,)):
        return False
    device, rules = hardware.device(node), hardware.rules
    found = crowd(
        device, np.array([[application.rate_per_ms]]), np.array([application.model]), rules
    )
    slack = TOLERANCE * application.slo_ms
    return bool(
        found.load[0] <= rules.load_max * (1 + TOLERANCE)
        and found.least_ms[0, 0] <= allowed_ms(device, application, rules) + slack
    )


def columns_of(
    hardware: Hardware, applications: Sequence[Application], most: int = MOST_COLUMNS
) -> Columns:
    """List the sets of applications that each class of nodes can host.

    Parameters
    ----------
    hardware
        The nodes.
    applications
        Who wants to be hosted.
    most
        Sets looked at in all, at which the list is cut; the smaller sets come first.
    """
    kinds, classes = kinds_of(applications), classes_of(hardware)
    found: list[IntArray] = []
    flags: list[NDArray[np.bool_]] = []
    complete = True
    left = most
    for number, group in enumerate(classes):
        # What one class leaves of its share is the next one's.
        share = left // (len(classes) - number)
        counts, looked_at, whole = _sets(hardware, group.example, kinds, share)
        needed, safe = undominated(counts)
        found.append(counts[needed])
        flags.append(safe[needed])
        left -= looked_at
        complete = complete and whole
    class_of = np.repeat(np.arange(len(classes)), [len(counts) for counts in found])
    return Columns(kinds, classes, np.concatenate(found), class_of, np.concatenate(flags), complete)


def undominated(counts: IntArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each set is needed, because it is part of no larger safe one; and which are safe.

    Parameters
    ----------
    counts
        All sets that a node can host, shape (sets, kinds); none empty, each once.
    """
    size = counts.sum(axis=1)
    part = _parts(counts)
    missing = (part < 0) & (counts > 0) & (size > 1)[:, np.newaxis]
    safe = ~missing.any(axis=1)
    for level in range(2, int(size.max(initial=0)) + 1):
        chosen = np.flatnonzero(size == level)
        parts = part[chosen]
        safe[chosen] &= (safe[parts] | (parts < 0)).all(axis=1)
    needed = np.ones(len(counts), dtype=np.bool_)
    of_safe = part[safe]
    needed[of_safe[of_safe >= 0]] = False
    # A set that is not safe is part of no safe one: all parts of those are safe.
    return needed, safe


def _parts(counts: IntArray) -> IntArray:
    """Number of the set that is left without one of each kind, -1 where it is not listed."""
    number, kinds = counts.shape
    rng = np.random.default_rng(_HASH_SEED)
    factor: IntArray = np.asarray(rng.integers(1, 2**62, size=kinds), dtype=np.int64)
    # Products and sums wrap around; equal sets stay equal.
    key: IntArray = np.asarray(counts @ factor, dtype=np.int64)
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    found = np.full((number, kinds), -1, dtype=np.int64)
    for k in range(kinds):
        larger = np.flatnonzero(counts[:, k])
        wanted = key[larger] - factor[k]
        place = np.minimum(np.searchsorted(ordered, wanted), max(number - 1, 0))
        smaller = order[place]
        rest = counts[larger]
        rest[:, k] -= 1
        same = (counts[smaller] == rest).all(axis=1)
        found[larger[same], k] = smaller[same]
    return found


@dataclass(frozen=True)
class _Tests:
    """What a set of kinds is tested for on one node; arrays by kind, or by kind and model."""

    device: Device
    rules: Rules
    models: IntArray
    own: IntArray
    rates: FloatArray
    allowed_ms: FloatArray
    memory_mb: FloatArray
    usable_mb: float

    def judge(self, counts: IntArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each set may still grow into a column, and whether it is one."""
        present = counts > 0
        rates = counts @ self.rates
        used = (rates > 0) @ self.memory_mb + self.device.frontend_mb * counts.sum(axis=1)
        found = crowd(self.device, rates, self.models, self.rules)
        hopeful = (
            (used <= self.usable_mb)
            & (found.load <= self.rules.load_max * (1 + TOLERANCE))
            & ((found.least_ms[:, self.own] <= self.allowed_ms) | ~present).all(axis=1)
        )
        kept = ((found.response_ms[:, self.own] <= self.allowed_ms) | ~present).all(axis=1)
        return hopeful, hopeful & kept


def _sets(
    hardware: Hardware, node: int, kinds: Sequence[Kind], most: int
) -> tuple[IntArray, int, bool]:
    """Sets that a node can host, how many were looked at, and whether these are all."""
    own = [k for k, kind in enumerate(kinds) if may_host(hardware, node, kind.example)]
    if not own:
        return np.empty((0, len(kinds)), dtype=np.int64), 0, True
    tests = _tests(hardware, node, [kinds[k].example for k in own])
    limit = np.array([len(kinds[k].members) for k in own])
    grown = np.zeros((1, len(own)), dtype=np.int64)
    last = np.zeros(1, dtype=np.int64)
    columns: list[IntArray] = []
    looked_at = 0
    while len(grown) and looked_at <= most:
        sets: list[IntArray] = []
        lasts: list[IntArray] = []
        for k in range(len(own)):
            # In the order of the kinds, so that every set is met once.
            larger = grown[(last <= k) & (grown[:, k] < limit[k])]
            larger[:, k] += 1
            looked_at += len(larger)
            hopeful, kept = tests.judge(larger)
            columns.append(larger[kept])
            sets.append(larger[hopeful])
            lasts.append(np.full(len(sets[-1]), k))
            if looked_at > most:
                break
        grown, last = np.concatenate(sets), np.concatenate(lasts)
    counts = np.zeros((sum(map(len, columns)), len(kinds)), dtype=np.int64)
    counts[:, own] = np.concatenate(columns)
    return counts, looked_at, looked_at <= most


def _tests(hardware: Hardware, node: int, examples: Sequence[Application]) -> _Tests:
    device, rules = hardware.device(node), hardware.rules
    models, own = np.unique([a.model for a in examples], return_inverse=True)
    rates = np.zeros((len(examples), len(models)))
    rates[np.arange(len(examples)), own] = [a.rate_per_ms for a in examples]
    return _Tests(
        device=device,
        rules=rules,
        models=models,
        own=own,
        rates=rates,
        allowed_ms=np.array(
            [allowed_ms(device, a, rules) + TOLERANCE * a.slo_ms for a in examples]
        ),
        memory_mb=device.memory_mb[models],
        usable_mb=hardware.usable_mb(node) * (1 + TOLERANCE),
    )
