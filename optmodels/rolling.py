"""Rolling horizons: plan a window, carry out its first slots, look again.

A horizon of a year cannot be planned at once: nobody knows that far, and no solver is that fast.
A rolling planner solves a *window* from the present slot on, commits the first few slots of the
answer, and starts again with what has happened and with the newest forecast. `RollingHorizon` does
this for any formulation that is stated for one window (`WindowProblem`); it is a `Policy` like any
other, so it sees the header, the past, and forecasts by issue time, and nothing else.

Cutting a horizon into windows cuts constraints, too. What a cut does to a constraint is its *seam*:

===============  ===================================================================================
seam             meaning
===============  ===================================================================================
`PER_WINDOW`     couples slots of one window only; that the next window knows nothing of it is meant
`carried`        what lies before the window reaches it through parameters, set anew in every
                 window: a state (what runs now) or a budget (what is left of it)
`refused`        has no meaning in a window; a formulation with one is not rolled
===============  ===================================================================================

A constraint that holds within each slot needs no seam. One that ties slots together must declare
it: a budget for the year, read as a budget per window, would give plans that look fine and are
wrong, so an undeclared one is refused. That a row ties slots together is read off the matrix.

What lies *beyond* the window is the business of the terminal value, which is part of the window's
formulation: without one, a planner sells at the end of every window what the next one needs.

A window without a plan ends the run with a `WindowError`: it holds what was committed so far, and
an infeasible one says which limits conflict. Nobody goes on after a failed window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from optmodels.errors import (
    Flaw,
    InfeasibleError,
    InputError,
    NoSolutionError,
    OptmodelsError,
    UsageError,
)
from optmodels.policy import Observation, Policy
from optmodels.solver.linear import LinearModel
from optmodels.solver.live import LiveModel
from optmodels.solver.options import DEFAULT_MIP_GAP
from optmodels.solver.solution import Solution
from optmodels.solver.status import Status
from optmodels.solver.template import Formulation


@dataclass(frozen=True)
class Seam:
    """What the cut between two windows does to a constraint: `PER_WINDOW`, `carried`, `refused`.

    Parameters
    ----------
    kind
        "per window", "carried" or "refused".
    parameters
        Parameters through which the past reaches a carried constraint.
    reason
        Why it cannot be rolled.
    """

    kind: Literal["per window", "carried", "refused"]
    parameters: tuple[str, ...] = ()
    reason: str = ""


PER_WINDOW = Seam("per window")


def carried(*parameters: str) -> Seam:
    """Seam of a constraint whose parameters hold, in each window, what the past has left.

    Parameters
    ----------
    parameters
        Names of the parameters that hold it.

    Returns
    -------
    Seam
        Says which parameters the window gets anew.

    Raises
    ------
    UsageError
        No parameter is named.
    """
    if not parameters:
        raise UsageError("A carried constraint names the parameters that carry the past.")
    return Seam("carried", parameters)


def refused(reason: str) -> Seam:
    """Seam of a constraint that has no meaning in a window.

    Parameters
    ----------
    reason
        Why, in words that a user reads.

    Returns
    -------
    Seam
        A formulation with such a constraint is not rolled.
    """
    return Seam("refused", reason=reason)


class WindowProblem(ABC):
    """What the driver must know of a problem, to roll it.

    Attributes
    ----------
    slot_sets
        Names of the sets whose labels are slots of the window. Labels are numbers, 1 for the first
        slot of the window.
    seams
        Seams by constraint.
    beyond
        Whether a window may reach beyond the last slot: the problem then gives those slots nothing
        to do, and one compiled model serves to the end. Else windows shrink there.
    """

    slot_sets: ClassVar[tuple[str, ...]]
    seams: ClassVar[Mapping[str, Seam]]
    beyond: ClassVar[bool] = False

    @abstractmethod
    def formulation(self) -> Formulation:
        """The mathematics of one window, traced."""

    @abstractmethod
    def begin(self, header: Any) -> int:
        """Start a run on the instance that the header describes; returns its number of slots."""

    @abstractmethod
    def constants(self, slots: int) -> Mapping[str, Any]:
        """Sets, and parameters that stay the same, of a window of this length."""

    @abstractmethod
    def window(self, observation: Observation, slots: int) -> Mapping[str, Any]:
        """All other parameters, for the window of this length that starts now."""

    @abstractmethod
    def action(self, solution: Solution, ahead: int) -> Any:
        """Decision that a plan has for the slot `ahead` slots after the first of its window."""


@dataclass(frozen=True)
class Window:
    """What a solved window was like.

    Attributes
    ----------
    slot, slots
        Its first slot, and its length.
    status, objective
        How the solve ended, and the objective of the window, terminal value included.
    iterations
        Iterations of the solver.
    run_seconds, outside_seconds
        Time inside HiGHS's ``run()``, and in everything else that the window took.
    """

    slot: int
    slots: int
    status: Status
    objective: float | None
    iterations: int
    run_seconds: float
    outside_seconds: float


class WindowError(OptmodelsError):
    """A window has no plan: the run ended there.

    Parameters
    ----------
    message
        What failed, where, and why.
    slot
        First slot of the window.
    committed
        Actions of the slots before it, in order: they were carried out.
    reasons
        Limits that conflict, where the window is infeasible.
    """

    exit_code = NoSolutionError.exit_code

    def __init__(
        self, message: str, slot: int, committed: Sequence[Any], reasons: Sequence[str] = ()
    ) -> None:
        self.slot = slot
        self.committed = tuple(committed)
        self.reasons = tuple(reasons)
        super().__init__("\n".join([message, *(f"  - {reason}" for reason in reasons)]))


class InfeasibleWindowError(WindowError):
    """No decision satisfies all limits of a window; `reasons` says which of them conflict."""

    exit_code = InfeasibleError.exit_code


class RollingHorizon(Policy):
    """Planner that solves window after window.

    Parameters
    ----------
    problem
        The problem, stated for a window.
    window
        Slots of a window; near the end, what is left.
    commit
        Slots that are carried out before the next window is solved.
    time_limit_s, mip_gap, seed, options
        Of the solver, per window.

    Attributes
    ----------
    windows
        The windows solved since `reset`.
    committed
        The actions given since `reset`; they are kept when the run ends early, by Ctrl-C too.

    Raises
    ------
    UsageError
        Window or commit step are out of range; a seam is missing, unknown, or refuses.
    """

    name = "rolling-horizon"
    summary = "optimum of a window that moves on"
    needs = frozenset({"forecast"})

    def __init__(
        self,
        problem: WindowProblem,
        *,
        window: int,
        commit: int = 1,
        time_limit_s: float | None = None,
        mip_gap: float = DEFAULT_MIP_GAP,
        seed: int = 0,
        options: Mapping[str, object] | None = None,
    ) -> None:
        if not 1 <= commit <= window:
            raise UsageError(
                f"A window of {window} slots cannot commit {commit} slots; "
                "allowed: 1 ≤ commit ≤ window."
            )
        self.problem, self.window, self.commit = problem, window, commit
        self._settings: dict[str, Any] = {
            "time_limit_s": time_limit_s,
            "mip_gap": mip_gap,
            "seed": seed,
            "options": options,
        }
        check_seams(problem)

    def reset(self, header: Any) -> None:
        """Start a new run."""
        self._slots = self.problem.begin(header)
        self._live: dict[int, LiveModel] = {}
        self._solution: Solution | None = None
        self._solved = -1
        self.windows: list[Window] = []
        self.committed: list[Any] = []

    def decide(self, observation: Observation) -> Any:
        """Decision for this slot: of the window that starts now, or of the last one.

        Raises
        ------
        WindowError
            The window has no plan.
        """
        ahead = observation.slot - self._solved
        if self._solution is None or not 0 <= ahead < self.commit:
            self._solution, self._solved, ahead = self._plan(observation), observation.slot, 0
        action = self.problem.action(self._solution, ahead)
        self.committed.append(action)
        return action

    def _plan(self, observation: Observation) -> Solution:
        left = self._slots - observation.slot
        slots = self.window if self.problem.beyond else min(self.window, left)
        slots = min(slots, self._slots)
        parameters = self.problem.window(observation, slots)
        self._check_carried(parameters)
        live = self._live.get(slots)
        if live is None:
            live = self._live[slots] = self._compiled(observation, parameters, slots)
        else:
            live.update(**parameters)
            live.shift_start(observation.slot - self._solved, self.problem.slot_sets)
        solution = live.solve()
        if solution.interrupted:
            # The solver has caught Ctrl-C to end its search well; the run ends all the same.
            raise KeyboardInterrupt
        self.windows.append(
            Window(
                observation.slot,
                slots,
                solution.status,
                solution.objective,
                solution.statistics.get("iterations", 0),
                solution.seconds["run"],
                solution.seconds["outside"],
            )
        )
        if not solution.status.has_solution:
            raise self._failure(observation, slots, live, solution)
        return solution

    def _compiled(
        self, observation: Observation, parameters: Mapping[str, Any], slots: int
    ) -> LiveModel:
        problem = self.problem
        live = LiveModel(
            problem.formulation(), {**problem.constants(slots), **parameters}, **self._settings
        )
        if slots > 1 and not self._live:
            check_coupling(problem, live.linear)
        elif slots == 1 and not self._live and observation.slot + 1 < self._slots:
            # One slot shows no coupling; two do.
            data = {**problem.constants(2), **problem.window(observation, 2)}
            check_coupling(problem, problem.formulation().compile(data).linear)
        return live

    def _check_carried(self, parameters: Mapping[str, Any]) -> None:
        flaws = [
            Flaw(
                "is not set for the window, though a constraint carries the past by it",
                field=parameter,
                fix=f"let `window` give it; '{constraint}' needs it",
            )
            for constraint, seam in self.problem.seams.items()
            for parameter in seam.parameters
            if parameter not in parameters
        ]
        if flaws:
            raise InputError(flaws, "Parameters of a window")

    def _failure(
        self, observation: Observation, slots: int, live: LiveModel, solution: Solution
    ) -> WindowError:
        last = observation.slot + slots - 1
        where = f"The window of slots {observation.slot} to {last}, from {observation.time}"
        kept = f"{len(self.committed)} slots before it were committed."
        if solution.status is not Status.INFEASIBLE:
            why = f"{solution.status}{f' ({solution.message})' if solution.message else ''}"
            message = f"{where}, ended without a plan: {why}. {kept}"
            return WindowError(message, observation.slot, self.committed)
        try:
            reasons = live.explain().sentences()
        except NoSolutionError as error:
            reasons = [str(error)]
        message = f"{where}, has no plan. {kept} These limits conflict:"
        return InfeasibleWindowError(message, observation.slot, self.committed, reasons)

    @property
    def frame(self) -> pd.DataFrame:
        """The windows solved since `reset`, one row each."""
        return pd.DataFrame([vars(window) for window in self.windows])


def check_seams(problem: WindowProblem) -> None:
    """Refuse seams that name nothing in the formulation, and formulations with a refused one.

    Parameters
    ----------
    problem
        The problem, with its formulation and seams.

    Raises
    ------
    UsageError
        A constraint or parameter is unknown, or a constraint is refused.
    """
    formulation = problem.formulation()
    constraints = {traced.component.local_name for traced in formulation.constraints}
    for name, seam in problem.seams.items():
        if name not in constraints:
            raise UsageError.unknown("constraint with a seam", name, constraints)
        for parameter in seam.parameters:
            if parameter not in formulation.parameters:
                raise UsageError.unknown("carried parameter", parameter, formulation.parameters)
    reasons = [f"'{n}': {s.reason}" for n, s in problem.seams.items() if s.kind == "refused"]
    if reasons:
        raise UsageError(f"This formulation cannot be rolled. {'; '.join(reasons)}.")


def check_coupling(problem: WindowProblem, model: LinearModel) -> None:
    """Refuse a window whose rows tie slots together without a declared seam.

    Parameters
    ----------
    problem
        The problem, with its sets of slots and seams.
    model
        Matrix of a window.

    Raises
    ------
    UsageError
        Names every such constraint.
    """
    undeclared = [n for n in coupling(model, problem.slot_sets) if n not in problem.seams]
    if undeclared:
        names = ", ".join(f"'{name}'" for name in undeclared)
        raise UsageError(
            f"The constraint {names} ties slots together, and nothing says what happens to it "
            "where a window ends. Fix: declare its seam: PER_WINDOW, carried(parameters), or "
            "refused(reason)."
        )


def coupling(model: LinearModel, slot_sets: Sequence[str]) -> list[str]:
    """Constraints that tie the slots of a window together.

    A row does if its variables belong to two slots, or to one slot and to none: a variable without
    a slot (or with two of them) is shared by several.

    Parameters
    ----------
    model
        Matrix of a window.
    slot_sets
        Names of the sets whose labels are slots.

    Returns
    -------
    list of str
        Names of the constraints.
    """
    none, unused = -1, -2
    slot = np.full(model.columns, none)
    for family in model.labels.columns.values():
        index = family.index()
        levels = [i for i, name in enumerate(index.names) if name in slot_sets]
        if len(levels) == 1:
            labels = index.get_level_values(levels[0])
            slot[family.positions] = np.asarray(labels, dtype=np.int64)
    matrix = model.matrix.tocoo()
    lowest = np.full(model.rows, np.iinfo(np.int64).max)
    highest = np.full(model.rows, unused)
    np.minimum.at(lowest, matrix.row, slot[matrix.col])
    np.maximum.at(highest, matrix.row, slot[matrix.col])
    ties = (highest > lowest) & (highest != unused)
    return [name for name, family in model.labels.rows.items() if ties[family.positions].any()]


__all__ = [
    "PER_WINDOW",
    "InfeasibleWindowError",
    "RollingHorizon",
    "Seam",
    "Window",
    "WindowError",
    "WindowProblem",
    "carried",
    "check_coupling",
    "check_seams",
    "coupling",
    "refused",
]
