"""Parameters of a formulation with data: each becomes an array over its index set.

Values come from the data, or are the model's own default. They are checked against the domain that
the model says (``within=``), and may be changed later, all or none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import Flaw, InputError, UsageError
from ..labels import FloatArray
from ..linear import same_array
from .domains import is_any, outside_flaw, which_outside
from .members import SUBJECT, check_all_there, fields_at, places_of_labels
from .sets import Sets
from .spaces import SCALAR, Space
from .tracing import DeclaredParameter, NotTraceableError

_State = tuple[Mapping[str, Any], dict[str, NDArray[Any]]]


class Parameters:
    """Values of the declared parameters, each read once until it changes.

    Parameters
    ----------
    declared
        Parameters of the formulation by name.
    given
        Data by component name.
    sets
        Its sets, with data.
    """

    def __init__(
        self, declared: Mapping[str, DeclaredParameter], given: Mapping[str, Any], sets: Sets
    ) -> None:
        self._declared = declared
        self._given: Mapping[str, Any] = {
            name: one for name, one in given.items() if name in declared
        }
        self._sets = sets
        self._values: dict[str, NDArray[Any]] = {}

    @property
    def given(self) -> Collection[str]:
        """Names of those that have values from outside the model."""
        return self._given.keys()

    @property
    def obstacle(self) -> str | None:
        """Why they have no array form; None if they have."""
        for name, declared in self._declared.items():
            if declared.obstacle is not None and (declared.strict or name not in self._given):
                return declared.obstacle
        return next((_no_numbers(n) for n, v in self._values.items() if v.dtype.kind != "f"), None)

    def numbers(self, component: Any) -> tuple[FloatArray, Space]:
        """Values of a parameter, flat over its space, and the space.

        Raises
        ------
        NotTraceableError
            They are no numbers.
        """
        values = self.values(component.local_name)
        if values.dtype.kind != "f":
            raise NotTraceableError(_no_numbers(component.local_name))
        return values, self._sets.index_space(component)

    def values(self, name: str) -> NDArray[Any]:
        """Values of a parameter by name, flat over its space: numbers, or whatever they are."""
        found = self._values.get(name)
        if found is None:
            found = self._values[name] = self._made(name, self._given)
        return found

    def change(self, changes: Mapping[str, Any]) -> frozenset[str]:
        """Replace values of parameters; returns the names of those that really differ.

        Raises
        ------
        UsageError
            A name is not a parameter of the formulation.
        InputError
            Values have the wrong form or are outside their domain; nothing is changed then.
        """
        for name in changes:
            if name not in self._declared:
                raise UsageError.unknown("parameter", name, self._declared)
        flaws: list[Flaw] = []
        fresh: dict[str, NDArray[Any]] = {}
        for name in changes:
            try:
                fresh[name] = self._made(name, changes)
            except InputError as error:
                flaws += error.flaws
        if flaws:
            raise InputError(flaws, SUBJECT if len(flaws) > 1 else None)
        changed = frozenset(n for n, new in fresh.items() if self._differs(n, new))
        self._given = {**self._given, **changes}
        self._values.update({name: fresh[name] for name in changed})
        return changed

    def _differs(self, name: str, new: NDArray[Any]) -> bool:
        old = self.values(name)
        return old.dtype != new.dtype or not same_array(old, new)

    def state(self) -> _State:
        """What `restore` needs to undo a change."""
        return self._given, dict(self._values)

    def restore(self, state: _State) -> None:
        """Undo changes since `state`."""
        self._given, self._values = state

    def _made(self, name: str, given: Mapping[str, Any]) -> NDArray[Any]:
        """Values of a parameter from what is given, checked."""
        declared = self._declared[name]
        space = self._sets.index_space(declared.component)
        if name in given:
            values = self._array(given[name], declared, space, name)
        elif declared.default is not None:
            values = np.full(space.size, float(declared.default))
        else:
            raise NotTraceableError(declared.obstacle or f"the parameter '{name}' has no values")
        bad = np.isnan(values) if values.dtype.kind == "f" else np.zeros(space.size, np.bool_)
        fields = fields_at(np.flatnonzero(bad), space, name)
        flaws = [Flaw("is not a number", field=field) for field in fields]
        outside = self._outside(declared.domain, values)
        if outside is not None:
            places = np.flatnonzero(outside & ~bad)
            flaws += [
                outside_flaw(field, values[place], declared.domain)
                for field, place in zip(fields_at(places, space, name), places, strict=False)
            ]
        if flaws:
            raise InputError(flaws)
        return values

    def _outside(self, domain: Any, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        if self._sets.is_own(domain):
            space = self._sets.space_of(domain)
            return None if len(space.axes) != 1 else space.axes[0].find(values) < 0
        return None if is_any(domain) else which_outside(domain, values)

    def _array(
        self, given: Any, declared: DeclaredParameter, space: Space, name: str
    ) -> NDArray[Any]:
        if isinstance(given, pd.Series | Mapping) and declared.component.is_indexed():
            return self._aligned(given, declared, space, name)
        if isinstance(given, Mapping | pd.DataFrame | str | bytes):
            numeric = None
        else:
            numeric = _floats(given)
        if numeric is None:
            plain = np.asarray(given, dtype=object)
            if isinstance(given, Mapping | pd.DataFrame) or plain.size != space.size:
                what = "is not a number or an array of numbers"
                raise InputError(Flaw(what, field=name, value=type(given).__name__))
            return plain.reshape(-1)
        if space is SCALAR and numeric.size == 1:
            return numeric.reshape(1)
        if numeric.shape not in (space.grid_shape, (space.size,)):
            shapes = dict.fromkeys([space.grid_shape, (space.size,)])
            allowed = "a number" if space is SCALAR else " or ".join(str(s) for s in shapes)
            found = numeric.shape or "a number"
            raise InputError(Flaw("is the wrong shape", field=name, value=found, allowed=allowed))
        return numeric.reshape(-1)

    def _aligned(
        self, given: Any, declared: DeclaredParameter, space: Space, name: str
    ) -> NDArray[Any]:
        labels = list(given.index if isinstance(given, pd.Series) else given)
        entries = given.to_numpy() if isinstance(given, pd.Series) else list(given.values())
        places = places_of_labels(labels, space, name)
        numbers = _floats(entries)
        if numbers is None or numbers.ndim != 1:
            numbers = np.empty(len(labels), dtype=object)
            numbers[:] = list(entries)
        rest = np.nan if declared.default is None else declared.default
        values = np.full(space.size, rest, dtype=numbers.dtype)
        values[places] = numbers
        if declared.default is None:
            check_all_there(places, space, name)
        return values


def _floats(given: Any) -> FloatArray | None:
    """An own array of numbers; None where they are none."""
    try:
        array = np.asarray(given)
        if array.dtype == np.float64:
            return array.copy()
        if array.dtype.kind in "OUS" and any(
            isinstance(entry, str | bytes) for entry in array.reshape(-1).tolist()
        ):
            return None
        return None if array.dtype.kind in "mMUS" else np.array(array, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _no_numbers(name: str) -> str:
    return f"the values of the parameter '{name}' are no numbers"
