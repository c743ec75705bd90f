"""Instances from arrays: a pool of trained models, or a table of measured subsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from optmodels.ensembles.selection.accuracies import IntArray
from optmodels.ensembles.selection.instance import HOLDOUT, VALIDATION, SelectionInstance
from optmodels.policy import FloatArray

#: Decimals of scores; classes whose score rounds to nothing are not listed.
SCORE_DECIMALS = 3
#: A limit that does not bind.
_NO_LIMIT = 1e9


@dataclass(frozen=True)
class Fleet:
    """Servers for an instance made from arrays.

    Attributes
    ----------
    capacity_mb
        Memory of each.
    failure_probability
        Probability of each that it fails.
    sites
        Name of the site of each; by default each server is one.
    """

    capacity_mb: Sequence[float]
    failure_probability: Sequence[float]
    sites: Sequence[str] | None = None

    def table(self) -> pd.DataFrame:
        """The table of servers."""
        width = len(str(len(self.capacity_mb)))
        names = [f"server-{s + 1:0{width}d}" for s in range(len(self.capacity_mb))]
        return pd.DataFrame(
            {
                "server": names,
                "site": names if self.sites is None else list(self.sites),
                "capacity_mb": np.asarray(self.capacity_mb, dtype=np.float64),
                "failure_probability": np.asarray(self.failure_probability, dtype=np.float64),
            }
        )


@dataclass(frozen=True)
class Pool:
    """Trained models of one application.

    Attributes
    ----------
    names
        Their names.
    memory_mb
        Their memory.
    latency_ms, energy_j
        Time of an answer and energy of a request, the same on every server.
    """

    names: Sequence[str]
    memory_mb: Sequence[float]
    latency_ms: Sequence[float]
    energy_j: Sequence[float] = field(default=())

    def tables(self, fleet: Fleet, application: str) -> dict[str, pd.DataFrame]:
        """Tables of servers, candidates and profiles."""
        servers = fleet.table()
        energy = self.energy_j if len(self.energy_j) else [0.0] * len(self.names)
        rows = [
            (name, server, float(latency), float(joules))
            for name, latency, joules in zip(self.names, self.latency_ms, energy, strict=True)
            for server in servers["server"]
        ]
        return {
            "servers": servers,
            "candidates": pd.DataFrame(
                {
                    "candidate": list(self.names),
                    "application": application,
                    "memory_mb": np.asarray(self.memory_mb, dtype=np.float64),
                    "vote_weight": 1.0,
                }
            ),
            "profiles": pd.DataFrame(
                rows, columns=["candidate", "server", "latency_ms", "energy_j"]
            ),
        }


def from_predictions(
    pool: Pool,
    fleet: Fleet,
    validation: tuple[FloatArray, IntArray],
    holdout: tuple[FloatArray, IntArray] | None = None,
    *,
    rule: str = "soft",
    vote_weight: FloatArray | None = None,
    latency_max_ms: float = _NO_LIMIT,
    members_max: int = 16,
    application: str = "app",
    name: str | None = None,
    **parameters: object,
) -> SelectionInstance:
    """Make an instance of one application from what each model of a pool says.

    Parameters
    ----------
    pool
        The models.
    fleet
        The servers.
    validation, holdout
        Scores (models, samples, classes) and right classes; scores are rounded to three decimals.
    rule
        How live members answer together.
    vote_weight
        Weight of each model, for the rule "weighted".
    latency_max_ms, members_max
        Limits of the application.
    application, name
        Names of the application and of the instance.
    **parameters
        Further parameters of the instance.

    Returns
    -------
    SelectionInstance
        Of one application, with what each candidate says of each sample.

    Raises
    ------
    InputError
        The arrays make no valid instance.
    """
    tables = pool.tables(fleet, application)
    if vote_weight is not None:
        tables["candidates"]["vote_weight"] = np.asarray(vote_weight, dtype=np.float64)
    given = [(VALIDATION, *validation)]
    if holdout is not None:
        given.append((HOLDOUT, *holdout))
    samples, predictions, start = [], [], 0
    for split, scores, labels in given:
        ids = start + np.arange(len(labels))
        samples.append(
            pd.DataFrame(
                {"sample": ids, "application": application, "label": labels, "split": split}
            )
        )
        predictions.append(_listed(pool.names, ids, scores))
        start += len(labels)
    tables["samples"] = pd.concat(samples, ignore_index=True)
    tables["predictions"] = pd.concat(predictions, ignore_index=True)
    tables["applications"] = _application(application, rule, latency_max_ms, members_max)
    return SelectionInstance(parameters, tables, name=name)


def from_subsets(
    pool: Pool,
    fleet: Fleet,
    accuracy: Mapping[frozenset[int], float],
    holdout_accuracy: Mapping[frozenset[int], float] | None = None,
    *,
    latency_max_ms: float = _NO_LIMIT,
    members_max: int = 16,
    application: str = "app",
    name: str | None = None,
    **parameters: object,
) -> SelectionInstance:
    """Make an instance of one application whose members were trained to answer together.

    Parameters
    ----------
    pool
        The members, such as the upstream models of a multi-level ensemble.
    fleet
        The servers.
    accuracy
        Measured accuracy of every non-empty set of members (numbers from 0) on validation samples.
    holdout_accuracy
        The same on hold-out samples; by default that on validation samples.
    latency_max_ms, members_max
        Limits of the application.
    application, name
        Names of the application and of the instance.
    **parameters
        Further parameters of the instance.

    Returns
    -------
    SelectionInstance
        Of one application, whose rule is learned.

    Raises
    ------
    InputError
        A set is missing, or the arrays make no valid instance.
    """
    tables = pool.tables(fleet, application)
    held = accuracy if holdout_accuracy is None else holdout_accuracy
    rows = [
        (
            application,
            "+".join(pool.names[m] for m in sorted(members)),
            float(value),
            float(held[members]),
        )
        for members, value in accuracy.items()
    ]
    names = ["application", "members", "accuracy", "holdout_accuracy"]
    tables["subsets"] = pd.DataFrame(rows, columns=names)
    tables["applications"] = _application(application, "learned", latency_max_ms, members_max)
    return SelectionInstance(parameters, tables, name=name)


def _application(
    application: str, rule: str, latency_max_ms: float, members_max: int
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "application": [application],
            "weight": 1.0,
            "rule": rule,
            "latency_max_ms": float(latency_max_ms),
            "energy_max_j": _NO_LIMIT,
            "members_max": members_max,
            "fallback_accuracy": 0.0,
        }
    )


def _listed(names: Sequence[str], ids: IntArray, scores: FloatArray) -> pd.DataFrame:
    """Scores as rows, those that round to nothing left out, but for the first class."""
    rounded = np.clip(np.round(scores, SCORE_DECIMALS), 0.0, 1.0)
    kept = rounded > 0
    # A sample on which a model says nothing at all would count as not asked.
    kept[:, :, 0] |= ~kept.any(axis=2)
    model, sample, label = np.nonzero(kept)
    return pd.DataFrame(
        {
            "candidate": np.asarray(list(names), dtype=object)[model],
            "sample": ids[sample],
            "label": label,
            "score": rounded[model, sample, label],
        }
    )
