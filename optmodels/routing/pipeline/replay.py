"""One decision: a rule is told the question, and answers with routes and cards.

There is nothing to be revealed: rates, sizes and prices are known. So a replay asks once, and the
audit judges the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from optmodels.errors import UsageError, shorten
from optmodels.forecast import Forecast
from optmodels.policy import Observation
from optmodels.routing.pipeline.audit import Decision, tables_of
from optmodels.routing.pipeline.instance import PipelineInstance
from optmodels.routing.pipeline.layers import Layers
from optmodels.routing.pipeline.optimum import graphs_of
from optmodels.routing.pipeline.steps import Steps

#: Routes are decided once, at no time in particular.
ONCE = pd.Timestamp("2000-01-01T00:00Z")


@dataclass(frozen=True)
class PipelineHeader:
    """What a rule is told: the question, its steps, and the layered graph of each service."""

    instance: PipelineInstance
    steps: Steps
    layers: tuple[Layers, ...]


class PipelineEnvironment:
    """One replay: one decision.

    Parameters
    ----------
    instance
        The question.
    granted
        What the policy is granted; everything is known here.
    forecast
        Not used: nothing is forecast.
    """

    def __init__(
        self,
        instance: PipelineInstance,
        granted: frozenset[str] = frozenset(),
        forecast: Forecast | None = None,
    ) -> None:
        del granted, forecast
        steps, layers = graphs_of(instance)
        self.instance = instance
        self.header = PipelineHeader(instance, steps, tuple(layers))
        self.decision: Decision | None = None

    def observe(self) -> Observation | None:
        """What there is to see before the one decision; None after it."""
        if self.decision is not None:
            return None
        return Observation(slot=0, time=ONCE, past={}, state=None, forecast=None)

    def act(self, action: object) -> None:
        """Take this decision.

        Raises
        ------
        UsageError
            The answer is no decision, or there is nothing left to decide.
        """
        if self.decision is not None:
            raise UsageError("A policy went on after its routes were decided.")
        if not isinstance(action, Decision):
            raise UsageError(f"A policy answered {shorten(action)}; allowed: a Decision.")
        self.decision = action


def decisions(environment: PipelineEnvironment) -> dict[str, pd.DataFrame]:
    """Tables of the plan that a replay has made.

    Raises
    ------
    UsageError
        Nothing has been decided yet.
    """
    if environment.decision is None:
        raise UsageError("No routes have been decided yet.")
    return tables_of(environment.instance, environment.decision)
