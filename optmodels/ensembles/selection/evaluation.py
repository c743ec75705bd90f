"""What members are worth while servers fail: expected, in the worst case, and undisturbed.

The expected accuracy is that of the live members, over all patterns of failures of the servers they
are on. The *worst case* is the least accuracy that remains when any k servers fail, however
unlikely: an ensemble of excellent expectation may hang on one server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from optmodels.ensembles.selection.accuracies import Accuracies
from optmodels.ensembles.selection.failures import Failures
from optmodels.ensembles.selection.tasks import Placement, Rules, Servers, Task


@dataclass(frozen=True)
class Worth:
    """Accuracy of an application.

    Attributes
    ----------
    expected
        Over all failures.
    worst
        The least when any `worst_failures` servers fail.
    undisturbed
        While nothing fails.
    """

    expected: float
    worst: float
    undisturbed: float

    def mixed(self, expected_share: float) -> float:
        """The objective: expectation and worst case, by their weights."""
        return expected_share * self.expected + (1 - expected_share) * self.worst


def worth(
    accuracies: Accuracies,
    failures: Failures,
    placement: Placement,
    *,
    worst_failures: int,
    fallback: float = 0.0,
) -> Worth:
    """Accuracy of members while servers fail.

    Parameters
    ----------
    accuracies
        Accuracy of every set of live members.
    failures
        Which servers fail.
    placement
        Members and their servers.
    worst_failures
        Servers that fail in the worst case.
    fallback
        Accuracy while nobody is alive.
    """
    used = tuple(sorted({s for _, s in placement}))
    probabilities = failures.alive(used)
    expected, worst, undisturbed = 0.0, 1.0, fallback
    for position, members in patterns(placement, used):
        value = accuracies.of(members) if members else fallback
        expected += float(probabilities[position]) * value
        if position.bit_count() >= len(used) - worst_failures:
            worst = min(worst, value)
        if position == len(probabilities) - 1:
            undisturbed = value
    return Worth(expected, worst, undisturbed)


def patterns(placement: Placement, used: tuple[int, ...]) -> Iterator[tuple[int, frozenset[int]]]:
    """Every pattern of live servers as a number (bit j for ``used[j]``), and who is alive then."""
    for position in range(2 ** len(used)):
        alive = {server for j, server in enumerate(used) if position >> j & 1}
        yield position, frozenset(m for m, s in placement if s in alive)


def validated(task: Task, servers: Servers, rules: Rules, placement: Placement) -> Worth:
    """Accuracy of an application on its validation samples."""
    return worth(
        task.accuracies,
        servers.failures,
        placement,
        worst_failures=rules.worst_failures,
        fallback=task.fallback,
    )
