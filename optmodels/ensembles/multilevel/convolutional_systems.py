"""Convolutional systems to compare with: those of `systems`, with torch (the extra "mel")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optmodels.ensembles.multilevel.convolutional import (
    ConvolutionalDesign,
    ConvolutionalEnsemble,
    train,
)
from optmodels.ensembles.multilevel.samples import Samples
from optmodels.ensembles.multilevel.subsets import level_weights
from optmodels.ensembles.multilevel.systems import Fitted, averaged
from optmodels.ensembles.multilevel.training import Training
from optmodels.errors import UsageError
from optmodels.policy import FloatArray


@dataclass(frozen=True)
class ConvolutionalTask:
    """What every convolutional system is given.

    Attributes
    ----------
    design
        Shape of the ensemble.
    reference, same_size
        Channels of the layers of the large network, and of one of the ensemble's size.
    samples
        What to learn from.
    training
        The schedule, the same for all.
    seed
        Of every random choice.
    """

    design: ConvolutionalDesign
    reference: tuple[int, ...]
    same_size: tuple[int, ...]
    samples: Samples
    training: Training
    seed: int = 0

    def fresh(self, design: ConvolutionalDesign, number: int) -> ConvolutionalEnsemble:
        """An ensemble before training."""
        return ConvolutionalEnsemble(design, seed=(self.seed, number))

    def trained(
        self, ensemble: ConvolutionalEnsemble, number: int, **how: Any
    ) -> ConvolutionalEnsemble:
        """The ensemble after training."""
        return train(ensemble, self.samples, self.training, seed=(self.seed, number), **how)


@dataclass(frozen=True, eq=False)
class ConvolutionalAverage:
    """Members that know nothing of each other; a subset averages their probabilities."""

    ensembles: Sequence[ConvolutionalEnsemble]

    def probabilities(self, inputs: FloatArray) -> FloatArray:
        """What every subset says, shape (subsets, samples, classes)."""
        return averaged([one.probabilities(inputs)[0] for one in self.ensembles])


def multilevel(
    task: ConvolutionalTask, levels: Sequence[float] | None = None
) -> ConvolutionalEnsemble:
    """MEL: every subset at once; `levels` weighs exits, pairs and so on (equal by default)."""
    weights = level_weights(task.design.members, levels)
    return task.trained(task.fresh(task.design, 0), 0, weights=weights)


def joint_only(task: ConvolutionalTask) -> ConvolutionalEnsemble:
    """The same network, trained for the answer of all members alone."""
    return multilevel(task, [0.0] * (task.design.members - 1) + [1.0])


def independent(task: ConvolutionalTask) -> ConvolutionalAverage:
    """Members trained each for itself, from a start and in an order of its own."""
    return ConvolutionalAverage(
        [
            task.trained(task.fresh(task.design.of_member(m), 1 + m), 1 + m)
            for m in range(task.design.members)
        ]
    )


def frozen_heads(task: ConvolutionalTask) -> ConvolutionalEnsemble:
    """First strawman: independent members with their exits, frozen; then only heads are trained."""
    ensemble = task.fresh(task.design, 0)
    for m, one in enumerate(independent(task).ensembles):
        ensemble.take_member(m, one)
    together = [s for s in task.design.subsets if len(s) > 1]
    return _part(task, ensemble, together, (), 0)


def sequential(task: ConvolutionalTask) -> ConvolutionalEnsemble:
    """Second strawman: member after member, each with all heads that it completes."""
    ensemble = task.fresh(task.design, 0)
    for m in range(task.design.members):
        completed = [s for s in task.design.subsets if max(s) == m]
        _part(task, ensemble, completed, (m,), m)
    return ensemble


def same_size(task: ConvolutionalTask) -> ConvolutionalEnsemble:
    """One network of about the ensemble's size."""
    return task.trained(task.fresh(replace(task.design, widths=(task.same_size,)), 0), 0)


def reference(task: ConvolutionalTask) -> ConvolutionalEnsemble:
    """The large network that the ensemble replaces."""
    return task.trained(task.fresh(replace(task.design, widths=(task.reference,)), 0), 0)


def _part(
    task: ConvolutionalTask,
    ensemble: ConvolutionalEnsemble,
    chosen: Sequence[frozenset[int]],
    encoders: Sequence[int],
    number: int,
) -> ConvolutionalEnsemble:
    if not chosen:
        return ensemble
    weights = np.array([float(s in chosen) for s in task.design.subsets])
    return task.trained(
        ensemble, number, weights=weights / weights.sum(), encoders=encoders, heads=chosen
    )


#: Trains a system, by name.
SYSTEMS: dict[str, Callable[[ConvolutionalTask], ConvolutionalEnsemble | ConvolutionalAverage]] = {
    "multilevel": multilevel,
    "joint-only": joint_only,
    "independent": independent,
    "frozen-heads": frozen_heads,
    "sequential": sequential,
    "same-size": same_size,
    "reference": reference,
}


def fit(name: str, task: ConvolutionalTask) -> Fitted:
    """Train one system.

    Raises
    ------
    UsageError
        There is no such system.
    """
    if name not in SYSTEMS:
        raise UsageError.unknown("system", name, SYSTEMS)
    answers = SYSTEMS[name](task)
    if isinstance(answers, ConvolutionalAverage):
        size = sum(one.parameters for one in answers.ensembles)
        return Fitted(answers, len(answers.ensembles), size)
    return Fitted(answers, answers.design.members, answers.parameters)
