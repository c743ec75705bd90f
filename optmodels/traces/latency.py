"""Round-trip times between places, and where the places are.

=========================  ==================================================================
file                       what it is
=========================  ==================================================================
round trips, ``pairs``     sending_region, receiving_region, milliseconds: one row per
                           direction, as published for the regions of Google's cloud
round trips, ``matrix``    the first column names the sender, the others are the receivers,
                           as made from WonderNetwork's pings; empty cells were not measured
places, ``azure-regions``  JSON object of Azure's regions with Latitude and Longitude as text
places, ``cities``         city, Lat, Long (and more), as beside WonderNetwork's pings
=========================  ==================================================================

A matrix that names a place twice is refused: nobody knows which column is meant. (The public matrix
of Google's regions by grid zone does, because two regions share a zone; read its pairs instead.)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.json_file import read_json
from optmodels.text import read_delimited
from optmodels.traces.parse import EMPTY, MAX_FLAWS, check_numbers

LATENCY_FORMATS = ("pairs", "matrix")
PLACE_FORMATS = ("azure-regions", "cities")

_SUBJECT = "round-trip times"
_PLACES = "places"
_LARGEST_MS = 1e5
_JSON_BYTES = 8 * 2**20
_PAIRS = ("sending_region", "receiving_region", "milliseconds")
_ANGLES = {"latitude": 90.0, "longitude": 180.0}


def read_latency(path: str | os.PathLike[str], format: Literal["pairs", "matrix"]) -> pd.DataFrame:
    """Read measured round-trip times.

    Parameters
    ----------
    path
        The file, plain or `.gz`.
    format
        A name in `LATENCY_FORMATS`.

    Returns
    -------
    DataFrame
        Milliseconds from place (row) to place (column), as measured, so not symmetric; the same
        places in both, in the order of their names; NaN where there is no measurement.

    Raises
    ------
    InputError
        Not of this format; pairs given twice; times that are no numbers from 0 to 100,000; all
        of it together.
    UsageError
        Unknown format.
    """
    if format not in LATENCY_FORMATS:
        raise UsageError.unknown("format of round-trip times", str(format), LATENCY_FORMATS)
    table = read_delimited(path, required=_PAIRS if format == "pairs" else (), subject=_SUBJECT)
    flaws: list[Flaw] = []
    if format == "pairs":
        senders, receivers = (table.column(name) for name in _PAIRS[:2])
        times, flaws = check_numbers(
            table.column(_PAIRS[2]), _PAIRS[2], minimum=0, maximum=_LARGEST_MS, file=table.name
        )
    else:
        names = table.columns[1:]
        senders = [row[0] for row in table.rows for _ in names]
        receivers = [name for _ in table.rows for name in names]
        columns = []
        for name in names:
            column, found = check_numbers(
                table.column(name),
                name,
                minimum=0,
                maximum=_LARGEST_MS,
                allow_missing=True,
                file=table.name,
            )
            columns.append(column)
            flaws += found
        times = np.stack(columns, axis=1).ravel() if columns else np.zeros(0)
    first, width = table.row_numbers.start, max(1, len(table.columns) - 1)
    rows = np.arange(len(senders)) // (1 if format == "pairs" else width) + first
    pairs = (
        pd.MultiIndex.from_arrays([senders, receivers]) if senders else pd.MultiIndex([[]], [[]])
    )
    flaws += [
        Flaw(
            "stands more than once",
            file=table.name,
            row=int(rows[i]),
            value=f"{senders[i]} to {receivers[i]}",
            allowed="one round trip for each pair",
        )
        for i in np.flatnonzero(pairs.duplicated())[:MAX_FLAWS]
    ]
    if not flaws and not senders:
        flaws.append(Flaw("has no rows of data", file=table.name, cause=EMPTY))
    if flaws:
        raise InputError(flaws, _SUBJECT)
    places = sorted({*senders, *receivers})
    square = pd.Series(times, index=pairs).unstack()
    return square.reindex(index=places, columns=places).rename_axis(index="from", columns="to")


def read_places(
    path: str | os.PathLike[str], format: Literal["azure-regions", "cities"]
) -> pd.DataFrame:
    """Read where places are.

    Parameters
    ----------
    path
        The file.
    format
        A name in `PLACE_FORMATS`.

    Returns
    -------
    DataFrame
        Indexed by ``name``: ``latitude``, ``longitude`` [degrees], in the order of the file.

    Raises
    ------
    InputError
        Not of this format; names given twice; angles out of range; all of it together.
    UsageError
        Unknown format.
    """
    if format not in PLACE_FORMATS:
        raise UsageError.unknown("format of places", str(format), PLACE_FORMATS)
    if format == "cities":
        table = read_delimited(path, required=("city", "Lat", "Long"), subject=_PLACES)
        label, names = table.name, table.column("city")
        texts = {"latitude": table.column("Lat"), "longitude": table.column("Long")}
    else:
        label, names, texts = _azure_regions(path)
    flaws: list[Flaw] = []
    columns = {}
    for name, limit in _ANGLES.items():
        columns[name], found = check_numbers(
            texts[name], name, minimum=-limit, maximum=limit, file=label
        )
        if format != "cities":  # JSON has no rows: say which region
            found = [
                Flaw(f.what, label, None, f"{names[f.row - 2]}, {name}", f.value, f.allowed)
                for f in found
                if f.row is not None
            ]
        flaws += found
    seen = pd.Series(names, dtype=object)
    flaws += [
        Flaw("stands more than once", file=label, field="name", value=name)
        for name in seen[seen.duplicated()].unique()[:MAX_FLAWS]
    ]
    if not flaws and not names:
        flaws.append(Flaw("has no places", file=label))
    if flaws:
        raise InputError(flaws, _PLACES)
    return pd.DataFrame(columns, index=pd.Index(names, name="name"))


def _azure_regions(
    path: str | os.PathLike[str],
) -> tuple[str, list[str], dict[str, list[str]]]:
    """Names and coordinates, as text, from the JSON object of regions."""
    label = Path(path).name
    content = read_json(path, max_bytes=_JSON_BYTES, kind="a JSON text", subject=_PLACES)
    if not isinstance(content, dict):
        allowed = "an object of regions by name"
        raise InputError(Flaw("is another kind of JSON", file=label, allowed=allowed), _PLACES)
    regions = [(name, entry if isinstance(entry, dict) else {}) for name, entry in content.items()]
    texts = {
        name: [str(entry.get(name.capitalize(), "")) for _, entry in regions] for name in _ANGLES
    }
    return label, [name for name, _ in regions], texts
