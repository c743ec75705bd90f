r"""How late an optimum can be: the slots that its formulation needs.

A plan may run after the carbon series: the slots of a formulation have no natural end. But lateness
has a price. At any prices of servers (see `bound`), the jobs other than j cost at least
:math:`L - L_j`, where L is the bound and :math:`L_j` what job j pays in it. So a plan in which j is
late by h slots costs at least :math:`L - L_j + r_j h`, and where this exceeds the cost U of a known
plan, it is no optimum. Job j need not be considered after

.. math:: D_j + (U - L + L_j) / r_j .

The argument is ours, checked numerically in tests/scaling/cluster/test_model.py.
"""

from __future__ import annotations

import numpy as np

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.audit import audit
from optmodels.scaling.cluster.bound import Relaxation
from optmodels.scaling.cluster.greedy import GreedySchedule, greedy_schedule
from optmodels.scaling.cluster.instance import ClusterInstance, IntArray
from optmodels.scaling.cluster.replay import tables_of

#: A horizon is rounded up beyond this, so that rounding cannot cut a slot off.
_ROUNDING = 1e-6
#: Slots of lateness beyond which a horizon is of no use: eleven years of hours.
_FARTHEST = 100_000


def horizon(
    instance: ClusterInstance, relaxation: Relaxation, prices: FloatArray, known: float
) -> IntArray | None:
    """Slot from which on each job need not run, for a plan cheaper than a known one.

    Parameters
    ----------
    instance
        The question.
    relaxation, prices
        Its relaxation, and prices of servers.
    known
        Cost of a known plan [g].

    Returns
    -------
    numpy.ndarray or None
        None where lateness is free for some job, or next to free: then there is no such slot, or
        it is too far away to be of use.
    """
    late_g = instance.late_g_per_slot
    if not (late_g > 0).all():
        return None
    answer = relaxation.answer(prices)
    most = known - answer.bound + answer.job_cost
    if not (most < _FARTHEST * late_g).all():
        return None
    longest = most / late_g
    return instance.due + np.floor(np.maximum(longest, 0.0) + _ROUNDING).astype(np.int64) + 1


def needed_horizon(instance: ClusterInstance) -> IntArray:
    """The same from the greedy's plan, or where lateness is free: the slots that it needs."""
    found = finished_greedy(instance)
    known = audit(instance, tables_of(instance, found.schedule)).cost.total
    relaxation = Relaxation(instance)
    bound = relaxation.best(known)
    proven = horizon(instance, relaxation, bound.prices, known)
    # The greedy's own slots stay in, so that the formulation has a solution in any case.
    return found.due if proven is None else np.maximum(proven, found.due)


def finished_greedy(instance: ClusterInstance) -> GreedySchedule:
    """The greedy's schedule of an instance, on so many slots that all jobs are done."""
    slots, jobs = instance.slots, instance.jobs
    while True:
        carbon = instance.carbon_until(slots)
        found = greedy_schedule(jobs, instance.due, carbon, instance.profiles, instance.capacity)
        if not found.left.any():
            return found
        slots *= 2
