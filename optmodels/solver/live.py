"""A `LiveModel`: one compiled model that is solved again and again as its data change.

A rolling horizon asks almost the same question many times. What is paid once is the trace, the
layout of the matrix and the solver's copy of it; what is paid each time is the arithmetic of the
parameters that changed and the solver's own run. Each solve starts from the last one:

- a linear programme from its last basis, as it stands (the dual simplex method goes on), or moved
  by a step along an index (`LiveModel.shift_start`): when a window moves by one slot, slot t of the
  new window is slot t + 1 of the last one, and so is its place in the basis;
- a model with integers from the last solution, moved in the same way.

How much a solve took is in its `Solution`: ``seconds`` has ``run`` (inside HiGHS's ``run()``) and
``outside`` (everything else since the solve before: updates, comparing, pushing, checking).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import Flaw, InputError, UsageError
from .conflict import Conflict
from .explain import explain_model
from .labels import Family, FloatArray, IntArray, Labels, is_scalar_index
from .linear import LinearModel
from .options import DEFAULT_MIP_GAP, Limits
from .session import Session
from .solution import Solution, solution_of

if TYPE_CHECKING:
    from .template import Program

EXPLAIN_SECONDS = 10.0
"""Seconds that the explanation of an infeasible model may take."""


class LiveModel:
    """A compiled model with a solver of its own, to be changed and solved many times.

    Parameters
    ----------
    formulation
        AbstractModel, or its `Formulation` where one trace serves several models.
    data
        Sets and parameters by name, as `Formulation.compile` takes them.
    time_limit_s, mip_gap, threads, seed, options
        Of every solve, as for `solve_model`.

    Raises
    ------
    InputError
        Data are missing, misshapen, or not usable by a solver.
    UsageError
        Unknown names or options; a quadratic objective with integers.
    NotTraceableError
        The formulation has no array form.

    Notes
    -----
    A live model belongs to one thread at a time.
    """

    def __init__(
        self,
        formulation: Any,
        data: Mapping[str, Any],
        *,
        time_limit_s: float | None = None,
        mip_gap: float = DEFAULT_MIP_GAP,
        threads: int | None = None,
        seed: int = 0,
        options: Mapping[str, object] | None = None,
    ) -> None:
        from .template import Formulation

        begin = time.perf_counter()
        traced = formulation if isinstance(formulation, Formulation) else Formulation(formulation)
        self.program: Program = traced.compile(data)
        limits = Limits(time_limit_s, mip_gap, threads, seed)
        self._session = Session(self.program.linear, limits=limits, options=options)
        self._solver = self._session.solver
        self._options = asdict(limits) | self._session.options
        self._fixed: dict[str, tuple[IntArray, FloatArray]] = {}
        self._current: LinearModel | None = self.program.linear
        self._x: FloatArray | None = None
        self._sources: dict[tuple[Any, tuple[str, ...]], tuple[IntArray, IntArray]] = {}
        self._labels = _kept(self.program.linear.labels)
        self._outside = time.perf_counter() - begin

    @property
    def linear(self) -> LinearModel:
        """The arrays as they stand, fixed variables included."""
        if self._current is None:
            self._current = self._with_fixed(self.program.linear)
        return self._current

    # -- changing ----------------------------------------------------------------------------

    def update(self, **parameters: Any) -> None:
        """Change parameters; only what names them is evaluated anew.

        Raises
        ------
        UsageError
            A name is not a parameter of the formulation.
        InputError
            An array has the wrong shape.
        """
        begin = time.perf_counter()
        self.program.update(**parameters)
        self._current = None
        self._outside += time.perf_counter() - begin

    def fix(self, component: str, values: pd.Series | Mapping[Any, float] | float) -> None:
        """Fix variables at values, until `release`; more of the same component may follow.

        Parameters
        ----------
        component
            Name of a variable.
        values
            Values by label, or one number for all of it.

        Raises
        ------
        UsageError
            There is no such variable.
        InputError
            A label is not an index of the variable, or a value is not a finite number.
        """
        begin = time.perf_counter()
        positions, numbers = _places(self.program.linear, component, values)
        if component in self._fixed:
            before, old = self._fixed[component]
            kept = ~np.isin(before, positions)
            positions = np.concatenate([before[kept], positions])
            numbers = np.concatenate([old[kept], numbers])
        self._fixed[component] = (positions, numbers)
        self._current = None
        self._outside += time.perf_counter() - begin

    def release(self, component: str | None = None) -> None:
        """Give the fixed variables of a component their bounds back; without a name, of all.

        Raises
        ------
        UsageError
            Nothing of this component is fixed.
        """
        if component is not None and component not in self._fixed:
            raise UsageError.unknown("fixed variable", component, self._fixed)
        for name in [component] if component is not None else list(self._fixed):
            del self._fixed[name]
        self._current = None

    def _with_fixed(self, model: LinearModel) -> LinearModel:
        if not self._fixed:
            return model
        lower, upper = model.column_lower.copy(), model.column_upper.copy()
        for positions, values in self._fixed.values():
            lower[positions] = upper[positions] = values
        return model.changed(column_lower=lower, column_upper=upper)

    # -- starting ----------------------------------------------------------------------------

    def start_from(self, values: Mapping[str, Any]) -> None:
        """Give the next solve of a model with integers a first solution, whole or in part.

        Parameters
        ----------
        values
            Values by component: Series, mapping by label, or number. Only the integers are passed
            on; HiGHS finds the continuous variables that go with them.

        Raises
        ------
        UsageError, InputError
            As for `fix`.
        """
        begin = time.perf_counter()
        self._push()
        model = self.linear
        found = [_places(model, name, given) for name, given in values.items()]
        if model.is_mip and found:
            positions = np.concatenate([places for places, _ in found])
            numbers = np.concatenate([given for _, given in found])
            whole = model.integer[positions]
            positions, numbers = positions[whole], numbers[whole]
            lower, upper = model.column_lower[positions], model.column_upper[positions]
            self._session.start_from(positions, np.clip(np.round(numbers), lower, upper))
        self._outside += time.perf_counter() - begin

    def shift_start(self, by: Any, along: Iterable[str]) -> None:
        """Start the next solve where the last one ended, moved by a step along an index.

        The variable (or constraint) at label t starts as the one at label t + by was. Where there
        is none, the value of a variable stays as it was; a place in the basis goes to the label
        that has left, so that there are as many places as before. Without a solve before, or
        without a solution in it, nothing happens.

        Parameters
        ----------
        by
            The step, in terms of the labels: 1 for numbered slots, a Timedelta for times.
        along
            Names of the index sets whose labels move ("slots", and sets within it).
        """
        if self._x is None:
            return
        begin = time.perf_counter()
        columns, rows = self._moved(by, tuple(along))
        self._push()
        if self.linear.is_mip:
            integer = np.flatnonzero(self.linear.integer)
            x = self._x[columns][integer]
            low, high = self.linear.column_lower[integer], self.linear.column_upper[integer]
            self._session.start_from(integer, np.clip(x, low, high))
        else:
            self._session.shift_basis(columns, rows, self._x)
        self._outside += time.perf_counter() - begin

    def _moved(self, by: Any, along: tuple[str, ...]) -> tuple[IntArray, IntArray]:
        """For every column and row, the one that stood in its place a step ago."""
        key = (by, along)
        if key not in self._sources:
            labels = self._labels
            sizes = (self.linear.columns, self.linear.rows)
            around = not self.linear.is_mip
            self._sources[key] = (
                _source(labels.columns.values(), sizes[0], by, along, around=around),
                _source(labels.rows.values(), sizes[1], by, along, around=around),
            )
        return self._sources[key]

    # -- solving -----------------------------------------------------------------------------

    def _push(self) -> None:
        if self._session.model is not self.linear:
            self._session.update(self.linear)

    def solve(self) -> Solution:
        """Solve the model as it stands, starting from the last solve.

        Returns
        -------
        Solution
            Labels are made when its values are asked for. ``seconds`` has ``run``, ``outside`` and
            their sum ``solve``; both count from the end of the solve before.
        """
        begin = time.perf_counter()
        self._push()
        session, model = self._session, self.linear
        outcome = session.solve()
        run = session.run_seconds
        outside = self._outside + time.perf_counter() - begin - run
        self._outside = 0.0
        solution = solution_of(
            outcome,
            sense="maximize" if model.maximize else "minimize",
            solver=self._solver,
            options=self._options,
            model=model.source,
            seconds={"run": run, "outside": outside, "solve": run + outside},
            _labels=self._labels,
        )
        self._x = outcome.x if outcome.status.has_solution else None
        return solution

    def explain(self, *, time_limit_s: float = EXPLAIN_SECONDS) -> Conflict:
        """Say which limits of the model as it stands conflict; see `explain_model`."""
        return explain_model(self.linear, time_limit_s=time_limit_s)


def shifted_start(solution: Solution, *, by: Any, level: str) -> dict[str, pd.Series]:
    """A solution moved by a step along an index, as a first solution of the next window.

    Parameters
    ----------
    solution
        The last solution.
    by
        The step, in terms of the labels: 1 for numbered slots, a Timedelta for times.
    level
        Name of the index set whose labels move.

    Returns
    -------
    dict
        Values by component: at label t the value that was at t + by; where there was none, and in
        components without this index, the value as it was.

    Raises
    ------
    UsageError
        No variable has this index.
    InfeasibleError, UnboundedError, NoSolutionError, SolverError
        There is no solution.
    """
    values = solution.values
    levels = sorted({str(n) for series in values.values() for n in series.index.names if n})
    if level not in levels:
        raise UsageError.unknown("index", level, levels)
    moved = {}
    for name, series in values.items():
        source = _source_within(series.index, by, (level,))
        moved[name] = pd.Series(series.to_numpy()[source], index=series.index, name=name)
    return moved


def _kept(labels: Labels) -> Labels:
    """The same labels, their indexes made once for all solves instead of once for each."""

    def kept(families: Mapping[str, Family]) -> list[Family]:
        return [replace(family, index=cache(family.index)) for family in families.values()]

    def load(x: FloatArray, rows: FloatArray | None, columns: FloatArray | None) -> None:
        labels.load(x, rows, columns)

    return Labels(lambda: kept(labels.columns), lambda: kept(labels.rows), load)


def _source(
    families: Iterable[Family], size: int, by: Any, along: tuple[str, ...], *, around: bool
) -> IntArray:
    source = np.arange(size)
    for family in families:
        inside = family.positions >= 0
        places = family.positions[_source_within(family.index(), by, along, around=around)]
        taken = inside & (places >= 0)
        source[family.positions[taken]] = places[taken]
    return source


def _source_within(
    index: pd.Index, by: Any, along: tuple[str, ...], *, around: bool = False
) -> IntArray:
    """Position of the label that stands `by` further along.

    Where there is none: its own, or (`around`) one that nobody else has taken.
    """
    own = np.arange(len(index))
    if not set(along) & set(index.names):
        return own
    columns = [
        index.get_level_values(i) + by if name in along else index.get_level_values(i)
        for i, name in enumerate(index.names)
    ]
    target = pd.MultiIndex.from_arrays(columns) if len(columns) > 1 else columns[0]
    found: IntArray = index.get_indexer(target)
    if around:
        found[found < 0] = np.setdiff1d(own, found)
        return found
    return np.where(found >= 0, found, own)


def _places(model: LinearModel, component: str, values: Any) -> tuple[IntArray, FloatArray]:
    """Columns and values of a component's labels."""
    families = model.labels.columns
    if component not in families:
        raise UsageError.unknown("variable", str(component), families)
    family = families[component]
    index = family.index()
    if isinstance(values, pd.Series | Mapping):
        labels = list(values.keys())
        numbers = np.array(list(values.values() if isinstance(values, dict) else values))
        found = (
            np.zeros(len(labels), dtype=int)
            if is_scalar_index(index) and len(labels) == 1
            else np.array([_place(index, label) for label in labels], dtype=int)
        )
    else:
        labels, numbers = list(index), np.full(len(index), values)
        found = np.arange(len(index))
    try:
        numbers = numbers.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(Flaw("is not a number", field=component, value=values)) from None
    flaws = [
        Flaw("is no index of this variable", field=component, value=labels[i])
        for i in np.flatnonzero(found < 0)
    ]
    flaws += [
        Flaw("is not a finite number", field=f"{component}[{labels[i]}]", value=numbers[i])
        for i in np.flatnonzero(~np.isfinite(numbers))
    ]
    if flaws:
        raise InputError(flaws, f"Values of {component}")
    positions = family.positions[found]
    return positions[positions >= 0], numbers[positions >= 0]


def _place(index: pd.Index, label: Any) -> int:
    try:
        place = index.get_loc(label)
    except (KeyError, TypeError):
        return -1
    return place if isinstance(place, int) else -1
