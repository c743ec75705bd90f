"""The instances that carry a load with the least power: what every baseline plans a site with.

With instances in fractions this is a small linear programme: the least power under one limit, the
GPUs of the site. Of each class only the rows matter that lie on the lower hull of GPUs per request
against power per request; the optimum starts from the rows of least power and trades power for
GPUs where a GPU is cheapest, until the site suffices. That is exact, and costs a sort. If even the
rows of fewest GPUs need too many, all classes are cut alike.

Whole instances: what is below a whole one is taken away, and then the load that is left gets one
instance at a time, of the row that carries it with the least power and still fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.sites.profile import BoolArray, IntArray, Profile

#: Loads and sizes are met up to this share of themselves.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class LeastPower:
    """Planner of one site for given rows.

    Attributes
    ----------
    profile
        All rows.
    usable
        Rows that may be used, shape (R,).
    kw
        Power that a running instance adds [kW], shape (R,).
    """

    profile: Profile
    usable: BoolArray
    kw: FloatArray

    @cached_property
    def _gpus_per_rate(self) -> FloatArray:
        values: FloatArray = self.profile.tp / self.profile.rate
        return values

    @cached_property
    def _kw_per_rate(self) -> FloatArray:
        values: FloatArray = self.kw / self.profile.rate
        return values

    @cached_property
    def _cheapest(self) -> IntArray:
        """Row of least power per request of each class, -1 where none is usable, shape (C,)."""
        return np.array([h[0] if len(h) else -1 for h in self._hulls], dtype=np.int64)

    @cached_property
    def _hulls(self) -> list[IntArray]:
        """Rows of each class on the lower hull, from least power to fewest GPUs."""
        return [
            _hull(
                np.flatnonzero(self.usable & (self.profile.row_class == c)),
                self._gpus_per_rate,
                self._kw_per_rate,
            )
            for c in range(self.profile.classes)
        ]

    @cached_property
    def _steps(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Steps along all hulls, cheapest GPU first: row left, row entered, GPUs saved per 1/s."""
        left = np.concatenate([h[:-1] for h in self._hulls] + [np.empty(0, dtype=np.int64)])
        entered = np.concatenate([h[1:] for h in self._hulls] + [np.empty(0, dtype=np.int64)])
        saved = self._gpus_per_rate[left] - self._gpus_per_rate[entered]
        dearer = self._kw_per_rate[entered] - self._kw_per_rate[left]
        # Stable: along one hull the steps stay in their order, where two cost the same.
        order = np.argsort(dearer / saved, kind="stable")
        return left[order], entered[order], saved[order]

    def fractional(self, load: FloatArray, gpus: float) -> FloatArray:
        """Instances in fractions that carry a load with the least power.

        Parameters
        ----------
        load
            Requests of each class [1/s], shape (C,); what no usable row serves is left aside.
        gpus
            GPUs of the site.

        Returns
        -------
        FloatArray
            Instances of each row, shape (R,). Where the GPUs do not suffice in any way, all
            classes are cut by the same share.
        """
        profile = self.profile
        servable = self._cheapest >= 0
        load = np.where(servable, load, 0.0)
        # Load that each row carries.
        carried = np.zeros(profile.count)
        carried[self._cheapest[servable]] = load[servable]
        short = float(carried @ self._gpus_per_rate) - gpus
        if short > 0:
            left, entered, saved = self._steps
            moved = load[profile.row_class[left]]
            gains = moved * saved
            total = np.cumsum(gains)
            # Whole steps, one in part, none.
            part = np.clip((short - (total - gains)) / np.where(gains > 0, gains, 1.0), 0.0, 1.0)
            np.add.at(carried, entered, part * moved)
            np.subtract.at(carried, left, part * moved)
            carried = np.maximum(carried, 0.0)
            needed = float(carried @ self._gpus_per_rate)
            if needed > gpus:
                carried *= gpus / needed
        instances: FloatArray = carried / profile.rate
        return instances

    def whole(self, load: FloatArray, gpus: int) -> IntArray:
        """Whole instances for a load, shape (R,): the fractional ones rounded and filled up."""
        profile = self.profile
        counts = np.floor(self.fractional(load, float(gpus)) + _ROUNDING).astype(np.int64)
        free = gpus - int(counts @ profile.tp)
        served = np.bincount(
            profile.row_class, weights=counts * profile.rate, minlength=profile.classes
        )
        rest = np.where(self._cheapest >= 0, load - served, 0.0)
        while True:
            left = rest[profile.row_class]
            fits = self.usable & (profile.tp <= free) & (left > _ROUNDING * (1 + load.max()))
            if not fits.any():
                return counts
            # The class of which the largest part is left first: nobody is forgotten.
            part = np.divide(rest, load, out=np.zeros_like(rest), where=load > 0)
            part[~np.isin(np.arange(profile.classes), profile.row_class[fits])] = -1.0
            mine = np.flatnonzero(fits & (profile.row_class == int(np.argmax(part))))
            gain = np.minimum(profile.rate[mine], left[mine])
            row = int(mine[np.argmin(self.kw[mine] / gain)])
            counts[row] += 1
            free -= int(profile.tp[row])
            rest[profile.row_class[row]] -= min(float(profile.rate[row]), float(left[row]))


def _hull(rows: IntArray, gpus: FloatArray, kw: FloatArray) -> IntArray:
    """Rows on the lower left hull of GPUs and power per request, from least power on."""
    if not len(rows):
        return rows
    rows = rows[np.lexsort((gpus[rows], kw[rows]))]
    chain: list[int] = []
    for row in rows:
        if chain and gpus[row] >= gpus[chain[-1]]:
            continue
        while len(chain) > 1:
            a, b = chain[-2], chain[-1]
            # b stays only where leaving it out would make a GPU dearer before it is cheaper.
            ahead = (kw[b] - kw[a]) * (gpus[b] - gpus[row])
            behind = (kw[row] - kw[b]) * (gpus[a] - gpus[b])
            if ahead < behind:
                break
            chain.pop()
        chain.append(int(row))
    return np.array(chain, dtype=np.int64)


def shed(running: IntArray, kw: FloatArray, limit_kw: float) -> IntArray:
    """Switch instances off, all rows in proportion, until the power suffices.

    Parameters
    ----------
    running
        Instances of each row at one site, shape (R,).
    kw
        Power of an instance of each row [kW].
    limit_kw
        Power there is.

    Returns
    -------
    IntArray
        Instances that go on; their power is never above the limit.
    """
    drawn = float(kw @ running)
    if drawn <= limit_kw:
        return running
    wanted = running * (max(limit_kw, 0.0) / drawn)
    kept: IntArray = np.floor(wanted).astype(np.int64)
    free = limit_kw - float(kw @ kept)
    for row in np.argsort(kept - wanted, kind="stable"):
        if kept[row] < running[row] and kw[row] <= free:
            kept[row] += 1
            free -= float(kw[row])
    return kept


def with_spare(needed: IntArray, before: IntArray, degrees: IntArray, gpus: int) -> IntArray:
    """Configure what is needed, and leave standing what stood before and is in nobody's way.

    Shape (G,) each. Instances that are not needed cost nothing where idle GPUs are switched off,
    and loading them again would.
    """
    kept: IntArray = needed.copy()
    free = gpus - int(needed @ degrees)
    # The largest first: they take longest to come by.
    for degree in range(len(degrees) - 1, -1, -1):
        more = min(max(int(before[degree] - needed[degree]), 0), free // int(degrees[degree]))
        kept[degree] += more
        free -= more * int(degrees[degree])
    return kept
