"""Policies: which members an application gets when it is its turn.

Three families. Those of one look (`best-single`, `most-accurate`, `smallest`) rank candidates by
themselves. The *greedy* ones place one member after another by what it gains under failures. The
last ones solve the application exactly, for its expectation, for its worst case, or, told all
applications, by their weights. A fourth family selects as if servers never failed:
`optmodels.ensembles.selection.undisturbed`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from optmodels.ensembles.selection.configurations import Configurations, Prices
from optmodels.ensembles.selection.diversity import diverse
from optmodels.ensembles.selection.greedy import extensions, fits, gain_of, greedy, in_turn
from optmodels.ensembles.selection.replay import (
    ALL_APPLICATIONS,
    Selection,
    SelectionHeader,
    Turn,
)
from optmodels.ensembles.selection.tasks import Placement, Task
from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation, Policy


class SelectionPolicy(Policy):
    """Answers with members; subclasses say which."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def reset(self, header: SelectionHeader) -> None:
        """Take down servers and rules."""
        self._servers, self._rules = header.servers, header.rules
        share = header.rules.expected_share
        self._prices = Prices(share, 1 - share)

    def decide(self, observation: Observation) -> Selection:
        """Members of the application whose turn it is."""
        turn: Turn = observation.state
        return Selection(self.members(turn.task, turn.free_mb))

    @abstractmethod
    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """Members and their servers."""

    def _in_order(self, task: Task, order: Iterable[int], free_mb: FloatArray) -> Placement:
        """Candidates in an order of preference, each on the most reliable server that takes it."""
        failing = [self._servers.failures.failing(s) for s in range(len(self._servers))]
        found: Placement = ()
        for m in order:
            for s in sorted(range(len(self._servers)), key=lambda s: (failing[s], s)):
                larger = tuple(sorted((*found, (int(m), s))))
                if (int(m), s) not in found and fits(
                    task, self._servers, self._rules, larger, free_mb
                ):
                    found = larger
                    break
        return found

    def _exact(self, task: Task, free_mb: FloatArray, prices: Prices) -> Placement:
        made = Configurations(task, self._servers, self._rules, prices, free_mb=free_mb)
        return made.best()[1]


class BestSingle(SelectionPolicy):
    """The one member that is worth most.

    Notes
    -----
    - Assumptions: failure probabilities are known.
    - Proven ratio: none.
    - Complexity: O(C S) evaluations, C candidates and S servers.
    - Reference: baseline; ours.
    """

    name = "best-single"
    summary = "one member: the one that is worth most under failures"

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """One member, or none where none fits."""
        single = list(extensions(task, self._servers, self._rules, (), free_mb))
        return max(
            single,
            key=lambda p: gain_of(task, self._servers, self._rules, self._prices, p),
            default=(),
        )


class MostAccurate(SelectionPolicy):
    """The most accurate candidates, one per server.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(C S) checks of limits, C candidates and S servers.
    - Reference: baseline; ours.
    """

    name = "most-accurate"
    summary = "the most accurate candidates, each on the most reliable server that takes it"

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """Candidates by their own accuracy."""
        return self._in_order(task, np.argsort(-task.accuracies.singles, kind="stable"), free_mb)


class Smallest(SelectionPolicy):
    """The smallest candidates, one per server.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(C S) checks of limits, C candidates and S servers.
    - Reference: baseline; ours.
    """

    name = "smallest"
    summary = "the smallest candidates, each on the most reliable server that takes it"

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """Candidates by their memory."""
        return self._in_order(task, np.argsort(task.memory_mb, kind="stable"), free_mb)


class RandomMembers(SelectionPolicy):
    """Candidates in random order.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(C S) checks of limits, C candidates and S servers.
    - Reference: baseline; ours.
    """

    name = "random-members"
    summary = "candidates in random order, each on the most reliable server that takes it"
    randomised = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def reset(self, header: SelectionHeader) -> None:
        """Start the random numbers."""
        super().reset(header)
        self._rng = np.random.default_rng(self.seed)

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """Candidates in random order."""
        return self._in_order(task, self._rng.permutation(len(task.candidates)), free_mb)


class Greedy(SelectionPolicy):
    """The member that gains most, again and again.

    Notes
    -----
    - Assumptions: one application, rules `best` or `cover`, the expectation alone, limits that are
      p matroids.
    - Proven ratio: 1/(p + 1) of the optimum's gain in accuracy.
    - Complexity: O(C S) evaluations per member, C candidates and S servers, each over all patterns
      of failures.
    - Reference: Fisher, Nemhauser and Wolsey (1978); ours for this problem.
    """

    name = "greedy"
    summary = "the member and server that gain most under failures, until none gains"
    guarantee = "1 / (p + 1) of the most gain, for the rules best and cover and p matroids"

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """Greedy members."""
        return greedy(task, self._servers, self._rules, self._prices, free_mb)


class GreedyPerMegabyte(SelectionPolicy):
    """The member that gains most for its memory.

    Notes
    -----
    - Assumptions: failure probabilities are known.
    - Proven ratio: none.
    - Complexity: O(C S) evaluations per member, C candidates and S servers, each over all patterns
      of failures.
    - Reference: ours.
    """

    name = "greedy-per-megabyte"
    summary = "the member and server that gain most per megabyte under failures"

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """Greedy members."""
        return greedy(task, self._servers, self._rules, self._prices, free_mb, per_megabyte=True)


class LookAhead(SelectionPolicy):
    """Greedy, with pairs where no single member gains.

    Notes
    -----
    - Assumptions: failure probabilities are known.
    - Proven ratio: none.
    - Complexity: as `greedy`, and O(C² S²) evaluations where no single member gains.
    - Reference: ours.
    """

    name = "look-ahead"
    summary = "greedy, and the pair of members that gains most where no single one does"

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """Greedy members, and pairs."""
        return greedy(task, self._servers, self._rules, self._prices, free_mb, look_ahead=True)


class FailureAwareCaruana(SelectionPolicy):
    """Ensemble selection by accuracy under failures, members pinned to servers.

    Notes
    -----
    - Assumptions: failure probabilities are known.
    - Proven ratio: none.
    - Complexity: O(C S) evaluations per member, C candidates and S servers, each over all patterns
      of failures.
    - Reference: ours, after Caruana et al., "Ensemble Selection from Libraries of Models" (ICML
      2004).
    """

    name = "caruana-failures"
    summary = "members added by accuracy under failures even where it falls; the best prefix"

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """The best prefix of members added one by one."""
        servers, rules = self._servers, self._rules
        current: Placement = ()
        best, most = current, 0.0
        while True:
            larger = list(extensions(task, servers, rules, current, free_mb))
            if not larger:
                return best
            gains = [gain_of(task, servers, rules, self._prices, p) for p in larger]
            current = larger[int(np.argmax(gains))]
            if max(gains) > most:
                best, most = current, max(gains)


class Diverse(SelectionPolicy):
    """Members that are accurate and disagree.

    Notes
    -----
    - Assumptions: accuracies and pairwise disagreements.
    - Proven ratio: none: the programme is solved to a gap of 1e-3, but what it maximises is a
      proxy.
    - Complexity: one mixed-integer programme of pairs of placed candidates.
    - Reference: ours.
    """

    name = "diverse"
    summary = "members of the largest sum of accuracies and disagreements, by a programme"

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """Members by pairs."""
        return diverse(task, self._servers, self._rules, free_mb)


class ExpectedInTurn(SelectionPolicy):
    """Exact for the expectation, one application after the other.

    Notes
    -----
    - Assumptions: failure probabilities are known.
    - Proven ratio: none over several applications; exact for the expectation of each in what is
      left.
    - Complexity: all configurations as arrays, (C + 1)^S cells for C candidates and S servers, in
      2^S terms.
    - Reference: ours.
    """

    name = "expected-in-turn"
    summary = "exact members for the expected accuracy of one application after the other"

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """The best in what is left."""
        return self._exact(task, free_mb, Prices(1.0, 0.0))


class WorstInTurn(SelectionPolicy):
    """Exact for the worst case, one application after the other.

    Notes
    -----
    - Assumptions: at most so many servers fail at once.
    - Proven ratio: none over several applications; exact for the worst case of each in what is
      left, up to a weight of 1e-6 for the expectation.
    - Complexity: all configurations as arrays, (C + 1)^S cells for C candidates and S servers, in
      2^S terms.
    - Reference: ours.
    """

    name = "worst-in-turn"
    summary = "exact members for the worst case of one application after the other"

    #: Weight of the expectation, which decides among equals.
    share = 1e-6

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """The most robust in what is left."""
        return self._exact(task, free_mb, Prices(self.share, 1 - self.share))


class GreedyByWeight(SelectionPolicy):
    """Greedy, the weightiest application first.

    Notes
    -----
    - Assumptions: all applications are known in advance.
    - Proven ratio: none.
    - Complexity: O(C S) evaluations per member, C candidates and S servers, each over all patterns
      of failures.
    - Reference: ours.
    """

    name = "greedy-by-weight"
    summary = "greedy, told all applications, the weightiest first"
    needs: ClassVar[frozenset[str]] = frozenset({ALL_APPLICATIONS})

    def reset(self, header: SelectionHeader) -> None:
        """Place everybody.

        Raises
        ------
        UsageError
            The policy was not told all applications.
        """
        super().reset(header)
        if header.tasks is None:
            raise UsageError(f"'{self.name}' needs to be told all applications.")
        found = in_turn(header.tasks, self._servers, self._rules, self._prices)
        names = [task.name for task in header.tasks]
        self._found = dict(zip(names, found, strict=True))

    def members(self, task: Task, free_mb: FloatArray) -> Placement:
        """What was found."""
        return self._found[task.name]
