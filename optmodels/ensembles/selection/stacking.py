r"""Stacking: weights on the simplex that make the averaged scores a good forecast.

.. math:: \min_{w \ge 0, \, \sum_m w_m = 1} \; \frac1N \sum_i \mathrm{loss}
          \Big(\sum_m w_m P_{mi\cdot}, \; y_i\Big)

Of the two losses, both convex in w, the logarithmic one is a cone programme and the Brier score a
quadratic one; CVXPY states them, and the weights are proven optimal up to the solver's tolerance.
The number of right answers is not convex in w, so good weights are no proof of many.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optmodels.ensembles.selection.accuracies import IntArray
from optmodels.errors import UsageError
from optmodels.policy import FloatArray
from optmodels.solver import solve_model

LOSSES = ("log", "brier")
#: Least score of the right class, as the logarithm of nothing is endless.
LEAST_SCORE = 1e-6


def stacking_problem(scores: FloatArray, labels: IntArray, loss: str = "log") -> Any:
    """The problem as a CVXPY ``Problem`` with the variable ``weights``.

    Parameters
    ----------
    scores
        (candidates, samples, classes).
    labels
        Right class of each sample.
    loss
        "log" or "brier".

    Raises
    ------
    UsageError
        The loss is unknown.
    """
    import cvxpy as cp

    if loss not in LOSSES:
        raise UsageError.unknown("loss", loss, LOSSES)
    weights = cp.Variable(len(scores), name="weights", nonneg=True)
    if loss == "log":
        right = _right(scores, labels)
        objective = -cp.sum(cp.log(right.T @ weights)) / len(labels)
    else:
        hit = np.zeros(scores.shape[1:])
        hit[np.arange(len(labels)), labels] = 1.0
        flat = scores.reshape(len(scores), -1)
        objective = cp.sum_squares(flat.T @ weights - hit.ravel()) / len(labels)
    return cp.Problem(cp.Minimize(objective), [cp.sum(weights) == 1])


def stacking_weights(scores: FloatArray, labels: IntArray, loss: str = "log") -> FloatArray:
    """Weights of the candidates with the least loss; they sum to one.

    Parameters
    ----------
    scores, labels, loss
        As for `stacking_problem`.

    Raises
    ------
    UsageError
        The loss is unknown.
    SolverError
        The solver failed.
    """
    solution = solve_model(stacking_problem(scores, labels, loss)).require()
    found = np.maximum(np.asarray(solution.values["weights"], dtype=np.float64).ravel(), 0.0)
    weights: FloatArray = found / found.sum()
    return weights


def loss_of(weights: FloatArray, scores: FloatArray, labels: IntArray, loss: str = "log") -> float:
    """Loss of averaged scores.

    Raises
    ------
    UsageError
        The loss is unknown.
    """
    if loss not in LOSSES:
        raise UsageError.unknown("loss", loss, LOSSES)
    if loss == "log":
        return float(-np.mean(np.log(weights @ _right(scores, labels))))
    mixed = np.tensordot(weights, scores, axes=1)
    mixed[np.arange(len(labels)), labels] -= 1.0
    return float(np.sum(mixed**2) / len(labels))


def _right(scores: FloatArray, labels: IntArray) -> FloatArray:
    """(candidates, samples): score of the right class, not below the least."""
    found: FloatArray = np.maximum(scores[:, np.arange(len(labels)), labels], LEAST_SCORE)
    return found
