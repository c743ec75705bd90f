"""Rules that size a fleet: from the power series that they are told, once.

No rule installs more than the sites hold, or more GPUs than the demand can ever use: then all sites
are made smaller alike. A rule that leaves more to the grid than a firm fleet may makes all sites
larger alike, by the smallest share of what is free.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation, Policy
from optmodels.rightsizing.sites.audit import Fleet
from optmodels.rightsizing.sites.firm import firm_sizes, rounded_up
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.optimum import fleet_of
from optmodels.rightsizing.sites.replay import SitesHeader
from optmodels.rightsizing.sites.sizing import (
    break_even_size,
    newsvendor_size,
    percentile_size,
)


class Rule(Policy):
    """Sizes from a formula; subclasses say which."""

    needs: ClassVar[frozenset[str]] = frozenset({"power series"})

    def reset(self, header: SitesHeader) -> None:
        """Take down what is told."""
        self._told = header.told

    def decide(self, observation: Observation) -> Fleet:
        """Choose the sizes, once."""
        told = self._told
        wanted = np.clip(self.sizes(told), 0.0, told.most_gpus)
        most_useful = float(told.demand.max())
        if wanted.sum() > most_useful:
            wanted = wanted * (most_useful / wanted.sum())
        gpus = firm_sizes(told, told.whole_modules(wanted))
        return Fleet(gpus, np.zeros_like(gpus))

    @abstractmethod
    def sizes(self, told: SitesInstance) -> FloatArray:
        """GPUs of each site, before any limit."""


class GridOnly(Rule):
    """Everything on the grid: what the others are measured by.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(S), S sites.
    - Reference: baseline; ours.
    """

    name = "grid-only"
    summary = "no GPU at any wind site, all demand on the grid"
    needs: ClassVar[frozenset[str]] = frozenset()

    def sizes(self, told: SitesInstance) -> FloatArray:
        """Nothing."""
        return np.zeros(len(told.sites))


class Largest(Rule):
    """Every site as large as it may be, or as the demand is.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(S), S sites.
    - Reference: baseline; ours.
    """

    name = "largest"
    summary = "as many GPUs as the nameplates could feed, or as the demand can use"
    needs: ClassVar[frozenset[str]] = frozenset()

    def sizes(self, told: SitesInstance) -> FloatArray:
        """The limit of each site."""
        return told.most_gpus


class Percentile(Rule):
    """The power that a site exceeds for a share 1 - q of the time.

    Parameters
    ----------
    share
        q: share of the slots with less power than the site is sized for, 0 to 1.

    Raises
    ------
    UsageError
        The share is out of range.

    Notes
    -----
    - Assumptions: a series like the one that counts.
    - Proven ratio: none.
    - Complexity: O(S T log T), S sites and T slots.
    - Reference: the usual starting point, also of Heron ("AI Greenferencing"), arXiv:2505.09989.
    """

    name = "percentile"
    summary = "each site at the 20th percentile of its power"

    def __init__(self, share: float = 0.2) -> None:
        if not 0 <= share <= 1:
            raise UsageError(f"The share is {share}; allowed: 0 to 1.")
        self.share = float(share)

    def sizes(self, told: SitesInstance) -> FloatArray:
        """The quantile of each site."""
        return np.array([percentile_size(fed, self.share) for fed in _fed(told)])


class BreakEven(Rule):
    """The largest site whose useful GPU-hour costs no more than the grid's on average.

    Notes
    -----
    - Assumptions: a series like the one that counts.
    - Proven ratio: none.
    - Complexity: O(S T log T), S sites and T slots.
    - Reference: ours.
    """

    name = "break-even"
    summary = "each site as large as its average cost per useful GPU-hour stays below the grid's"

    def sizes(self, told: SitesInstance) -> FloatArray:
        """The size of break-even utilisation of each site."""
        return np.array([break_even_size(fed, told.break_even) for fed in _fed(told)])


class Newsvendor(Rule):
    """The size of the largest gain of each site by itself.

    Notes
    -----
    - Assumptions: a series like the one that counts.
    - Proven ratio: none in general; the optimum of each site where the series is the one that
      counts, the demand has room for all sites in all slots, and there are no modules, openings,
      batteries or firmness.
    - Complexity: O(S T log T), S sites and T slots.
    - Reference: ours; the newsvendor's quantile is classical.
    """

    name = "newsvendor"
    summary = "each site at the quantile of its power where one more GPU stops paying"

    def sizes(self, told: SitesInstance) -> FloatArray:
        """The critical quantile of each site."""
        return np.array([newsvendor_size(fed, told.break_even) for fed in _fed(told)])


class NameplateShare(Rule):
    """The same share of the nameplate everywhere: the critical quantile of the fleet's power.

    Notes
    -----
    - Assumptions: a series like the one that counts.
    - Proven ratio: none.
    - Complexity: O(S T + T log T), S sites and T slots.
    - Reference: ours.
    """

    name = "nameplate-share"
    summary = "the same share of every nameplate: the newsvendor's of all power together"

    def sizes(self, told: SitesInstance) -> FloatArray:
        """The fleet's quantile, divided in proportion to the nameplates."""
        nameplate = np.where(told.eligible, told.nameplate_kw, 0.0)
        if not nameplate.any():
            return np.zeros(len(told.sites))
        total = _fed(told)[told.eligible].sum(axis=0)
        split: FloatArray = newsvendor_size(total, told.break_even) * nameplate / nameplate.sum()
        return split


class JointLp(Policy):
    """The joint linear programme on the series told: all sites against one demand.

    Openings are free in it; modules are rounded down, or up where the fleet must be firm.

    Notes
    -----
    - Assumptions: a series like the one that counts.
    - Proven ratio: none in general; the optimum where the series is the one that counts and there
      are no modules and openings.
    - Complexity: in practice some ten passes through the S T numbers of S sites and T slots; with
      batteries one linear programme of S T rows.
    - Reference: ours.
    """

    name = "joint-lp"
    summary = "linear programme of all sites, batteries and demand together, modules rounded"
    needs: ClassVar[frozenset[str]] = frozenset({"power series"})

    def reset(self, header: SitesHeader) -> None:
        """Take down what is told."""
        self._told = header.told

    def decide(self, observation: Observation) -> Fleet:
        """Solve the linear programme, once."""
        from optmodels.rightsizing.sites.model import formulation, model_data
        from optmodels.rightsizing.sites.partition import partitioned_sizes
        from optmodels.solver import solve_model

        told = self._told
        if told.battery_max_kwh.any():
            data = model_data(told, integer=False)
            solution: Any = solve_model(formulation(), data=data).require()
            found = fleet_of(told, solution)
        else:
            gpus = partitioned_sizes(told).gpus
            found = Fleet(gpus, np.zeros_like(gpus))
        if told.parameters.module_gpus is None:
            return found
        gpus = told.whole_modules(found.gpus)
        if told.parameters.unmet_share_max is not None:
            gpus = rounded_up(told, found.gpus)
        return Fleet(gpus, np.where(gpus > 0, found.battery_kwh, 0.0))


def _fed(told: SitesInstance) -> FloatArray:
    """GPUs that the wind feeds, one row per site; nothing at sites that may not be used."""
    fed: FloatArray = (told.power_kw / told.gpu_kw * told.eligible).T
    return fed
