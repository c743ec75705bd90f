"""Cells and tables: one meaning per cell, all flaws at once, each with its place."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime

from optmodels.cells import column_cells, read_flags, read_integers, read_numbers, read_times
from optmodels.schema import Parameters, Place, Row, Table, allowed_text, column, table_schema
from optmodels.validation import sort_by_key, validate_parameters, validate_table


class Sample(Row):
    """A row with one column of every type."""

    time: AwareDatetime = column("when")
    site: str = column("where")
    kind: Literal["a", "b"] = column("which")
    count: int = column("how many", ge=0, le=10)
    share: float = column("how much", unit="kW", gt=0, lt=1)
    on: bool = column("whether")


SAMPLE = Table(Sample, ("time", "site"), "One of each.")
PLACE = Place("sample.csv")
GOOD = {
    "time": ["2022-06-01T00:00:00Z", "2022-06-01T03:00:00+02:00"],
    "site": ["x", "y"],
    "kind": ["a", "b"],
    "count": ["0", "10"],
    "share": ["0.5", "1e-3"],
    "on": ["true", "False"],
}


class Sizes(Parameters):
    """Parameters for the tests."""

    work: float = column("work", gt=0)
    slots: int = column("slots", ge=1, default=3)
    label: str | None = column("label", default=None)


def flaws_of(**changes):
    """Flaws of the good table with some columns changed."""
    return validate_table("sample", SAMPLE, GOOD | changes, PLACE)[1]


def test_a_good_table_is_canonical():
    """Times in UTC at nanoseconds, 64-bit numbers, declared column order."""
    frame, flaws = validate_table("sample", SAMPLE, dict(reversed(GOOD.items())), PLACE)
    assert flaws == []
    assert list(frame.columns) == list(GOOD)
    assert frame["time"].dtype == "datetime64[ns, UTC]"
    assert frame["time"][1] == pd.Timestamp("2022-06-01T01:00Z")
    assert frame["count"].tolist() == [0, 10]
    assert frame["share"].tolist() == [0.5, 0.001]
    assert frame["on"].tolist() == [True, False]


@pytest.mark.parametrize(
    "text",
    ["1_000", " 12", "12 ", "٣", "0x10", "True", "1,5", "12 kW", "--1", "1e", "e5", ".", "1e99999"],
)
def test_numbers_that_other_readers_let_pass_are_refused(text):
    """Pydantic reads "1_000" and " 12 " as numbers, Python the Arabic digit three."""
    _, faults = read_numbers([text], typed=False)
    assert faults == {0: "number"}


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("inf", "number"),
        ("1e400", "infinite"),
        (float("inf"), "infinite"),
        ("NaN", "missing"),
        ("", "missing"),
        (None, "missing"),
        (pd.NA, "missing"),
        (float("nan"), "missing"),
        (True, "number"),
        (np.True_, "number"),
        (2**53 + 1, "inexact"),
        (10**400, "inexact"),
        (1j, "number"),
        ([1.0], "number"),
    ],
)
def test_cells_that_are_no_finite_number(cell, fault):
    """Each is refused with its own reason, whatever stands in the other cells."""
    assert read_numbers([cell, "1"], typed=False)[1] == {0: fault}


def test_what_a_number_may_look_like():
    """Plain decimal notation, numbers of any library, and -0 as 0."""
    cells = ["+5", "1.", ".5", "-0", "1E+5", 2**53, np.float32(0.5), Decimal("0.1"), np.int8(3)]
    values, faults = read_numbers(cells, typed=False)
    assert faults == {}
    assert values.tolist() == [5, 1, 0.5, 0, 1e5, 2.0**53, 0.5, 0.1, 3]
    assert not np.signbit(values).any()


def test_decimal_text_is_read_to_the_nearest_number():
    """A text beyond 2**53 is a decimal like any other; a value that would change is refused."""
    values, faults = read_numbers(["9007199254740993"], typed=False)
    assert not faults
    assert values[0] == 9007199254740992.0


def test_text_is_no_number_where_there_are_types():
    """A frame or Parquet column of strings is a mistake, even if they look like numbers."""
    assert read_numbers(["1.5"], typed=True)[1] == {0: "number_type"}
    assert read_integers(["1"], typed=True)[1] == {0: "whole"}
    assert read_flags(["true"], typed=True)[1] == {0: "flag"}


@pytest.mark.parametrize("cell", ["1.5", "1_0", 1.5, True, "x", "99999999999999999999", 1e300])
def test_cells_that_are_no_whole_number(cell):
    """Neither fractions nor truth values nor digits with decoration."""
    assert read_integers([cell], typed=False)[1] == {0: "whole"}


def test_whole_numbers_fill_64_bits():
    """Exact beyond 2**53, refused beyond 2**63."""
    values, faults = read_integers([str(2**63 - 1), 2**53 + 1, 4.0, str(2**63)], typed=False)
    assert values[:3].tolist() == [2**63 - 1, 2**53 + 1, 4]
    assert faults == {3: "inexact"}


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("1654041600", "time"),
        (1654041600, "time"),
        (1654041600.0, "time"),
        ("2022-06-01", "time"),
        (date(2022, 6, 1), "time"),
        ("01.06.2022 00:00", "time"),
        ("2022-06-01T24:00:00Z", "time"),
        ("2022-02-30T00:00:00Z", "time"),
        ("2022-13-01T00:00:00Z", "time"),
        ("2022-06-01T00:00:60Z", "time"),
        ("٢٠٢٢-06-01T00:00:00Z", "time"),
        (" 2022-06-01T00:00:00Z", "time"),
        ("2022-06-01T00:00:00 Europe/Berlin", "time"),
        ("2022-06-01T00:00:00", "naive"),
        (datetime(2022, 6, 1), "naive"),
        (np.datetime64("2022-06-01"), "time"),
        ("0001-01-01T00:00:00Z", "era"),
        ("9999-12-31T23:59:59Z", "era"),
        ("1899-12-31T23:59:59Z", "era"),
        (datetime(9999, 12, 31, tzinfo=UTC), "era"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "era"),
        (pd.NaT, "missing"),
        ("", "missing"),
        (True, "time"),
    ],
)
def test_cells_that_are_no_time(cell, fault):
    """An epoch number must not pass as a time, nor a naive one as UTC, nor year 9999 overflow."""
    good = "2022-06-01T00:00:00Z"
    times, faults = read_times([good, cell], typed=False)
    assert faults == {1: fault}
    assert times[0] == pd.Timestamp(good)


def test_what_a_time_may_look_like():
    """ISO text with any offset and precision, and aware objects, mean the same instant."""
    noon = pd.Timestamp("2022-06-01T12:00Z")
    berlin = noon.tz_convert("Europe/Berlin")
    cells = ["2022-06-01T12:00Z", "2022-06-01 14:00:00+02:00", "2022-06-01T12:00:00.000-0000"]
    for mixed in (cells, [*cells, noon, berlin, berlin.to_pydatetime()]):
        times, faults = read_times(mixed, typed=False)
        assert not faults
        assert set(times) == {noon}
    exact, _ = read_times(["2022-06-01T12:00:00.123456789Z"], typed=False)
    assert exact[0].isoformat() == "2022-06-01T12:00:00.123456789+00:00"


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_time_columns_of_any_resolution(unit):
    """Pandas keeps times in several units; an overflow of nanoseconds is a flaw, not a crash."""
    good = pd.Series(pd.to_datetime(["2022-06-01"]).tz_localize("UTC").as_unit(unit))
    assert read_times(column_cells(good), typed=True)[0][0] == pd.Timestamp("2022-06-01", tz="UTC")
    if unit != "ns":
        late = pd.Series(np.array(["9999-01-01"], f"M8[{unit}]")).dt.tz_localize("UTC")
        assert read_times(column_cells(late), typed=True)[1] == {0: "era"}


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 10_001, "a\rb"])
def test_texts_that_no_file_can_hold_are_refused(text):
    """What is accepted must be writable, and come back as it was."""
    flaws = flaws_of(site=["x", text])
    assert [flaw.row for flaw in flaws] == [3]


def test_all_flaws_are_reported_at_once():
    """Several columns wrong, in several rows, each with file, row, field, value and range."""
    flaws = flaws_of(
        time=["2022-06-01", "2022-06-01T00:00:00"],
        kind=["a", "c"],
        count=["-1", "11"],
        share=["1", "abc"],
    )
    found = {(flaw.row, flaw.field, flaw.value) for flaw in flaws}
    assert found == {
        (2, "time", "2022-06-01"),
        (3, "time", "2022-06-01T00:00:00"),
        (3, "kind", "c"),
        (2, "count", "-1"),
        (3, "count", "11"),
        (2, "share", "1"),
        (3, "share", "abc"),
    }
    assert all(flaw.file == "sample.csv" and flaw.allowed for flaw in flaws)
    assert "a number > 0 and < 1 [kW]" in {flaw.allowed for flaw in flaws}


def test_a_wrong_header_does_not_hide_wrong_cells():
    """Missing, misspelt and bad columns are told together."""
    cells = {k: v for k, v in GOOD.items() if k != "share"} | {"Share": ["1", "2"]}
    flaws = validate_table("sample", SAMPLE, cells | {"count": ["x", "1"]}, PLACE)[1]
    assert [(flaw.field, flaw.row) for flaw in flaws] == [("share", 1), ("Share", 1), ("count", 2)]
    assert flaws[0].fix == "rename the column 'Share'"


def test_repeated_keys_are_found_beside_other_flaws():
    """The second of two equal keys is named, although another column is wrong as well."""
    flaws = flaws_of(time=["2022-06-01T00:00:00Z"] * 2, site=["x", "x"], count=["x", "1"])
    assert [(flaw.field, flaw.row) for flaw in flaws] == [("count", 2), ("time, site", 3)]


def test_a_column_that_is_wrong_throughout_does_not_flood():
    """A million bad cells give a hundred flaws and one that says there are more."""
    many = 50_000
    cells = {k: [v[0]] * many for k, v in GOOD.items()} | {"share": ["x"] * many}
    cells["site"] = [str(i) for i in range(many)]
    flaws = validate_table("sample", SAMPLE, cells, PLACE)[1]
    assert len(flaws) == 101
    assert "more" in str(flaws[-1])


def test_no_rows_and_unequal_columns():
    """Both are flaws of the table, not crashes."""
    empty = validate_table("sample", SAMPLE, dict.fromkeys(GOOD, ()), PLACE)[1]
    assert [flaw.what for flaw in empty] == ["has no rows"]
    uneven = flaws_of(share=["0.5"])
    assert [flaw.what for flaw in uneven] == ["has columns of different lengths"]


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.text("xyz", min_size=1, max_size=2)),
        unique=True,
        min_size=1,
    )
)
def test_sorting_by_key_forgets_the_order_of_the_rows(keys):
    """Any permutation of the rows gives the same frame (a wrong sort by one column would not)."""
    start = pd.Timestamp("2022-06-01", tz="UTC")
    cells = {k: [v[0]] * len(keys) for k, v in GOOD.items()} | {
        "time": [start + pd.Timedelta(hours=hour) for hour, _ in keys],
        "site": [site for _, site in keys],
        "share": [0.5 / (i + 1) for i in range(len(keys))],
        "count": [1] * len(keys),
        "on": [True] * len(keys),
    }
    frame, flaws = validate_table("sample", SAMPLE, cells, PLACE, typed=True)
    assert flaws == []
    before = frame.copy()
    result = sort_by_key(SAMPLE, frame)
    expected = frame.sort_values(["time", "site"], ignore_index=True)
    pd.testing.assert_frame_equal(result, expected)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("value", ["12", True, float("nan"), float("inf"), None, [], 10**400, 0])
def test_parameters_that_are_no_number(value):
    """Pydantic would take the text "12" and True for numbers."""
    found, flaws = validate_parameters(Sizes, {"work": value}, "datapackage.json")
    assert found is None
    assert [flaw.field for flaw in flaws] == ["work"]


def test_parameters_tell_everything_at_once():
    """Unknown name with suggestion, missing one, one out of range."""
    given_ = {"slotss": 3, "slots": 0, "label": "\ud800"}
    found, flaws = validate_parameters(Sizes, given_, None)
    assert found is None
    assert {flaw.field for flaw in flaws} == {"slotss", "slots", "label", "work"}
    assert any(flaw.fix == "rename it to 'slots'" for flaw in flaws)


def test_parameters_of_numpy_and_negative_zero():
    """Scalars of numpy are numbers; -0.0 is 0.0."""
    found, flaws = validate_parameters(Sizes, {"work": np.float32(2), "slots": np.int64(4)}, None)
    assert not flaws
    assert (found.work, found.slots) == (2.0, 4)


def test_table_schema_is_never_stricter_than_ours():
    """Types, units and closed limits for the public validator."""
    schema = table_schema(SAMPLE)
    fields = {field["name"]: field for field in schema["fields"]}
    assert schema["primaryKey"] == ["time", "site"]
    assert fields["share"]["unit"] == "kW"
    assert fields["share"]["constraints"] == {"required": True, "minimum": 0}
    assert fields["count"]["constraints"] == {"required": True, "minimum": 0, "maximum": 10}
    assert [field["type"] for field in schema["fields"]] == [
        "datetime",
        "string",
        "string",
        "integer",
        "number",
        "boolean",
    ]
    assert allowed_text(Sample.model_fields["kind"]) == "one of a, b"
