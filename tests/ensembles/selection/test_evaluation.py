"""What members are worth while servers fail."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.ensembles.selection.evaluation import Worth, validated, worth
from optmodels.ensembles.selection.failures import Failures
from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.ensembles.selection.tasks import Placement
from tests.ensembles.selection.cases import drawn

RULES = ("best", "cover", "majority", "plurality", "soft", "weighted")
TRIO: Placement = ((0, 0), (1, 1), (2, 2))
SLOW = settings(deadline=None, derandomize=True, max_examples=25)


def with_failures(inst: SelectionInstance, failing: list[float], worst: int = 1) -> Worth:
    """Worth of three members with these failure probabilities."""
    servers = replace(inst.servers, failures=Failures(np.array(failing)))
    return validated(inst.tasks[0], servers, replace(inst.rules, worst_failures=worst), TRIO)


@pytest.mark.parametrize("rule", RULES)
def test_certain_failures(rule: str) -> None:
    """Nobody fails: the accuracy of all; everybody does: that of nobody, stated or none."""
    inst = drawn(0, rule)
    task = inst.tasks[0]
    assert with_failures(inst, [0, 0, 0]).expected == task.accuracies.of((0, 1, 2))
    assert with_failures(inst, [1, 1, 1]).expected == 0
    held = replace(task, fallback=0.25)
    never = replace(inst.servers, failures=Failures(np.ones(3)))
    assert validated(held, never, inst.rules, TRIO).expected == 0.25
    empty = validated(held, never, inst.rules, ())
    assert empty == Worth(0.25, 0.25, 0.25)


@given(seed=st.integers(0, 1000), rule=st.sampled_from(RULES), server=st.integers(0, 2))
@SLOW
def test_expectation_is_affine_in_every_failure_probability(
    seed: int, rule: str, server: int
) -> None:
    """Half way between two probabilities it is half way between two expectations."""
    inst = drawn(seed, rule, samples=12)
    rng = np.random.default_rng(seed)
    failing = rng.uniform(size=3).tolist()
    values = []
    for q in (0.1, 0.5, 0.9):
        failing[server] = q
        values.append(with_failures(inst, failing).expected)
    assert values[1] == pytest.approx((values[0] + values[2]) / 2, abs=1e-12)


@given(seed=st.integers(0, 1000), rule=st.sampled_from(("best", "cover")))
@SLOW
def test_monotone_rules(seed: int, rule: str) -> None:
    """Best and cover: less where a server fails more often, more with one member more."""
    inst = drawn(seed, rule, samples=12)
    low = with_failures(inst, [0.1, 0.2, 0.3])
    for server in range(3):
        failing = [0.1, 0.2, 0.3]
        failing[server] += 0.4
        assert with_failures(inst, failing).expected <= low.expected + 1e-12
    task, servers, rules = inst.tasks[0], inst.servers, inst.rules
    values = [validated(task, servers, rules, TRIO[:n]).expected for n in range(4)]
    assert all(b >= a - 1e-12 for a, b in pairwise(values))


@given(seed=st.integers(0, 1000), rule=st.sampled_from(RULES))
@SLOW
def test_worst_case_is_ordered(seed: int, rule: str) -> None:
    """More failures are worse; the expectation is between the least and the most of all."""
    inst = drawn(seed, rule, samples=12)
    found = [with_failures(inst, [0.2, 0.3, 0.4], worst) for worst in range(4)]
    values = [w.worst for w in found]
    assert values[0] == found[0].undisturbed
    assert all(b <= a for a, b in pairwise(values))
    assert values[-1] == 0
    of = inst.tasks[0].accuracies.of
    sets = [tuple(m for m in range(3) if alive[m]) for alive in product((0, 1), repeat=3)]
    every = [of(members) if members else 0.0 for members in sets]
    assert min(every) - 1e-12 <= found[0].expected <= max(every) + 1e-12


def test_patterns_sum_to_one_and_can_be_projected() -> None:
    """Independent or correlated: probabilities of all patterns sum to one, on any servers."""
    rng = np.random.default_rng(1)
    scenarios = rng.uniform(size=(6, 4)) < 0.5
    chances = rng.dirichlet(np.ones(7))[:6]
    for failures in (
        Failures(rng.uniform(size=4)),
        Failures(np.zeros(4), scenarios, chances),
    ):
        whole = failures.alive((0, 1, 2, 3))
        assert whole.sum() == pytest.approx(1, abs=1e-12)
        assert np.all(whole >= 0)
        for used in ((0, 2), (3,), (1, 2, 3)):
            part = np.zeros(2 ** len(used))
            for pattern, value in enumerate(whole):
                part[sum(1 << j for j, s in enumerate(used) if pattern >> s & 1)] += value
            np.testing.assert_allclose(failures.alive(used), part, atol=1e-12)
        assert failures.failing(1) == pytest.approx(
            sum(v for p, v in enumerate(whole) if not p >> 1 & 1)
        )
    assert Failures(np.ones(2)).alive(()).tolist() == [1.0]


def test_scenarios_of_a_site() -> None:
    """Two servers that only fail together are as good as one: a copy there helps nothing."""
    together = Failures(np.zeros(2), np.array([[True, True]]), np.array([0.3]))
    alone = Failures(np.array([0.3, 0.3]))
    own = drawn(2, "best").tasks[0].accuracies
    copies: Placement = ((0, 0), (0, 1))
    single = own.of((0,))
    correlated = worth(own, together, copies, worst_failures=1)
    assert correlated.expected == pytest.approx(0.7 * single)
    apart = worth(own, alone, copies, worst_failures=1)
    assert apart.expected == pytest.approx((1 - 0.09) * single)
    assert apart.worst == single


@pytest.mark.parametrize("rule", ("best", "majority"))
def test_copies(rule: str) -> None:
    """A copy on a second server: alive where either is, and one vote, not two."""
    inst = drawn(3, rule)
    own = inst.tasks[0].accuracies
    failures = Failures(np.array([0.2, 0.4]))
    found = worth(own, failures, ((0, 0), (0, 1)), worst_failures=1)
    assert found.expected == pytest.approx(own.of((0,)) * (1 - 0.2 * 0.4))


def test_truncated_sums_bracket_the_whole() -> None:
    """Patterns of at most k failures: their sum, and with the rest all right, enclose the value."""
    inst = drawn(4, "soft")
    task = inst.tasks[0]
    probabilities = inst.servers.failures.alive((0, 1, 2))
    whole = validated(task, inst.servers, inst.rules, TRIO).expected
    for most in range(4):
        kept = [p for p in range(8) if 3 - p.bit_count() <= most]
        low = sum(
            probabilities[p] * task.accuracies.of([m for m, s in TRIO if p >> s & 1])
            for p in kept
            if p
        )
        high = low + 1 - sum(probabilities[p] for p in kept)
        assert low - 1e-12 <= whole <= high + 1e-12
