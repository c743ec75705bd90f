"""What can be wrong with an instance of failover although every field by itself is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from optmodels.errors import Flaw
from optmodels.schema import Place

Tables = Mapping[str, pd.DataFrame]
Places = Mapping[str, Place]

#: Flaws of one kind that are told of one table.
_MOST = 20
#: Relative excess over a capacity that rounding explains.
_ROUNDING = 1e-9


def application_flaws(tables: Tables, places: Places) -> list[Flaw]:
    """Primaries on unknown servers, or of unknown models."""
    flaws = []
    for field, other in (("server", "servers"), ("model", "models")):
        flaws += _unknown(tables, places, "applications", field, other)
    return flaws


def network_flaws(tables: Tables, places: Places) -> list[Flaw]:
    """Round trips of unknown applications, to unknown servers, or to some servers only."""
    if "network" not in tables:
        return []
    flaws = _unknown(tables, places, "network", "application", "applications")
    flaws += _unknown(tables, places, "network", "server", "servers")
    wanted = len(tables["applications"]) * len(tables["servers"])
    given = len(tables["network"])
    if not flaws and given < wanted:
        flaws.append(
            Flaw(
                f"has only {given} of {wanted} pairs",
                file=places["network"].file,
                allowed="every application with every server",
                fix="give the missing round trips, or leave the table 'network' out",
            )
        )
    return flaws


def scenario_flaws(tables: Tables, places: Places) -> list[Flaw]:
    """Failures of unknown servers, and failures with several weights."""
    if "scenarios" not in tables:
        return []
    flaws = _unknown(tables, places, "scenarios", "server", "servers")
    table = tables["scenarios"]
    weights = table.groupby(table["scenario"].astype(str))["weight"].nunique()
    flaws += [
        Flaw(
            "has several weights",
            file=places["scenarios"].file,
            field="weight",
            value=str(name),
            allowed="one weight for each failure, the same in all its rows",
        )
        for name in weights[weights > 1].index[:_MOST]
    ]
    return flaws


def variant_flaws(tables: Tables, places: Places) -> list[Flaw]:
    """Primaries that a variant of the same family beats: no larger and more accurate."""
    models = tables["models"].reset_index(drop=True)
    flaws = []
    for name in sorted({str(name) for name in tables["applications"]["model"]}):
        own = models[models["model"] == name].iloc[0]
        better = models[
            (models["family"] == own["family"])
            & (models["memory_mb"] <= own["memory_mb"])
            & (models["accuracy"] > own["accuracy"])
        ]
        if len(better):
            flaws.append(
                Flaw(
                    f"is a primary although '{better['model'].iloc[0]}' of its family is no "
                    "larger and more accurate",
                    file=places["models"].file,
                    field="model",
                    value=name,
                    allowed="a primary that is the most accurate of the variants up to its memory",
                    fix="run the better variant, or give the variants families of their own",
                )
            )
    return flaws[:_MOST]


def capacity_flaws(tables: Tables, places: Places) -> list[Flaw]:
    """Servers that cannot hold their own primaries."""
    runs = tables["applications"].merge(tables["models"], on="model", how="left")
    runs["gflops"] = runs["rate_per_s"] * runs["gflop"]
    servers = tables["servers"].reset_index(drop=True)
    flaws = []
    for need, have, unit in (
        ("memory_mb", "memory_mb", "MB"),
        ("gflops", "compute_gflops", "GFLOP/s"),
    ):
        used = runs.groupby("server")[need].sum().reindex(servers["server"]).fillna(0.0)
        most = servers[have].to_numpy(dtype=np.float64)
        over = used.to_numpy() > most * (1 + _ROUNDING)
        flaws += [
            Flaw(
                f"is less than the {used.iloc[k]:.6g} {unit} of its primaries",
                file=places["servers"].file,
                row=places["servers"].row(k),
                field=have,
                value=float(most[k]),
                fix="move primaries, or make them smaller",
            )
            for k in np.flatnonzero(over)[:_MOST].tolist()
        ]
    return flaws


def _unknown(tables: Tables, places: Places, table: str, field: str, other: str) -> list[Flaw]:
    """Cells of a column that name nothing in another table."""
    known: Any = pd.Index(tables[other][field].astype(str))
    code = known.get_indexer(tables[table][field].astype(str))
    return [
        Flaw(
            f"is not in the table '{other}'",
            file=places[table].file,
            row=places[table].row(i),
            field=field,
            value=str(tables[table][field].iloc[i]),
            allowed=", ".join(known[:_MOST]),
        )
        for i in np.flatnonzero(code < 0)[:_MOST].tolist()
    ]
