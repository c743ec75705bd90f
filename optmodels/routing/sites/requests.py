"""Single requests to a fleet: when, from where, of which class, and how long.

They come from a table, such as a trace that was cut and scaled, or are drawn as Poisson arrivals at
the rates of an instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError
from optmodels.policy import FloatArray, frozen
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.profile import IntArray, integers


@dataclass(frozen=True, eq=False)
class Requests:
    """Requests in the order of their arrival, arrays of shape (N,).

    Attributes
    ----------
    arrival_s
        Time of arrival at the origin, from the start of the first period [s].
    origin, request_class
        Codes of the instance.
    input_tokens, output_tokens
        Lengths of prompt and answer.
    """

    arrival_s: FloatArray
    origin: IntArray
    request_class: IntArray
    input_tokens: FloatArray
    output_tokens: FloatArray

    def __len__(self) -> int:
        return len(self.arrival_s)

    def with_mean_lengths(self, instance: RoutingInstance) -> Requests:
        """Return the same requests, each as long as its class is on average."""
        classes = instance.tables["classes"]
        return Requests(
            self.arrival_s,
            self.origin,
            self.request_class,
            *(
                frozen(classes[name].to_numpy(dtype=np.float64)[self.request_class])
                for name in ("input_tokens", "output_tokens")
            ),
        )


def requests_from(instance: RoutingInstance, frame: pd.DataFrame) -> Requests:
    """Requests of a table.

    Parameters
    ----------
    instance
        The fleet that they come to.
    frame
        Columns ``arrival_s``, ``origin``, ``class``, ``input_tokens``, ``output_tokens``.

    Raises
    ------
    InputError
        A column is missing, an origin or class is unknown, or a number is out of range; all of it
        together.
    """
    columns = ("arrival_s", "origin", "class", "input_tokens", "output_tokens")
    flaws = [Flaw("is missing", field=name) for name in columns if name not in frame]
    if flaws:
        raise InputError(flaws, "requests")
    found: dict[str, Any] = {}
    for name, least in (("arrival_s", 0.0), ("input_tokens", 1.0), ("output_tokens", 1.0)):
        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
        for i in np.flatnonzero(~((values >= least) & np.isfinite(values)))[:1]:
            flaws.append(
                Flaw("is out of range", None, int(i) + 1, name, values[i], f"from {least:g}")
            )
        found[name] = values
    for name, known in (("origin", instance.origins), ("class", instance.classes)):
        codes = pd.Index(known).get_indexer(pd.Index(frame[name].astype(str)))
        for i in np.flatnonzero(codes < 0)[:1]:
            value = frame[name].iloc[i]
            flaws.append(Flaw("is unknown", None, int(i) + 1, name, value, ", ".join(known)))
        found[name] = codes
    if flaws:
        raise InputError(flaws, "requests")
    order = np.argsort(found["arrival_s"], kind="stable")
    return Requests(
        frozen(found["arrival_s"][order]),
        integers(found["origin"][order]),
        integers(found["class"][order]),
        frozen(found["input_tokens"][order]),
        frozen(found["output_tokens"][order]),
    )


def poisson_requests(instance: RoutingInstance, rng: np.random.Generator) -> Requests:
    """Poisson arrivals at the rates of an instance's demand, of its classes' mean lengths."""
    mean = instance.demand * instance.period_seconds
    counts = rng.poisson(mean)
    period, origin, of_class = (
        np.repeat(code.ravel(), counts.ravel()) for code in np.indices(counts.shape)
    )
    arrival = (period + rng.random(len(period))) * instance.period_seconds
    order = np.argsort(arrival, kind="stable")
    nothing = np.ones(len(order))
    return Requests(
        frozen(arrival[order]),
        integers(origin[order]),
        integers(of_class[order]),
        nothing,
        nothing,
    ).with_mean_lengths(instance)
