"""What CarbonFlex remembers: states, and what an oracle did in them.

A case is the state of one slot of a window that is over (`features`), with the servers that an
oracle, who knew the window, used in it, and the least work that a level added that the oracle used.
The case base finds the cases nearest to a new state. Distances are Euclidean between features that
have been centred and divided by their standard deviation over the base: as they come, the carbon
intensity (hundreds of grams) would drown everything else. A feature that is the same in all cases
is left in its unit.

Source: Hanafy et al., "CarbonFlex" (arXiv 2505.18357), section 4. The paper does not say how
features are scaled, nor for how long cases are kept; both are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.instance import IntArray

#: Cases by which the usual distance between neighbours is judged, evenly taken from the base.
_SAMPLE = 2000


@dataclass(frozen=True)
class Cases:
    """States with what the oracle did in them.

    Attributes
    ----------
    features
        States, shape (N, F).
    servers
        m: servers that the oracle used, shape (N,).
    threshold
        ρ: least work that a level added that it used; 1 where nothing ran, shape (N,).
    slot
        Slot of the run in which it happened; negative before the run, shape (N,).
    """

    features: FloatArray
    servers: FloatArray
    threshold: FloatArray
    slot: IntArray

    @property
    def count(self) -> int:
        """Number of cases."""
        return len(self.servers)

    def since(self, slot: int) -> Cases:
        """Cases that are not older than this slot."""
        keep = self.slot >= slot
        return Cases(self.features[keep], self.servers[keep], self.threshold[keep], self.slot[keep])


def together(parts: Sequence[Cases]) -> Cases:
    """All cases of several collections; there must be at least one."""
    return Cases(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.servers for part in parts]),
        np.concatenate([part.threshold for part in parts]),
        np.concatenate([part.slot for part in parts]),
    )


@dataclass(frozen=True)
class Neighbours:
    """The cases nearest to a state, nearest first.

    Attributes
    ----------
    distance
        Distances in standard deviations.
    servers, threshold
        What the oracle did.
    """

    distance: FloatArray
    servers: FloatArray
    threshold: FloatArray


class CaseBase:
    """Cases, searchable by state.

    Parameters
    ----------
    cases
        At least one case.
    neighbours
        k: how many of them a search finds; all of them where there are fewer.
    far_percentile
        Percentile of the distances between each case and its nearest others beyond which a state
        counts as unfamiliar.
    """

    def __init__(self, cases: Cases, neighbours: int, far_percentile: float) -> None:
        self.cases = cases
        self._neighbours = min(neighbours, cases.count)
        self._percentile = far_percentile
        self._centre = cases.features.mean(axis=0)
        spread = cases.features.std(axis=0)
        # Beneath this a spread is rounding.
        same = spread <= 1e-9 * np.maximum(np.abs(self._centre), 1.0)
        self._spread = np.where(same, 1.0, spread)
        self._tree = cKDTree((cases.features - self._centre) / self._spread)
        self._far: float | None = None

    def nearest(self, state: FloatArray) -> Neighbours:
        """Cases nearest to a state with features of shape (F,)."""
        point = (state - self._centre) / self._spread
        distance, place = self._tree.query(point, k=list(range(1, self._neighbours + 1)))
        return Neighbours(
            np.asarray(distance), self.cases.servers[place], self.cases.threshold[place]
        )

    @property
    def far(self) -> float:
        """δ: mean distance to the nearest cases beyond which a state counts as unfamiliar.

        The percentile, over the cases themselves, of their mean distance to their nearest other
        cases (of a large base 2,000 cases are asked); infinite with a single case. It is computed
        when it is first asked for.
        """
        if self._far is None:
            self._far = self._usual_distance()
        return self._far

    def _usual_distance(self) -> float:
        count = self.cases.count
        others = min(self._neighbours, count - 1)
        if others < 1:
            return float("inf")
        asked = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
        # The nearest case of a case is itself, or a twin at the same distance of 0.
        distance, _ = self._tree.query(self._tree.data[asked], k=list(range(2, others + 2)))
        return float(np.percentile(np.asarray(distance).mean(axis=1), self._percentile))
