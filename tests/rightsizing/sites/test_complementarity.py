"""Choice of sites: measures by hand, choices against all subsets, the mix as a lower bound."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from optmodels.errors import InputError, SolverError, UsageError
from optmodels.rightsizing.sites import choice as room
from optmodels.rightsizing.sites.choice import (
    choose_by_deviation,
    choose_by_worst_hours,
    local_search,
    variance_problem,
)
from optmodels.rightsizing.sites.complementarity import (
    complementarity_gain,
    fleet_variation,
    mean_absolute_deviation,
    variation,
    worst_mean,
)
from optmodels.solver import LiveProblem, solve_model
from optmodels.traces import aligned_power, read_wind

EVERY = settings(deadline=None, derandomize=True, max_examples=60)
TABLES = arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 4)),
    elements=st.floats(0, 100, width=16),
)


def wind(seed: int, slots: int = 60, sites: int = 6) -> np.ndarray:
    """Power of sites that share a common wind and have one of their own."""
    rng = np.random.default_rng(seed)
    own, common = rng.random((slots, sites)), rng.random((slots, 1))
    return 10 * np.abs(own + common * rng.uniform(-1, 1, sites))


# --------------------------------------------------------------------------------------- measures
def test_measures_by_hand() -> None:
    """Two sites that blow in turn: each has CoV 1, the fleet 0, the gain is infinite."""
    turns = pd.DataFrame({"a": [2.0, 0.0], "b": [0.0, 2.0]})
    assert variation(turns).tolist() == [1, 1]
    assert fleet_variation(turns) == 0
    assert complementarity_gain(turns) == np.inf
    assert complementarity_gain(turns, [1, 0]) == 1
    # Amounts 3 and 1: fleet (6, 2), mean 4, deviation 2; the sites have 1 on average.
    assert complementarity_gain(turns, [3, 1]) == pytest.approx(2)
    # Weights 3/4 and 1/4 on (2, 0): mean 1.5, variance 0.75.
    assert variation(turns[["a"]], [3, 1])["a"] == pytest.approx(np.sqrt(0.75) / 1.5)
    assert complementarity_gain(np.ones((3, 2))) == 1


def test_worst_mean_by_hand() -> None:
    """A quarter of four slots is one slot; three eighths take half of the second."""
    values = [4.0, 1.0, 3.0, 2.0]
    assert worst_mean(values, 0.25) == 1
    assert worst_mean(values, 0.375) == pytest.approx((1 + 0.5 * 2) / 1.5)
    assert worst_mean(values, 1.0) == 2.5
    assert worst_mean(values, 0.5, [1, 2, 1, 0]) == 1


@EVERY
@given(TABLES, st.integers(0, 2**32 - 1))
def test_gain_is_at_least_one(power: np.ndarray, seed: int) -> None:
    """The triangle inequality of standard deviations; a mean without weights would break it."""
    rng = np.random.default_rng(seed)
    power = power + 1.0
    amounts, weights = rng.random(power.shape[1]) + 0.01, rng.random(len(power)) + 0.01
    assert complementarity_gain(power, amounts, weights) >= 1
    # A change of unit changes nothing, and a site split in two is the same site.
    assert complementarity_gain(power * 1000, amounts, weights) == pytest.approx(
        complementarity_gain(power, amounts, weights), rel=1e-6
    )


def test_unusable_data() -> None:
    """All bad columns at once; sites without wind; amounts, weights and counts that do not fit."""
    with pytest.raises(InputError) as caught:
        variation(pd.DataFrame({"a": [1.0, np.nan], "b": [-1.0, 1.0], "c": [1.0, 1.0]}))
    assert [flaw.field for flaw in caught.value.flaws] == ["a", "b"]
    with pytest.raises(InputError, match="never has wind"):
        variation([[0.0, 1.0], [0.0, 2.0]])
    for power in ([["x"]], [1.0, 2.0], np.zeros((0, 2))):
        with pytest.raises(InputError):
            fleet_variation(power)
    with pytest.raises(InputError, match="names several"):
        variation(pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]))
    for weights in ([1.0], [1.0, -1.0], [0.0, 0.0], ["x", "y"]):
        with pytest.raises(InputError, match="weights"):
            variation([[1.0], [2.0]], weights)
    with pytest.raises(InputError, match="amounts"):
        fleet_variation([[1.0], [2.0]], [1, 2, 3])
    with pytest.raises(InputError, match="> 0"):
        choose_by_deviation([[1.0], [2.0]], 1, nameplate=[0])
    for count in (0, 2, 1.0, True):
        with pytest.raises(UsageError, match="count"):
            choose_by_deviation([[1.0], [2.0]], count)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="share"):
        choose_by_worst_hours([[1.0], [2.0]], 1, sizes=1, share=0)


# ---------------------------------------------------------------------------------------- choices
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 3, 6])
def test_deviation_against_all_subsets(seed: int, count: int) -> None:
    """The MILP finds the best of all subsets, also with nameplates and weights of slots.

    Half the deviation (a forgotten factor 2), a mean over slots without weights, or deviations
    from an unweighted mean would each give another value or bound.
    """
    power = wind(seed)
    rng = np.random.default_rng(seed)
    nameplate, weights = rng.uniform(1, 20, 6), rng.random(60)
    best = min(
        mean_absolute_deviation((power / nameplate)[:, list(c)], weights)
        for c in combinations(range(6), count)
    )
    choice = choose_by_deviation(power, count, nameplate=nameplate, weights=weights, mip_gap=0)
    assert choice.value == pytest.approx(best, rel=1e-6)
    assert choice.bound <= best * (1 + 1e-9)
    assert choice.bound == pytest.approx(best, rel=1e-4)
    assert len(choice.sites) == count


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("count", "share"), [(2, 0.1), (3, 0.33), (4, 1.0)])
def test_worst_hours_against_all_subsets(seed: int, count: int, share: float) -> None:
    """The same for the mean of the worst hours; with β = 1 it is the mean useful power."""
    power = wind(seed)
    rng = np.random.default_rng(seed)
    sizes, weights = rng.uniform(1, 15, 6), rng.random(60)
    useful = np.minimum(power, sizes)
    scores = {
        c: worst_mean(useful[:, list(c)].sum(axis=1), share, weights)
        for c in combinations(range(6), count)
    }
    best = max(scores.values())
    choice = choose_by_worst_hours(
        power, count, sizes=sizes, share=share, weights=weights, mip_gap=0
    )
    assert choice.value == pytest.approx(best, rel=1e-6)
    assert choice.bound >= best * (1 - 1e-9)
    assert choice.bound == pytest.approx(best, rel=1e-4)
    assert tuple(int(s) for s in choice.sites) in scores


def test_names_of_sites_are_kept() -> None:
    """Of two that blow in turn and one alone, the pair is steady."""
    power = pd.DataFrame({"x": [5.0, 0, 5, 0], "lone": [5.0, 5, 0, 0], "y": [0.0, 5, 0, 5]})
    assert choose_by_deviation(power, 2).sites == ("x", "y")
    choice = choose_by_worst_hours(power, 2, sizes=5, share=0.25)
    assert (choice.sites, choice.value) == (("x", "y"), 5)


def test_an_answer_worse_than_local_search_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the solver's choice were beaten by a simple search, no choice would be given out."""
    power = wind(1)

    class Wrong:
        def __init__(self, **given: object) -> None:
            self.solution = solve_model(room.deviation_formulation(), **given)  # type: ignore[arg-type]
            self.status, self.bound = self.solution.status, self.solution.bound
            self.seconds = self.solution.seconds
            right = self.solution.values["chosen"]
            self.values = {"chosen": 1 - right}

        def require(self) -> Wrong:
            return self

    monkeypatch.setattr(room, "solve_model", lambda _, **given: Wrong(**given))
    with pytest.raises(SolverError, match="Local search"):
        choose_by_deviation(power, 3)


def test_local_search_never_chooses_twice() -> None:
    """A search that may take a site twice would choose the best site k times."""
    assert local_search(lambda c: float(sum(c)), 5, 3) == [0, 1, 2]


# -------------------------------------------------------------------------------------------- mix
@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_mix_bounds_every_choice(count: int) -> None:
    """No k sites in equal parts vary less than the mix; one live problem sweeps over k and m."""
    power = wind(3)
    problem = variance_problem(power)
    assert problem.is_dpp()
    live = LiveProblem(problem)
    live.update(largest=1 / count)
    solution = live.solve().require()
    mix = solution.values["mix"].to_numpy()
    assert solution.objective == pytest.approx(np.var(power @ mix), rel=1e-6)
    best = min(np.var(power[:, list(c)].mean(axis=1)) for c in combinations(range(6), count))
    assert solution.objective is not None
    assert solution.objective <= best + 1e-9
    means = power.mean(axis=0)
    live.update(largest=1.0, least_mean=float(means.max()))
    richest = live.solve().require().values["mix"].to_numpy()
    assert richest == pytest.approx(np.eye(6)[means.argmax()], abs=1e-6)


def test_countries(shared_data: Path) -> None:
    """Seven countries of 2016: the MILP agrees with all 35 subsets; the gain is real."""
    folder = shared_data / "wind" / "dispaset_af" / "1h_2016"
    names = ("DE", "DK", "ES", "FR", "NL", "SE", "UK")
    power = aligned_power(
        {n: read_wind(folder / f"{n}.csv.gz", "dispaset").frame["onshore_share"] for n in names}
    ).iloc[::24]
    choice = choose_by_deviation(power, 3)
    scores = {c: mean_absolute_deviation(power[list(c)]) for c in combinations(names, 3)}
    assert choice.sites == min(scores, key=lambda c: scores[c])
    assert 1.2 < complementarity_gain(power[list(choice.sites)]) < 3
