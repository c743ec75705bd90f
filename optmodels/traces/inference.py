"""Measured speed and power of language models on GPUs: what profiles of instances are made from.

=====================  ======================================================================
file                   what it is
=====================  ======================================================================
times of Splitwise     perf_model.csv: one row per run of a batch of equal prompts; times in ms,
                       power as a share of the rated power of the GPUs
facts of ML.ENERGY     one row per model, GPU and limit of concurrent requests, from its
                       leaderboard: mean power of all GPUs [W], output tokens per second, time
                       between tokens [ms]
=====================  ======================================================================

In the times of Splitwise (Patel et al., ISCA 2024) a power of 0 means that it was not measured: all
runs on H100 and those of large batches on A100 have it. It is read as missing.

ML.ENERGY (Chung et al., arXiv:2505.06371) gives the energy per token, too; power over throughput
must equal it, which is checked.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError
from optmodels.text import RawTable, read_delimited
from optmodels.traces.parse import EMPTY, MAX_FLAWS, check_numbers

_TIMES = "serving times"
_ENERGY = "serving power"
_LARGEST = 1e9
#: Published energy per token is rounded to four decimals; a foreign unit is off by far more.
_AGREEMENT = 0.01

_TIME_TEXTS = {"model": "model", "hardware": "hardware"}
_TIME_COUNTS = {
    "tensor_parallel": "tensor_parallel",
    "prompt_size": "input_tokens",
    "batch_size": "batch",
    "token_size": "output_tokens",
}
_TIME_MS = {"prompt_time": "prefill_s", "token_time": "token_s", "e2e_time": "e2e_s"}
_TIME_POWER = {"average_power": "power_share", "peak_power": "peak_power_share"}

_ENERGY_TEXTS = {"model_id": "model", "gpu_model": "gpu"}
_ENERGY_COUNTS = {
    "num_gpus": "gpus",
    "tensor_parallel": "tensor_parallel",
    "max_num_seqs": "batch_limit",
}
_ENERGY_NUMBERS = {
    "avg_batch_size": ("batch", 1.0),
    "avg_output_len": ("output_tokens", 1.0),
    "avg_power_watts": ("power_kw", 1e-3),
    "output_throughput_tokens_per_sec": ("tokens_per_s", 1.0),
    "median_itl_ms": ("token_s", 1e-3),
    "p90_itl_ms": ("token_p90_s", 1e-3),
    "p99_itl_ms": ("token_p99_s", 1e-3),
    "energy_per_token_joules": ("joules_per_token", 1.0),
}


def read_serving_times(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read Splitwise's measured times of batches.

    Parameters
    ----------
    path
        The file, plain or `.gz`.

    Returns
    -------
    DataFrame
        In the order of the file: ``model``, ``hardware``, ``tensor_parallel``, ``input_tokens``
        (of one prompt), ``batch`` (prompts), ``output_tokens`` (of one answer), ``prefill_s`` (of
        the whole batch), ``token_s`` (from token to token), ``e2e_s`` [s], ``power_share`` and
        ``peak_power_share`` (of the rated power of the GPUs; NaN where not measured; peaks are a
        little above 1).

    Raises
    ------
    InputError
        Not of this format; counts that are no whole numbers, times that are not positive; all of
        it together.
    """
    fields = (*_TIME_TEXTS, *_TIME_COUNTS, *_TIME_MS, *_TIME_POWER)
    table = read_delimited(path, required=fields, subject=_TIMES)
    columns, flaws = _labels(table, _TIME_TEXTS, _TIME_COUNTS)
    for field, name in _TIME_MS.items():
        values, found = _positive(table, field)
        columns[name] = values / 1000
        flaws += found
    for field, name in _TIME_POWER.items():
        values, found = check_numbers(
            table.column(field), field, minimum=0, maximum=2, file=table.name
        )
        columns[name] = np.where(values == 0, np.nan, values)
        flaws += found
    _refuse(flaws, table, _TIMES)
    return pd.DataFrame(columns)


def read_serving_power(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read facts of the ML.ENERGY leaderboard.

    Parameters
    ----------
    path
        The file, plain or `.gz`.

    Returns
    -------
    DataFrame
        In the order of the file: ``model``, ``gpu``, ``gpus``, ``tensor_parallel``,
        ``batch_limit`` (most concurrent requests allowed), ``batch`` (their mean number),
        ``output_tokens`` (mean of an answer), ``power_kw`` (mean of all GPUs), ``tokens_per_s``,
        ``token_s``, ``token_p90_s``, ``token_p99_s`` (median and percentiles of the time between
        tokens [s]), ``joules_per_token``.

    Raises
    ------
    InputError
        Not of this format; numbers that are not positive; power that is not throughput times
        energy per token; all of it together.
    """
    fields = (*_ENERGY_TEXTS, *_ENERGY_COUNTS, *_ENERGY_NUMBERS)
    table = read_delimited(path, required=fields, subject=_ENERGY)
    columns, flaws = _labels(table, _ENERGY_TEXTS, _ENERGY_COUNTS)
    for field, (name, factor) in _ENERGY_NUMBERS.items():
        values, found = _positive(table, field)
        columns[name] = values * factor
        flaws += found
    _refuse(flaws, table, _ENERGY)
    frame = pd.DataFrame(columns)
    drawn = frame["power_kw"] * 1000
    told = frame["joules_per_token"] * frame["tokens_per_s"]
    off = np.flatnonzero(np.abs(drawn - told) > _AGREEMENT * drawn)
    flaws = [
        Flaw(
            f"is not energy per token times tokens per second, {told.iloc[i]:.5g} W",
            file=table.name,
            row=int(i) + table.row_numbers.start,
            field="avg_power_watts",
            value=float(drawn.iloc[i]),
            cause="power of one GPU instead of all, or another unit",
        )
        for i in off[:MAX_FLAWS]
    ]
    _refuse(flaws, table, _ENERGY)
    return frame


def _labels(
    table: RawTable, texts: dict[str, str], counts: dict[str, str]
) -> tuple[dict[str, object], list[Flaw]]:
    """Columns of names and of whole numbers."""
    columns: dict[str, object] = {}
    flaws: list[Flaw] = []
    for field, name in texts.items():
        cells = table.column(field)
        columns[name] = np.array(cells, dtype=object)
        flaws += [
            Flaw("is missing", table.name, row, field)
            for row, cell in zip(table.row_numbers, cells, strict=True)
            if not cell.strip()
        ][:MAX_FLAWS]
    for field, name in counts.items():
        values, found = check_numbers(
            table.column(field), field, minimum=1, maximum=_LARGEST, file=table.name
        )
        flaws += found
        flaws += [
            Flaw(
                "is not a whole number",
                file=table.name,
                row=int(i) + table.row_numbers.start,
                field=field,
                value=float(values[i]),
            )
            for i in np.flatnonzero(~np.isnan(values) & (values != np.floor(values)))[:MAX_FLAWS]
        ]
        columns[name] = np.nan_to_num(values).astype(np.int64)
    return columns, flaws


def _positive(table: RawTable, field: str) -> tuple[np.ndarray, list[Flaw]]:
    values, flaws = check_numbers(
        table.column(field), field, minimum=0, maximum=_LARGEST, file=table.name
    )
    flaws += [
        Flaw(
            "was not measured",
            file=table.name,
            row=int(i) + table.row_numbers.start,
            field=field,
            value=0,
            allowed="a number > 0",
        )
        for i in np.flatnonzero(values == 0)[:MAX_FLAWS]
    ]
    return values, flaws


def _refuse(flaws: list[Flaw], table: RawTable, subject: str) -> None:
    if not flaws and not len(table):
        flaws = [Flaw("has no rows of data", file=table.name, cause=EMPTY)]
    if flaws:
        raise InputError(flaws, subject)
