"""Interchangeable applications, counted instead of named.

Two applications are interchangeable for warm backups if they have the same candidates, the same
weight, and the same servers are fast enough for them: then only *how many* of them have a backup of
which size on which server matters. That their primaries run on different servers does not spoil
it. Say that a backup may not stand in the home zone of its application (its server, or its site
where there is a site rule), and that n of the N applications of a group have their home in zone z.

*Claim (ours).* A way to place Y <= N backups can be dealt out to applications, none at home, if and
only if no zone z holds more than N - n_z of them. *Proof.* Deal by matching backups to
applications; Hall's condition has to be checked for every set of backups. If they all stand in one
zone z, their possible owners are the N - n_z applications from elsewhere. If they stand in two
zones or more, every application is away from home in one of them, so all N are possible owners.

So one integer per group, size and server stands for one binary per application, size and server.

Compute matters only where it may run out: backups that fit into F megabytes never compute more than
F times the most compute per megabyte of any candidate. Where that is there on every server,
compute is left out, and applications may differ in it. Where it matters and is multiplexed, it
matters as well whose primary fails: then only applications of one server form a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from optmodels.ensembles.failover.actions import NONE, Warm, no_warm
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.errors import SolverError

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """Groups of interchangeable applications.

    Attributes
    ----------
    members
        Applications of each group.
    zone
        Zone of each server: its own number, or its site's where there is a site rule, shape (S,).
    compute
        Whether compute may run out.
    """

    members: tuple[IntArray, ...]
    zone: IntArray
    compute: bool

    def size(self, group: int) -> int:
        """Number of applications of a group."""
        return len(self.members[group])

    def away(self, instance: FailoverInstance, group: int) -> IntArray:
        """Applications of a group that are not at home on each server, shape (S,)."""
        homes = np.bincount(
            self.zone[instance.home[self.members[group]]], minlength=int(self.zone.max()) + 1
        )
        away: IntArray = self.size(group) - homes[self.zone]
        return away


def groups_of(instance: FailoverInstance, applications: IntArray) -> Groups:
    """Group applications, in the order of their first members."""
    options = instance.candidates
    compute = compute_matters(instance, applications)
    fix_home = compute and bool(instance.parameters.multiplexed_compute)
    found: dict[tuple[object, ...], list[int]] = {}
    for a in applications.tolist():
        own = slice(int(options.start[a]), int(options.start[a + 1]))
        key = (
            *(int(instance.home[a]) if fix_home else NONE, float(instance.weight[a])),
            *(instance.fast_enough[own].tobytes(), options.memory_mb[own].tobytes()),
            *(options.quality[own].tobytes(), options.gflops[own].tobytes() if compute else b""),
        )
        found.setdefault(key, []).append(a)
    zone = instance.site if instance.parameters.site_rule else np.arange(len(instance.servers))
    return Groups(tuple(np.array(members) for members in found.values()), zone, compute)


def compute_matters(instance: FailoverInstance, applications: IntArray) -> bool:
    """Whether backups of applications that fit into memory may lack compute, on any server."""
    options = instance.candidates
    own = np.isin(options.application, applications)
    per_mb = options.gflops[own] / options.memory_mb[own]
    return bool((instance.free_mb * per_mb.max(initial=0.0) > instance.free_gflops).any())


def dealt_out(
    instance: FailoverInstance, groups: Groups, counts: dict[tuple[int, int, int], int]
) -> Warm:
    """Give the backups of each group to applications that are not at home where they stand.

    Parameters
    ----------
    instance
        The question.
    groups
        The groups.
    counts
        Number of backups by group, place of the size among the candidates, and server.

    Raises
    ------
    SolverError
        There is no way to do so.
    """
    warm = no_warm(len(instance.applications))
    by_group: dict[int, list[tuple[int, int]]] = {}
    for (g, j, k), count in counts.items():
        by_group.setdefault(g, []).extend([(j, k)] * count)
    for g, backups in by_group.items():
        members = groups.members[g]
        server = np.array([k for _, k in backups])
        home = groups.zone[instance.home[members]]
        may = csr_array(groups.zone[server][:, None] != home[None, :])
        owner = maximum_bipartite_matching(may, perm_type="column")
        if (owner < 0).any():
            raise SolverError(
                f"{len(backups)} backups of {len(members)} like applications cannot be dealt out: "
                "the model or its solver is wrong."
            )
        for (j, k), one in zip(backups, owner.tolist(), strict=True):
            a = int(members[one])
            warm.candidate[a], warm.server[a] = instance.candidates.start[a] + j, k
    return warm
