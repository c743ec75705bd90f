"""Scaling profiles: units, order, and what no machine can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from optmodels.errors import InputError
from optmodels.traces import read_profile


def write(folder: Path, body: str) -> Path:
    """Profile with these rows."""
    path = folder / "profile.csv"
    path.write_text("nodes,throughput,power\n" + body)
    return path


def test_watts_become_kilowatts_and_rows_rise(tmp_path: Path) -> None:
    """Rows in any order; 200 W are 0.2 kW."""
    frame = read_profile(write(tmp_path, "2,15.5,200\n0,0,0\n1,10,120.0\n"))
    assert frame.columns.tolist() == ["servers", "throughput", "power_kw"]
    assert frame["servers"].tolist() == [0, 1, 2]
    assert frame["servers"].dtype == "int64"
    assert frame["throughput"].tolist() == [0, 10, 15.5]
    assert frame["power_kw"].tolist() == [0, 0.12, 0.2]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1,10,120\n2,15,110\n", "row 3, field 'power': 110.0 falls as servers are added"),
        ("1,10,-1\n", "row 2, field 'power': '-1' is out of range"),
        ("1,10,120\n1,11,130\n", "row 3, field 'nodes': 1 stands more than once"),
        ("1.5,10,120\n", "row 2, field 'nodes': 1.5 is not a whole number"),
        ("1e10,10,120\n", "is not a whole number"),
        ("0,10,0\n", "is done by no server"),
        ("1,,120\n", "row 2, field 'throughput': '' is missing"),
        ("1,x,120\n", "'x' is not a number"),
        ("1,10\n", "has 2 fields"),
        ("", "has no rows"),
    ],
)
def test_faults_are_named(tmp_path: Path, body: str, words: str) -> None:
    """Each fault with its row and field."""
    with pytest.raises(InputError) as caught:
        read_profile(write(tmp_path, body))
    assert words in str(caught.value)


def test_power_is_compared_between_neighbours_in_servers(tmp_path: Path) -> None:
    """Order in the file does not matter; two falls are two flaws."""
    with pytest.raises(InputError) as caught:
        read_profile(write(tmp_path, "3,30,100\n2,20,110\n1,10,120\n"))
    assert [flaw.row for flaw in caught.value.flaws] == [3, 2]


def test_a_file_without_the_columns_names_them_all(tmp_path: Path) -> None:
    """Both missing columns at once."""
    path = tmp_path / "p.csv"
    path.write_text("nodes,through,watts\n1,2,3\n")
    with pytest.raises(InputError) as caught:
        read_profile(path)
    assert [flaw.value for flaw in caught.value.flaws] == ["throughput", "power"]
