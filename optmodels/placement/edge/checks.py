"""What can be wrong with edge sites although every field by itself is right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from optmodels.errors import Flaw
from optmodels.schema import Place

#: Flaws of one kind that are told of one table.
_MOST = 20

#: Labels of a table that must stand in another one: table, column, the other table, its column.
_REFERENCES = (
    ("sites", "zone", "carbon", "zone"),
    ("sites", "zone", "forecast", "zone"),
    ("servers", "site", "sites", "site"),
    ("latency", "site", "sites", "site"),
    ("applications", "kind", "profiles", "kind"),
    ("applications", "origin", "latency", "origin"),
    ("placed", "name", "applications", "name"),
    ("placed", "group", "servers", "group"),
)


def table_flaws(tables: Mapping[str, pd.DataFrame], places: Mapping[str, Place]) -> list[Flaw]:
    """Labels that lead nowhere, more servers on than there are, and what runs beyond limits."""
    flaws: list[Flaw] = []
    for name, label, other, known in _REFERENCES:
        if name in tables and other in tables:
            flaws += _unknown(tables[name][label], tables[other][known], places[name], other)
    servers = tables["servers"]
    for i in np.flatnonzero(servers["running"] > servers["servers"])[:_MOST].tolist():
        flaws.append(
            Flaw(
                "is more than there are",
                file=places["servers"].file,
                row=places["servers"].row(i),
                field="running",
                value=int(servers["running"].iloc[i]),
                allowed=f"at most {servers['servers'].iloc[i]} servers",
            )
        )
    if "placed" in tables and not flaws:
        flaws += _placed_flaws(tables, places["placed"])
    return flaws


def _unknown(labels: pd.Series[str], known: pd.Series[str], place: Place, other: str) -> list[Flaw]:
    """Labels that the other table does not have, each once."""
    missing = np.flatnonzero(~labels.isin(known) & ~labels.duplicated())
    return [
        Flaw(
            f"is not in the table '{other}'",
            file=place.file,
            row=place.row(i),
            field=str(labels.name),
            value=str(labels.iloc[i]),
            fix=f"add it to the table '{other}', or correct the name",
        )
        for i in missing[:_MOST].tolist()
    ]


def _placed_flaws(tables: Mapping[str, pd.DataFrame], place: Place) -> list[Flaw]:
    """More applications that run than there are, later batches, servers that are off."""
    applications = tables["applications"].set_index("name")
    counts, batches = applications["count"].to_dict(), applications["batch"].to_dict()
    placed = tables["placed"]
    flaws = []
    totals = placed.groupby("name")["count"].sum()
    first = int(applications["batch"].min())
    for name, total in totals.items():
        if total > counts[name]:
            allowed = f"at most the count of {counts[name]}"
            flaws.append(
                Flaw("runs already more often", place.file, None, str(name), int(total), allowed)
            )
        if batches[name] != first:
            what = "runs already, but comes with a later batch"
            flaws.append(
                Flaw(what, place.file, None, str(name), int(batches[name]), f"batch {first}")
            )
    running = tables["servers"].set_index("group")["running"]
    for group in placed["group"].unique():
        if running[group] == 0:
            what = "has applications, but no server that is on"
            fix = "count the servers they run on in the column 'running'"
            flaws.append(Flaw(what, place.file, None, "group", str(group), fix=fix))
    return flaws[:_MOST]
