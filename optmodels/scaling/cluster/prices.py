"""Prices at which a cluster clears: what a server is worth in each slot to come.

Think of the jobs as buyers. A job needs some work done within its window of slots. At given prices
of servers it buys the cheapest work there is: the blocks (slot, level) with the lowest price per
unit of work, where the price of a block is the carbon of its power plus the price of its servers.
The dearest block that it needs is *its* price of work: what a further unit of work is worth to it.
Where all jobs together ask for more servers than there are, the price of the slot rises until they
turn elsewhere. These are the dual prices of the linear program of the cluster, found by the
textbook's price adjustment (tâtonnement): raise the price of a slot in proportion to the excess
demand, lower it where servers idle, never below zero.

To be fast with any number of jobs, everything is tabulated by profile, price level and slot: the
work that a job of this profile gets done in the slot if it buys all blocks up to this price, summed
over slots. The work of any window is a difference of two entries, and the price of work of a job is
found by bisection over the price levels, for all jobs at once. Price levels are quantiles of the
prices of all blocks, so that they are dense where decisions are made; between two of them a job
buys the same share of everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.instance import IntArray
from optmodels.scaling.cluster.replay import ClusterHeader


@dataclass(frozen=True)
class Demand:
    """Jobs that want work done: one entry per job (or per possible length of a job).

    Attributes
    ----------
    profile
        Code of its profile.
    start, end
        Window of slots [start, end), from the present slot.
    work
        Work that it needs [slots on the fewest servers].
    weight
        How many jobs the entry stands for.
    """

    profile: IntArray
    start: IntArray
    end: IntArray
    work: FloatArray
    weight: FloatArray

    def __add__(self, other: Demand) -> Demand:
        """Both demands together."""
        return Demand(
            np.append(self.profile, other.profile),
            np.append(self.start, other.start),
            np.append(self.end, other.end),
            np.append(self.work, other.work),
            np.append(self.weight, other.weight),
        )

    def within(self, horizon: int) -> Demand:
        """The same for slots before the horizon: of a window that ends later, its share."""
        end = np.minimum(self.end, horizon)
        share = (end - self.start) / (self.end - self.start)
        return Demand(self.profile, self.start, end, self.work * share, self.weight)


class Blocks:
    """Levels of the profiles as blocks that can be bought: arrays (profile, level).

    Attributes
    ----------
    work, servers
        Work and servers that a level adds to the one below; 0 where there is no such level.
    energy, share
        Power in servers and servers, per unit of work [servers]; infinite where there is no such
        level, and never less than for the level below.
    power_kw
        Power that a level adds [kW].
    """

    def __init__(self, header: ClusterHeader) -> None:
        levels = max(len(profile.servers) for profile in header.profiles)
        shape = (len(header.profiles), levels)
        self.work, self.servers = np.zeros(shape), np.zeros(shape, dtype=np.int64)
        self.power_kw = np.zeros(shape)
        self.energy, self.share = np.full(shape, np.inf), np.full(shape, np.inf)
        for code, profile in enumerate(header.profiles):
            here = (code, slice(0, len(profile.servers)))
            power = (
                profile.servers * header.server_kw
                + profile.network_gbps * header.network_w_per_gbps / 1000
            )
            self.work[here] = profile.marginal
            self.servers[here] = np.diff(profile.servers, prepend=0)
            self.power_kw[here] = np.diff(power, prepend=0.0)
            useful = np.flatnonzero(profile.marginal > 0)
            work = profile.marginal[useful]
            self.energy[code, useful] = self.power_kw[code, useful] / header.server_kw / work
            self.share[code, useful] = self.servers[code, useful] / work
        self.energy = np.maximum.accumulate(self.energy, axis=1)
        self.share = np.maximum.accumulate(self.share, axis=1)


class Prices:
    """The price of work in every window at given carbon intensities and prices of servers.

    Parameters
    ----------
    blocks
        What can be bought.
    carbon
        Carbon intensity of the present slot and those to come [g/kWh], shape (H,).
    capacity_price
        Price of a server in these slots, as carbon intensity that would cost as much [g/kWh].
    levels
        G: number of price levels.
    """

    def __init__(
        self, blocks: Blocks, carbon: FloatArray, capacity_price: FloatArray, levels: int
    ) -> None:
        self.horizon = len(carbon)
        count = len(blocks.work)
        useful = np.isfinite(blocks.share)[:, None, :]
        price = np.where(
            useful,
            np.where(useful, blocks.energy[:, None, :], 0.0) * carbon[:, None]
            + np.where(useful, blocks.share[:, None, :], 0.0) * capacity_price[:, None],
            np.inf,
        )
        real = np.broadcast_to(useful, price.shape)
        self.price = np.quantile(price[real], np.linspace(0, 1, levels), method="higher")
        level = np.minimum(np.searchsorted(self.price, price), levels - 1)
        profile, slot, step = np.nonzero(real)
        place = (profile * levels + level[real]) * self.horizon + slot
        shape = (count, levels, self.horizon)

        def table(values: FloatArray) -> FloatArray:
            added = np.bincount(place, values[profile, step], count * levels * self.horizon)
            return np.cumsum(added.reshape(shape), axis=1)

        work = table(blocks.work)
        self._servers = table(blocks.servers.astype(np.float64))
        self._until = np.zeros((count, levels, self.horizon + 1))
        np.cumsum(work, axis=2, out=self._until[:, :, 1:])
        self._levels = levels

    def _got(
        self, profile: IntArray, level: IntArray, start: IntArray, end: IntArray
    ) -> FloatArray:
        """Work of a window when everything up to a price level is bought."""
        row = (profile * self._levels + level) * (self.horizon + 1)
        flat = self._until.reshape(-1)
        got: FloatArray = flat[row + end] - flat[row + start]
        return got

    def level(
        self, profile: IntArray, start: IntArray, end: IntArray, work: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Highest price level that jobs buy at, and the share that they buy of it.

        A job that cannot get its work done in its window buys all there is, at the highest level.
        """
        low = np.zeros(len(work), dtype=np.int64)
        high = np.full(len(work), self._levels - 1)
        for _ in range(int(np.ceil(np.log2(self._levels)))):
            middle = (low + high) // 2
            enough = self._got(profile, middle, start, end) >= work
            high = np.where(enough, middle, high)
            low = np.where(enough, low, np.minimum(middle + 1, high))
        full = self._got(profile, high, start, end)
        below = np.where(high > 0, self._got(profile, np.maximum(high - 1, 0), start, end), 0.0)
        gain = full - below
        share = np.where(gain > 0, (work - below) / np.where(gain > 0, gain, 1.0), 1.0)
        return high, np.clip(share, 0.0, 1.0)

    def of_work(
        self, profile: IntArray, start: IntArray, end: IntArray, work: FloatArray
    ) -> FloatArray:
        """Price of the last unit of work that jobs need in their windows [g/kWh·servers]."""
        level, share = self.level(profile, start, end, work)
        above = self.price[level]
        below = self.price[np.maximum(level - 1, 0)]
        price: FloatArray = below + share * (above - below)
        return price

    def servers(self, demand: Demand) -> FloatArray:
        """Servers that all jobs together buy in each slot, shape (H,)."""
        level, share = self.level(demand.profile, demand.start, demand.end, demand.work)
        count, levels, horizon = self._servers.shape
        buyers = np.zeros(count * levels * (horizon + 1))
        for at, weight in (
            (level, share * demand.weight),
            (np.maximum(level - 1, 0), np.where(level > 0, 1 - share, 0.0) * demand.weight),
        ):
            row = (demand.profile * levels + at) * (horizon + 1)
            buyers += np.bincount(row + demand.start, weight, len(buyers))
            buyers -= np.bincount(row + demand.end, weight, len(buyers))
        active = np.cumsum(buyers.reshape(count, levels, horizon + 1)[:, :, :-1], axis=2)
        bought: FloatArray = (active * self._servers).sum(axis=(0, 1))
        return bought


def adjusted(
    capacity_price: FloatArray,
    prices: Prices,
    demand: Demand,
    capacity: int,
    step: float,
) -> FloatArray:
    """Prices of servers, raised where more are asked for than there are, else lowered.

    Parameters
    ----------
    capacity_price
        Prices of servers before [g/kWh], shape (H,).
    prices
        Prices of work that belong to them.
    demand
        Jobs to serve.
    capacity
        Servers there are in each slot.
    step
        Change at an excess demand of all servers [g/kWh].
    """
    excess = prices.servers(demand) / capacity - 1
    risen: FloatArray = np.maximum(capacity_price + step * excess, 0.0)
    return risen
