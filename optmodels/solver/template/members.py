"""Members of sets: from whatever form they are given in to columns of labels, places, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import Flaw, InputError
from ..labels import place_text
from .spaces import Axis, IndexArray, Space, UnknownLabelError, axis_over

#: What a message about several components speaks of.
SUBJECT = "Data of the formulation"
#: Members of one component that a message lists at most.
MOST_FLAWS = 20


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


def check_width(columns: Sequence[Any], dimension: int | None, name: str) -> None:
    """Refuse columns that are not as many as the set `name` has dimensions."""
    if dimension is not None and len(columns) != dimension:
        what = f"has {len(columns)} columns for {dimension} dimensions"
        raise InputError(Flaw(what, field=name))


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


def places_of_labels(labels: Sequence[Any], space: Space, name: str) -> IndexArray:
    """Positions in a space of labels that may stand in any order.

    Raises
    ------
    InputError
        One is unknown, or stands twice.
    """
    if not labels:
        return np.zeros(0, dtype=np.int64)
    wide = len(space.axes)
    columns = [labels] if wide == 1 else None
    if columns is None:
        if any(not isinstance(label, tuple) or len(label) != wide for label in labels):
            raise InputError(Flaw(f"has labels that are no {wide}-tuples", field=name))
        columns = [list(column) for column in zip(*labels, strict=True)]
    arrays = [labels_of(column, name) for column in columns]
    places = [axis.find(array) for axis, array in zip(space.axes, arrays, strict=True)]
    unknown = np.any([place < 0 for place in places], axis=0)
    if not unknown.any():
        try:
            flat = np.asarray(space.flat(places))
        except UnknownLabelError as error:
            raise InputError(Flaw("is no index of it", field=name, value=error.label)) from None
        if len(np.unique(flat)) != len(flat):
            raise InputError(Flaw("has a label twice", field=name))
        return flat
    raise InputError(
        [
            Flaw("is no index of it", field=name, value=labels[place])
            for place in np.flatnonzero(unknown)[:MOST_FLAWS]
        ]
    )


def check_all_there(places: IndexArray, space: Space, name: str) -> None:
    """Refuse places that are not all places of a space, and say what is missing."""
    missing = np.ones(space.size, dtype=np.bool_)
    missing[places] = False
    if missing.any():
        fields = fields_at(np.flatnonzero(missing), space, name)
        raise InputError([Flaw("is missing", field=field) for field in fields])


def fields_at(places: IndexArray, space: Space, name: str) -> list[str]:
    """The first few of these members of a component, as messages name them."""
    return [place_text(name, space.label(place)) for place in places[:MOST_FLAWS].tolist()]


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
