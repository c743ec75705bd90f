"""An instance from the wind of real sites: how large fleet, wind and demand are to each other.

No trace has clusters of GPUs at wind farms, so three scales are chosen, and said:

- **GPUs** are split over the sites by nameplate, in whole nodes;
- the **wind** of all sites is multiplied by one number, so that over the periods of the instance
  the mean power of all sites together is `wind_ratio` times what all GPUs draw at the hungriest row
  of the profile; sites keep their relation to each other. The forecast is multiplied by the same;
- the **demand** is `load` times, in the mean, what all GPUs would serve within the limits of
  latency if power were no limit: each class by its best row at its shortest round trip, in the
  shares of the mix. It has the course of a rate in time (`optmodels.traces.rate_shape`: straight
  lines between the middles of its intervals, which bridge whatever is missing), the same for all
  origins and classes. The rate begins where the instance begins.

**Steps.** Wind in shorter steps than a period is averaged. Wind in longer steps is a step function
by default, which keeps the energy of every step; ``between="line"`` joins the middles of the steps
by straight lines, which has no jumps and does not keep it exactly. Forecasts in longer steps are
step functions always.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.policy import FloatArray
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.laws import Laws, profile_table
from optmodels.routing.sites.measured import azure_mix, class_table
from optmodels.routing.sites.profile import IntArray
from optmodels.traces import rate_shape
from optmodels.traces.parse import check_choice
from optmodels.traces.trace import instant, nanoseconds, step_text

Between = Literal["step", "line"]

_DAY_S = 24 * 3600
_POSITIVE = ("tp", "requests_per_s", "power_kw")


def from_wind(
    power_kw: pd.DataFrame,
    *,
    nameplate_kw: Mapping[str, float],
    links: pd.DataFrame,
    gpus: int,
    wind_ratio: float = 1.0,
    load: float = 0.7,
    begin: str | dt.datetime | None = None,
    days: float = 7,
    past_days: float = 1,
    period_seconds: int = 300,
    between: Between = "step",
    published_kw: pd.DataFrame | None = None,
    rates: pd.Series[float] | None = None,
    mix: pd.DataFrame | None = None,
    profile: pd.DataFrame | None = None,
    origin_shares: Mapping[str, float] | None = None,
    node_gpus: int = 8,
    name: str | None = None,
    source: str = "wind series",
    **parameters: object,
) -> RoutingInstance:
    """Make an instance from the wind of several sites.

    Parameters
    ----------
    power_kw
        Wind power [kW], one column per site, on one time axis in UTC, as
        `optmodels.traces.aligned_power` gives it.
    nameplate_kw
        Installed power of each site, on the scale of `power_kw`.
    links
        Table ``links`` of the instance (`optmodels.routing.sites.network`).
    gpus
        GPUs of all sites together; a multiple of `node_gpus`.
    wind_ratio
        Mean wind power of all sites over the instance, relative to what all GPUs draw at most.
    load
        Mean demand relative to what all GPUs serve within the limits if power is no limit.
    begin
        First period; by default the first for which there is a past.
    days, past_days
        Length of the instance, and of the wind before it that is told as past; 0 for none.
    period_seconds
        Length of a period.
    between
        What holds between the values of wind in longer steps than a period: "step" or "line".
    published_kw
        Forecast of the wind published the day before, of the same sites on the same scale.
    rates
        A rate of requests over time from the begin of the instance on, a column of
        `optmodels.traces.read_request_rates`; its size does not matter. By default constant.
    mix
        Classes with shares and mean lengths; by default `azure_mix`.
    profile
        Table ``profile``; by default that of `optmodels.routing.sites.laws.profile_table`.
    origin_shares
        What part of the demand comes from each origin; by default equal parts.
    node_gpus
        GPUs of one node, which stand at one site.
    name, source
        Label of the instance; what the series are, for its origin.
    parameters
        Parameters of the instance by name. The power of idle GPUs is by default that of `Laws`.

    Returns
    -------
    RoutingInstance

    Raises
    ------
    InputError
        Series that are not regular, in UTC or long enough; classes that no site can serve within
        its limits; no wind at all.
    UsageError
        Numbers out of range, sites or origins without a number.
    """
    _check_sizes(gpus, node_gpus, period_seconds, wind_ratio, load, days, past_days)
    check_choice("between", between, ("step", "line"))
    sites = [str(site) for site in power_kw.columns]
    _same_names("nameplate_kw", nameplate_kw, sites)
    if published_kw is not None:
        _same_names("published_kw", published_kw.columns, sites)
    count = round(days * _DAY_S / period_seconds)
    before = round(past_days * _DAY_S / period_seconds)
    start = _begin(power_kw, begin, before, period_seconds)
    times = pd.date_range(start, periods=count, freq=pd.Timedelta(seconds=period_seconds))
    wind = _periods(power_kw, start, count, period_seconds, between, "power_kw")
    if not wind.any():
        raise InputError(Flaw(f"is zero in all periods from {start}", field="power_kw"))

    mixed = azure_mix() if mix is None else mix
    _check_columns(mixed, ("share",), "mix")
    classes = class_table(mixed)
    rows = profile_table(classes) if profile is None else profile
    _check_columns(
        rows, ("tp", "requests_per_s", "power_kw", "ttft_s", "tbt_s", "e2e_s"), "profile"
    )
    _check_columns(links, ("rtt_ms",), "links", ("origin",))
    full_kw = gpus * float((rows["power_kw"] / rows["tp"]).max())
    scale = wind_ratio * full_kw / float(wind.sum(axis=1).mean())
    capacity = fleet_rate(gpus, mixed["share"], classes, rows, links)
    course: FloatArray = np.ones(count)
    if rates is not None:
        shape = rate_shape(rates, periods=count, period_seconds=period_seconds)
        course = np.asarray(shape, dtype=np.float64)
    origins = list(dict.fromkeys(str(origin) for origin in links["origin"]))
    parts = _origin_parts(origin_shares, origins)
    share: FloatArray = np.asarray(mixed["share"] / mixed["share"].sum(), dtype=np.float64)
    demand = load * capacity * course[:, None, None] * parts[None, :, None] * share[None, None, :]

    installed = np.array([float(nameplate_kw[site]) for site in sites])
    tables = {
        "classes": classes,
        "profile": rows,
        "sites": pd.DataFrame(
            {
                "site": sites,
                "gpus": split_nodes(gpus // node_gpus, installed) * node_gpus,
                "nameplate_kw": installed * scale,
                "backup_kw": 0.0,
            }
        ),
        "links": links,
        "power": _by_site(times, sites, wind * scale),
        "demand": pd.DataFrame(
            {
                "time": times.repeat(len(origins) * len(classes)),
                "origin": np.tile(np.repeat(origins, len(classes)), count),
                "class": np.tile(classes["class"].to_numpy(), count * len(origins)),
                "requests_per_s": demand.ravel(),
            }
        ),
    }
    if before:
        step = pd.Timedelta(seconds=period_seconds)
        early = start - before * step
        past = _periods(power_kw, early, before, period_seconds, between, "power_kw")
        earlier = pd.date_range(early, periods=before, freq=step)
        tables["past"] = _by_site(earlier, sites, past * scale)
    if published_kw is not None:
        told = _periods(
            published_kw[power_kw.columns], start, count, period_seconds, "step", "published_kw"
        )
        tables["published"] = _by_site(times, sites, told * scale)
    given = {"gpu_idle_kw": Laws().idle_kw, **parameters, "period_seconds": float(period_seconds)}
    origin = (
        f"{source}; wind times {scale:.6g}, {wind_ratio:g} of the full power of {gpus} GPUs; "
        f"demand {load:g} of what they serve"
    )
    return RoutingInstance(given, tables, name=name, origin=origin)


def fleet_rate(
    gpus: int,
    shares: pd.Series[float],
    classes: pd.DataFrame,
    profile: pd.DataFrame,
    links: pd.DataFrame,
) -> float:
    """Requests that GPUs serve within the limits if power is no limit [1/s].

    Every class is served by the row that needs the fewest GPUs per request, of those that keep its
    limits at the shortest round trip; GPUs are split so that all classes are served in their
    shares. No fleet of these GPUs serves more in these shares.

    Parameters
    ----------
    gpus
        GPUs of all sites.
    shares
        Share of each class in the requests, by name.
    classes, profile, links
        Tables of an instance.

    Returns
    -------
    float
        Requests per second [1/s].

    Raises
    ------
    InputError
        Classes of which no row keeps the limits; all of them together.
    """
    trip = float(links["rtt_ms"].min()) / 1000
    rows = profile.merge(classes, on="class", validate="many_to_one")
    kept = (
        (rows["ttft_s"] + trip <= rows["ttft_limit_s"])
        & (rows["tbt_s"] <= rows["tbt_limit_s"])
        & (rows["e2e_s"] + trip <= rows["e2e_limit_s"])
    )
    cost = (rows["tp"] / rows["requests_per_s"])[kept].groupby(rows["class"][kept]).min()
    flaws = [
        Flaw(
            f"keeps its limits by no row of the profile, {1000 * trip:.3g} ms away",
            field=f"class {one}",
            fix="relax its limits, or add faster rows or nearer sites",
        )
        for one in classes["class"]
        if one not in cost.index and shares[one] > 0
    ]
    if flaws:
        raise InputError(flaws, "demand of a fleet")
    per_request = float((cost.reindex(shares.index).fillna(0.0) * shares).sum() / shares.sum())
    return gpus / per_request


def split_nodes(nodes: int, weights: FloatArray) -> IntArray:
    """Whole nodes by weight: the largest remainders are rounded up, so that the sum is kept.

    Parameters
    ----------
    nodes
        Number of nodes in all.
    weights
        Weight of each site, shape (S,).

    Returns
    -------
    numpy.ndarray
        Nodes of each site, shape (S,).
    """
    exact = nodes * weights / weights.sum()
    whole: IntArray = np.floor(exact).astype(np.int64)
    missing = nodes - int(whole.sum())
    order = np.argsort(whole - exact, kind="stable")
    whole[order[:missing]] += 1
    return whole


def _check_sizes(
    gpus: int,
    node_gpus: int,
    period_seconds: int,
    wind_ratio: float,
    load: float,
    days: float,
    past_days: float,
) -> None:
    wrong = [
        f"{field} is {value}; allowed: {allowed}"
        for field, value, good, allowed in (
            ("node_gpus", node_gpus, node_gpus >= 1, "1 or more"),
            (
                "gpus",
                gpus,
                gpus >= 1 and node_gpus >= 1 and gpus % node_gpus == 0,
                f"a multiple of node_gpus, {node_gpus}",
            ),
            ("period_seconds", period_seconds, period_seconds >= 1, "1 or more"),
            ("wind_ratio", wind_ratio, 0 < wind_ratio < np.inf, "a number > 0"),
            ("load", load, 0 <= load < np.inf, "a number >= 0"),
            ("days", days, 0 < days * _DAY_S / period_seconds < np.inf, "a period or more"),
            ("past_days", past_days, 0 <= past_days < np.inf, "a number >= 0"),
        )
        if not good
    ]
    for field, length in (("days", days), ("past_days", past_days)):
        periods = length * _DAY_S / period_seconds if period_seconds >= 1 else 0.0
        if np.isfinite(periods) and abs(periods - round(periods)) > 1e-6:
            wrong.append(f"{field} is {length}: no whole number of periods of {period_seconds} s")
    if wrong:
        raise UsageError("; ".join(wrong) + ".")


def _check_columns(
    frame: pd.DataFrame, numbers: tuple[str, ...], field: str, names: tuple[str, ...] = ()
) -> None:
    """Refuse tables without what is needed of them before there is an instance to check them."""
    absent = [column for column in (*names, *numbers) if column not in frame.columns]
    flaws = [Flaw("is missing", field=f"{field}, {column}") for column in absent]
    for column in (column for column in numbers if column not in absent):
        values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
        good = np.isfinite(values) & (values > 0 if column in _POSITIVE else values >= 0)
        if not good.all():
            at = int(np.flatnonzero(~good)[0])
            flaws.append(
                Flaw(
                    f"is not usable in {int((~good).sum())} rows",
                    field=f"{field}, {column}",
                    value=frame[column].iloc[at],
                    allowed=f"a finite number {'>' if column in _POSITIVE else '>='} 0",
                )
            )
    if not flaws and field == "mix" and not frame["share"].to_numpy().any():
        flaws.append(Flaw("is zero in all rows", field="mix, share"))
    if flaws:
        raise InputError(flaws, "tables of a fleet")


def _same_names(field: str, given: object, sites: list[str]) -> None:
    names = {str(name) for name in given}  # type: ignore[attr-defined]
    if names != set(sites):
        raise UsageError(
            f"{field} is for {', '.join(sorted(names))}; the sites are {', '.join(sites)}."
        )


def _origin_parts(shares: Mapping[str, float] | None, origins: list[str]) -> FloatArray:
    if shares is None:
        return np.full(len(origins), 1 / len(origins))
    _same_names("origin_shares", shares, origins)
    parts = np.array([float(shares[origin]) for origin in origins])
    if not ((parts >= 0) & np.isfinite(parts)).all() or parts.sum() <= 0:
        raise UsageError("origin_shares must be numbers >= 0, not all zero.")
    return np.asarray(parts / parts.sum())


def _begin(
    power: pd.DataFrame, begin: str | dt.datetime | None, before: int, period_seconds: int
) -> pd.Timestamp:
    index = power.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None or len(index) < 2:
        fix = "make it by optmodels.traces.aligned_power"
        raise InputError(Flaw("has no two times with a zone", field="power_kw", fix=fix))
    if begin is None:
        return index[0] + before * pd.Timedelta(seconds=period_seconds)
    return instant(begin, "UTC")


def _periods(
    series: pd.DataFrame,
    start: pd.Timestamp,
    count: int,
    period_seconds: int,
    between: str,
    field: str,
) -> FloatArray:
    """Values in `count` periods from `start` on, shape (periods, sites)."""
    times = nanoseconds(series.index)
    try:
        values = series.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(Flaw("has cells that are no numbers", field=field), "wind") from None
    distances = np.diff(times)
    step, period = int(distances[0]), period_seconds * 10**9
    flaws = []
    if (distances != step).any() or step <= 0:
        fix = "make it by optmodels.traces.aligned_power"
        flaws.append(Flaw("has times that do not rise by equal steps", field=field, fix=fix))
    elif step % period and period % step:
        what = f"has steps of {step_text(pd.Timedelta(step, unit='ns'))}"
        allowed = f"multiples or parts of a period, {period_seconds} s"
        flaws.append(Flaw(what, field=field, allowed=allowed))
    if not (np.isfinite(values) & (values >= 0)).all():
        flaws.append(Flaw("has values that are missing, infinite or negative", field=field))
    if flaws:
        raise InputError(flaws, "wind of sites")
    first = int(start.as_unit("ns").value)
    last = first + count * period
    if first < times[0] or last > times[-1] + step or (first - times[0]) % min(step, period):
        covered = f"{series.index[0]:%Y-%m-%d %H:%M} to {series.index[-1]:%Y-%m-%d %H:%M} UTC"
        raise InputError(
            Flaw(
                f"does not cover {count} periods from {start:%Y-%m-%d %H:%M} UTC",
                field=field,
                value=covered,
                allowed="steps that begin where periods do, before the first and to the last one",
                fix="choose another begin, fewer days or a shorter past",
            )
        )
    begins = first + np.arange(count, dtype=np.int64) * period
    if step <= period:
        place = (first - int(times[0])) // step
        parts = period // step
        block = values[place : place + count * parts]
        return np.asarray(block.reshape(count, parts, -1).mean(axis=1))
    if between == "step":
        return np.asarray(values[(begins - int(times[0])) // step])
    # In seconds from the first time: nanoseconds since the epoch are too large for floats.
    middles = (times - times[0] + step / 2) / 1e9
    at = (begins - times[0] + period / 2) / 1e9
    return np.stack([np.interp(at, middles, column) for column in values.T], axis=1)


def _by_site(times: pd.DatetimeIndex, sites: list[str], values: FloatArray) -> pd.DataFrame:
    """One row per period and site."""
    return pd.DataFrame(
        {
            "time": times.repeat(len(sites)),
            "site": sites * len(times),
            "power_kw": values.ravel(),
        }
    )
