r"""All configurations of one application, each with exactly what it is worth.

A configuration says which members run on which servers. Its worth under failures is not linear in
anything, but it can be computed for *all* configurations at once. With :math:`t_s` what runs on
server s (an *option*: one candidate, or several of them), :math:`a(T)` the accuracy of the live set
T and :math:`\pi_A` the probability that of the used servers just A are alive,

.. math:: E[t_1, \dots, t_S] = \sum_{A} \pi_A \, a\Big(\bigcup_{s \in A} t_s\Big), \qquad
          W_k[t_1, \dots, t_S] = \min_{|A| \ge S - k} a\Big(\bigcup_{s \in A} t_s\Big)

are sums and minima of arrays: a term does not depend on options of failed servers, so it is an
array of fewer dimensions that is repeated along the missing axes. Twenty-four models on four
servers are 390 625 cells and sixteen terms, some tenths of a second. Nothing is assumed about the
rule. The same holds with :math:`|A| \ge S - k` of any correlated failures.

Configurations that use the same servers form one array; with a limit on members there are only
arrays of few dimensions. Along each axis options are sorted by memory. So whether another
configuration on the same servers takes no more memory anywhere and gains no less shows from running
maxima along the axes: those that are dominated are dropped without comparing pairs.

Array, running maxima and the use of both are ours, checked in
tests/ensembles/selection/test_configurations.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from math import prod
from typing import Any

import numpy as np

from optmodels.ensembles.selection.accuracies import IntArray, Subsets, mask_of, members_of
from optmodels.ensembles.selection.failures import BoolArray
from optmodels.ensembles.selection.tasks import TOLERANCE, Placement, Rules, Servers, Task
from optmodels.errors import UsageError
from optmodels.policy import FloatArray

#: Cells of all arrays of one application, at most.
MOST_CELLS = 30_000_000
#: Cells that are computed at once.
_BLOCK = 2_000_000
#: Gain by which another configuration must be better to take the place of the first one found.
_TIE = 1e-12


@dataclass(frozen=True)
class Prices:
    """What is minimised: the share-weighted errors, and prices of what members take.

    Attributes
    ----------
    expected, worst
        Prices of one minus the expected, and the worst-case, accuracy.
    energy, memory
        Prices of a joule and of a megabyte.
    """

    expected: float
    worst: float
    energy: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True)
class Options:
    """What one application may run on one server, by rising memory.

    Attributes
    ----------
    masks
        Sets of members as numbers.
    memory_mb, energy_j
        What they take.
    counts
        Their members.
    """

    masks: IntArray
    memory_mb: FloatArray
    energy_j: FloatArray
    counts: IntArray


@dataclass(frozen=True)
class Columns:
    """Configurations of one application that no other dominates.

    Attributes
    ----------
    gains
        How much less the objective is than with no member at all.
    memory_mb
        (configurations, servers): memory that each takes.
    masks
        (configurations, servers): members on each server, as numbers.
    """

    gains: FloatArray
    memory_mb: FloatArray
    masks: IntArray

    def placement(self, number: int) -> Placement:
        """Members and servers of one configuration."""
        return placement_of(self.masks[number])


class Configurations:
    """All configurations of one application on servers with some free memory.

    Parameters
    ----------
    task, servers, rules
        The application, and where it runs.
    prices
        What is minimised.
    free_mb
        Free memory of each server; by default all of it.
    most_cells
        Cells of all arrays together, at most.

    Raises
    ------
    UsageError
        There are more.
    """

    def __init__(
        self,
        task: Task,
        servers: Servers,
        rules: Rules,
        prices: Prices,
        *,
        free_mb: FloatArray | None = None,
        most_cells: int = MOST_CELLS,
    ) -> None:
        self.task, self.servers, self.rules, self.prices = task, servers, rules, prices
        free = servers.capacity_mb if free_mb is None else free_mb
        self._options = [self._options_on(s, float(free[s])) for s in range(len(servers))]
        cells = sum(self._cells(used) for used in self._uses(most_cells))
        if cells > most_cells:
            raise UsageError(
                f"{task.name} has more than {most_cells:,} configurations. Fix: lower members_max "
                "or the number of its candidates."
            )
        self._subsets: Subsets | None = None

    # ------------------------------------------------------------------------------- what there is
    def _options_on(self, server: int, free_mb: float) -> Options:
        task = self.task
        single = [m for m, s in task.pairs if s == server]
        bundles = [
            members
            for size in range(1, min(self._per_server, task.members_max) + 1)
            for members in combinations(single, size)
        ]
        memory = np.array([float(task.memory_mb[list(b)].sum()) for b in bundles])
        energy = np.array([float(task.energy_j[list(b), server].sum()) for b in bundles])
        masks = np.array([mask_of(b) for b in bundles], dtype=np.int64)
        counts = np.array([len(b) for b in bundles], dtype=np.int64)
        room = free_mb + TOLERANCE * max(free_mb, 1.0)
        fits = np.flatnonzero((memory <= room) & (energy <= task.energy_max_j * (1 + TOLERANCE)))
        order = fits[np.argsort(memory[fits], kind="stable")]
        return Options(masks[order], memory[order], energy[order], counts[order])

    @property
    def _per_server(self) -> int:
        return 1 if self.rules.one_per_site else self.rules.members_per_server

    def _uses(self, most_cells: int | None = None) -> Iterator[tuple[int, ...]]:
        """Sets of servers that may be used together, small ones first."""
        there = [s for s, own in enumerate(self._options) if len(own.masks)]
        cells = 0
        for size in range(1, min(len(there), self.task.members_max) + 1):
            for used in combinations(there, size):
                if self.rules.one_per_site and len(set(self.servers.sites[list(used)])) < size:
                    continue
                yield used
                cells += self._cells(used)
                if most_cells is not None and cells > most_cells:
                    return

    def _cells(self, used: tuple[int, ...]) -> int:
        return prod(len(self._options[s].masks) for s in used)

    @property
    def subsets(self) -> Subsets:
        """Accuracy of every set that may be alive."""
        if self._subsets is None:
            most = min(self.task.members_max, len(self.servers) * self._per_server)
            self._subsets = self.task.accuracies.up_to(most)
        return self._subsets

    # ------------------------------------------------------------------------------------ the gain
    def gains(self, used: tuple[int, ...]) -> FloatArray:
        """Gain of every configuration that uses just these servers.

        Returns
        -------
        array
            One axis per server, its options by rising memory; minus infinity where a limit is
            broken.
        """
        shape = tuple(len(self._options[s].masks) for s in used)
        task, prices = self.task, self.prices
        probabilities = self.servers.failures.alive(used)
        least = len(used) - self.rules.worst_failures
        whole = len(probabilities) - 1
        # Patterns in which the first server has failed are the same for all of its options.
        fixed = self._sum(used, range(0, whole + 1, 2), probabilities, least, None)
        gains = np.empty(shape)
        step = max(1, _BLOCK // max(1, prod(shape[1:])))
        nothing = (prices.expected + prices.worst) * task.fallback
        for start in range(0, shape[0], step):
            block = slice(start, start + step)
            expected, worst = self._sum(used, range(1, whole + 1, 2), probabilities, least, block)
            expected = expected + fixed[0]
            worst = np.minimum(worst, fixed[1])
            found = task.share * (prices.expected * expected + prices.worst * worst - nothing)
            if prices.energy:
                found = found - prices.energy * self._total(used, "energy_j", block)
            if prices.memory:
                found = found - prices.memory * self._total(used, "memory_mb", block)
            gains[block] = np.where(self._broken(used, block), -np.inf, found)
        return gains

    def _sum(
        self,
        used: tuple[int, ...],
        alive_patterns: Sequence[int],
        probabilities: FloatArray,
        least: int,
        block: slice | None,
    ) -> tuple[FloatArray, FloatArray]:
        """Expected and least accuracy over these patterns of live servers."""
        expected: FloatArray = np.zeros((1,) * len(used))
        worst: FloatArray = np.full((1,) * len(used), np.inf)
        # Small arrays first, so that the large ones are touched once.
        for pattern in sorted(alive_patterns, key=lambda p: p.bit_count()):
            probability = float(probabilities[pattern])
            counts = self.prices.worst > 0 and pattern.bit_count() >= least
            if probability == 0 and not counts:
                continue
            axes = [j for j in range(len(used)) if pattern >> j & 1]
            if axes:
                masks = reduce(np.bitwise_or, (self._axis(used, j, "masks", block) for j in axes))
                value = self.subsets.look_up(masks)
            else:
                value = np.full((1,) * len(used), self.task.fallback)
            expected = expected + probability * value
            if counts:
                worst = np.minimum(worst, value)
        if not self.prices.worst:
            worst = np.zeros((1,) * len(used))
        return expected, worst

    def _axis(self, used: tuple[int, ...], axis: int, name: str, block: slice | None) -> IntArray:
        """One field of the options of one server, along its axis."""
        values: IntArray = getattr(self._options[used[axis]], name)
        if axis == 0 and block is not None:
            values = values[block]
        return values.reshape([-1 if j == axis else 1 for j in range(len(used))])

    def _total(self, used: tuple[int, ...], name: str, block: slice) -> FloatArray:
        parts: list[Any] = [self._axis(used, j, name, block) for j in range(len(used))]
        total: FloatArray = reduce(np.add, parts)
        return total

    def _broken(self, used: tuple[int, ...], block: slice) -> BoolArray:
        """Which configurations break a limit of the application."""
        task = self.task
        broken: BoolArray = np.zeros((1,) * len(used), dtype=bool)
        copies = self.rules.copies_max + 1
        for axes in combinations(range(len(used)), copies):
            masks = [self._axis(used, j, "masks", block) for j in axes]
            broken = broken | (reduce(np.bitwise_and, masks) != 0)
        counts = [int(self._options[s].counts.max()) for s in used]
        if sum(counts) > task.members_max:
            broken = broken | (self._total(used, "counts", block) > task.members_max)
        most = sum(float(self._options[s].energy_j.max()) for s in used)
        limit = task.energy_max_j * (1 + TOLERANCE)
        if most > limit:
            broken = broken | (self._total(used, "energy_j", block) > limit)
        return broken

    # ---------------------------------------------------------------------------------- what is it
    def best(self) -> tuple[float, Placement]:
        """Largest gain, and a configuration that has it; (0, ()) where nothing gains."""
        gain = 0.0
        placement: Placement = ()
        for used in self._uses():
            gains = self.gains(used)
            place = int(np.argmax(gains))
            found = float(gains.flat[place])
            if found > gain + _TIE:
                gain, placement = found, self._placement(used, place, gains.shape)
        return gain, placement

    def _placement(self, used: tuple[int, ...], place: int, shape: tuple[int, ...]) -> Placement:
        chosen = np.unravel_index(place, shape)
        masks = np.zeros(len(self.servers), dtype=np.int64)
        for s, option in zip(used, chosen, strict=True):
            masks[s] = self._options[s].masks[option]
        return placement_of(masks)

    def columns(self) -> Columns:
        """Configurations with a gain that no other on the same servers dominates."""
        gains: list[FloatArray] = [np.empty(0)]
        memory: list[FloatArray] = [np.empty((0, len(self.servers)))]
        masks: list[IntArray] = [np.empty((0, len(self.servers)), dtype=np.int64)]
        for used in self._uses():
            found = self.gains(used)
            kept = np.nonzero(undominated(found) & (found > _TIE))
            gains.append(found[kept])
            taken = np.zeros((len(kept[0]), len(self.servers)))
            sets = np.zeros(taken.shape, dtype=np.int64)
            for s, chosen in zip(used, kept, strict=True):
                taken[:, s] = self._options[s].memory_mb[chosen]
                sets[:, s] = self._options[s].masks[chosen]
            memory.append(taken)
            masks.append(sets)
        return Columns(np.concatenate(gains), np.concatenate(memory), np.concatenate(masks))


def undominated(gains: FloatArray) -> BoolArray:
    """Cells that gain more than all cells before them along every axis.

    A cell is dominated where another, with no larger index on any axis, gains at least as much.
    """
    best = gains
    for axis in range(gains.ndim):
        best = np.maximum.accumulate(best, axis=axis)
    keep: BoolArray = np.ones(gains.shape, dtype=bool)
    for axis in range(gains.ndim):
        later: list[slice] = [slice(None)] * gains.ndim
        before = list(later)
        later[axis], before[axis] = slice(1, None), slice(None, -1)
        keep[tuple(later)] &= gains[tuple(later)] > best[tuple(before)]
    return keep


def placement_of(masks: IntArray) -> Placement:
    """Members and servers, from the set of members on each server."""
    return tuple(sorted((m, s) for s, mask in enumerate(masks) for m in members_of(int(mask))))
