"""Scaling profiles: throughput and power of a job by the number of servers it runs on.

CarbonScaler (Hanafy et al., Proc. ACM Meas. Anal. Comput. Syst. 7(3), 2023) publishes them as
`nodes, throughput, power`, with the throughput in units of the job's own work and the power of
all servers together in watts.
"""

from __future__ import annotations

import itertools
import os

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError
from optmodels.text import read_delimited
from optmodels.traces.parse import EMPTY, LARGEST, check_numbers

_COLUMNS = ("nodes", "throughput", "power")


def read_profile(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a scaling profile.

    Parameters
    ----------
    path
        CSV, plain or `.gz`, with columns `nodes`, `throughput` and `power` [W].

    Returns
    -------
    DataFrame
        Rising in `servers` (int), with `throughput` (units of work per time, as in the file) and
        `power_kw` (all servers together).

    Raises
    ------
    InputError
        Cells that are not numbers >= 0, a number of servers that is not whole or stands twice,
        power that falls as servers are added, or work done by no server.
    """
    table = read_delimited(path, required=_COLUMNS, subject="scaling profile")
    flaws: list[Flaw] = []
    columns = {}
    for name in _COLUMNS:
        columns[name], found = check_numbers(
            table.column(name), name, minimum=0.0, maximum=LARGEST, file=table.name
        )
        flaws += found
    if not flaws and not len(table):
        flaws.append(Flaw("has no rows of data", file=table.name, cause=EMPTY))
    if flaws:
        raise InputError(flaws, "scaling profile")

    servers, power = columns["nodes"], columns["power"]
    first_row = table.row_numbers.start
    order = np.argsort(servers, kind="stable")
    seen: set[float] = set()
    for place, count in enumerate(servers):
        row = place + first_row
        if count != np.floor(count) or count > np.iinfo(np.int32).max:
            what = "is not a whole number of servers"
            flaws.append(Flaw(what, table.name, row, "nodes", count, "0, 1, 2, ..."))
        elif count in seen:
            flaws.append(Flaw("stands more than once", table.name, row, "nodes", int(count)))
        seen.add(count)
        if count == 0 and columns["throughput"][place] > 0:
            what = "is done by no server"
            value = columns["throughput"][place]
            flaws.append(Flaw(what, table.name, row, "throughput", value, "0 at 0 nodes"))
    for before, after in itertools.pairwise(order):
        if power[after] < power[before] and servers[after] > servers[before]:
            flaws.append(
                Flaw(
                    f"falls as servers are added, from {power[before]:g} at {servers[before]:g}",
                    file=table.name,
                    row=int(after) + first_row,
                    field="power",
                    value=float(power[after]),
                    allowed=f">= {power[before]:g}",
                    cause="power per server instead of all servers together",
                )
            )
    if flaws:
        raise InputError(flaws, "scaling profile")
    return pd.DataFrame(
        {
            "servers": servers[order].astype(np.int64),
            "throughput": columns["throughput"][order],
            "power_kw": power[order] / 1000.0,
        }
    )
