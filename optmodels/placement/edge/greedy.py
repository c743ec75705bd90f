"""Placing application by application, each where it adds least: no search, no look back."""

from __future__ import annotations

import numpy as np

from optmodels.placement.edge.audit import Placement
from optmodels.placement.edge.instance import ROOM, EdgeInstance
from optmodels.placement.edge.prices import Prices


def greedy(instance: EdgeInstance, prices: Prices) -> Placement | None:
    """Place classes one after another, those with the fewest groups in reach first.

    An application goes to the group where it adds least to the price: on a server that is on and
    has room, or on another one, which is then paid for. What has no place is left out; None where
    it may not be, or where more is moved than the budget allows.

    Parameters
    ----------
    instance
        The question; applications that run already are placed like the others, what is moved is
        paid for.
    prices
        Prices.
    """
    d, g = instance.arcs
    groups = len(instance.groups)
    starts = np.searchsorted(d, np.arange(len(instance.classes) + 1))
    reach = np.diff(starts)
    on = instance.running.copy()
    free = [[instance.free[j].copy() for _ in range(int(on[j]))] for j in range(groups)]
    before = {(c, j): n for c, j, n in instance.placed.tolist()}
    rows: dict[tuple[int, int, int], int] = {}
    # Servers of a group that may have room for a kind, the newest on top: they only ever get
    # fuller, so that the one without room is not looked at again.
    roomy = _Roomy(free)
    for c in np.argsort(reach, kind="stable").tolist():
        left, kind = int(instance.count[c]), int(instance.kind[c])
        mine = slice(int(starts[c]), int(starts[c + 1]))
        targets = g[mine].tolist()
        cost = {
            j: float(price) - (float(prices.move[c]) if (c, j) in before else 0.0)
            for j, price in zip(targets, prices.arc[mine], strict=True)
        }
        while left:
            best, chosen, server = np.inf, -1, -1
            for j in targets:
                price = cost[j]
                if price >= best:
                    continue
                take = instance.demand[kind, instance.device[j]]
                spot = roomy.newest(j, kind, take)
                if spot < 0:
                    if on[j] >= instance.servers[j]:
                        continue
                    price += float(prices.base[j])
                if price < best:
                    best, chosen, server = price, j, spot
            if chosen < 0 or (prices.left is not None and best > prices.left):
                break
            if server < 0:
                free[chosen].append(instance.free[chosen].copy())
                on[chosen] += 1
                server = len(free[chosen]) - 1
            take = instance.demand[kind, instance.device[chosen]]
            number = min(left, _room(free[chosen][server], take))
            if (c, chosen) in before:
                number = min(number, before[c, chosen])
                before[c, chosen] -= number
                if before[c, chosen] == 0:
                    del before[c, chosen]
                    cost[chosen] += float(prices.move[c])
            free[chosen][server] -= number * take
            key = (c, chosen, server)
            rows[key] = rows.get(key, 0) + number
            left -= number
        if left and prices.left is None:
            return None
    table = np.array([(*key, number) for key, number in rows.items()], dtype=np.int64)
    placement = Placement(table.reshape(-1, 4), _needed(instance, on, table.reshape(-1, 4)))
    limit = instance.parameters.moves_max_gb
    if limit is not None:
        square = placement.square(instance)
        moved = [
            max(n - int(square[c, j]), 0) * float(instance.state_gb[c])
            for c, j, n in instance.placed.tolist()
        ]
        if sum(moved) > limit:
            return None
    return placement


def _room(free: np.ndarray, take: np.ndarray) -> int:
    """How many fit on one server."""
    used = take > 0
    if not used.any():
        return int(np.iinfo(np.int32).max)
    return int(np.floor((free[used] * (1 + ROOM) + ROOM) / take[used]).min())


class _Roomy:
    """Servers with room for one more of a kind, by group, while all of them get fuller.

    Parameters
    ----------
    free
        What is free on each server of each group; changed by the caller, who adds servers at the
        end and gives nothing back.
    """

    def __init__(self, free: list[list[np.ndarray]]) -> None:
        self._free = free
        self._stacks: dict[tuple[int, int], list[int]] = {}
        self._seen: dict[tuple[int, int], int] = {}

    def newest(self, group: int, kind: int, take: np.ndarray) -> int:
        """The last server of a group with room, -1 without any: the newest ones are emptiest."""
        servers = self._free[group]
        stack = self._stacks.setdefault((group, kind), [])
        stack.extend(range(self._seen.get((group, kind), 0), len(servers)))
        self._seen[group, kind] = len(servers)
        while stack and not (take <= servers[stack[-1]] * (1 + ROOM) + ROOM).all():
            stack.pop()
        return stack[-1] if stack else -1


def _needed(instance: EdgeInstance, on: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Servers that are on: up to the last one used where idle ones may be switched off."""
    if not instance.parameters.switch_off:
        return on
    last = np.zeros_like(on)
    np.maximum.at(last, rows[:, 1], rows[:, 2] + 1)
    return last
