"""Warm backups without any optimisation, and what room they leave.

The smallest backups of as many critical applications as possible come first, by weight per
megabyte, each on the server with the most room; then whatever is left is spent on larger ones, by
accuracy per megabyte.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from optmodels.ensembles.failover.actions import NONE, Warm, no_warm
from optmodels.ensembles.failover.instance import FailoverInstance

#: Relative room that sums of sizes take by rounding.
_SLACK = 1e-9


class Budget:
    """What is left of each server, and of all, while backups are placed."""

    def __init__(self, instance: FailoverInstance, headroom: float) -> None:
        share = (1 - headroom) * (1 + _SLACK)
        on_server = share if instance.parameters.headroom_per_server else 1 + _SLACK
        self._instance = instance
        self.memory = on_server * instance.free_mb
        self.compute = on_server * instance.free_gflops
        self.memory_total = share * float(instance.free_mb.sum())
        self.compute_total = share * float(instance.free_gflops.sum())
        # Multiplexed compute is counted failure by failure.
        self._multiplexed = bool(instance.parameters.multiplexed_compute)
        if self._multiplexed:
            self.calls = np.array([instance.free_gflops] * len(instance.failures))
            self._down = np.array([failure.down for failure in instance.failures])

    def room(self, candidate: int, instead: int = NONE) -> NDArray[np.bool_]:
        """Servers with room for a candidate, in the place of another one where that is given."""
        options = self._instance.candidates
        memory = options.memory_mb[candidate]
        compute = options.gflops[candidate]
        if instead != NONE:
            memory, compute = memory - options.memory_mb[instead], compute - options.gflops[instead]
        room: NDArray[np.bool_] = (self.memory >= memory) & (self.memory_total >= memory)
        if not self._multiplexed:
            room &= (self.compute >= compute) & (self.compute_total >= compute)
            return room
        home = self._instance.home[options.application[candidate]]
        free = np.where(self._down, np.inf, self.calls)[self._down[:, home]]
        room &= free.min(axis=0, initial=np.inf) >= compute
        return room

    def take(self, candidate: int, server: int, sign: int = 1) -> None:
        """Take the room of a candidate, or with sign -1 give it back."""
        options = self._instance.candidates
        memory = sign * options.memory_mb[candidate]
        compute = sign * options.gflops[candidate]
        self.memory[server] -= memory
        self.memory_total -= memory
        if not self._multiplexed:
            self.compute[server] -= compute
            self.compute_total -= compute
            return
        home = self._instance.home[options.application[candidate]]
        self.calls[self._down[:, home], server] -= compute


def greedy_backups(instance: FailoverInstance, headroom: float) -> Warm:
    """Backups without any optimisation: the smallest of each, then upgrades while there is room."""
    options = instance.candidates
    warm, budget = no_warm(len(instance.applications)), Budget(instance, headroom)
    wanted = np.flatnonzero(instance.critical)
    density = instance.weight[wanted] / options.memory_mb[options.start[wanted]]
    for a in wanted[np.argsort(-density, kind="stable")].tolist():
        for c in options.of(a):
            room = budget.room(c) & instance.may_stand[c]
            if room.any():
                k = int(np.argmax(np.where(room, budget.memory, -np.inf)))
                budget.take(c, k)
                warm.candidate[a], warm.server[a] = c, k
                break
    waiting: list[tuple[float, int, int, int]] = []

    def ask(a: int) -> None:
        c = int(warm.candidate[a])
        for d in range(c + 1, int(options.start[a + 1])):
            gain = instance.weight[a] * (options.quality[d] - options.quality[c])
            if gain > 0:
                more = max(options.memory_mb[d] - options.memory_mb[c], 1e-12)
                heapq.heappush(waiting, (-gain / more, a, c, d))

    for a in warm.placed.tolist():
        ask(a)
    while waiting:
        _, a, c, d = heapq.heappop(waiting)
        k = int(warm.server[a])
        # Whoever was upgraded meanwhile has asked again.
        if warm.candidate[a] == c and instance.may_stand[d, k] and budget.room(d, c)[k]:
            budget.take(c, k, -1)
            budget.take(d, k)
            warm.candidate[a] = d
            ask(a)
    return warm
