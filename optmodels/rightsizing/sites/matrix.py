"""Power of several sites as an array: the check that every function over plain data makes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import Flaw, InputError

FloatArray = NDArray[np.float64]

_MOST = 20


def power_matrix(power: pd.DataFrame | ArrayLike) -> tuple[FloatArray, tuple[str, ...]]:
    """Power by slot and site as an array of shape (T, S), and the names of the sites.

    Parameters
    ----------
    power
        One column per site, one row per slot, in any unit, none negative. Columns of an array are
        called "0", "1", ...

    Raises
    ------
    InputError
        It is no table of numbers, is empty, or has values that are missing, infinite or negative;
        all such columns together.
    """
    if isinstance(power, pd.DataFrame):
        names = tuple(str(name) for name in power.columns)
        table: ArrayLike = power.to_numpy()
    else:
        names, table = (), power
    try:
        values = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(Flaw("is no table of numbers", field="power")) from None
    if values.ndim != 2 or not values.size:
        allowed = "slots × sites, at least one of each"
        raise InputError(
            Flaw(f"has the shape {values.shape}", field="power", allowed=allowed), None
        )
    names = names or tuple(str(i) for i in range(values.shape[1]))
    wrong = ~(np.isfinite(values) & (values >= 0))
    flaws = [
        Flaw(
            f"has {int(wrong[:, s].sum())} values that are missing, infinite or negative",
            field=names[s],
            value=float(values[wrong[:, s], s][0]),
            allowed="numbers >= 0",
        )
        for s in np.flatnonzero(wrong.any(axis=0))[:_MOST]
    ]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        flaws.append(Flaw("names several columns", field="power", value=", ".join(twice)))
    if flaws:
        raise InputError(flaws, "power of sites" if len(flaws) > 1 else None)
    return values, names


def slot_weights(weights: ArrayLike | None, slots: int) -> FloatArray:
    """Shares of the slots, which sum to one; by default all alike.

    Raises
    ------
    InputError
        Not one number per slot, negative ones, or all zero.
    """
    if weights is None:
        return np.full(slots, 1.0 / slots)
    try:
        shares = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(Flaw("are no numbers", field="weights")) from None
    if shares.shape != (slots,) or not (np.isfinite(shares) & (shares >= 0)).all():
        what = f"are not {slots} numbers >= 0, one per slot"
        raise InputError(Flaw(what, field="weights"))
    if shares.sum() <= 0:
        raise InputError(Flaw("are all zero", field="weights"))
    return np.asarray(shares / shares.sum())
