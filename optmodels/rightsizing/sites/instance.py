"""GPUs at wind sites: what is known, and what is asked.

A fleet of GPUs may be installed next to wind turbines, where energy is cheap but comes and goes.
Every GPU costs the same whether there is wind or not; whatever demand the fleet cannot serve at
some hour is served by GPUs on the grid, at a known cost per useful GPU-hour. Which sites are worth
opening, and how many GPUs are worth installing at each, so that serving the whole demand costs
least?

Sizes are counted in GPUs and may be any number, or come in modules of `module_gpus`. `gpu_kw` is
the power of a GPU with its share of host and cooling. A site whose round trip to the nearest cloud
region takes longer than `rtt_limit_ms` may not be used, and no site holds more GPUs than its
nameplate could feed.

Right-sizing wind sites is an idea of "AI Greenferencing" (Heron, arXiv:2505.09989), of which the
public abstract gives no formulas: the cost model and all mathematics here are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import AwareDatetime

from optmodels.errors import Flaw
from optmodels.instance import Instance
from optmodels.policy import FloatArray, frozen
from optmodels.rightsizing.sites.checks import (
    demand_flaws,
    grid_flaws,
    past_flaws,
    power_flaws,
)
from optmodels.schema import Parameters, Place, Row, Table, column
from optmodels.spacing import spacing_flaws

HOURS_PER_YEAR = 8760.0

_LARGEST = 1e12
_SECOND_MINUTES, _YEAR_MINUTES = 1 / 60, 366 * 24 * 60.0


class SitesParameters(Parameters):
    """Scalar parameters of a fleet of GPUs at wind sites."""

    slot_minutes: float = column(
        "length of a slot", unit="min", ge=_SECOND_MINUTES, le=_YEAR_MINUTES
    )
    gpu_kw: float = column(
        "power of a running GPU with its share of host and cooling", unit="kW", gt=0, le=_LARGEST
    )
    gpu_capex_usd: float = column(
        "price of a GPU with its share of host and building", unit="USD", ge=0, le=_LARGEST
    )
    gpu_life_years: float = column(
        "years over which it is paid for", unit="years", gt=0, le=_LARGEST
    )
    gpu_opex_usd_per_hour: float = column(
        "fixed operating cost of an installed GPU", unit="USD/h", ge=0, le=_LARGEST
    )
    wind_usd_per_kwh: float = column(
        "price of wind energy at a site", unit="USD/kWh", ge=0, le=_LARGEST
    )
    grid_usd_per_kwh: float = column(
        "price of grid energy where the fleet does not serve", unit="USD/kWh", ge=0, le=_LARGEST
    )
    grid_utilisation: float = column(
        "share of the time for which a GPU on the grid is useful", default=1.0, gt=0, le=1
    )
    demand_gpus: float | None = column(
        "constant demand; leave it out where there is a table 'demand'",
        unit="GPUs",
        default=None,
        ge=0,
        le=_LARGEST,
    )
    carbon_g_per_kwh: float | None = column(
        "constant carbon intensity of the grid; leave it out where there is a table 'grid'",
        unit="g/kWh",
        default=None,
        ge=0,
        le=_LARGEST,
    )
    unmet_share_max: float | None = column(
        "largest share of the demand that the fleet may leave to the grid; default: no limit",
        default=None,
        ge=0,
        le=1,
    )
    module_gpus: int | None = column(
        "GPUs of a module, of which a site holds a whole number; default: any number of GPUs",
        unit="GPUs",
        default=None,
        ge=1,
        le=10**6,
    )
    rtt_limit_ms: float = column(
        "longest round trip to the nearest cloud region", unit="ms", default=50.0, ge=0
    )
    battery_usd_per_kwh_year: float = column(
        "yearly cost of battery capacity", unit="USD/kWh/year", default=0.0, ge=0, le=_LARGEST
    )
    battery_efficiency: float = column(
        "share of the charged energy that comes out again", default=0.9, gt=0, le=1
    )
    battery_hours: float = column(
        "time to fill or empty a battery at full power", unit="h", default=4.0, gt=0, le=_LARGEST
    )
    backup_usd_per_kwh: float | None = column(
        "price of grid energy at a site; default: grid_usd_per_kwh",
        unit="USD/kWh",
        default=None,
        ge=0,
        le=_LARGEST,
    )
    zone: str | None = column("grid zone of the carbon intensity", default=None)
    quantity: Literal["direct", "lifecycle", "marginal", "unspecified"] = column(
        "what the carbon intensity counts", default="unspecified"
    )


class SiteRow(Row):
    """One wind site."""

    site: str = column("name of the site")
    nameplate_kw: float = column("nameplate power of its turbines", unit="kW", gt=0, le=_LARGEST)
    rtt_ms: float = column("round trip to the nearest cloud region", unit="ms", ge=0, le=_LARGEST)
    opening_usd_per_year: float = column(
        "yearly fixed cost of using the site at all", unit="USD/year", ge=0, le=_LARGEST
    )
    battery_max_kwh: float = column(
        "largest battery that may be installed; 0 for none", unit="kWh", ge=0, le=_LARGEST
    )
    backup_kw: float = column(
        "grid power that the site may draw; 0 for none", unit="kW", ge=0, le=_LARGEST
    )


class PowerRow(Row):
    """Wind power of a site in a slot."""

    time: AwareDatetime = column("start of the slot, UTC")
    site: str = column("name of the site")
    power_kw: float = column("mean wind power", unit="kW", ge=0, le=_LARGEST)


class DemandRow(Row):
    """Demand of one slot."""

    time: AwareDatetime = column("start of the slot, UTC")
    gpus: float = column("GPUs that the demand keeps busy", unit="GPUs", ge=0, le=_LARGEST)


class GridRow(Row):
    """The grid in one slot."""

    time: AwareDatetime = column("start of the slot, UTC")
    carbon_g_per_kwh: float = column("carbon intensity", unit="g/kWh", ge=0, le=_LARGEST)


class SitesInstance(Instance):
    """Frozen data of a fleet of GPUs at wind sites.

    Tables: ``sites``, ``power`` (one row per slot and site), and optionally ``demand`` and ``grid``
    (one row per slot), and ``past``: the wind of an earlier time, on which rules then decide
    instead of on the series that they are judged by.

    Arrays are by slot (T of them) and site (S, in the order of their names).
    """

    problem: ClassVar[str] = "rightsizing.sites"
    title: ClassVar[str] = "Which wind sites get how many GPUs?"
    parameters_model: ClassVar[type[Parameters]] = SitesParameters
    table_models: ClassVar[Mapping[str, Table]] = {
        "sites": Table(SiteRow, ("site",), "Wind sites."),
        "power": Table(PowerRow, ("time", "site"), "Wind power, one row per slot and site."),
        "demand": Table(
            DemandRow, ("time",), "Demand of each slot, where it is not constant.", required=False
        ),
        "grid": Table(
            GridRow, ("time",), "Carbon intensity of the grid, if not constant.", required=False
        ),
        "past": Table(PowerRow, ("time", "site"), "Wind power of an earlier time.", required=False),
    }

    @classmethod
    def _check(
        cls,
        parameters: Any,
        tables: Mapping[str, pd.DataFrame],
        places: Mapping[str, Place],
    ) -> list[Flaw]:
        step = pd.Timedelta(minutes=parameters.slot_minutes)
        flaws: list[Flaw] = []
        for name in ("power", "demand", "grid", "past"):
            if name in tables:
                flaws += spacing_flaws(tables[name]["time"], step, places[name])
        for name in ("power", "past"):
            if name in tables:
                flaws += power_flaws(tables[name], tables["sites"], places[name])
        flaws += demand_flaws(parameters, tables, places)
        flaws += grid_flaws(parameters, tables, places)
        flaws += past_flaws(parameters, tables, places)
        return flaws

    @property
    def slots(self) -> int:
        """T: number of slots."""
        return len(self.times)

    @property
    def slot_hours(self) -> float:
        """Δ: length of a slot [h]."""
        return float(self.parameters.slot_minutes) / 60

    @property
    def hours(self) -> float:
        """Length of all slots together [h]."""
        return self.slots * self.slot_hours

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """Starts of the slots, UTC."""
        every = self._tables["power"]["time"].iloc[:: len(self.sites)]
        return pd.DatetimeIndex(every, name="time")

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites, in the order of every array by site."""
        return tuple(str(name) for name in self._tables["sites"]["site"])

    @cached_property
    def power_kw(self) -> FloatArray:
        """Wind power [kW], shape (T, S), read-only."""
        return self._matrix("power")

    @cached_property
    def past_kw(self) -> FloatArray | None:
        """Wind power of an earlier time [kW], shape (T', S); None where there is none."""
        return self._matrix("past") if "past" in self._tables else None

    def _matrix(self, name: str) -> FloatArray:
        return frozen(self._tables[name]["power_kw"]).reshape(-1, len(self.sites))

    @cached_property
    def nameplate_kw(self) -> FloatArray:
        """Nameplate power of each site [kW], shape (S,)."""
        return frozen(self._tables["sites"]["nameplate_kw"])

    @cached_property
    def eligible(self) -> NDArray[np.bool_]:
        """Whether each site is near enough to a cloud region, shape (S,)."""
        near: NDArray[np.bool_] = (
            self._tables["sites"]["rtt_ms"].to_numpy() <= self.parameters.rtt_limit_ms
        )
        near.flags.writeable = False
        return near

    @cached_property
    def most_gpus(self) -> FloatArray:
        """Largest size of each site [GPUs], whole modules where there are any, shape (S,)."""
        most = np.where(self.eligible, self.nameplate_kw / self.gpu_kw, 0.0)
        if self.parameters.module_gpus is not None:
            most = self.whole_modules(most)
        return frozen(most)

    def whole_modules(self, gpus: FloatArray) -> FloatArray:
        """Sizes rounded down to whole modules; unchanged where there are no modules."""
        module = self.parameters.module_gpus
        if module is None:
            return gpus
        # A size that is whole but for its last digits is whole.
        modules: FloatArray = np.floor(gpus / module * (1 + 1e-12) + 1e-12) * module
        return modules

    @cached_property
    def opening_usd(self) -> FloatArray:
        """Cost of using each site through all slots [USD], shape (S,)."""
        yearly = self._tables["sites"]["opening_usd_per_year"].to_numpy()
        return frozen(yearly * self.hours / HOURS_PER_YEAR)

    @cached_property
    def battery_max_kwh(self) -> FloatArray:
        """Largest battery of each site [kWh], shape (S,); 0 where the site may not be used."""
        return frozen(self._tables["sites"]["battery_max_kwh"].to_numpy() * self.eligible)

    @cached_property
    def backup_kw(self) -> FloatArray:
        """Grid power that each site may draw [kW], shape (S,); 0 where it may not be used."""
        return frozen(self._tables["sites"]["backup_kw"].to_numpy() * self.eligible)

    @cached_property
    def demand(self) -> FloatArray:
        """Demand of each slot [GPUs], shape (T,), read-only."""
        if "demand" in self._tables:
            return frozen(self._tables["demand"]["gpus"])
        return frozen(np.full(self.slots, float(self.parameters.demand_gpus)))

    @cached_property
    def carbon(self) -> FloatArray:
        """Carbon intensity of the grid in each slot [g/kWh], shape (T,), read-only."""
        if "grid" in self._tables:
            return frozen(self._tables["grid"]["carbon_g_per_kwh"])
        return frozen(np.full(self.slots, float(self.parameters.carbon_g_per_kwh)))

    @property
    def gpu_kw(self) -> float:
        """w: power of a running GPU [kW]."""
        return float(self.parameters.gpu_kw)

    @property
    def installed_usd(self) -> float:
        """K: cost of an installed GPU-hour, used or not [USD/h]."""
        p = self.parameters
        return float(
            p.gpu_capex_usd / (p.gpu_life_years * HOURS_PER_YEAR) + p.gpu_opex_usd_per_hour
        )

    @property
    def grid_usd(self) -> float:
        """c_g: cost of a useful GPU-hour on the grid [USD/h], its GPU and its energy."""
        p = self.parameters
        return float(self.installed_usd / p.grid_utilisation + p.gpu_kw * p.grid_usd_per_kwh)

    @property
    def wind_usd(self) -> float:
        """Cost w p_wind of the wind energy of a GPU-hour [USD/h]."""
        return float(self.parameters.gpu_kw * self.parameters.wind_usd_per_kwh)

    @property
    def backup_usd(self) -> float:
        """Cost of the grid energy of a GPU-hour at a site [USD/h]."""
        p = self.parameters
        price = p.grid_usd_per_kwh if p.backup_usd_per_kwh is None else p.backup_usd_per_kwh
        return float(p.gpu_kw * price)

    @property
    def battery_usd(self) -> float:
        """Cost of a kWh of battery through all slots [USD/kWh]."""
        return float(self.parameters.battery_usd_per_kwh_year * self.hours / HOURS_PER_YEAR)

    @property
    def break_even(self) -> float:
        """U*: the utilisation from which wind is cheaper than the grid, K / (c_g - w p_wind).

        Infinite where the wind energy alone costs as much as the grid.
        """
        margin = self.grid_usd - self.wind_usd
        return self.installed_usd / margin if margin > 0 else float("inf")

    @property
    def unmet_most(self) -> float:
        """Largest demand that may be left to the grid [GPU-hours]; infinite without a limit."""
        share = self.parameters.unmet_share_max
        if share is None:
            return float("inf")
        return float(share * self.demand.sum() * self.slot_hours)

    def model(self) -> Any:
        """The sizing as an ordinary Pyomo model, to edit or to give to another solver."""
        from optmodels.rightsizing.sites.model import concrete_model

        return concrete_model(self)
