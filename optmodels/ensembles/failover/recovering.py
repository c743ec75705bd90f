r"""What to load where at the moment of a failure: the heuristic, and progressive failover.

**Which variant, where** (`choose`). If everything that has failed fits into the free memory at full
size, full size is wanted; else each application wants its most accurate variant of at most

.. math:: \delta = \min\Big(1, \frac{\text{free memory}}{\text{memory of all primaries that
    have failed}}\Big)

of its primary's memory. Critical applications choose first, then heavy ones, then large ones. Each
goes to the server with the most free memory (worst fit, so that room is left everywhere), and steps
down to smaller variants where there is none that holds it. What room is left is spent on upgrades,
by gain per megabyte. Nothing is ever put where it does not fit.

**In which order** (`plain`, `progressive`). A plain recovery loads what was chosen in the order in
which it was chosen. A progressive one loads a small variant of each application first, where it and
the chosen one fit side by side for a moment, in the order of weight per loading time (which
minimises the weighted mean waiting time of one queue: Smith's rule), and then the chosen ones, by
the accuracy that they give back per loading time.

That FailLite selects variants and places worst fit is known; all details are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optmodels.ensembles.failover.actions import NONE, Recovery, no_recovery
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.policy import FloatArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

#: Relative room that rounding may take.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Room:
    """What a failure leaves.

    Attributes
    ----------
    down
        Whether each server has failed, shape (S,).
    memory_mb, gflops
        Memory and compute of each server for cold backups, shape (S,).
    waiting
        Failed applications without a warm backup that survives.
    """

    down: BoolArray
    memory_mb: FloatArray
    gflops: FloatArray
    waiting: IntArray


@dataclass(frozen=True)
class Choice:
    """What serves in the end: applications, in the order in which they chose, and their targets."""

    application: IntArray
    target: IntArray
    server: IntArray


def order_of(instance: FailoverInstance, applications: IntArray) -> IntArray:
    """Critical applications first, then heavy ones, then those with large primaries."""
    options = instance.candidates
    size = options.memory_mb[options.primary[applications]]
    keys = (
        *(applications, -size),
        *(-instance.weight[applications], ~instance.critical[applications]),
    )
    ordered: IntArray = applications[np.lexsort(keys)]
    return ordered


def choose(
    instance: FailoverInstance, room: Room, *, shrink: bool = True, upgrade: bool = True
) -> Choice:
    """Choose variants and servers for what has failed.

    Parameters
    ----------
    instance
        The question.
    room
        What the failure leaves.
    shrink
        Whether smaller variants than the primary may be chosen at all.
    upgrade
        Whether room that is left is spent on larger ones.
    """
    options = instance.candidates
    left = Free(room)
    waiting = order_of(instance, room.waiting)
    size = options.memory_mb[options.primary[waiting]]
    delta = min(1.0, float(room.memory_mb[~room.down].sum()) / max(float(size.sum()), 1e-300))
    chosen: list[tuple[int, int, int]] = []
    for a in waiting.tolist():
        own = np.array(options.of(a))
        if shrink:
            small = own[options.memory_mb[own] <= delta * options.memory_mb[own[-1]]]
            most = _most_accurate(options.accuracy, small) if len(small) else int(own[0])
            tried = [most, *own[own < most][::-1].tolist()]
        else:
            tried = [int(own[-1])]
        for c in tried:
            k = left.worst_fit(instance, c)
            if k != NONE:
                left.take(instance, c, k)
                chosen.append((a, c, k))
                break
    if shrink and upgrade:
        chosen = _upgraded(instance, left, chosen)
    columns = np.array(chosen, dtype=np.int64).reshape(-1, 3).T
    return Choice(columns[0], columns[1], columns[2])


class Free:
    """Room that is being filled."""

    def __init__(self, room: Room) -> None:
        self._up = ~room.down
        self.memory_mb = room.memory_mb.copy()
        self.gflops = room.gflops.copy()

    def fits(self, instance: FailoverInstance, candidate: int) -> BoolArray:
        """Servers that are up, fast enough and have the room."""
        options = instance.candidates
        memory, compute = options.memory_mb[candidate], options.gflops[candidate]
        fits: BoolArray = (
            self._up
            & instance.fast_enough[candidate]
            & (self.memory_mb >= memory * (1 - _ROUNDING))
            & (self.gflops >= compute * (1 - _ROUNDING))
        )
        return fits

    def worst_fit(
        self, instance: FailoverInstance, candidate: int, allowed: BoolArray | None = None
    ) -> int:
        """The server with the most free memory that holds a candidate; `NONE` if none does."""
        fits = self.fits(instance, candidate)
        if allowed is not None:
            fits &= allowed
        if not fits.any():
            return NONE
        return int(np.argmax(np.where(fits, self.memory_mb, -np.inf)))

    def take(self, instance: FailoverInstance, candidate: int, server: int, sign: int = 1) -> None:
        """Fill the room of a candidate, or with sign -1 give it back."""
        options = instance.candidates
        self.memory_mb[server] -= sign * options.memory_mb[candidate]
        self.gflops[server] -= sign * options.gflops[candidate]


def _most_accurate(accuracy: FloatArray, candidates: IntArray) -> int:
    return int(candidates[np.argmax(accuracy[candidates])])


def _upgraded(
    instance: FailoverInstance, left: Free, chosen: list[tuple[int, int, int]]
) -> list[tuple[int, int, int]]:
    """The same choice with larger variants on the same servers, the best gain per MB first."""
    options = instance.candidates
    now = dict(enumerate(chosen))
    while True:
        best, where = 0.0, None
        for i, (a, c, k) in now.items():
            for d in range(c + 1, int(options.start[a + 1])):
                gain = instance.weight[a] * (options.quality[d] - options.quality[c])
                more = options.memory_mb[d] - options.memory_mb[c]
                fits = more <= left.memory_mb[k] and (
                    options.gflops[d] - options.gflops[c] <= left.gflops[k]
                )
                if fits and gain > 0 and gain / max(more, 1e-12) > best:
                    best, where = gain / max(more, 1e-12), (i, d)
        if where is None:
            return [now[i] for i in range(len(chosen))]
        i, d = where
        a, c, k = now[i]
        left.take(instance, c, k, -1)
        left.take(instance, d, k)
        now[i] = (a, d, k)


def plain(choice: Choice) -> Recovery:
    """Load what was chosen, in the order in which it was chosen."""
    count = len(choice.application)
    turn = np.arange(1, count + 1)
    nothing = np.zeros(count, dtype=np.int64)
    return Recovery(choice.application, choice.server, choice.target, choice.target, turn, nothing)


def progressive(
    instance: FailoverInstance, choice: Choice, room: Room, small: IntArray | None = None
) -> Recovery:
    """Load something small first where both fit for a moment, and what was chosen later.

    Parameters
    ----------
    instance
        The question.
    choice
        What serves in the end.
    room
        What the failure leaves.
    small
        What should be loaded first; by default what loads fastest.
    """
    if not len(choice.application):
        return no_recovery()
    options, target, server = instance.candidates, choice.target, choice.server
    left = room.memory_mb - np.bincount(
        server, options.memory_mb[target], minlength=len(room.memory_mb)
    )
    together = instance.parameters.loading == "parallel"
    weight = instance.weight[choice.application]
    first = target.copy()
    # Whoever gains most per loading time of the small variant asks for the room first.
    if small is None:
        small = np.array(
            [_quickest(instance, int(c), int(k)) for c, k in zip(target, server, strict=True)]
        )
    gain = weight * (options.load_ms[target] - options.load_ms[small])
    for i in np.argsort(-gain, kind="stable").tolist():
        memory = options.memory_mb[small[i]]
        if gain[i] > 0 and memory <= left[server[i]]:
            first[i] = small[i]
            if together:
                left[server[i]] -= memory
    return in_turns(instance, choice, first)


def in_turns(instance: FailoverInstance, choice: Choice, first: IntArray) -> Recovery:
    """Order first loadings by weight per time, and upgrades after them by accuracy per time."""
    options, target = instance.candidates, choice.target
    weight = instance.weight[choice.application]
    count = len(target)
    upgraded = first != target
    turn, upgrade_turn = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    rate = weight / np.maximum(options.load_ms[first], 1e-9)
    turn[np.argsort(-rate, kind="stable")] = np.arange(1, count + 1)
    better = weight * (options.quality[target] - options.quality[first])
    urgency = np.where(upgraded, better / np.maximum(options.load_ms[target], 1e-9), -np.inf)
    later = np.argsort(-urgency, kind="stable")[: int(upgraded.sum())]
    upgrade_turn[later] = np.arange(count + 1, count + 1 + len(later))
    return Recovery(choice.application, choice.server, first, target, turn, upgrade_turn)


def _quickest(instance: FailoverInstance, target: int, server: int) -> int:
    """The candidate up to a target that loads fastest and answers in time; the smaller on ties."""
    options = instance.candidates
    own = np.arange(options.start[options.application[target]], target + 1)
    own = own[instance.fast_enough[own, server]]
    # The compute of the small one must fit where that of the target does.
    own = own[options.gflops[own] <= options.gflops[target]]
    return int(own[np.argmin(options.load_ms[own])])
