"""Members of sparse index sets are found however large the product of the axes is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.solver.template import spaces


@pytest.mark.parametrize("tabled", [True, False])
@settings(deadline=None, derandomize=True, max_examples=60)
@given(dims=st.lists(st.integers(1, 6), min_size=1, max_size=3), data=st.data())
def test_members_and_only_members_are_found(
    tabled: bool, dims: list[int], data: st.DataObject
) -> None:
    """By table and by halving: each member at its place, in any order and shape, nothing else.

    Catches a search that leaves its row of the set, that is off by one at rows without members
    (first, last, in between), or that takes the whole set in another order for the set itself.
    """
    everything = list(product(*map(range, dims)))
    members = data.draw(st.permutations(everything))[: data.draw(st.integers(1, len(everything)))]
    with pytest.MonkeyPatch.context() as patched:
        if not tabled:
            patched.setattr(spaces, "_TABLE_SPARE", 0)
            patched.setattr(spaces, "_TABLE_PLACES", 0)
        columns = [np.array(column, dtype=np.int32) for column in zip(*members, strict=True)]
        space = spaces.Space([spaces.Axis(np.arange(size)) for size in dims], columns)
        order = np.array(data.draw(st.permutations(range(len(members)))))
        for asked in (np.arange(len(members)), order, order[None, :], order[:1]):
            found = space.flat([column[asked] for column in columns])
            assert found.shape == asked.shape
            assert np.array_equal(found, asked)
        for label in sorted(set(everything) - set(members)):
            with pytest.raises(spaces.UnknownLabelError) as caught:
                space.flat([np.array([part]) for part in label])
            assert tuple(caught.value.label) == label
