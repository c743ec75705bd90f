"""Batch by batch: each is placed before the next is known, and what is placed stays.

A policy sees a batch as a question of its own (`optmodels.placement.edge.instance.EdgeInstance`):
its applications, and the servers as they are now. Servers of a group that hold the same are still
alike; so the group falls apart into smaller ones, with less that is free. The intensities are those
that are told, which a table ``forecast`` makes differ from the true ones. The policy answers with a
`Placement` on that question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optmodels.errors import UsageError, shorten
from optmodels.forecast import Forecast
from optmodels.placement.edge.audit import Placement, audit, tables_of
from optmodels.placement.edge.instance import RESOURCES, ROOM, EdgeInstance, IntArray
from optmodels.policy import FloatArray, Observation

#: Digits of what is free: equal contents are told from equal sums.
_DIGITS = 9


@dataclass(frozen=True)
class EdgeHeader:
    """What a policy is told in advance.

    Attributes
    ----------
    parameters
        Parameters of the question.
    tables
        Servers, sites, round trips, profiles and the intensities that are told; no applications.
    out_of_sample
        Whether these intensities are a forecast.
    """

    parameters: Mapping[str, object]
    tables: Mapping[str, pd.DataFrame]
    out_of_sample: bool


class EdgeEnvironment:
    """One replay, one decision per batch.

    Parameters
    ----------
    instance
        The question.
    granted
        What the policy is granted; nothing is asked for here.
    forecast
        Not used: what is told of the intensities is part of the instance.
    """

    def __init__(
        self,
        instance: EdgeInstance,
        granted: frozenset[str] = frozenset(),
        forecast: Forecast | None = None,
    ) -> None:
        self.instance = instance
        tables = instance.tables
        told = tables.pop("forecast", None)
        if told is not None:
            tables["carbon"] = told
        self._applications = tables.pop("applications")
        self._placed = tables.pop("placed", None)
        self.header = EdgeHeader(instance.parameters.model_dump(), tables, told is not None)
        self.batches = tuple(int(b) for b in np.unique(instance.batch))
        self.rows = np.zeros((0, 4), dtype=np.int64)
        self.on = instance.running.copy()
        self._step = 0
        self._asked: tuple[EdgeInstance, list[tuple[int, IntArray]]] | None = None

    def observe(self) -> Observation | None:
        """The next batch as a question of its own; None when all are placed."""
        if self._step >= len(self.batches):
            return None
        if self._asked is None:
            self._asked = self._question(self.batches[self._step])
        start = pd.Timestamp(self.instance.parameters.start)
        return Observation(self._step, start, {}, self._asked[0], None)

    def act(self, action: object) -> None:
        """Place the batch.

        Raises
        ------
        UsageError
            The answer is no placement of the batch, breaks a limit, or there is nothing left.
        """
        if self._step >= len(self.batches):
            raise UsageError("A policy went on after the last batch was placed.")
        if self._asked is None:
            self._asked = self._question(self.batches[self._step])
        asked, parts = self._asked
        if not isinstance(action, Placement):
            raise UsageError(f"A policy answered {shorten(action)}; allowed: a Placement.")
        found = audit(asked, tables_of(asked, action))
        if found.violations:
            broken = "; ".join(str(one) for one in found.violations[:3])
            raise UsageError(
                f"A policy's placement of batch {self.batches[self._step]} breaks limits: {broken}."
            )
        self._take(asked, parts, action)
        self._step += 1
        self._asked = None

    def _take(
        self, asked: EdgeInstance, parts: list[tuple[int, IntArray]], action: Placement
    ) -> None:
        """Carry a placement on the question of a batch over to the servers themselves."""
        number = {name: c for c, name in enumerate(self.instance.classes)}
        who = np.array([number[name] for name in asked.classes], dtype=np.int64)
        rows = [
            (int(who[c]), parts[j][0], int(parts[j][1][s]), n)
            for c, j, s, n in action.rows.tolist()
        ]
        self.rows = np.concatenate([self.rows, np.array(rows, dtype=np.int64).reshape(-1, 4)])
        on = np.zeros_like(self.on)
        for (group, members), count in zip(parts, action.on.tolist(), strict=True):
            if count:
                on[group] = max(int(on[group]), int(members[count - 1]) + 1)
        self.on = on

    def _question(self, batch: int) -> tuple[EdgeInstance, list[tuple[int, IntArray]]]:
        """The question of a batch, and the group and servers behind each of its groups."""
        instance = self.instance
        table = self.header.tables["servers"].set_index("group")
        lines: list[dict[str, object]] = []
        parts: list[tuple[int, IntArray]] = []
        for group, name in enumerate(instance.groups):
            for members, running, free in self._alike(group):
                label = f"{name} {len(parts):06d}"
                line = {"group": label, **{str(k): v for k, v in table.loc[name].items()}}
                line |= {"servers": len(members), "running": running}
                line |= dict(zip(RESOURCES, free.tolist(), strict=True))
                lines.append(line)
                parts.append((group, members))
        # The order of the names is that of the arrays of the question.
        order = np.argsort(np.array([line["group"] for line in lines], dtype=object), kind="stable")
        parts = [parts[i] for i in order.tolist()]
        tables = {**self.header.tables, "servers": pd.DataFrame(lines)}
        chosen = self._applications["batch"] == batch
        tables["applications"] = self._applications[chosen]
        if self._placed is not None and self._step == 0:
            labels = sorted(str(line["group"]) for line in lines)
            tables["placed"] = self._at_first_servers(self._placed, labels, parts)
        parameters = dict(self.header.parameters)
        if self._step > 0:
            # What came with earlier batches keeps its servers on.
            parameters["switch_off"] = parameters["switch_off"] and not len(self.rows)
        return EdgeInstance(parameters, tables, name=instance.name), parts

    def _at_first_servers(
        self, placed: pd.DataFrame, labels: list[str], parts: list[tuple[int, IntArray]]
    ) -> pd.DataFrame:
        """Where applications run already: at the part of a group whose servers are on."""
        first = {}
        for label, (group, members) in zip(labels, parts, strict=True):
            if int(members[0]) < int(self.instance.running[group]):
                first[self.instance.groups[group]] = label
        return placed.assign(group=[first[name] for name in placed["group"]])

    def _alike(self, group: int) -> list[tuple[IntArray, int, FloatArray]]:
        """Servers of a group that hold the same: members, how many are on, what is free.

        Servers that are on come first and idle ones last, so that those that are on are always the
        first of a group.
        """
        instance = self.instance
        total, on = int(instance.servers[group]), int(self.on[group])
        mine = self.rows[self.rows[:, 1] == group]
        used = np.zeros((on, len(RESOURCES)))
        take = instance.demand[instance.kind[mine[:, 0]], instance.device[group]]
        np.add.at(used, mine[:, 2], take * mine[:, 3:])
        free = instance.free[group] - used
        free = np.maximum(np.round(free * (1 + ROOM), _DIGITS), 0.0)
        alike = []
        if on:
            _, which = np.unique(free, axis=0, return_inverse=True)
            for part in range(int(which.max()) + 1):
                members = np.flatnonzero(which.ravel() == part)
                alike.append((members, len(members), free[members[0]]))
        if total > on:
            alike.append((np.arange(on, total), 0, instance.free[group]))
        return alike


def decisions(environment: EdgeEnvironment) -> dict[str, pd.DataFrame]:
    """Tables of the plan that a replay has made.

    Raises
    ------
    UsageError
        Some batch has not been placed yet.
    """
    if environment.observe() is not None:
        raise UsageError("Not all batches have been placed yet.")
    return tables_of(environment.instance, Placement(environment.rows, environment.on))
