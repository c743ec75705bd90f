"""The jobs of a batch replay: one shape, validated once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import Flaw, InputError
from optmodels.scaling.job.conversion.core import DONE
from optmodels.scaling.job.conversion.ratios import FloatArray, check_bounds


@dataclass(frozen=True)
class BatchJobs:
    """Many jobs, validated: one row or entry per job.

    What no algorithm asked for has a neutral value (no advice, no trust, the true length).
    """

    costs: FloatArray
    slots: NDArray[np.intp]
    work: FloatArray
    cap: FloatArray
    L: FloatArray
    U: FloatArray
    beta: FloatArray
    shortest: FloatArray
    longest: FloatArray
    predicted: FloatArray
    advice: FloatArray
    kappa: FloatArray
    weight: FloatArray
    epsilon: FloatArray


def read_jobs(
    costs: ArrayLike,
    work: ArrayLike,
    given: dict[str, ArrayLike | None],
    *,
    cap: ArrayLike,
    L: ArrayLike,
    U: ArrayLike,
    beta: ArrayLike,
    slots: ArrayLike | None,
) -> BatchJobs:
    """Bring the arguments of `batch.replay_batch` to one shape and refuse what makes no sense.

    Parameters
    ----------
    costs, work, cap, L, U, beta, slots
        As in `batch.replay_batch`.
    given
        The arguments that only some algorithms need, ``None`` where not given.

    Raises
    ------
    InputError
        Naming every flaw and the first job that has it.
    """
    matrix = np.asarray(costs, float)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(Flaw("is not jobs x slots", field="costs", value=matrix.shape))
    count, columns = matrix.shape

    def each(value: ArrayLike | None, name: str, default: ArrayLike) -> FloatArray:
        array = np.asarray(default if value is None else value, float)
        if array.ndim > 1 or (array.ndim == 1 and len(array) != count):
            raise InputError(
                Flaw("values are given", field=name, value=array.shape, allowed=f"{count}")
            )
        return np.array(np.broadcast_to(array, count))

    size = each(work, "work", 0.0)
    number = each(slots, "slots", columns).astype(np.intp)
    advice = given["advice"]
    plans = np.zeros_like(matrix) if advice is None else np.asarray(advice, float)
    if plans.shape != matrix.shape:
        raise InputError(
            Flaw(
                "is not the shape of costs",
                field="advice",
                value=plans.shape,
                allowed=str(matrix.shape),
            )
        )
    low, high, switching = each(L, "L", 0.0), each(U, "U", 0.0), each(beta, "beta", 0.0)
    check_bounds(L, U, beta)
    seen = np.arange(columns) < number[:, None]
    jobs = BatchJobs(
        costs=np.where(seen, matrix, low[:, None]),
        slots=number,
        work=size,
        cap=each(cap, "cap", 0.0),
        L=low,
        U=high,
        beta=switching,
        shortest=each(given["shortest"], "shortest", size),
        longest=each(given["longest"], "longest", size),
        predicted=each(given["predicted"], "predicted", size),
        advice=np.where(seen, plans, 0.0),
        kappa=each(given["kappa"], "kappa", 0.0),
        weight=each(given["weight"], "weight", 0.0),
        epsilon=each(given["epsilon"], "epsilon", 0.0),
    )
    _check(jobs, columns, advised=advice is not None)
    return jobs


def _check(jobs: BatchJobs, columns: int, *, advised: bool) -> None:
    flaws: list[Flaw] = []

    def demand(fine: NDArray[np.bool_], field: str, what: str, allowed: str) -> None:
        if not fine.all():
            flaws.append(
                Flaw(f"{what} in job {int(np.argmin(fine))}", field=field, allowed=allowed)
            )

    j = jobs
    demand(
        np.asarray(np.isfinite(j.costs).all(axis=1)),
        "costs",
        "are not all finite",
        "numbers up to slots",
    )
    demand((j.slots >= 1) & (j.slots <= columns), "slots", "are out of range", f"1 to {columns}")
    demand(np.isfinite(j.cap) & (j.cap > 0), "cap", "is not positive", "> 0")
    demand(np.isfinite(j.work) & (j.work > 0), "work", "is not positive", "> 0")
    demand((j.shortest > 0) & (j.shortest <= j.work), "shortest", "is out of range", "0 to work")
    demand(j.longest >= j.work, "longest", "is below the work", ">= work")
    demand(j.longest <= j.slots * j.cap * (1 + DONE), "longest", "does not fit", "slots x cap")
    demand(~np.isnan(j.predicted), "predicted", "is not a number", "a number")
    demand((j.kappa >= 0) & (j.kappa <= 1), "kappa", "is out of range", "0 to 1")
    demand((j.weight >= 0) & (j.weight <= 1), "weight", "is out of range", "0 to 1")
    demand(j.epsilon >= 0, "epsilon", "is negative", "0 to alpha - 1")
    if advised:
        fits = (j.advice >= -1e-9 * j.cap[:, None]) & (j.advice <= 1.000000001 * j.cap[:, None])
        right = np.abs(j.advice.sum(axis=1) - j.work) <= 1e-9 * j.work
        demand(
            fits.all(axis=1) & right,
            "advice",
            "is not a schedule of the job",
            "0 to cap, summing to work",
        )
    if flaws:
        raise InputError(flaws, subject="batch of jobs")
