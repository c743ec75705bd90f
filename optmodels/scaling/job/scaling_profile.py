"""The scaling profile as an object: the levels worth using, and how to run between them.

An average of n servers in a slot, where n lies between two neighbouring levels, is run as a mix of
the two in time. `ScalingProfile` turns such averages into shares of time over its levels and back
into work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from optmodels.policy import FloatArray, frozen
from optmodels.scaling.job.profile import concave_hull

_PROPORTIONAL = 1e-12


@dataclass(frozen=True, eq=False)
class ScalingProfile:
    """Levels on the concave hull of a measured profile, off first, by rising throughput.

    Attributes
    ----------
    servers, throughput, power_kw
        Servers, work per slot and power [kW] of each level, shape (K,), read-only; entry 0 is off.
    """

    servers: FloatArray
    throughput: FloatArray
    power_kw: FloatArray

    def __post_init__(self) -> None:
        for name in ("servers", "throughput", "power_kw"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @classmethod
    def of(cls, servers: ArrayLike, throughput: ArrayLike, power_kw: ArrayLike) -> ScalingProfile:
        """Profile of measured levels (off need not be among them), cut down to its hull."""
        measured = [
            np.concatenate([[0.0], np.asarray(values, dtype=np.float64)])
            for values in (servers, throughput, power_kw)
        ]
        hull = concave_hull(*measured)
        return cls(*(values[hull] for values in measured))

    @property
    def proportional(self) -> bool:
        """Whether work and power are proportional to servers: one rate describes the job."""
        scale = self.servers / self.servers[-1]
        return bool(
            np.allclose(self.throughput, scale * self.throughput[-1], rtol=_PROPORTIONAL, atol=0)
            and np.allclose(self.power_kw, scale * self.power_kw[-1], rtol=_PROPORTIONAL, atol=0)
        )

    def up_to(self, servers: float) -> ScalingProfile:
        """Profile cut off at this number of servers, the mix that averages it as last level."""
        keep = self.servers < servers
        last = (
            servers,
            self.work_at(servers),
            float(np.interp(servers, self.servers, self.power_kw)),
        )
        levels = (self.servers, self.throughput, self.power_kw)
        return ScalingProfile(
            *(np.append(values[keep], end) for values, end in zip(levels, last, strict=True))
        )

    def mix(self, servers: float) -> FloatArray:
        """Shares of time over the levels, off included, that average this number of servers.

        Parameters
        ----------
        servers
            Average number of servers, from 0 to that of the last level.
        """
        shares = np.zeros(self.servers.size)
        upper = min(int(np.searchsorted(self.servers, servers)), self.servers.size - 1)
        if upper == 0:
            shares[0] = 1.0
            return shares
        gap = self.servers[upper] - self.servers[upper - 1]
        part = (servers - self.servers[upper - 1]) / gap
        shares[upper] = part
        shares[upper - 1] = 1.0 - part
        return shares

    def work_at(self, servers: float) -> float:
        """Work done in a slot with this average number of servers."""
        return float(np.interp(servers, self.servers, self.throughput))

    def servers_for(self, work: float) -> float:
        """Average number of servers that does this work in a slot."""
        return float(np.interp(work, self.throughput, self.servers))
