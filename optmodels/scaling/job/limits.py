"""Why a job cannot be done: its limits in words."""

from __future__ import annotations

import math

import pandas as pd

from optmodels.scaling.job.instance import JobInstance

_ROUNDING = 1e-12


def explain(instance: JobInstance) -> list[str]:
    """Say which limits keep the job from being done; empty if it can be done.

    The job has one constraint that ties its slots together, so the conflict is always between the
    work, the deadline, and what a slot can hold.
    """
    work = float(instance.parameters.work)
    cap = instance.cap
    servers, throughput, _ = instance.measured
    most = instance.most_work
    if work <= instance.slots * most * (1 + _ROUNDING):
        return []
    needed = math.ceil(work / most - _ROUNDING)
    step = pd.Timedelta(minutes=instance.parameters.slot_minutes)
    capped = cap < float(servers.max())
    limit = f"under the rate cap of {cap:g} servers" if capped else "at full rate"
    reasons = [
        f"work: {work:g} units have to be done",
        f"deadline: {instance.slots} slots of {instance.parameters.slot_minutes:g} min, from "
        f"{instance.times[0].isoformat()} to {(instance.times[-1] + step).isoformat()}, hold at "
        f"most {instance.slots * most:g} units; {needed} slots would be needed",
        f"rate: a slot does at most {most:g} units {limit}",
    ]
    if capped:
        full = float(throughput.max())
        if work <= instance.slots * full:
            reasons.append(f"without the rate cap the deadline could be met ({full:g} a slot)")
    return reasons
