r"""How accurate every set of members is: the one thing that an optimiser of ensembles needs.

A set of live members answers a request by a rule. Of most rules the accuracy of every set follows
from what each member said on each validation sample, without running anything again
(`Predicted`). Where members were trained to work together, such as in multi-level ensembles whose
combination heads are trained for each subset, the accuracy of each set has been measured instead
(`Measured`): a table of the :math:`2^M - 1` non-empty subsets is all that is needed, and everything
downstream treats it like the other rules.

Every rule but the first is a vote: a sample is right where each wrong class is behind,
:math:`\sum_{m \in T} d_{mci} \ge 1` for all c, with integer margins

=============  ====================================================================================
rule           margin :math:`d_{mci}` of member m against the wrong class c on sample i
=============  ====================================================================================
``best``       none: the most accurate live member answers
``cover``      1 where m is right, else 0, in one row: right if anybody is. No rule that one could
               run, but an upper limit on every rule that repeats one member's answer
``majority``   1 where m is right, else -1, in one row: more than half are right
``plurality``  1 where m is right, -1 where it says c, else 0
``soft``       :math:`P_{miy} - P_{mic}`: the right class has the largest sum of scores
``weighted``   the same, scores times the member's weight
=============  ====================================================================================

So the argmax of averaged scores needs no average: it is linear in the set, whoever is alive. Ties
are wrong, but a single candidate's own answer is the lowest of its best classes. That votes are
linear in the set of live members is our derivation, checked numerically in
tests/ensembles/selection/test_accuracies.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from numpy.typing import NDArray

from optmodels.errors import UsageError
from optmodels.policy import FloatArray

IntArray = NDArray[np.int64]

VOTES = ("cover", "majority", "plurality", "soft", "weighted")
RULES = ("best", *VOTES, "learned")

#: Sets of members that are looked at before their list is refused.
MOST_SUBSETS = 2_000_000
#: Members that a set may be drawn from: a set is a number of 62 bits.
MOST_CANDIDATES = 60


@dataclass(frozen=True)
class Subsets:
    """Accuracy of every set of members up to some size, the empty one left out.

    Attributes
    ----------
    masks
        The sets as numbers, bit m for member m, rising.
    values
        Accuracy of each.
    """

    masks: IntArray
    values: FloatArray

    def look_up(self, masks: IntArray) -> FloatArray:
        """Accuracy of each of these sets, of any shape; NaN for sets that are not in the list."""
        places = np.minimum(np.searchsorted(self.masks, masks), len(self.masks) - 1)
        found: FloatArray = np.where(self.masks[places] == masks, self.values[places], np.nan)
        return found


class Accuracies(ABC):
    """Accuracy of every non-empty set of members.

    Attributes
    ----------
    count
        Number of candidates to draw members from.
    """

    count: int

    @abstractmethod
    def of(self, members: Iterable[int]) -> float:
        """Accuracy of the set of these members; at least one."""

    @abstractmethod
    def up_to(self, size: int) -> Subsets:
        """Accuracy of all sets of at most `size` members.

        Raises
        ------
        UsageError
            There are too many.
        """

    @property
    @abstractmethod
    def ceiling(self) -> float:
        """What no set exceeds."""

    @property
    def singles(self) -> FloatArray:
        """Accuracy of every candidate alone."""
        return np.array([self.of((m,)) for m in range(self.count)])


@dataclass(frozen=True)
class Margins:
    """Votes on samples, those alike counted once.

    Attributes
    ----------
    values
        (candidates, wrong classes, groups): integer margins.
    counts
        Samples of each group.
    total
        Number of samples; those that nobody can get right are in no group.
    """

    values: NDArray[np.int32]
    counts: IntArray
    total: int

    def right(self, members: Sequence[int]) -> NDArray[np.bool_]:
        """Which groups these members get right."""
        sums = self.values[list(members)].sum(axis=0)
        found: NDArray[np.bool_] = np.all(sums > 0, axis=0)
        return found


class Predicted(Accuracies):
    """Accuracy of sets by a rule, from what each candidate said on each sample.

    Parameters
    ----------
    rule
        One of the rules of this module but "learned".
    scores
        (candidates, samples, classes): score of every class, whole numbers for votes that add them.
    labels
        Right class of each sample.
    weights
        Weight of each candidate where the rule is "weighted".
    """

    def __init__(
        self,
        rule: str,
        scores: FloatArray,
        labels: IntArray,
        weights: FloatArray | None = None,
    ) -> None:
        if rule not in ("best", *VOTES):
            raise UsageError.unknown("rule", rule, ("best", *VOTES))
        self.rule = rule
        self.scores = scores
        self.labels = labels
        self.weights = np.ones(len(scores)) if weights is None else weights
        self.count = len(scores)
        self._known: dict[int, float] = {}

    @cached_property
    def said(self) -> IntArray:
        """Class that each candidate names for each sample: the lowest of those with most score."""
        found: IntArray = np.argmax(self.scores, axis=2).astype(np.int64)
        return found

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """(candidates, samples): whether a candidate's own answer is right."""
        found: NDArray[np.bool_] = self.said == self.labels
        return found

    @cached_property
    def own(self) -> FloatArray:
        """Accuracy of each candidate's own answers."""
        found: FloatArray = self.correct.mean(axis=1)
        return found

    @cached_property
    def margins(self) -> Margins:
        """Margins of the votes, samples alike grouped.

        Raises
        ------
        UsageError
            The rule is "best", which is no vote.
        """
        return grouped(margins_of(self.rule, self.scores, self.labels, self.weights))

    def of(self, members: Iterable[int]) -> float:
        """Accuracy of the set of these members; at least one."""
        chosen = sorted({int(m) for m in members})
        mask = mask_of(chosen)
        if mask not in self._known:
            if self.rule == "best":
                self._known[mask] = float(self.own[chosen].max())
            else:
                won = self.margins.counts @ self.margins.right(chosen)
                self._known[mask] = float(won) / self.margins.total
        return self._known[mask]

    def up_to(self, size: int) -> Subsets:
        """Accuracy of all sets of at most `size` members."""
        size = min(size, self.count)
        _refuse_too_many(self.count, size)
        masks: list[IntArray] = []
        values: list[FloatArray] = []
        bits = np.int64(1) << np.arange(self.count, dtype=np.int64)
        if self.rule == "best":
            own = self.own

            def extend_best(best: float, mask: int, start: int, left: int) -> None:
                together = np.maximum(best, own[start:])
                masks.append(mask | bits[start:])
                values.append(together)
                if left > 1:
                    for m in range(start, self.count - 1):
                        step = m - start
                        extend_best(float(together[step]), mask | int(bits[m]), m + 1, left - 1)

            extend_best(0.0, 0, 0, size)
        else:
            margin, counts = self.margins.values, self.margins.counts
            total = self.margins.total

            def extend(sums: NDArray[np.int32], mask: int, start: int, left: int) -> None:
                together = sums + margin[start:]
                right = (together > 0).all(axis=1)
                masks.append(mask | bits[start:])
                values.append((right @ counts) / total)
                if left > 1:
                    for m in range(start, self.count - 1):
                        extend(together[m - start], mask | int(bits[m]), m + 1, left - 1)

            extend(np.zeros_like(margin[0]), 0, 0, size)
        return _sorted(np.concatenate(masks), np.concatenate(values))

    @property
    def ceiling(self) -> float:
        """What no set exceeds: of "best" and "cover", which only grow, all together."""
        if self.rule in ("best", "cover"):
            return self.of(range(self.count))
        return float(self.margins.counts.sum()) / self.margins.total


class Measured(Accuracies):
    """Accuracy of sets as it was measured for each: a rule that was learned.

    Parameters
    ----------
    count
        Number of candidates.
    measured
        Accuracy by set of members (numbers from 0).
    """

    def __init__(self, count: int, measured: Mapping[frozenset[int], float]) -> None:
        self.count = count
        self._known = {mask_of(members): float(value) for members, value in measured.items()}

    def of(self, members: Iterable[int]) -> float:
        """Accuracy of the set of these members.

        Raises
        ------
        UsageError
            It was not measured.
        """
        mask = mask_of(set(members))
        if mask not in self._known:
            names = ", ".join(str(m) for m in members_of(mask))
            raise UsageError(f"The accuracy of the members {names} together was not measured.")
        return self._known[mask]

    def up_to(self, size: int) -> Subsets:
        """Accuracy of all measured sets of at most `size` members."""
        kept = sorted(mask for mask in self._known if mask.bit_count() <= size)
        return Subsets(
            np.array(kept, dtype=np.int64), np.array([self._known[mask] for mask in kept])
        )

    @property
    def ceiling(self) -> float:
        """The most that any set has."""
        return max(self._known.values())


def margins_of(
    rule: str, scores: FloatArray, labels: IntArray, weights: FloatArray
) -> NDArray[np.int32]:
    """Margins of a vote, (candidates, wrong classes, samples).

    Raises
    ------
    UsageError
        The rule is no vote.
    """
    if rule not in VOTES:
        raise UsageError.unknown("vote", rule, VOTES)
    said = np.argmax(scores, axis=2)
    right = said == labels
    if rule == "cover":
        covered: NDArray[np.int32] = right[:, None, :].astype(np.int32)
        return covered
    if rule == "majority":
        return np.where(right, 1, -1)[:, None, :].astype(np.int32)
    if rule == "plurality":
        votes = np.zeros(scores.shape)
        np.put_along_axis(votes, said[:, :, None], 1.0, axis=2)
    elif rule == "soft":
        votes = scores
    else:
        votes = np.round(scores * weights[:, None, None])
    samples, classes = np.arange(len(labels)), scores.shape[2]
    # The wrong classes of a sample: all others, from the one after the right class around.
    wrong = (labels[:, None] + np.arange(1, classes)) % classes
    behind = votes[:, samples, labels][:, :, None] - votes[:, samples[:, None], wrong]
    found: NDArray[np.int32] = np.ascontiguousarray(np.moveaxis(behind, 2, 1)).astype(np.int32)
    return found


def grouped(margins: NDArray[np.int32]) -> Margins:
    """Count samples with equal margins once, and leave out those that nobody can get right."""
    total = margins.shape[2]
    hopeless = (margins <= 0).all(axis=0).any(axis=0)
    rest = margins[:, :, ~hopeless]
    if rest.shape[2] == 0:
        return Margins(rest, np.zeros(0, dtype=np.int64), total)
    flat = np.ascontiguousarray(rest.reshape(-1, rest.shape[2]).T)
    kinds, counts = np.unique(flat, axis=0, return_counts=True)
    values = np.ascontiguousarray(kinds.T).reshape(*rest.shape[:2], len(kinds))
    return Margins(values, counts.astype(np.int64), total)


def mask_of(members: Iterable[int]) -> int:
    """A set of members as a number: bit m for member m."""
    mask = 0
    for m in members:
        mask |= 1 << int(m)
    return mask


def members_of(mask: int) -> tuple[int, ...]:
    """Members of a set that is given as a number, rising."""
    return tuple(m for m in range(int(mask).bit_length()) if mask >> m & 1)


def subset_count(count: int, size: int) -> int:
    """Number of non-empty sets of at most `size` of `count` members."""
    return sum(comb(count, k) for k in range(1, min(size, count) + 1))


def _refuse_too_many(count: int, size: int) -> None:
    sets = subset_count(count, size)
    if sets > MOST_SUBSETS:
        raise UsageError(
            f"There are {sets:,} sets of at most {size} of {count} candidates; allowed: "
            f"{MOST_SUBSETS:,}. Fix: lower members_max, or leave out dominated candidates."
        )


def _sorted(masks: IntArray, values: FloatArray) -> Subsets:
    order = np.argsort(masks)
    return Subsets(masks[order], values[order])
