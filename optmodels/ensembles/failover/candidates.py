"""Candidates: the variants that an application may fall back on, as flat arrays.

A candidate of an application is a variant of its primary's family that needs no more memory than
the primary. The candidates of an application stand together, in the order of their memory, so that
its smallest is the first and its primary the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.policy import FloatArray, frozen

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """Candidates of all applications; arrays of shape (C,), `start` and `primary` by application.

    Attributes
    ----------
    application, model
        Numbers of the application and of the variant among `names`.
    memory_mb
        Memory of a replica [MB].
    gflops
        Compute of a replica at the application's rate of requests [GFLOP/s].
    accuracy
        Accuracy of the variant.
    quality
        Accuracy relative to the primary's, at most 1.
    load_ms
        Time to load a replica, with its first inference [ms].
    inference_ms
        Time of an inference [ms].
    start
        First candidate of each application, and the number of all, shape (N + 1,).
    primary
        Candidate that each application runs, its last, shape (N,).
    names
        Names of all variants of the instance.
    """

    application: IntArray
    model: IntArray
    memory_mb: FloatArray
    gflops: FloatArray
    accuracy: FloatArray
    quality: FloatArray
    load_ms: FloatArray
    inference_ms: FloatArray
    start: IntArray
    primary: IntArray
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """C: number of candidates."""
        return len(self.application)

    def of(self, application: int) -> range:
        """Candidates of one application, the smallest first."""
        return range(int(self.start[application]), int(self.start[application + 1]))


def candidates_of(applications: pd.DataFrame, models: pd.DataFrame) -> Candidates:
    """Gather the candidates of a sound instance."""
    family = models["family"].astype(str).to_numpy(dtype=object)
    memory = models["memory_mb"].to_numpy(dtype=np.float64)
    accuracy = models["accuracy"].to_numpy(dtype=np.float64)
    names = models["model"].astype(str)
    primary = pd.Index(names).get_indexer(pd.Index(applications["model"].astype(str)))
    choices = {}
    for j in np.unique(primary).tolist():
        own = np.flatnonzero((family == family[j]) & (memory <= memory[j]))
        # The primary comes last even where another variant has its memory and accuracy.
        order = np.lexsort((own, own == j, accuracy[own], memory[own]))
        choices[j] = own[order]
    model = np.concatenate([choices[j] for j in primary.tolist()])
    counts = np.array([len(choices[j]) for j in primary.tolist()], dtype=np.int64)
    application = np.repeat(np.arange(len(primary)), counts)
    start = np.append(0, np.cumsum(counts))
    last = start[1:] - 1
    rate = applications["rate_per_s"].to_numpy(dtype=np.float64)[application]
    return Candidates(
        application=application,
        model=model,
        memory_mb=frozen(memory[model]),
        gflops=frozen(rate * models["gflop"].to_numpy(dtype=np.float64)[model]),
        accuracy=frozen(accuracy[model]),
        quality=frozen(accuracy[model] / accuracy[model[last]][application]),
        load_ms=frozen((models["load_ms"] + models["first_ms"]).to_numpy()[model]),
        inference_ms=frozen(models["inference_ms"].to_numpy()[model]),
        start=start,
        primary=last,
        names=tuple(names),
    )
