"""From text to instants and numbers, with every flaw of a column reported at once.

**Times.** An instant is only known with its zone. Text with an offset ("...+01:00", "...Z") says it
itself; naive text needs `tz`, either because the format is documented to be in UTC or because the
caller says so. Local clocks skip one hour in spring and repeat one in autumn: a time in the
skipped hour does not exist, a time in the repeated hour means two instants. Both are refused
unless a policy says how to read them.

**Numbers.** Only plain decimal notation is a number here: no thousands separators, no decimal
comma, no infinities. What stands for "no value" (an empty cell, NaN) is told apart from what is
wrong, because a gap may be repaired and a wrong value may not.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import Flaw, InputError, UsageError, shorten

Rows = Sequence[int] | NDArray[np.int64]
_Times = NDArray[np.datetime64]
Mixed = Literal["refuse", "accept"]
Ambiguous = Literal["refuse", "order", "earlier", "later"]
Nonexistent = Literal["refuse", "shift"]

MAX_FLAWS = 1000
LARGEST = 1e12
"""Far beyond any measured quantity, and far from where sums of 64-bit numbers overflow."""
EMPTY = "the file has a header only, or its download was cut off"
"""Likely cause of a file without rows."""
_YEARS = range(1900, 2200)
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>"})

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?P<second>:\d{2}(?:\.\d{1,9})?)?"
_ISO = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"
    rf"(?:(?P<gap>[T ]){_CLOCK} ?(?P<offset>Z|[+-]\d{{2}}(?::?\d{{2}})?)?)?",
    re.ASCII,
)
_US = re.compile(rf"(?P<month>\d{{1,2}})/(?P<day>\d{{1,2}})/(?P<year>\d{{4}}) {_CLOCK}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)

_FORMS = "YYYY-MM-DD hh:mm[:ss][offset] or MM/DD/YYYY hh:mm"


class _FlawAt(Protocol):
    def __call__(self, at: int, what: str, **words: str | None) -> Flaw: ...


def time_formats(values: Sequence[str]) -> dict[str, int]:
    """How often each known way to write a time occurs in a column; "unknown" for all others.

    Parameters
    ----------
    values
        Cells of the column.
    """
    return dict(Counter(_iso_text(value)[0] for value in values))


def parse_times(
    values: Sequence[str],
    tz: str | dt.tzinfo | None = None,
    *,
    field: str = "time",
    file: str | None = None,
    rows: Rows | None = None,
    mixed: Mixed = "refuse",
    ambiguous: Ambiguous = "refuse",
    nonexistent: Nonexistent = "refuse",
    subject: str | None = None,
) -> pd.DatetimeIndex:
    """Instants in UTC from a column of text, in the order of the column.

    Known forms are ISO 8601 (with 'T' or a blank, with or without offset, up to nine fractional
    digits, also a date alone) and the American MM/DD/YYYY hh:mm[:ss].

    Parameters
    ----------
    values
        Cells of the column.
    tz
        Zone of the naive times: a name such as "Europe/Berlin", "UTC", or a `tzinfo`. Times with
        an offset keep their own.
    field, file, rows
        Where the cells come from, for messages; rows count from 2 unless given.
    mixed
        What to do when several forms stand in one column: refuse, or read each by its own form.
    ambiguous
        Local times in the repeated hour: refuse; "order" (the first occurrence in the file is the
        earlier instant, the second the later one); all "earlier" (summer time); all "later".
    nonexistent
        Local times in the skipped hour: refuse, or shift to the first instant after it.
    subject
        What was being read, for the head of the message.

    Returns
    -------
    pandas.DatetimeIndex
        One instant per cell, in UTC.

    Raises
    ------
    InputError
        Cells that are not times, naive times without `tz`, refused forms or hours; all at once.
    UsageError
        An unknown zone or policy.
    """
    check_choice("mixed", mixed, ("refuse", "accept"))
    check_choice("ambiguous", ambiguous, ("refuse", "order", "earlier", "later"))
    check_choice("nonexistent", nonexistent, ("refuse", "shift"))
    zone = None if tz is None else time_zone(tz)
    numbers = range(2, len(values) + 2) if rows is None else rows

    def flaw(at: int, what: str, **words: str | None) -> Flaw:
        return Flaw(
            what,
            file=file,
            row=int(numbers[at]),
            field=field,
            value=values[at],
            allowed=words.get("allowed"),
            cause=words.get("cause"),
            fix=words.get("fix"),
        )

    pairs = [_iso_text(value) for value in values]
    kinds = np.array([kind for kind, _ in pairs], dtype=object)
    known = kinds != "unknown"
    offset = kinds == "ISO with offset"
    naive = known & ~offset
    instants = np.full(len(values), np.datetime64("NaT", "ns"))
    for mask in (offset, naive):
        texts = [pairs[i][1] for i in np.flatnonzero(mask)]
        # utc=True here only normalises offsets; naive text gets its zone below.
        parsed = pd.to_datetime(
            pd.Series(texts, dtype=object), format="ISO8601", utc=True, errors="coerce"
        )
        instants[mask] = parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")

    flaws: list[Flaw] = []
    wrong = np.isnat(instants)
    for at in np.flatnonzero(wrong)[:MAX_FLAWS]:
        if known[at]:
            cause = "day and month are exchanged" if kinds[at].startswith("MM") else None
            flaws.append(flaw(at, "is not a time of the calendar", cause=cause))
        else:
            flaws.append(flaw(at, "is not a time", allowed=_FORMS))
    flaws += _mixed_flaws(kinds, known, mixed, flaw)
    first = np.flatnonzero(naive)
    if zone is None and len(first):
        flaws.append(
            flaw(
                int(first[0]),
                f"has no time zone (as {len(first)} of {len(values)} times)",
                fix='say in which zone the clock runs, e.g. tz="UTC" (in the shell: --tz UTC)',
            )
        )
    if zone is not None:
        local = naive & ~wrong
        instants[local], hour_flaws = _localise(
            instants[local],
            np.flatnonzero(local),
            zone,
            flaw,
            ambiguous=ambiguous,
            nonexistent=nonexistent,
        )
        flaws += hour_flaws
    if flaws:
        raise InputError(flaws, subject)
    return pd.DatetimeIndex(instants).tz_localize("UTC").rename(field)


def time_zone(tz: str | dt.tzinfo) -> dt.tzinfo:
    """Zone object of a name; UTC is known even where no zone database is installed.

    Raises
    ------
    UsageError
        The name is not in the zone database.
    """
    if isinstance(tz, dt.tzinfo):
        return tz
    if isinstance(tz, str) and tz.upper() in {"UTC", "Z", "ETC/UTC"}:
        return dt.UTC
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise UsageError(
            f"Unknown time zone {shorten(tz)}. Known: names of the IANA database, "
            'such as "UTC", "Europe/Berlin" or "America/Los_Angeles".'
        ) from None


def parse_numbers(
    values: Sequence[str],
    field: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    allow_missing: bool = False,
    file: str | None = None,
    rows: Rows | None = None,
    subject: str | None = None,
) -> NDArray[np.float64]:
    """Finite numbers from a column of text.

    Parameters
    ----------
    values
        Cells of the column.
    field, file, rows
        Where the cells come from, for messages; rows count from 2 unless given.
    minimum, maximum
        Allowed range, ends included.
    allow_missing
        Return NaN for cells that stand for "no value" instead of refusing them.
    subject
        What was being read, for the head of the message.

    Returns
    -------
    numpy.ndarray
        One 64-bit number per cell, shape (n,).

    Raises
    ------
    InputError
        Every cell that is text, infinite, missing or out of range, with its row.
    """
    numbers, flaws = check_numbers(
        values,
        field,
        minimum=minimum,
        maximum=maximum,
        allow_missing=allow_missing,
        file=file,
        rows=rows,
    )
    if flaws:
        raise InputError(flaws, subject)
    return numbers


def check_numbers(
    values: Sequence[str],
    field: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    allow_missing: bool = False,
    file: str | None = None,
    rows: Rows | None = None,
) -> tuple[NDArray[np.float64], list[Flaw]]:
    """As `parse_numbers`, but hand the flaws back to be reported with those of other columns."""
    places = range(2, len(values) + 2) if rows is None else rows
    allowed = _range_text(minimum, maximum)
    numbers = np.full(len(values), np.nan)
    flaws: list[Flaw] = []
    low = -np.inf if minimum is None else minimum
    high = np.inf if maximum is None else maximum
    for i, value in enumerate(values):
        text = value.strip()
        what = cause = None
        if _NUMBER.fullmatch(text):
            number = float(text)
            if low <= number <= high and abs(number) != np.inf:
                numbers[i] = number
                continue
            what = "is out of range" if abs(number) != np.inf else "is not finite"
        elif text.lower() in _MISSING:
            if allow_missing:
                continue
            what = "is missing"
        elif text.lower().lstrip("+-") in {"inf", "infinity"}:
            what = "is not finite"
        else:
            what = "is not a number"
            cause = "a decimal comma or a thousands separator" if "," in text else None
        if len(flaws) < MAX_FLAWS:
            row = int(places[i])
            flaws.append(Flaw(what, file, row, field, value, allowed, cause))
    return numbers, flaws


def _iso_text(value: str) -> tuple[str, str]:
    """Name of the form of a time and the time rewritten in ISO 8601."""
    text = value.strip()
    match = _ISO.fullmatch(text)
    if match is not None:
        kind = "ISO"
        if match["offset"]:
            kind = "ISO with offset"
        elif match["gap"] is None:
            kind = "ISO date"
    else:
        match = _US.fullmatch(text)
        kind = "MM/DD/YYYY"
        if match is None:
            return "unknown", ""
    if int(match["year"]) not in _YEARS:
        return "unknown", ""
    date = f"{match['year']}-{match['month']:0>2}-{match['day']:0>2}"
    if kind == "ISO date":
        return kind, date
    iso = f"{date}T{match['hour']:0>2}:{match['minute']}{match['second'] or ':00'}"
    return kind, iso + match["offset"] if kind == "ISO with offset" else iso


def _mixed_flaws(
    kinds: NDArray[np.object_], known: NDArray[np.bool_], mixed: Mixed, flaw: _FlawAt
) -> list[Flaw]:
    """The first row of each rarer form, where forms are mixed and that is refused."""
    counts = Counter(kinds[known])
    if mixed == "accept" or len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    return [
        flaw(
            int(np.flatnonzero(kinds == kind)[0]),
            f"is written as {kind} (as {count} times of this column) but {counts[usual]} others "
            f"as {usual}",
            cause="files of different origin were joined",
            fix='write all alike, or accept it by mixed_times="accept"',
        )
        for kind, count in counts.items()
        if kind != usual
    ]


def _localise(
    wall: NDArray[np.datetime64],
    places: NDArray[np.intp],
    zone: dt.tzinfo,
    flaw: _FlawAt,
    *,
    ambiguous: Ambiguous,
    nonexistent: Nonexistent,
) -> tuple[NDArray[np.datetime64], list[Flaw]]:
    """Instants of the readings of a local clock."""
    if zone is dt.UTC:
        return wall, []
    clock = pd.DatetimeIndex(wall)
    always = np.ones(len(clock), dtype=bool)

    def instants(summer: NDArray[np.bool_], skipped: Literal["NaT", "shift_forward"]) -> _Times:
        local = clock.tz_localize(zone, ambiguous=summer, nonexistent=skipped)
        return local.tz_convert("UTC").tz_localize(None).to_numpy(dtype="datetime64[ns]")

    earlier, later = instants(always, "NaT"), instants(~always, "NaT")
    absent = np.isnat(earlier)
    double = (earlier != later) & ~absent
    flaws: list[Flaw] = []
    if nonexistent == "refuse":
        flaws += [
            flaw(
                int(places[i]),
                f"does not exist in {zone}: the clock skips this hour",
                cause="the times are not of this zone, or without summer time",
                fix='correct tz, or shift them by nonexistent="shift"',
            )
            for i in np.flatnonzero(absent)[:MAX_FLAWS]
        ]
    repeated = pd.Series(wall).groupby(wall).cumcount().to_numpy() > 0
    single = ~pd.Series(wall).duplicated(keep=False).to_numpy()
    summer = always if ambiguous == "earlier" else ~always if ambiguous == "later" else ~repeated
    if ambiguous in ("refuse", "order"):
        unclear = double if ambiguous == "refuse" else double & single
        why = (
            f"means two instants in {zone}: the clock repeats this hour"
            if ambiguous == "refuse"
            else f"stands once although the clock repeats this hour in {zone}"
        )
        flaws += [
            flaw(
                int(places[i]),
                why,
                fix='use times with offset, or choose ambiguous="order", "earlier" or "later"',
            )
            for i in np.flatnonzero(unclear)[:MAX_FLAWS]
        ]
    return instants(summer, "shift_forward" if nonexistent == "shift" else "NaT"), flaws


def _range_text(minimum: float | None, maximum: float | None) -> str:
    if minimum is None and maximum is None:
        return "a finite number"
    if maximum is None:
        return f"a number >= {minimum:g}"
    if minimum is None:
        return f"a number <= {maximum:g}"
    return f"a number in {minimum:g} .. {maximum:g}"


def check_choice(kind: str, name: object, choices: Sequence[str]) -> None:
    """Refuse a `name` that is not one of the `choices` of a policy."""
    if not isinstance(name, str) or name not in choices:
        raise UsageError.unknown(f"choice for {kind}", str(name), choices)
