"""The one vocabulary in which every solver's ending is told."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """How a solve ended.

    ``optimal``
        A checked solution whose bound closes the gap that was asked for.
    ``feasible``
        A checked solution; a limit or an interruption ended the search before the gap closed.
    ``infeasible``
        No decision satisfies all constraints.
    ``unbounded``
        The constraints can be satisfied and the objective improves without end.
    ``no_solution_at_limit``
        A limit or an interruption ended the search before any solution was found.
    ``error``
        The solver failed, or its answer did not pass the check.
    """

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    NO_SOLUTION_AT_LIMIT = "no_solution_at_limit"
    ERROR = "error"

    @property
    def has_solution(self) -> bool:
        """Whether there are numbers to read."""
        return self in (Status.OPTIMAL, Status.FEASIBLE)
