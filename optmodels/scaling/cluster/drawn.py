"""Jobs for a cluster of whose jobs no trace is at hand: drawn from a seed, none of them measured.

A carbon trace alone asks no question about a cluster. These jobs are those of the synthetic
clusters (`optmodels.scaling.cluster.synthetic`), without any of more than half a day, so that a
trace of a week is long enough for all of them to end.
"""

from __future__ import annotations

import pandas as pd

from optmodels.scaling.cluster.from_trace import UTILISATION
from optmodels.scaling.cluster.synthetic import CAPACITY, generate

LONGEST_HOURS = 12.0
#: More jobs than a cluster of given size takes, because it draws its load from them.
SPARE = 2.0


def drawn_jobs(
    seed: int, hours: float, *, capacity: int | None = None, utilisation: float = UTILISATION
) -> pd.DataFrame:
    """Jobs as `optmodels.traces.read_jobs` gives them.

    Parameters
    ----------
    seed
        Seed of every random choice.
    hours
        Time in which they arrive [h].
    capacity
        Servers that they are for: there are then more than enough of them, to draw from.
    utilisation
        Their load, as a share of that of the servers.

    Returns
    -------
    DataFrame
        ``arrival_h``, ``length_h`` and ``cpus``, which are 1.

    Raises
    ------
    InputError
        A number is out of range.
    """
    spare = 1.0 if capacity is None else SPARE
    made = generate(
        seed,
        hours=hours,
        capacity=CAPACITY if capacity is None else capacity,
        utilisation=utilisation * spare,
        longest_hours=LONGEST_HOURS,
        past_hours=0,
    )
    jobs = made.tables["jobs"]
    # Slots of the synthetic cluster are hours.
    return pd.DataFrame(
        {
            "arrival_h": jobs["arrival_slot"].astype(float),
            "length_h": jobs["length_slots"].astype(float),
            "cpus": 1,
        }
    )
