"""What can be wrong with accelerators and applications although every field by itself is right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from optmodels.errors import Flaw
from optmodels.schema import Place

#: Flaws of one kind that are told of one table.
_MOST = 20


def application_flaws(
    tables: Mapping[str, pd.DataFrame], places: Mapping[str, Place]
) -> list[Flaw]:
    """Models that nobody runs, and places in the order of arrival taken twice."""
    apps, place = tables["apps"], places["apps"]
    flaws = _unknown(
        apps["model"],
        tables["profiles"]["model"],
        place,
        "model",
        "has no profile on any device",
        "add it to the table 'profiles', or remove the application",
    )
    again = np.flatnonzero(apps["arrival"].duplicated().to_numpy())
    flaws += [
        Flaw(
            "is the arrival of an earlier row",
            file=place.file,
            row=place.row(i),
            field="arrival",
            value=int(apps["arrival"].iloc[i]),
            allowed="every place in the order once",
        )
        for i in again[:_MOST].tolist()
    ]
    return flaws


def node_flaws(tables: Mapping[str, pd.DataFrame], places: Mapping[str, Place]) -> list[Flaw]:
    """Nodes of a kind that is not described."""
    fix = "add it to the table 'devices', or correct its name"
    return _unknown(
        tables["nodes"]["device"],
        tables["devices"]["device"],
        places["nodes"],
        "device",
        "is not a device",
        fix,
    )


def profile_flaws(tables: Mapping[str, pd.DataFrame], places: Mapping[str, Place]) -> list[Flaw]:
    """Profiles of unknown devices, and switches where nothing is switched."""
    profiles, place = tables["profiles"], places["profiles"]
    fix = "add it to the table 'devices', or correct its name"
    devices = tables["devices"]
    flaws = _unknown(profiles["device"], devices["device"], place, "device", "is not a device", fix)
    shared = set(devices["device"][devices["discipline"] == "ps"])
    useless = profiles["device"].isin(shared).to_numpy() & (profiles["switch_ms"] > 0).to_numpy()
    flaws += [
        Flaw(
            "is not used: all models of a shared accelerator are resident",
            file=place.file,
            row=place.row(i),
            field="switch_ms",
            value=float(profiles["switch_ms"].iloc[i]),
            allowed="0 for a device with the discipline ps",
            fix="add the cost of changing contexts to service_ms",
        )
        for i in np.flatnonzero(useless)[:_MOST].tolist()
    ]
    return flaws


def _unknown(
    given: pd.Series[str],
    known: pd.Series[str],
    place: Place,
    field: str,
    what: str,
    fix: str,
) -> list[Flaw]:
    names = sorted({str(name) for name in known})
    wrong = ~given.isin(names).to_numpy()
    return [
        Flaw(
            what,
            file=place.file,
            row=place.row(i),
            field=field,
            value=str(given.iloc[i]),
            allowed=", ".join(names[:_MOST]),
            fix=fix,
        )
        for i in np.flatnonzero(wrong)[:_MOST].tolist()
    ]
