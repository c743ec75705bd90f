"""Domains of parameters: which values are not in one of everybody's sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from ...errors import Flaw


def is_any(domain: Any) -> bool:
    """Whether a domain admits everything."""
    return domain is None or domain is pyo.Any or type(domain).__name__ == "_ImplicitAny"


def which_outside(domain: Any, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are not in one of everybody's sets, such as ``PositiveReals``."""
    outside = np.zeros(len(values), dtype=np.bool_)
    suspects = np.arange(len(values))
    if values.dtype.kind in "fiu":
        low, high, step = domain.get_interval()
        low = -np.inf if low is None else low
        high = np.inf if high is None else high
        sure = (values > low) & (values < high) & np.isfinite(values)
        if step == 1:
            sure &= values == np.floor(values)
        if step in (0, 1):
            suspects = np.flatnonzero(~sure)
    known: dict[Any, bool] = {}
    for place in suspects.tolist():
        value = values[place]
        value = value.item() if isinstance(value, np.generic) else value
        if value not in known:
            known[value] = value not in domain
        outside[place] = known[value]
    return outside


def outside_flaw(field: str, value: object, domain: Any) -> Flaw:
    """What to say of a value outside its domain."""
    value = value.item() if isinstance(value, np.generic) else value
    return Flaw("is outside its domain", field=field, value=value, allowed=str(domain))
