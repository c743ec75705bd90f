"""What an oracle teaches: replaying it on a window that is over.

The oracle plans the window with everything known. Then its plan is walked through slot by slot,
and the features are taken that a policy would have seen in each slot had the cluster run that
plan, together with the servers in use and the least work that a level in use added. To see more
weather than there was, the same jobs are replayed under the window's carbon started at other
times; the end of the series is then followed by its beginning.

Source: Hanafy et al., "CarbonFlex" (arXiv 2505.18357), section 4. How many other starts, and
which, the paper leaves open; here they are spread evenly over the window.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.audit import Schedule
from optmodels.scaling.cluster.greedy import greedy_schedule, servers_and_thresholds
from optmodels.scaling.cluster.instance import IntArray, Jobs
from optmodels.scaling.cluster.learning.cases import Cases
from optmodels.scaling.cluster.learning.features import elasticity_of, features
from optmodels.scaling.cluster.learning.history import Window
from optmodels.scaling.cluster.replay import ClusterHeader


def lessons(header: ClusterHeader, window: Window, starts: int) -> list[Cases]:
    """Cases of an oracle's replays of a window, one collection per start of the carbon.

    Parameters
    ----------
    header
        The cluster.
    window
        A time that is over.
    starts
        Number of times at which its carbon is started, the true one included.

    Returns
    -------
    list of Cases
        Empty for a window without jobs or without slots that are learned from.
    """
    first, last = window.keep
    jobs = window.jobs
    if last <= first or not jobs.count:
        return []
    length, day = len(window.carbon), header.slots_per_day
    # Of a job that goes on after the window only what it could do in it belongs to it.
    work = np.minimum(jobs.length, length - jobs.arrival)
    jobs = replace(jobs, length=work)
    # A length that is whole but for its last digit is whole.
    due = jobs.arrival + np.ceil(work * (1 - 1e-12)).astype(np.int64)
    due += header.queues.delay[jobs.queue]
    # A day of room for jobs that cannot be done in time; what comes after a window is no longer
    # than the window, whatever the delays.
    room = min(max(length, int(due.max())), 2 * length) + day
    slot = np.arange(window.start + first, window.start + last)
    found = []
    for i in range(starts):
        shift = i * length // starts
        started = np.roll(window.carbon, -shift)
        carbon = np.append(started, np.resize(started[-day:], room - length))
        plan = greedy_schedule(jobs, due, carbon, header.profiles, header.capacity).schedule
        before = float(window.carbon[shift - 1]) if shift else float(carbon[0])
        states = walk(header, jobs, plan, carbon, before)
        servers, threshold = servers_and_thresholds(plan, jobs.profile, header.profiles, room)
        used = servers[first:last].astype(np.float64)
        found.append(Cases(states[first:last], used, threshold[first:last], slot))
    return found


def walk(
    header: ClusterHeader, jobs: Jobs, plan: Schedule, carbon: FloatArray, before: float
) -> FloatArray:
    """States of a cluster that runs a plan.

    Parameters
    ----------
    header
        The cluster.
    jobs
        The jobs; arrivals count from the first slot of `carbon`.
    plan
        Which job runs when. A job stays in the system until the last slot that it runs in.
    carbon
        Carbon intensity [g/kWh], shape (T,); for a look ahead beyond it its last day repeats.
    before
        Carbon intensity of the slot before the first [g/kWh].

    Returns
    -------
    numpy.ndarray
        Features of each slot, shape (T, F).
    """
    slots, day = len(carbon), header.slots_per_day
    gone = jobs.arrival.copy()
    np.maximum.at(gone, plan.job, plan.slot + 1)
    further = np.append(carbon, np.resize(carbon[-day:], day))
    ahead = np.lib.stride_tricks.sliding_window_view(further, day)[:slots, 1:]
    return features(
        carbon,
        np.append(before, carbon[:-1]),
        ahead,
        _present(jobs.arrival, gone, jobs.queue, slots, len(header.queues.names)),
        _present(jobs.arrival, gone, jobs.profile, slots, len(header.profiles)),
        elasticity_of(header.profiles),
    )


def _present(arrival: IntArray, gone: IntArray, code: IntArray, slots: int, codes: int) -> IntArray:
    """Jobs in the system in each slot by code, shape (slots, codes)."""
    change = np.zeros((slots + 1, codes), dtype=np.int64)
    np.add.at(change, (np.minimum(arrival, slots), code), 1)
    np.add.at(change, (np.minimum(gone, slots), code), -1)
    return np.cumsum(change[:-1], axis=0)
