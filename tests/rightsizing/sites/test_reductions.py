"""Fewer hours: segments are exact, and no reduction is further off than its bound says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from optmodels.errors import InputError, UsageError
from optmodels.rightsizing.sites.reductions import (
    KINDS,
    Kind,
    Representatives,
    represent,
    segments,
)
from optmodels.rightsizing.sites.sizing import newsvendor_size
from optmodels.traces import aligned_power, read_wind

EVERY = settings(deadline=None, derandomize=True, max_examples=80)
POWERS = st.one_of(st.floats(0, 100, width=16), st.sampled_from([0.0, 1.0, 50.0]))
SERIES = arrays(np.float64, st.integers(1, 25), elements=POWERS)
TABLES = arrays(np.float64, st.tuples(st.integers(2, 25), st.integers(1, 3)), elements=POWERS)
HOURS, W, GRID, WIND, INSTALLED = 100.0, 1.3, 0.9, 0.04, 0.3


def served(power: np.ndarray, demand: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """What a fleet serves in each slot."""
    return np.asarray(np.minimum(demand, np.minimum(power, sizes).sum(axis=1)))


def cost(power: np.ndarray, demand: np.ndarray, weight: np.ndarray, sizes: np.ndarray) -> float:
    """Cost of sizes in kW: installed, wind energy, and the grid for the rest [USD]."""
    useful = weight @ served(power, demand, sizes)
    unmet = weight @ demand - useful
    return float(HOURS / W * (INSTALLED * sizes.sum() + WIND * useful + GRID * unmet))


def optimum(
    power: np.ndarray, demand: np.ndarray, weight: np.ndarray, unmet_share: float | None = None
) -> tuple[float, np.ndarray]:
    """The joint linear programme, written out by hand: its optimum and the sizes."""
    slots, sites = power.shape
    run = slots * sites
    price = np.concatenate(
        [np.full(sites, INSTALLED), np.repeat(weight * WIND, sites), weight * GRID]
    )
    size_rows = np.hstack(
        [-np.tile(np.eye(sites), (slots, 1)), np.eye(run), np.zeros((run, slots))]
    )
    serve = np.hstack(
        [np.zeros((slots, sites)), np.kron(np.eye(slots), np.ones(sites)), np.eye(slots)]
    )
    rows, limits = size_rows, np.zeros(run)
    if unmet_share is not None:
        rows = np.vstack([rows, np.concatenate([np.zeros(sites + run), weight])])
        limits = np.append(limits, unmet_share * weight @ demand)
    bounds = [(0, None)] * sites + [(0, p) for p in power.ravel()] + [(0, None)] * slots
    found = linprog(price, rows, limits, serve, demand, bounds)
    assert found.fun is not None
    assert found.x is not None
    return HOURS / W * float(found.fun), found.x[:sites]


def even(slots: int) -> np.ndarray:
    """Equal weights."""
    return np.full(slots, 1 / slots)


# --------------------------------------------------------------------------------------- segments
def test_segments_by_hand() -> None:
    """Powers 0, 2, 2, 5: a first stretch of 2 used three quarters of the time, then 3 a quarter."""
    site = segments([2.0, 0.0, 5.0, 2.0])
    assert site.level.tolist() == [0, 2, 5]
    assert site.width.tolist() == [2, 3]
    assert site.tail.tolist() == [0.75, 0.25]
    assert site.useful([0, 1, 2, 5, 9]).tolist() == [0, 0.75, 1.5, 2.25, 2.25]
    assert segments([0.0, 0.0]).useful([0, 3]).tolist() == [0, 0]
    assert (segments([4.0]).level.tolist(), segments([4.0]).tail.tolist()) == ([0, 4], [1])


@EVERY
@given(SERIES, st.floats(0, 120), st.integers(0, 2**32 - 1))
def test_segments_are_exact(power: np.ndarray, size: float, seed: int) -> None:
    """E[min(P, C)] is the sum of the segments, whatever the weights; tails fall."""
    weights = np.random.default_rng(seed).random(len(power)) + 0.01
    shares = weights / weights.sum()
    site = segments(power, weights)
    assert site.useful(size) == pytest.approx(shares @ np.minimum(power, size), abs=1e-9)
    assert (np.diff(site.tail) <= 0).all()
    assert (site.width > 0).all()


@EVERY
@given(SERIES, st.floats(0.01, 0.99))
def test_the_newsvendor_fills_segments(power: np.ndarray, threshold: float) -> None:
    """Filling the segments whose tail exceeds K / v gives the newsvendor's size, found otherwise.

    It has the largest gain E[min(P, C)] - (K / v) C of all powers of the series.
    """
    site = segments(power)
    filled = float(site.width[site.tail > threshold + 1e-9].sum())
    assert filled == pytest.approx(newsvendor_size(power, threshold))
    gains = site.useful(site.level) - threshold * site.level
    assert site.useful(filled) - threshold * filled == pytest.approx(gains.max(), abs=1e-6)


@EVERY
@given(SERIES, st.integers(1, 6))
def test_chords_are_below_by_their_error(power: np.ndarray, pieces: int) -> None:
    """Chords are never above the exact function and below it by at most the error, which occurs."""
    site = segments(power)
    rough = site.simplified(pieces)
    assert len(rough.tail) <= pieces
    below = site.useful(site.level) - rough.useful(site.level)
    assert below.min() >= -1e-9
    assert below.max() == pytest.approx(rough.error, abs=1e-9)
    sizes = np.linspace(0, 110, 50)
    assert (site.useful(sizes) - rough.useful(sizes)).max() <= rough.error + 1e-9
    assert site.simplified(100).error == pytest.approx(0, abs=1e-9)


# -------------------------------------------------------------------------------- representatives
@EVERY
@given(TABLES, st.integers(1, 8), st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.booleans())
def test_no_size_is_further_off_than_the_bound(
    power: np.ndarray, count: int, kind: Kind, seed: int, varies: bool
) -> None:
    """Useful power of each site, power served, and cost: within their limits at random sizes.

    Means never promise less than the full series: the lower limit of what is served is zero.
    """
    rng = np.random.default_rng(seed)
    demand = rng.uniform(0, 150, len(power)) if varies else np.full(len(power), 80.0)
    reduced = represent(power, count, kind=kind, demand=demand if varies else None, seed=seed)
    small = np.full(len(reduced.weight), 80.0) if reduced.demand is None else reduced.demand
    low, high = reduced.useful_error()
    least, most = reduced.served_error()
    limits = reduced.cost_error(hours=HOURS, gpu_kw=W, value_usd=GRID - WIND, grid_usd=GRID)
    assert kind != "means" or least == 0
    for sizes in rng.uniform(0, 110, (5, power.shape[1])):
        change = reduced.weight @ np.minimum(reduced.power, sizes) - np.minimum(power, sizes).mean(
            axis=0
        )
        assert (low - 1e-9 <= change).all()
        assert (change <= high + 1e-9).all()
        gain = reduced.weight @ served(reduced.power, small, sizes)
        gain -= served(power, demand, sizes).mean()
        assert least - 1e-9 <= gain <= most + 1e-9
        dearer = cost(reduced.power, small, reduced.weight, sizes)
        dearer -= cost(power, demand, even(len(power)), sizes)
        assert limits[0] - 1e-6 <= dearer <= limits[1] + 1e-6


@settings(deadline=None, derandomize=True, max_examples=25)
@given(TABLES, st.integers(1, 8), st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
def test_optima_are_within_the_bound(power: np.ndarray, count: int, kind: Kind, seed: int) -> None:
    """The optimum on representatives encloses the true one; on means it is a lower bound.

    With a firmness limit the means still give a lower bound, because they relax it.
    """
    rng = np.random.default_rng(seed)
    demand = rng.uniform(0, 150, len(power))
    reduced = represent(power, count, kind=kind, demand=demand, seed=seed)
    assert reduced.demand is not None
    low, high = reduced.cost_error(hours=HOURS, gpu_kw=W, value_usd=GRID - WIND, grid_usd=GRID)
    true, _ = optimum(power, demand, even(len(power)))
    found, sizes = optimum(reduced.power, reduced.demand, reduced.weight)
    assert found - high - 1e-6 <= true <= found - low + 1e-6
    assert cost(power, demand, even(len(power)), sizes) >= true - 1e-6
    if kind == "means":
        share = 1 - 0.9 * np.minimum(demand, power.sum(axis=1)).sum() / demand.sum()
        firm, _ = optimum(power, demand, even(len(power)), share)
        relaxed, _ = optimum(reduced.power, reduced.demand, reduced.weight, share + 1e-9)
        assert relaxed <= firm + 1e-6


def test_bounds_are_reached() -> None:
    """One mean for powers 0 and 2: at size 1 it serves 1 instead of 1/2, the whole of its bound.

    A bound of a quarter, or one that forgets the demand, would be broken.
    """
    reduced = represent([[0.0], [2.0]], 1)
    assert reduced.served_error() == (0.0, 0.5)
    assert reduced.weight @ np.minimum(reduced.power, 1)[:, 0] - 0.5 == 0.5
    both = represent([[0.0], [2.0]], 1, demand=[2.0, 0.0])
    assert both.served_error() == (0.0, 1.0)
    assert both.demand is not None
    assert served(both.power, both.demand, np.array([9.0])).tolist() == [1.0]
    medoid = represent([[0.0], [2.0], [2.0]], 1, kind="medoids")
    assert medoid.power.tolist() == [[2.0]]
    assert medoid.useful_error()[1].tolist() == [pytest.approx(2 / 3)]


@pytest.mark.parametrize("kind", KINDS)
def test_representatives(kind: Kind) -> None:
    """Weights are shares, medoids and samples are slots that happened, all slots give no error."""
    rng = np.random.default_rng(0)
    power = rng.random((300, 3))
    few = represent(power, 20, kind=kind, seed=1)
    assert few.weight.sum() == pytest.approx(1)
    assert len(few.weight) == len(few.power) <= 20
    assert (np.bincount(few.label, minlength=len(few.weight)) / 300 == few.weight).all()
    if kind != "means":
        assert all((power == one).all(axis=1).any() for one in few.power)
    else:
        assert few.weight @ few.power == pytest.approx(power.mean(axis=0))
    again = represent(power, 20, kind=kind, seed=1)
    assert (again.power == few.power).all()
    whole = represent(power, 300, kind=kind)
    assert whole.over.sum() == pytest.approx(0, abs=1e-12)
    assert len(represent(np.ones((50, 2)), 10, kind=kind).weight) == 1


def test_clustering_beats_drawing() -> None:
    """With as many representatives, medoids are nearer than random slots, and means no farther."""
    power = np.random.default_rng(2).random((2000, 3))
    found = {kind: represent(power, 50, kind=kind) for kind in KINDS}

    def distance(one: Representatives) -> float:
        return float((one.over + one.under).sum())

    assert distance(found["medoids"]) < 0.9 * distance(found["sample"])
    assert distance(found["means"]) < 0.9 * distance(found["sample"])


def test_unusable_arguments() -> None:
    """Counts, kinds, demands and prices that make no sense."""
    for arguments in ({"count": 0}, {"count": 2.0}, {"count": 1, "rounds": 0}):
        with pytest.raises(UsageError, match="integer"):
            represent([[1.0]], **arguments)
    with pytest.raises(UsageError, match="Did you mean"):
        represent([[1.0]], 1, kind="medoid")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 slots beside 1"):
        represent([[1.0]], 1, demand=[1.0, 2.0])
    with pytest.raises(InputError, match="one site"):
        segments([[1.0, 2.0]])
    with pytest.raises(UsageError, match="pieces"):
        segments([1.0]).simplified(0)
    with pytest.raises(UsageError, match="gpu_kw"):
        represent([[1.0]], 1).cost_error(hours=1, gpu_kw=0, value_usd=1)


def test_a_year_of_countries(shared_data: Path) -> None:
    """8,784 hours of seven countries by 200 means: a bound of less than 6 % of what is served."""
    folder = shared_data / "wind" / "dispaset_af" / "1h_2016"
    names = ("DE", "DK", "ES", "FR", "NL", "SE", "UK")
    power = aligned_power(
        {n: read_wind(folder / f"{n}.csv.gz", "dispaset").frame["onshore_share"] for n in names}
    )
    reduced = represent(power, 200)
    sizes = power.quantile(0.3).to_numpy()
    whole = np.full(len(power), 1e9)
    exact = served(power.to_numpy(), whole, sizes).mean()
    fewer = reduced.weight @ served(reduced.power, np.full(len(reduced.weight), 1e9), sizes)
    assert 0 <= fewer - exact <= reduced.served_error()[1]
    assert fewer - exact < 0.05 * exact
