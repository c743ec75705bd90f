"""Members of sets: from whatever form they are given in to columns of labels, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import Flaw, InputError
from .spaces import Axis, IndexArray, Space, axis_over


def columns_of(given: Any, dimension: int | None, name: str = "") -> list[Any]:
    """Columns of the members of a set, whatever form they are given in."""
    if isinstance(given, pd.MultiIndex):
        return [given.get_level_values(level) for level in range(given.nlevels)]
    if isinstance(given, pd.DataFrame):
        return [given[column] for column in given]
    if isinstance(given, np.ndarray) and given.ndim == 2:
        return list(given.T)
    if isinstance(given, tuple) and dimension != 1 and given and all(map(_is_column, given)):
        columns = list(given)
        if len({len(column) for column in columns}) != 1:
            raise InputError(Flaw("has columns of different lengths", field=name))
        return columns
    if isinstance(given, tuple) and len(given) == 1 and _is_column(given[0]):
        return [given[0]]
    if isinstance(given, str | bytes | Mapping | set | frozenset) or not hasattr(given, "__iter__"):
        what, allowed = "is no set of labels", "an array or list, in order"
        raise InputError(Flaw(what, field=name, value=type(given).__name__, allowed=allowed))
    members = given if isinstance(given, np.ndarray | pd.Series | pd.Index) else list(given)
    if dimension != 1 and isinstance(members, list):
        if not members and dimension is not None:
            return [[] for _ in range(dimension)]
        widths = {len(m) if isinstance(m, tuple) else 0 for m in members}
        if len(widths) == 1 and (width := widths.pop()) > 1:
            return [[member[place] for member in members] for place in range(width)]
    return [members]


def _is_column(part: Any) -> bool:
    return isinstance(part, np.ndarray | list | pd.Series | pd.Index | range)


def labels_of(column: Any, name: str) -> NDArray[Any]:
    """Labels of one column of the members of the set `name`."""
    try:
        return Axis.as_labels(column)
    except (TypeError, ValueError) as error:
        raise InputError(Flaw(f"has unusable labels ({error})", field=name)) from None


def sparse_space(name: str, columns: Sequence[Any], outer: Sequence[Axis] | None = None) -> Space:
    """Space over columns of labels, which must not repeat."""
    labels = [labels_of(column, name) for column in columns]
    if len(labels) == 1:
        axis = Axis(labels[0])
        if axis.repeated is not None:
            raise InputError(Flaw("is a member twice", field=name, value=axis.repeated))
        return Space([axis])
    axes = list(outer) if outer is not None else [axis_over(column) for column in labels]
    members = []
    for axis, column in zip(axes, labels, strict=True):
        places = axis.find(column)
        if (places < 0).any():
            label = column[places < 0][0]
            raise InputError(Flaw("is not in the set it is within", field=name, value=label))
        members.append(places.astype(np.int32))
    space = Space(axes, members)
    twice = space.first_twice()
    if twice is not None:
        value = plain_label([column[twice] for column in labels])
        raise InputError(Flaw("is a member twice", field=name, value=value))
    return space


def plain_label(labels: Sequence[Any]) -> Any:
    """One member from its parts: a Python object, a tuple of them where there are several."""
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    return plain[0] if len(plain) == 1 else tuple(plain)


def members_of(axes: Sequence[Axis], places: Sequence[IndexArray]) -> list[Any]:
    """Members by their places on the axes, tuples where there are several axes."""
    columns = [axis.labels[place].tolist() for axis, place in zip(axes, places, strict=True)]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def space_labels(space: Space) -> list[Any]:
    """Labels of the members of a space, tuples where there are several axes."""
    if not space.axes:
        return [None]
    shape = space.grid_shape
    return members_of(space.axes, [np.broadcast_to(p, shape).reshape(-1) for p in space.grid()])
