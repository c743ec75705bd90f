"""The front that a search found: points, proof, and how they are shown."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from optmodels.canvas import Result
from optmodels.plan import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Why a search ended, by its short name.
ENDINGS = {
    "complete": "no further point is worth a search",
    "points": "as many points as asked for",
    "time": "the time limit",
}


@dataclass(frozen=True, repr=False)
class Frontier(Result):
    """Plans that no plan beats in both objectives, and how far any plan can be better.

    Attributes
    ----------
    instance, problem, fingerprint
        Which question the front answers.
    objectives
        The two objectives, by name.
    frame
        One row per point, by rising first objective: both objectives; ``weight_...`` of each (they
        sum to one); ``value``, the weighted sum of this point; ``bound``, the proven lower bound on
        the weighted sum of any plan; ``gap``, the relative distance of the two; then the other
        costs of the plan.
    plans
        The audited plan of each row.
    outer
        Corners of the outer polyline, by rising first objective: no plan is below it.
    uncertainty
        Greatest distance of the outer polyline from the inner one, as a share of the range that
        each objective covers along the front: 0.01 means that no plan is better than a mix of
        these points by more than 1 % of the range in both objectives.
    ending
        Why the search ended: "complete", "points" or "time".
    solves
        Weighted sums that were minimised.
    seconds
        Wall time.

    Notes
    -----
    Points of least weighted sum are on the convex hull of what plans can cost. Where plans can be
    mixed (a job may divide its time), that is the whole front, and between two points it is at most
    the straight line. Where decisions are whole, plans may exist between the hull and the steps of
    the points; no weighted sum finds them.
    """

    instance: str
    problem: str
    fingerprint: str
    objectives: tuple[str, str]
    frame: pd.DataFrame
    plans: tuple[Plan, ...]
    outer: pd.DataFrame
    uncertainty: float
    ending: str
    solves: int
    seconds: float
    options: Mapping[str, object] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """The points, one a row; see `frame`.

        Returns
        -------
        pandas.DataFrame
            A copy: both objectives and what the points are, in the order of the front.
        """
        return self.frame.copy()

    def record(self) -> dict[str, Any]:
        """The front as plain values for JSON.

        Returns
        -------
        dict
            Objectives, points, lines and the uncertainty, as JSON holds them.
        """
        return {
            "problem": self.problem,
            "instance": self.instance,
            "fingerprint": self.fingerprint,
            "objectives": list(self.objectives),
            "points": self.frame.to_dict("records"),
            "outer": self.outer.to_dict("records"),
            "uncertainty": self.uncertainty,
            "ending": self.ending,
            "solves": self.solves,
            "seconds": self.seconds,
        }

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the front: points, the proven outer line, and what is dominated.

        Parameters
        ----------
        ax
            Axes to draw into; by default those of a new figure.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, to be shown or saved.
        """
        from optmodels.trade_off.drawing import draw

        return draw(self, ax)

    def lines(self) -> tuple[str, str]:
        """Head and foot of the printed front: the question, and what is proven.

        Returns
        -------
        tuple of str
            Head and foot.
        """
        a, b = self.objectives
        points = len(self.frame)
        head = f"{self.instance} ({self.problem}): {a} against {b}, {points} "
        head += f"point{'' if points == 1 else 's'}"
        foot = (
            f"No plan is better than a mix of these by more than {self.uncertainty:.2g} of the "
            f"range of both (proven by {self.solves} solves in {self.seconds:.2g} s; ended by: "
            f"{ENDINGS[self.ending]})."
        )
        return head, foot

    def __repr__(self) -> str:
        head, foot = self.lines()
        return "\n".join([head, self.frame.to_string(index=False), foot])

    def _repr_html_(self) -> str:
        head, foot = (html.escape(text) for text in self.lines())
        return f"<b>{head}</b>{self.frame.to_html(index=False)}<p>{foot}</p>"
