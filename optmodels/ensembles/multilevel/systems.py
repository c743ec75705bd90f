r"""What a multi-level ensemble is compared with: systems that spend the same parameters otherwise.

==================  ===============================================================================
system              what it is
==================  ===============================================================================
`multilevel`        MEL: all subsets trained jointly
`joint-only`        the same network trained for the answer of all members alone
`independent`       members trained each for itself; a subset averages their probabilities
`frozen-heads`      the paper's first strawman: independent members, frozen; then their heads
`sequential`        the paper's second strawman: one member after the other, each with the heads
                    that it completes, all earlier ones frozen
`same-size`         one network with as many parameters as the ensemble, on one server
`reference`         the large network that the ensemble replaces, on one server
==================  ===============================================================================

A member of `independent` alone is the authors' small standalone model. The large network *split*
over several servers is as accurate as the reference while all are up, and answers nothing else: its
table holds zeros. An ensemble whose members all run on one server has the table of `multilevel`,
and loses all of it at once. `independent`, `same-size` and the extension of `sequential` to more
than two members are ours; the others are the authors' (umassos/iobt25-demo).

Whether joint training beats the others is a matter of measurement, not of proof: where members have
more capacity than the task needs, or samples are few, it does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from optmodels.ensembles.multilevel.network import Design, Hinge, Mask, Network
from optmodels.ensembles.multilevel.samples import Samples, Seed
from optmodels.ensembles.multilevel.subsets import equal_shares, level_weights, subsets
from optmodels.ensembles.multilevel.table import Predictor, SubsetTable, measure
from optmodels.ensembles.multilevel.training import Training, train
from optmodels.errors import UsageError
from optmodels.policy import FloatArray


@dataclass(frozen=True)
class Task:
    """What every system is given.

    Attributes
    ----------
    design
        Shape of the ensemble.
    reference
        Hidden units of the large network that the ensemble replaces.
    samples
        What to learn from.
    training
        The schedule, the same for all.
    seed
        Of every random choice.
    """

    design: Design
    reference: int
    samples: Samples
    training: Training
    seed: int = 0

    def key(self, stream: int) -> tuple[int, ...]:
        """Seed of one of several streams."""
        return (self.seed, stream)


@dataclass(frozen=True)
class Fitted:
    """A trained system.

    Attributes
    ----------
    answers
        What it says for every subset of its members.
    members
        Number of its members; one for a single network.
    parameters
        Number of its parameters.
    """

    answers: Predictor
    members: int
    parameters: int


@dataclass(frozen=True, eq=False)
class Averaged:
    """Members that know nothing of each other; a subset averages their probabilities."""

    networks: Sequence[Network]

    def probabilities(self, inputs: FloatArray) -> FloatArray:
        """What every subset says, shape (subsets, samples, classes)."""
        return averaged([network.probabilities(inputs)[0] for network in self.networks])

    @property
    def parameters(self) -> int:
        """Number of parameters of all members."""
        return sum(network.design.parameters for network in self.networks)


def averaged(own: Sequence[FloatArray]) -> FloatArray:
    """Means over every subset, (subsets, ...), of what each member says."""
    mean: FloatArray = np.tensordot(equal_shares(len(own)), np.stack(own), axes=1)
    return mean


# ------------------------------------------------------------------------------------ the systems
def multilevel(
    task: Task, levels: Sequence[float] | None = None, hinge: Hinge | None = None
) -> Network:
    """MEL: every subset at once; `levels` weighs exits, pairs and so on (equal by default)."""
    weights = level_weights(task.design.members, levels)
    start = Network.initial(task.design, seed=task.key(0))
    return train(start, task.samples, task.training, seed=task.key(0), weights=weights, hinge=hinge)


def joint_only(task: Task) -> Network:
    """The same network, trained for the answer of all members alone."""
    return multilevel(task, [0.0] * (task.design.members - 1) + [1.0])


def independent(task: Task) -> Averaged:
    """Members trained each for itself, from a start and in an order of its own."""
    return Averaged(
        [
            _alone(task, task.design.of_member(m), task.key(1 + m))
            for m in range(task.design.members)
        ]
    )


def frozen_heads(task: Task) -> Network:
    """First strawman: independent members with their exits, frozen; then only heads are trained.

    Raises
    ------
    UsageError
        The ensemble has no heads to train.
    """
    members = independent(task).networks
    start = Network.initial(task.design, seed=task.key(0)).with_members(members)
    together = [subset for subset in start.design.subsets if len(subset) > 1]
    return _trained_parts(task, start, together, encoders=(), stream=0)


def sequential(task: Task) -> Network:
    """Second strawman: member after member, each with all heads that it completes.

    Raises
    ------
    UsageError
        The ensemble has no heads to train.
    """
    network = Network.initial(task.design, seed=task.key(0))
    for m in range(task.design.members):
        completed = [subset for subset in network.design.subsets if max(subset) == m]
        network = _trained_parts(task, network, completed, encoders=(m,), stream=m)
    return network


def same_size(task: Task) -> Network:
    """One network with the most hidden units that the ensemble's parameters pay for."""
    design, budget = task.design, task.design.parameters
    units = (budget - design.classes) // (design.features + 1 + design.classes)
    return _alone(task, _single(design, max(1, units)), task.key(0))


def reference(task: Task) -> Network:
    """The large network that the ensemble replaces."""
    return _alone(task, _single(task.design, task.reference), task.key(0))


def split_table(whole: SubsetTable, servers: int) -> SubsetTable:
    """Table of one network cut over several servers: as accurate as the whole, or no answer."""
    values = np.zeros(len(subsets(servers)))
    values[-1] = whole.full
    return SubsetTable(servers, values)


def _single(design: Design, units: int) -> Design:
    return Design(design.features, design.classes, (units,))


def _alone(task: Task, design: Design, seed: Seed) -> Network:
    return train(Network.initial(design, seed=seed), task.samples, task.training, seed=seed)


def _trained_parts(
    task: Task,
    network: Network,
    chosen: Sequence[frozenset[int]],
    *,
    encoders: Sequence[int],
    stream: int,
) -> Network:
    """Train the heads of some subsets, with some encoders, on the losses of these subsets."""
    if network.design.heads != "trained":
        raise UsageError("Averaged exits have no heads to train: this system needs trained heads.")
    if not chosen:
        return network
    weights = np.array([float(subset in chosen) for subset in network.design.subsets])
    parts = [network.share_of(subset) for subset in chosen]
    parts += [network.encoder_of(m) for m in encoders]
    free: dict[str, Mask] = {
        name: np.logical_or.reduce([part[name] for part in parts]) for name in network.blocks
    }
    return train(
        network,
        task.samples,
        task.training,
        seed=task.key(stream),
        weights=weights / weights.sum(),
        free=free,
    )


def _fitted(answers: Network | Averaged) -> Fitted:
    if isinstance(answers, Averaged):
        return Fitted(answers, len(answers.networks), answers.parameters)
    return Fitted(answers, answers.design.members, answers.design.parameters)


#: Trains a system, by name.
SYSTEMS: dict[str, Callable[[Task], Network | Averaged]] = {
    "multilevel": multilevel,
    "joint-only": joint_only,
    "independent": independent,
    "frozen-heads": frozen_heads,
    "sequential": sequential,
    "same-size": same_size,
    "reference": reference,
}


def fit(name: str, task: Task) -> Fitted:
    """Train one system.

    Raises
    ------
    UsageError
        There is no such system.
    """
    if name not in SYSTEMS:
        raise UsageError.unknown("system", name, SYSTEMS)
    return _fitted(SYSTEMS[name](task))


def compare(
    task: Task,
    judged: Samples,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    systems: Sequence[str] = tuple(SYSTEMS),
) -> pd.DataFrame:
    """Train systems from several seeds and measure every subset of each.

    Parameters
    ----------
    task
        What is learnt, from which samples, by which schedule.
    judged
        Samples that the accuracies are measured on.
    seeds
        One training per seed and system.
    systems
        Names of the systems, of `SYSTEMS`.

    Returns
    -------
    One row per system and seed: `members`, `parameters`, `share` (of the reference's parameters),
    the accuracies `full`, `one_down` and `alone`, `retention` (one down over full), and `seconds`
    of training.

    Raises
    ------
    UsageError
        There is no such system.
    """
    return pd.DataFrame(list(_compared(task, judged, seeds, systems)))


def _compared(
    task: Task, judged: Samples, seeds: Sequence[int], systems: Sequence[str]
) -> Iterator[dict[str, object]]:
    whole = _single(task.design, task.reference).parameters
    for name in systems:
        for seed in seeds:
            started = time.perf_counter()
            fitted = fit(name, replace(task, seed=seed))
            seconds = time.perf_counter() - started
            yield {
                "system": name,
                "seed": seed,
                **row_of(fitted, measure(fitted.answers, judged), whole),
                "seconds": seconds,
            }


def row_of(fitted: Fitted, table: SubsetTable, whole: int) -> dict[str, object]:
    """What is told of a system: its size against the reference's `whole`, and its accuracies."""
    several = fitted.members > 1
    return {
        "members": fitted.members,
        "parameters": fitted.parameters,
        "share": fitted.parameters / whole,
        "full": table.full,
        "one_down": table.one_down,
        "alone": table.alone if several else float("nan"),
        "retention": table.retention if several else float("nan"),
    }
