"""Tables as CSV for people: nothing in them is run by the spreadsheet that opens them.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and a
formula can send data elsewhere. Names in results come from instances, folders and policies, which
anybody may have made. So a text that begins so gets an apostrophe in front, which makes it plain
text for spreadsheets. Numbers stay numbers. (Instances themselves must come back unchanged: there
such a name is refused, by `optmodels.cells`.)

Tables that programmes read back, as those of a store, take `sealed` texts: as safe, and nothing of
them is lost.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from optmodels.cells import FORMULA_SIGNS

_SEAL = "'"


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV without its index, safe to be opened in a spreadsheet.

    Parameters
    ----------
    frame
        Any table of results; it is not changed.
    """
    safe = frame.rename(columns=_plain)
    for at in range(safe.shape[1]):
        cells = safe.iloc[:, at].tolist()
        plain = [_plain(cell) for cell in cells]
        if any(one is not other for one, other in zip(cells, plain, strict=True)):
            safe.isetitem(at, np.array(plain, dtype=object))
    text: str = safe.to_csv(index=False, lineterminator="\n")
    return text


def sealed(text: str) -> str:
    """A text as a cell of one line that no spreadsheet runs; `unsealed` gives the text back.

    Nearly all texts stand there as they are. One that begins with a sign of a formula or with an
    apostrophe, or holds what cannot be printed, gets an apostrophe in front and is written as in
    JSON.
    """
    if text.isprintable() and not text.startswith((_SEAL, *FORMULA_SIGNS)):
        return text
    return _SEAL + json.dumps(text)[1:-1]


def unsealed(cell: str) -> str:
    """The text of a cell that `sealed` made; a cell that it did not make is its own text."""
    if not cell.startswith(_SEAL):
        return cell
    try:
        return str(json.loads(f'"{cell[1:]}"'))
    except ValueError:
        return cell


def _plain(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    if cell.startswith(FORMULA_SIGNS):
        cell = f"{_SEAL}{cell}"
    # Writers leave a lone carriage return unquoted, and readers end the row there.
    return cell.replace("\r", " ") if "\r" in cell else cell
