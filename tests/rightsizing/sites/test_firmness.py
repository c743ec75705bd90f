"""The firmest fleet of so many GPUs: by hand, against a linear programme, above its bound."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.rightsizing.sites.firmness import firmest_sizes, unmet_share
from optmodels.solver import solve_model
from tests.rightsizing.sites.instances import fleet, small


def by_programme(power: np.ndarray, demand: np.ndarray, most: np.ndarray, gpus: float) -> float:
    """Least share of the demand without wind, by the linear programme over all slots."""
    size = cp.Variable(len(most), nonneg=True)
    run = cp.Variable(power.shape, nonneg=True)
    unmet = cp.Variable(len(demand), nonneg=True)
    problem = cp.Problem(
        cp.Minimize(cp.sum(unmet)),
        [
            run <= power,
            run <= np.ones((len(demand), 1)) @ cp.reshape(size, (1, size.size), order="C"),
            cp.sum(run, axis=1) + unmet >= demand,
            cp.sum(size) == gpus,
            size <= most,
        ],
    )
    solution = solve_model(problem).require()
    return float(solution.objective) / float(demand.sum())


def test_two_sites_that_take_turns_share_the_fleet() -> None:
    """By hand: sites a, b windy in turns and c with them in every third slot.

    Demand 10, 20 GPUs. Power (12, 0), (0, 12), (12, 12): ten GPUs at each of a and b leave nothing;
    twenty at a alone would leave a slot of three. Sizes that count only how often each site has
    wind (two slots of three both) could not tell.
    """
    found = firmest_sizes(fleet([[12, 0], [0, 12], [12, 12]], demand=10.0), 20.0)
    np.testing.assert_allclose(found.gpus, [10, 10], atol=1e-4)
    assert found.unmet_share == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 1.0), varying=st.booleans())
def test_equal_to_the_linear_programme(seed: int, share: float, varying: bool) -> None:
    """The planes find the optimum of the linear programme, and their bound is never above it.

    A slope of the wrong sign, or one that counts slots which lack nothing, fails here.
    """
    rng = np.random.default_rng(seed)
    demand = np.round(rng.uniform(100, 500, size=48), 1) if varying else 250.0
    instance = small(seed, slots=48, demand=demand)
    gpus = share * float(instance.most_gpus.sum())
    found = firmest_sizes(instance, gpus, tolerance=1e-8)
    fed = instance.power_kw / instance.gpu_kw
    best = by_programme(fed, instance.demand, instance.most_gpus, gpus)
    assert found.unmet_share == pytest.approx(best, abs=1e-7)
    assert found.bound <= best + 1e-9
    assert found.gpus.sum() == pytest.approx(gpus)
    assert (found.gpus <= instance.most_gpus * (1 + 1e-9)).all()
    assert found.unmet_share == pytest.approx(unmet_share(instance, found.gpus), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_no_sizes_are_firmer(seed: int) -> None:
    """A hundred random sizes of as many GPUs leave at least the proven bound."""
    instance = small(seed, demand=300.0)
    gpus = 0.6 * float(instance.most_gpus.sum())
    found = firmest_sizes(instance, gpus)
    rng = np.random.default_rng(seed)
    for _ in range(100):
        sizes = rng.dirichlet(np.ones(len(instance.most_gpus))) * gpus
        if (sizes <= instance.most_gpus).all():
            assert unmet_share(instance, sizes) >= found.bound - 1e-12


@pytest.mark.parametrize("gpus", [0.0, -1.0, float("nan"), 1e9])
def test_sites_do_not_hold_any_number_of_gpus(gpus: float) -> None:
    """More GPUs than fit, none and no number are refused with what is allowed."""
    with pytest.raises(UsageError, match="allowed: more than 0 and at most"):
        firmest_sizes(small(0), gpus)


def test_a_tolerance_is_positive() -> None:
    """A gap of zero can never be reached in floating point."""
    with pytest.raises(UsageError, match="tolerance is 0"):
        firmest_sizes(small(0), 10.0, tolerance=0.0)
