"""Policies: what they see is the past, and nothing they hold leads to the future."""

from __future__ import annotations

import numpy as np
import pytest

from optmodels.policy import Observation, Policy, Reveal, frozen, replay


def test_a_series_is_revealed_value_by_value():
    """Slot t shows t + 1 values, after the history where there is one."""
    reveal = Reveal([1.0, 2, 3], history=[8.0, 9])
    assert reveal.up_to(0).tolist() == [1]
    assert reveal.with_history(1).tolist() == [8, 9, 1, 2]
    assert reveal.up_to(2).tolist() == [1, 2, 3]


def test_the_future_is_not_in_the_memory_behind_a_view():
    """Following ``base`` to its end finds NaN where the future will be."""
    reveal = Reveal([1.0, 2, 3], history=[9.0])
    array = reveal.up_to(1)
    while isinstance(array.base, np.ndarray):
        array = array.base
    np.testing.assert_array_equal(array, [9, 1, 2, np.nan])


def test_what_was_seen_cannot_be_changed():
    """Views are read-only, and so is the array behind them."""
    reveal = Reveal([1.0, 2, 3])
    view = reveal.up_to(1)
    for array in (view, view.base):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5
    assert reveal.up_to(2).tolist() == [1, 2, 3]
    assert view.tolist() == [1, 2]


def test_the_caller_keeps_no_hold_of_the_series():
    """A change of the array that was given changes nothing that is revealed later."""
    given = np.array([1.0, 2.0])
    reveal = Reveal(given)
    given[1] = 7
    assert reveal.up_to(1).tolist() == [1, 2]


def test_frozen_arrays_cannot_be_thawed():
    """Not even their own flag makes them writeable."""
    array = frozen([1, 2])
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True
    assert frozen([]).size == 0
    assert frozen([1, 2]).dtype == np.float64
    table = frozen([[1, 2, 3], [4, 5, 6]])
    assert table.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert frozen(np.empty((0, 3))).shape == (0, 3)
    assert frozen(2.0).shape == (1,)
    for part in (table, table[0], table.T):
        with pytest.raises(ValueError, match="WRITEABLE"):
            part.flags.writeable = True


def test_rows_of_several_values_are_revealed_one_by_one():
    """The rows of later slots are NaN, also behind the view; history has the same columns."""
    reveal = Reveal([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]], history=[[0.0, 5.0]])
    seen = reveal.up_to(1)
    assert seen.tolist() == [[1, 10], [2, 20]]
    assert reveal.with_history(1).tolist() == [[0, 5], [1, 10], [2, 20]]
    assert np.isnan(seen.base[3:]).all()
    assert Reveal(np.ones((2, 3))).up_to(0).shape == (1, 3)


def test_replay_asks_until_nothing_is_left():
    """Reset first, then one decision per observation, each carried out before the next."""
    log = []

    class Counting(Policy):
        name = "counting"

        def reset(self, header):
            log.append(header)

        def decide(self, observation):
            return observation.slot * 10

    class Three:
        header = "header"
        slot = 0

        def observe(self):
            return None if self.slot == 3 else Observation(self.slot, None, {}, None, None)

        def act(self, action):
            log.append(action)
            self.slot += 1

    replay(Three(), Counting())
    assert log == ["header", 0, 10, 20]
