"""The fleet: what stays the same from period to period, as the planners need it.

Origins that may send a class to a row at a site form the *reach* of that row there. Rows of one
class and one reach at a site are interchangeable for the flows: how many requests come from where
depends on their capacity together. Such rows share a *bin*; flows go from origins to bins, which
makes models smaller than flows from origins to rows, and loses nothing: what arrives at a bin is
split among its rows in proportion to their capacities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optmodels.policy import FloatArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Fleet:
    """Sites, rows and who may be served where.

    Attributes
    ----------
    row_class, degree_of
        Class of each row, and the place of its degree of tensor parallelism in `degrees`, (R,).
    rate
        Requests that an instance on the row serves [1/s], (R,).
    kw
        Power of an instance on the row [kW], (R,).
    residence
        Time that a request spends in an instance on the row [s], (R,).
    degrees
        Degrees of tensor parallelism [GPUs per instance], (G,).
    ok
        Whether the row at the site meets the limits of its class for an origin, (O, S, R).
    rtt_s
        Round-trip times [s], (O, S).
    gpus, backup_kw
        GPUs of each site, and the power that it may draw from the grid [kW], (S,).
    weight
        What a served request of each class counts, (C,).
    idle_kw
        Power of a GPU that is configured and does not run [kW]; 0 where GPUs are switched off.
    """

    row_class: IntArray
    degree_of: IntArray
    rate: FloatArray
    kw: FloatArray
    residence: FloatArray
    degrees: IntArray
    ok: BoolArray
    rtt_s: FloatArray
    gpus: FloatArray
    backup_kw: FloatArray
    weight: FloatArray
    idle_kw: float = 0.0

    @classmethod
    def of(cls, known: Any) -> Fleet:
        """The fleet of an instance, or of the header that a policy is shown."""
        profile = known.profile
        return cls(
            row_class=np.asarray(profile.row_class, dtype=np.int64),
            degree_of=np.asarray(profile.degree_of, dtype=np.int64),
            rate=profile.rate,
            kw=profile.kw,
            residence=profile.e2e,
            degrees=np.asarray(profile.degrees, dtype=np.int64),
            ok=known.arcs,
            rtt_s=known.rtt_s,
            gpus=np.asarray(known.gpus, dtype=np.float64),
            backup_kw=known.backup_kw,
            weight=known.weight,
            idle_kw=float(known.idle_kw),
        )

    @property
    def sites(self) -> int:
        """Number of sites."""
        return len(self.gpus)

    @property
    def origins(self) -> int:
        """Number of origins."""
        return len(self.ok)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.weight)

    @property
    def rows(self) -> int:
        """Number of rows of the profile."""
        return len(self.rate)

    @cached_property
    def tp(self) -> IntArray:
        """GPUs of an instance on each row, (R,)."""
        found: IntArray = self.degrees[self.degree_of]
        return found

    @cached_property
    def draw_kw(self) -> FloatArray:
        """Power that running adds to a configured instance [kW], (R,)."""
        return self.kw - self.idle_kw * self.tp

    @cached_property
    def idle_of_degree(self) -> FloatArray:
        """Power of a configured instance that does not run [kW], (G,)."""
        return self.idle_kw * self.degrees.astype(np.float64)

    @cached_property
    def reach(self) -> IntArray:
        """Reach of each row at each site, as its number among all that occur, (S, R)."""
        return self._reaches[1]

    @cached_property
    def reach_origins(self) -> BoolArray:
        """Origins in each reach, (reaches, O)."""
        return self._reaches[0]

    @cached_property
    def narrow_first(self) -> IntArray:
        """Reaches in the order of the number of their origins."""
        found: IntArray = np.argsort(self.reach_origins.sum(axis=1), kind="stable")
        return found

    @cached_property
    def _reaches(self) -> tuple[BoolArray, IntArray]:
        served = np.moveaxis(self.ok, 0, -1).reshape(-1, self.origins)
        packed = np.packbits(served, axis=1)
        _, first, number = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        return served[first], number.reshape(self.sites, self.rows)

    @cached_property
    def bins(self) -> Bins:
        """Sites, classes and reaches that occur together."""
        used: BoolArray = np.asarray(self.reach_origins.any(axis=1))
        some = used[self.reach]
        site, row = np.nonzero(some)
        reach = self.reach[site, row]
        label = (site * self.classes + self.row_class[row]) * len(self.reach_origins) + reach
        distinct, number = np.unique(label, return_inverse=True)
        bin_of = np.full((self.sites, self.rows), -1, dtype=np.int64)
        bin_of[site, row] = number
        place, reach_of = np.divmod(distinct, len(self.reach_origins))
        return Bins(
            site=place // self.classes,
            row_class=place % self.classes,
            origins=self.reach_origins[reach_of],
            of=bin_of,
        )

    def power_of(self, running: FloatArray, configured: FloatArray) -> FloatArray:
        """Power of running instances (S, R) among configured ones (S, G) [kW], (S,)."""
        found: FloatArray = running @ self.draw_kw + configured @ self.idle_of_degree
        return found

    def of_degree(self, running: FloatArray) -> FloatArray:
        """Instances on the rows of each degree, (S, G), of those on each row, (S, R)."""
        total = np.zeros((running.shape[0], len(self.degrees)))
        for g in range(len(self.degrees)):
            total[:, g] = running[:, self.degree_of == g].sum(axis=1)
        return total


@dataclass(frozen=True, eq=False)
class Bins:
    """Sets of rows of one class and one reach at a site.

    Attributes
    ----------
    site, row_class
        Site and class of each bin, (B,).
    origins
        Origins that the bin serves within the limits, (B, O).
    of
        Bin of each row at each site, -1 where no origin may use it, (S, R).
    """

    site: IntArray
    row_class: IntArray
    origins: BoolArray
    of: IntArray

    def __len__(self) -> int:
        return len(self.site)
