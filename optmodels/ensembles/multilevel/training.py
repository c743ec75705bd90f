r"""Training: Adam on batches, all subsets at once, or only a part of the parameters.

The schedule is the authors': Adam (0.9, 0.999, 1e-8), batches of 64, a learning rate that falls to
zero along a cosine. If `noise_sd` is positive, every batch gets normal noise that is never seen
again.

Part of the parameters may stand still (`free`): that is how frozen members get heads, and how an
ensemble grows member by member. Parameters that stand still keep their values bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from optmodels.ensembles.multilevel.network import BLOCKS, Hinge, Mask, Network
from optmodels.ensembles.multilevel.samples import IntArray, Samples, Seed, stream
from optmodels.ensembles.multilevel.subsets import level_weights
from optmodels.errors import Flaw, InputError, SolverError, UsageError
from optmodels.policy import FloatArray


@dataclass(frozen=True)
class Training:
    """How an ensemble learns.

    Attributes
    ----------
    epochs
        Passes through the samples.
    batch
        Samples per step.
    learning_rate
        Step size at the beginning; it falls to zero along a cosine.
    noise_sd
        Standard deviation of the noise added to every batch.
    first_decay, second_decay, floor
        Adam's averages of the gradient and of its square, and what keeps it from dividing by zero.
    """

    epochs: int = 40
    batch: int = 64
    learning_rate: float = 5e-3
    noise_sd: float = 0.0
    first_decay: float = 0.9
    second_decay: float = 0.999
    floor: float = 1e-8

    def __post_init__(self) -> None:
        flaws = [
            Flaw("is too few", field=name, value=value, allowed=">= 1")
            for name, value in (("epochs", self.epochs), ("batch", self.batch))
            if value < 1
        ]
        for name, low, high in (
            ("learning_rate", 0.0, np.inf),
            ("floor", 0.0, np.inf),
            ("first_decay", 0.0, 1.0),
            ("second_decay", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not low < value < high:
                allowed = f"between {low:g} and {high:g}"
                flaws.append(Flaw("is out of range", field=name, value=value, allowed=allowed))
        if not 0 <= self.noise_sd < np.inf:
            flaws.append(Flaw("is no noise", field="noise_sd", value=self.noise_sd, allowed=">= 0"))
        if flaws:
            raise InputError(flaws, "Training of a multi-level ensemble")

    def rates(self, steps: int) -> FloatArray:
        """Learning rate of every step: a cosine from the full rate towards zero."""
        rates: FloatArray = self.learning_rate * (1 + np.cos(np.pi * np.arange(steps) / steps)) / 2
        return rates

    def steps(self, samples: int) -> int:
        """Number of steps."""
        return self.epochs * -(-samples // self.batch)

    def batches(self, samples: Samples, *, seed: Seed) -> Iterator[tuple[FloatArray, IntArray]]:
        """Inputs and labels of every step, in the order of the steps."""
        # Two streams: the order of the samples is the same with noise and without.
        order_rng, noise_rng = stream(seed, 2), stream(seed, 3)
        for _ in range(self.epochs):
            order = order_rng.permutation(len(samples))
            for start in range(0, len(order), self.batch):
                chosen = order[start : start + self.batch]
                inputs = samples.inputs[chosen]
                if self.noise_sd > 0:
                    inputs = inputs + self.noise_sd * noise_rng.standard_normal(inputs.shape)
                yield inputs, samples.labels[chosen]


def train(
    network: Network,
    samples: Samples,
    training: Training,
    *,
    seed: Seed,
    weights: FloatArray | None = None,
    free: Mapping[str, Mask] | None = None,
    hinge: Hinge | None = None,
) -> Network:
    """Train an ensemble; the same seed gives the same parameters, bit by bit.

    Parameters
    ----------
    network
        Where to begin; it is not changed.
    samples
        What to learn from.
    training
        The schedule.
    seed
        Of the order of samples and of the noise.
    weights
        Weight of every subset in the loss; equal, adding up to 1, by default (`level_weights`).
    free
        Where each parameter block may change; everywhere by default.
    hinge
        Penalty on exits that say the same.

    Returns
    -------
    Network
        A new one of the same design.

    Raises
    ------
    InputError
        Samples or weights do not fit the ensemble.
    SolverError
        The loss is no longer a number.
    UsageError
        `free` names a block that there is not.
    """
    design = network.design
    weights = level_weights(design.members) if weights is None else np.asarray(weights, dtype=float)
    _refuse(network, samples, weights)
    if free is not None and set(free) != set(BLOCKS):
        raise UsageError(f"'free' speaks of {sorted(free)}; the blocks are {', '.join(BLOCKS)}.")
    values = {name: block.copy() for name, block in network.blocks.items()}
    first = {name: np.zeros_like(block) for name, block in values.items()}
    second = {name: np.zeros_like(block) for name, block in values.items()}
    learner = Network(design, *(values[name] for name in BLOCKS))
    rates = training.rates(training.steps(len(samples)))
    a, b = training.first_decay, training.second_decay
    for step, (inputs, labels) in enumerate(training.batches(samples, seed=seed)):
        loss, gradient = learner.loss_and_gradient(inputs, labels, weights, hinge)
        if not np.isfinite(loss):
            raise SolverError(
                f"The loss is {loss} after {step} steps: the learning rate "
                f"{training.learning_rate:g} is too large for these inputs. Fix: lower it, or "
                "scale the inputs to about 1."
            )
        # Both averages begin at zero; the corrections undo that.
        one, two = 1 - a ** (step + 1), np.sqrt(1 - b ** (step + 1))
        for name, slope in gradient.items():
            if free is not None:
                slope = np.where(free[name], slope, 0.0)  # noqa: PLW2901
            m, v = first[name], second[name]
            m += (1 - a) * (slope - m)
            v += (1 - b) * (slope * slope - v)
            # In place: `learner` sees the new values.
            values[name] -= rates[step] / one * m / (np.sqrt(v) / two + training.floor)
    return learner


def _refuse(network: Network, samples: Samples, weights: FloatArray) -> None:
    design, flaws = network.design, []
    for name, has, needs in (
        ("features", samples.features, design.features),
        ("classes", samples.classes, design.classes),
    ):
        if has != needs:
            flaws.append(Flaw("do not fit the ensemble", field=name, value=has, allowed=str(needs)))
    count = len(design.subsets)
    if weights.shape != (count,) or not np.all(np.isfinite(weights)) or np.any(weights < 0):
        flaws.append(
            Flaw("do not weigh the subsets", field="weights", allowed=f"{count} numbers >= 0")
        )
    if flaws:
        raise InputError(flaws, "Training of a multi-level ensemble")
