"""The question itself: what is refused, and that it survives a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import optmodels as om
from optmodels.ensembles.selection.instance import HOLDOUT, VALIDATION, SelectionInstance
from optmodels.ensembles.selection.optimum import solve
from optmodels.ensembles.selection.pool import Fleet, Pool, from_subsets
from optmodels.ensembles.selection.synthetic import generate
from optmodels.errors import InputError
from tests.ensembles.selection.cases import drawn

BUNDLED = Path(__file__).resolve().parents[3] / "instances/ensembles/selection/two-apps-4-servers"


def flaws(inst: SelectionInstance, **changes: object) -> str:
    """All that is wrong with a changed copy, in words."""
    with pytest.raises(InputError) as caught:
        inst.replace(**changes)
    return str(caught.value)


def changed(inst: SelectionInstance, table: str, row: int, **cells: Any) -> pd.DataFrame:
    """A table with other cells in one row."""
    frame = inst.tables[table].astype(dict.fromkeys(cells, object))
    for name, value in cells.items():
        frame.loc[row, name] = value
    return frame


def test_references_are_checked() -> None:
    """Whoever is named must exist; flaws of several tables are told together."""
    inst = drawn(0)
    text = flaws(
        inst,
        candidates=changed(inst, "candidates", 0, application="other"),
        profiles=changed(inst, "profiles", 3, server="nowhere"),
    )
    assert "'other' is not in the table 'applications'" in text
    assert "'nowhere' is not in the table 'servers'" in text
    text = flaws(inst, predictions=changed(inst, "predictions", 2, sample=10**6))
    assert "1000000 is not in the table 'samples'" in text
    two = inst.tables["applications"]
    more = pd.concat([two, two.assign(application="idle")], ignore_index=True)
    assert "has 0 candidates" in flaws(inst, applications=more)


def test_predictions_must_be_complete() -> None:
    """A candidate that says nothing on a sample would be wrong there without anybody noticing."""
    inst = drawn(0)
    table = inst.tables["predictions"]
    gap = table[~((table["candidate"] == "m1") & (table["sample"] == 4))]
    assert "says nothing on 1 of 50 samples" in flaws(inst, predictions=gap)
    assert "'predictions'': is missing" in flaws(inst, predictions=None)
    held = inst.tables["samples"].assign(split=HOLDOUT)
    assert "has no validation sample of 'app'" in flaws(inst, samples=held)
    apps = generate(0, samples=5, holdout=0)
    first = apps.tables["samples"]["sample"].iloc[0]
    wrong = apps.tables["predictions"]
    other = wrong.index[wrong["candidate"].str.startswith("app-2")][0]
    wrong.loc[other, "sample"] = first
    assert "another application than the candidate" in flaws(apps, predictions=wrong)


def test_scenarios_are_probabilities() -> None:
    """One probability per scenario, not more than certain in all."""
    inst = drawn(0)
    table = pd.DataFrame(
        {
            "scenario": ["a", "a", "b"],
            "server": ["server-1", "server-2", "server-3"],
            "probability": [0.6, 0.5, 0.7],
        }
    )
    text = flaws(inst, scenarios=table)
    assert "is not the probability of the scenario's first row" in text
    assert "is the sum over all scenarios" in text


def test_measured_sets_must_be_complete() -> None:
    """Every set that may be alive needs its accuracy; unknown members and repetitions are told."""
    pool = Pool(["a", "b"], [1.0, 1.0], [1.0, 1.0])
    fleet = Fleet((5.0, 5.0), (0.1, 0.1))
    values = {frozenset({0}): 0.5, frozenset({1}): 0.6, frozenset({0, 1}): 0.7}
    inst = from_subsets(pool, fleet, values)
    rows = inst.tables["subsets"]
    single = rows[~rows["members"].str.contains("+", regex=False)]
    assert "misses 1 sets of members of 'app' that may be alive, such as 'a+b'" in flaws(
        inst, subsets=single
    )
    # With one member at most no pair is ever alive.
    one = inst.tables["applications"].assign(members_max=1)
    assert solve(inst.replace(subsets=single, applications=one)).objective == pytest.approx(
        1 - 0.9 * 0.6
    )
    twice = pd.concat([rows, rows.iloc[:1].assign(members="b+a")], ignore_index=True)
    assert "is a set of an earlier row" in flaws(inst, subsets=twice)
    unknown = rows.assign(members=[*rows["members"].iloc[:2], "a+z"])
    assert "is no set of members" in flaws(inst, subsets=unknown)
    assert "needs the accuracy of every set" in flaws(inst, subsets=None)


def test_ranges_are_those_of_the_declaration() -> None:
    """Probabilities, shares and rules out of range are refused by name."""
    inst = drawn(0)
    servers = inst.tables["servers"].assign(failure_probability=1.5)
    assert "failure_probability" in flaws(inst, servers=servers)
    assert "expected_share" in flaws(inst, expected_share=1.5)
    rules = inst.tables["applications"].assign(rule="loudest")
    assert "loudest" in flaws(inst, applications=rules)


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
def test_folders_keep_everything(tmp_path: Path, table_format: str) -> None:
    """Saved and loaded: equal, and solved to the same value."""
    inst = generate(5, samples=15, holdout=10)
    found = om.load(inst.save(tmp_path / "inst", table_format=table_format))
    assert found == inst
    assert solve(found).objective == solve(inst).objective  # type: ignore[arg-type]


def test_bundled_instance_is_that_of_its_command() -> None:
    """The folder that is shipped is what its command makes."""
    assert om.load(BUNDLED) == generate(1)


def test_generator_makes_what_it_says() -> None:
    """Accuracies near those that were asked for, correlated errors, sizes checked together."""
    inst = generate(0, apps=1, candidates=3, samples=4000, holdout=0, correlation=0.9, rule="best")
    singles = inst.tasks[0].accuracies.singles
    assert singles == pytest.approx([0.62, 0.735, 0.85], abs=0.03)
    loose = generate(0, apps=1, candidates=3, samples=4000, holdout=0, correlation=0.0)
    tight: Any = inst.tasks[0].accuracies
    free: Any = loose.tasks[0].accuracies
    both = [(own.correct[1] & own.correct[2]).mean() for own in (tight, free)]
    assert both[0] > both[1] + 0.05
    assert both[1] == pytest.approx(0.735 * 0.85, abs=0.03)
    with pytest.raises(InputError) as caught:
        generate(-1, apps=0, correlation=2.0, rule="learned")
    for name in ("seed", "apps", "correlation", "rule"):
        assert name in str(caught.value)


def test_splits_are_kept_apart() -> None:
    """Scores of either split are those of its own samples, in the order of their numbers."""
    inst = generate(6, samples=12, holdout=7)
    for name in ("app-1", "app-2"):
        for split, count in ((VALIDATION, 12), (HOLDOUT, 7)):
            scores, labels = inst.scores(name, split)
            table = inst.tables["samples"]
            own = table[(table["application"] == name) & (table["split"] == split)]
            assert labels.tolist() == own["label"].tolist()
            assert scores.shape == (7, count, 4)
            said = inst.tables["predictions"]
            row = said[(said["sample"] == own["sample"].iloc[3])].iloc[0]
            names = inst.tasks[0 if name == "app-1" else 1].candidates
            assert scores[names.index(row["candidate"]), 3, row["label"]] == row["score"]
