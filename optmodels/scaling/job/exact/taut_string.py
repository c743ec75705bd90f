"""Taut string: one shortest path that prices a job of every length at once.

Let `r_t = c_1 + … + c_t`. Stretch a string from `(0, −β)` to `(T, r_T + β)` so that it stays
within `β` of `r` in between, and pull it taut. Its slope over slot `t` is `y_t`: the cost of the
slot *with its fair part of the switching*. Then, for the job of rate cap 1 (`schedule.py`):

1. for every multiplier `λ`, the slots `{t : y_t < λ}` are an optimal set of slots to run in;
2. the cheapest way to do `J` slots of work costs the sum of the `J` smallest `y_t` (linear in
   between), so the optimum as a function of the job length is convex and known everywhere;
3. with `λ = y_(⌊J⌋+1)`, run where `y_t < λ`, and share the rest equally among `y_t = λ`: this is
   a mixture of the two schedules `{y_t < λ}` and `{y_t ≤ λ}`, both optimal for `λ`;
4. `Σ y_t = Σ c_t + 2β`: running always.

Why: minimising `Σ (c_t − λ) x_t + β Σ|x_t − x_{t−1}|` is a minimum cut on a line; the cuts for
all `λ` are nested and are the level sets of the total-variation minimiser of `c`, whose dual is
the taut string (Davies and Kovac, "Local extremes, runs, strings and multiresolution", 2001;
Condat, "A direct algorithm for 1-D total variation denoising", 2013). The use for jobs with
switching costs, with the end points moved by `β` to charge both end ramps, is our derivation,
checked in tests/scaling/job/test_oracle.py against a linear program and brute force.

A capped rate only changes the scale: the optimum for cap `d` is `d` times that of `J / d`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.scaling.job.inputs import FloatArray, Inputs, fitted

TIE_TOLERANCE = 1e-12
"""Slopes closer than this share of the largest slope count as equal when work is shared."""

IntArray = NDArray[np.int64]
_Vertex = tuple[int, float, float]


def taut_string(costs: ArrayLike, switching: float) -> FloatArray:
    """Slopes of the taut string: the cost of each slot including its part of the switching.

    Parameters
    ----------
    costs
        Cost of running at full capacity for one slot, shape (T,) [gCO2eq]; may be negative.
    switching
        Cost of changing the rate by one unit, ≥ 0 [gCO2eq].

    Returns
    -------
    ndarray
        Slope per slot, shape (T,) [gCO2eq per slot of work], in the order of the slots.

    Raises
    ------
    InputError
        A cost is not finite, there is no slot, or the switching cost is negative.

    Notes
    -----
    Amortised O(T): every slot enters and leaves one chain of the funnel at most once. The knots
    are found on centred prefix sums; the slopes are then computed from the costs of each stretch
    alone, so that no error of a long prefix sum gets into them.
    """
    given = Inputs("elastic job")
    c = given.vector("costs", costs)
    beta = given.number("switching", switching, minimum=0.0)
    given.check()
    if beta == 0.0:
        return c
    knots, offsets = _find_knots(c, beta)
    return _slopes(c, knots, offsets)


def _find_knots(c: FloatArray, beta: float) -> tuple[IntArray, FloatArray]:
    """Knots of the string, ends included, and their offsets `z − r` (±β)."""
    # A string that bends at the upper wall bends upwards, which only a convex wall can make it
    # do; so the upper wall matters where costs rise, the lower one where they fall.
    rise = np.diff(c)
    bends = np.flatnonzero(rise)
    upper = rise[bends] > 0
    # Centring bends no string, and keeps the prefix sum, and with it the knots' rounding, small.
    r = np.cumsum(c - c.mean())
    # The lower wall is kept upside down, so that both chains of the funnel are convex.
    heights = np.where(upper, r[bends], -r[bends]) + beta
    walls = zip(
        [*(bends + 1).tolist(), len(c)],
        [*heights.tolist(), float(r[-1]) + beta],
        [*upper.tolist(), True],
        strict=True,
    )
    inner = np.array(_funnel(walls, beta), dtype=np.int64)
    knots = np.concatenate([[0], np.abs(inner), [len(c)]])
    offsets = np.concatenate([[-beta], np.copysign(beta, inner), [beta]])
    return knots, offsets


def _funnel(walls: Iterable[tuple[int, float, bool]], beta: float) -> list[int]:
    """Slots of the inner knots of the shortest path past the wall vertices.

    A knot at the lower wall has a minus sign; a slot is never zero, and plain integers are cheap.

    The funnel is the set of shortest paths from the last knot to both walls: two convex chains of
    `(slot, height, slope from the vertex before)`, the lower one upside down, both starting at
    the last knot with slope −∞. A vertex seen across the other chain makes the path bend there.
    The last vertex must be the end of the path, given as an upper one.
    """
    knots: list[int] = []
    upper: deque[_Vertex] = deque([(0, -beta, -inf)])
    lower: deque[_Vertex] = deque([(0, beta, -inf)])
    for slot, height, is_upper in walls:
        own, other = (upper, lower) if is_upper else (lower, upper)
        start, base, before = own[-1]
        slope = (height - base) / (slot - start)
        while slope <= before:
            own.pop()
            start, base, before = own[-1]
            slope = (height - base) / (slot - start)
        # Only a vertex next to the last knot can be hidden behind the other chain.
        if before == -inf and len(other) > 1 and slope < -other[1][2]:
            while len(other) > 1 and slope < -other[1][2]:
                other.popleft()
                start, base, _ = other[0]
                knots.append(-start if is_upper else start)
                slope = (height + base) / (slot - start)
            other[0] = (start, base, -inf)
            own.clear()
            own.append((start, -base, -inf))
        own.append((slot, height, slope))
    knots.extend(slot for slot, _, _ in list(upper)[1:-1])
    return knots


def _slopes(c: FloatArray, knots: IntArray, offsets: FloatArray) -> FloatArray:
    """Slope per slot from the knots, without the knots that do not bend towards their wall.

    Rounding can leave a knot where the string runs straight. The slopes on its two sides are then
    equal but for the last digits, and if these order them the wrong way round, a level set would
    start or end at the wrong wall and miss a whole ramp of 2β; so such knots are taken out.
    """
    while True:
        lengths = np.diff(knots)
        slopes = (np.add.reduceat(c, knots[:-1]) + np.diff(offsets)) / lengths
        bend = np.diff(slopes) * np.sign(offsets[1:-1])
        straight = np.flatnonzero(bend <= 0.0)
        if not len(straight):
            return np.repeat(slopes, lengths)
        knots = np.delete(knots, straight + 1)
        offsets = np.delete(offsets, straight + 1)


@dataclass(frozen=True, eq=False)
class JobLengthCurve:
    """The offline optimum of one job as a function of its length.

    Parameters
    ----------
    slopes
        Slopes of the taut string, shape (T,) [gCO2eq per slot of work]; see `taut_string`.
    cap
        Rate cap `d` > 0, the same in all slots. The longest job is `T · d`.

    Notes
    -----
    The problem has `Σ x_t = J` as an equality: with negative costs (which the maximisation
    variant uses) more work can be cheaper, but never is done unasked.

    Examples
    --------
    >>> curve = JobLengthCurve.from_costs([10.0, 100.0, 20.0], switching=5.0)
    >>> curve.cost(1.0), curve.cost(2.0), curve.cost(3.0)
    (20.0, 50.0, 140.0)
    """

    slopes: FloatArray
    cap: float = 1.0
    _sorted: FloatArray = field(init=False, repr=False)
    _prefix: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        given = Inputs("job length curve")
        slopes = given.vector("slopes", self.slopes)
        cap = given.number("cap", self.cap, minimum=0.0, strict=True)
        given.check()
        ordered = np.sort(slopes)
        prefix = np.concatenate(([0.0], np.cumsum(ordered)))
        values = {
            "slopes": slopes,
            "_sorted": ordered,
            "_prefix": prefix,
        }
        for name, array in values.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "cap", cap)

    @classmethod
    def from_costs(cls, costs: ArrayLike, switching: float, cap: float = 1.0) -> JobLengthCurve:
        """Build the curve from the costs of the slots; arguments as in `taut_string`."""
        return cls(taut_string(costs, switching), cap)

    @property
    def longest(self) -> float:
        """The longest job that fits: slots times rate cap."""
        return len(self.slopes) * self.cap

    def cost(self, work: ArrayLike) -> float | FloatArray:
        """Least cost of doing `work` in all.

        Parameters
        ----------
        work
            Job length or lengths, in slots at rate 1; any shape.

        Returns
        -------
        float or ndarray
            Least cost [gCO2eq], of the shape of `work`.

        Raises
        ------
        InputError
            A job length is not a finite number.
        InfeasibleError
            A job length is negative or does not fit into the slots.
        """
        length = self._length(work)
        last = np.minimum(length.astype(np.int64), len(self.slopes) - 1)
        least = self.cap * (self._prefix[last] + (length - last) * self._sorted[last])
        return float(least) if least.ndim == 0 else least

    def multiplier(self, work: float) -> float:
        """Marginal cost of work at this job length [gCO2eq per slot of work].

        Where the curve has a kink, this is the price of the *next* bit of work; at the longest
        job, that of the last bit. Raises as `cost` does.
        """
        length = float(self._length(work, ndim=(0,)))
        return float(self._sorted[min(int(length), len(self.slopes) - 1)])

    def schedule(self, work: float) -> FloatArray:
        """Cheapest rates, shape (T,), that do `work` in all. Raises as `cost` does."""
        length = float(self._length(work, ndim=(0,)))
        price = self._sorted[min(int(length), len(self.slopes) - 1)]
        tolerance = TIE_TOLERANCE * max(abs(self._sorted[0]), abs(self._sorted[-1]))
        full = self.slopes < price - tolerance
        tied = ~full & (self.slopes <= price + tolerance)
        share = min((length - np.count_nonzero(full)) / np.count_nonzero(tied), 1.0)
        return self.cap * np.where(full, 1.0, np.where(tied, share, 0.0))

    def _length(self, work: ArrayLike, ndim: tuple[int, ...] | None = None) -> FloatArray:
        """Job length in slots at full rate, checked against what fits."""
        given = Inputs("job length")
        amount = given.array("work", work, ndim=ndim)
        given.check()
        limits = f"{len(self.slopes)} slots at a rate of at most {self.cap:g}"
        return fitted(amount, self.longest, limits) / self.cap
