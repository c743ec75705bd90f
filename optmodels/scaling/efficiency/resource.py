r"""Resource scaling: more servers while electricity is clean, although each adds less work.

Server `j` adds the throughput `MC_j = e^{j−1}` (the decay `e` is at most 1) and draws `P_1`; a base
power `P_0` is drawn as long as any server runs. Work per kWh, `θ(k) / (P_0 + k P_1)`, is greatest
at `k_E` servers: one without a base power, more with it. Running `k + 1` rather than `k ≥ k_E`
servers in a clean slot (`CI_l`), instead of `k_E` servers for a while in a dirty one (`CI_h`), pays
if and only if the added work per gram is more,

.. math::
    \frac{MC_{k+1}}{P_1 CI_l} > \frac{θ(k_E)}{P(k_E) CI_h},
    \qquad\text{that is}\quad \frac{CI_h}{CI_l} > \frac{θ(k_E) P_1}{P(k_E) MC_{k+1}}.

Our derivation, checked numerically in tests/scaling/efficiency/test_resource.py; the profile of
decaying throughput is CarbonScaler's (Hanafy et al., 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from optmodels.errors import Flaw, UsageError
from optmodels.policy import FloatArray
from optmodels.scaling.efficiency.jobs import job_of, read_whole
from optmodels.scaling.job.inputs import Inputs
from optmodels.scaling.job.instance import JobInstance


@dataclass(frozen=True)
class ElasticServers:
    """Servers of which each adds less throughput than the one before it.

    Parameters
    ----------
    servers
        Largest number of servers, at least 1.
    decay
        Throughput of a server over that of the one before it, > 0 and at most 1.
    kw_per_server
        Power of each server [kW], > 0.
    base_kw
        Power that is drawn as soon as one server runs [kW].

    Raises
    ------
    InputError
        A value is out of range; all of them are listed.
    """

    servers: int
    decay: float
    kw_per_server: float = 1.0
    base_kw: float = 0.0

    def __post_init__(self) -> None:
        given = Inputs("elastic servers")
        read_whole(given, "servers", self.servers)
        if given.number("decay", self.decay, minimum=0.0, strict=True) > 1:
            given.flaws.append(
                Flaw("is too large", field="decay", value=self.decay, allowed="at most 1")
            )
        given.number("kw_per_server", self.kw_per_server, minimum=0.0, strict=True)
        given.number("base_kw", self.base_kw, minimum=0.0)
        given.check()

    @property
    def counts(self) -> FloatArray:
        """Numbers of servers, 1 to the largest."""
        return np.arange(1.0, self.servers + 1)

    @property
    def marginal_throughput(self) -> FloatArray:
        """Work per slot that each server adds."""
        added: FloatArray = self.decay ** (self.counts - 1)
        return added

    @property
    def throughput(self) -> FloatArray:
        """Work per slot of each number of servers."""
        return self.marginal_throughput.cumsum()

    @property
    def power_kw(self) -> FloatArray:
        """Power of each number of servers [kW]."""
        power: FloatArray = self.base_kw + self.counts * self.kw_per_server
        return power

    @property
    def energy_efficiency(self) -> FloatArray:
        """Work per slot and kW of each number of servers."""
        efficiency: FloatArray = self.throughput / self.power_kw
        return efficiency

    @property
    def most_efficient(self) -> int:
        """Number of servers that does the most work per kWh; the smallest of several."""
        return int(self.energy_efficiency.argmax()) + 1

    def break_even_ratio(self, servers: int) -> float:
        """Dirty over clean intensity above which one more than these servers pays.

        Parameters
        ----------
        servers
            Servers that run in the clean slot already, from `most_efficient` to one less than the
            largest number.

        Raises
        ------
        UsageError
            The number is out of that range.
        """
        self._require(servers)
        added = float(self.marginal_throughput[servers]) / self.kw_per_server
        return float(self.energy_efficiency.max()) / added

    def scaling_pays(self, servers: int, *, clean_g_per_kwh: float, dirty_g_per_kwh: float) -> bool:
        """Whether one more server in the clean slot beats opening the dirty slot.

        Raises
        ------
        UsageError
            The number of servers is out of range; see `break_even_ratio`.
        """
        self._require(servers)
        best = self.most_efficient - 1
        added = float(self.marginal_throughput[servers]) * float(self.power_kw[best])
        opened = float(self.throughput[best]) * self.kw_per_server
        # Multiplied out, so that equality is seen as such.
        return added * dirty_g_per_kwh > opened * clean_g_per_kwh

    def job(
        self, carbon_g_per_kwh: ArrayLike, work: float, *, slot_hours: float = 1.0
    ) -> JobInstance:
        """Job on these servers, without switching cost.

        Parameters
        ----------
        carbon_g_per_kwh
            Carbon intensity of each slot until the deadline.
        work
            Work to be done; one server does 1 per slot.
        slot_hours
            Length of a slot [h].

        Raises
        ------
        InputError
            A value is out of range.
        """
        return job_of(
            carbon_g_per_kwh,
            work=work,
            servers=self.counts,
            throughput=self.throughput,
            power_kw=self.power_kw,
            slot_hours=slot_hours,
        )

    def _require(self, servers: int) -> None:
        first, last = self.most_efficient, self.servers - 1
        if not first <= servers <= last:
            raise UsageError(
                f"The rule speaks of {first} (the most efficient) to {last} servers, not of "
                f"{servers}."
            )
