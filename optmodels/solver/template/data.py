"""Named arrays of a formulation: what they may look like, and what they must agree with.

======================  ========================================================================
component               data
======================  ========================================================================
set                     array, list, ``pandas.Index`` or ``Series`` of labels, each once
set of tuples           tuple of equally long arrays, one per dimension; a list of tuples; a
                        ``MultiIndex``
indexed set             ``(starts, members)``: members of the i-th index are
                        ``members[starts[i]:starts[i + 1]]`` (a tuple of arrays for tuples); or
                        a dict from index to list
parameter               number, or array over its index set in the set's order (flat, or one
                        dimension per set); or a dict or ``Series`` by label, in any order
======================  ========================================================================

A parameter or set for which the formulation itself has a constant value need not be given. Labels
must be in the sets that the formulation names (``within=``, index sets), values in their domains:
what Pyomo would refuse is refused, all of it together and by name.

`instance_of` turns the same data into an ordinary Pyomo model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyomo.environ as pyo
from numpy.typing import NDArray

from ...errors import Flaw, InputError, UsageError
from ..labels import FloatArray, place_text
from ..linear import same_array
from ..pyomo_instance import create_instance
from . import tracing
from .domains import is_any, outside_flaw, which_outside
from .members import columns_of, labels_of, members_of, plain_label, space_labels, sparse_space
from .spaces import SCALAR, Axis, IndexArray, Space, UnknownLabelError, axis_over
from .tracing import Declarations, DeclaredParameter, DeclaredSet, NotTraceableError

_SUBJECT = "Data of the formulation"
_MOST_FLAWS = 20

Ragged = tuple[Space, IndexArray, list[Axis], list[IndexArray]]


class Data:
    """The data of a formulation as spaces and flat arrays, checked.

    Parameters
    ----------
    declared
        Sets and parameters of the formulation.
    given
        Data by component name.

    Raises
    ------
    UsageError
        A name is not one of the formulation's.
    InputError
        Data are missing, of a wrong form, or disagree with each other; all of it together.
    """

    def __init__(self, declared: Declarations, given: Mapping[str, Any]) -> None:
        self._declared = declared
        self._given = dict(given)
        self._spaces: dict[int, tuple[Space, Any]] = {}
        self._ragged: dict[str, Ragged] = {}
        self._values: dict[str, NDArray[Any]] = {}
        self._check_names()
        self._check(declared.sets, self._look_at_set)
        self._check(declared.parameters, self._look_at_parameter)

    @property
    def obstacle(self) -> str | None:
        """Why these data have no array form; None if they have."""
        for declared in self._declared.sets.values():
            if declared.obstacle is not None:
                return declared.obstacle
        for name, parameter in self._declared.parameters.items():
            if parameter.obstacle is not None and (parameter.strict or name not in self._given):
                return parameter.obstacle
        for name, values in self._values.items():
            if values.dtype.kind != "f":
                return f"the values of the parameter '{name}' are no numbers"
        return None

    # -- what they must hold -----------------------------------------------------------------

    def _check_names(self) -> None:
        known: dict[str, Any] = {**self._declared.sets, **self._declared.parameters}
        for name in self._given:
            if name not in known:
                raise UsageError.unknown("set or parameter", str(name), known)
        flaws = []
        for name, one in known.items():
            own = one.default if isinstance(one, DeclaredParameter) else one.members or one.limits
            if name not in self._given and own is None and one.obstacle is None:
                flaws.append(Flaw("is missing", field=name, fix="give its values by this name"))
            if name in self._given and isinstance(one, DeclaredSet) and one.limits is not None:
                flaws.append(Flaw("is a RangeSet, its members follow from its limits", field=name))
        if flaws:
            raise InputError(flaws, _SUBJECT)

    def _check(self, declared: Mapping[str, Any], look: Callable[[Any], None]) -> None:
        flaws: list[Flaw] = []
        for name, one in declared.items():
            if name not in self._given and one.obstacle is not None:
                continue  # its values come from a rule, which Pyomo has to run
            try:
                look(one)
            except InputError as error:
                flaws += error.flaws
            except NotTraceableError:
                continue  # it depends on such values
        if flaws:
            raise InputError(flaws, _SUBJECT if len(flaws) > 1 else None)

    def _look_at_set(self, one: DeclaredSet) -> None:
        if one.component.is_indexed():
            self.ragged_of(one.component)
        else:
            self.space_of(one.component)

    def _look_at_parameter(self, one: DeclaredParameter) -> None:
        self.values(one.component.local_name)

    # -- sets --------------------------------------------------------------------------------

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
        declared = self._declared.sets.get(index_set.local_name)
        if declared is not None and declared.component is index_set:
            return self._declared_space(declared)
        if not tracing.is_product(index_set):
            return sparse_space(
                index_set.local_name, columns_of(tracing.own_members(index_set), None)
            )
        spaces = [self.space_of(part) for part in tracing.parts(index_set)]
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
        wide = declared.dimension
        if wide is not None and len(columns) != wide:
            what = f"has {len(columns)} columns for {wide} dimensions"
            raise InputError(Flaw(what, field=name))
        space = sparse_space(name, columns, self._outer_axes(declared.within, len(columns)))
        self._check_within(declared, space, name)
        return space

    def _range(self, declared: DeclaredSet) -> list[Any]:
        numbers = [
            limit
            if isinstance(limit, int | float)
            else float(self.values(limit.local_name).reshape(-1)[0])
            for limit in declared.limits or ()
        ]
        whole = all(float(number).is_integer() for number in numbers)
        members = pyo.RangeSet(*(int(n) if whole else n for n in numbers))
        members.construct()
        return list(members)

    def _outer_axes(self, within: Any, dimensions: int) -> list[Axis] | None:
        """Axes of the set that another is within, where it is one of the model."""
        if dimensions < 2 or not self._is_own(within):
            return None
        axes = list(self.space_of(within).axes)
        return axes if len(axes) == dimensions else None

    def _is_own(self, index_set: Any) -> bool:
        """Whether a set is declared in the model, or made of such sets."""
        if index_set is None:
            return False
        if tracing.is_product(index_set):
            return all(self._is_own(part) for part in tracing.parts(index_set))
        declared = self._declared.sets.get(index_set.local_name)
        return declared is not None and declared.component is index_set

    def _check_within(self, declared: DeclaredSet, space: Space, name: str) -> None:
        within = declared.within
        if is_any(within):
            return
        if self._is_own(within):
            self._check_members(within, space.axes, space.grid(), name)
        elif len(space.axes) == 1:
            labels = space.axes[0].labels
            bad = which_outside(within, labels)
            flaws = [outside_flaw(name, label, within) for label in labels[bad][:_MOST_FLAWS]]
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

    def ragged_of(self, declared: Any) -> Ragged:
        """Members of an indexed set.

        Returns
        -------
        tuple
            Space of its index, where each list of members starts, the axes of the members and
            their positions along them.
        """
        name = declared.local_name
        found = self._ragged.get(name)
        if found is None:
            found = self._ragged[name] = self._make_ragged(self._declared.sets[name], name)
        return found

    def _make_ragged(self, declared: DeclaredSet, name: str) -> Ragged:
        if name not in self._given:
            raise NotTraceableError(declared.obstacle or f"the set '{name}' has no members")
        space = self.index_space(declared.component)
        starts, columns = self._lists(self._given[name], space, declared.dimension, name)
        wide = declared.dimension
        if wide is not None and len(columns) != wide:
            what = f"has {len(columns)} columns for {wide} dimensions"
            raise InputError(Flaw(what, field=name))
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
        if self._is_own(declared.within):
            self._check_members(declared.within, axes, places, name)
            # The axes of the outer set make look-ups into components over it free.
            within = list(self.space_of(declared.within).axes)
            moves = zip(within, axes, places, strict=True)
            places = [new.places_of(old)[place] for new, old, place in moves]
            axes = within
        return space, starts, axes, places

    def _lists(
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
        places = self._places_of_labels(list(given), space, name)
        lists: list[list[Any]] = [[] for _ in range(space.size)]
        for place, members in zip(places.tolist(), given.values(), strict=True):
            lists[place] = list(members)
        missing = set(range(space.size)) - set(places.tolist())
        if missing:
            raise InputError(
                [
                    Flaw("is missing", field=place_text(name, space.label(place)))
                    for place in sorted(missing)[:_MOST_FLAWS]
                ]
            )
        flat = [member for members in lists for member in members]
        starts = np.concatenate([[0], np.cumsum([len(members) for members in lists])])
        return starts.astype(np.int64), columns_of(flat, dimension, name)

    def _places_of_labels(self, labels: Sequence[Any], space: Space, name: str) -> IndexArray:
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
                for place in np.flatnonzero(unknown)[:_MOST_FLAWS]
            ]
        )

    # -- parameters --------------------------------------------------------------------------

    def parameter(self, component: Any) -> tuple[FloatArray, Space]:
        """Values of a parameter, flat over its space, and the space."""
        values = self.values(component.local_name)
        if values.dtype.kind != "f":
            raise NotTraceableError(
                f"the values of the parameter '{component.local_name}' are no numbers"
            )
        return values, self.index_space(component)

    def values(self, name: str) -> NDArray[Any]:
        """Values of a parameter, flat over its space."""
        found = self._values.get(name)
        if found is None:
            found = self._values[name] = self._make_values(self._declared.parameters[name], name)
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
        known = self._declared.parameters
        flaws: list[Flaw] = []
        fresh: dict[str, NDArray[Any]] = {}
        given = self._given
        self._given = {**given, **changes}
        for name in changes:
            if name not in known:
                self._given = given
                raise UsageError.unknown("parameter", name, known)
            try:
                fresh[name] = self._make_values(known[name], name)
            except InputError as error:
                flaws += error.flaws
        if flaws:
            self._given = given
            raise InputError(flaws, _SUBJECT if len(flaws) > 1 else None)
        changed = frozenset(n for n, new in fresh.items() if self._differs(n, new))
        self._values.update({name: fresh[name] for name in changed})
        return changed

    def _differs(self, name: str, new: NDArray[Any]) -> bool:
        old = self.values(name)
        return old.dtype != new.dtype or not same_array(old, new)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What `restore` needs to undo a change."""
        return dict(self._given), dict(self._values)

    def restore(self, state: tuple[dict[str, Any], dict[str, NDArray[Any]]]) -> None:
        """Undo changes since `state`."""
        self._given, self._values = state

    def _make_values(self, declared: DeclaredParameter, name: str) -> NDArray[Any]:
        space = self.index_space(declared.component)
        if name in self._given:
            values = self._array(self._given[name], declared, space, name)
        elif declared.default is not None:
            values = np.full(space.size, float(declared.default))
        else:
            raise NotTraceableError(declared.obstacle or f"the parameter '{name}' has no values")
        bad = np.isnan(values) if values.dtype.kind == "f" else np.zeros(space.size, np.bool_)
        flaws = []
        if bad.any():
            flaws = [
                Flaw("is not a number", field=place_text(name, space.label(place)))
                for place in np.flatnonzero(bad)[:_MOST_FLAWS].tolist()
            ]
        outside = self._outside(declared.domain, values)
        if outside is not None and outside.any():
            flaws += [
                outside_flaw(place_text(name, space.label(place)), values[place], declared.domain)
                for place in np.flatnonzero(outside & ~bad)[:_MOST_FLAWS].tolist()
            ]
        if flaws:
            raise InputError(flaws)
        return values

    def _outside(self, domain: Any, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        if self._is_own(domain):
            space = self.space_of(domain)
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
        places = self._places_of_labels(labels, space, name)
        numbers = _floats(entries)
        if numbers is None or numbers.ndim != 1:
            numbers = np.empty(len(labels), dtype=object)
            numbers[:] = list(entries)
        values = np.full(space.size, np.nan, dtype=numbers.dtype)
        values[places] = numbers
        missing = np.ones(space.size, dtype=np.bool_)
        missing[places] = False
        if declared.default is not None:
            values[missing] = declared.default
        elif missing.any():
            raise InputError(
                [
                    Flaw("is missing", field=place_text(name, space.label(place)))
                    for place in np.flatnonzero(missing)[:_MOST_FLAWS].tolist()
                ]
            )
        return values

    # -- Pyomo's own form --------------------------------------------------------------------

    def for_pyomo(self) -> dict[None, dict[str, dict[Any, Any]]]:
        """The same data in the form that `AbstractModel.create_instance` takes."""
        named: dict[str, dict[Any, Any]] = {}
        for name in self._given:
            declared = self._declared.sets.get(name)
            if declared is None:
                component = self._declared.parameters[name].component
                labels = [None, *()] if not component.is_indexed() else self._labels(component)
                named[name] = dict(zip(labels, self._natives(name), strict=True))
            elif declared.component.is_indexed():
                space, starts, axes, places = self.ragged_of(declared.component)
                members = members_of(axes, places)
                lists = [members[a:b] for a, b in pairwise(starts)]
                named[name] = dict(zip(space_labels(space), lists, strict=True))
            else:
                named[name] = {None: space_labels(self.space_of(declared.component))}
        return {None: named}

    def _labels(self, component: Any) -> list[Any]:
        return space_labels(self.index_space(component))

    def _natives(self, name: str) -> list[Any]:
        """Values as Python objects; whole numbers as integers, so that ranges can use them."""
        found: list[Any] = self.values(name).tolist()
        return [int(v) if isinstance(v, float) and v.is_integer() else v for v in found]


def instance_of(formulation: Any, data: Mapping[str, Any], *, name: str | None = None) -> Any:
    """Turn a formulation and named arrays into an ordinary Pyomo model.

    Parameters
    ----------
    formulation
        AbstractModel, or a `Formulation` of one. It need not be traceable.
    data
        Data by component name, in any form this module takes.
    name
        Name of the model; default: the formulation's.

    Returns
    -------
    pyomo.environ.ConcreteModel
        Another model at each call, to edit or to give to another solver.

    Raises
    ------
    UsageError, InputError
        As for `Data`.
    """
    source = getattr(formulation, "source", formulation)
    return create_instance(source, pyomo_data(formulation, data), name=name)


def pyomo_data(formulation: Any, data: Mapping[str, Any]) -> dict[None, dict[str, dict[Any, Any]]]:
    """Turn named arrays into what ``create_instance`` takes; arguments as for `instance_of`."""
    declared = getattr(formulation, "declared", None)
    return Data(declared or tracing.declarations(formulation), data).for_pyomo()


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
