"""The linear relaxation of the programme of routes and cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from optmodels.routing.pipeline.layers import Layers
from optmodels.routing.pipeline.model import formulation, model_data
from optmodels.routing.pipeline.steps import Card, Steps
from optmodels.solver import LinearModel, compile_model, solve_model


def relaxed_cards(steps: Steps, layers: Sequence[Layers]) -> dict[Card, float]:
    """How much of each offered card the relaxation buys, 0 to 1; empty without a solution."""
    model = compile_model(formulation(), model_data(steps, layers))
    if not isinstance(model, LinearModel):  # the formulation is linear
        return {}
    free = replace(model, integer=np.zeros_like(model.integer))
    solution = solve_model(free)
    if not solution.status.has_solution:
        return {}
    bought = solution.values["bought"].to_numpy()
    return dict(zip(steps.offered, bought.tolist(), strict=True))
