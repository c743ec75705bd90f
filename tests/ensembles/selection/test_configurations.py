"""All configurations as arrays: equal to one after the other, with every limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from optmodels.ensembles.selection.configurations import (
    Configurations,
    Prices,
    undominated,
)
from optmodels.ensembles.selection.greedy import gain_of
from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.errors import UsageError
from tests.ensembles.selection.cases import brute_force, drawn, error, placements

EXPECTED = Prices(1.0, 0.0)


def made(inst: SelectionInstance, prices: Prices = EXPECTED) -> Configurations:
    """Configurations of the only application."""
    return Configurations(inst.tasks[0], inst.servers, inst.rules, prices)


def limited(inst: SelectionInstance, **limits: Any) -> SelectionInstance:
    """The same with other limits of its application."""
    return inst.replace(applications=inst.tables["applications"].assign(**limits))


LIMITS: dict[str, dict[str, Any]] = {
    "none": {},
    "copies": {"copies_max": 2},
    "more copies": {"copies_max": 3},
    "bundles": {"members_per_server": 2},
    "bundles and copies": {"members_per_server": 2, "copies_max": 2},
    "sites": {"one_per_site": True},
    "mixed": {"expected_share": 0.4},
    "worst of two": {"expected_share": 0.3, "worst_failures": 2},
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", ["best", "majority", "soft", "weighted"])
@pytest.mark.parametrize("limits", list(LIMITS))
def test_best_is_that_of_brute_force(seed: int, rule: str, limits: str) -> None:
    """The oracle's value is the least of all placements, and its placement has it."""
    small = {"models": 4} if "bundles" in limits else {}
    inst = drawn(seed, rule, **small, **LIMITS[limits])
    share = inst.rules.expected_share
    prices = Prices(share, 1 - share)
    gain, placement = made(inst, prices).best()
    assert 1 - gain == pytest.approx(brute_force(inst), abs=1e-12)
    assert error(inst, (placement,)) == pytest.approx(1 - gain, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "limits", [{"members_max": 2}, {"energy_max_j": 9.0}, {"latency_max_ms": 5.0}]
)
def test_limits_of_an_application(seed: int, limits: dict[str, float]) -> None:
    """Members, energy (which adds up) and latency (of each member) are kept, and nothing more."""
    inst = limited(drawn(seed, "soft"), **limits)
    gain, placement = made(inst).best()
    assert 1 - gain == pytest.approx(brute_force(inst), abs=1e-12)
    free = made(drawn(seed, "soft")).best()[0]
    assert gain <= free + 1e-12
    profiles = inst.tables["profiles"].set_index(["candidate", "server"])
    rows = [(f"m{m}", inst.servers.names[s]) for m, s in placement]
    told = profiles.loc[rows]
    row = inst.tables["applications"].iloc[0]
    assert len(placement) <= row["members_max"]
    assert told["energy_j"].sum() <= row["energy_max_j"] * (1 + 1e-6)
    assert (told["latency_ms"] <= row["latency_max_ms"] * (1 + 1e-6)).all()


@pytest.mark.parametrize("rule", ["best", "soft"])
def test_correlated_failures(rule: str) -> None:
    """Scenarios in which servers fail together are summed over exactly."""
    inst = drawn(1, rule)
    table = pd.DataFrame(
        {
            "scenario": ["storm", "storm", "fire", "flood", "flood"],
            "server": ["server-1", "server-2", "server-3", "server-1", "server-3"],
            "probability": [0.2, 0.2, 0.1, 0.25, 0.25],
        }
    )
    inst = inst.replace(scenarios=table)
    gain, _ = made(inst).best()
    assert 1 - gain == pytest.approx(brute_force(inst), abs=1e-12)


def test_site_rule_never_helps() -> None:
    """One member per site: at most as good as without."""
    for seed in range(5):
        free = made(drawn(seed, "soft")).best()[0]
        assert made(drawn(seed, "soft", one_per_site=True)).best()[0] <= free + 1e-12


@pytest.mark.parametrize("per_server", [1, 2])
def test_every_gain_is_that_of_the_evaluator(per_server: int) -> None:
    """Cell by cell: gains with prices on everything, and minus infinity where a limit is broken."""
    inst = limited(drawn(2, "majority", models=4, members_per_server=per_server), energy_max_j=20.0)
    prices = Prices(0.7, 0.2, energy=0.003, memory=0.0004)
    allowed = {
        p: gain_of(inst.tasks[0], inst.servers, inst.rules, prices, p) for p in placements(inst)
    }
    found = {}
    own = made(inst, prices)
    for used in own._uses():
        gains = own.gains(used)
        for place in np.flatnonzero(np.isfinite(gains)):
            found[own._placement(used, int(place), gains.shape)] = gains.flat[place]
    assert set(found) == set(allowed) - {()}
    for placement, gain in found.items():
        assert gain == pytest.approx(allowed[placement], abs=1e-12)


def test_undominated_cells() -> None:
    """Running maxima keep what comparing all pairs keeps; of equals the first."""
    rng = np.random.default_rng(0)
    gains = rng.integers(0, 12, (4, 5, 3)).astype(float)
    gains[0, 0, 1] = -np.inf
    kept = undominated(gains)
    for place in np.ndindex(gains.shape):
        before = gains[tuple(slice(0, i + 1) for i in place)].copy()
        before[tuple(place)] = -np.inf
        assert kept[place] == (gains[place] > before.max()) or place == (0, 0, 0)


def test_columns_hold_a_best_choice_for_every_memory() -> None:
    """Whatever memory is left, some kept configuration is as good as the best of all."""
    inst = drawn(3, "soft")
    columns = made(inst).columns()
    every = [(1 - error(inst, (p,)), inst.tasks[0].memory(p, 3)) for p in placements(inst) if p]
    assert len(columns.gains) < len(every)
    rng = np.random.default_rng(1)
    for _ in range(30):
        free = rng.uniform(0, 1, 3) * inst.servers.capacity_mb
        best = max((g for g, used in every if np.all(used <= free)), default=0.0)
        ours = columns.gains[np.all(columns.memory_mb <= free, axis=1)].max(initial=0.0)
        assert ours == pytest.approx(best, abs=1e-12)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays that are computed in small blocks are the same."""
    inst = drawn(4, "plurality", expected_share=0.5)
    whole = made(inst, Prices(0.5, 0.5)).gains((0, 1, 2))
    monkeypatch.setattr("optmodels.ensembles.selection.configurations._BLOCK", 7)
    np.testing.assert_array_equal(made(inst, Prices(0.5, 0.5)).gains((0, 1, 2)), whole)


def test_too_many_are_refused() -> None:
    """A limit on cells is a limit."""
    inst = drawn(0)
    with pytest.raises(UsageError, match="lower members_max"):
        Configurations(inst.tasks[0], inst.servers, inst.rules, EXPECTED, most_cells=20)
