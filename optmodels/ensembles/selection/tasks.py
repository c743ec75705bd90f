"""Servers, applications and their candidates, as plain arrays: what everybody decides from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optmodels.ensembles.selection.accuracies import Accuracies, IntArray
from optmodels.ensembles.selection.failures import BoolArray, Failures
from optmodels.policy import FloatArray

#: What a limit may be exceeded by, relative: what solvers of integer programmes call feasible.
TOLERANCE = 1e-6

#: Members of an application: pairs of a candidate and the server that runs it, rising.
Placement = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Rules:
    """What holds for all applications.

    Attributes
    ----------
    expected_share
        Weight of the expected accuracy; the rest is that of the worst case.
    worst_failures
        Servers that fail in the worst case.
    members_per_server
        Members of one application on one server, at most.
    copies_max
        Servers that run the same candidate, at most.
    one_per_site
        Whether an application may have one member at a site only.
    """

    expected_share: float = 1.0
    worst_failures: int = 1
    members_per_server: int = 1
    copies_max: int = 1
    one_per_site: bool = False


@dataclass(frozen=True)
class Servers:
    """The servers.

    Attributes
    ----------
    names
        Their names.
    sites
        Number of the site of each.
    capacity_mb
        Memory of each [MB].
    failures
        Which of them fail.
    """

    names: tuple[str, ...]
    sites: IntArray
    capacity_mb: FloatArray
    failures: Failures

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Task:
    """One application, as far as those who decide may know it: no hold-out sample is in it.

    Attributes
    ----------
    name
        Name of the application.
    share
        Its weight, as a share of the weights of all applications.
    rule
        How live members answer together.
    candidates
        Names of the models that it may deploy.
    memory_mb
        Memory of each [MB].
    energy_j
        (candidates, servers): energy of a request [J].
    allowed
        (candidates, servers): whether a server can run a candidate in time, with its energy and in
        its whole memory.
    energy_max_j
        Energy of a request on all members together, at most [J].
    members_max
        Members, at most; a copy counts like any other.
    fallback
        Accuracy while nobody is alive.
    accuracies
        Accuracy of every set of live members, on the validation samples.
    """

    name: str
    share: float
    rule: str
    candidates: tuple[str, ...]
    memory_mb: FloatArray
    energy_j: FloatArray
    allowed: BoolArray
    energy_max_j: float
    members_max: int
    fallback: float
    accuracies: Accuracies

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Candidates and servers that can run them."""
        return tuple((int(m), int(s)) for m, s in np.argwhere(self.allowed))

    def memory(self, placement: Iterable[tuple[int, int]], servers: int) -> FloatArray:
        """Memory that members take on each server [MB]."""
        used = np.zeros(servers)
        for m, s in placement:
            used[s] += self.memory_mb[m]
        return used

    def energy(self, placement: Iterable[tuple[int, int]]) -> float:
        """Energy of a request: every member runs on each [J]."""
        return float(sum(self.energy_j[m, s] for m, s in placement))


def faults(task: Task, servers: Servers, rules: Rules, placement: Placement) -> list[str]:
    """Limits of an application that its members break, in words; memory is shared and not here."""
    found = []
    for m, s in placement:
        if not task.allowed[m, s]:
            found.append(f"{task.candidates[m]} cannot run on {servers.names[s]}")
    if len(set(placement)) < len(placement):
        found.append("a candidate runs twice on one server")
    if len(placement) > task.members_max:
        found.append(f"{len(placement)} members, at most {task.members_max} are allowed")
    for s in sorted({s for _, s in placement}):
        here = sum(1 for _, other in placement if other == s)
        if here > rules.members_per_server:
            found.append(
                f"{here} members on {servers.names[s]}, at most {rules.members_per_server}"
            )
    for m in sorted({m for m, _ in placement}):
        copies = sum(1 for other, _ in placement if other == m)
        if copies > rules.copies_max:
            found.append(f"{copies} copies of {task.candidates[m]}, at most {rules.copies_max}")
    if rules.one_per_site:
        sites = [int(servers.sites[s]) for _, s in placement]
        if len(set(sites)) < len(sites):
            found.append("several members at one site")
    energy = task.energy(placement)
    if energy > task.energy_max_j * (1 + TOLERANCE):
        found.append(f"{energy:.9g} J for a request, at most {task.energy_max_j:.9g}")
    return found


def has_room(task: Task, placement: Placement, free_mb: FloatArray) -> bool:
    """Whether the servers have the memory."""
    used = task.memory(placement, len(free_mb))
    return bool(np.all(used <= free_mb + TOLERANCE * np.maximum(free_mb, 1.0)))
