"""Work per kWh, work per gram, and what choosing one costs in the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Operation:
    """What an operation draws and emits for its work.

    Parameters
    ----------
    energy_kwh, carbon_g
        Energy drawn and carbon emitted, at least 0.
    work
        Work done, in any unit.
    """

    energy_kwh: float
    carbon_g: float
    work: float = 1.0

    @property
    def energy_efficiency(self) -> float:
        """Work per kWh; infinite without energy."""
        return _ratio(self.work, self.energy_kwh)

    @property
    def carbon_efficiency(self) -> float:
        """Work per gram; infinite without carbon."""
        return _ratio(self.work, self.carbon_g)


@dataclass(frozen=True)
class Contest:
    """The operation of least energy beside the one of least carbon, for the same work.

    Parameters
    ----------
    energy_optimal
        Least energy and, among those, least carbon.
    carbon_optimal
        Least carbon and, among those, least energy.
    """

    energy_optimal: Operation
    carbon_optimal: Operation

    @classmethod
    def of(cls, choices: pd.DataFrame, work: float = 1.0) -> Contest:
        """The two winners among choices.

        Parameters
        ----------
        choices
            One row per choice, with columns ``energy_kwh`` and ``carbon_g``: the frame of a
            `optmodels.Frontier`, or the options of a mechanism.
        work
            Work that each of them does.
        """

        def winner(first: str, second: str) -> Operation:
            row = choices.sort_values([first, second], kind="stable").iloc[0]
            return Operation(float(row["energy_kwh"]), float(row["carbon_g"]), work)

        return cls(winner("energy_kwh", "carbon_g"), winner("carbon_g", "energy_kwh"))

    @property
    def energy_penalty(self) -> float:
        """Additional energy of the least carbon, as a share of the least energy; at least 0."""
        return _ratio(self.carbon_optimal.energy_kwh, self.energy_optimal.energy_kwh) - 1.0

    @property
    def carbon_gain(self) -> float:
        """Carbon saved, as a share of what the least energy emits; at least 0."""
        return 1.0 - _ratio(self.carbon_optimal.carbon_g, self.energy_optimal.carbon_g)

    @property
    def trade_off(self) -> float:
        """Energy penalty per carbon gain; not a number where both operations are the same."""
        if self.carbon_gain == 0:
            return math.nan
        return self.energy_penalty / self.carbon_gain


def _ratio(part: float, whole: float) -> float:
    """Quotient; nothing out of nothing is as much as it was."""
    if whole == 0:
        return 1.0 if part == 0 else math.inf
    return part / whole
