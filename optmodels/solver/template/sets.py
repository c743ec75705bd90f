"""Sets of a formulation with data: each becomes a `Space`, an indexed one its lists of members.

Members come from the data, from the model itself, or from the limits of a ``RangeSet``. They must
be within the set that the model says (``within=``), each once. Where that set is one of the
model's, the two share its axes, so that a position in one is a position in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo

from ...errors import Flaw, InputError
from ..labels import place_text
from .domains import is_any, outside_flaw, which_outside
from .members import (
    MOST_FLAWS,
    check_all_there,
    check_width,
    columns_of,
    labels_of,
    places_of_labels,
    plain_label,
    sparse_space,
)
from .spaces import SCALAR, Axis, IndexArray, Lists, Space, UnknownLabelError, axis_over
from .tracing import (
    Declarations,
    DeclaredSet,
    NotTraceableError,
    is_product,
    own_members,
    parts,
)


class Sets:
    """Spaces of the declared sets, and of whatever indexes a component; each is made once.

    Parameters
    ----------
    declared
        Sets and parameters of the formulation.
    given
        Data by component name.
    value_of
        Value of a scalar parameter by name, for the limits of a ``RangeSet``.
    """

    def __init__(
        self,
        declared: Declarations,
        given: Mapping[str, Any],
        value_of: Callable[[str], float],
    ) -> None:
        self._declared = declared
        self._given = given
        self._value_of = value_of
        self._spaces: dict[int, tuple[Space, Any]] = {}
        self._lists: dict[str, Lists] = {}

    @property
    def obstacle(self) -> str | None:
        """Why they have no array form; None if they have."""
        obstacles = (declared.obstacle for declared in self._declared.sets.values())
        return next((obstacle for obstacle in obstacles if obstacle is not None), None)

    def space_of(self, index_set: Any) -> Space:
        """Space of a declared set, a product of sets, or a set without name."""
        found = self._spaces.get(id(index_set))
        if found is None:
            found = self._spaces[id(index_set)] = (self._make_space(index_set), index_set)
        return found[0]

    def index_space(self, component: Any) -> Space:
        """Space of a component's index set."""
        return self.space_of(component.index_set()) if component.is_indexed() else SCALAR

    def _make_space(self, index_set: Any) -> Space:
        declared = self._declared.set_of(index_set)
        if declared is not None:
            return self._declared_space(declared)
        if not is_product(index_set):
            return sparse_space(index_set.local_name, columns_of(own_members(index_set), None))
        spaces = [self.space_of(part) for part in parts(index_set)]
        axes = [axis for space in spaces for axis in space.axes]
        if all(space.members is None for space in spaces):
            return Space(axes)
        grids = np.indices([space.size for space in spaces]).reshape(len(spaces), -1)
        members = [
            np.broadcast_to(place, space.grid_shape).reshape(-1)[chosen]
            for space, chosen in zip(spaces, grids, strict=True)
            for place in space.grid()
        ]
        return Space(axes, members)

    def _declared_space(self, declared: DeclaredSet) -> Space:
        name = declared.component.local_name
        if name in self._given:
            given = self._given[name]
        elif declared.members is not None:
            given = declared.members
        elif declared.limits is not None:
            given = self._range(declared)
        else:
            raise NotTraceableError(declared.obstacle or f"the set '{name}' has no members")
        columns = columns_of(given, declared.dimension, name)
        check_width(columns, declared.dimension, name)
        space = sparse_space(name, columns, self._outer_axes(declared.within, len(columns)))
        self._check_within(declared, space, name)
        return space

    def _range(self, declared: DeclaredSet) -> list[Any]:
        numbers = [
            limit if isinstance(limit, int | float) else self._value_of(limit.local_name)
            for limit in declared.limits or ()
        ]
        whole = all(float(number).is_integer() for number in numbers)
        members = pyo.RangeSet(*(int(n) if whole else n for n in numbers))
        members.construct()
        return list(members)

    def _outer_axes(self, within: Any, dimensions: int) -> list[Axis] | None:
        """Axes of the set that another is within, where it is one of the model."""
        if dimensions < 2 or not self.is_own(within):
            return None
        axes = list(self.space_of(within).axes)
        return axes if len(axes) == dimensions else None

    def is_own(self, index_set: Any) -> bool:
        """Whether a set is declared in the model, or made of such sets."""
        if index_set is None:
            return False
        if is_product(index_set):
            return all(self.is_own(part) for part in parts(index_set))
        return self._declared.set_of(index_set) is not None

    def _check_within(self, declared: DeclaredSet, space: Space, name: str) -> None:
        within = declared.within
        if is_any(within):
            return
        if self.is_own(within):
            self._check_members(within, space.axes, space.grid(), name)
        elif len(space.axes) == 1:
            labels = space.axes[0].labels
            bad = which_outside(within, labels)
            flaws = [outside_flaw(name, label, within) for label in labels[bad][:MOST_FLAWS]]
            if flaws:
                raise InputError(flaws)

    def _check_members(
        self, within: Any, axes: Sequence[Axis], places: Sequence[IndexArray], name: str
    ) -> None:
        outer = self.space_of(within)
        if len(outer.axes) != len(axes):
            what = f"has {len(axes)} dimensions, but {within} has {len(outer.axes)}"
            raise InputError(Flaw(what, field=name))
        moved = []
        for inner, place, axis in zip(axes, places, outer.axes, strict=True):
            there = axis.places_of(inner)[place]
            if (there < 0).any():
                raise InputError(outside_flaw(name, inner.labels[place[there < 0][0]], within))
            moved.append(there)
        try:
            outer.flat(moved)
        except UnknownLabelError as error:
            raise InputError(outside_flaw(name, error.label, within)) from None

    def lists_of(self, indexed_set: Any) -> Lists:
        """Members of an indexed set."""
        name = indexed_set.local_name
        found = self._lists.get(name)
        if found is None:
            found = self._lists[name] = self._make_lists(self._declared.sets[name], name)
        return found

    def _make_lists(self, declared: DeclaredSet, name: str) -> Lists:
        if name not in self._given:
            raise NotTraceableError(declared.obstacle or f"the set '{name}' has no members")
        space = self.index_space(declared.component)
        starts, columns = self._given_lists(self._given[name], space, declared.dimension, name)
        check_width(columns, declared.dimension, name)
        total = len(columns[0])
        fits = len(starts) == space.size + 1 and starts[0] == 0 and starts[-1] == total
        if not fits or (np.diff(starts) < 0).any():
            allowed = f"{space.size + 1} rising numbers from 0 to {total}"
            raise InputError(Flaw("has starts of a wrong form", field=name, allowed=allowed))
        axes = [axis_over(labels_of(column, name)) for column in columns]
        places = [
            axis.positions(labels_of(column, name))
            for axis, column in zip(axes, columns, strict=True)
        ]
        rows = np.repeat(np.arange(space.size), np.diff(starts))
        keys = Space([Axis(np.arange(max(space.size, 1))), *axes], [rows, *places])
        twice = keys.first_twice()
        if twice is not None:
            label = plain_label([ax.labels[p[twice]] for ax, p in zip(axes, places, strict=True)])
            where = place_text(name, space.label(int(rows[twice])))
            raise InputError(Flaw("is a member twice", field=where, value=label))
        if self.is_own(declared.within):
            self._check_members(declared.within, axes, places, name)
            # The axes of the outer set make look-ups into components over it free.
            within = list(self.space_of(declared.within).axes)
            moves = zip(within, axes, places, strict=True)
            places = [new.places_of(old)[place] for new, old, place in moves]
            axes = within
        return Lists(space, starts, axes, places)

    def _given_lists(
        self, given: Any, space: Space, dimension: int | None, name: str
    ) -> tuple[IndexArray, list[Any]]:
        if isinstance(given, tuple) and len(given) == 2:
            starts, members = given
            try:
                numbers = np.asarray(starts, dtype=np.int64)
            except (TypeError, ValueError, OverflowError):
                raise InputError(Flaw("has starts that are no numbers", field=name)) from None
            if numbers.ndim != 1 or not np.array_equal(numbers, np.asarray(starts)):
                raise InputError(Flaw("has starts that are no whole numbers", field=name))
            wide = dimension if dimension is not None or isinstance(members, tuple) else 1
            return numbers, columns_of(members, wide, name)
        if not isinstance(given, Mapping):
            allowed = "(starts, members), or a dict from index to list"
            raise InputError(Flaw("has the wrong form", field=name, allowed=allowed))
        places = places_of_labels(list(given), space, name)
        lists: list[list[Any]] = [[] for _ in range(space.size)]
        for place, members in zip(places.tolist(), given.values(), strict=True):
            lists[place] = list(members)
        check_all_there(places, space, name)
        flat = [member for members in lists for member in members]
        starts = np.concatenate([[0], np.cumsum([len(members) for members in lists])])
        return starts.astype(np.int64), columns_of(flat, dimension, name)
