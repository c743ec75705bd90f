"""Names of the rows and columns of a matrix: ``(component, index)``, made when somebody asks.

A solver counts rows and columns; people speak of constraints and variables by name and index. A
`Family` is one named component and the places of its members; `Labels` are all of them, both ways:
from a vector to labelled series, and from a place to its name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Family:
    """The rows or columns of one named component, and where they stand in the matrix.

    Parameters
    ----------
    name
        Name of the component.
    positions
        Place of each member in the matrix; -1 for a member that is not in it.
    index
        Makes the labels of the members, in the same order.
    constants
        Values of the members outside the matrix (fixed variables); NaN elsewhere.
    doc
        One sentence that says what the component means.
    """

    name: str
    positions: IntArray
    index: Callable[[], pd.Index]
    constants: FloatArray | None = None
    doc: str | None = None

    def series(self, vector: FloatArray, outside: float = 0.0) -> pd.Series:
        """The members' entries of a vector over the matrix, labelled."""
        inside = self.positions >= 0
        values = np.full(len(self.positions), outside)
        if self.constants is not None:
            values = np.where(np.isnan(self.constants), values, self.constants)
        values[inside] = vector[self.positions[inside]]
        return pd.Series(values, index=self.index(), name=self.name)


class Labels:
    """Names of the columns and rows of a `LinearModel`, resolved when asked for.

    Parameters
    ----------
    columns, rows
        Make the families of the variables and of the constraints.
    load
        Writes a solution ``(x, row duals, reduced costs)`` into the caller's model; the duals are
        ``None`` for a model with integers.
    """

    def __init__(
        self,
        columns: Callable[[], Iterable[Family]],
        rows: Callable[[], Iterable[Family]],
        load: Callable[[FloatArray, FloatArray | None, FloatArray | None], None] | None = None,
    ) -> None:
        self._make_columns = columns
        self._make_rows = rows
        self._load = load

    @cached_property
    def columns(self) -> Mapping[str, Family]:
        """Families of the variables by name."""
        return {family.name: family for family in self._make_columns()}

    @cached_property
    def rows(self) -> Mapping[str, Family]:
        """Families of the constraints by name."""
        return {family.name: family for family in self._make_rows()}

    def values(self, x: FloatArray) -> dict[str, pd.Series]:
        """Value of every variable by component."""
        return {name: family.series(x, np.nan) for name, family in self.columns.items()}

    def duals(self, row_dual: FloatArray) -> dict[str, pd.Series]:
        """Dual of every constraint by component; 0 for a row that holds without variables."""
        return {name: family.series(row_dual) for name, family in self.rows.items()}

    def reduced_costs(self, column_dual: FloatArray) -> dict[str, pd.Series]:
        """Reduced cost of every variable by component; NaN for a fixed variable."""
        free = {
            name: Family(name, family.positions, family.index)
            for name, family in self.columns.items()
        }
        return {name: family.series(column_dual, np.nan) for name, family in free.items()}

    def load(
        self, x: FloatArray, row_dual: FloatArray | None, column_dual: FloatArray | None
    ) -> bool:
        """Write a solution into the caller's model; False where there is no such model."""
        if self._load is None:
            return False
        self._load(x, row_dual, column_dual)
        return True

    @cached_property
    def _column_places(self) -> dict[int, tuple[str, Hashable]]:
        return _places(self.columns.values())

    @cached_property
    def _row_places(self) -> dict[int, tuple[str, Hashable]]:
        return _places(self.rows.values())

    def column(self, position: int) -> tuple[str, Hashable]:
        """``(component, index)`` of a column; ``(component, None)`` for a scalar."""
        return self._column_places.get(position, ("auxiliary_variable", position))

    def row(self, position: int) -> tuple[str, Hashable]:
        """``(component, index)`` of a row; ``(component, None)`` for a scalar."""
        return self._row_places.get(position, ("auxiliary_constraint", position))


def _places(families: Iterable[Family]) -> dict[int, tuple[str, Hashable]]:
    places: dict[int, tuple[str, Hashable]] = {}
    for family in families:
        labels = family.index()
        scalar = is_scalar_index(labels)
        for position, label in zip(family.positions.tolist(), labels, strict=True):
            if position >= 0:
                places[position] = (family.name, None if scalar else label)
    return places


def make_index(labels: Sequence[Hashable], names: Sequence[str | None] | None = None) -> pd.Index:
    """Index of a component: a MultiIndex for tuples of one length, flat otherwise."""
    tuples = [label for label in labels if isinstance(label, tuple)]
    if labels and len(tuples) == len(labels) and len({len(label) for label in tuples}) == 1:
        depth = len(tuples[0])
        fitting = list(names) if names is not None and len(names) == depth else None
        levels: pd.Index = pd.MultiIndex.from_tuples(tuples, names=fitting)
        return levels
    name = names[0] if names is not None and len(names) == 1 else None
    if tuples:
        mixed: pd.Index = pd.Index(list(labels), dtype=object, tupleize_cols=False, name=name)
        return mixed
    flat: pd.Index = pd.Index(list(labels), name=name)
    return flat


SCALAR_NAME = "scalar"


def scalar_index() -> pd.Index:
    """Index of the length-1 series of a scalar component."""
    return pd.RangeIndex(1, name=SCALAR_NAME)


def is_scalar_index(index: pd.Index) -> bool:
    """Whether an index was made by `scalar_index`."""
    return isinstance(index, pd.RangeIndex) and index.name == SCALAR_NAME and len(index) == 1


def place_text(component: str, index: Hashable) -> str:
    """``name[i,j]``, the way people write it."""
    if index is None:
        return component
    parts = index if isinstance(index, tuple) else (index,)
    return f"{component}[{','.join(str(part) for part in parts)}]"
