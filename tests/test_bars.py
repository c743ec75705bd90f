"""Stacked bars: where each part begins and ends, and which parts are shown by themselves."""

from __future__ import annotations

import numpy as np

from optmodels.canvas import FILLS, largest_parts, row_axes, stacked_bars


def test_parts_stand_beside_each_other_and_gains_left_of_zero() -> None:
    """Costs begin where the costs before them end, gains where the gains end."""
    parts = {"a": np.array([1.0, 2.0]), "gain": np.array([-3.0, 0.0]), "b": np.array([4.0, -1.0])}
    ax = row_axes(None, ["first", "second"])
    low, high = stacked_bars(ax, parts, height=0.5)
    assert low.tolist() == [-3.0, -1.0]
    assert high.tolist() == [5.0, 2.0]
    bars = [
        [sorted((bar.get_x(), bar.get_x() + bar.get_width())) for bar in group]
        for group in ax.containers
    ]
    assert bars == [[[0, 1], [0, 2]], [[-3, 0], [2, 2]], [[1, 5], [-1, 0]]]
    assert ax.get_legend_handles_labels()[1] == ["a", "gain", "b"]
    assert {bar.get_height() for group in ax.containers for bar in group} == {0.5}


def test_fills_begin_anew_where_there_are_more_parts() -> None:
    """Part after part has the next fill; no part goes without."""
    parts = {str(n): np.ones(1) for n in range(len(FILLS) + 1)}
    ax = row_axes(None, ["row"])
    stacked_bars(ax, parts)
    hatches = [group[0].get_hatch() or "" for group in ax.containers]
    assert hatches == [*(fill["hatch"] for fill in FILLS), FILLS[0]["hatch"]]
    assert [len(end) for end in stacked_bars(ax, {})] == [0, 0]


def test_the_smallest_of_many_parts_are_one() -> None:
    """The order stays, nothing is lost, and few parts stay as they are; equals keep the first."""
    parts = {
        name: np.array([size, 1.0]) for name, size in zip("abcde", (2, 9, 1, 9, 2), strict=True)
    }
    found = largest_parts(parts, 4)
    assert list(found) == ["a", "b", "d", "2 others"]
    assert found["2 others"].tolist() == [3.0, 2.0]
    assert sum(values.sum() for values in found.values()) == 28.0
    assert largest_parts(parts, 5) == parts
