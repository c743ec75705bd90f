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

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from ...errors import Flaw, InputError, UsageError
from ..pyomo_instance import create_instance
from .members import SUBJECT, members_of, space_labels
from .parameters import Parameters
from .sets import Sets
from .tracing import (
    Declarations,
    DeclaredParameter,
    DeclaredSet,
    NotTraceableError,
    declarations,
)


class Data:
    """The data of a formulation as spaces and flat arrays, checked.

    Parameters
    ----------
    declared
        Sets and parameters of the formulation.
    given
        Data by component name.

    Attributes
    ----------
    sets, parameters
        What the data say of either.

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
        self.sets = Sets(declared, self._given, self._value_of)
        self.parameters = Parameters(declared.parameters, self._given, self.sets)
        self._check_names()
        self._check(declared.sets, self._look_at_set)
        self._check(declared.parameters, self._look_at_parameter)

    @property
    def obstacle(self) -> str | None:
        """Why these data have no array form; None if they have."""
        return self.sets.obstacle or self.parameters.obstacle

    def _value_of(self, name: str) -> float:
        return float(self.parameters.values(name).reshape(-1)[0])

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
            raise InputError(flaws, SUBJECT)

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
            raise InputError(flaws, SUBJECT if len(flaws) > 1 else None)

    def _look_at_set(self, one: DeclaredSet) -> None:
        if one.component.is_indexed():
            self.sets.lists_of(one.component)
        else:
            self.sets.space_of(one.component)

    def _look_at_parameter(self, one: DeclaredParameter) -> None:
        self.parameters.values(one.component.local_name)

    def for_pyomo(self) -> dict[None, dict[str, dict[Any, Any]]]:
        """The same data in the form that `AbstractModel.create_instance` takes."""
        named: dict[str, dict[Any, Any]] = {}
        for name in self._declared.sets.keys() & self._given.keys():
            declared = self._declared.sets[name].component
            if declared.is_indexed():
                found = self.sets.lists_of(declared)
                members = members_of(found.axes, found.places)
                lists = [members[a:b] for a, b in pairwise(found.starts)]
                named[name] = dict(zip(space_labels(found.space), lists, strict=True))
            else:
                named[name] = {None: space_labels(self.sets.space_of(declared))}
        for name in self.parameters.given:
            space = self.sets.index_space(self._declared.parameters[name].component)
            named[name] = dict(zip(space_labels(space), self._natives(name), strict=True))
        return {None: named}

    def _natives(self, name: str) -> list[Any]:
        """Values as Python objects; whole numbers as integers, so that ranges can use them."""
        found: list[Any] = self.parameters.values(name).tolist()
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
    return Data(declared or declarations(formulation), data).for_pyomo()
