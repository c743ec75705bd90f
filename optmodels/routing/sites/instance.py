"""Inference requests at wind sites: what is known, and what is asked.

Clusters of GPUs stand at wind farms, behind the meter. What power there is at each site changes
from period to period, and so do the requests that arrive at each origin in each class. A request
may be served at any site and by any row of the profile (`optmodels.routing.sites.profile`); it
counts if it keeps the latency limits of its class, the round trip to the site included. Which
instances are configured at each site, at which settings do they run, and where does each request
go, so that the fewest requests are lost?

Time has two steps. In each *period* (`period_seconds`) the power and the demand are constant and
metered, and settings and flows may change. Every *slot* (`slot_minutes`) planners look at which
instances should be configured; an instance that is newly configured loads weights for
`reload_seconds` and serves nothing meanwhile.

A site may draw up to `backup_kw` from the grid where wind does not suffice. Configured GPUs that
do not run draw `gpu_idle_kw` with `keep_warm`, nothing without.

The setting is that of Heron, the router of "AI Greenferencing" (arXiv:2505.09989), of which the
public abstract gives neither formulas nor tables: the mathematics, the physics of reloading and
the treatment of time are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import AwareDatetime, create_model

from optmodels.errors import Flaw
from optmodels.instance import Instance
from optmodels.policy import FloatArray, frozen
from optmodels.routing.sites.checks import instance_flaws
from optmodels.routing.sites.profile import BoolArray, IntArray, Profile, integers
from optmodels.schema import Parameters, Place, Row, Table, column

_LARGEST = 1e12
_YEAR_SECONDS = 366 * 24 * 3600.0


class RoutingParameters(Parameters):
    """Scalar parameters of a fleet at wind sites."""

    slot_minutes: float = column(
        "time between two choices of what is configured; a whole number of periods",
        unit="min",
        default=15.0,
        gt=0,
        le=_YEAR_SECONDS / 60,
    )
    period_seconds: float = column(
        "length of a period: of constant power, demand, settings and flows",
        unit="s",
        default=300.0,
        ge=1,
        le=_YEAR_SECONDS,
    )
    gpu_idle_kw: float = column(
        "power of a configured GPU that does not run, where GPUs are kept warm",
        unit="kW",
        default=0.0,
        ge=0,
        le=_LARGEST,
    )
    keep_warm: bool = column("whether configured GPUs that do not run stay on", default=False)
    reload_seconds: float = column(
        "time for which a newly configured instance loads and serves nothing",
        unit="s",
        default=30.0,
        ge=0,
        le=24 * 3600.0,
    )
    second_objective: Literal["latency", "power"] = column(
        "what is least among plans that lose equally few requests", default="latency"
    )
    wind_g_per_kwh: float = column(
        "carbon intensity of wind energy", unit="g/kWh", default=0.0, ge=0, le=_LARGEST
    )
    wind_usd_per_kwh: float = column(
        "price of wind energy", unit="USD/kWh", default=0.0, ge=0, le=_LARGEST
    )


# A column called "class" cannot be written as an attribute.
_CLASS: Any = (str, column("class of requests, such as SL: short input, long output"))
_TIME: Any = (AwareDatetime, column("start of the period, UTC"))


def _limit(description: str) -> Any:
    return (float, column(description, unit="s", gt=0, le=_LARGEST))


def _seconds(description: str) -> Any:
    return (float, column(description, unit="s", ge=0, le=_LARGEST))


ClassRow = create_model(
    "ClassRow",
    __base__=Row,
    __doc__="One class of requests.",
    **{
        "class": _CLASS,
        "input_tokens": (float, column("mean length of the input", unit="tokens", gt=0)),
        "output_tokens": (float, column("mean length of the output", unit="tokens", gt=0)),
        "ttft_limit_s": _limit("longest time to the first token, network included"),
        "tbt_limit_s": _limit("longest time between tokens"),
        "e2e_limit_s": _limit("longest time from end to end, network included"),
        "weight": (float, column("what a request counts", ge=0, le=1e6)),
    },
)

ProfileRow = create_model(
    "ProfileRow",
    __base__=Row,
    __doc__="One setting of an instance that serves a class.",
    **{
        "row": (int, column("number of the row", ge=0)),
        "class": _CLASS,
        "tp": (int, column("GPUs of one instance", unit="GPUs", ge=1, le=10**6)),
        "frequency": (float, column("clock as a share of the fastest", gt=0, le=1)),
        "batch": (float, column("requests served together", unit="requests", gt=0, le=_LARGEST)),
        "requests_per_s": (
            float,
            column("requests that one instance serves", unit="1/s", gt=0, le=_LARGEST),
        ),
        "power_kw": (
            float,
            column(
                "power of one instance with its share of the host", unit="kW", gt=0, le=_LARGEST
            ),
        ),
        "ttft_s": _seconds("time to the first token, without the network"),
        "tbt_s": _seconds("time between tokens"),
        "e2e_s": _seconds("time from end to end, without the network"),
    },
)

DemandRow = create_model(
    "DemandRow",
    __base__=Row,
    __doc__="Requests of one class from one origin in one period.",
    **{
        "time": _TIME,
        "origin": (str, column("where requests come from")),
        "class": _CLASS,
        "requests_per_s": (float, column("mean arrivals", unit="1/s", ge=0, le=_LARGEST)),
    },
)


class SiteRow(Row):
    """One wind site."""

    site: str = column("name of the site")
    gpus: int = column("GPUs that stand there", unit="GPUs", ge=0, le=10**9)
    nameplate_kw: float = column("nameplate power of its turbines", unit="kW", gt=0, le=_LARGEST)
    backup_kw: float = column(
        "grid power that the site may draw; 0 for none", unit="kW", ge=0, le=_LARGEST
    )


class LinkRow(Row):
    """Round trip between an origin and a site."""

    origin: str = column("where requests come from")
    site: str = column("name of the site")
    rtt_ms: float = column("round trip", unit="ms", ge=0, le=_LARGEST)


class PowerRow(Row):
    """Wind power of a site in a period."""

    time: AwareDatetime = column("start of the period, UTC")
    site: str = column("name of the site")
    power_kw: float = column("mean wind power", unit="kW", ge=0, le=_LARGEST)


class GridRow(Row):
    """The grid at a site in a period."""

    time: AwareDatetime = column("start of the period, UTC")
    site: str = column("name of the site")
    carbon_g_per_kwh: float = column("carbon intensity", unit="g/kWh", ge=0, le=_LARGEST)
    usd_per_kwh: float = column("price", unit="USD/kWh", ge=0, le=_LARGEST)


class RoutingInstance(Instance):
    """Frozen data of inference requests at wind sites.

    Tables: ``classes``, ``profile``, ``sites``, ``links`` (every origin with every site), ``power``
    (every period and site), ``demand`` (every period, origin and class), and optionally
    ``published`` (the forecast of the power, published the day before), ``grid`` (needed where a
    site may draw from it) and ``past`` (the power before the first period).

    Arrays are by period (T of them), origin (O), site (S), class (C), row of the profile (R) and
    tensor-parallel degree (G); names are in alphabetical order, rows and degrees ascending.
    """

    problem: ClassVar[str] = "routing.sites"
    title: ClassVar[str] = "Which wind sites serve which inference requests, and at which settings?"
    parameters_model: ClassVar[type[Parameters]] = RoutingParameters
    table_models: ClassVar[Mapping[str, Table]] = {
        "classes": Table(ClassRow, ("class",), "Classes of requests and their latency limits."),
        "profile": Table(ProfileRow, ("row",), "Settings of an instance."),
        "sites": Table(SiteRow, ("site",), "Wind sites."),
        "links": Table(LinkRow, ("origin", "site"), "Round trips between origins and sites."),
        "power": Table(PowerRow, ("time", "site"), "Wind power, one row per period and site."),
        "demand": Table(
            DemandRow,
            ("time", "origin", "class"),
            "Requests, one row per period, origin and class.",
        ),
        "published": Table(
            PowerRow,
            ("time", "site"),
            "Forecast of the wind power, published the day before.",
            required=False,
        ),
        "grid": Table(GridRow, ("time", "site"), "The grid at the sites.", required=False),
        "past": Table(
            PowerRow, ("time", "site"), "Wind power before the first period.", required=False
        ),
    }

    @classmethod
    def _check(
        cls,
        parameters: Any,
        tables: Mapping[str, pd.DataFrame],
        places: Mapping[str, Place],
    ) -> list[Flaw]:
        return instance_flaws(parameters, tables, places)

    @property
    def periods(self) -> int:
        """T: number of periods."""
        return len(self.times)

    @property
    def period_seconds(self) -> float:
        """Length of a period [s]."""
        return float(self.parameters.period_seconds)

    @property
    def period_hours(self) -> float:
        """Length of a period [h]."""
        return self.period_seconds / 3600

    @property
    def periods_per_slot(self) -> int:
        """Periods between two choices of what is configured."""
        return round(float(self.parameters.slot_minutes) * 60 / self.period_seconds)

    @property
    def periods_per_day(self) -> int:
        """Periods in 24 hours, at least one."""
        return max(1, round(24 * 3600 / self.period_seconds))

    @property
    def reload_seconds(self) -> float:
        """Time for which a newly configured instance serves nothing [s]."""
        return float(self.parameters.reload_seconds)

    @property
    def idle_kw(self) -> float:
        """Power of a configured GPU that does not run [kW]; 0 where GPUs are not kept warm."""
        p = self.parameters
        return float(p.gpu_idle_kw) if p.keep_warm else 0.0

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """Starts of the periods, UTC."""
        every = self._tables["power"]["time"].iloc[:: len(self.sites)]
        return pd.DatetimeIndex(every, name="time")

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites."""
        return tuple(str(name) for name in self._tables["sites"]["site"])

    @cached_property
    def origins(self) -> tuple[str, ...]:
        """Names of the origins."""
        every = self._tables["links"]["origin"].iloc[:: len(self.sites)]
        return tuple(str(name) for name in every)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(str(name) for name in self._tables["classes"]["class"])

    @cached_property
    def power_kw(self) -> FloatArray:
        """Wind power [kW], shape (T, S)."""
        return self._by_site("power", "power_kw")

    @cached_property
    def published_kw(self) -> FloatArray | None:
        """Wind power as published the day before [kW], shape (T, S); None where it was not."""
        return self._by_site("published", "power_kw") if "published" in self._tables else None

    @cached_property
    def past_kw(self) -> FloatArray | None:
        """Wind power before the first period [kW], shape (T', S); None where there is none."""
        return self._by_site("past", "power_kw") if "past" in self._tables else None

    def _by_site(self, table: str, label: str) -> FloatArray:
        values = self._tables[table][label].to_numpy(dtype=np.float64)
        return frozen(values.reshape(-1, len(self.sites)))

    @cached_property
    def demand(self) -> FloatArray:
        """Arriving requests [1/s], shape (T, O, C)."""
        values = self._tables["demand"]["requests_per_s"].to_numpy(dtype=np.float64)
        return frozen(values.reshape(-1, len(self.origins), len(self.classes)))

    @cached_property
    def rtt_s(self) -> FloatArray:
        """Round trips [s], shape (O, S)."""
        return frozen(self._by_site("links", "rtt_ms") / 1000)

    @cached_property
    def gpus(self) -> IntArray:
        """GPUs of each site, shape (S,)."""
        return integers(self._tables["sites"]["gpus"])

    @cached_property
    def nameplate_kw(self) -> FloatArray:
        """Nameplate power of each site [kW], shape (S,)."""
        return frozen(self._tables["sites"]["nameplate_kw"])

    @cached_property
    def backup_kw(self) -> FloatArray:
        """Grid power that each site may draw [kW], shape (S,)."""
        return frozen(self._tables["sites"]["backup_kw"])

    @property
    def has_grid(self) -> bool:
        """Whether carbon intensity and price of the grid are given."""
        return "grid" in self._tables

    @cached_property
    def carbon(self) -> FloatArray:
        """Carbon intensity of the grid at each site [g/kWh], shape (T, S); 0 where not given."""
        return self._of_grid("carbon_g_per_kwh")

    @cached_property
    def price(self) -> FloatArray:
        """Price of grid energy at each site [USD/kWh], shape (T, S); 0 where not given."""
        return self._of_grid("usd_per_kwh")

    def _of_grid(self, label: str) -> FloatArray:
        values = np.zeros((self.periods, len(self.sites)))
        if self.has_grid:
            grid = self._tables["grid"]
            period = self.times.get_indexer(pd.DatetimeIndex(grid["time"]))
            site = pd.Index(self.sites).get_indexer(pd.Index(grid["site"]))
            values[period, site] = grid[label]
        return frozen(values)

    @cached_property
    def weight(self) -> FloatArray:
        """What a request of each class counts, shape (C,)."""
        return frozen(self._tables["classes"]["weight"])

    @cached_property
    def profile(self) -> Profile:
        """Rows of the profile."""
        rows, limits = self._tables["profile"], self._tables["classes"]
        return Profile(
            row=integers(rows["row"]),
            row_class=integers(pd.Index(self.classes).get_indexer(pd.Index(rows["class"]))),
            tp=integers(rows["tp"]),
            rate=frozen(rows["requests_per_s"]),
            kw=frozen(rows["power_kw"]),
            ttft=frozen(rows["ttft_s"]),
            tbt=frozen(rows["tbt_s"]),
            e2e=frozen(rows["e2e_s"]),
            frequency=frozen(rows["frequency"]),
            batch=frozen(rows["batch"]),
            ttft_limit=frozen(limits["ttft_limit_s"]),
            tbt_limit=frozen(limits["tbt_limit_s"]),
            e2e_limit=frozen(limits["e2e_limit_s"]),
        )

    @cached_property
    def arcs(self) -> BoolArray:
        """Whether requests keep their limits, by origin, site and row, shape (O, S, R)."""
        return self.profile.ok(self.rtt_s)

    def model(self) -> Any:
        """The plan of the first slot as an ordinary Pyomo model, to edit or to solve elsewhere."""
        from optmodels.routing.sites.model import concrete_model

        return concrete_model(self)
