"""What audits share: tables of a plan that are wrong in every way, read without believing them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.plan import Cost, Violation
from optmodels.violations import (
    MOST_VIOLATIONS,
    audited,
    lacking,
    listed,
    numbers,
    positions,
    row_violations,
    slots,
    words,
)

TIMES = pd.date_range("2024-01-01", periods=4, freq="h", tz="UTC")


def test_only_so_many_violations_are_listed() -> None:
    """The first ones, of a limit and of all limits; the cost is what it was."""
    many = np.ones(MOST_VIOLATIONS + 5, dtype=bool)
    assert listed(many) == list(range(MOST_VIOLATIONS))
    assert len(listed(np.ones((40, 40), dtype=bool))) == MOST_VIOLATIONS
    assert listed(np.array([[False, True], [True, False]])) == [[0, 1], [1, 0]]
    one = Violation("limit", "", 1.0, "none")
    cost = Cost({"a": 2.0}, {}, "g")
    found = audited(cost, [one] * len(many))
    assert found.cost is cost
    assert len(found.violations) == MOST_VIOLATIONS
    assert not found.ok
    assert audited(cost, []).ok


def test_rows_are_named_from_one_or_as_the_audit_says() -> None:
    """Rows count from 1, as those of a spreadsheet without its header."""
    broken, values = np.array([False, True, True]), [7, 8, 9]
    found = row_violations("limit", broken, values, "less")
    assert found == [
        Violation("limit", "row 2", 8.0, "less"),
        Violation("limit", "row 3", 9.0, "less"),
    ]
    [first, _] = row_violations("limit", broken, values, "less", lambda i: f"place {i}")
    assert first.where == "place 1"


def test_columns_stand_in_a_table_once() -> None:
    """A missing column, one that stands twice, and a missing table; others do not matter."""
    table = pd.DataFrame([[1, 2, 3, 4]], columns=["a", "b", "b", "more"])
    found = lacking(["a", "b", "c"], table, "rows")
    assert [(v.limit, v.value) for v in found] == [
        ("column 'b' of table 'rows'", 2),
        ("column 'c' of table 'rows'", 0),
    ]
    assert [v.value for v in lacking(["a", "b"], None, "rows")] == [0, 0]
    assert lacking(["a"], table, "rows") == []


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1.5, np.nan, np.inf, -np.inf], "float64"),
        ([1.5, None, "1.5", True], "object"),
        ([1.5, None, None, None], "Float64"),
    ],
)
def test_what_is_no_finite_number_is_not_believed(cells: list[object], kind: str) -> None:
    """Endless numbers, texts, truth values and missing cells are NaN, whatever the type."""
    found = numbers(pd.Series(cells, dtype=kind))
    assert found.dtype == np.float64
    assert found[0] == 1.5
    assert np.isnan(found[1:]).all()


def test_numbers_leave_the_column_alone() -> None:
    """The plan's own numbers are not changed, and whole ones need no reading cell by cell."""
    column = pd.Series([np.inf, -0.0])
    found = numbers(column)
    assert np.isposinf(column[0])
    assert not np.signbit(found[1])
    assert numbers(pd.Series([3, -4, 2**60 + 1])).tolist() == [3.0, -4.0, 2.0**60]
    assert numbers(pd.Series([], dtype=float)).shape == (0,)


def test_words_and_names_of_nobody() -> None:
    """What is no text is the empty one; names that are not among those given have no place."""
    column = pd.Series(["b", "x", None, 3, "a", "b"], dtype=object)
    assert words(column) == ["b", "x", "", "", "a", "b"]
    assert positions(["a", "b"], column).tolist() == [1, -1, -1, -1, 0, 1]
    assert positions([], column).tolist() == [-1] * 6
    assert positions(["a"], pd.Series([], dtype=object)).shape == (0,)


@given(st.lists(st.sampled_from(["a", "b", "c", "", "ä"])))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_places_are_those_of_a_search(cells: list[str]) -> None:
    """Place by place the same as looking each name up."""
    names = ["c", "a"]
    found = positions(names, pd.Series(cells, dtype=object))
    assert found.tolist() == [names.index(c) if c in names else -1 for c in cells]


def test_times_are_slots_or_nothing() -> None:
    """Between two slots, outside all, or no time is no slot; its row says where it is."""
    given_times = pd.Series(
        [TIMES[2], TIMES[2] + pd.Timedelta("1ns"), TIMES[0] - pd.Timedelta("1h"), "soon"],
        dtype=object,
    )
    slot, place = slots(TIMES, given_times)
    assert slot.tolist() == [2, -1, -1, -1]
    assert place(0) == "2024-01-01T02:00:00+00:00"
    assert place(3) == "row 4"
    berlin = pd.Series([TIMES[1].tz_convert("Europe/Berlin")])
    assert slots(TIMES, berlin)[0].tolist() == [1]
