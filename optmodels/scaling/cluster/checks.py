"""What can be wrong with a cluster although every field by itself is right."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optmodels.errors import Flaw
from optmodels.schema import Place

_ROUNDING = 1e-9
_MOST_FLAWS = 100


def profile_flaws(table: pd.DataFrame, capacity: int, place: Place) -> list[Flaw]:
    """Profiles with gaps, with a first throughput other than 1, or that gain from scaling."""
    flaws = []
    for name in sorted(set(table["profile"])):
        rows = np.flatnonzero((table["profile"] == name).to_numpy())
        rows = rows[np.argsort(table["servers"].to_numpy()[rows], kind="stable")]
        servers = table["servers"].to_numpy()[rows]
        throughput = table["throughput"].to_numpy()[rows]
        per_server = np.diff(throughput, prepend=0.0) / np.diff(servers, prepend=0)
        found = [
            (i, "servers", "follows a gap", "consecutive numbers", "give every number of servers")
            for i in (np.flatnonzero(np.diff(servers) > 1) + 1).tolist()
        ]
        if abs(throughput[0] - 1) > _ROUNDING:
            fix = "divide all throughputs of the profile by its first"
            found.append((0, "throughput", "is not the unit of work", "1 in the first row", fix))
        if servers[0] > capacity:
            what, fix = "is more than the cluster has", "raise the capacity, or drop its jobs"
            found.append((0, "servers", what, f"at most the capacity {capacity}", fix))
        found += [
            (
                i,
                "throughput",
                "gains more per server than the row before",
                "each further server adds no more than the ones before",
                "leave out the levels below, or smooth the measurement",
            )
            for i in (np.flatnonzero(np.diff(per_server) > _ROUNDING) + 1).tolist()
        ]
        found += [
            (
                i,
                "throughput",
                "falls",
                "no less than in the row before",
                "leave out the levels that do less work",
            )
            for i in (np.flatnonzero(per_server[1:] < 0) + 1).tolist()
        ]
        flaws += [
            Flaw(
                f"{what} (profile '{name}')",
                file=place.file,
                row=place.row(int(rows[i])),
                field=field,
                value=table[field].iloc[rows[i]].item(),
                allowed=allowed,
                fix=fix,
            )
            for i, field, what, allowed, fix in found
        ]
    return flaws


def job_flaws(
    jobs: pd.DataFrame, queues: pd.DataFrame, profiles: pd.DataFrame, place: Place
) -> list[Flaw]:
    """Jobs in a queue, or of a profile, that does not exist."""
    flaws = []
    for field, known in (("queue", queues["queue"]), ("profile", profiles["profile"])):
        names = sorted({str(name) for name in known})
        for i in np.flatnonzero(~jobs[field].isin(names).to_numpy())[:_MOST_FLAWS].tolist():
            flaws.append(
                Flaw(
                    f"is no {field} of this cluster",
                    file=place.file,
                    row=place.row(i),
                    field=field,
                    value=str(jobs[field].iloc[i]),
                    allowed=", ".join(names),
                )
            )
    return flaws


def reach_flaws(jobs: pd.DataFrame, queues: pd.DataFrame, slots: int, place: Place) -> list[Flaw]:
    """A carbon series that ends before the last job must be done."""
    delay = queues.set_index("queue")["delay_slots"]
    due = (
        jobs["arrival_slot"].to_numpy()
        + np.ceil(jobs["length_slots"].to_numpy() * (1 - 1e-12))
        + delay.loc[jobs["queue"]].to_numpy()
    )
    if not len(due) or due.max() <= slots:
        return []
    worst = int(np.argmax(due))
    return [
        Flaw(
            f"has only {slots} slots, but job {int(jobs['job'].iloc[worst])} may run until slot "
            f"{due[worst]:.0f}",
            file=place.file,
            allowed=f"at least {due.max():.0f} rows",
            cause="the carbon series was cut at the last arrival",
            fix="give the slots after it as well, or leave out late jobs",
        )
    ]
