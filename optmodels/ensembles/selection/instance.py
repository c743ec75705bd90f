"""Ensembles on servers that fail: what is known, and what is asked.

An application can be served by several trained models, its candidates. What each of them says on a
set of labelled validation samples is known. Servers have memory for models, and fail. Which
candidates should run where, so that the live ones together answer best, on average over all
failures, or in the worst of them?

The best ensemble is not made of the best models: members help by being right where others are
wrong, and by being alive where others are not. Memory is shared by the applications; latency,
energy, sites and the number of members limit each of them.

The rules by which members answer together are told in
`optmodels.ensembles.selection.accuracies`. Selecting from a library of trained models by their
predictions is the idea of Caruana et al. ("Ensemble selection from libraries of models", ICML
2004); that servers fail, and the exact optimisation under failures, are ours.

Validation samples decide; *hold-out* samples are only reported: nobody who decides sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from optmodels.ensembles.selection.accuracies import Accuracies, IntArray, Measured, Predicted
from optmodels.ensembles.selection.checks import (
    candidate_flaws,
    prediction_flaws,
    profile_flaws,
    scenario_flaws,
    subset_flaws,
    subset_members,
)
from optmodels.ensembles.selection.failures import Failures
from optmodels.ensembles.selection.tasks import TOLERANCE, Rules, Servers, Task
from optmodels.errors import Flaw
from optmodels.instance import Instance
from optmodels.policy import FloatArray, frozen
from optmodels.schema import Parameters, Place, Row, Table, column

_LARGEST = 1e9

VALIDATION, HOLDOUT = "validation", "holdout"


class SelectionParameters(Parameters):
    """Scalar parameters of the selection of ensembles."""

    expected_share: float = column(
        "weight of the expected accuracy; the rest is that of the worst case",
        default=1.0,
        ge=0,
        le=1,
    )
    worst_failures: int = column("servers that fail in the worst case", default=1, ge=0, le=64)
    members_per_server: int = column(
        "members of one application on one server, at most", default=1, ge=1, le=8
    )
    copies_max: int = column("servers that run the same candidate, at most", default=1, ge=1, le=64)
    one_per_site: bool = column(
        "whether an application may have one member at a site only", default=False
    )
    score_steps: int = column(
        "scores are rounded to this part of one before they are added up",
        default=1000,
        ge=1,
        le=1_000_000,
    )


class ServerRow(Row):
    """One server."""

    server: str = column("name of the server")
    site: str = column("name of its site")
    capacity_mb: float = column("memory for models", unit="MB", ge=0, le=_LARGEST)
    failure_probability: float = column(
        "probability that it fails; not used where there is a table 'scenarios'", ge=0, le=1
    )


class ApplicationRow(Row):
    """One application."""

    application: str = column("name of the application")
    weight: float = column("how much its accuracy counts", gt=0, le=_LARGEST)
    rule: Literal["best", "cover", "majority", "plurality", "soft", "weighted", "learned"] = column(
        "how its live members answer together"
    )
    latency_max_ms: float = column("longest time of an answer", unit="ms", ge=0, le=_LARGEST)
    energy_max_j: float = column(
        "energy of a request on all members together, at most", unit="J", ge=0, le=_LARGEST
    )
    members_max: int = column("members, at most", ge=1, le=16)
    fallback_accuracy: float = column("accuracy while no member is alive", ge=0, le=1)


class CandidateRow(Row):
    """One trained model that an application may deploy."""

    candidate: str = column("name of the model")
    application: str = column("application that it serves")
    memory_mb: float = column("memory of the loaded model", unit="MB", ge=0, le=_LARGEST)
    vote_weight: float = column("its weight where the rule is 'weighted'", ge=0, le=1)


class ProfileRow(Row):
    """One candidate on one server."""

    candidate: str = column("name of the model")
    server: str = column("name of the server")
    latency_ms: float = column("time of an answer", unit="ms", ge=0, le=_LARGEST)
    energy_j: float = column("energy of a request", unit="J", ge=0, le=_LARGEST)


class SampleRow(Row):
    """One labelled sample."""

    sample: int = column("number of the sample", ge=0, le=10**9)
    application: str = column("application that it belongs to")
    label: int = column("its right class, from 0", ge=0, le=10_000)
    split: Literal["validation", "holdout"] = column("whether it decides, or is only reported")


class PredictionRow(Row):
    """Score that a candidate gives to a class of a sample."""

    candidate: str = column("name of the model")
    sample: int = column("number of the sample", ge=0, le=10**9)
    label: int = column(
        "class, from 0; classes that are not listed have the score 0", ge=0, le=10_000
    )
    score: float = column("its score, such as a probability", ge=0, le=1)


class ScenarioRow(Row):
    """One server that fails in a scenario."""

    scenario: str = column("name of the scenario")
    server: str = column("server that fails in it")
    probability: float = column("its probability; the same in all its rows", ge=0, le=1)


class SubsetRow(Row):
    """Measured accuracy of one set of members, where the rule is 'learned'."""

    application: str = column("application")
    members: str = column("names of the candidates, joined by '+'")
    accuracy: float = column("accuracy on validation samples", ge=0, le=1)
    holdout_accuracy: float = column("accuracy on hold-out samples", ge=0, le=1)


class SelectionInstance(Instance):
    """Frozen data of a selection of ensembles.

    Tables: ``servers``, ``applications``, ``candidates``, ``profiles`` (one row per candidate and
    server that can run it). Where a rule needs them ``samples`` and ``predictions``, or, for the
    rule "learned", ``subsets``. Where servers do not fail independently of each other,
    ``scenarios``, at most one of which happens.
    """

    problem: ClassVar[str] = "ensembles.selection"
    title: ClassVar[str] = "Which models run on which servers, if servers fail?"
    parameters_model: ClassVar[type[Parameters]] = SelectionParameters
    table_models: ClassVar[Mapping[str, Table]] = {
        "servers": Table(ServerRow, ("server",), "Servers."),
        "applications": Table(ApplicationRow, ("application",), "Applications."),
        "candidates": Table(CandidateRow, ("candidate",), "Trained models."),
        "profiles": Table(ProfileRow, ("candidate", "server"), "What a model costs on a server."),
        "samples": Table(SampleRow, ("sample",), "Labelled samples.", required=False),
        "predictions": Table(
            PredictionRow,
            ("candidate", "sample", "label"),
            "What each candidate says on each sample.",
            required=False,
        ),
        "scenarios": Table(
            ScenarioRow, ("scenario", "server"), "Servers that fail together.", required=False
        ),
        "subsets": Table(
            SubsetRow,
            ("application", "members"),
            "Measured accuracy of sets of members.",
            required=False,
        ),
    }

    @classmethod
    def _check(
        cls,
        parameters: Any,
        tables: Mapping[str, pd.DataFrame],
        places: Mapping[str, Place],
    ) -> list[Flaw]:
        found = [*candidate_flaws(tables, places), *profile_flaws(tables, places)]
        # What follows looks up candidates by name.
        if not found:
            found = [
                *prediction_flaws(tables, places),
                *subset_flaws(parameters, tables, places),
                *scenario_flaws(tables, places),
            ]
        return found

    @cached_property
    def rules(self) -> Rules:
        """What holds for all applications."""
        given = self.parameters.model_dump()
        given.pop("score_steps")
        return Rules(**given)

    @cached_property
    def servers(self) -> Servers:
        """The servers and their failures."""
        table = self._tables["servers"]
        names = tuple(str(name) for name in table["server"])
        sites = sorted({str(site) for site in table["site"]})
        return Servers(
            names=names,
            sites=np.array([sites.index(str(site)) for site in table["site"]], dtype=np.int64),
            capacity_mb=frozen(table["capacity_mb"]),
            failures=self._failures(names, frozen(table["failure_probability"])),
        )

    def _failures(self, names: tuple[str, ...], probability: FloatArray) -> Failures:
        table = self._tables.get("scenarios")
        if table is None:
            return Failures(probability)
        labels = sorted({str(name) for name in table["scenario"]})
        down = np.zeros((len(labels), len(names)), dtype=bool)
        happens = np.zeros(len(labels))
        probabilities = table["probability"].to_numpy()
        for row, chance in zip(table.itertuples(), probabilities, strict=True):
            number = labels.index(str(row.scenario))
            down[number, names.index(str(row.server))] = True
            happens[number] = float(chance)
        return Failures(probability, down, frozen(happens))

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The applications, in the order of their names, as those who decide may know them."""
        weights = self._tables["applications"]["weight"]
        total = float(np.sum(weights))
        return tuple(self._task(row, total) for row in self._tables["applications"].itertuples())

    def _task(self, row: Any, total: float) -> Task:
        own = self._tables["candidates"]
        own = own[own["application"] == row.application]
        names = tuple(str(name) for name in own["candidate"])
        memory = frozen(own["memory_mb"])
        latency, energy = self._profiles_of(names)
        capacity = self.servers.capacity_mb
        allowed = (
            (latency <= row.latency_max_ms * (1 + TOLERANCE))
            & (energy <= row.energy_max_j * (1 + TOLERANCE))
            & (memory[:, None] <= capacity * (1 + TOLERANCE))
        )
        allowed.flags.writeable = False
        return Task(
            name=str(row.application),
            share=float(row.weight) / total,
            rule=str(row.rule),
            candidates=names,
            memory_mb=memory,
            energy_j=frozen(energy),
            allowed=allowed,
            energy_max_j=float(row.energy_max_j),
            members_max=int(row.members_max),
            fallback=float(row.fallback_accuracy),
            accuracies=self.accuracies(str(row.application), VALIDATION),
        )

    def _profiles_of(self, names: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
        """(candidates, servers): latency and energy; infinite where a server runs it not at all."""
        table = self._tables["profiles"]
        own = table[table["candidate"].isin(names)]
        servers = {name: s for s, name in enumerate(self.servers.names)}
        numbers = {name: m for m, name in enumerate(names)}
        place = (
            own["candidate"].map(numbers).to_numpy(dtype=np.int64),
            own["server"].map(servers).to_numpy(dtype=np.int64),
        )
        found = []
        for label in ("latency_ms", "energy_j"):
            values = np.full((len(names), len(servers)), np.inf)
            values[place] = own[label].to_numpy()
            found.append(values)
        return found[0], found[1]

    def accuracies(self, application: str, split: str) -> Accuracies:
        """Accuracy of every set of candidates of an application on one kind of samples.

        Parameters
        ----------
        application
            Its name.
        split
            "validation" or "holdout"; see `has_holdout`.
        """
        table = self._tables["candidates"]
        own = table[table["application"] == application]
        names = [str(name) for name in own["candidate"]]
        applications = self._tables["applications"].set_index("application")
        rule = str(applications.loc[application, "rule"])
        if rule == "learned":
            label = "accuracy" if split == VALIDATION else "holdout_accuracy"
            rows = self._tables["subsets"]
            rows = rows[rows["application"] == application]
            measured = {
                frozenset(names.index(name) for name in subset_members(row.members)): getattr(
                    row, label
                )
                for row in rows.itertuples()
            }
            return Measured(len(names), measured)
        scores, labels = self.scores(application, split)
        steps = self.parameters.score_steps
        return Predicted(rule, frozen(np.round(steps * scores)), labels, frozen(own["vote_weight"]))

    def scores(self, application: str, split: str) -> tuple[FloatArray, IntArray]:
        """Scores (candidates, samples, classes) and right classes, as they were given."""
        samples = self._tables["samples"]
        samples = samples[(samples["application"] == application) & (samples["split"] == split)]
        labels = samples["label"].to_numpy(dtype=np.int64)
        own = self._tables["candidates"]
        names = [str(n) for n in own["candidate"][own["application"] == application]]
        table = self._tables["predictions"]
        table = table[table["candidate"].isin(names)]
        classes = 1 + max(int(samples["label"].max()), int(table["label"].max()), 1)
        order = samples["sample"].to_numpy()
        # Samples are sorted by their numbers, as every table is by its key.
        place = np.searchsorted(order, table["sample"].to_numpy())
        inside = order[np.minimum(place, len(order) - 1)] == table["sample"].to_numpy()
        number = table["candidate"].map({name: m for m, name in enumerate(names)})
        scores = np.zeros((len(names), len(order), classes))
        scores[
            number.to_numpy(dtype=np.int64)[inside],
            place[inside],
            table["label"].to_numpy(dtype=np.int64)[inside],
        ] = table["score"].to_numpy()[inside]
        return scores, labels

    @cached_property
    def has_holdout(self) -> bool:
        """Whether every application can be reported on hold-out samples."""
        samples = self._tables.get("samples")
        rows = self._tables["applications"]
        voting = {str(r.application) for r in rows.itertuples() if r.rule != "learned"}
        if samples is None:
            return not voting
        held = samples["application"][samples["split"] == HOLDOUT]
        return voting <= {str(name) for name in held}

    @cached_property
    def held_out(self) -> tuple[Accuracies, ...]:
        """Accuracy of every set of candidates of each application on hold-out samples."""
        return tuple(self.accuracies(task.name, HOLDOUT) for task in self.tasks)

    def model(self) -> Any:
        """The choice among configurations as an ordinary Pyomo model, to edit or to solve."""
        from optmodels.ensembles.selection.model import concrete_model

        return concrete_model(self)
