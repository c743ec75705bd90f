"""A dispatch: what a fleet does in one period, and what loading weights takes away from it.

`Dispatch` is the answer of a policy, in plain arrays. `Decisions` are those of many periods without
their zeros, and what the tables of a plan are made from and read into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from optmodels.plan import Violation
from optmodels.policy import FloatArray, frozen
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.profile import IntArray, integers
from optmodels.violations import lacking, numbers, positions, row_violations, slots

#: More instances than this in a table are a mistake.
_LARGEST_COUNT = 10**9


@dataclass(frozen=True, eq=False)
class Dispatch:
    """Decisions of one period.

    Attributes
    ----------
    configured
        Instances that hold GPUs, by site and tensor-parallel degree, shape (S, G), whole numbers.
    running
        Instances that run, by site and row of the profile, shape (S, R), whole numbers.
    flow
        Requests that are served, by origin, site and row [1/s], shape (O, S, R).
    """

    configured: IntArray
    running: IntArray
    flow: FloatArray


@dataclass(frozen=True, eq=False)
class Loading:
    """Which configured instances still load weights.

    A newly configured instance serves nothing for `reload_seconds`. Whenever instances are taken
    away from a site and degree, those that have loaded least go first. In the first period any
    configuration stands there loaded.

    Attributes
    ----------
    reload_periods
        Time to load, in periods.
    configured
        Instances of the period before, shape (S, G); None before the first period.
    young
        Of them, those configured 1, 2, ... periods before this one, as long as that matters, shape
        (K, S, G).
    """

    reload_periods: float
    configured: IntArray | None = None
    young: IntArray | None = None

    def after(self, configured: IntArray) -> tuple[FloatArray, Loading]:
        """Configure these instances for the next period.

        Returns
        -------
        effective
            Instances that serve, as a mean over the period: those configured without the share of
            the period in which they load, shape (S, G).
        loading
            What loads after the period.
        """
        now = integers(configured)
        ages = int(np.ceil(self.reload_periods))
        if self.configured is None or self.young is None or not ages:
            young = np.zeros((ages, *now.shape), dtype=np.int64)
            return frozen(now), Loading(self.reload_periods, now, integers(young))
        young = np.empty_like(self.young)
        young[1:] = self.young[:-1]
        young[0] = 0
        change = now - self.configured
        if change.any():
            fewer = np.maximum(-change, 0)
            for age in range(ages):
                taken = np.minimum(young[age], fewer)
                young[age] -= taken
                fewer -= taken
            young[0] = np.maximum(change, 0)
        # How much of this period those of each age still load.
        share = np.clip(self.reload_periods - np.arange(ages), 0.0, 1.0)
        effective = now - np.tensordot(share, young, axes=1)
        return frozen(effective), Loading(self.reload_periods, now, integers(young))


@dataclass(frozen=True, eq=False)
class Decisions:
    """Dispatches of several periods, without the zeros.

    Attributes
    ----------
    configured
        Instances that hold GPUs, shape (T, S, G).
    run_period, run_site, run_row, run_count
        One entry per period, site and row with running instances, and how many.
    flow_period, flow_origin, flow_site, flow_row, flow_rate
        One entry per period, origin, site and row with a flow, and its requests [1/s].
    """

    configured: IntArray
    run_period: IntArray
    run_site: IntArray
    run_row: IntArray
    run_count: IntArray
    flow_period: IntArray
    flow_origin: IntArray
    flow_site: IntArray
    flow_row: IntArray
    flow_rate: FloatArray

    @property
    def periods(self) -> int:
        """T: number of periods."""
        return len(self.configured)

    @classmethod
    def of(cls, dispatches: Sequence[Dispatch]) -> Decisions:
        """Dispatches of consecutive periods, at least one."""
        runs: list[tuple[IntArray, ...]] = []
        flows: list[tuple[Any, ...]] = []
        for t, dispatch in enumerate(dispatches):
            site, row = np.nonzero(dispatch.running)
            runs.append((np.full(len(site), t), site, row, dispatch.running[site, row]))
            origin, place, served = np.nonzero(dispatch.flow)
            rate = dispatch.flow[origin, place, served]
            flows.append((np.full(len(origin), t), origin, place, served, rate))
        configured = np.stack([dispatch.configured for dispatch in dispatches])
        run = [np.concatenate(parts) for parts in zip(*runs, strict=True)]
        flow = [np.concatenate(parts) for parts in zip(*flows, strict=True)]
        return cls(configured.astype(np.int64), *run, *flow)

    @classmethod
    def joined(cls, parts: Sequence[Decisions]) -> Decisions:
        """Decisions one after the other, at least one."""
        first = np.cumsum([0, *(part.periods for part in parts[:-1])])
        columns: dict[str, Any] = {}
        for field in fields(cls):
            values = [getattr(part, field.name) for part in parts]
            if field.name.endswith("_period"):
                values = [period + start for period, start in zip(values, first, strict=True)]
            columns[field.name] = np.concatenate(values)
        return cls(**columns)

    def at(self, period: int, shape: tuple[int, int, int]) -> Dispatch:
        """Dispatch of one period; `shape` is (O, S, R)."""
        run = np.flatnonzero(self.run_period == period)
        flow = np.flatnonzero(self.flow_period == period)
        running = np.zeros(shape[1:], dtype=np.int64)
        running[self.run_site[run], self.run_row[run]] = self.run_count[run]
        served = np.zeros(shape)
        arc = (self.flow_origin[flow], self.flow_site[flow], self.flow_row[flow])
        served[arc] = self.flow_rate[flow]
        return Dispatch(self.configured[period], running, served)


def tables_of(instance: RoutingInstance, decisions: Decisions) -> dict[str, pd.DataFrame]:
    """Tables of a plan: ``configuration``, ``running`` and ``flows``, rows of zeros left out.

    Parameters
    ----------
    instance
        The question.
    decisions
        All its periods.
    """
    times = instance.times
    sites, origins = np.array(instance.sites, object), np.array(instance.origins, object)
    profile = instance.profile
    t, s, g = np.nonzero(decisions.configured)
    return {
        "configuration": pd.DataFrame(
            {
                "time": times[t],
                "site": sites[s],
                "tp": profile.degrees[g],
                "instances": decisions.configured[t, s, g],
            }
        ),
        "running": pd.DataFrame(
            {
                "time": times[decisions.run_period],
                "site": sites[decisions.run_site],
                "row": profile.row[decisions.run_row],
                "instances": decisions.run_count,
            }
        ),
        "flows": pd.DataFrame(
            {
                "time": times[decisions.flow_period],
                "origin": origins[decisions.flow_origin],
                "site": sites[decisions.flow_site],
                "row": profile.row[decisions.flow_row],
                "requests_per_s": decisions.flow_rate,
            }
        ),
    }


def read_decisions(
    instance: RoutingInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[Decisions, list[Violation]]:
    """Decisions in the sound rows of a plan's tables, and what is wrong with the others."""
    profile = instance.profile
    configuration, wrong = _rows(instance, tables, "configuration", ("time", "site", "tp"))
    running, more = _rows(instance, tables, "running", ("time", "site", "row"))
    flows, last = _rows(instance, tables, "flows", ("time", "origin", "site", "row"))
    configured = np.zeros(
        (instance.periods, len(instance.sites), len(profile.degrees)), dtype=np.int64
    )
    configured[tuple(configuration[:-1])] = configuration[-1]
    run_period, run_site, run_row, run_count = running
    flow_period, flow_origin, flow_site, flow_row, flow_rate = flows
    decisions = Decisions(
        configured=configured,
        run_period=run_period,
        run_site=run_site,
        run_row=run_row,
        run_count=run_count.astype(np.int64),
        flow_period=flow_period,
        flow_origin=flow_origin,
        flow_site=flow_site,
        flow_row=flow_row,
        flow_rate=flow_rate,
    )
    return decisions, wrong + more + last


def _rows(
    instance: RoutingInstance,
    tables: Mapping[str, pd.DataFrame],
    name: str,
    key: tuple[str, ...],
) -> tuple[list[Any], list[Violation]]:
    """Codes of the key columns and values of the last column of sound rows; flaws of the rest."""
    whole = name != "flows"
    label = "instances" if whole else "requests_per_s"
    table = tables.get(name)
    missing = lacking((*key, label), table, name)
    if table is None or missing:
        return [np.empty(0, dtype=np.int64) for _ in key] + [np.empty(0)], missing
    codes = [_codes(instance, column, table[column]) for column in key]
    values = numbers(table[label])
    sound = values >= 0
    if whole:
        sound &= (values == np.floor(values)) & (values <= _LARGEST_COUNT)
    flaws = [
        (f"{column} of table '{name}'", code >= 0, "one of the instance")
        for column, code in zip(key, codes, strict=True)
    ]
    use = np.logical_and.reduce([sound, *(code >= 0 for code in codes)])
    repeated = pd.MultiIndex.from_arrays(codes).duplicated() & use
    flaws.append((label, sound, "a whole number from 0" if whole else "a number from 0"))
    flaws.append((f"one row per {', '.join(key)}", ~repeated, "once"))
    violations = [
        violation
        for limit, right, allowed in flaws
        for violation in row_violations(
            limit, ~right, values, allowed, lambda i: f"row {i + 1} of table '{name}'"
        )
    ]
    use &= ~repeated
    return [*(code[use] for code in codes), values[use]], violations


def _codes(instance: RoutingInstance, column: str, cells: pd.Series[Any]) -> IntArray:
    """Places of the values of a key column in the instance, -1 where they have none."""
    if column == "time":
        return slots(instance.times, cells)[0]
    if column in ("site", "origin"):
        return positions(instance.sites if column == "site" else instance.origins, cells)
    known = instance.profile.row if column == "row" else instance.profile.degrees
    found = pd.Index(known.astype(np.float64)).get_indexer(pd.Index(numbers(cells)))
    return np.asarray(found, dtype=np.int64)
