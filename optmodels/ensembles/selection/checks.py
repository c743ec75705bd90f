"""What can be wrong with candidates and predictions although every field by itself is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from optmodels.ensembles.selection.accuracies import (
    MOST_CANDIDATES,
    MOST_SUBSETS,
    subset_count,
)
from optmodels.errors import Flaw
from optmodels.schema import Place

#: Flaws of one kind that are told of one table.
_MOST = 20
#: What rounding may add to a sum of probabilities.
_ROUNDING = 1e-9

_JOINT = "+"

Tables = Mapping[str, pd.DataFrame]
Places = Mapping[str, Place]


def candidate_flaws(tables: Tables, places: Places) -> list[Flaw]:
    """Candidates of unknown applications, applications without candidates or with too many."""
    candidates, applications = tables["candidates"], tables["applications"]
    flaws = _unknown(tables, places, "candidates", "application", "applications")
    counts = candidates["application"].value_counts()
    for i, name in enumerate(applications["application"]):
        count = int(counts.get(name, 0))
        if not 1 <= count <= MOST_CANDIDATES:
            flaws.append(
                Flaw(
                    f"has {count} candidates",
                    file=places["applications"].file,
                    row=places["applications"].row(i),
                    field="application",
                    value=str(name),
                    allowed=f"1 to {MOST_CANDIDATES}",
                )
            )
    return flaws


def profile_flaws(tables: Tables, places: Places) -> list[Flaw]:
    """Profiles of unknown candidates or servers."""
    return [
        *_unknown(tables, places, "profiles", "candidate", "candidates"),
        *_unknown(tables, places, "profiles", "server", "servers"),
    ]


def prediction_flaws(tables: Tables, places: Places) -> list[Flaw]:
    """Samples and predictions that do not belong together, or are missing."""
    voting = _applications(tables, learned=False)
    if not voting:
        return []
    flaws = [
        Flaw("is missing", field=f"table '{name}'", fix="give it: a rule needs predictions")
        for name in ("samples", "predictions")
        if name not in tables
    ]
    if flaws:
        return flaws
    samples = tables["samples"]
    flaws += _unknown(tables, places, "samples", "application", "applications")
    flaws += _unknown(tables, places, "predictions", "candidate", "candidates")
    flaws += _unknown(tables, places, "predictions", "sample", "samples")
    if flaws:
        return flaws
    decisive = set(samples["application"][samples["split"] == "validation"])
    for name in voting:
        if name not in decisive:
            what = f"has no validation sample of '{name}'"
            flaws.append(Flaw(what, file=places["samples"].file, field="split"))
    return flaws or _missing_predictions(tables, places, voting)


def _missing_predictions(tables: Tables, places: Places, voting: list[str]) -> list[Flaw]:
    """Candidates that say nothing on a sample of their application, or something on another's."""
    predictions, samples = tables["predictions"], tables["samples"]
    owner = tables["candidates"].set_index("candidate")["application"]
    told = predictions[["candidate", "sample"]]
    asked = samples.set_index("sample")["application"]
    theirs = told["candidate"].map(owner).to_numpy()
    of_sample = told["sample"].map(asked).to_numpy()
    flaws = [
        Flaw(
            "is a sample of another application than the candidate",
            file=places["predictions"].file,
            row=places["predictions"].row(int(i)),
            field="sample",
            value=int(told["sample"].iloc[i]),
        )
        for i in np.flatnonzero(theirs != of_sample)[:_MOST]
    ]
    pairs = told.drop_duplicates().groupby("candidate")["sample"].size()
    needed = samples.groupby("application")["sample"].size()
    if flaws:
        return flaws
    for name, application in owner.items():
        if application in voting:
            missing = int(needed[application]) - int(pairs.get(name, 0))
            if missing:
                flaws.append(
                    Flaw(
                        f"says nothing on {missing} of {int(needed[application])} samples of "
                        f"'{application}'",
                        file=places["predictions"].file,
                        field="candidate",
                        value=str(name),
                        fix="give the score of at least one class of each sample",
                    )
                )
    return flaws[:_MOST]


def subset_members(members: object) -> tuple[str, ...]:
    """Names of the candidates of a set that is written with '+' between them."""
    return tuple(part.strip() for part in str(members).split(_JOINT))


def subset_flaws(parameters: Any, tables: Tables, places: Places) -> list[Flaw]:
    """Sets of unknown members, told twice, or not told although they may be the live ones."""
    learned = _applications(tables, learned=True)
    if not learned:
        return []
    if "subsets" not in tables:
        fix = "give it: the rule 'learned' needs the accuracy of every set of members"
        return [Flaw("is missing", field="table 'subsets'", fix=fix)]
    subsets, place = tables["subsets"], places["subsets"]
    flaws = _unknown(tables, places, "subsets", "application", "applications")
    owner = tables["candidates"].groupby("application")["candidate"].agg(list).to_dict()
    known: dict[str, set[frozenset[str]]] = {name: set() for name in learned}
    for i, (application, text) in enumerate(
        zip(subsets["application"], subsets["members"], strict=True)
    ):
        names = subset_members(text)
        own = [str(name) for name in owner.get(application, [])]
        members = frozenset(names)
        told: dict[str, Any] = {
            "file": place.file,
            "row": place.row(i),
            "field": "members",
            "value": str(text),
        }
        if not members <= set(own) or len(members) < len(names):
            allowed = f"different candidates of '{application}', joined by '{_JOINT}'"
            flaws.append(Flaw("is no set of members", allowed=allowed, **told))
        elif application in known:
            if members in known[application]:
                flaws.append(Flaw("is a set of an earlier row", **told))
            known[application].add(members)
    if flaws:
        return flaws[:_MOST]
    limits = tables["applications"]
    members_max = dict(zip(limits["application"], limits["members_max"].tolist(), strict=True))
    for name in learned:
        own = [str(candidate) for candidate in owner[name]]
        most = int(parameters.members_per_server) * len(tables["servers"])
        size = min(len(own), most, int(members_max[name]))
        flaws += _missing_subsets(name, own, size, known[name], place)
    return flaws


def _missing_subsets(
    application: str, own: list[str], size: int, known: set[frozenset[str]], place: Place
) -> list[Flaw]:
    if subset_count(len(own), size) > MOST_SUBSETS:
        words = f"{MOST_SUBSETS:,} sets"
        return [Flaw("has too many candidates", field=application, allowed=words)]
    missing = (
        members
        for k in range(1, size + 1)
        for members in combinations(own, k)
        if frozenset(members) not in known
    )
    first = next(missing, None)
    if first is None:
        return []
    count = 1 + sum(1 for _ in missing)
    return [
        Flaw(
            f"misses {count} sets of members of '{application}' that may be alive, such as "
            f"'{_JOINT.join(first)}'",
            file=place.file,
            field="members",
            fix=f"measure every set of at most {size} candidates",
        )
    ]


def scenario_flaws(tables: Tables, places: Places) -> list[Flaw]:
    """Scenarios of unknown servers, of several probabilities, or more likely than certain."""
    if "scenarios" not in tables:
        return []
    table, place = tables["scenarios"], places["scenarios"]
    flaws = _unknown(tables, places, "scenarios", "server", "servers")
    first = table.groupby("scenario")["probability"].transform("first")
    flaws += [
        Flaw(
            "is not the probability of the scenario's first row",
            file=place.file,
            row=place.row(int(i)),
            field="probability",
            value=float(table["probability"].iloc[i]),
            allowed=f"{float(first.iloc[i]):g}",
        )
        for i in np.flatnonzero((table["probability"] != first).to_numpy())[:_MOST]
    ]
    total = float(table.drop_duplicates("scenario")["probability"].sum())
    if total > 1 + _ROUNDING:
        flaws.append(
            Flaw(
                "is the sum over all scenarios",
                file=place.file,
                field="probability",
                value=total,
                allowed="at most 1: one scenario happens, or none",
            )
        )
    return flaws


def _applications(tables: Tables, *, learned: bool) -> list[str]:
    table = tables["applications"]
    chosen = (table["rule"] == "learned") == learned
    return [str(name) for name in table["application"][chosen]]


def _unknown(tables: Tables, places: Places, name: str, field: str, other: str) -> list[Flaw]:
    """Labels of a table that another one, whose key they are, does not have."""
    given, place = tables[name][field], places[name]
    known: Iterable[Any] = set(tables[other][field].tolist())
    wrong = ~given.isin(list(known)).to_numpy()
    return [
        Flaw(
            f"is not in the table '{other}'",
            file=place.file,
            row=place.row(int(i)),
            field=field,
            value=given.iloc[int(i)],
            fix=f"add it to the table '{other}', or correct it",
        )
        for i in np.flatnonzero(wrong)[:_MOST]
    ]
