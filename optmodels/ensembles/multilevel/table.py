r"""Accuracy of every subset of members: what an ensemble is worth, whoever is alive.

A table of :math:`2^M - 1` numbers says all that an optimiser has to know: which members should run
on which servers, given the servers' failures. It is a mapping from sets of members to accuracies,
as `optmodels.ensembles.selection.pool.from_subsets` takes it (the rule "learned").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from optmodels.ensembles.multilevel.samples import IntArray, Samples
from optmodels.ensembles.multilevel.subsets import subsets
from optmodels.errors import Flaw, InputError
from optmodels.policy import FloatArray


class Predictor(Protocol):
    """Whatever answers for every subset of members."""

    def probabilities(self, inputs: FloatArray) -> FloatArray:
        """What every subset says, shape (subsets, samples, classes)."""
        ...


@dataclass(frozen=True, eq=False)
class SubsetTable(Mapping[frozenset[int], float]):
    """Accuracy by set of live members, which are numbers from 0.

    Attributes
    ----------
    members
        Number of members.
    accuracies
        Accuracy of every non-empty subset, in the order of `subsets`.
    """

    members: int
    accuracies: FloatArray

    def __post_init__(self) -> None:
        count = len(subsets(self.members))
        fits = np.shape(self.accuracies) == (count,)
        if not fits or not np.all((self.accuracies >= 0) & (self.accuracies <= 1)):
            raise InputError(
                Flaw(
                    "does not hold the accuracy of every subset",
                    field="accuracies",
                    allowed=f"{count} numbers from 0 to 1",
                ),
                "Table of accuracies",
            )

    def __getitem__(self, alive: frozenset[int]) -> float:
        if not alive or not all(0 <= m < self.members for m in alive):
            raise KeyError(alive)
        return float(self.accuracies[sum(1 << m for m in alive) - 1])

    def __iter__(self) -> Iterator[frozenset[int]]:
        return iter(subsets(self.members))

    def __len__(self) -> int:
        return len(self.accuracies)

    def of_size(self, size: int) -> float:
        """Mean accuracy of the subsets with this many members.

        Raises
        ------
        InputError
            There is no such subset.
        """
        if not 1 <= size <= self.members:
            allowed = f"1 to {self.members}"
            raise InputError(Flaw("is no size", field="size", value=size, allowed=allowed))
        return float(np.mean([value for key, value in self.items() if len(key) == size]))

    @property
    def full(self) -> float:
        """Accuracy of all members together."""
        return float(self.accuracies[-1])

    @property
    def one_down(self) -> float:
        """Mean accuracy when one member is down; NaN where nobody would be left."""
        return self.of_size(self.members - 1) if self.members > 1 else float("nan")

    @property
    def alone(self) -> float:
        """Mean accuracy of single members."""
        return self.of_size(1)

    @property
    def retention(self) -> float:
        """Share of the full accuracy that is kept when one member is down."""
        return self.one_down / self.full if self.full > 0 else float("nan")


def measure(
    predictor: Predictor, samples: Samples, *, wanted: IntArray | None = None
) -> SubsetTable:
    """Accuracy of every subset on samples; of equal scores the lowest class is the answer.

    Parameters
    ----------
    predictor
        A network, or anything that answers for every subset.
    samples
        What to judge by.
    wanted
        Right answers by subset, shape (subsets, samples), where they differ from the labels, such
        as `Design.labels_of` for coarse exits.

    Returns
    -------
    SubsetTable
        Accuracy by subset, 0 to 1.
    """
    said = np.argmax(predictor.probabilities(samples.inputs), axis=2)
    right = said == (samples.labels if wanted is None else wanted)
    return SubsetTable(int(len(said) + 1).bit_length() - 1, right.mean(axis=1))
