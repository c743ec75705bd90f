"""Files of one's own: which column holds the times, and which the values.

A file that follows no public format has a column of times and one or more of numbers, under any
names. What they are is found out by what they hold; where that leaves a choice, nothing is guessed,
and the message lists what was found. Semicolons and tabs between columns are recognised.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from optmodels.errors import Flaw, InputError, shorten
from optmodels.text import RawTable, plain_name, read_delimited
from optmodels.traces.parse import EMPTY, time_formats

#: Rows by which columns are told apart.
_LOOKED_AT = 200
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
_CARBON = re.compile(r"carbon|co2|co₂|intensity|g_?per_?kwh|g/kwh", re.IGNORECASE)
_SHOWN = 30


@dataclass(frozen=True)
class Survey:
    """What the columns of a file hold.

    Attributes
    ----------
    table
        The file as text.
    times, numbers
        Columns in which every cell is a time, or a number or nothing.
    """

    table: RawTable
    times: tuple[str, ...]
    numbers: tuple[str, ...]

    def naive(self, column: str) -> bool:
        """Whether a column of times has any without a zone."""
        forms = time_formats(self.table.column(column)[:_LOOKED_AT])
        return any(form != "ISO with offset" for form in forms)

    def found(self) -> str:
        """The columns and what they hold, in words."""
        words = []
        for name in self.table.columns[:_SHOWN]:
            cells = self.table.column(name)
            kind = "times" if name in self.times else "numbers" if name in self.numbers else "text"
            words.append(f"{shorten(name)} ({kind} such as {cells[0].strip()[:30]})")
        if len(self.table.columns) > _SHOWN:
            words.append(f"{len(self.table.columns) - _SHOWN} more")
        return ", ".join(words)

    def time_column(self, said: str | None = None) -> str:
        """The column of times: the one that is said, or the only one.

        Raises
        ------
        InputError
            There is none, or more than one, or the one that is said holds something else.
        """
        return self._one(said, self.times, "times", "time_column")

    def carbon_column(self, said: str | None = None) -> str:
        """The column of carbon intensity: the one that is said, the only one, or the one so named.

        Raises
        ------
        InputError
            There is none, or more than one, or the one that is said holds something else.
        """
        named = tuple(name for name in self.numbers if _CARBON.search(name))
        chosen = named if len(named) == 1 else self.numbers
        return self._one(said, self.numbers if said else chosen, "numbers", "value_column")

    def _one(self, said: str | None, names: Sequence[str], what: str, option: str) -> str:
        if said is not None:
            position = self.table.position(said)
            if position is None:
                raise InputError(self.table.missing([said]))
            # Whatever a column holds that is said, its reader tells row by row what is wrong.
            return self.table.columns[position]
        if len(names) == 1:
            return names[0]
        flag = "--" + option.replace("_", "-")
        problem = f"has {len(names)} columns of {what}" if names else f"has no column of {what}"
        raise InputError(
            Flaw(
                problem,
                file=self.table.name,
                allowed=f"one; the file has {self.found()}",
                fix=f"name it by {option} (in the shell: {flag})"
                if names
                else "write times as 2024-01-31 13:00, with or without an offset"
                if what == "times"
                else "write numbers with a decimal point and without thousands separators",
            )
        )


def survey(path: str | os.PathLike[str]) -> Survey:
    """Look at a file of one's own.

    Parameters
    ----------
    path
        Delimited text with a header, plain or `.gz`; by commas, semicolons or tabs.

    Returns
    -------
    Survey
        The table, and which of its columns hold times and which numbers.

    Raises
    ------
    InputError
        The file cannot be read, or has no rows.
    """
    subject = "file with columns of times and numbers"
    table = read_delimited(path, subject=subject)
    for delimiter in (";", "\t"):
        if len(table.columns) == 1 and delimiter in table.columns[0]:
            table = read_delimited(path, delimiter=delimiter, subject=subject)
    if not len(table):
        raise InputError(Flaw("has no rows of data", file=table.name, cause=EMPTY), subject)
    times, numbers = [], []
    for name in table.columns:
        cells = table.column(name)[:_LOOKED_AT]
        if "unknown" not in time_formats(cells):
            times.append(name)
        elif _are_numbers(cells) and not _counts_rows(name, cells):
            numbers.append(name)
    return Survey(table, tuple(times), tuple(numbers))


def _are_numbers(cells: Sequence[str]) -> bool:
    known = [cell.strip() for cell in cells if cell.strip().lower() not in _MISSING]
    return bool(known) and all(_NUMBER.fullmatch(cell) for cell in known)


def _counts_rows(name: str, cells: Sequence[str]) -> bool:
    """Whether a column without a name is the index that a table library wrote."""
    if plain_name(name).lower() not in ("", "unnamed: 0", "index"):
        return False
    return all(cell.strip() == str(i) for i, cell in enumerate(cells))
