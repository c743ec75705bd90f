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
from optmodels.policy import FloatArray
from optmodels.scaling.job.scaling_profile import ScalingProfile
from optmodels.schema import Parameters, Place, Row, Table, column

# The ratio of the window bounds enters every competitive ratio; a single hour of carbon-free power
# in the history must not make it infinite.
LOWEST_WINDOW_SHARE = 1e-3


class JobParameters(Parameters):
    """Scalar parameters of one elastic job."""

    work: float = column("work to be done, in units of throughput × slots", unit="work", gt=0)
    switching_g: float = column(
        "carbon cost of switching one server on or off", unit="g/server", ge=0
    )
    deadline_slots: int = column("slots until the work must be done", unit="slots", ge=1)
    slot_minutes: float = column("length of a slot", unit="min", gt=0)
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
    carbon_g_per_kwh: float = column("carbon intensity of electricity", unit="g/kWh", ge=0)


class ProfileRow(Row):
    """What a number of servers does and draws."""

    servers: float = column("number of servers", unit="servers", gt=0)
    throughput: float = column("work done in a slot", unit="work/slot", ge=0)
    power_kw: float = column("power drawn", unit="kW", gt=0)


class ForecastRow(Row):
    """One value of a real forecast."""

    issue_time: AwareDatetime = column("when the forecast was issued, UTC")
    time: AwareDatetime = column("start of the slot it speaks of, UTC")
    carbon_g_per_kwh: float = column("forecast carbon intensity", unit="g/kWh", ge=0)


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
        flaws = _parameter_flaws(parameters)
        step = pd.Timedelta(minutes=parameters.slot_minutes)
        for name in ("carbon", "history"):
            if name in tables:
                flaws += _spacing_flaws(tables[name]["time"], step, places[name])
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
        if "history" in tables and not flaws:
            last, first = tables["history"]["time"].max(), carbon["time"].min()
            if last + step != first:
                what = f"ends at {last.isoformat()}, not one slot before {first.isoformat()}"
                fix = "let the history end where the carbon table begins"
                flaws.append(Flaw(what, file=places["history"].file, field="time", fix=fix))
        if "profile" in tables:
            flaws += _profile_flaws(tables["profile"], parameters, places["profile"])
        if "forecast" in tables:
            flaws += _forecast_flaws(tables["forecast"], places["forecast"])
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

    @property
    def times(self) -> pd.DatetimeIndex:
        """Starts of the slots until the deadline, UTC."""
        return pd.DatetimeIndex(self._tables["carbon"]["time"][: self.slots], name="time")

    @cached_property
    def carbon(self) -> FloatArray:
        """Carbon intensity of each slot until the deadline [g/kWh], shape (T,), read-only."""
        return _frozen(self._tables["carbon"]["carbon_g_per_kwh"].to_numpy()[: self.slots])

    @cached_property
    def history(self) -> FloatArray:
        """Carbon intensity before the first slot [g/kWh], oldest first, read-only."""
        if "history" not in self._tables:
            return _frozen(np.empty(0))
        return _frozen(self._tables["history"]["carbon_g_per_kwh"].to_numpy())

    @cached_property
    def profile(self) -> ScalingProfile:
        """The levels that can be worth using: the concave hull of the measured profile."""
        return ScalingProfile.of(*self.measured)

    @cached_property
    def measured(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Servers, throughput and power [kW] of each measured level, as the table has them."""
        if "profile" not in self._tables:
            one = _frozen(np.ones(1))
            return one, one, one
        table = self._tables["profile"]
        servers, throughput, power = (
            _frozen(table[name].to_numpy(dtype=np.float64)) for name in table.columns
        )
        return servers, throughput, power

    @property
    def cap(self) -> float:
        """Largest number of servers in a slot."""
        largest = float(self.profile.servers[-1])
        cap = self.parameters.rate_cap
        return largest if cap is None else min(float(cap), largest)

    @property
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

    @property
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
        """Real forecasts as a (T, T) table: row t holds the newest values issued by slot t.

        A newer issue replaces an older one where it speaks; NaN where nothing was issued.
        """
        if "forecast" not in self._tables:
            return None
        frame = self._tables["forecast"]
        times = self.times
        valid = times.get_indexer(pd.DatetimeIndex(frame["time"]))
        issued = times.searchsorted(pd.DatetimeIndex(frame["issue_time"]), side="left")
        values = frame["carbon_g_per_kwh"].to_numpy()
        table = np.full((times.size, times.size), np.nan)
        newest = np.full(times.size, np.nan)
        for slot in range(times.size):
            fresh = (issued == slot) & (valid >= 0)
            # Rows are sorted by issue time, so a later issue overwrites an earlier one.
            newest[valid[fresh]] = values[fresh]
            table[slot] = newest
        return table

    def model(self) -> Any:
        """The job as an ordinary Pyomo model, to edit or to give to another solver."""
        from optmodels.scaling.job.model import concrete_model

        return concrete_model(self)


def _frozen(values: FloatArray) -> FloatArray:
    copy = np.array(values, dtype=np.float64)
    copy.flags.writeable = False
    return copy


def _parameter_flaws(p: JobParameters) -> list[Flaw]:
    flaws = []
    for low, high in (
        ("carbon_lower_g_per_kwh", "carbon_upper_g_per_kwh"),
        ("work_min", "work_max"),
    ):
        lower, upper = getattr(p, low), getattr(p, high)
        if (lower is None) != (upper is None):
            given, lacking = (high, low) if lower is None else (low, high)
            flaws.append(Flaw(f"is missing beside '{given}'", field=lacking, fix="give both"))
        elif lower is not None and lower > upper:
            flaws.append(
                Flaw("is too large", field=low, value=lower, allowed=f"≤ {high} {upper:g}")
            )
    if flaws or p.work_min is None or p.work_max is None:
        if p.work_predicted is not None and p.work_min is None and not flaws:
            fix = "give work_min and work_max too, or leave the prediction out"
            flaws.append(Flaw("has no meaning for a known work", field="work_predicted", fix=fix))
        return flaws
    for name in ("work", "work_predicted"):
        value = getattr(p, name)
        if value is not None and not p.work_min <= value <= p.work_max:
            allowed = f"work_min {p.work_min:g} to work_max {p.work_max:g}"
            flaws.append(Flaw("is out of range", field=name, value=value, allowed=allowed))
    return flaws


def _spacing_flaws(times: pd.Series[Any], step: pd.Timedelta, place: Place) -> list[Flaw]:
    order = np.argsort(times.to_numpy(), kind="stable")
    stamps = pd.DatetimeIndex(times.iloc[order])
    flaws = []
    for i in np.flatnonzero(np.diff(stamps.asi8) != pd.Timedelta(step).as_unit("ns").value):
        before, after = stamps[i], stamps[i + 1]
        expected = before + step
        what = (
            f"follows a gap: {expected.isoformat()} is missing"
            if after > expected
            else f"comes too early: the slot before it starts at {before.isoformat()}"
        )
        flaws.append(
            Flaw(
                what,
                file=place.file,
                row=place.row(int(order[i + 1])),
                field="time",
                value=after.isoformat(),
                allowed=f"one row every {step.total_seconds() / 60:g} min",
                cause="rows were lost or added in editing, or slot_minutes is wrong",
                fix="restore the missing rows, or generate the instance from the trace again",
            )
        )
    return flaws


def _profile_flaws(profile: pd.DataFrame, p: JobParameters, place: Place) -> list[Flaw]:
    rows = profile.reset_index(names="position").sort_values("servers", ignore_index=True)
    flaws = [
        Flaw(
            "is less than the power of fewer servers",
            file=place.file,
            row=place.row(int(rows["position"][i])),
            field="power_kw",
            value=float(rows["power_kw"][i]),
            allowed=f"at least {rows['power_kw'][i - 1]:g} kW, the row before it",
            cause="measurement noise, or rows in the wrong order",
            fix="measure again, or leave the row out",
        )
        for i in range(1, len(rows))
        if rows["power_kw"][i] < rows["power_kw"][i - 1]
    ]
    if not (profile["throughput"] > 0).any():
        flaws.append(
            Flaw(
                "is zero in every row", file=place.file, field="throughput", allowed="> 0 somewhere"
            )
        )
    if p.rate_cap is not None and p.rate_cap > rows["servers"].max():
        allowed = f"at most {rows['servers'].max():g}, the largest of the profile"
        flaws.append(Flaw("is too large", field="rate_cap", value=p.rate_cap, allowed=allowed))
    return flaws


def _forecast_flaws(forecast: pd.DataFrame, place: Place) -> list[Flaw]:
    late = np.flatnonzero((forecast["issue_time"] > forecast["time"]).to_numpy())
    return [
        Flaw(
            "was issued after the time it speaks of",
            file=place.file,
            row=place.row(int(i)),
            field="issue_time",
            value=forecast["issue_time"].iloc[i].isoformat(),
            allowed=f"at most {forecast['time'].iloc[i].isoformat()}",
        )
        for i in late
    ]
