"""What CarbonFlex looks at: the state of a cluster as a few numbers.

In this order (F = 4 + number of queues):

==========  =========================================================================== ==========
feature     meaning                                                                     unit
==========  =========================================================================== ==========
carbon      carbon intensity of the slot                                                g/kWh
gradient    its change since the slot before; 0 where nothing was before                g/kWh
rank        share of the other slots of the next 24 hours that are cleaner              0 to 1
queues      number of jobs in the system, running or not, for each queue                jobs
elasticity  mean over the jobs in the system of the mean work that their levels add     0 to 1
==========  =========================================================================== ==========

The elasticity of a job is 1 when it scales linearly or not at all; an empty system has 1.

Source: Hanafy et al., "CarbonFlex" (arXiv 2505.18357), Table 2. The paper leaves the elasticity of
a job open; the mean is our reading. One function makes the features of a single slot online and of
all slots of a replayed window, so that what is learned is what will be seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.instance import IntArray, Profile


def feature_names(queues: Sequence[str]) -> tuple[str, ...]:
    """Names of the features of a cluster with these queues."""
    return ("carbon", "gradient", "rank", *(f"jobs in {name}" for name in queues), "elasticity")


def elasticity_of(profiles: Sequence[Profile]) -> FloatArray:
    """Mean work that the levels of each profile add, relative to its fewest servers."""
    return np.array([profile.marginal.mean() for profile in profiles])


def features(
    carbon: FloatArray,
    before: FloatArray,
    ahead: FloatArray,
    in_queue: IntArray,
    of_profile: IntArray,
    elasticity: FloatArray,
) -> FloatArray:
    """Features of the states of one or more slots.

    Parameters
    ----------
    carbon, before
        Carbon intensity of each slot and of the slot before it [g/kWh], shape (T,).
    ahead
        Carbon intensity of the slots after each slot, up to 24 hours from its start, shape
        (T, D); D may be 0.
    in_queue
        Jobs in the system by queue, shape (T, Q).
    of_profile
        Jobs in the system by profile, shape (T, P).
    elasticity
        Elasticity of each profile, shape (P,).

    Returns
    -------
    numpy.ndarray
        Shape (T, F).
    """
    jobs = of_profile.sum(axis=1)
    mean = np.where(jobs > 0, (of_profile @ elasticity) / np.maximum(jobs, 1), 1.0)
    cleaner = (ahead < carbon[:, np.newaxis]).sum(axis=1) / max(ahead.shape[1], 1)
    return np.column_stack([carbon, carbon - before, cleaner, in_queue, mean])
