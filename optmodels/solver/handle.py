"""The `Handle`: one living HiGHS with one `LinearModel` in it, changed in place.

`Handle.update` pushes only what changed into the living solver, and bases are kept and exchanged,
so that the next solve starts from the last one: that is what a rolling horizon needs. Every status
that HiGHS returns is looked at. What the answers of a run are worth is the business of `session`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SolverError, UsageError
from .handover import pass_model
from .labels import FloatArray
from .linear import LinearModel, same_array
from .listening import logger, silent_highs
from .options import Limits, check_options

TIGHT = 1e-10
"""The tightest tolerance that HiGHS can be asked for."""

_LITTLE_REGULARISATION: dict[str, object] = {"qp_regularization_value": 1e-11}
_MANY_COEFFICIENTS = 2000
_LOCAL = threading.local()


class Handle:
    """One HiGHS with one model in it.

    Parameters
    ----------
    model
        The model; checked (`LinearModel.check`) before HiGHS sees it.
    limits
        Time, gap, threads, seed.
    options
        Further HiGHS options.

    Raises
    ------
    InputError
        The model holds NaN or unusable infinities.
    UsageError
        An option is unknown or does not fit; an integer model has a quadratic objective.
    SolverError
        HiGHS refuses the model.
    """

    def __init__(
        self,
        model: LinearModel,
        *,
        limits: Limits | None = None,
        options: Mapping[str, object] | None = None,
    ) -> None:
        import highspy

        self.limits = limits or Limits()
        self.options = check_options(options)
        self._hp = highspy
        self._deadline = math.inf
        #: Seconds inside HiGHS's ``run()`` during the last solve.
        self.run_seconds = 0.0
        self._start: tuple[np.ndarray, FloatArray] | None = None
        if model.hessian is not None and model.is_mip:
            raise UsageError(
                "A quadratic objective with integer variables is beyond HiGHS. "
                "Fix: make the objective linear, or the variables continuous."
            )
        model.check()
        self.model = model
        self.highs = silent_highs()
        for name, value in {**self.limits.for_highs(), **self.options}.items():
            self._set(name, value)
        pass_model(self.highs, model)

    @property
    def solver(self) -> str:
        """Name and version of the solver."""
        return f"HiGHS {self.highs.version()}"

    def set_options(self, options: Mapping[str, object]) -> None:
        """Set HiGHS options for the next solves.

        Parameters
        ----------
        options
            Values by name.

        Raises
        ------
        UsageError
            An option is unknown or does not fit.
        """
        for name, value in check_options(options).items():
            self._set(name, value)

    # -- changing the model ------------------------------------------------------------------

    def update(self, model: LinearModel) -> None:
        """Replace the model's numbers, keeping the basis.

        Parameters
        ----------
        model
            A model of the same shape. Costs, bounds and coefficients that differ are pushed one
            by one; another sparsity pattern, integrality or quadratic term is passed as a whole.
        """
        model.check(self.model)
        old, highs = self.model, self.highs
        same_shape = (old.rows, old.columns) == (model.rows, model.columns)
        alike = (
            same_shape
            and old.maximize == model.maximize
            and old.hessian is None
            and model.hessian is None
            and same_array(old.integer, model.integer)
            and same_array(old.starts, model.starts)
            and same_array(old.indices, model.indices)
        )
        changed = _different((old.coefficients, model.coefficients)) if alike else None
        self.model = model
        if changed is None or len(changed) > _MANY_COEFFICIENTS:
            basis = highs.getBasis() if same_shape and not model.is_mip else None
            pass_model(highs, model)
            if basis is not None and basis.valid:
                highs.setBasis(basis)
            return
        columns = np.searchsorted(model.starts, changed, side="right") - 1
        for entry, column in zip(changed.tolist(), columns.tolist(), strict=True):
            self._ok(
                highs.changeCoeff(
                    int(model.indices[entry]), column, float(model.coefficients[entry])
                )
            )
        where = _different((old.cost, model.cost))
        if len(where):
            self._ok(highs.changeColsCost(len(where), where, model.cost[where]))
        if old.offset != model.offset:
            self._ok(highs.changeObjectiveOffset(model.offset))
        lower, upper = model.column_lower, model.column_upper
        where = _different((old.column_lower, lower), (old.column_upper, upper))
        if len(where):
            self._ok(highs.changeColsBounds(len(where), where, lower[where], upper[where]))
        lower, upper = model.row_lower, model.row_upper
        where = _different((old.row_lower, lower), (old.row_upper, upper))
        if len(where):
            self._ok(highs.changeRowsBounds(len(where), where, lower[where], upper[where]))

    def start_from(self, positions: np.ndarray, values: FloatArray) -> None:
        """Give HiGHS a first solution of a MIP, whole or in part (it completes the rest).

        Parameters
        ----------
        positions
            Columns.
        values
            Their values, in the same order.
        """
        if len(positions):
            self._start = positions, values
            self._ok(
                self.highs.setSolution(
                    len(positions),
                    np.asarray(positions, dtype=np.int32),
                    np.asarray(values, dtype=np.float64),
                )
            )

    def shift_basis(self, columns: np.ndarray, rows: np.ndarray, x: FloatArray) -> None:
        """Start an LP from the last basis with its places exchanged; nothing without a basis.

        Parameters
        ----------
        columns, rows
            For each column and row, the one whose status it takes over.
        x
            The last solution: it says at which of its bounds a nonbasic column or row stands.
        """
        basis = self.highs.getBasis()
        if not basis.valid or self.model.is_mip or not (len(columns) and len(rows)):
            return
        # Reading the status lists makes a Python object of every entry; this is an array.
        _, members = self.highs.getBasicVariables()
        basic_columns = np.zeros(len(columns), dtype=np.bool_)
        basic_rows = np.zeros(len(rows), dtype=np.bool_)
        basic_columns[members[members >= 0]] = True
        basic_rows[-1 - members[members < 0]] = True
        model, kinds = self.model, self._hp.HighsBasisStatus
        basic_columns, basic_rows = basic_columns[columns], basic_rows[rows]
        basis.col_status = _statuses(
            kinds, basic_columns, x[columns], model.column_lower, model.column_upper
        )
        activity = model.matrix @ x
        basis.row_status = _statuses(
            kinds, basic_rows, activity[rows], model.row_lower, model.row_upper
        )
        # HiGHS completes a basis with too many or too few places, but only one called "alien".
        basis.alien = int(basic_columns.sum() + basic_rows.sum()) != len(rows)
        self._ok(self.highs.setBasis(basis))

    def basis(self) -> tuple[NDArray[np.object_], NDArray[np.object_]] | None:
        """Statuses of columns and rows in the last basis (`highspy.HighsBasisStatus`), if any."""
        found = self.highs.getBasis()
        if not found.valid:
            return None
        return np.array(found.col_status, dtype=object), np.array(found.row_status, dtype=object)

    def start_from_basis(self, columns: NDArray[np.object_], rows: NDArray[np.object_]) -> None:
        """Start an LP from a basis, also from one with too many or too few basic members.

        Parameters
        ----------
        columns, rows
            Status of each (`highspy.HighsBasisStatus`).

        Raises
        ------
        SolverError
            HiGHS refuses the basis: not a status for each column and row.
        """
        kind = self._hp.HighsBasisStatus.kBasic
        made = self._hp.HighsBasis()
        made.col_status, made.row_status = columns.tolist(), rows.tolist()
        # HiGHS completes a basis with too many or too few places, but only one called "alien".
        basic = int((columns == kind).sum() + (rows == kind).sum())
        made.valid, made.alien = True, basic != len(rows)
        self._ok(self.highs.setBasis(made))

    # -- running -----------------------------------------------------------------------------

    def _run(self) -> Any:
        """One run of HiGHS within what is left of the time; returns its model status."""
        left = self._deadline - time.monotonic()
        self._set("time_limit", max(left, 0.0) if math.isfinite(left) else math.inf)
        threads = self.limits.threads or 0
        if getattr(_LOCAL, "threads", 0) != threads:
            # HiGHS keeps a scheduler of its first thread count and refuses another one.
            _reset_scheduler(self._hp.Highs)
        _LOCAL.threads = threads
        begin = time.perf_counter()
        returned = self.highs.run()
        self.run_seconds += time.perf_counter() - begin
        ended = self.highs.getModelStatus()
        if returned == self._hp.HighsStatus.kError and ended == self._hp.HighsModelStatus.kNotset:
            # Somebody else's HiGHS in this thread has left a scheduler of another thread count.
            _reset_scheduler(self._hp.Highs)
            returned = self.highs.run()
            ended = self.highs.getModelStatus()
        if returned == self._hp.HighsStatus.kError:
            logger.error("HiGHS returned an error; model status %s", ended)
        return ended

    @contextmanager
    def _tightened(self) -> Iterator[None]:
        names: dict[str, object] = {
            "presolve": "off",
            "primal_feasibility_tolerance": TIGHT,
            "dual_feasibility_tolerance": TIGHT,
        }
        # HiGHS adds 1e-7 to the diagonal of a Hessian, which shifts the optimum; without any it
        # fails on singular ones.
        names |= {"solver": "simplex"} if self.model.hessian is None else _LITTLE_REGULARISATION
        before = {name: self.highs.getOptionValue(name)[1] for name in names}
        try:
            for name, value in names.items():
                self._set(name, value)
            yield
        finally:
            for name, value in before.items():
                self._set(name, value)

    def _set(self, name: str, value: object) -> None:
        if self.highs.setOptionValue(name, value) != self._hp.HighsStatus.kOk:
            raise UsageError(f"HiGHS refuses the value {value!r} of its option '{name}'.")

    def _ok(self, status: Any) -> None:
        if status == self._hp.HighsStatus.kError:
            raise SolverError("HiGHS refused a change of the model.")


def _reset_scheduler(highs: Any) -> None:
    """Drop the scheduler of this thread, which HiGHS 1.15 calls the global one."""
    getattr(highs, "resetThreadScheduler", highs.resetGlobalScheduler)(True)


def _statuses(
    kinds: Any, basic: np.ndarray, values: FloatArray, lower: FloatArray, upper: FloatArray
) -> list[Any]:
    """Basic, or nonbasic at the nearer bound."""
    names = np.array([kinds.kLower, kinds.kUpper, kinds.kZero, kinds.kBasic], dtype=object)
    codes = (upper - values < values - lower).astype(np.intp)
    codes[np.isneginf(lower) & np.isposinf(upper)] = 2
    codes[basic] = 3
    chosen: list[Any] = names[codes].tolist()
    return chosen


def _different(*pairs: tuple[FloatArray, FloatArray]) -> np.ndarray:
    """Places where an array differs from the one before, in any of some pairs."""
    changed = [before != after for before, after in pairs if before is not after]
    if not changed:
        return np.empty(0, dtype=np.int32)
    return np.flatnonzero(reduce(np.logical_or, changed)).astype(np.int32)
