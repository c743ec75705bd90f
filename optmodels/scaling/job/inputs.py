"""Inputs of the oracles: arrays and numbers read with care, every flaw reported at once.

The oracles are plain functions on arrays. They read their arguments through an `Inputs`, which
collects what is wrong instead of stopping at the first fault, and never changes the caller's data.

>>> given = Inputs("job")
>>> costs = given.vector("costs", [300, 200, 100])
>>> beta = given.number("switching", 20.0, minimum=0.0)
>>> given.check()
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import Flaw, InfeasibleError, InputError

FloatArray = NDArray[np.float64]

FIT_TOLERANCE = 1e-12
"""Share of the capacity by which a demand may exceed it and still count as rounding."""

LARGEST = 1e100
"""Largest magnitude of an input: sums and products of a few of them stay finite."""

_NUMERIC_KINDS = "iuf"


class Inputs:
    """Collects the flaws of a call's arguments.

    Parameters
    ----------
    subject
        What is being read, for the head of the message ("elastic job").
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.flaws: list[Flaw] = []

    def array(
        self,
        field: str,
        values: ArrayLike,
        *,
        ndim: tuple[int, ...] | None = None,
        minimum: float = -math.inf,
    ) -> FloatArray:
        """Read finite floats of any or one of the allowed dimensions; a copy, never a view.

        A bad array adds its flaws and comes back with no entries, so that reading can go on.
        """
        nothing: FloatArray = np.zeros((0,) * max(ndim or (1,)))
        try:
            raw = np.asarray(values)
        except ValueError:
            self.flaws.append(Flaw("has rows of different lengths", field=field))
            return nothing
        if raw.size == 0:
            self.flaws.append(Flaw("is empty", field=field, allowed="one value or more"))
            return nothing
        if raw.dtype.kind not in _NUMERIC_KINDS:
            self.flaws.append(
                Flaw("does not hold real numbers", field=field, value=f"dtype {raw.dtype}")
            )
            return nothing
        if ndim is not None and raw.ndim not in ndim:
            self.flaws.append(
                Flaw(
                    "is not the right number of dimensions",
                    field=field,
                    value=raw.ndim,
                    allowed=" or ".join(str(n) for n in ndim),
                )
            )
            return nothing
        read: FloatArray = np.array(raw, dtype=np.float64)
        bad = np.argwhere(~(np.abs(read) <= LARGEST) | (read < minimum))
        for position in bad.tolist():
            value = read[tuple(position)]
            self.flaws.append(
                Flaw(
                    "is out of range" if math.isfinite(value) else "is not finite",
                    field=f"{field}[{', '.join(str(i) for i in position)}]",
                    value=float(value),
                    allowed=_range(minimum),
                )
            )
        return nothing if len(bad) else read

    def vector(self, field: str, values: ArrayLike, *, minimum: float = -math.inf) -> FloatArray:
        """Read a one-dimensional array of finite floats."""
        return self.array(field, values, ndim=(1,), minimum=minimum)

    def number(
        self, field: str, value: float, *, minimum: float = -math.inf, strict: bool = False
    ) -> float:
        """Read one finite number, at least (strictly above, if `strict`) the minimum."""
        raw = np.asarray(value)
        if raw.ndim != 0 or raw.dtype.kind not in _NUMERIC_KINDS:
            self.flaws.append(Flaw("is not a number", field=field, value=value))
            return math.nan
        read = float(raw)
        if not abs(read) <= LARGEST or read < minimum or (strict and read == minimum):
            self.flaws.append(
                Flaw(
                    "is out of range",
                    field=field,
                    value=read,
                    allowed=_range(minimum, strict),
                )
            )
        return read

    def same_length(self, **arrays: FloatArray) -> None:
        """Add a flaw when the (well-read) arrays differ in length."""
        lengths = {field: len(array) for field, array in arrays.items() if array.size}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{field} has {length}" for field, length in lengths.items())
            self.flaws.append(Flaw(f"must have one length, but {listed}", field=", ".join(lengths)))

    def check(self) -> None:
        """Raise one `InputError` with all flaws seen so far, if there are any."""
        if self.flaws:
            raise InputError(self.flaws, subject=self.subject)


def fitted(work: FloatArray | float, capacity: float, limits: str) -> FloatArray:
    """Clip work to `[0, capacity]` where it is outside by rounding only.

    Parameters
    ----------
    work
        Finite amounts of work.
    capacity
        The most that can be done.
    limits
        What makes up the capacity, in words ("8 slots at a rate of at most 1").

    Raises
    ------
    InfeasibleError
        Some work is negative or does not fit.
    """
    demand = np.asarray(work, dtype=np.float64)
    slack = FIT_TOLERANCE * capacity
    if np.any(demand < -slack):
        raise InfeasibleError(f"Work of {demand.min():.12g} is negative: it cannot be done.")
    if np.any(demand > capacity + slack):
        raise InfeasibleError(
            f"Work of {demand.max():.12g} does not fit before the deadline.",
            [f"{limits} hold {capacity:.12g} at most."],
        )
    return np.clip(demand, 0.0, capacity)


def _range(minimum: float, strict: bool = False) -> str:
    if minimum == -math.inf:
        return f"a number between -{LARGEST:g} and {LARGEST:g}"
    return f"a number {'>' if strict else '>='} {minimum:g} and <= {LARGEST:g}"
