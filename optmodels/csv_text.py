"""Tables as CSV for people: nothing in them is run by the spreadsheet that opens them.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and a
formula can send data elsewhere. Names in results come from instances, folders and policies, which
anybody may have made. So a text that begins so gets an apostrophe in front, which makes it plain
text for spreadsheets. Numbers stay numbers. (Instances themselves must come back unchanged: there
such a name is refused, by `optmodels.cells`.)
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from optmodels.cells import FORMULA_SIGNS


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


def _plain(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    if cell.startswith(FORMULA_SIGNS):
        cell = f"'{cell}"
    # Writers leave a lone carriage return unquoted, and readers end the row there.
    return cell.replace("\r", " ") if "\r" in cell else cell
