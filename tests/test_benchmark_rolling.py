"""The rolling benchmark: every path solves the same windows; what is judged was measured."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _rolling_paths as paths  # noqa: E402
import rolling  # noqa: E402


@pytest.fixture(scope="module")
def horizon() -> paths.Horizon:
    """Three windows."""
    return paths.Horizon(3, np.random.default_rng(5))


@pytest.mark.parametrize("name", [name for name in paths.PATHS if name != rolling.LINOPY])
def test_every_path_finds_the_cold_optimum(name: str, horizon: paths.Horizon) -> None:
    """A path that forgets to push a cost or a limit would be fast, and wrong from window 1 on."""
    truth = paths.PATHS[rolling.COLD](horizon.window(0))
    with rolling.quiet():
        step = paths.PATHS[name](horizon.window(0))
        for i in (0, 1, 2):
            data = horizon.window(i)
            assert step(data) == pytest.approx(truth(data), rel=1e-9)


def test_windows_overlap_but_for_the_errors_of_their_forecasts(horizon: paths.Horizon) -> None:
    """The present hour is exact; an hour is nearly the same in the next window, one place on."""
    now, later = horizon.window(0), horizon.window(1)
    for name in paths.CHANGING:
        assert not np.array_equal(now[name][:, 1:], later[name][:, :-1])
        np.testing.assert_allclose(now[name][:, 1:], later[name][:, :-1], rtol=0.3)
    np.testing.assert_array_equal(horizon.window(0)["price"], now["price"])


def test_the_clock_counts_what_is_inside_run(horizon: paths.Horizon) -> None:
    """Every window is timed, its inside is a part of the whole, and HiGHS is left as it was."""
    import highspy

    before = highspy.Highs.run
    tracks = {}
    clock = rolling.Clock()
    with clock.watching():
        for name in (rolling.HAND, rolling.COLD, rolling.OURS, rolling.STILL):
            step = paths.PATHS[name](horizon.window(0))
            track = tracks[name] = rolling.Track(0.0)
            for i in range(2):
                rolling._timed(step, horizon.window(i), clock, track)
            assert all(0 < i < t for i, t in zip(track.inside, track.total, strict=True))
            assert min(track.iterations) > 0
    assert highspy.Highs.run is before
    for name in (rolling.DPP, rolling.PERSISTENT):
        tracks[name] = tracks[rolling.COLD]
    report = rolling._report(tracks, horizon)
    assert report.checks[0].ok
    assert [row["path"] for row in report.rows] == list(tracks)
    assert any("linopy" in note for note in report.notes)
