"""Traces of requests to large language models: when, how long the prompt, how long the answer.

=====================  ======================================================================
file                   what it is
=====================  ======================================================================
requests of Azure      TIMESTAMP, ContextTokens, GeneratedTokens: one row per request, of 2023
                       with naive times, of 2024 with their offset
rates of ServeGen      timestamp_s and one column per model: mean requests per second from that
                       time to the next
=====================  ======================================================================

**Classes.** Requests fall into nine classes by the lengths of prompt and answer, each short,
medium or long: ``SM`` has a short prompt and a medium answer. Where the lengths are cut is said by
`LengthClasses`; its defaults are those by which DynamoLLM (Stojkovic et al., HPCA 2025) tells
requests apart. The length of an answer is known only afterwards; that it is known in advance is an
assumption of whoever uses the classes.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.text import RawTable, read_delimited
from optmodels.traces.parse import EMPTY, MAX_FLAWS, check_numbers, parse_times

LENGTHS = ("S", "M", "L")
"""Short, medium, long."""

CLASSES = tuple(prompt + answer for prompt, answer in product(LENGTHS, LENGTHS))
"""The nine classes: first the prompt, then the answer."""

_REQUESTS = "request trace"
_RATES = "request rates"
_TOKENS = {"ContextTokens": "input_tokens", "GeneratedTokens": "output_tokens"}
_LARGEST_TOKENS = 1e8
_LARGEST_RATE = 1e9
_CLOCK = "timestamp_s"


@dataclass(frozen=True)
class LengthClasses:
    """Where lengths are cut into short, medium and long.

    Parameters
    ----------
    input_tokens
        Shortest medium and shortest long prompt [tokens].
    output_tokens
        Shortest medium and shortest long answer [tokens].

    Raises
    ------
    UsageError
        A pair that is not two rising positive numbers.
    """

    input_tokens: tuple[float, float] = (256, 1024)
    output_tokens: tuple[float, float] = (100, 350)

    def __post_init__(self) -> None:
        for name in ("input_tokens", "output_tokens"):
            cuts = getattr(self, name)
            if not (isinstance(cuts, tuple) and len(cuts) == 2 and 0 < cuts[0] < cuts[1]):
                raise UsageError(
                    f"{name} must be two rising numbers > 0, the shortest medium and the shortest "
                    f"long one, not {cuts!r}."
                )

    def of(self, requests: pd.DataFrame) -> pd.Series[str]:
        """Class of each request, one of `CLASSES`.

        Parameters
        ----------
        requests
            Columns ``input_tokens`` and ``output_tokens``.
        """
        places = [
            np.searchsorted(getattr(self, name), requests[name].to_numpy(), side="right")
            for name in ("input_tokens", "output_tokens")
        ]
        names = np.array(CLASSES, dtype=object)[places[0] * len(LENGTHS) + places[1]]
        return pd.Series(names, index=requests.index, name="class", dtype=object)


def read_requests(
    path: str | os.PathLike[str], *, tz: str | dt.tzinfo | None = None
) -> pd.DataFrame:
    """Read a trace of requests as Azure publishes it.

    Parameters
    ----------
    path
        CSV, plain or `.gz`, with columns `TIMESTAMP`, `ContextTokens` and `GeneratedTokens`.
    tz
        Zone of naive times, which must be said: the traces of 2023 do not tell theirs.

    Returns
    -------
    DataFrame
        Sorted by ``time`` (UTC), with ``input_tokens`` and ``output_tokens``.

    Raises
    ------
    InputError
        Times without zone, cells that are no times or no whole numbers of tokens, no rows; all
        of it together.
    UsageError
        Unknown time zone.
    """
    table = read_delimited(path, required=("TIMESTAMP", *_TOKENS), subject=_REQUESTS)
    flaws: list[Flaw] = []
    columns: dict[str, NDArray[np.int64]] = {}
    for field, name in _TOKENS.items():
        # A prompt has a token; an answer may be empty.
        least = 1 if name == "input_tokens" else 0
        values, found = check_numbers(
            table.column(field), field, minimum=least, maximum=_LARGEST_TOKENS, file=table.name
        )
        flaws += found
        flaws += _fractions(values, field, table)
        columns[name] = np.nan_to_num(values).astype(np.int64)
    try:
        times = parse_times(table.column("TIMESTAMP"), tz, field="TIMESTAMP", file=table.name)
    except InputError as error:
        raise InputError([*error.flaws, *flaws], _REQUESTS) from None
    if not flaws and not len(table):
        flaws.append(Flaw("has no rows of data", file=table.name, cause=EMPTY))
    if flaws:
        raise InputError(flaws, _REQUESTS)
    frame = pd.DataFrame({"time": times, **columns})
    return frame.sort_values("time", kind="stable", ignore_index=True)


def class_mix(requests: pd.DataFrame, classes: LengthClasses | None = None) -> pd.DataFrame:
    """How many requests each class has, and how long they are on average.

    Parameters
    ----------
    requests
        As `read_requests` gives them.
    classes
        Where lengths are cut; by default as DynamoLLM does.

    Returns
    -------
    DataFrame
        Indexed by ``class`` in the order of `CLASSES`: ``requests``, ``share`` (of all requests),
        and the means ``input_tokens`` and ``output_tokens`` (NaN for a class without requests).

    Raises
    ------
    InputError
        No requests.
    """
    if not len(requests):
        raise InputError(Flaw("has no requests", field="requests"))
    kinds = (classes or LengthClasses()).of(requests)
    groups = requests[["input_tokens", "output_tokens"]].groupby(kinds.to_numpy())
    counts = groups.size().reindex(list(CLASSES), fill_value=0)
    mix = pd.DataFrame({"requests": counts, "share": counts / len(requests)})
    return mix.join(groups.mean()).rename_axis("class")


def mean_rate(requests: pd.DataFrame) -> float:
    """Requests per second from the first to the last request.

    Parameters
    ----------
    requests
        Requests as `read_requests` gives them.

    Returns
    -------
    float
        Requests per second [1/s].

    Raises
    ------
    InputError
        Fewer than two instants.
    """
    times = requests["time"]
    seconds = (times.max() - times.min()).total_seconds() if len(times) else 0.0
    if not seconds > 0:
        raise InputError(Flaw("has fewer than two instants: no rate", field="time"))
    # The first request opens the interval, so it is not one of those that arrive in it.
    return (len(requests) - 1) / seconds


def read_request_rates(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read rates of requests as derived from ServeGen (Xiang et al., arXiv:2505.09999).

    Parameters
    ----------
    path
        CSV, plain or `.gz`: `timestamp_s` [s], which must rise by equal steps, and one column per
        model [requests/s]; empty cells are times without measurement.

    Returns
    -------
    DataFrame
        Indexed by ``timestamp_s``, the begin of each interval; one column per model [requests/s],
        NaN where nothing was measured. A zero is kept as it is: the file does not say whether no
        requests came or none were counted.

    Raises
    ------
    InputError
        Cells that are no numbers in range, odd steps, no column of a model, fewer than two rows;
        all of it together.
    """
    table = read_delimited(path, required=(_CLOCK,), subject=_RATES)
    models = [name for name in table.columns if name != _CLOCK]
    flaws = [] if models else [Flaw("has no column of rates", file=table.name, row=1)]
    clock, found = check_numbers(
        table.column(_CLOCK), _CLOCK, minimum=0, maximum=_LARGEST_RATE, file=table.name
    )
    flaws += found
    columns = {}
    for name in models:
        columns[name], found = check_numbers(
            table.column(name),
            name,
            minimum=0,
            maximum=_LARGEST_RATE,
            allow_missing=True,
            file=table.name,
        )
        flaws += found
    if len(clock) < 2:
        allowed = "at least two, to know the step"
        flaws.append(Flaw(f"has {len(clock)} rows of data", table.name, allowed=allowed))
    elif not np.isnan(clock).any():
        steps = np.diff(clock)
        usual = float(np.median(steps))
        flaws += [
            Flaw(
                f"is {steps[i]:g} s after the row before",
                file=table.name,
                row=int(i) + table.row_numbers.start + 1,
                field=_CLOCK,
                value=float(clock[i + 1]),
                allowed=f"steps of {usual:g} s, as most are" if usual > 0 else "rising times",
            )
            for i in np.flatnonzero((steps != usual) | (steps <= 0))[:MAX_FLAWS]
        ]
    if flaws:
        raise InputError(flaws, _RATES)
    return pd.DataFrame(columns, index=pd.Index(clock, name=_CLOCK))


def rate_shape(rates: pd.Series[float], *, periods: int, period_seconds: float) -> pd.Series[float]:
    """The course of a rate, with mean one, on the periods of a planning question.

    Rates are means over intervals. Their values are set at the middles of their intervals, joined
    by straight lines over whatever is missing, and read at the middles of the periods; before the
    first middle and after the last the nearest value holds. What is gone is the noise within an
    interval, which the rates do not have.

    Parameters
    ----------
    rates
        A column of `read_request_rates`; where it begins, the first period begins.
    periods, period_seconds
        How many periods of what length.

    Returns
    -------
    Series
        Indexed by the begin of each period [s], multiples of the mean rate of these periods.

    Raises
    ------
    InputError
        Rates that are negative or infinite, all missing or all zero, or that end before the
        periods do.
    UsageError
        Fewer than one period, or periods without length.
    """
    clock = np.asarray(rates.index, dtype=np.float64)
    values = rates.to_numpy(dtype=np.float64)
    if periods < 1 or not period_seconds > 0:
        raise UsageError(
            f"Periods must be at least one, of positive length, not {periods} of {period_seconds} s"
        )
    known = ~np.isnan(values)
    field = str(rates.name or "rates")
    if len(clock) < 2 or not known.any():
        raise InputError(Flaw("has no two intervals, or no value in any", field=field))
    if (np.isinf(values) | (values < 0)).any():
        raise InputError(Flaw("has values that are no rates", field=field, allowed=">= 0, finite"))
    step = float(clock[1] - clock[0])
    last = float(clock[known][-1]) + step
    end = float(clock[0]) + periods * period_seconds
    if last < end:
        what = f"ends {last - clock[0]:g} s after its begin"
        fix = "plan fewer periods, or take another column"
        allowed = f"{end - clock[0]:g} s of rates"
        raise InputError(Flaw(what, field=field, allowed=allowed, fix=fix))
    begins = np.arange(periods) * period_seconds
    middles = clock[0] + begins + period_seconds / 2
    course = np.interp(middles, clock[known] + step / 2, values[known])
    if not course.any():
        raise InputError(Flaw("is zero in all periods", field=field))
    return pd.Series(course / course.mean(), index=pd.Index(begins, name="seconds"), name=field)


def _fractions(values: NDArray[np.float64], field: str, table: RawTable) -> list[Flaw]:
    return [
        Flaw(
            "is not a whole number",
            file=table.name,
            row=int(i) + table.row_numbers.start,
            field=field,
            value=float(values[i]),
        )
        for i in np.flatnonzero(~np.isnan(values) & (values != np.floor(values)))[:MAX_FLAWS]
    ]
