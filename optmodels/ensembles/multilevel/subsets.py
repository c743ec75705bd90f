r"""Which members are alive, and how much the answers of each such subset count in training.

With M members there are :math:`2^M - 1` non-empty subsets S. They are always listed in the order of
their numbers (bit m for member m): {0}, {1}, {0, 1}, {2}, {0, 2} ... The loss is
:math:`\sum_S \lambda_S \hat L(h_S)`; the weights :math:`\lambda_S` follow from the size of S, as in
the authors' schedule: one weight for all exits, one for all pairs, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.policy import FloatArray

#: Members at most: one more doubles the number of heads.
MOST_MEMBERS = 10


def subsets(members: int) -> tuple[frozenset[int], ...]:
    """All non-empty subsets of the members 0 to `members` - 1, in the order of their numbers.

    Parameters
    ----------
    members
        Number of members.

    Returns
    -------
    tuple of frozenset
        At position n the members whose bits are set in n + 1.

    Raises
    ------
    UsageError
        There are no members, or too many.
    """
    if not 1 <= members <= MOST_MEMBERS:
        raise UsageError(
            f"An ensemble of {members} members cannot be listed by its subsets; allowed: 1 to "
            f"{MOST_MEMBERS} members."
        )
    return tuple(
        frozenset(m for m in range(members) if mask >> m & 1) for mask in range(1, 2**members)
    )


def membership(members: int) -> NDArray[np.bool_]:
    """Whether a subset has a member, of shape (subsets, members)."""
    found: NDArray[np.bool_] = np.array(
        [[m in subset for m in range(members)] for subset in subsets(members)]
    )
    return found


def equal_shares(members: int) -> FloatArray:
    """Share of every member in the mean over a subset, of shape (subsets, members)."""
    member = membership(members)
    shares: FloatArray = member / member.sum(axis=1, keepdims=True)
    return shares


def sizes(members: int) -> NDArray[np.int64]:
    """Number of members of every subset."""
    found: NDArray[np.int64] = membership(members).sum(axis=1).astype(np.int64)
    return found


def level_weights(
    members: int, levels: Sequence[float] | None = None, *, normalised: bool = True
) -> FloatArray:
    """Weight of every subset in the loss.

    Parameters
    ----------
    members
        Number of members.
    levels
        Weight of a subset with one member, two members, and so on; equal by default. (1, 0, 0)
        trains the exits alone, (0, 0, 1) only the answer of all.
    normalised
        Whether the weights of all subsets add up to 1.

    Returns
    -------
    numpy.ndarray
        One weight per subset, in the order of `subsets`.

    Raises
    ------
    InputError
        The number of levels is wrong, one is negative, or all are zero.
    """
    given = np.ones(members) if levels is None else np.asarray(levels, dtype=np.float64)
    flaws = []
    if given.shape != (members,):
        flaws.append(
            Flaw(
                "are not as many weights as sizes of subsets",
                field="levels",
                value=levels,
                allowed=f"{members} numbers",
            )
        )
    if not np.all(np.isfinite(given)) or np.any(given < 0) or not np.any(given > 0):
        flaws.append(
            Flaw("do not weigh the subsets", field="levels", value=levels, allowed=">= 0, one > 0")
        )
    if flaws:
        raise InputError(flaws, "Weights of a multi-level loss")
    weights: FloatArray = given[sizes(members) - 1]
    return weights / weights.sum() if normalised else weights
