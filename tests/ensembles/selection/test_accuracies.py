"""Accuracy of sets: the rules in words, and what must hold whatever the data are."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.ensembles.selection.accuracies import (
    MOST_SUBSETS,
    RULES,
    VOTES,
    Measured,
    Predicted,
    grouped,
    margins_of,
    mask_of,
    members_of,
    subset_count,
)
from optmodels.errors import UsageError
from tests.ensembles.selection.cases import accuracy

TOLD = tuple(rule for rule in RULES if rule not in ("learned", "weighted"))
SLOW = settings(deadline=None, derandomize=True, max_examples=40)


def pool(
    seed: int, models: int = 5, samples: int = 30, classes: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Whole scores that often tie, and labels."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 12, (models, samples, classes)).astype(float), rng.integers(
        classes, size=samples
    )


def sets_of(count: int) -> list[tuple[int, ...]]:
    """All non-empty sets."""
    return [c for size in range(1, count + 1) for c in combinations(range(count), size)]


@pytest.mark.parametrize("rule", TOLD)
@pytest.mark.parametrize("classes", [2, 4])
def test_rules_are_what_they_say(rule: str, classes: int) -> None:
    """Margins, groups and masks give what counting sample by sample gives, ties included."""
    scores, labels = pool(1, classes=classes)
    own = Predicted(rule, scores, labels)
    table = own.up_to(5)
    assert len(table.masks) == 31
    assert np.all(np.diff(table.masks) > 0)
    for members in sets_of(5):
        expected = accuracy(rule, scores, labels, members)
        assert own.of(members) == pytest.approx(expected, abs=1e-15)
        assert table.look_up(np.array([mask_of(members)])).item() == own.of(members)
        assert members_of(mask_of(members)) == members
    assert own.ceiling >= table.values.max() - 1e-15


@given(seed=st.integers(0, 10**6), classes=st.integers(2, 5))
@SLOW
def test_pointwise_order(seed: int, classes: int) -> None:
    """Cover is at least plurality, which is at least strict majority; with two classes they agree.

    Of soft voting nothing of the kind holds: a class that nobody ranks first can win the sum.
    """
    scores, labels = pool(seed, models=4, samples=12, classes=classes)
    own = {rule: Predicted(rule, scores, labels) for rule in TOLD}
    for members in sets_of(4):
        cover, plur, major = (own[r].of(members) for r in ("cover", "plurality", "majority"))
        assert cover >= plur >= major
        assert cover >= own["best"].of(members)
        if classes == 2:
            assert plur == major
    for m in range(4):
        assert own["best"].of((m,)) == own["majority"].of((m,)) == own["cover"].of((m,))
        assert own["plurality"].of((m,)) == own["best"].of((m,))


def test_soft_can_exceed_cover() -> None:
    """Two members are wrong in different ways, and right together."""
    scores = np.array([[[0.4, 0.6, 0.0]], [[0.4, 0.0, 0.6]]])
    labels = np.array([0])
    assert Predicted("cover", scores, labels).of((0, 1)) == 0
    assert Predicted("soft", np.round(1000 * scores), labels).of((0, 1)) == 1


@pytest.mark.parametrize("rule", VOTES)
def test_groups_change_nothing(rule: str) -> None:
    """Counting equal samples once, and dropping those that nobody gets right, keeps every value."""
    scores, labels = pool(2, samples=60, classes=3)
    scores = np.concatenate([scores, scores[:, :20]], axis=1)
    labels = np.concatenate([labels, labels[:20]])
    weights = np.array([1.0, 0.5, 0.25, 1.0, 0.75])
    raw = margins_of(rule, scores, labels, weights)
    found = grouped(raw)
    assert len(found.counts) < raw.shape[2]
    for members in sets_of(5):
        plain = np.mean((raw[list(members)].sum(axis=0) > 0).all(axis=0))
        assert found.counts @ found.right(members) / found.total == pytest.approx(plain)


@pytest.mark.parametrize("rule", (*TOLD, "weighted"))
def test_order_of_samples_classes_and_candidates_does_not_matter(rule: str) -> None:
    """Permuted samples, classes (with their labels) and candidates: the same accuracies.

    Scores without ties, as a tie is decided by the number of the class.
    """
    rng = np.random.default_rng(3)
    scores = np.round(1e6 * rng.uniform(size=(4, 30, 3)))
    labels = rng.integers(3, size=30)
    weights = rng.uniform(size=4)
    own = Predicted(rule, scores, labels, weights)
    shuffle = rng.permutation(30)
    classes = np.array([2, 0, 1])
    members = np.array([3, 1, 0, 2])
    other = Predicted(
        rule,
        scores[members][:, shuffle][:, :, np.argsort(classes)],
        classes[labels[shuffle]],
        weights[members],
    )
    for chosen in sets_of(4):
        assert other.of(chosen) == pytest.approx(own.of(members[list(chosen)]), abs=1e-15)


def test_soft_does_not_depend_on_the_scale() -> None:
    """All scores times a constant: the same sums are larger."""
    scores, labels = pool(4)
    one, seven = Predicted("soft", scores, labels), Predicted("soft", 7 * scores, labels)
    assert all(one.of(members) == seven.of(members) for members in sets_of(5))


def test_rounding_changes_only_close_samples() -> None:
    """Scores in thousandths decide as the scores do, but where the margin is below |T| / 1000."""
    rng = np.random.default_rng(5)
    scores = rng.dirichlet(np.ones(4), size=(5, 400))
    labels = rng.integers(4, size=400)
    for members in sets_of(5):
        total = scores[list(members)].sum(axis=0)
        rounded = np.round(1000 * scores[list(members)]).sum(axis=0)
        own = total[np.arange(400), labels]
        rest = np.where(np.arange(4) == labels[:, None], -np.inf, total).max(axis=1)
        ours = rounded[np.arange(400), labels]
        others = np.where(np.arange(4) == labels[:, None], -np.inf, rounded).max(axis=1)
        changed = (own > rest) != (ours > others)
        assert np.all(np.abs(own - rest)[changed] < len(members) / 1000)


def test_independent_errors_vote_as_condorcet_says() -> None:
    """Independent members of accuracy p: the mean of majorities is a binomial tail."""
    rng = np.random.default_rng(6)
    p, n, samples = 0.7, 5, 200_000
    right = rng.uniform(size=(n, samples)) < p
    scores = np.stack([right, ~right], axis=2).astype(float)
    found = Predicted("majority", scores, np.zeros(samples, dtype=np.int64)).of(range(n))
    exact = sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n // 2 + 1, n + 1))
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / samples))


def test_measured_sets_are_used_as_they_are() -> None:
    """A learned rule is a table; what was not measured is refused, not guessed."""
    values = {frozenset(c): round(0.5 + 0.1 * len(c), 1) for c in sets_of(3)}
    own = Measured(3, values)
    assert own.singles.tolist() == [0.6, 0.6, 0.6]
    assert own.ceiling == 0.8
    table = own.up_to(2)
    assert len(table.masks) == 6
    assert np.isnan(table.look_up(np.array([7])))
    del values[frozenset({0, 1})]
    with pytest.raises(UsageError, match="0, 1 together was not measured"):
        Measured(3, values).of((0, 1))


def test_refusals() -> None:
    """Unknown rules, and lists that would never end."""
    scores, labels = pool(7)
    with pytest.raises(UsageError, match="Did you mean 'majority'"):
        Predicted("majorty", scores, labels)
    with pytest.raises(UsageError, match="Unknown vote 'best'"):
        margins_of("best", scores, labels, np.ones(5))
    many = Predicted("best", np.repeat(scores, 12, axis=0), labels)
    assert subset_count(60, 6) > MOST_SUBSETS
    with pytest.raises(UsageError, match="lower members_max"):
        many.up_to(6)
