"""A case that was solved by brute force elsewhere: five models, eight samples, three servers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pytest

from optmodels.ensembles.selection.configurations import Prices
from optmodels.ensembles.selection.evaluation import validated
from optmodels.ensembles.selection.greedy import in_turn
from optmodels.ensembles.selection.optimum import solve
from tests.ensembles.selection.cases import error, golden, placements

RULES = ("best", "cover", "majority")
METHODS = ("table", "configurations", "votes")
SUBSETS: Mapping[tuple[int, ...], tuple[float, float, float]] = {
    (0, 1): (0.75, 0.875, 0.625),
    (0, 1, 2): (0.75, 0.875, 0.875),
    (0, 1, 3): (0.75, 1.0, 0.75),
    (2, 3, 4): (0.625, 1.0, 0.75),
    (0, 1, 2, 3, 4): (0.75, 1.0, 0.875),
}
OPTIMA = {"best": 0.73375, "cover": 0.95925, "majority": 0.675}
UNDISTURBED = {"best": 0.75, "cover": 1.0, "majority": 0.875}
ROBUST = {"best": 0.625, "cover": 0.875, "majority": 0.5}


@pytest.mark.parametrize("rule", RULES)
def test_accuracies_of_sets(rule: str) -> None:
    """Singles and sets have the accuracies that were counted by hand."""
    found = golden(rule).tasks[0].accuracies
    assert found.singles.tolist() == [0.75, 0.75, 0.625, 0.625, 0.625]
    for members, values in SUBSETS.items():
        assert found.of(members) == values[RULES.index(rule)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("method", METHODS)
def test_expected_optimum(rule: str, method: str) -> None:
    """The most expected accuracy, by all three methods."""
    plan = solve(golden(rule), method=method, mip_gap=0.0)
    assert plan.status == "optimal"
    assert 1 - plan.objective == pytest.approx(OPTIMA[rule], abs=1e-12)
    assert plan.bound == pytest.approx(plan.objective, abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("method", METHODS)
def test_robust_and_undisturbed_optima(rule: str, method: str) -> None:
    """The most accuracy when any one server fails, and when none ever does."""
    robust = solve(golden(rule, expected_share=0.0), method=method, mip_gap=0.0)
    assert 1 - robust.objective == pytest.approx(ROBUST[rule], abs=1e-12)
    never = solve(golden(rule, failing=(0.0, 0.0, 0.0)), method=method, mip_gap=0.0)
    assert 1 - never.objective == pytest.approx(UNDISTURBED[rule], abs=1e-12)


def test_number_of_placements_and_ties() -> None:
    """Sixty placements; twelve of them are best for failover, two cover most."""
    ties = {}
    for rule in RULES:
        inst = golden(rule)
        values = [1 - error(inst, (members,)) for members in placements(inst)]
        assert len(values) == 60
        assert max(values) == pytest.approx(OPTIMA[rule], abs=1e-12)
        ties[rule] = sum(value > max(values) - 1e-12 for value in values)
    assert ties["best"] == 12
    assert ties["cover"] == 2


def test_members_of_the_optima() -> None:
    """Covering takes models 0, 3 and 4 (or another such trio); a majority is best left alone."""
    inst = golden("cover")
    plan = solve(inst)
    best = [
        members for members in placements(inst) if error(inst, (members,)) < 1 - 0.95925 + 1e-12
    ]
    assert ((0, 0), (3, 1), (4, 2)) in best
    names = (
        [(f"m{m}", inst.servers.names[s]) for m, s in best[0]],
        [(f"m{m}", inst.servers.names[s]) for m, s in best[1]],
    )
    rows = list(plan.tables["members"][["candidate", "server"]].itertuples(index=False, name=None))
    assert rows in names
    alone = solve(golden("majority")).tables["members"]
    assert alone["candidate"].tolist() in (["m0"], ["m1"])
    assert alone["server"].tolist() == ["server-1"]


def test_a_trio_wins_only_where_servers_hardly_fail() -> None:
    """Three members vote better than one undisturbed; with these failures one alone is better."""
    trio = ((0, 0), (2, 1), (3, 2))
    inst = golden("majority")
    found = validated(inst.tasks[0], inst.servers, inst.rules, trio)
    assert found.undisturbed == 0.875
    assert found.expected == pytest.approx(0.6745, abs=1e-12)
    rare = golden("majority", failing=(0.01, 0.01, 0.01))
    plan = solve(rare)
    assert 1 - plan.objective == pytest.approx(0.86023575, abs=1e-12)
    alone = validated(rare.tasks[0], rare.servers, rare.rules, ((0, 0),))
    assert alone.expected == pytest.approx(0.7425, abs=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_greedy_reaches_the_optimum_here(rule: str) -> None:
    """Greedy selection attains all three."""
    inst = golden(rule)
    members = in_turn(inst.tasks, inst.servers, inst.rules, Prices(1.0, 0.0))
    assert 1 - error(inst, members) == pytest.approx(OPTIMA[rule], abs=1e-12)


def test_a_majority_is_neither_monotone_nor_submodular() -> None:
    """36 pairs of sets lose by growing; 138 times a member helps more where more are there.

    Whoever assumes that greedy's guarantee holds for votes is shown where it does not.
    """
    of = golden("majority").tasks[0].accuracies.of
    assert of((0,)) > of((0, 1))
    sets = [set(c) for size in range(6) for c in combinations(range(5), size)]

    def value(members: set[int]) -> float:
        return of(members) if members else 0.0

    falls = sum(value(s | {m}) < value(s) for s in sets for m in range(5) if m not in s)
    assert falls == 36
    breaks = sum(
        value(small | {m}) - value(small) < value(large | {m}) - value(large)
        for small in sets
        for large in sets
        if small < large
        for m in range(5)
        if m not in large
    )
    assert breaks == 138
