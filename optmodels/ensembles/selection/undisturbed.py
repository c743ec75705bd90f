"""Policies that select an ensemble as if no server ever failed, and then put it on servers.

Ensemble selection, with and without bags, and stacking know libraries of models, not servers. What
they select stands on the most reliable servers that take it; `no-failures` is exact in a world
where nothing fails. What failures cost them is what the other policies are about.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np

from optmodels.ensembles.selection.accuracies import IntArray, Predicted
from optmodels.ensembles.selection.caruana import bagged, select
from optmodels.ensembles.selection.configurations import Configurations, Prices
from optmodels.ensembles.selection.failures import Failures
from optmodels.ensembles.selection.policies import SelectionPolicy
from optmodels.ensembles.selection.replay import SelectionHeader
from optmodels.ensembles.selection.stacking import stacking_weights
from optmodels.ensembles.selection.tasks import Placement, Task
from optmodels.errors import UsageError
from optmodels.policy import FloatArray

#: Weight below which a model counts as not selected.
_NOTHING = 1e-6


class _Weighing(SelectionPolicy):
    """Candidates by weights that an ensemble selection gives them, unaware of failures."""

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """Candidates by their weight, those without any left out.

        Raises
        ------
        UsageError
            The rule is learned: what the candidates say is not known.
        """
        accuracies = task.accuracies
        if not isinstance(accuracies, Predicted):
            raise UsageError(
                f"'{self.name}' needs what each candidate says; of {task.name} only the accuracy "
                "of sets is known."
            )
        # Models that no server can run are not in the library.
        library = np.flatnonzero(task.allowed.any(axis=1))
        if not len(library):
            return ()
        weights = self.weigh(accuracies.scores[library], accuracies.labels)
        order = [
            int(library[k]) for k in np.argsort(-weights, kind="stable") if weights[k] > _NOTHING
        ]
        return self._in_order(task, order, free_mb)

    @abstractmethod
    def weigh(self, scores: FloatArray, labels: IntArray) -> FloatArray:
        """Weight of each candidate."""


class Caruana(_Weighing):
    """Ensemble selection with replacement.

    Notes
    -----
    - Assumptions: scores of every candidate on the samples.
    - Proven ratio: none.
    - Complexity: O(C N) per round, C candidates and N samples.
    - Reference: Caruana et al., "Ensemble Selection from Libraries of Models" (ICML 2004).
    """

    name = "caruana"
    summary = "ensemble selection (Caruana et al.) by averaged scores, unaware of failures"

    def weigh(self, scores: FloatArray, labels: IntArray) -> FloatArray:
        """Counts of the selected models."""
        return select(scores, labels)


class BaggedCaruana(_Weighing):
    """Ensemble selection on random halves of the library.

    Notes
    -----
    - Assumptions: scores of every candidate on the samples.
    - Proven ratio: none.
    - Complexity: O(C N) per round and bag, C candidates and N samples.
    - Reference: Caruana et al., "Ensemble Selection from Libraries of Models" (ICML 2004).
    """

    name = "caruana-bagged"
    summary = "the same on random halves of the library, weights added up, unaware of failures"
    randomised = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def reset(self, header: SelectionHeader) -> None:
        """Start the random numbers."""
        super().reset(header)
        self._rng = np.random.default_rng(self.seed)

    def weigh(self, scores: FloatArray, labels: IntArray) -> FloatArray:
        """Mean counts of the selected models."""
        return bagged(scores, labels, self._rng)


class Stacked(_Weighing):
    """Candidates by their weight in a stack.

    Notes
    -----
    - Assumptions: scores of every candidate on the samples.
    - Proven ratio: none.
    - Complexity: one convex programme of C weights and N samples.
    - Reference: stacking is Wolpert's (1992); its form here is ours.
    """

    name = "stacked"
    summary = "candidates by their weight in a stack of least logarithmic loss, unaware of failures"

    def weigh(self, scores: FloatArray, labels: IntArray) -> FloatArray:
        """Weights of the stack."""
        return stacking_weights(scores / max(float(scores.max()), 1.0), labels)


class NoFailures(SelectionPolicy):
    """Exact, had no server ever failed.

    Notes
    -----
    - Assumptions: servers never fail.
    - Proven ratio: none.
    - Complexity: all configurations as arrays, (C + 1)^S cells for C candidates and S servers, in
      2^S terms.
    - Reference: baseline; ours.
    """

    name = "no-failures"
    summary = "exact members of an application as if no server ever failed"

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """The best ensemble that nothing disturbs."""
        never = Failures(np.zeros(len(self._servers)))
        servers = replace(self._servers, failures=never)
        made = Configurations(task, servers, self._rules, Prices(1.0, 0.0), free_mb=free_mb)
        return made.best()[1]
