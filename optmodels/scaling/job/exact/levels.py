"""Elastic job on servers with a measured profile: exact optimum over levels and their mixtures.

In slot `t` the job spends the share `s_tk` of the time on level `k` of its profile
(`profile.py`): servers `n_k`, throughput `θ_k`, power `p_k`; the shares of a slot sum to one, with
the off level among them. With carbon `c_t` and switching `β` per server:

    min  Σ_t c_t Σ_k p_k s_tk + β Σ_{t=1..T+1} |n_t − n_{t−1}|,    n_t = Σ_k n_k s_tk ≤ cap,
    s.t. Σ_t Σ_k θ_k s_tk = W,                                     n_0 = n_{T+1} = 0.

Pricing work at `λ` (`secant.py`) leaves a stage cost per slot: the lower convex envelope over `n`
of `c_t p_k − λ θ_k`. It is piecewise linear with its bends at server counts of levels, so an
optimal path exists on that grid (plus the cap); where a grid point lies above the envelope, the
slot mixes the two levels that span the envelope there. And because the stage costs are convex, the
grid decomposes: "are more than `g_e` servers on?" is an on/off problem of its own for each grid
edge `e`, its cost the slope of the envelope, and the answers nest. So the dynamic programme over
levels is one two-state programme per grid edge.

All ways to be at one grid point (a level, or a mixture of one below and one above) are listed
before the search as *modes*. With carbon ≥ 0 a mode that draws more and does less than a mixture
of others at the same point is of no use at any price; throughput concave and power convex in
servers leave one mode per point. The decomposition is ours; tests/scaling/job/test_oracle_levels.py
checks it against a linear program.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import Flaw
from optmodels.scaling.job.exact.schedule import ramps
from optmodels.scaling.job.exact.secant import OracleAnswer, Vertex, search, two_state
from optmodels.scaling.job.inputs import FloatArray, Inputs, fitted
from optmodels.scaling.job.profile import read_profile, upper_hull

IntArray = NDArray[np.int64]

EXTREME_TOLERANCE = 1e-12
"""Relative distance from the greatest throughput within which a mode counts as reaching it."""


def level_oracle(
    costs: ArrayLike,
    servers: ArrayLike,
    throughput: ArrayLike,
    power: ArrayLike,
    *,
    switching: float,
    work: float,
    cap: float | None = None,
    running: float = 0.0,
) -> OracleAnswer:
    """Cheapest shares of time over levels that do a given amount of work, with a proven bound.

    Parameters
    ----------
    costs
        Carbon of one unit of power for one slot, shape (T,) [gCO2eq per kWh × slot length, for
        power in kW]; may be negative.
    servers, throughput, power
        The profile, shape (K,) each, in any order, off level included; see `concave_hull`. Two
        levels may have the same number of servers (clock frequencies).
    switching
        Cost of switching one server on or off, ≥ 0 [gCO2eq].
    work
        Work to be done exactly, in the unit of throughput × slots.
    cap
        Most servers on average in a slot, > 0; None for the greatest level.
    running
        Servers on average before the first slot, for a job that is under way; at most the cap.

    Returns
    -------
    OracleAnswer
        `schedule` holds the shares, shape (T, K), rows summing to one, columns in the order of the
        profile; then cost, Lagrangian lower bound, and iterations.

    Raises
    ------
    InputError
        An argument is not finite or out of its range, or the profile is not one.
    InfeasibleError
        The work is negative or more than the slots can do under the cap.
    """
    given = Inputs("elastic job on servers")
    c = given.vector("costs", costs)
    n, theta, p = read_profile(given, servers, throughput, power)
    beta = given.number("switching", switching, minimum=0.0)
    amount = given.number("work", work)
    if cap is not None:
        cap = given.number("cap", cap, minimum=0.0, strict=True)
    before = given.number("running", running, minimum=0.0)
    given.check()
    most = float(n.max()) if cap is None else min(cap, float(n.max()))
    before = min(before, most)
    modes = _Modes.at_grid(n, theta, p, np.array([before, most]))
    if np.all(c >= 0.0):
        modes = modes.useful()
    limits = f"{len(c)} slots on at most {most:g} servers"
    amount = float(fitted(amount, len(c) * float(modes.throughput.max()), limits))

    def price(multiplier: float, among: _Modes = modes) -> tuple[Vertex, float]:
        chosen, value = _minimise(c, beta, among, multiplier, before)
        shares = among.mix[chosen]
        worked = float(among.throughput[chosen].sum())
        return Vertex(worked, _cost(c, shares, n, p, beta, before), shares), value

    slowest, _ = price(0.0, modes.only(modes.throughput <= 0.0))
    fastest_from = float(modes.throughput.max()) * (1.0 - EXTREME_TOLERANCE)
    fastest, _ = price(0.0, modes.only(modes.throughput >= fastest_from))
    shares, bound, iterations = search(slowest, fastest, amount, price)
    return OracleAnswer(shares, _cost(c, shares, n, p, beta, before), bound, iterations)


def shares_cost(
    costs: ArrayLike, shares: ArrayLike, servers: ArrayLike, power: ArrayLike, switching: float
) -> float:
    """Recompute the cost of shares of time over levels.

    Parameters
    ----------
    costs
        Carbon of one unit of power for one slot, shape (T,).
    shares
        Share of the time of slot t on level k, shape (T, K).
    servers, power
        Servers and power per level, shape (K,) each.
    switching
        Cost of switching one server on or off, ≥ 0.

    Returns
    -------
    float
        Carbon of the power drawn plus switching of the mean servers, both end ramps included.

    Raises
    ------
    InputError
        An argument is not finite or has the wrong shape.
    """
    given = Inputs("shares of time over levels")
    c = given.vector("costs", costs)
    s = given.array("shares", shares, ndim=(2,))
    n = given.vector("servers", servers, minimum=0.0)
    p = given.vector("power", power, minimum=0.0)
    beta = given.number("switching", switching, minimum=0.0)
    given.same_length(servers=n, power=p)
    if c.size and s.size and n.size and s.shape != (len(c), len(n)):
        given.flaws.append(
            Flaw(
                "is not the shape (slots, levels)",
                field="shares",
                value=s.shape,
                allowed=str((len(c), len(n))),
            )
        )
    given.check()
    return _cost(c, s, n, p, beta)


def _cost(
    c: FloatArray,
    shares: FloatArray,
    n: FloatArray,
    p: FloatArray,
    beta: float,
    before: float = 0.0,
) -> float:
    used = shares @ n
    # `ramps` starts from zero servers; a job that is under way starts from `before`.
    first = abs(used[0] - before) - used[0]
    return float(c @ (shares @ p) + beta * (ramps(used) + first))


@dataclass(frozen=True)
class _Modes:
    """Ways to be at each point of the server grid, grouped by point in rising order.

    `grid` holds the points, `first` the position of each point's first mode; per mode, `mix` holds
    its shares over the levels, `throughput` and `power` what they come to.
    """

    grid: FloatArray
    first: IntArray
    mix: FloatArray
    throughput: FloatArray
    power: FloatArray

    @classmethod
    def at_grid(cls, n: FloatArray, theta: FloatArray, p: FloatArray, extra: FloatArray) -> _Modes:
        grid = np.unique(np.append(n[n <= extra.max()], extra))
        mixtures: list[FloatArray] = []
        first = []
        levels = np.eye(len(n))
        for point in grid:
            first.append(len(mixtures))
            mixtures.extend(levels[n == point])
            for low in np.flatnonzero(n < point):
                for high in np.flatnonzero(n > point):
                    share = (point - n[low]) / (n[high] - n[low])
                    mixtures.append((1.0 - share) * levels[low] + share * levels[high])
        mix = np.array(mixtures)
        return cls(grid, np.array(first, dtype=np.int64), mix, mix @ theta, mix @ p)

    def useful(self) -> _Modes:
        """Keep the modes that are best at some price ≥ 0 of work and some carbon ≥ 0."""
        keep = np.zeros(len(self.mix), dtype=bool)
        for start, end in self._groups():
            preference = np.arange(end - start, dtype=np.float64)
            hull = upper_hull(self.power[start:end], self.throughput[start:end], preference)
            keep[start + hull] = True
        return self.only(keep)

    def only(self, keep: NDArray[np.bool_]) -> _Modes:
        """Keep some modes, and the grid points that have any of them."""
        counts = np.array([np.count_nonzero(keep[start:end]) for start, end in self._groups()])
        left = counts > 0
        first = np.append(0, np.cumsum(counts[left])[:-1])
        return _Modes(
            self.grid[left], first, self.mix[keep], self.throughput[keep], self.power[keep]
        )

    def _groups(self) -> list[tuple[int, int]]:
        starts = self.first.tolist()
        return list(zip(starts, [*starts[1:], len(self.mix)], strict=True))


def _minimise(
    c: FloatArray, beta: float, modes: _Modes, multiplier: float, before: float
) -> tuple[IntArray, float]:
    """Mode per slot that minimises cost − multiplier · work, and the minimum."""
    stage = np.outer(c, modes.power) - multiplier * modes.throughput
    several = len(modes.first) < len(modes.power)
    envelope = np.minimum.reduceat(stage, modes.first, axis=1) if several else stage
    gaps = np.diff(modes.grid)
    slopes = np.diff(envelope, axis=1) / gaps
    lowest, highest = float(modes.grid[0]), float(modes.grid[-1])
    # Below the first grid point all servers are on throughout: one ramp down, and one up for those
    # that were not running before. Above the last one all are off, those that ran before at once.
    ramps_outside = 2.0 * lowest - min(before, lowest) + max(before - highest, 0.0)
    minimum = float(envelope[:, 0].sum()) + beta * ramps_outside
    # Servers that ran before save their ramp up if they run on, and pay one if not: beta is due in
    # any case, and their first slot is cheaper by 2 beta.
    under_way = np.clip(before - modes.grid[:-1], 0.0, gaps)
    slopes[0] -= 2.0 * beta * under_way / gaps
    minimum += beta * float(under_way.sum())
    point = np.zeros(len(c), dtype=np.int64)
    for edge, gap in enumerate(gaps.tolist()):
        on, value = two_state(slopes[:, edge], beta)
        minimum += gap * value
        # Slopes rise with the edge, so that the answers nest; where ties break the nesting,
        # counting puts it right at no cost (unions and intersections of minimisers are minimisers).
        point += on
    if not several:
        return point, minimum
    chosen = np.empty(len(c), dtype=np.int64)
    for at, (start, end) in enumerate(modes._groups()):
        here = point == at
        chosen[here] = start + np.argmin(stage[here, start:end], axis=1)
    return chosen, minimum
