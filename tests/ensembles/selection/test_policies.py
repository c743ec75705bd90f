"""Policies and the selections that they are made of: what they see, and what they must keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optmodels import comparison
from optmodels.ensembles.selection import POLICIES, PROBLEM
from optmodels.ensembles.selection.caruana import accuracy_of, bagged, select
from optmodels.ensembles.selection.diversity import diversity_table
from optmodels.ensembles.selection.evaluation import validated
from optmodels.ensembles.selection.instance import HOLDOUT, VALIDATION
from optmodels.ensembles.selection.replay import Selection, SelectionEnvironment
from optmodels.ensembles.selection.stacking import loss_of, stacking_weights
from optmodels.ensembles.selection.synthetic import generate
from optmodels.errors import UsageError
from tests.ensembles.selection.cases import drawn


def rows(plan: Any) -> list[tuple[str, ...]]:
    """Members of a plan."""
    return list(plan.tables["members"].itertuples(index=False, name=None))


@pytest.mark.parametrize("rule", ["soft", "majority"])
def test_nobody_sees_holdout_samples(rule: str) -> None:
    """Other hold-out labels: the same members of every policy and of the oracle, other reports."""
    inst = generate(3, samples=30, holdout=30, rule=rule)
    samples = inst.tables["samples"]
    held = samples["split"] == HOLDOUT
    samples.loc[held, "label"] = (samples.loc[held, "label"] + 1) % 4
    other = inst.replace(samples=samples)
    plans = comparison.compare(inst).plans
    for name, plan in comparison.compare(other).plans.items():
        assert rows(plan) == rows(plans[name]), name
        assert plan.objective == plans[name].objective
        assert plan.cost["holdout_expected_error"] != plans[name].cost["holdout_expected_error"]


def test_every_policy_keeps_every_limit() -> None:
    """Sites, copies, bundles, energy and few members: audits of all policies are clean."""
    changes: tuple[dict[str, Any], ...] = (
        {"one_per_site": True},
        {"members_per_server": 2},
        {"copies_max": 3},
        {"expected_share": 0.3},
    )
    for change in changes:
        inst = generate(1, samples=20, holdout=0, room=0.2, candidates=4).replace(**change)
        applications = inst.tables["applications"].assign(members_max=3, energy_max_j=6.0)
        inst = inst.replace(applications=applications)
        found = comparison.compare(inst)
        assert set(found.plans) == set(POLICIES)
        assert "holdout_expected_error" not in found.optimum.cost


def test_same_seed_same_members() -> None:
    """Random policies depend on their seed, and on nothing else."""
    inst = generate(2, samples=20)
    names = ["random-members", "caruana-bagged"]
    one, two = (comparison.compare(inst, names, seed=5).plans for _ in range(2))
    assert all(rows(one[name]) == rows(two[name]) for name in names)
    other = [rows(comparison.compare(inst, names[:1], seed=s).plans[names[0]]) for s in range(6)]
    assert len({tuple(members) for members in other}) > 1


def test_answers_are_checked() -> None:
    """What is no selection, names nobody, or breaks a limit, is refused, and nothing happens."""
    inst = drawn(0)
    task = inst.tasks[0]
    environment = SelectionEnvironment(inst)
    big = tuple((m, s) for m in range(5) for s in range(3))
    wrong: tuple[object, ...] = (
        None,
        Selection(((0, 3),)),
        Selection(((True, 0),)),
        Selection(((0, 0), (0, 0))),
        Selection(((0, 0, 0),)),  # type: ignore[arg-type]
        Selection(big),
    )
    for action in wrong:
        with pytest.raises(UsageError):
            environment.act(action)
    assert environment.placements == []
    environment.act(Selection((task.pairs[0],)))
    assert environment.observe() is None
    with pytest.raises(UsageError, match="went on"):
        environment.act(Selection(()))


def test_audit_names_what_is_wrong() -> None:
    """Tables that somebody wrote by hand: every kind of fault, and memory over all rows."""
    inst = drawn(0)
    plan = PROBLEM.solve(inst)
    table = plan.tables["members"]
    broken = table.copy()
    broken.loc[len(broken)] = ["app", "nobody", "server-1"]
    broken.loc[len(broken)] = ["nothing", "m0", "server-1"]
    broken.loc[len(broken)] = ["app", "m0", "nowhere"]
    broken.loc[len(broken)] = list(table.iloc[0])
    found = PROBLEM.audit(inst, {"members": broken})
    limits = " ".join(str(violation) for violation in found.violations)
    for text in ("candidate of", "application of", "server of", "one row per member"):
        assert text in limits
    assert not PROBLEM.audit(inst, {"members": table.drop(columns="server")}).ok
    assert not PROBLEM.audit(inst, {}).ok
    tight = inst.replace(servers=inst.tables["servers"].assign(capacity_mb=1.0))
    text = " ".join(str(v) for v in PROBLEM.audit(tight, plan.tables).violations)
    assert "memory of a server" in text
    assert "cannot run on" in text


def test_audit_counts_both_splits() -> None:
    """The reported errors are those of the evaluator, on either kind of samples."""
    inst = generate(4, apps=1, samples=40, holdout=25)
    plan = PROBLEM.solve(inst)
    task = inst.tasks[0]
    names = {name: s for s, name in enumerate(inst.servers.names)}
    members = tuple(sorted((task.candidates.index(c), names[s]) for _, c, s in rows(plan)))
    found = validated(task, inst.servers, inst.rules, members)
    assert plan.cost["expected_error"] == pytest.approx(1 - found.expected, abs=1e-12)
    scores, labels = inst.scores(task.name, HOLDOUT)
    assert len(labels) == 25
    everybody = np.round(1000 * scores[[m for m, _ in members]]).sum(axis=0)
    right = np.mean(
        [row[y] > max(np.delete(row, y)) for row, y in zip(everybody, labels, strict=True)]
    )
    assert plan.cost["holdout_undisturbed_error"] == pytest.approx(1 - right)


# ------------------------------------------------------------------------------------- selections
def test_caruana_by_hand() -> None:
    """Three models of two classes: the best one, then the one that corrects it."""
    scores = np.array(
        [
            [[0.9, 0.1], [0.65, 0.35], [0.4, 0.6], [0.9, 0.1]],
            [[0.6, 0.4], [0.3, 0.7], [0.8, 0.2], [0.2, 0.8]],
            [[0.1, 0.9], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9]],
        ]
    )
    labels = np.zeros(4, dtype=np.int64)
    weights = select(scores, labels, rounds=5)
    # 0 alone is right on three; with 1 the third sample turns, the second is lost: with two of 0
    # and one of 1, all four are right.
    assert weights.tolist() == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert accuracy_of(np.tensordot(weights, scores, axes=1), labels) == 1.0
    empty = select(scores, labels, rounds=3, initial=0)
    assert empty.sum() == pytest.approx(1)
    with pytest.raises(UsageError, match="initial is 4"):
        select(scores, labels, initial=4)
    rng = np.random.default_rng(0)
    mean = bagged(scores, labels, rng, bags=10, fraction=0.7)
    assert mean.sum() == pytest.approx(1)
    with pytest.raises(UsageError, match="bags is 0"):
        bagged(scores, labels, rng, bags=0)


@pytest.mark.parametrize("loss", ["log", "brier"])
def test_stacking_is_the_least_loss_on_the_simplex(loss: str) -> None:
    """No vertex, no random mixture and no ensemble of Caruana's has less loss."""
    inst = drawn(5, models=4, samples=60)
    scores, labels = inst.scores("app", VALIDATION)
    weights = stacking_weights(scores, labels, loss)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    least = loss_of(weights, scores, labels, loss)
    rng = np.random.default_rng(0)
    others = [*np.eye(4), *rng.dirichlet(np.ones(4), 200), select(scores, labels)]
    assert all(loss_of(other, scores, labels, loss) >= least - 1e-6 for other in others)
    with pytest.raises(UsageError, match="Did you mean 'log'"):
        stacking_weights(scores, labels, "logg")
    with pytest.raises(UsageError, match="Unknown loss"):
        loss_of(weights, scores, labels, "hinge")


def test_diversity_measures_and_the_identity_of_pairs() -> None:
    """Anybody of two is right as often as not both are wrong; measures by hand."""
    inst = drawn(6, "cover", models=4, samples=50)
    accuracies: Any = inst.tasks[0].accuracies
    table = diversity_table(accuracies.correct)
    for row in table.itertuples():
        pair = (int(row.first), int(row.second))
        assert accuracies.of(pair) == pytest.approx(1 - row.double_fault, abs=1e-12)
    hand = diversity_table(np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], dtype=bool))
    first = hand.iloc[0]
    assert first["disagreement"] == 0.5
    assert first["double_fault"] == 0.25
    assert first["q"] == first["correlation"] == 0
    assert hand.iloc[1]["q"] == hand.iloc[1]["correlation"] == 0
