"""One elastic job: what is known, and what is asked.

A batch job has to do `work` before its deadline. It can run on more or fewer servers in each slot,
and pause; the carbon intensity of its electricity changes from slot to slot, and every change of
the number of servers costs `switching_g` per server. Which servers run when, so that the least
carbon is emitted?

Units: the scaling profile says for a number of servers how much work a slot does (`throughput`, in
any unit of work per slot, the unit of `work`) and how much power it draws (`power_kw`). Without
one, a single "server" stands for the whole capacity: throughput 1 per slot, 1 kW, so that work
counts full-rate slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import AwareDatetime

from optmodels.errors import Flaw
from optmodels.instance import Instance
from optmodels.policy import FloatArray, frozen
from optmodels.scaling.job.checks import (
    parameter_flaws,
    profile_flaws,
)
from optmodels.scaling.job.profile import ScalingProfile, upper_hull
from optmodels.scaling.vintages import ForecastRow, forecast_flaws, newest_issued
from optmodels.schema import Parameters, Place, Row, Table, column
from optmodels.spacing import spacing_flaws

# The ratio of the window bounds enters every competitive ratio; a single hour of carbon-free power
# in the history must not make it infinite.
LOWEST_WINDOW_SHARE = 1e-3

# Far beyond anything real, and far from where sums of 64-bit numbers lose their digits.
_LARGEST = 1e12
_SECOND_MINUTES, _YEAR_MINUTES = 1 / 60, 366 * 24 * 60.0
_ROUNDING = 1e-12


class JobParameters(Parameters):
    """Scalar parameters of one elastic job."""

    work: float = column(
        "work to be done, in units of throughput × slots", unit="work", gt=0, le=_LARGEST
    )
    switching_g: float = column(
        "carbon cost of switching one server on or off", unit="g/server", ge=0, le=_LARGEST
    )
    deadline_slots: int = column("slots until the work must be done", unit="slots", ge=1)
    slot_minutes: float = column(
        "length of a slot", unit="min", ge=_SECOND_MINUTES, le=_YEAR_MINUTES
    )
    rate_cap: float | None = column(
        "largest number of servers in a slot; default: the largest of the profile",
        unit="servers",
        default=None,
        gt=0,
    )
    carbon_lower_g_per_kwh: float | None = column(
        "lower end of the window of carbon intensities that online algorithms assume",
        unit="g/kWh",
        default=None,
        gt=0,
    )
    carbon_upper_g_per_kwh: float | None = column(
        "upper end of that window", unit="g/kWh", default=None, gt=0
    )
    work_min: float | None = column(
        "shortest work that the planner holds possible; hides the true work",
        unit="work",
        default=None,
        gt=0,
    )
    work_max: float | None = column(
        "longest work that the planner holds possible; hides the true work",
        unit="work",
        default=None,
        gt=0,
    )
    work_predicted: float | None = column(
        "prediction of the work, given at arrival", unit="work", default=None, gt=0
    )
    zone: str | None = column("grid zone of the carbon intensity", default=None)
    quantity: Literal["direct", "lifecycle", "marginal", "unspecified"] = column(
        "what the carbon intensity counts", default="unspecified"
    )


class CarbonRow(Row):
    """Carbon intensity of one slot."""

    time: AwareDatetime = column("start of the slot, UTC")
    carbon_g_per_kwh: float = column(
        "carbon intensity of electricity", unit="g/kWh", ge=0, le=_LARGEST
    )


class ProfileRow(Row):
    """What a number of servers does and draws."""

    servers: float = column("number of servers", unit="servers", gt=0, le=_LARGEST)
    throughput: float = column("work done in a slot", unit="work/slot", ge=0, le=_LARGEST)
    power_kw: float = column("power drawn", unit="kW", gt=0, le=_LARGEST)


@dataclass(frozen=True)
class UnitScale:
    """The job in units of its full rate, the form in which threshold algorithms are stated.

    A rate x = 1 is all servers of the profile. Then a slot costs c x + β |x - x_before| grams with
    c = carbon intensity × `kwh`, and the job is J = work / `throughput` full-rate slots long. This
    is exact where work and power are proportional to servers, and a simplification elsewhere.

    Attributes
    ----------
    servers
        Servers at x = 1.
    throughput
        Work per slot at x = 1.
    kwh
        Energy of one slot at x = 1 [kWh].
    switching_g
        β: cost of changing x by 1 [g].
    cap
        d: largest x in a slot.
    """

    servers: float
    throughput: float
    kwh: float
    switching_g: float
    cap: float


class JobInstance(Instance):
    """Frozen data of one elastic job with carbon and switching cost.

    Tables: ``carbon`` (one row per slot), and optionally ``profile`` (servers, throughput, power),
    ``history`` (carbon intensity before the start) and ``forecast`` (real forecasts by issue time).
    """

    problem: ClassVar[str] = "scaling.job"
    title: ClassVar[str] = "When should one elastic job run, and on how many servers?"
    parameters_model: ClassVar[type[Parameters]] = JobParameters
    table_models: ClassVar[Mapping[str, Table]] = {
        "carbon": Table(CarbonRow, ("time",), "Carbon intensity, one row per slot."),
        "profile": Table(
            ProfileRow,
            ("servers",),
            "Scaling profile; without it one server is the whole capacity, at 1 kW.",
            required=False,
        ),
        "history": Table(
            CarbonRow, ("time",), "Carbon intensity before the first slot.", required=False
        ),
        "forecast": Table(
            ForecastRow, ("issue_time", "time"), "Real forecasts by issue time.", required=False
        ),
    }

    @classmethod
    def _check(
        cls,
        parameters: Any,
        tables: Mapping[str, pd.DataFrame],
        places: Mapping[str, Place],
    ) -> list[Flaw]:
        flaws = parameter_flaws(parameters)
        step = pd.Timedelta(minutes=parameters.slot_minutes)
        for name in ("carbon", "history"):
            if name in tables:
                flaws += spacing_flaws(tables[name]["time"], step, places[name])
        carbon = tables["carbon"]
        if len(carbon) < parameters.deadline_slots:
            flaws.append(
                Flaw(
                    f"has only {len(carbon)} slots for a deadline after "
                    f"{parameters.deadline_slots}",
                    file=places["carbon"].file,
                    allowed=f"at least {parameters.deadline_slots} rows",
                    cause="the file was cut off, or the deadline is too late",
                    fix="restore the missing rows, or lower deadline_slots",
                )
            )
        if "history" in tables:
            last, first = tables["history"]["time"].max(), carbon["time"].min()
            if last + step != first:
                what = f"ends at {last.isoformat()}, not one slot before {first.isoformat()}"
                fix = "let the history end where the carbon table begins"
                flaws.append(Flaw(what, file=places["history"].file, field="time", fix=fix))
        if "profile" in tables:
            flaws += profile_flaws(tables["profile"], parameters, places["profile"])
        elif parameters.rate_cap is not None and parameters.rate_cap > 1:
            flaws.append(
                Flaw(
                    "is too large",
                    field="rate_cap",
                    value=parameters.rate_cap,
                    allowed="at most 1: without a profile one server is the whole capacity",
                    fix="add a table 'profile', or leave the rate cap out",
                )
            )
        if "forecast" in tables:
            flaws += forecast_flaws(tables["forecast"], places["forecast"])
        return flaws

    @property
    def slots(self) -> int:
        """T: number of slots until the deadline."""
        slots: int = self.parameters.deadline_slots
        return slots

    @property
    def slot_hours(self) -> float:
        """Δ: length of a slot [h]."""
        return float(self.parameters.slot_minutes) / 60

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """Starts of the slots until the deadline, UTC."""
        return pd.DatetimeIndex(self._tables["carbon"]["time"][: self.slots], name="time")

    @cached_property
    def carbon(self) -> FloatArray:
        """Carbon intensity of each slot until the deadline [g/kWh], shape (T,), read-only."""
        return frozen(self._tables["carbon"]["carbon_g_per_kwh"].to_numpy()[: self.slots])

    @cached_property
    def history(self) -> FloatArray:
        """Carbon intensity before the first slot [g/kWh], oldest first, read-only."""
        if "history" not in self._tables:
            return frozen(np.empty(0))
        return frozen(self._tables["history"]["carbon_g_per_kwh"])

    @cached_property
    def profile(self) -> ScalingProfile:
        """The levels that can be worth using: the concave hull of the measured profile."""
        return ScalingProfile.of(*self.measured)

    @cached_property
    def measured(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Servers, throughput and power [kW] of each measured level, as the table has them."""
        if "profile" not in self._tables:
            one = frozen([1.0])
            return one, one, one
        table = self._tables["profile"]
        servers, throughput, power = (frozen(table[name]) for name in ProfileRow.model_fields)
        return servers, throughput, power

    @cached_property
    def levels(self) -> ScalingProfile:
        """The levels that an optimum may need: the hull, or all measured levels.

        Where servers themselves are dear, by a switching cost or a cap that binds, a level off the
        hull can be worth using: it may do its work with fewer servers, or keep servers on at
        little power. The hull is enough where every other level is beaten by a mix of hull levels
        that averages as many servers, does no less work and draws no more power (with power in
        proportion to servers, always). Our derivation, checked numerically in
        tests/scaling/job/test_model.py.
        """
        hull = self.profile
        servers, throughput, power_kw = self.measured
        beaten = (
            (servers <= hull.servers[-1])
            & (np.interp(servers, hull.servers, hull.throughput) >= throughput * (1 - _ROUNDING))
            & (np.interp(servers, hull.servers, hull.power_kw) <= power_kw * (1 + _ROUNDING))
        )
        free = self.parameters.switching_g == 0 and self.cap >= hull.servers[-1]
        if free or beaten.all():
            return hull
        return ScalingProfile(*(np.append(0.0, values) for values in self.measured))

    @cached_property
    def cap(self) -> float:
        """Largest number of servers in a slot; beyond the greatest throughput there is no use."""
        largest = float(self.profile.servers[-1])
        cap = self.parameters.rate_cap
        return largest if cap is None else min(float(cap), largest)

    @cached_property
    def most_work(self) -> float:
        """Most work that a slot can hold under the cap, by any mix of measured levels."""
        servers, throughput, power_kw = (np.append(0.0, values) for values in self.measured)
        best = upper_hull(servers, throughput, power_kw)
        return float(np.interp(self.cap, servers[best], throughput[best]))

    @cached_property
    def window(self) -> tuple[float, float] | None:
        """Carbon intensities (L, U) [g/kWh] that online algorithms assume.

        The parameters where they are given, else the extremes of the history, else None. L is kept
        above a thousandth of U.
        """
        lower = self.parameters.carbon_lower_g_per_kwh
        upper = self.parameters.carbon_upper_g_per_kwh
        if lower is not None:
            return float(lower), float(upper)
        if not self.history.size or self.history.max() <= 0:
            return None
        high = float(self.history.max())
        return max(float(self.history.min()), LOWEST_WINDOW_SHARE * high), high

    @cached_property
    def unit(self) -> UnitScale:
        """The job in units of its full rate."""
        profile = self.profile
        servers = float(profile.servers[-1])
        return UnitScale(
            servers=servers,
            throughput=float(profile.throughput[-1]),
            kwh=float(profile.power_kw[-1]) * self.slot_hours,
            switching_g=float(self.parameters.switching_g) * servers,
            cap=profile.work_at(self.cap) / float(profile.throughput[-1]),
        )

    @property
    def length_hidden(self) -> bool:
        """Whether the planner knows only bounds on the work."""
        return self.parameters.work_min is not None

    def vintages(self) -> FloatArray | None:
        """Real forecasts as a (T, T) table: row t holds the newest values issued by slot t."""
        if "forecast" not in self._tables:
            return None
        return newest_issued(self._tables["forecast"], self.times)

    def model(self) -> Any:
        """The job as an ordinary Pyomo model, to edit or to give to another solver."""
        from optmodels.scaling.job.model import concrete_model

        return concrete_model(self)
