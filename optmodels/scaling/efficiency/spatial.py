r"""Spatial shifting: move work to a place where electricity is clean.

Moving pays if and only if

.. math:: CI_1 E > CI_2 e E + D ε_{net} CI_{net}:

what the work emits here against what it emits there, on hardware and in a building that draw `e`
times the energy, and what moving `D` GB through a network of `ε_net` kWh/GB emits. So a place that
is worse in energy (`e > 1`) is better in carbon as long as

.. math:: e < \frac{CI_1}{CI_2} − \frac{D ε_{net} CI_{net}}{CI_2 E}.

Published figures for `ε_net` span 0.001 to 0.06 kWh/GB. Our derivation, checked numerically in
tests/scaling/efficiency/test_spatial.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optmodels.scaling.efficiency.measures import Contest
from optmodels.scaling.job.inputs import Inputs


@dataclass(frozen=True)
class Migration:
    """One piece of work that can stay here or move there.

    Parameters
    ----------
    energy_kwh
        Energy of the work here [kWh], > 0.
    here_g_per_kwh, there_g_per_kwh
        Carbon intensities of the two places.
    energy_multiplier
        Energy of the work there over that here, > 0: other hardware, another building.
    data_gb
        Data to move [GB].
    network_kwh_per_gb
        Energy of the network [kWh/GB].
    network_g_per_kwh
        Carbon intensity of the network's electricity.
    latency_ms, latency_limit_ms
        Latency of the other place [ms], and the most that the work allows.

    Raises
    ------
    InputError
        A value is out of range; all of them are listed.
    """

    energy_kwh: float
    here_g_per_kwh: float
    there_g_per_kwh: float
    energy_multiplier: float = 1.0
    data_gb: float = 0.0
    network_kwh_per_gb: float = 0.0
    network_g_per_kwh: float = 0.0
    latency_ms: float = 0.0
    latency_limit_ms: float = math.inf

    def __post_init__(self) -> None:
        given = Inputs("migration")
        for name, value in vars(self).items():
            # No limit is a limit, too.
            if name != "latency_limit_ms" or value != math.inf:
                positive = name in ("energy_kwh", "energy_multiplier")
                given.number(name, value, minimum=0.0, strict=positive)
        given.check()

    @property
    def network_kwh(self) -> float:
        """Energy of moving the data [kWh]."""
        return self.data_gb * self.network_kwh_per_gb

    @property
    def allowed(self) -> bool:
        """Whether the other place is near enough."""
        return self.latency_ms <= self.latency_limit_ms

    @property
    def pays(self) -> bool:
        """Whether moving is allowed and saves carbon."""
        here, there = self._carbon_g()
        return self.allowed and here > there

    @property
    def break_even_multiplier(self) -> float:
        """Energy multiplier below which moving pays; negative if it never does."""
        left = self.here_g_per_kwh * self.energy_kwh - self.network_kwh * self.network_g_per_kwh
        if self.there_g_per_kwh == 0:
            return math.inf if left > 0 else -math.inf
        return left / (self.there_g_per_kwh * self.energy_kwh)

    def options(self) -> pd.DataFrame:
        """What can be done: ``option`` ("stay", "move"), ``energy_kwh``, ``carbon_g``."""
        here, there = self._carbon_g()
        moved_kwh = self.energy_kwh * self.energy_multiplier + self.network_kwh
        frame = pd.DataFrame(
            {
                "option": ["stay", "move"],
                "energy_kwh": [self.energy_kwh, moved_kwh],
                "carbon_g": [here, there],
            }
        )
        return frame if self.allowed else frame.iloc[:1]

    def front(self) -> pd.DataFrame:
        """The options that no other one beats, by rising energy."""
        frame = self.options().sort_values(["energy_kwh", "carbon_g"], ignore_index=True)
        best_before = frame["carbon_g"].cummin().shift(fill_value=np.inf)
        return frame[frame["carbon_g"] < best_before].reset_index(drop=True)

    def contest(self) -> Contest:
        """The option of least energy beside that of least carbon."""
        return Contest.of(self.options())

    def _carbon_g(self) -> tuple[float, float]:
        """Carbon of staying and of moving [g]."""
        moved = self.there_g_per_kwh * self.energy_multiplier * self.energy_kwh
        return (
            self.here_g_per_kwh * self.energy_kwh,
            moved + self.network_kwh * self.network_g_per_kwh,
        )
