"""The store: what is in it comes out again, whatever happened to the study that filled it."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.cells import FORMULA_SIGNS
from optmodels.errors import InputError, UsageError
from optmodels.studies.cell import Cell
from optmodels.studies.store import Store, stored_lines
from optmodels.studies.work import Record


def cell(number: int, label: str = "fcfs") -> Cell:
    """A cell with a key of its own."""
    return Cell(f"{number:064x}", "scaling.job", "a, b", "f" * 64, label, "none", 0, 1, "", True)


def record(number: int, **more: object) -> Record:
    """A result of that cell."""
    return Record(f"{number:064x}", "done", 0.25, total=1 / 3, values={"x": 0.1, "n": 3}, **more)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.none() | st.floats(allow_nan=False)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    total=numbers,
    bound=numbers,
    values=st.dictionaries(texts, st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)),
    error=texts,
    label=texts,
)
def test_results_come_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory,
    total: float | None,
    bound: float | None,
    values: dict[str, float],
    error: str,
    label: str,
) -> None:
    """Numbers, and texts with commas, quotes and line breaks, are read as they were written."""
    folder = tmp_path_factory.mktemp("store")
    given = Record("a" * 64, "failed", 1e-3, total, bound, None, None, values, error, "g")
    made = Cell("a" * 64, "p", label, "f", label, "none", 0, 1, "", True)
    with Store(folder) as store:
        store.append([(made, given)])
    with Store(folder) as store:
        assert store.records == {given.key: given}
    [(line, _)] = stored_lines(folder)
    assert (line["instance"], line["policy"]) == (label, label)
    # A kill must leave whole lines behind: none holds a break.
    assert (folder / "cells.csv").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "'", "\n", "\ud800", '"', ","])
def test_a_spreadsheet_runs_no_name(tmp_path: Path, sign: str) -> None:
    """No cell of text begins like a formula, and every name comes back as it was."""
    name = f'{sign}1+1,"\\n"'
    made = Cell("a" * 64, "scaling.job", name, "f", name, name, 0, 1, "", True)
    given = Record("a" * 64, "done", 0.25, -1.0, error=name, unit=name)
    with Store(tmp_path) as store:
        store.append([(made, given)])
    with (tmp_path / "cells.csv").open(encoding="utf-8", newline="") as stream:
        [row] = csv.DictReader(stream)
    for column in ("instance", "policy", "forecast", "unit", "error", "values"):
        assert not row[column].startswith(FORMULA_SIGNS), column
    assert row["total"] == "-1.0"
    [(line, record_read)] = stored_lines(tmp_path)
    assert [line[column] for column in ("instance", "policy", "forecast")] == [name] * 3
    assert record_read == given


def test_names_of_older_stores_are_read_as_they_stand(tmp_path: Path) -> None:
    """A cell that no sealing made, as in a table written before, is its own text."""
    with Store(tmp_path) as store:
        store.append([(cell(0), record(0))])
    path = tmp_path / "cells.csv"
    path.write_text(path.read_text().replace('"a, b"', "'a\\q"))
    [(line, _)] = stored_lines(tmp_path)
    assert line["instance"] == "'a\\q"


def test_half_a_line_is_cut_off_and_written_again(tmp_path: Path) -> None:
    """Wherever a kill cuts the last line, the lines before it are there and new ones fit."""
    with Store(tmp_path) as store:
        store.append([(cell(i), record(i)) for i in range(3)])
    whole = (tmp_path / "cells.csv").read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for end in range(last, len(whole)):
        (tmp_path / "cells.csv").write_bytes(whole[:end])
        with Store(tmp_path) as store:
            assert sorted(store.records) == [cell(0).key, cell(1).key]
            store.append([(cell(2), record(2))])
        assert (tmp_path / "cells.csv").read_bytes() == whole


def test_a_store_has_one_writer(tmp_path: Path) -> None:
    """A second study is refused while the first has the store, and let in afterwards."""
    with Store(tmp_path), pytest.raises(UsageError, match="Another study is writing"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    """A folder with something else in it is refused, and not written to."""
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="is not a store"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("store.json", '{"optmodels-store": 2}', "format that this version does not know"),
        ("store.json", "{}", "is not that of a store"),
        ("store.json", "not json", "is not that of a store"),
        ("cells.csv", "a,b\n1,2\n", "other columns than a store"),
    ],
)
def test_what_is_no_store_is_refused(tmp_path: Path, file: str, text: str, words: str) -> None:
    """Newer formats and foreign tables give one message, not numbers."""
    Store(tmp_path).close()
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=words):
        Store(tmp_path)


@pytest.mark.parametrize(
    ("column", "value"), [("status", "perhaps"), ("seconds", ""), ("values", "[]"), ("total", "x")]
)
def test_a_line_that_was_edited_is_named(tmp_path: Path, column: str, value: str) -> None:
    """A line that no study wrote is refused with its row."""
    import pandas as pd

    with Store(tmp_path) as store:
        store.append([(cell(i), record(i)) for i in range(3)])
    frame = pd.read_csv(tmp_path / "cells.csv", dtype=str, keep_default_na=False)
    frame.loc[1, column] = value
    frame.to_csv(tmp_path / "cells.csv", index=False, lineterminator="\n")
    with pytest.raises(InputError, match="row 3") as caught:
        Store(tmp_path)
    assert "delete the line" in str(caught.value)


def test_a_full_disk_keeps_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that stops in the middle is undone and told."""
    import os

    with Store(tmp_path) as store:
        store.append([(cell(0), record(0))])
        before = (tmp_path / "cells.csv").read_bytes()
        real = os.write
        monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:10]))
        with pytest.raises(UsageError, match="the disk is full"):
            store.append([(cell(1), record(1))])
        monkeypatch.undo()
        assert (tmp_path / "cells.csv").read_bytes() == before
        assert not math.isnan(store.records[cell(0).key].seconds)
